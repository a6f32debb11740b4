/**
 * Who lives and who owns what: a log of one partition, which all nodes of a prefix write and read. Every node tells there what it claims and how far it
 * came, and says something at each heartbeat. What that comes to is the same for all (`ledger.ts`); whoever was silent for its
 * session is accused by whoever notices, which counts unless it has said something meanwhile. No clocks are compared.
 *
 * This node is sure of what it owns until a part of its session before anybody could accuse it, counted from when it sent the last word that
 * came back to it. `docs/decisions/0016-members-and-shards-on-kafka.md` tells why.
 */

import type { Lane, NodeIdentity, PerLane } from '../../src/protocol/broker.ts';
import { checkAbout } from '../../src/protocol/broker-options.ts';
import type { TimerHandle } from '../../src/protocol/clock.ts';
import { settledWithin } from '../../src/protocol/deadline.ts';
import { incarnationOf, type MemberView } from '../../src/protocol/member-view.ts';
import type { MemberChange } from '../../src/protocol/membership.ts';
import type { Shard } from '../../src/protocol/sharding.ts';
import { Claims } from './claims.ts';
import { type InRecord, KafkaFailure, type TopicSpec } from './driver.ts';
import { Ledger, shown } from './ledger.ts';
import type { Link } from './link.ts';
import { type LogEntry, readEntry, type Word, writeEntry } from './log-entries.ts';
import type { Names } from './names.ts';
import { Reader } from './reader.ts';
import { perLane } from './records.ts';
import { Silence } from './silence.ts';
import { Teller } from './teller.ts';
import { membersTopic, SNAPSHOT_BYTES_MAX } from './topics.ts';

/** Words in a session, so that one that is late is nobody's death. */
const WORDS_PER_SESSION = 4;
/** Parts of a session: without a word of its own for the first a node does not trust its ears, and by the second it is sure for less. */
const DEAF_PART = 2;
const MARGIN_PART = 10;
/** Milliseconds by which each node waits longer than the one before it, up to a bound, since one accusation is enough. */
const PATIENCE_MS = 20;
const PATIENCE_MS_MAX = 500;
/** Milliseconds between accusations of one node. */
const ACCUSE_AGAIN_MS = 500;
/** Words after which the log is cut. */
const SNAPSHOT_AFTER_WORDS = 1_000;

/** @internal */
export class Coordination {
  readonly claims: Claims;
  private readonly link: Link;
  private readonly names: Names;
  private readonly node: NodeIdentity;
  private readonly view: MemberView;
  private readonly log: TopicSpec;
  private readonly sessionMs: number;
  private readonly ledger = new Ledger(0);
  private readonly reader: Reader;
  private readonly teller: Teller;
  private readonly silence: Silence;
  private readonly waiters = new Set<() => void>();
  private life = 1;
  private about = '';
  /** When it stops being sure, by the clock of this process. */
  private sureUntil = Number.NEGATIVE_INFINITY;
  private sureTimer: TimerHandle | undefined;
  private silenceTimer: TimerHandle | undefined;
  private isIn = false;
  private isLeaving = false;
  private isCutting = false;
  private mayCut = true;

  constructor(link: Link, names: Names, rest: { readonly node: NodeIdentity; readonly view: MemberView }) {
    const { downAfterMs, heartbeatMs } = link.settings;
    this.link = link;
    this.names = names;
    this.node = rest.node;
    this.view = rest.view;
    this.log = membersTopic(names);
    this.sessionMs = Math.ceil(downAfterMs);
    this.reader = new Reader(link);
    this.silence = new Silence(this.sessionMs / DEAF_PART);
    this.teller = new Teller({
      link,
      log: this.log,
      beatMs: Math.min(heartbeatMs, this.sessionMs / WORDS_PER_SESSION),
      compose: (count) => this.compose(count),
      isStale: (word) => word.life !== this.life,
      said: (word) => this.claims.said(word),
    });
    this.claims = new Claims({
      link,
      names,
      node: rest.node,
      ledger: this.ledger,
      teller: this.teller,
      life: () => incarnationOf(this.node.incarnation, this.life),
      isSure: () => link.host.clock.now() < this.sureUntil,
    });
  }

  /** Becomes a member. Resolves when the view is complete. */
  async begin(): Promise<void> {
    const { link, log } = this;
    const { connectTimeoutMs, openAttemptsMax } = link.settings;
    try {
      await link.call(connectTimeoutMs, (client) => client.createTopic(log));
      const [start = 0] = await link.call(connectTimeoutMs, (client) => client.offsets(log.name, 'start'));
      this.ledger.restart(start);
      this.read();
      this.teller.begin();
      this.watch(0);
      await this.until(openAttemptsMax * connectTimeoutMs, () => this.isIn);
    } catch (error) {
      // Others may have seen it come.
      await this.leave();
      throw link.errorOf(error);
    }
  }

