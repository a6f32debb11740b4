// Goal: whoever claims, dies, releases, publishes late or in vain, a shard has one owner at a time, with epochs that increase; and when
// nothing more goes wrong, somebody who claims it owns it.
// Method: a queue as RabbitMQ keeps it, with a single active consumer, and claimants of which each publishes through a connection that
// loses, delays and doubts as it likes.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type HeldToken,
  ShardToken,
  type Token,
  type TokenStep,
} from '../../adapters/rabbitmq/shard-token.ts';
import { RUNS, RUNS_TIMEOUT_MS } from '../support/runs.ts';

const CLAIMANTS = 4;
/** As the adapter has it. */
const PREFETCH = 4;
/** Steps after which a queue that is left alone must have come to rest. */
const STEPS_MAX = 1_000;

interface Claimant {
  readonly token: ShardToken;
  /** Given out and not settled, by tag, in order. */
  readonly unsettled: Map<number, Token>;
  /** Tags that it has settled, and of which the server has not heard. */
  readonly settling: number[];
  owns: number | undefined;
}

/** The queue of a token, and who consumes from it. */
class TokenQueue {
  readonly granted: number[] = [];
  /** Published and not yet arrived: by whom does not matter. */
  readonly onTheWay: Token[] = [];
  readonly claimants: (Claimant | undefined)[] = Array.from({ length: CLAIMANTS }, () => undefined);
  private ready: Token[] = [];
  /** In the order in which they came: the first is the active one. */
  private readonly consumers: Claimant[] = [];
  private ids = 0;
  private tags = 0;
  private clock = 1_000;

  claim(place: number): void {
    if (this.claimants[place] !== undefined) return;
    const claimant: Claimant = {
      token: new ShardToken(() => `t${++this.ids}`),
      unsettled: new Map(),
      settling: [],
      owns: undefined,
    };
    this.claimants[place] = claimant;
    this.consumers.push(claimant);
    this.clock += 10;
    this.onTheWay.push({ epoch: this.clock, id: `first${++this.ids}` });
  }

  /** It dies, or gives back what it holds: to the queue both are the same. What it has published arrives nevertheless. */
  end(place: number): void {
    const claimant = this.claimants[place];
    if (claimant === undefined) return;
    this.claimants[place] = undefined;
    this.consumers.splice(this.consumers.indexOf(claimant), 1);
    this.ready = [...claimant.unsettled.values(), ...this.ready];
  }

  /** RabbitMQ gives the next token to the active consumer. False if there is nothing to give. */
  deliver(): boolean {
    const [active] = this.consumers;
    const [next] = this.ready;
    if (active === undefined || next === undefined || active.unsettled.size >= PREFETCH) return false;
    this.ready.shift();
    const tag = ++this.tags;
    active.unsettled.set(tag, next);
    this.follow(active, active.token.received({ ...next, tag }));
    return true;
  }

  /** They come by different connections, in any order. */
  arrive(at: number): boolean {
    const [token] = this.onTheWay.splice(at % Math.max(1, this.onTheWay.length), 1);
    if (token !== undefined) this.ready.push(token);
    return token !== undefined;
  }

  /** What was published last is lost, or its answer is: its publisher does not know which. */
  fail(isLost: boolean): void {
    const token = isLost ? this.onTheWay.pop() : this.onTheWay.at(-1);
    if (token === undefined) return;
    // A first token is published until it was taken.
    if (token.id.startsWith('first')) this.onTheWay.push({ ...token, id: `first${++this.ids}` });
    for (const consumer of this.consumers) this.follow(consumer, consumer.token.again(token.id));
  }

  /** The server hears of what was settled. What it has not heard of comes again. */
  settle(place: number): boolean {
    const claimant = this.claimants[place];
    const tags = claimant?.settling.splice(0) ?? [];
    for (const tag of tags) claimant?.unsettled.delete(tag);
    return tags.length > 0;
  }

  renew(place: number): void {
    const copy = this.claimants[place]?.token.renew();
    if (copy !== undefined) this.onTheWay.push(copy);
  }

  get owners(): Claimant[] {
    return this.consumers.filter(({ owns }) => owns !== undefined);
  }

  get held(): readonly HeldToken[] {
    return this.consumers.flatMap(({ token: { held } }) => (held === undefined ? [] : [held]));
  }

  private follow(claimant: Claimant, { drop, raise, granted }: TokenStep): void {
    for (const { tag } of drop) {
      expect(claimant.unsettled.has(tag) && !claimant.settling.includes(tag)).toBe(true);
      claimant.settling.push(tag);
    }
    if (raise !== undefined) this.onTheWay.push(raise);
    if (granted === undefined) return;
    expect(claimant.owns).toBeUndefined();
    claimant.owns = granted;
    this.granted.push(granted);
  }
}

const place = fc.nat(CLAIMANTS - 1);
const step = fc.oneof(
  { weight: 2, arbitrary: fc.record({ type: fc.constant('claim' as const), place }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('end' as const), place }) },
  { weight: 3, arbitrary: fc.record({ type: fc.constant('settle' as const), place }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('renew' as const), place }) },
  { weight: 6, arbitrary: fc.constant({ type: 'deliver' } as const) },
  { weight: 5, arbitrary: fc.record({ type: fc.constant('arrive' as const), at: fc.nat(10) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('fail' as const), isLost: fc.boolean() }) },
);

describe('the token of a shard', () => {
  it(
    'P112 makes one owner at a time, with epochs that increase, and always one in the end',
    () => {
      fc.assert(
        fc.property(fc.array(step, { size: 'max', maxLength: 100 }), (steps) => {
          const queue = new TokenQueue();
          for (const one of steps) {
            if (one.type === 'claim') queue.claim(one.place);
            else if (one.type === 'end') queue.end(one.place);
            else if (one.type === 'settle') queue.settle(one.place);
            else if (one.type === 'renew') queue.renew(one.place);
            else if (one.type === 'deliver') queue.deliver();
            else if (one.type === 'arrive') queue.arrive(one.at);
            else queue.fail(one.isLost);
            expect(queue.owners.length).toBeLessThanOrEqual(1);
          }
          queue.claim(0);
          let left = STEPS_MAX;
          const settles = (): boolean => queue.claimants.some((_, at) => queue.settle(at));
          while ((queue.arrive(0) || queue.deliver() || settles()) && left > 0) left--;
          expect(left).toBeGreaterThan(0);
          expect(queue.owners.length).toBe(1);
          expect(queue.granted).toEqual([...new Set(queue.granted)].toSorted((one, other) => one - other));
          // Nothing else is kept, so that nothing piles up; and the next owner gets a higher one.
          const [owner] = queue.owners;
          expect([...(owner?.unsettled.values() ?? [])]).toEqual([
            expect.objectContaining({ epoch: owner?.owns }),
          ]);
          expect(queue.held.length).toBe(1);
        }),
        { numRuns: RUNS },
      );
    },
    RUNS_TIMEOUT_MS,
  );
});
