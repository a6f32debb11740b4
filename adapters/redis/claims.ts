/**
 * The shards that a node claims: it asks for those that it does not have, says when it has one, and when it may have lost it. Whoever owns a shard is
 * decided at the server, by `shard-scripts.ts`; how long a grant surely holds by `tenure.ts`.
 *
 * A node asks while it claims what it has not got, and at no other time. All that it owns is lost at once: when its signs of life have not reached the server for too
 * long, and when it finds that others have taken it for dead.
 */

import type { NodeIdentity } from '../../src/protocol/broker.ts';
import { type BrokerSettings, checkShard } from '../../src/protocol/broker-options.ts';
import type { Host, TimerHandle } from '../../src/protocol/clock.ts';
import { settledWithin } from '../../src/protocol/deadline.ts';
import type { TroupeError } from '../../src/protocol/errors.ts';
import { SHARD_CLAIM_AGAIN_MS } from '../../src/protocol/limits.ts';
import { invalidOption } from '../../src/protocol/options.ts';
import type { Shard, ShardClaim, Sharding, ShardOwner } from '../../src/protocol/sharding.ts';
import { listIn, Refusal, textIn } from './client.ts';
import { type Keys, shardField } from './keys.ts';
import { checkPresent, fenceOf, type Session } from './link.ts';
import { ACQUIRE, GIVE_BACK } from './shard-scripts.ts';
import type { Lease } from './stream.ts';
import { Tenure } from './tenure.ts';

/** What claims need of their broker. */
export interface ClaimsPorts {
  readonly host: Host;
  readonly settings: Pick<BrokerSettings, 'publishTimeoutMs' | 'downAfterMs'>;
  readonly node: NodeIdentity;
  readonly keys: Keys;
  readonly keptMs: number;
  /** The present session, if it is up. */
  readonly session: () => Session | undefined;
  /** The session is of no use any more. */
  readonly drop: (session: Session, cause: Error) => void;
  /** Ends, in order, what is read of a shard: resolves when nothing of it is under way. It never rejects. */
  readonly stop: (field: string) => Promise<void>;
  /** Ends what is read of a shard that is another's, perhaps. */
  readonly lost: (field: string) => void;
  /** What was read of a shard before the session began is read on. */
  readonly kept: (field: string) => void;
  /** An owner has thrown. */
  readonly threw: (error: unknown) => void;
  readonly unavailable: (problem: string) => TroupeError;
}

/** Shards that are asked for by one command: with those that have to be made, some milliseconds of the server. */
const SHARDS_PER_ASK = 32;

class Claim {
  readonly shard: Shard;
  readonly field: string;
  readonly owner: ShardOwner;
  /** Of the present grant; '' without one. */
  epoch = '';
  /** Set once it is to end. */
  releasing: Promise<void> | undefined = undefined;
  readonly exists: Promise<void>;
  settle: (error?: Error) => void = () => undefined;

  constructor(shard: Shard, owner: ShardOwner) {
    this.shard = shard;
    this.field = shardField(shard);
    this.owner = owner;
    this.exists = new Promise((resolve, reject) => {
      this.settle = (error) => (error === undefined ? resolve() : reject(error));
    });
  }
}

export class Claims implements Sharding {
  private readonly ports: ClaimsPorts;
  private readonly tenure: Tenure;
  private readonly claims = new Map<string, Claim>();
  /** Fields that may be this node's at the server and are not claimed any more, and who waits until that is over. */
  private readonly left = new Map<string, (() => void)[]>();
  private life = 0;
  /** Until when nothing may be granted to this node: see `entered`. */
  private grantsFromMs = Number.NEGATIVE_INFINITY;
  private isAsking = false;
  private isWanted = false;
  private isAskingAll = false;
  private timer: TimerHandle | undefined = undefined;
  private isClosed = false;

  constructor(ports: ClaimsPorts) {
    this.ports = ports;
    this.tenure = new Tenure(ports.host.clock, ports.settings.downAfterMs, () => this.loseAll());
  }

