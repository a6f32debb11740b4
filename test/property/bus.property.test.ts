/**
 * Goal: whatever is published, subscribed, ended and pulled, each copy has one end, bounds are kept, and receipts are true.
 * Method: random plays on a virtual clock, their books compared with what handlers and dead letters saw.
 */

import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { BusMessage, HandledReceipt } from '../../src/protocol/bus.ts';
import { PRIORITIES, type Priority } from '../../src/protocol/priority.ts';
import { type Settling, settles } from '../support/handlers.ts';
import { RUNS } from '../support/runs.ts';
import { busBench } from '../support/test-bus.ts';

const TOPICS = ['a', 'b.x', 'b.y'] as const;
const PATTERNS = ['a', 'b.*', '#'] as const;

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      type: fc.constant('publish' as const),
      topic: fc.constantFrom(...TOPICS),
      priority: fc.constantFrom(...PRIORITIES),
      ttlMs: fc.option(fc.integer({ min: 0, max: 30 }), { nil: undefined }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('subscribe' as const),
      pattern: fc.constantFrom(...PATTERNS),
      capacity: fc.integer({ min: 1, max: 4 }),
      concurrency: fc.integer({ min: 1, max: 3 }),
      overflow: fc.constantFrom(
        'backpressure',
        'reject',
        'drop-newest',
        'drop-oldest',
        'drop-lowest',
        'latest',
      ),
      group: fc.constantFrom(undefined, 'g'),
      fails: fc.boolean(),
      isRetried: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('unsubscribe' as const), which: fc.nat(9) }) },
  {
    weight: 3,
    arbitrary: fc.record({ type: fc.constant('advance' as const), ms: fc.integer({ min: 0, max: 25 }) }),
  },
);

it(
  'gives each copy one end, counts it once, and keeps every bound',
  async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 60 }), async (steps) => {
        const { connect, advance, clock } = busBench();
        const bus = await connect({ capacity: 3, backpressure: { threshold: 0.5, delayMs: 5 } });
        const receipts: { readonly ttlAt: number; readonly settling: Settling<HandledReceipt> }[] = [];
        const subscriptions: { unsubscribe(): Promise<void>; readonly limit: number }[] = [];
        const ends = new Map<string, number>();
        const late: string[] = [];
        const dueAt = new Map<number, number>();
        let published = 0;
        const subscribe = async (
          said: Extract<(typeof steps)[number], { type: 'subscribe' }>,
        ): Promise<void> => {
          const { pattern, capacity, concurrency, fails, isRetried } = said;
          // Members of a group share one policy.
          const group = said.group === undefined ? undefined : `${said.group}-${pattern.replace(/\W/g, 'x')}`;
          const overflow = group === undefined ? (said.overflow as 'reject') : undefined;
          let running = 0;
          const subscription = await bus.subscribe<number>(
            pattern,
            async ({ id, payload, signal }) => {
              running++;
              if (running > concurrency) late.push(`${running} at once of ${concurrency}`);
              if (clock.now() > (dueAt.get(payload) ?? Infinity)) late.push(`${payload} is late`);
              await new Promise<void>((resolve) => {
                clock.setTimer(7, resolve);
                signal.addEventListener('abort', () => resolve());
              });
              running--;
              if (fails) throw new Error('broken');
              ends.set(id, (ends.get(id) ?? 0) + 1);
            },
            {
              ...(group === undefined ? { capacity } : {}),
              concurrency,
              overflow,
              group,
              ...(isRetried ? { retry: { attemptsMax: 2, backoff: { minMs: 3, maxMs: 3, jitter: 0 } } } : {}),
            },
          );
          subscriptions.push({ unsubscribe: () => subscription.unsubscribe(), limit: concurrency });
        };
        for (const each of steps) {
          switch (each.type) {
            case 'publish': {
              const { topic, priority, ttlMs } = each;
              const payload = ++published;
              const at = ttlMs === undefined ? Infinity : clock.now() + ttlMs;
              dueAt.set(payload, at);
              const promise = bus.publish(topic, payload, { priority, ttlMs, confirm: 'handled' });
              receipts.push({ ttlAt: at, settling: settles(promise) });
              break;
            }
            case 'subscribe':
              await subscribe(each);
              break;
            case 'unsubscribe':
              settles(
                subscriptions[each.which % Math.max(1, subscriptions.length)]?.unsubscribe() ??
                  Promise.resolve(),
              );
              break;
            case 'advance':
              await advance(each.ms);
              break;
          }
          // The reserves for critical messages and for oneself are beside the capacity.
          for (const { queued, capacity } of bus.queueSizes())
            expect(queued).toBeLessThanOrEqual(capacity + 32);
        }
        await advance(5_000);
        let handledAll = 0;
        for (const { settling } of receipts) {
          expect(settling.hasSettled).toBe(true);
          const { id, delivered, handled, failed } = await settling.promise;
          expect(handled + failed).toBe(delivered);
          expect(handled).toBe(ends.get(id) ?? 0);
          handledAll += handled;
        }
        expect(late).toEqual([]);
        expect(handledAll).toBe([...ends.values()].reduce((sum, count) => sum + count, 0));
        expect(bus.pending('#')).toEqual([]);
        expect(bus.queueSizes().every(({ queued, waiting }) => queued + waiting === 0)).toBe(true);
        const { braked, brakedMs } = (await bus.stats()).backpressure;
        expect(brakedMs).toBe(braked * 5);
        const closed = bus.close({ drainMs: 0 });
        await advance(1_000);
        await closed;
      }),
      { numRuns: RUNS },
    );
  },
  30_000 + RUNS * 300,
);