  /** Says something of this node. */
  async describe(about: string): Promise<void> {
    this.about = checkAbout(about);
    await this.teller.sayInTime();
  }

  /** Whether a shard was ever claimed, as the log says now. */
  async isThere(shard: { readonly group: string; readonly shard: number }): Promise<boolean> {
    const { link, ledger, log } = this;
    const { publishTimeoutMs } = link.settings;
    if (ledger.shard(shard) !== undefined) return true;
    const [end = 0] = await link.call(publishTimeoutMs, (client) => client.offsets(log.name, 'end'));
    await this.until(publishTimeoutMs, () => ledger.at >= end - 1);
    return ledger.shard(shard) !== undefined;
  }

  /** How far the owners of a shard have given it out, by lane. */
  givenOf(shard: { readonly group: string; readonly shard: number }): readonly number[] | undefined {
    return this.ledger.shard(shard)?.given;
  }

  /** Frames of a shard that were given to nobody; undefined when it was never claimed. */
  async backlog(shard: Shard): Promise<PerLane | undefined> {
    const { link, ledger } = this;
    if (!(await this.isThere(shard))) return undefined;
    const ends = await link.call(link.settings.publishTimeoutMs, (client) =>
      client.offsets(this.names.shard(shard), 'end'),
    );
    const given = ledger.shard(shard)?.given ?? [];
    const ofLog = (lane: Lane): number => Math.max(0, (ends[lane] ?? 0) - (given[lane] ?? 0));
    return this.claims.held(shard)?.waiting(ends) ?? perLane(ofLog);
  }

  /** At each heartbeat of the connection. */
  async beat(): Promise<void> {
    await this.claims.trim();
  }

  /** The connection for requests is gone. */
  lost(): void {
    this.reader.drop();
    this.claims.lost();
  }

  /** It is back. */
  restore(): void {
    this.claims.resume();
  }

  /** Gives up what it claims, and says goodbye. Never rejects. */
  async leave(): Promise<void> {
    this.claims.end();
    this.isLeaving = true;
    if (this.link.client !== undefined) await this.teller.sayInTime().catch(() => undefined);
    this.stop();
  }

  stop(): void {
    const { clock } = this.link.host;
    this.isLeaving = true;
    this.claims.end();
    this.teller.stop();
    this.reader.stop();
    if (this.sureTimer !== undefined) clock.clearTimer(this.sureTimer);
    if (this.silenceTimer !== undefined) clock.clearTimer(this.silenceTimer);
    this.sureTimer = undefined;
    this.silenceTimer = undefined;
  }

  private compose(count: number): Word {
    const { node, life, about, ledger, isLeaving } = this;
    const member = ledger.members.get(this.ownLife());
    const { name, incarnation } = node;
    const isNew = member === undefined && !isLeaving;
    return {
      kind: 'word',
      node: incarnation,
      life,
      count,
      join: isNew ? { name, sessionMs: this.sessionMs, about } : undefined,
      about: member !== undefined && member.about !== about ? about : undefined,
      ...this.claims.compose(count),
      isLast: isLeaving,
    };
  }

  private ownLife(): string {
    return incarnationOf(this.node.incarnation, this.life);
  }

  private read(): void {
    this.reader.read([
      {
        topic: this.log.name,
        partition: 0,
        position: () => this.ledger.at + 1,
        hasRoom: () => true,
        take: (records, next) => this.take(records, next),
        restart: (start) => this.follow(this.ledger.restart(start)),
      },
    ]);
  }

  private take(records: readonly InRecord[], next: number): void {
    const changes: MemberChange[] = [];
    for (const { offset, value } of records) {
      const entry = readEntry(value);
      changes.push(...this.ledger.apply(offset, entry));
      if (entry?.kind === 'word') this.hear(offset, entry);
      if (entry?.kind === 'snapshot') this.cut(offset);
    }
    this.ledger.skipTo(next);
    this.follow(changes);
  }

  private hear(offset: number, word: Word): void {
    const { clock } = this.link.host;
    const life = incarnationOf(word.node, word.life);
    const now = clock.now();
    const isTaken = this.ledger.members.get(life)?.at === offset;
    if (isTaken) this.silence.heard(life, now);
    if (word.node !== this.node.incarnation) return;
    this.silence.heardItself(now);
    const sentAt = word.life === this.life ? this.teller.cameBack(word.count) : undefined;
    if (sentAt === undefined || !isTaken) return;
    this.claims.cameBack(word.count);
    this.sureUntil = Math.max(this.sureUntil, sentAt + this.sessionMs * (1 - 1 / MARGIN_PART));
    this.watchSelf();
  }

