/**
 * A member of a group. Kafka's group protocol says which slots are its own; it reads the whole bus, takes the frames that fit the
 * pattern and fall to its slots, and commits for each slot how far it is in every lane. Nobody else commits there as long as it
 * owns the slot, and a slot that moves is read from its last commit on.
 */

import type { ConsumeOptions, Consumption, Lane, NodeIdentity, PerLane } from '../../src/protocol/broker.ts';
import { pause, settledWithin } from '../../src/protocol/deadline.ts';
import { patternMatcher } from '../../src/protocol/pattern.ts';
import { assignSlots, readMember, readShare, type SlotShare, writeMember, writeShare } from './assignment.ts';
import { Committer } from './committer.ts';
import { LaneConsumption } from './consumption.ts';
import { type Commit, type InRecord, type KafkaClient, KafkaFailure, type Membership } from './driver.ts';
import { failureOf } from './kafkajs-failures.ts';
import { Lanes } from './lanes.ts';
import type { Link } from './link.ts';
import { type Names, slotOf } from './names.ts';
import { type Cursor, Reader } from './reader.ts';
import { perLane, readSlotNote, type SlotNote, topicOf, writeSlotNote } from './records.ts';
import { groupTopic } from './topics.ts';
import { Watermark } from './watermark.ts';

/** Largest part of a session between two signs of life, and most milliseconds: a rebalance waits for them. */
const BEATS_PER_SESSION = 6;
const BEAT_MS_MAX = 500;
/** Milliseconds between attempts to be a member without permission. */
const DENIED_PAUSE_MS = 1_000;
/** Milliseconds between looks at the commits of others while a group begins. */
const LOOK_MS = 50;
/** Most milliseconds between attempts to read on where others have stopped. */
const TAKE_OVER_PAUSE_MS_MAX = 1_000;
/** Deliveries of frames that were taken away that are counted on. */
const COUNTED_MAX = 10_000;
/** The group's topic has no records, so it has this offset only. */
const NO_OFFSET = 0;

interface Slot {
  readonly accounts: readonly Watermark[];
  /** Settled by an owner before. */
  readonly done: readonly Set<number>[];
  /** What lies before was, or may have been, given to somebody. */
  readonly oldBefore: readonly number[];
}

/** @internal */
export interface GroupSource {
  readonly group: string;
  readonly pattern: string;
}

/** @internal */
export class GroupMember {
  private readonly link: Link;
  private readonly names: Names;
  private readonly node: NodeIdentity;
  private readonly source: GroupSource;
  /** Its consumer group, and the topic of its slots. */
  private readonly name: string;
  private readonly fits: (topic: string) => boolean;
  private readonly lanes: Lanes;
  private readonly reader: Reader;
  private readonly committer: Committer;
  private readonly slots = new Map<number, Slot>();
  private readonly counts = new Map<string, number>();
  private readonly ending = new AbortController();
  private readonly begun: Promise<void>;
  private begin: () => void = () => undefined;
  private fail: (error: Error) => void = () => undefined;
  private membership: Membership | undefined;
  private slotCount = 0;
  /** Slots that others wait for. */
  private surplus: ReadonlySet<number> = new Set();
  private isHandingOver = false;
  private readonly sinceMs: number;
  /** Grows with each change of what is owned, so that what began before is known as late. */
  private generation = 0;

  constructor(link: Link, names: Names, rest: { readonly node: NodeIdentity; readonly source: GroupSource }) {
    this.link = link;
    this.names = names;
    this.node = rest.node;
    this.source = rest.source;
    this.name = names.group(rest.source.group, rest.source.pattern);
    this.sinceMs = link.host.clock.wallNow();
    this.fits = patternMatcher(rest.source.pattern);
    this.reader = new Reader(link);
    this.committer = new Committer(link.host, () => this.commit());
    this.begun = new Promise((resolve, reject) => {
      this.begin = resolve;
      this.fail = reject;
    });
    this.begun.catch(() => undefined); // whoever waits hears of it
    this.lanes = new Lanes(link.host, {
      moved: (settled) => {
        this.committer.moved(settled);
        this.reader.wake();
        this.giveUp();
      },
      thrown: (error) => link.degrade(`the receiver of frames threw: ${String(error)}`),
    });
  }