  async claim(shard: Shard, owner: ShardOwner): Promise<ShardClaim> {
    const { host, settings, unavailable } = this.ports;
    const { publishTimeoutMs } = settings;
    const claim = new Claim(checkShard(shard), owner);
    const { field } = claim;
    if (this.isClosed) throw unavailable(CLOSED);
    if (this.claims.has(field))
      throw invalidOption('shard', 'one that this node does not claim already', field);
    this.claims.set(field, claim);
    this.ask();
    try {
      await settledWithin(host.clock, publishTimeoutMs, claim.exists, () => {
        throw unavailable(`it did not answer within ${publishTimeoutMs} ms`);
      });
    } catch (error) {
      this.claims.delete(field);
      // It may be granted all the same.
      if (!this.isClosed) void this.giveBack(field); // it never rejects
      throw error;
    }
    return { release: () => this.release(claim) };
  }

  /** The right to a shard, if it is this node's now. */
  leaseOf(shard: Shard): Lease | undefined {
    this.check();
    const claim = this.claims.get(shardField(shard));
    if (claim === undefined || claim.epoch === '' || claim.releasing !== undefined) return undefined;
    const { name, incarnation } = this.ports.node;
    return { field: claim.field, value: `${claim.epoch} ${name} ${incarnation} ${this.life}` };
  }

  /** The fields of all that this node has. */
  get owned(): readonly string[] {
    return [...this.claims.values()].filter(({ epoch }) => epoch !== '').map(({ field }) => field);
  }

  /** Finds out whether this process stood still for too long: before anything is read or given out. */
  check(): void {
    if (this.tenure.isOver && this.owned.length > 0) this.loseAll();
  }

  /**
   * A session was entered. In a new life nothing is left of what was owned. Where the server had forgotten this node it may have forgotten who owns what, and
   * other owners find out within `downAfterMs`.
   */
  entered(life: number, sentMs: number, isForgotten: boolean): void {
    const { host, settings } = this.ports;
    if (life !== this.life || this.tenure.isOver) this.loseAll();
    if (isForgotten) this.grantsFromMs = host.clock.now() + settings.downAfterMs;
    this.life = life;
    this.tenure.signed(sentMs);
  }

  /** A sign of life has reached the server. */
  signed(sentMs: number): void {
    this.check();
    this.tenure.signed(sentMs);
  }

  /** The session is up: what was owned is confirmed, and all else asked for. */
  begin(): void {
    this.isAskingAll = true;
    this.ask();
  }

  /** Asks for what is missing, now. */
  ask(): void {
    this.stopTimer();
    this.isWanted = true;
    if (!this.isAsking) void this.work(); // it never rejects
  }

  /** There is no session. */
  pause(): void {
    this.stopTimer();
  }

  /** Gives all up, without a word to anybody: the server has it by the end of this life. */
  close(): void {
    this.isClosed = true;
    this.stopTimer();
    this.tenure.rest();
    for (const claim of this.claims.values()) claim.settle(this.ports.unavailable(CLOSED));
    this.claims.clear();
    for (const told of this.left.values()) for (const each of told) each();
    this.left.clear();
  }

  private release(claim: Claim): Promise<void> {
    claim.releasing ??= this.end(claim);
    return claim.releasing;
  }

  private async end(claim: Claim): Promise<void> {
    const { field } = claim;
    await this.ports.stop(field);
    await this.giveBack(field);
    claim.epoch = '';
    if (this.claims.get(field) === claim) this.claims.delete(field);
    this.rest();
  }

  /** Resolves when the server knows, or could not be told in time: then it is told with the next session. */
  private giveBack(field: string): Promise<void> {
    const { host, settings } = this.ports;
    if (this.isClosed) return Promise.resolve();
    const told = new Promise<void>((resolve) => {
      const waiting = this.left.get(field);
      if (waiting === undefined) this.left.set(field, [resolve]);
      else waiting.push(resolve);
    });
    this.ask();
    return settledWithin(host.clock, settings.publishTimeoutMs, told, () => undefined);
  }

  // --- asking -----------------------------------------------------------------------------------------------------

  private async work(): Promise<void> {
    const { session, drop } = this.ports;
    this.isAsking = true;
    while (this.isWanted && !this.isClosed) {
      const present = session();
      if (present === undefined) break; // the next one begins with it
      this.isWanted = false;
      try {
        await this.tellLeft(present);
        await this.askIn(present);
      } catch (error) {
        if (error instanceof Refusal && error.isOverload) break;
        drop(present, error as Error);
      }
    }
    this.isAsking = false;
    this.askAgain();
  }