const pull = fc.oneof(
  fc.record({ type: fc.constant('publish' as const), priority: fc.constantFrom(...PRIORITIES) }),
  fc.record({ type: fc.constant('next' as const), priority: fc.constant<Priority>('normal') }),
);

it(
  'gives who pulls no more than he demands, in order, and ends once',
  async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(pull, { minLength: 1, maxLength: 40 }),
        fc.integer({ min: 1, max: 4 }),
        async (steps, window) => {
          const { connect, settle } = busBench();
          const bus = await connect();
          const iterator = bus.messages<number>('t', { window })[Symbol.asyncIterator]();
          const demanded: Settling<IteratorResult<BusMessage<number>>>[] = [];
          const published: Settling<unknown>[] = [];
          let demands = 0;
          for (const { type, priority } of steps) {
            if (type === 'next') {
              demands++;
              demanded.push(settles(iterator.next()));
            } else {
              published.push(settles(bus.publish('t', published.length, { priority })));
            }
            await settle();
            const given = demanded.filter(({ hasSettled }) => hasSettled).length;
            expect(given).toBe(Math.min(demands, published.length));
            const accepted = published.filter(({ hasSettled }) => hasSettled).length;
            // Those settled by a later demand have left the window; the one in hand has not.
            const isInHand = given > 0 && demands === given;
            const left = isInHand ? given - 1 : given;
            expect(accepted).toBe(Math.min(published.length, left + window));
          }
          const ended = iterator.return?.();
          await settle();
          expect((await ended)?.done).toBe(true);
          const results = await Promise.all(demanded.map(({ promise }) => promise));
          const given = results.filter(({ done }) => done !== true);
          expect(new Set(given.map(({ value }) => value?.payload)).size).toBe(given.length);
          // Once over, always over.
          const isOver = results.map(({ done }) => done === true);
          expect(isOver.lastIndexOf(false)).toBeLessThan(
            isOver.includes(true) ? isOver.indexOf(true) : isOver.length,
          );
          expect(await iterator.next()).toEqual({ done: true, value: undefined });
          await settle();
          expect(published.every(({ hasSettled }) => hasSettled)).toBe(true);
          expect(bus.queueSizes()).toEqual([]);
          await bus.close();
        },
      ),
      { numRuns: RUNS },
    );
  },
  30_000 + RUNS * 300,
);
