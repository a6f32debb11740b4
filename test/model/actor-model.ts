/**
 * The plain model of one actor: lists, sorted by hand, and a clock. It is slow and obviously right; the actor must do the
 * same. Time is whole milliseconds. When two things fall due in the same millisecond the model does not say which is first:
 * it is `isTied` from then on, and says nothing any more.
 */

export type JobAct = 'work' | 'crash' | 'hang' | 'stash' | 'unstash';

/** What a message asks its turn to do. */
export interface Job {
  readonly id: number;
  readonly act: JobAct;
  readonly turnMs: number;
}

/** One call of `tell`, `send` or `ask`. */
export interface Call extends Job {
  readonly verb: 'tell' | 'send' | 'ask';
  readonly rank: number;
  /** Of a send or an ask: how long it waits. Of a tell: its time to live. */
  readonly waitMs: number;
}

export interface ActorSettings {
  readonly capacity: number;
  readonly criticalReserve: number;
  readonly waitersMax: number;
  readonly stashMax: number;
  readonly attemptsMax: number;
  readonly turnTimeoutMs: number;
  readonly shutdownMs: number;
  readonly backoff: { readonly minMs: number; readonly maxMs: number };
  readonly retryBackoff: { readonly minMs: number; readonly maxMs: number };
}

const KILL_GRACE_MS = 1_000;

interface Message {
  readonly call: Call;
  readonly seq: number;
  /** No turn begins after it. */
  readonly deadline: number;
  /** Its sender waits no longer. */
  readonly givesUpAt: number;
  attempt: number;
  wasStashed: boolean;
}

interface ModelTurn {
  readonly message: Message;
  readonly endsAt: number;
  readonly timesOutAt: number;
}

type Status = 'running' | 'restarting' | 'stopping' | 'stopped';

export class ActorModel {
  now = 0;
  isTied = false;
  status: Status = 'running';
  generation = 0;
  suspensions = 0;
  readonly counts = { accepted: 0, handled: 0, failed: 0, cancelled: 0, deadLettered: 0 };
  /** Turns that began, by message. */
  readonly started: number[] = [];
  /** Dead letters as `id reason`. */
  readonly dead: string[] = [];
  /** How each send and ask ended; those that have not are absent. */
  readonly ended = new Map<number, string>();
  /** Sends and asks that have not settled. */
  readonly open = new Map<number, Message>();
  queue: Message[] = [];
  waiters: Message[] = [];
  stash: Message[] = [];
  turn: ModelTurn | undefined = undefined;
  private readonly settings: ActorSettings;
  private calls = 0;
  private withoutProgress = 0;
  private restartsAt = Infinity;
  private abortsAt = Infinity;
  private disownsAt = Infinity;

  constructor(settings: ActorSettings) {
    this.settings = settings;
  }

  /** What the call answers at once: a verdict for `tell`. Turns begin only with `run`. */
  call(call: Call): string {
    const { verb } = call;
    if (this.status === 'stopping' || this.status === 'stopped') {
      this.dead.push(`${call.id} stopped`);
      if (verb !== 'tell') this.ended.set(call.id, 'ERR_ACTOR_STOPPED');
      return 'stopped';
    }
    const deadline = verb === 'send' ? Infinity : this.now + call.waitMs;
    const givesUpAt = this.now + call.waitMs;
    const message: Message = { call, seq: ++this.calls, deadline, givesUpAt, attempt: 1, wasStashed: false };
    if (verb !== 'tell') this.open.set(call.id, message);
    if (!this.hasRoom(call.rank)) this.dropExpired();
    if (this.hasRoom(call.rank)) {
      this.accept(message);
      return 'accepted';
    }
    if (verb === 'tell') return 'full';
    if (this.waiters.length >= this.settings.waitersMax) this.settle(message, 'ERR_MAILBOX_WAITERS_FULL');
    else this.waiters.push(message);
    return 'full';
  }

  /** The caller's signal aborts. */
  abort(id: number): void {
    const message = this.open.get(id);
    if (message !== undefined) this.withdraw(message, 'aborted');
    this.run();
  }