  /** Joins. Resolves when the group has begun, and nothing published from now on is lost to it. */
  async consume(options: ConsumeOptions, whenStopped: () => void): Promise<Consumption> {
    const { link, lanes, names } = this;
    const { connectTimeoutMs } = link.settings;
    try {
      await link.ready(connectTimeoutMs);
      await this.prepare();
      lanes.attach(options);
      void this.stayIn(); // it catches what goes wrong
      await this.waitForBegin();
    } catch (error) {
      await this.leave();
      throw link.errorOf(error);
    }
    return new LaneConsumption({
      link,
      names,
      node: this.node.name,
      lanes,
      halt: () => lanes.detach(),
      leave: async () => {
        whenStopped();
        await this.leave();
      },
    });
  }

  /** The connection for requests is gone. */
  lost(): void {
    this.lanes.recall();
    this.reader.drop();
  }

  /** Says that the group is not deserted, in as many words as that takes. */
  beat(): void {
    this.committer.moved(0);
  }

  private async prepare(): Promise<void> {
    const { link, name } = this;
    const { connectTimeoutMs, slots } = link.settings;
    await link.call(connectTimeoutMs, (client) => client.createTopic(groupTopic(name, slots)));
    // Whoever made it has said how many there are.
    const leaders = await link.call(connectTimeoutMs, (client) => client.leaders(name));
    this.slotCount = leaders.length;
  }

  /**
   * Until it has slots, and all slots have been begun. Where a member has died Kafka lets nobody in before its session is over; then it is
   * enough that the group has begun.
   */
  private async waitForBegin(): Promise<void> {
    const { link } = this;
    const halfMs = link.settings.connectTimeoutMs / 2;
    const isIn = await settledWithin(
      link.host.clock,
      halfMs,
      this.begun.then(() => true),
      () => false,
    );
    if (!isIn && !(await this.hasBegun())) await link.within(halfMs, this.begun);
  }

  private async hasBegun(): Promise<boolean> {
    const { link } = this;
    const all = Array.from({ length: this.slotCount }, (_, slot) => slot);
    const notes = await link.call(link.settings.publishTimeoutMs, (client) => this.notes(client, all));
    return notes.size === all.length;
  }

  /** Joins again whenever it is out, until it leaves. */
  private async stayIn(): Promise<void> {
    const { link } = this;
    const { signal } = this.ending;
    for (let attempt = 0; !signal.aborted && !link.isClosed; attempt++) {
      try {
        if (attempt > 0) await link.pauseBefore(attempt - 1);
        await link.ready(link.settings.connectTimeoutMs);
        const failure = await this.stayWhile(() => {
          attempt = 0;
        });
        if (failure?.kind === 'denied') throw failure;
      } catch (error) {
        if (failureOf(error).kind !== 'denied') continue;
        this.fail(link.errorOf(error));
        await pause(link.host.clock, DENIED_PAUSE_MS, signal);
      }
    }
  }

  /** One membership, from its beginning to its end. */
  private async stayWhile(whenIn: () => void): Promise<KafkaFailure | undefined> {
    const { link, name, ending } = this;
    const { downAfterMs, heartbeatMs } = link.settings;
    const beatMs = Math.min(heartbeatMs, BEAT_MS_MAX, downAfterMs / BEATS_PER_SESSION);
    let over: (failure: KafkaFailure | undefined) => void = () => undefined;
    const end = new Promise<KafkaFailure | undefined>((resolve) => {
      over = resolve;
    });
    const leave = (): void => over(undefined);
    ending.signal.addEventListener('abort', leave);
    const membership = await link.driver.join({
      group: name,
      topic: name,
      sessionTimeoutMs: Math.round(downAfterMs),
      heartbeatMs: Math.round(beatMs),
      describe: () => this.describe(),
      assign: (told) => {
        const members = told.map(({ id, text }) => readMember(id, text));
        const shares = assignSlots(this.slotCount, members);
        return new Map([...shares].map(([id, share]) => [id, writeShare(share)]));
      },
      assigned: (part) => {
        whenIn();
        void this.assign(readShare(part)); // it catches what goes wrong
      },
      rebalancing: () => {
        this.lanes.hold();
        return this.committer.flush();
      },
      lost: over,
    });
    this.membership = membership;
    if (ending.signal.aborted) leave();
    const failure = await end;
    ending.signal.removeEventListener('abort', leave);
    if (failure !== undefined) {
      this.membership = undefined;
      // What is being taken over now is not its own any more.
      this.generation++;
      this.drop([...this.slots.keys()]);
    }
    return failure;
  }

