/**
 * What a mailbox must do (SEMANTICS section 5), as plainly as it can be said: one list of the messages inside, each
 * with its place and the kind of slot it sits in, and one list of those that wait. Whatever is asked for is found by
 * sorting or filtering a whole list. It shares no code with the runtime.
 */

import type { MailboxSettings } from '../../src/protocol/agent-settings.ts';
import type { Rank } from '../../src/protocol/priority.ts';

/** A message, told from others by its id. */
export interface ModelMessage {
  readonly id: number;
  readonly rank: Rank;
  readonly seq: number;
  readonly sentAtMs: number;
}

/** `self`: in the reserve for what the actor sends to itself. */
type Slot = 'common' | 'self';

interface Inside {
  readonly message: ModelMessage;
  place: 'queue' | 'stash';
  slot: Slot;
}

/** Who left or got in because of the last command, in order. */
interface Changes {
  readonly dropped: number[];
  readonly admitted: number[];
}

/** The model of one mailbox. */
export class MailboxModel {
  /** Calls ever accepted. */
  accepted = 0;
  changes: Changes = { dropped: [], admitted: [] };
  inside: Inside[] = [];
  waiters: ModelMessage[] = [];
  private readonly settings: MailboxSettings;
  private calls = 0;

  constructor(settings: MailboxSettings) {
    this.settings = settings;
  }

  get queue(): readonly ModelMessage[] {
    return this.sorted(this.inside.filter(({ place }) => place === 'queue').map(({ message }) => message));
  }

  get stash(): readonly ModelMessage[] {
    return this.inside.filter(({ place }) => place === 'stash').map(({ message }) => message);
  }

  get depths(): readonly number[] {
    return [0, 1, 2, 3, 4, 5].map((rank) => this.queue.filter((message) => message.rank === rank).length);
  }

  /** By key, then by call. */
  sorted(messages: readonly ModelMessage[]): readonly ModelMessage[] {
    const { agingMs } = this.settings;
    const key = (message: ModelMessage): number =>
      agingMs === 0 ? message.rank : message.sentAtMs + message.rank * agingMs;
    return [...messages].sort((a, b) => key(a) - key(b) || a.seq - b.seq);
  }

  /** Whether a new message of this rank would find room. */
  hasRoom(rank: Rank, isSelfSend: boolean): boolean {
    return this.freeSlot(rank, isSelfSend) !== undefined;
  }

  offer(id: number, rank: Rank, nowMs: number, isSelfSend: boolean): 'accepted' | 'full' {
    const message = { id, rank, seq: ++this.calls, sentAtMs: nowMs };
    this.last = message;
    const slot = this.freeSlot(rank, isSelfSend);
    if (slot !== undefined) {
      this.accepted++;
      this.inside.push({ message, place: 'queue', slot });
      return 'accepted';
    }
    const { overflow } = this.settings;
    if (overflow === 'backpressure' || overflow === 'reject') return 'full';
    this.accepted++;
    const victim = this.victim(message);
    this.changes.dropped.push(victim === undefined ? id : victim.message.id);
    if (victim !== undefined) {
      this.inside = this.inside.filter((each) => each !== victim);
      this.inside.push({ message, place: 'queue', slot: victim.slot });
    }
    return 'accepted';
  }

  /** The message last refused begins to wait. */
  wait(): boolean {
    if (this.last === undefined || this.waiters.length >= this.settings.waitersMax) return false;
    this.waiters.push(this.last);
    return true;
  }

  leave(id: number): boolean {
    const before = this.waiters.length;
    this.waiters = this.waiters.filter((waiter) => waiter.id !== id);
    return this.waiters.length < before;
  }

  next(): ModelMessage | undefined {
    const first = this.queue[0];
    if (first !== undefined) this.free(first.id);
    return first;
  }

  putBack(message: ModelMessage): void {
    this.comeBack(message, 'queue');
  }

  putAside(message: ModelMessage): boolean {
    if (this.stash.length >= this.settings.stashMax || this.stash.length >= this.settings.capacity) {
      return false;
    }
    this.comeBack(message, 'stash');
    return true;
  }

  /** Stashes a message that never had a slot: it needs one, as a self-send does. */
  putAsideNew(id: number, rank: Rank, nowMs: number): boolean {
    const { stashMax, capacity } = this.settings;
    const slot = this.freeSlot(rank, true);
    if (this.stash.length >= Math.min(stashMax, capacity) || slot === undefined) return false;
    const message = { id, rank, seq: ++this.calls, sentAtMs: nowMs };
    this.accepted++;
    this.inside.push({ message, place: 'stash', slot });
    return true;
  }

  unstash(): number {
    const stashed = this.inside.filter(({ place }) => place === 'stash');
    for (const each of stashed) each.place = 'queue';
    return stashed.length;
  }

  cancel(id: number): boolean {
    if (!this.inside.some(({ message }) => message.id === id)) return false;
    this.free(id);
    return true;
  }

  clear(): void {
    this.inside = [];
    this.waiters = [];
  }

  private last: ModelMessage | undefined = undefined;

  private count(holds: (each: Inside) => boolean): number {
    return this.inside.filter(holds).length;
  }

  /**
   * Room for a newcomer. Behind a full capacity there is room only if the bound of P48 would not be broken by the
   * turn's message, which may always come back.
   */
  private freeSlot(rank: Rank, isSelfSend: boolean): Slot | undefined {
    const { capacity, criticalReserve, selfReserve } = this.settings;
    const self = this.count(({ slot }) => slot === 'self');
    const critical = this.count(({ slot, message }) => slot === 'common' && message.rank === 0);
    const others = this.inside.length - self - critical;
    if (critical + others < capacity) return 'common';
    if (this.inside.length >= capacity + criticalReserve + selfReserve) return undefined;
    if (rank === 0 && critical + Math.min(others, capacity) < capacity + criticalReserve) return 'common';
    const hasOwn = isSelfSend && self < selfReserve && others + self < capacity + selfReserve;
    return hasOwn ? 'self' : undefined;
  }

  private comeBack(message: ModelMessage, place: 'queue' | 'stash'): void {
    this.inside.push({ message, place, slot: 'common' });
  }

  /** A message leaves; whoever finds room now, best key first, waits no longer. */
  private free(id: number): void {
    this.inside = this.inside.filter(({ message }) => message.id !== id);
    for (;;) {
      const best = this.sorted(this.waiters).find((waiter) => this.hasRoom(waiter.rank, false));
      if (best === undefined) return;
      this.waiters = this.waiters.filter((waiter) => waiter !== best);
      const slot = this.freeSlot(best.rank, false);
      if (slot === undefined) return;
      this.accepted++;
      this.changes.admitted.push(best.id);
      this.inside.push({ message: best, place: 'queue', slot });
    }
  }

  private victim(newcomer: ModelMessage): Inside | undefined {
    const isCriticalSafe =
      this.count(({ slot }) => slot === 'common') > this.settings.capacity && newcomer.rank !== 0;
    const candidates = this.queue.filter(({ rank }) => !(isCriticalSafe && rank === 0));
    const chosen =
      this.settings.overflow === 'drop-oldest'
        ? [...candidates].sort((a, b) => a.seq - b.seq)[0]
        : this.settings.overflow === 'drop-lowest'
          ? this.sorted([...candidates, newcomer]).at(-1)
          : newcomer;
    return this.inside.find(({ message }) => message === chosen);
  }
}