  /** Turns until there is nothing to do now. */
  run(): void {
    while (this.status === 'running' && this.suspensions === 0 && this.turn === undefined) {
      const message = inOrder(this.queue)[0];
      if (message === undefined) return;
      this.queue = without(this.queue, message);
      this.admitWaiters();
      if (this.now > message.deadline) this.bury(message, 'expired', 'ERR_MESSAGE_DROPPED');
      else this.begin(message);
    }
  }

  advance(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      const next = this.nextEvents();
      const [first, second] = next;
      if (first === undefined || first.at > end) break;
      if (second?.at === first.at) {
        this.isTied = true;
        return;
      }
      this.now = first.at;
      first.happen();
      this.run();
    }
    this.now = end;
  }

  /** Milliseconds until something happens; `Infinity` for nothing. */
  get nextIn(): number {
    const [first] = this.nextEvents();
    return first === undefined ? Infinity : first.at - this.now;
  }

  suspend(): void {
    this.suspensions++;
  }

  resume(): void {
    if (this.suspensions > 0) this.suspensions--;
    this.run();
  }

  stop(): void {
    if (this.status === 'stopping' || this.status === 'stopped') return;
    this.status = 'stopping';
    this.restartsAt = Infinity;
    for (const message of inOrder(this.queue)) this.bury(message, 'stopped', 'ERR_ACTOR_STOPPED');
    for (const message of this.stash) this.bury(message, 'stash-cleared', 'ERR_ACTOR_STOPPED');
    for (const message of this.waiters) this.settle(message, 'ERR_ACTOR_STOPPED');
    this.queue = [];
    this.stash = [];
    this.waiters = [];
    if (this.turn === undefined) {
      this.status = 'stopped';
      return;
    }
    this.abortsAt = this.now + this.settings.shutdownMs;
  }

  private nextEvents(): { at: number; happen: () => void }[] {
    const events: { at: number; happen: () => void }[] = [];
    const { turn } = this;
    if (turn !== undefined) {
      events.push({ at: turn.endsAt, happen: () => this.turnEnds(turn) });
      events.push({ at: turn.timesOutAt, happen: () => this.turnFails(turn) });
      events.push({ at: this.abortsAt, happen: () => this.abortForStop(turn) });
      events.push({ at: this.disownsAt, happen: () => this.cancelTurn(turn, 'ERR_ACTOR_STOPPED') });
    }
    for (const message of this.open.values()) {
      if (message.call.verb === 'ask') {
        events.push({ at: message.deadline, happen: () => this.withdraw(message, 'ERR_ASK_TIMEOUT') });
      } else if (this.waiters.includes(message)) {
        events.push({ at: message.givesUpAt, happen: () => this.withdraw(message, 'ERR_SEND_TIMEOUT') });
      }
    }
    events.push({ at: this.restartsAt, happen: () => this.restart() });
    return events.filter(({ at }) => at !== Infinity).sort((a, b) => a.at - b.at);
  }

  private hasRoom(rank: number): boolean {
    const { capacity, criticalReserve } = this.settings;
    return this.queue.length + this.stash.length < (rank === 0 ? capacity + criticalReserve : capacity);
  }

  /** Who finds no room moves out those whose time is over, as far as they are first of their rank. */
  private dropExpired(): void {
    for (let rank = 0; rank <= 5; rank++) {
      for (;;) {
        const head = inOrder(this.queue).find((message) => message.call.rank === rank);
        if (head === undefined || this.now <= head.deadline) break;
        this.queue = without(this.queue, head);
        this.admitWaiters();
        this.bury(head, 'expired', 'ERR_MESSAGE_DROPPED');
      }
    }
  }

  private accept(message: Message): void {
    this.counts.accepted++;
    this.queue.push(message);
    if (message.call.verb === 'send') this.settle(message, 'resolved');
  }

  /** Room that has become free goes to those who wait, best first. */
  private admitWaiters(): void {
    for (const waiter of inOrder(this.waiters)) {
      if (!this.hasRoom(waiter.call.rank)) continue;
      this.waiters = without(this.waiters, waiter);
      this.accept(waiter);
    }
  }

  private begin(message: Message): void {
    const { id, act, turnMs } = message.call;
    this.started.push(id);
    if (act === 'stash' && !message.wasStashed) {
      if (this.stash.length >= Math.min(this.settings.stashMax, this.settings.capacity)) {
        this.fail(message);
        return;
      }
      message.wasStashed = true;
      this.stash.push(message); // room or not; no outcome, no progress
      return;
    }
    if (act === 'unstash') this.unstash();
    if (act !== 'hang' && turnMs === 0) {
      if (act === 'crash') this.fail(message);
      else this.handled(message);
      return;
    }
    this.turn = {
      message,
      endsAt: act === 'hang' ? Infinity : this.now + turnMs,
      timesOutAt: this.now + this.settings.turnTimeoutMs,
    };
  }

  private turnEnds(turn: ModelTurn): void {
    this.endTurn();
    if (turn.message.call.act === 'crash') this.fail(turn.message);
    else this.handled(turn.message);
  }

  private turnFails(turn: ModelTurn): void {
    this.endTurn();
    this.fail(turn.message);
  }

  private abortForStop(turn: ModelTurn): void {
    this.abortsAt = Infinity;
    if (turn.message.call.act === 'hang') this.disownsAt = this.now + KILL_GRACE_MS;
    else this.cancelTurn(turn, 'ERR_ACTOR_STOPPED');
  }

  private cancelTurn(turn: ModelTurn, code: string): void {
    this.endTurn();
    this.counts.cancelled++;
    this.settle(turn.message, code);
  }

  private endTurn(): void {
    this.turn = undefined;
    this.abortsAt = Infinity;
    this.disownsAt = Infinity;
    if (this.status === 'stopping') this.status = 'stopped';
  }

  private handled(message: Message): void {
    this.counts.handled++;
    this.withoutProgress = 0;
    this.settle(message, 'resolved');
  }

  private fail(message: Message): void {
    const { attemptsMax, backoff, retryBackoff } = this.settings;
    const isRunning = this.status === 'running';
    const isRetried = isRunning && message.attempt < attemptsMax;
    const failedAttempt = message.attempt;
    if (isRetried) {
      message.attempt++;
      this.queue.push(message); // room or not
    } else if (attemptsMax > 1 && message.attempt >= attemptsMax) {
      this.withoutProgress = 0;
      this.bury(message, 'attempts-exhausted', 'ERR_ACTOR_FAILED');
    } else {
      this.counts.failed++;
      this.dead.push(`${message.call.id} handler-failed`);
      this.settle(message, 'ERR_ACTOR_FAILED');
    }
    if (!isRunning) return;
    this.withoutProgress++;
    const [bounds, n] = isRetried ? [retryBackoff, failedAttempt - 1] : [backoff, this.withoutProgress - 1];
    this.status = 'restarting';
    this.restartsAt = this.now + Math.min(bounds.maxMs, bounds.minMs * 2 ** n);
    this.generation++;
    this.unstash();
  }

  private restart(): void {
    this.restartsAt = Infinity;
    this.status = 'running';
  }

  private unstash(): void {
    this.queue.push(...this.stash);
    this.stash = [];
  }

  /** A send or an ask is given up: what it had sent is taken back. */
  private withdraw(message: Message, how: string): void {
    this.settle(message, how);
    if (this.waiters.includes(message)) {
      this.waiters = without(this.waiters, message);
    } else if (this.queue.includes(message) || this.stash.includes(message)) {
      this.queue = without(this.queue, message);
      this.stash = without(this.stash, message);
      this.counts.cancelled++;
      this.admitWaiters();
    } else if (this.turn?.message === message && message.call.act !== 'hang') {
      this.endTurn();
      this.counts.cancelled++;
    }
  }

  private bury(message: Message, reason: string, code: string): void {
    this.counts.deadLettered++;
    this.dead.push(`${message.call.id} ${reason}`);
    this.settle(message, code);
  }

  private settle(message: Message, how: string): void {
    if (this.open.delete(message.call.id)) this.ended.set(message.call.id, how);
  }
}

function without(list: Message[], message: Message): Message[] {
  return list.filter((each) => each !== message);
}

function inOrder(list: readonly Message[]): Message[] {
  return [...list].sort((a, b) => a.call.rank - b.call.rank || a.seq - b.seq);
}