  private async tellLeft(session: Session): Promise<void> {
    const { keys, node, settings } = this.ports;
    const told = [...this.left];
    for (let from = 0; from < told.length; from += SHARDS_PER_ASK) {
      const page = told.slice(from, from + SHARDS_PER_ASK);
      const parameters = [...fenceOf(node, session), ...page.map(([field]) => field)];
      const names = [keys.nodes, keys.shards];
      checkPresent(await session.writer.run(settings.publishTimeoutMs, GIVE_BACK, names, parameters));
      for (const [field, waiting] of page) {
        if (this.left.get(field) === waiting) this.left.delete(field);
        for (const each of waiting) each();
      }
    }
  }

  private async askIn(session: Session): Promise<void> {
    const isEach = this.isAskingAll;
    this.isAskingAll = false;
    const asked = [...this.claims.values()].filter(
      ({ epoch, releasing }) => releasing === undefined && (isEach || epoch === ''),
    );
    for (let from = 0; from < asked.length; from += SHARDS_PER_ASK)
      await this.askFor(session, asked.slice(from, from + SHARDS_PER_ASK));
  }

  private async askFor(session: Session, page: readonly Claim[]): Promise<void> {
    const { keys, node, settings, host, keptMs } = this.ports;
    const names = [keys.nodes, keys.shards, ...page.flatMap(({ field }) => keys.shardsOf(field))];
    const parameters = [
      ...fenceOf(node, session),
      keptMs,
      host.clock.now() >= this.grantsFromMs ? '1' : '0',
      ...page.flatMap(({ shard, epoch }) => [shard.group, shard.shard, shard.shards, epoch || '0']),
    ];
    const reply = checkPresent(
      await session.writer.run(settings.publishTimeoutMs, ACQUIRE, names, parameters),
    );
    // The answer may have come long after the grant.
    if (this.tenure.isOver) throw new Error('it saw no sign of its own life in time');
    const answers = listIn(reply).map(textIn);
    for (const [n, claim] of page.entries()) this.answered(claim, answers[n] ?? '-');
  }

  private answered(claim: Claim, answer: string): void {
    const { kept, threw } = this.ports;
    const { field, owner, shard } = claim;
    // It was released meanwhile, and the server hears of that after it has answered this.
    if (this.claims.get(field) !== claim || claim.releasing !== undefined) return;
    if (answer.startsWith('of ')) {
      const expected = `${answer.slice(3)}, as the group has for others`;
      claim.settle(invalidOption('shards', expected, shard.shards));
      return;
    }
    const epoch = answer === '-' ? '' : answer;
    const isKept = epoch !== '' && epoch === claim.epoch;
    if (!isKept && claim.epoch !== '') this.lose(claim);
    if (isKept) kept(field);
    else if (epoch !== '') {
      claim.epoch = epoch;
      this.tenure.watch();
      try {
        owner.granted(Number(epoch));
      } catch (error) {
        threw(error);
      }
    }
    claim.settle();
  }

  private askAgain(): void {
    const { host, session } = this.ports;
    this.stopTimer();
    const isMissing = [...this.claims.values()].some(
      ({ epoch, releasing }) => epoch === '' && releasing === undefined,
    );
    if (this.isClosed || session() === undefined || !(isMissing || this.left.size > 0)) return;
    const pauseMs = SHARD_CLAIM_AGAIN_MS * (1 + host.random());
    this.timer = host.clock.setTimer(pauseMs, () => this.ask());
  }

  private stopTimer(): void {
    if (this.timer !== undefined) this.ports.host.clock.clearTimer(this.timer);
    this.timer = undefined;
  }

  // --- losing -----------------------------------------------------------------------------------------------------

  private loseAll(): void {
    const { session, drop } = this.ports;
    const owned = [...this.claims.values()].filter(({ epoch }) => epoch !== '');
    for (const claim of owned) this.lose(claim);
    const present = session();
    // What was given out in this session belongs to nobody: only another session has it again.
    if (owned.length > 0 && present !== undefined && !this.isClosed)
      drop(present, new Error('it saw no sign of its own life in time'));
  }

  private lose(claim: Claim): void {
    const { lost, threw } = this.ports;
    claim.epoch = '';
    this.rest();
    lost(claim.field);
    if (claim.releasing !== undefined) return;
    try {
      claim.owner.lost();
    } catch (error) {
      threw(error);
    }
  }

  private rest(): void {
    if (this.owned.length === 0) this.tenure.rest();
  }
}

const CLOSED = 'it was closed';