  /** The ledger has changed: first what is lost, then what is owned, and then who lives. */
  private follow(changes: readonly MemberChange[]): void {
    const { ledger, view } = this;
    const ended = new Map<string, 'down' | 'left'>();
    for (const { kind, member } of changes)
      if (kind === 'down' || kind === 'left') ended.set(member.incarnation, kind);
    for (const life of ended.keys()) this.silence.forget(life);
    if (ended.get(this.ownLife()) === 'down') this.beginAnew();
    this.isIn ||= ledger.members.has(this.ownLife());
    if (this.isIn) {
      this.claims.follow();
      view.update(
        [...ledger.members.values()].map(shown),
        ({ incarnation }) => ended.get(incarnation) ?? 'down',
      );
      this.snapshot();
    }
    for (const wake of this.waiters) wake();
  }

  /** Others took this node for dead, and so do we: it comes back as another one. */
  private beginAnew(): void {
    this.life++;
    this.sureUntil = Number.NEGATIVE_INFINITY;
    this.claims.forget();
    this.teller.mention();
  }

  private watchSelf(): void {
    const { clock } = this.link.host;
    if (this.sureTimer !== undefined || this.isLeaving) return;
    this.sureTimer = clock.setTimer(Math.max(0, this.sureUntil - clock.now()), () => {
      this.sureTimer = undefined;
      if (clock.now() >= this.sureUntil) this.claims.loseAll();
      else this.watchSelf();
    });
  }

  private watch(ms: number): void {
    const { clock } = this.link.host;
    this.silenceTimer = clock.setTimer(ms, () => {
      const rank = [...this.ledger.members.keys()].indexOf(this.ownLife());
      const patienceMs = Math.min(PATIENCE_MS_MAX, Math.max(0, rank) * PATIENCE_MS);
      const others = [...this.ledger.members.values()].filter(({ node }) => node !== this.node.incarnation);
      const { silent, againMs } = this.silence.silent(others, clock.now(), patienceMs);
      for (const { incarnation: life, at } of silent) this.append({ kind: 'down', life, at });
      this.watch(silent.length > 0 ? ACCUSE_AGAIN_MS : againMs);
    });
  }

  /** The oldest one sums up what was said, so that the log can be cut. */
  private snapshot(): void {
    const { ledger, link } = this;
    const isDue = ledger.wordsSince >= SNAPSHOT_AFTER_WORDS && !this.isCutting;
    if (!isDue || !this.isOldest() || this.isLeaving) return;
    const entry = ledger.snapshot();
    if (writeEntry(entry).value.byteLength > SNAPSHOT_BYTES_MAX) {
      ledger.wordsSince = 0;
      link.degrade('the log of members may not be cut, and grows: a snapshot of it would be too large');
      return;
    }
    this.isCutting = true;
    this.append(entry, () => {
      this.isCutting = false;
    });
  }

  /** One snapshot was read. If something was said before it was there it does not count, and there will be another one. */
  private cut(offset: number): void {
    const { link, log } = this;
    if (!this.isCutting) return;
    this.isCutting = false;
    if (this.ledger.snapshotAt !== offset || !this.mayCut || !this.isOldest()) return;
    link
      .call(link.settings.publishTimeoutMs, (client) => client.trim(log.name, new Map([[0, offset]])))
      .catch((error: unknown) => {
        if (!(error instanceof KafkaFailure) || error.kind !== 'denied') return;
        this.mayCut = false;
        link.degrade(`the log of members may not be cut, and grows: ${error.message}`);
      });
  }

  private isOldest(): boolean {
    const [oldest] = this.ledger.members.keys();
    return oldest === this.ownLife();
  }

  /** Writes an entry that somebody else will write as well if this one does not arrive. */
  private append(entry: Exclude<LogEntry, Word>, failed: () => void = () => undefined): void {
    const { link, log } = this;
    link
      .call(link.settings.publishTimeoutMs, (client) => client.produce(log.name, 0, [writeEntry(entry)]))
      .catch(failed);
  }

  private async until(ms: number, isTrue: () => boolean): Promise<void> {
    const { clock } = this.link.host;
    const endMs = clock.now() + ms;
    while (!isTrue()) {
      const restMs = endMs - clock.now();
      if (restMs <= 0 || this.isLeaving)
        throw this.link.unavailable(`the log of members could not be read within ${ms} ms`);
      let wake: () => void = () => undefined;
      const woken = new Promise<void>((resolve) => {
        wake = resolve;
      });
      this.waiters.add(wake);
      await settledWithin(clock, restMs, woken, () => undefined);
      this.waiters.delete(wake);
    }
  }
}
