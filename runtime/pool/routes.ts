/**
 * Who gets a job: one rule for each routing that gives a job to one worker on its arrival. A rule knows workers only by
 * their place and their load; it holds no job.
 */

import type { Envelope } from '../../src/protocol/envelope.ts';
import { invalidOption } from '../../src/protocol/options.ts';
import type { PoolSettings } from '../../src/protocol/pool.ts';
import { ignoreEnd } from '../actor/promise-in.ts';
import { HashRing } from './hash-ring.ts';

/** A worker, as the rules see it. */
export interface Member {
  /** Its number in the pool; a worker that takes over from another takes its number too. */
  readonly place: number;
  /** It would take a job: it runs, and is neither between two lives nor suspended. */
  readonly isAvailable: boolean;
  /** Jobs that it has or that wait for it alone. */
  readonly load: number;
}

/** A rule. */
export interface Route {
  /** Workers joined or left: jobs that wait may belong to others now. */
  readonly followsMembers: boolean;
  /** The worker for a job: one of `able`, or of all `members` where only one of them is right. Neither is empty. */
  choose(job: Envelope, members: readonly Member[], able?: readonly Member[]): Member;
  /** The worker that the job's key leaves no choice but; undefined where there is a choice. */
  boundTo(job: Envelope, members: readonly Member[]): Member | undefined;
  /** A job waits no longer: it was taken by `choose`'s worker, or taken back. */
  unqueued(job: Envelope): void;
  /** A worker has taken a job in hand; `finished` follows when it is done with it, or gives it back. */
  started(job: Envelope): void;
  finished(job: Envelope): void;
}

/** Above this number of workers, two are compared and not all of them. */
const COMPARED_MAX = 8;

/** A rule that remembers nothing of a job. */
abstract class Forgetful implements Route {
  readonly followsMembers: boolean = false;
  abstract choose(job: Envelope, members: readonly Member[], able?: readonly Member[]): Member;
  boundTo(_job: Envelope, _members: readonly Member[]): Member | undefined {
    return undefined;
  }
  unqueued(_job: Envelope): void {}
  started(_job: Envelope): void {}
  finished(_job: Envelope): void {}
}

/** One after the other; those that are not available are passed over while others are. */
export class RoundRobin extends Forgetful {
  private next = 0;

  override choose(_job: Envelope, members: readonly Member[], able = members): Member {
    const chosen = availableFrom(members, this.next % members.length, able);
    this.next = members.indexOf(chosen) + 1;
    return chosen;
  }
}

/** Any of them. */
export class AtRandom extends Forgetful {
  private readonly random: () => number;

  constructor(random: () => number) {
    super();
    this.random = random;
  }

  override choose(_job: Envelope, members: readonly Member[], able = members): Member {
    return availableFrom(able, Math.floor(this.random() * able.length), able);
  }
}

/** The one with the least in hand and waiting; above eight workers the better of two taken at random. */
export class LeastLoaded extends Forgetful {
  private readonly random: () => number;

  constructor(random: () => number) {
    super();
    this.random = random;
  }

  override choose(_job: Envelope, members: readonly Member[], able = members): Member {
    if (able.length <= COMPARED_MAX) return able.reduce(lighter);
    const first = Math.floor(this.random() * able.length);
    const step = 1 + Math.floor(this.random() * (able.length - 1));
    return lighter(at(able, first), at(able, (first + step) % able.length));
  }
}

/** The one that a key belongs to, available or not. */
export class ByHash extends Forgetful {
  override readonly followsMembers = true;
  private readonly keyOf: (job: Envelope) => string;
  private ring = new HashRing();
  private members: readonly Member[] = [];

  constructor(keyOf: (job: Envelope) => string) {
    super();
    this.keyOf = keyOf;
  }

  override choose(job: Envelope, members: readonly Member[]): Member {
    if (members !== this.members) {
      this.members = members;
      this.ring = new HashRing();
      for (const { place } of members) this.ring.add(place);
    }
    const place = this.ring.nodeOf(this.keyOf(job));
    return members.find((member) => member.place === place) ?? at(members, 0);
  }

  override boundTo(job: Envelope, members: readonly Member[]): Member {
    return this.choose(job, members);
  }
}