  /** Holds on, so that what it says stays true until it is assigned something. */
  private describe(): string {
    this.lanes.hold();
    const owned = [...this.slots.keys()];
    return writeMember({ sinceMs: this.sinceMs, owned, busy: owned.filter((slot) => this.isBusy(slot)) });
  }

  private isBusy(slot: number): boolean {
    return this.slots.get(slot)?.accounts.some((account) => this.lanes.holds(account)) === true;
  }

  /** Gives up slots that others wait for, when nothing of them is being worked on any more. */
  private giveUp(): void {
    if (this.surplus.size === 0 || this.isHandingOver) return;
    if (![...this.surplus].some((slot) => !this.isBusy(slot))) return;
    this.isHandingOver = true;
    this.membership?.rejoin();
  }

  private async assign({ slots: assigned, surplus }: SlotShare): Promise<void> {
    const generation = ++this.generation;
    this.isHandingOver = false;
    // What is under way was asked for other slots.
    this.reader.read([]);
    this.surplus = new Set(surplus);
    for (const slot of surplus)
      for (const account of this.slots.get(slot)?.accounts ?? []) {
        this.lanes.dropFresh(account);
        account.untake();
      }
    this.drop([...this.slots.keys()].filter((slot) => !assigned.includes(slot)));
    const gained = assigned.filter((slot) => !this.slots.has(slot));
    for (let attempt = 0; generation === this.generation && !this.ending.signal.aborted; attempt++) {
      try {
        await this.takeOver(gained, generation);
        return;
      } catch {
        // Without a connection there is nothing to read either.
        const ms = Math.min(TAKE_OVER_PAUSE_MS_MAX, LOOK_MS * 2 ** attempt);
        await pause(this.link.host.clock, ms, this.ending.signal);
      }
    }
  }

  private async takeOver(gained: readonly number[], generation: number): Promise<void> {
    const { link, names } = this;
    const { publishTimeoutMs } = link.settings;
    const client = await link.ready(publishTimeoutMs);
    const ask = <T>(request: (used: KafkaClient) => Promise<T>): Promise<T> =>
      link.call(publishTimeoutMs, request);
    const notes =
      gained.length === 0 ? new Map<number, Commit>() : await ask(() => this.notes(client, gained));
    const ends = await ask((used) => used.offsets(names.bus, 'end'));
    if (generation !== this.generation) return;
    // At a second attempt they are there, and have moved on.
    for (const slot of gained.filter((one) => !this.slots.has(one)))
      this.slots.set(slot, newSlot(readSlotNote(notes.get(slot)?.metadata), ends));
    this.lanes.resume();
    this.reader.read(this.slots.size === 0 ? [] : this.cursors());
    this.giveUp();
    this.committer.moved(0);
    await this.committer.flush();
    await this.waitForOthers(generation);
  }

  /** Until each slot has its first commit: then the group has begun, whoever owns what. */
  private async waitForOthers(generation: number): Promise<void> {
    const { link } = this;
    for (;;) {
      if (generation !== this.generation || this.ending.signal.aborted) return;
      if (await this.hasBegun()) break;
      await pause(link.host.clock, LOOK_MS, this.ending.signal);
      await this.committer.flush();
    }
    this.begin();
  }

  private notes(client: KafkaClient, slots: readonly number[]): Promise<ReadonlyMap<number, Commit>> {
    return client.committed(this.name, this.name, slots);
  }

  /** Slots are not its own any more. What was given of them comes to somebody else. */
  private drop(slots: readonly number[]): void {
    for (const slot of slots) {
      for (const account of this.slots.get(slot)?.accounts ?? [])
        for (const frame of this.lanes.forget(account)) {
          if (this.counts.size >= COUNTED_MAX) this.counts.clear();
          this.counts.set(`${frame.lane} ${frame.mark.offset}`, frame.deliveries);
        }
      this.slots.delete(slot);
    }
    if (slots.length > 0) this.reader.read(this.slots.size === 0 ? [] : this.cursors());
  }

  private async commit(): Promise<void> {
    const { membership, name } = this;
    if (membership === undefined) throw new KafkaFailure('fenced', 'it is no member now');
    const commits = [...this.slots].map(([partition, slot]) => ({
      partition,
      offset: NO_OFFSET,
      metadata: this.noteOf(slot),
    }));
    if (commits.length === 0) return;
    const { publishTimeoutMs } = this.link.settings;
    await this.link.within(publishTimeoutMs, membership.commit(name, commits));
  }

