// Goal: the rules of Reactive Streams (reactive-streams.org, 1.0.4) for messages that are pulled: never more than demanded
// (1.1), signals one at a time (1.3), one end and nothing after it (1.7), ending is final and idempotent (3.12); the window
// bounds what is unsettled, publishers wait exactly while it is full, and the most urgent of the window comes first (P96).
// Method: random publications, calls of next and ends, against a window kept by hand.

import fc from 'fast-check';
import type { PulledMessage } from 'troupe';
import { describe, expect, it } from 'vitest';
import { PRIORITIES, type Priority, rankOf } from '../../src/protocol/priority.ts';
import { orders } from '../support/checked-host.ts';
import { settles } from '../support/handlers.ts';
import { RUNS, RUNS_TIMEOUT_MS } from '../support/runs.ts';
import { runTestSystem } from '../support/test-system.ts';

type Step =
  | { readonly kind: 'publish'; readonly priorities: readonly Priority[] }
  | { readonly kind: 'next'; readonly calls: number }
  | { readonly kind: 'reject' }
  | { readonly kind: 'return' | 'throw' | 'abort' };

const END = ['return', 'throw', 'abort'] as const;

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('publish' as const),
      priorities: fc.array(fc.constantFrom(...PRIORITIES), { minLength: 1, maxLength: 4 }),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({ kind: fc.constant('next' as const), calls: fc.constantFrom(1, 1, 1, 2, 4) }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'reject' as const }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom(...END) }) },
);

interface Sent {
  readonly n: number;
  readonly rank: number;
  readonly published: { readonly hasSettled: boolean };
}

/** The window as it should be. */
class Model {
  readonly size: number;
  readonly queue: Sent[] = [];
  readonly waiting: Sent[] = [];
  inHand: Sent | undefined;
  asking = 0;
  /** What each call of `next` is answered with, in order: a number, or the end. */
  readonly answers: (number | 'done')[] = [];
  isOver = false;
  isRejected = false;
  readonly ended = { handled: 0, rejected: 0, failed: 0, cancelled: 0 };

  constructor(size: number) {
    this.size = size;
  }

  /** Lets in whoever waits and has room, then answers whoever asks and may. */
  run(): void {
    for (;;) {
      const room = this.size - this.queue.length - (this.inHand === undefined ? 0 : 1);
      const best = sorted(this.waiting)[0];
      if (room > 0 && best !== undefined) {
        this.waiting.splice(0, 1);
        this.queue.push(best);
      } else if (this.asking > 0 && this.inHand === undefined && this.queue.length > 0) {
        this.inHand = sorted(this.queue).shift();
        this.answers.push(this.inHand?.n ?? 'done');
        this.asking--;
        if (this.asking > 0) this.settle('handled');
      } else return;
    }
  }

  next(): void {
    this.settle('handled');
    if (this.isOver) this.answers.push('done');
    else this.asking++;
    this.run();
  }

  settle(as: 'handled' | 'failed'): void {
    if (this.inHand === undefined) return;
    this.ended[this.isRejected && as === 'handled' ? 'rejected' : as]++;
    this.isRejected = false;
    this.inHand = undefined;
  }

  end(): void {
    this.isOver = true;
    for (; this.asking > 0; this.asking--) this.answers.push('done');
    this.ended.cancelled += this.queue.splice(0).length;
    this.waiting.splice(0);
  }
}

function sorted(list: Sent[]): Sent[] {
  return list.sort((a, b) => a.rank - b.rank || a.n - b.n);
}