/** The jobs of one key that are under way. */
interface Thread {
  member: Member;
  queued: number;
  /** In a worker's hand. */
  held: number;
}

/** The one that has the key's other jobs; for a new key the lightest. */
export class ByStickyKey implements Route {
  readonly followsMembers = false;
  private readonly keyOf: (job: Envelope) => string;
  private readonly fresh: Route;
  private readonly threads = new Map<string, Thread>();

  constructor(keyOf: (job: Envelope) => string, random: () => number) {
    this.keyOf = keyOf;
    this.fresh = new LeastLoaded(random);
  }

  /** Keys with work under way. */
  get size(): number {
    return this.threads.size;
  }

  choose(job: Envelope, members: readonly Member[], able = members): Member {
    const key = this.keyOf(job);
    const thread = this.threads.get(key);
    if (thread === undefined) {
      const member = this.fresh.choose(job, members, able);
      this.threads.set(key, { member, queued: 1, held: 0 });
      return member;
    }
    thread.queued++;
    if (!isKept(thread, members)) thread.member = this.fresh.choose(job, members, able);
    return thread.member;
  }

  boundTo(job: Envelope, members: readonly Member[]): Member | undefined {
    const thread = this.threads.get(this.keyOf(job));
    return thread !== undefined && isKept(thread, members) ? thread.member : undefined;
  }

  unqueued(job: Envelope): void {
    this.change(job, (thread) => thread.queued--);
  }

  started(job: Envelope): void {
    this.change(job, (thread) => thread.held++);
  }

  finished(job: Envelope): void {
    this.change(job, (thread) => thread.held--);
  }

  private change(job: Envelope, change: (thread: Thread) => void): void {
    const key = this.keyOf(job);
    const thread = this.threads.get(key);
    if (thread === undefined) return;
    change(thread);
    if (thread.queued + thread.held === 0) this.threads.delete(key);
  }
}

/** A worker that leaves may still be at one of the key's jobs: the others wait until it is done. */
function isKept(thread: Thread, members: readonly Member[]): boolean {
  return thread.held > 0 || members.includes(thread.member);
}

/** The rule of a routing that gives a job to one worker on its arrival; undefined for the others. */
export function routeOf(settings: PoolSettings, random: () => number): Route | undefined {
  const keyOf = (job: Envelope): string => keyOfJob(settings, job);
  switch (settings.routing) {
    case 'round-robin':
      return new RoundRobin();
    case 'random':
      return new AtRandom(random);
    case 'least-loaded':
      return new LeastLoaded(random);
    case 'consistent-hash':
      return new ByHash(keyOf);
    case 'sticky':
      return new ByStickyKey(keyOf, random);
    case 'work-pulling':
    case 'broadcast':
    case 'scatter-gather-first':
      return undefined;
  }
}

/** The key of a job: the user's function, whose answer is kept with the job. Throws `ERR_OPTION_INVALID`. */
export function keyOfJob(settings: PoolSettings, job: Envelope): string {
  const kept = KEYS.get(job);
  if (kept !== undefined) return kept;
  const key = settings.key?.(job.entry.name, job.payload);
  if (typeof key !== 'string') {
    ignoreEnd(key);
    throw invalidOption('pool.key', `a function that answers a string for '${job.entry.name}'`, key);
  }
  KEYS.set(job, key);
  return key;
}

/** Keys of the jobs under way: a key function is asked once, and may answer something else the next time. */
const KEYS = new WeakMap<Envelope, string>();

/** The first able one that is available, from `place` on, round the end; the first able one when none is. */
function availableFrom(members: readonly Member[], place: number, able: readonly Member[]): Member {
  let first: Member | undefined;
  for (let step = 0; step < members.length; step++) {
    const member = at(members, (place + step) % members.length);
    if (able !== members && !able.includes(member)) continue;
    if (member.isAvailable) return member;
    first ??= member;
  }
  return first ?? at(members, place);
}

function lighter(a: Member, b: Member): Member {
  if (a.isAvailable !== b.isAvailable) return a.isAvailable ? a : b;
  return b.load < a.load ? b : a;
}

function at(members: readonly Member[], place: number): Member {
  const member = members[place];
  if (member === undefined) throw new Error(`a pool of ${members.length} workers has no place ${place}`);
  return member;
}