  private noteOf({ accounts, done }: Slot): string {
    const note: SlotNote = {
      pattern: this.source.pattern,
      atMs: this.link.host.clock.wallNow(),
      given: accounts.map(({ given }) => given),
      safe: accounts.map(({ safe }) => safe),
      ahead: accounts.map((account, lane) => [
        ...account.settledAhead,
        ...[...(done[lane] ?? [])].filter((offset) => offset >= account.safe),
      ]),
    };
    return writeSlotNote(note);
  }

  private async leave(): Promise<void> {
    if (this.ending.signal.aborted) return;
    this.lanes.detach();
    this.reader.stop();
    // While members are given slots anew no commit is taken: that is soon over.
    if (this.membership !== undefined) await this.committer.drain(this.link.settings.connectTimeoutMs / 2);
    this.ending.abort();
    this.generation++;
    this.committer.cancel();
    await this.membership?.leave();
    this.drop([...this.slots.keys()]);
    this.reader.stop();
  }

  private cursors(): Cursor[] {
    return [...perLane((lane) => this.cursorOf(lane))];
  }

  private cursorOf(lane: Lane): Cursor {
    const accounts = (): Watermark[] =>
      [...this.slots].flatMap(([place, slot]) =>
        this.surplus.has(place) ? [] : (slot.accounts[lane] ?? []),
      );
    return {
      topic: this.names.bus,
      partition: lane,
      position: () => Math.min(...accounts().map(({ next }) => next)),
      hasRoom: () => accounts().length > 0 && this.lanes.hasRoom(lane),
      take: (records, next) => {
        for (const record of records) this.take(lane, record);
        for (const account of accounts()) account.skipTo(next);
        this.committer.moved(0);
      },
      restart: (start, end) => {
        for (const account of accounts())
          account.restart(account.next > end ? start : Math.max(account.next, start));
      },
    };
  }

  private take(lane: Lane, record: InRecord): void {
    const { offset } = record;
    const place = slotOf(offset, this.slotCount);
    const slot = this.surplus.has(place) ? undefined : this.slots.get(place);
    const account = slot?.accounts[lane];
    if (slot === undefined || account === undefined || offset < account.next) return;
    const topic = topicOf(record);
    if (topic === undefined || !this.fits(topic) || slot.done[lane]?.delete(offset) === true) return;
    const counted = `${lane} ${offset}`;
    const deliveries = this.counts.get(counted) ?? 0;
    this.counts.delete(counted);
    this.lanes.offer({
      lane,
      bytes: record.value,
      topic,
      mark: account.take(offset),
      account,
      deliveries,
      isRedelivered: offset < (slot.oldBefore[lane] ?? 0),
    });
  }
}

/** A slot as its last owner left it; one that nobody had begins at the end of the bus. */
function newSlot(note: SlotNote | undefined, ends: readonly number[]): Slot {
  return {
    accounts: perLane((lane) => new Watermark(note?.safe[lane] ?? ends[lane] ?? 0)),
    done: perLane((lane) => new Set(note?.ahead[lane])),
    oldBefore: perLane((lane) => (note === undefined ? 0 : (ends[lane] ?? 0))),
  };
}

/** Frames of the bus that a group has not been given, by lane; those for others count until it has passed them. @internal */
export async function groupBacklog(link: Link, names: Names, source: GroupSource): Promise<PerLane> {
  const { publishTimeoutMs } = link.settings;
  const name = names.group(source.group, source.pattern);
  const ask = <T>(request: (client: KafkaClient) => Promise<T>): Promise<T> =>
    link.call(publishTimeoutMs, request);
  const slots = (await ask((client) => client.leaders(name))).map((_, slot) => slot);
  const notes = await ask((client) => client.committed(name, name, slots));
  const ends = await ask((client) => client.offsets(names.bus, 'end'));
  return perLane((lane) => {
    let waiting = 0;
    const rows = slots.map((slot) => readSlotNote(notes.get(slot)?.metadata)?.given[lane] ?? ends[lane] ?? 0);
    const end = ends[lane] ?? 0;
    for (let offset = Math.min(...rows, end); offset < end; offset++)
      if (offset >= (rows[slotOf(offset, slots.length)] ?? end)) waiting++;
    return waiting;
  });
}