describe('messages that are pulled', () => {
  it(
    'P96 P102 keep the rules of Reactive Streams, and the window',
    async () => {
      const seen = { answers: 0, waited: 0, ends: 0, rejected: 0 };
      await fc.assert(
        fc.asyncProperty(
          fc.array(step, { maxLength: 40, size: 'max' }),
          fc.integer({ min: 1, max: 4 }),
          orders,
          (steps, window, order) =>
            runTestSystem({ order }, async ({ system, settle }) => {
              const model = new Model(window);
              const control = new AbortController();
              const iterator = system
                .messages('news', { window, signal: control.signal })
                [Symbol.asyncIterator]();
              const answers: (number | 'done')[] = [];
              const sent: Sent[] = [];
              let last: PulledMessage<unknown> | undefined;
              let calls = 0;
              const next = (): void => {
                const call = calls++;
                void iterator.next().then(({ done, value }) => {
                  // One at a time, in the order of the calls.
                  expect(answers.length).toBe(call);
                  last = done === true ? undefined : value;
                  answers.push(done === true ? 'done' : Number(value.message));
                });
              };
              for (const each of steps) {
                switch (each.kind) {
                  case 'publish':
                    for (const priority of each.priorities) {
                      const n = sent.length;
                      const published = settles(system.publish('news', n, { priority }));
                      const message = { n, rank: rankOf(priority), published };
                      sent.push(message);
                      if (!model.isOver) model.waiting.push(message);
                      // Each has its place from its call on: nobody gets in before the one before it could.
                      const room = model.size - model.queue.length - (model.inHand === undefined ? 0 : 1);
                      if (room > 0 && !model.isOver) {
                        model.waiting.pop();
                        model.queue.push(message);
                      }
                    }
                    model.run();
                    break;
                  case 'next':
                    for (let i = 0; i < each.calls; i++) {
                      next();
                      model.next();
                    }
                    break;
                  case 'reject':
                    if (last !== undefined && model.inHand !== undefined) {
                      last.reject('no');
                      model.isRejected = true;
                    }
                    break;
                  case 'return':
                    model.settle('handled');
                    model.end();
                    await iterator.return?.();
                    break;
                  case 'throw':
                    model.settle('failed');
                    model.end();
                    await expect(iterator.throw?.(new Error('mine'))).rejects.toThrow('mine');
                    break;
                  case 'abort':
                    model.end();
                    control.abort();
                }
                await settle();
                expect(answers).toEqual(model.answers);
                const waiting = sent.filter(({ published }) => !published.hasSettled).map(({ n }) => n);
                expect(waiting).toEqual(model.waiting.map(({ n }) => n).sort((a, b) => a - b));
                const [consumer] =
                  system.tree().children.find(({ name }) => name === 'system')?.children ?? [];
                const ref = consumer && system.ref({ name: 'any', messages: {} } as never, consumer.address);
                const counts = ref && system.inspect(ref)?.counts;
                if (counts !== undefined && !model.isOver) {
                  const unsettled = counts.accepted - counts.handled - counts.failed - counts.deadLettered;
                  expect(unsettled).toBe(model.queue.length + (model.inHand === undefined ? 0 : 1));
                  expect(unsettled).toBeLessThanOrEqual(window);
                }
                seen.waited += waiting.length;
              }
              model.settle('handled');
              if (!model.isOver) model.end();
              seen.ends += model.answers.filter((answer) => answer === 'done').length;
              await iterator.return?.();
              await settle();
              const { byReason } = system.deadLetters.stats();
              expect([byReason.rejected ?? 0, byReason['handler-failed'] ?? 0]).toEqual([
                model.ended.rejected,
                model.ended.failed,
              ]);
              expect(system.tree().children.find(({ name }) => name === 'system')?.children).toEqual([]);
              seen.answers += answers.length;
              seen.rejected += model.ended.rejected;
            }),
        ),
        { numRuns: RUNS },
      );
      // Generators that never fill a window, or end none, would prove nothing.
      expect(seen.answers).toBeGreaterThan(RUNS);
      expect(seen.waited).toBeGreaterThan(RUNS);
      expect(seen.ends).toBeGreaterThan(RUNS / 2);
      expect(seen.rejected).toBeGreaterThan(RUNS / 50);
    },
    RUNS_TIMEOUT_MS,
  );
});
