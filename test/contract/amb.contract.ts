/**
 * Goal: a bus keeps what AMB (Agent Message Bus) promises, on every broker: each behaviour that AMB's own tests name, and each
 * case in which AMB, when it was run, did something else than it says. `docs/from-amb.md` has the table.
 * Method: one suite, run for each way to connect a bus. It awaits events and never sleeps; where time has to pass it asks the
 * harness, which has a clock of its own or lets real time pass. What a broker cannot do is skipped, visibly.
 */

import { afterEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import {
  type BusHandler,
  type BusMessage,
  type BusOptions,
  decodeCloudEvents,
  encodeCloudEvents,
  fromCloudEvent,
  fromCloudEventHttp,
  type MessageBus,
  type PublishReceipt,
  toCloudEvent,
  toCloudEventHttp,
} from '../../src/index.ts';
import { PRIORITIES, type Priority } from '../../src/protocol/priority.ts';
import type { MessageStore } from '../../src/protocol/store.ts';
import { settles } from '../support/handlers.ts';
import { hold } from '../support/hold.ts';
import { recordTraces } from '../support/traces.ts';

/** What a bus can keep; each that is false skips the tests that need it. */
export interface BusAbilities {
  /** What nobody handles is bounded: a publisher waits when a subscriber, in this process or another one, and all before it is full. */
  readonly boundsBacklog: boolean;
  /** A publish waits for room with each subscriber. On a broker it waits for the broker, which holds a backlog of its own. */
  readonly waitsForSubscribers: boolean;
  /** What waits is handed out by priority. */
  readonly ordersByPriority: boolean;
  /** The messages of one publisher and priority keep their order over all topics; else within each topic. */
  readonly ordersTopics: boolean;
  /**
   * `delivered`, `handled` and `failed` of a receipt count the subscriptions of all processes, and so a store hears when a message was
   * handled. A broker does not know who is subscribed: `confirm: 'handled'` is refused.
   */
  readonly countsReceipts: boolean;
}

/** What no bus on a broker can: it waits for its broker, which does not know who is subscribed. */
export const ON_A_BROKER: BusAbilities = {
  boundsBacklog: true,
  waitsForSubscribers: false,
  ordersByPriority: true,
  ordersTopics: false,
  countsReceipts: false,
};

/** The bound of a lane in the case about bounds, and what may be accepted there: that, a window, a queue and what is in hand. */
const SMALL = { maxLength: 100 } as const;
const ACCEPTED_MAX = 400;

/** Buses of one broker, and their time. One harness is made for each test. */
export interface BusHarness {
  /**
   * Connects one more bus, in a process of its own as far as the broker is concerned. The harness closes it. `maxLength` is for its
   * broker, if there is one.
   */
  readonly connect: (options?: BusOptions, bound?: { readonly maxLength: number }) => Promise<MessageBus>;
  /** Lets `ms` pass. With 0, and after it, all that was published before has arrived where it goes. */
  readonly advance: (ms: number) => Promise<void>;
  /** Closes what the test has connected. */
  readonly end: () => Promise<void>;
  readonly openStore: () => MessageStore | Promise<MessageStore>;
}

/** Longer than any delay of a test, in milliseconds: what has not happened after it does not happen. */
const LONG_MS = 2_000;

/** Keeps what it handles. */
class Collector {
  readonly messages: BusMessage[] = [];
  private waiting: { readonly count: number; readonly resolve: () => void }[] = [];

  get payloads(): unknown[] {
    return this.messages.map(({ payload }) => payload);
  }

  readonly handler: BusHandler = (message) => {
    this.messages.push(message);
    for (const { count, resolve } of this.waiting) if (this.messages.length >= count) resolve();
    this.waiting = this.waiting.filter(({ count }) => this.messages.length < count);
  };

  /** Resolves when it has had so many. */
  async until(count: number): Promise<readonly BusMessage[]> {
    if (this.messages.length < count)
      await new Promise<void>((resolve) => this.waiting.push({ count, resolve }));
    return this.messages;
  }
}

const fails: BusHandler = () => {
  throw new Error('broken');
};

/** Describes what every bus must do. `open` makes a harness, for one test each. */
export function ambContract(
  name: string,
  can: BusAbilities,
  open: () => BusHarness | Promise<BusHarness>,
): void {
  describe(name, () => {
    const harnesses: BusHarness[] = [];
    const begin = async (): Promise<BusHarness> => {
      const harness = await open();
      harnesses.push(harness);
      return harness;
    };
    afterEach(async () => {
      for (const harness of harnesses.splice(0)) await harness.end();
    });
    /** A handler that holds the first message it gets, and then is busy with it. */
    const busy = async (bus: MessageBus, topic: string, options?: Parameters<MessageBus['subscribe']>[2]) => {
      const started = new Collector();
      const held = hold(started.handler);
      const subscription = await bus.subscribe(topic, held.handler, options);
      await bus.publish(topic, 'in hand');
      await started.until(1);
      return { ...held, subscription, until: (count: number) => started.until(count) };
    };

    /** Publishes, and waits until it was handled: by its receipt, where there is one. */
    const handled = async (harness: BusHarness, bus: MessageBus, topic: string, payload: unknown) => {
      if (can.countsReceipts) return bus.publish(topic, payload, { confirm: 'handled' });
      const receipt = await bus.publish(topic, payload);
      await harness.advance(0);
      return receipt;
    };

    // --- what AMB's own tests name ----------------------------------------------------------------------------------

    describe('priorities', () => {
      it('critical goes before background', async () => {
        const { connect, advance } = await begin();
        const bus = await connect();
        const { payloads, release, until } = await busy(bus, 't');
        await bus.publish('t', 'background', { priority: 'background' });
        await bus.publish('t', 'critical', { priority: 'critical' });
        await advance(0);
        release();
        await until(3);
        expect(payloads).toEqual(['in hand', 'critical', 'background']);
      });

      it('all six are kept in their order, first in first out within each', async () => {
        const { connect, advance } = await begin();
        const bus = await connect();
        const { payloads, release, until } = await busy(bus, 't');
        for (const n of [1, 2, 3])
          for (const priority of PRIORITIES.toReversed()) await bus.publish('t', [priority, n], { priority });
        await advance(0);
        release();
        await until(19);
        const expected = PRIORITIES.flatMap((priority) => [1, 2, 3].map((n) => [priority, n]));
        expect(payloads.slice(1)).toEqual(expected);
      });

      it('pending messages are shown in that order', async () => {
        const { connect, advance } = await begin();
        const bus = await connect();
        const { release } = await busy(bus, 't');
        for (const priority of PRIORITIES.toReversed()) await bus.publish('t', priority, { priority });
        await advance(0);
        expect(bus.pending('t').map(({ payload }) => payload)).toEqual(PRIORITIES);
        expect(bus.pending('t', { limit: 2 })).toHaveLength(2);
        release();
      });

      const mixed = async (): Promise<readonly BusMessage[]> => {
        const bus = await (await begin()).connect();
        const seen = new Collector();
        await bus.subscribe('work.*', seen.handler);
        const sent = PRIORITIES.flatMap((priority) =>
          Array.from({ length: 50 }, (_, n) => ({ priority, n })),
        );
        await Promise.all(sent.map(({ priority, n }) => bus.publish(`work.w${n % 3}`, n, { priority })));
        return seen.until(sent.length);
      };

      it.skipIf(!can.ordersTopics)(
        'a mixed workload is handled whole, in order within each priority',
        async () => {
          const messages = await mixed();
          for (const priority of PRIORITIES) {
            const payloads = messages.filter((message) => message.priority === priority);
            expect(payloads.map(({ payload }) => payload)).toEqual(Array.from({ length: 50 }, (_, n) => n));
          }
        },
      );

      it('a mixed workload is handled whole, in order within each topic and priority', async () => {
        const messages = await mixed();
        for (const priority of PRIORITIES)
          for (const rest of [0, 1, 2]) {
            const payloads = messages
              .filter((message) => message.priority === priority && message.topic === `work.w${rest}`)
              .map(({ payload }) => payload);
            const all = Array.from({ length: 50 }, (_, n) => n);
            expect(payloads).toEqual(all.filter((n) => n % 3 === rest));
          }
      });
    });

    describe('backpressure', () => {
      it.skipIf(!can.waitsForSubscribers)(
        'brakes publishers above the threshold under high load, and counts it',
        async () => {
          const { connect, advance } = await begin();
          const bus = await connect({ capacity: 10, backpressure: { threshold: 0.8, delayMs: 10 } });
          const { release } = await busy(bus, 't');
          const publishes = Array.from({ length: 10 }, (_, n) => settles(bus.publish('t', n)));
          await publishes[7]?.promise;
          await advance(0);
          expect(publishes.filter(({ hasSettled }) => hasSettled)).toHaveLength(8);
          await advance(10);
          await Promise.all(publishes.map(({ promise }) => promise));
          expect((await bus.stats()).backpressure).toMatchObject({ braked: 2, brakedMs: 20, refused: 0 });
          release();
        },
      );

      it.skipIf(!can.waitsForSubscribers)(
        'a slow consumer slows its publisher down to its own pace',
        async () => {
          const { connect } = await begin();
          const bus = await connect({ capacity: 5 });
          let published = 0;
          let leadMax = 0;
          const seen = new Collector();
          await bus.subscribe('t', async (message) => {
            leadMax = Math.max(leadMax, published - seen.messages.length);
            await Promise.resolve();
            await seen.handler(message);
          });
          for (let n = 0; n < 200; n++) {
            await bus.publish('t', n);
            published++;
          }
          await seen.until(200);
          // What is queued, what is in hand, and what the publisher has just been told of.
          expect(leadMax).toBeLessThanOrEqual(7);
          expect(seen.payloads).toEqual(Array.from({ length: 200 }, (_, n) => n));
        },
      );

      it('drops a background message when full where that is the policy, and leaves a dead letter', async () => {
        const { connect, advance } = await begin();
        const bus = await connect();
        const { release, payloads, until } = await busy(bus, 't', { capacity: 2, overflow: 'drop-lowest' });
        await bus.publish('t', 'background', { priority: 'background' });
        await bus.publish('t', 'normal');
        await bus.publish('t', 'high', { priority: 'high' });
        await advance(0);
        expect(bus.deadLetters.list()).toMatchObject([
          { reason: 'overflow-dropped', payload: 'background', priority: 'background' },
        ]);
        release();
        await until(3);
        expect(payloads).toEqual(['in hand', 'high', 'normal']);
      });

      it.skipIf(!can.waitsForSubscribers)(
        'refuses when there is nothing to drop: the publish rejects after its time',
        async () => {
          const { connect, advance } = await begin();
          const bus = await connect({ capacity: 1 });
          const { release } = await busy(bus, 't');
          await bus.publish('t', 'queued');
          const refused = settles(bus.publish('t', 'no room', { timeoutMs: 50 }));
          await advance(60);
          await expect(refused.promise).rejects.toMatchObject({ code: 'ERR_SEND_TIMEOUT' });
          release();
        },
      );

      it.skipIf(!can.boundsBacklog)(
        'what nobody handles is bounded, and its publisher goes on when somebody does',
        async () => {
          const { connect, advance } = await begin();
          const bus = await connect({ capacity: 10 }, SMALL);
          const held = hold();
          const seen = new Collector();
          await bus.subscribe('t', async (message) => {
            await held.handler(message);
            await seen.handler(message);
          });
          let accepted = 0;
          const publishing = (async () => {
            // Each is awaited, so each is a message of the broker's as well.
            for (let n = 0; n < 1_000; n++) {
              await bus.publish('t', n, { timeoutMs: 60_000 });
              accepted++;
            }
          })();
          await advance(LONG_MS);
          expect(accepted).toBeGreaterThan(0);
          expect(accepted).toBeLessThanOrEqual(ACCEPTED_MAX);
          held.release();
          let isOver = false;
          const over = publishing.then(() => {
            isOver = true;
          });
          // A publisher who was refused tries again after a while.
          while (!isOver) await advance(500);
          await over;
          await seen.until(1_000);
          expect(seen.payloads).toEqual(Array.from({ length: 1_000 }, (_, n) => n));
        },
      );

      it('tells queue sizes and statistics', async () => {
        const { connect, advance } = await begin();
        const bus = await connect({ capacity: 10 });
        const { release } = await busy(bus, 't');
        for (const priority of ['high', 'low'] as const) await bus.publish('t', 1, { priority });
        await advance(0);
        expect(bus.queueSizes()).toMatchObject([
          { patterns: ['t'], queued: 2, byPriority: { high: 1, low: 1, normal: 0 }, capacity: 10, fill: 0.2 },
        ]);
        const { published, requested, backpressure } = await bus.stats();
        expect({ published, requested, backpressure }).toEqual({
          published: 3,
          requested: 0,
          backpressure: { braked: 0, brakedMs: 0, waited: 0, waitedMs: 0, refused: 0 },
        });
        release();
      });
    });

    describe('publishing', () => {
      it('a bus connects, disconnects, and refuses what comes afterwards', async () => {
        const bus = await (await begin()).connect();
        expect(await bus.publish('t', 1)).toMatchObject({ id: expect.any(String) });
        await bus.close();
        await expect(bus.publish('t', 1)).rejects.toMatchObject({ code: 'ERR_BUS_CLOSED' });
      });

      it('a bus ends with its block', async () => {
        // What `await using` calls. (The syntax itself is beyond a tool of the gate.)
        const bus = await (await begin()).connect();
        await bus[Symbol.asyncDispose]();
        await expect(bus.publish('t', 1)).rejects.toMatchObject({ code: 'ERR_BUS_CLOSED' });
      });

      it('fire and forget does not wait for handlers', async () => {
        const bus = await (await begin()).connect();
        const held = hold();
        await bus.subscribe('t', held.handler);
        expect(await bus.publish('t', 1)).toMatchObject({ id: expect.any(String) });
        expect(held.endings).toEqual([]);
        held.release();
      });

      it('reaches several subscribers, by topic and by pattern', async () => {
        const bus = await (await begin()).connect();
        const all = [new Collector(), new Collector(), new Collector()];
        for (const [index, pattern] of ['a.b', 'a.*', '#'].entries())
          await bus.subscribe(pattern, (all[index] ?? new Collector()).handler);
        await bus.publish('a.b', { n: 1 });
        for (const each of all) await each.until(1);
        expect(all.map(({ payloads }) => payloads)).toEqual([[{ n: 1 }], [{ n: 1 }], [{ n: 1 }]]);
      });

      it('carries priority, sender, correlation id and headers', async () => {
        const bus = await (await begin()).connect();
        const seen = new Collector();
        await bus.subscribe('t', seen.handler);
        const said = {
          priority: 'urgent',
          sender: 'agent-1',
          correlationId: 'c-1',
          headers: { tenant: 'x' },
        } as const;
        const { id } = await bus.publish('t', { n: 1 }, said);
        expect(await seen.until(1)).toMatchObject([{ id, topic: 't', payload: { n: 1 }, ...said }]);
      });

      it('stops reaching who has unsubscribed', async () => {
        const { connect, advance } = await begin();
        const bus = await connect();
        const [gone, here] = [new Collector(), new Collector()];
        const subscription = await bus.subscribe('t', gone.handler);
        await bus.subscribe('t', here.handler);
        await bus.publish('t', 1);
        await gone.until(1);
        await bus.unsubscribe(subscription);
        await bus.publish('t', 2);
        await here.until(2);
        await advance(0);
        expect(gone.payloads).toEqual([1]);
      });

      it('with all of it at once: schema, store, priority, time to live, dead letters and replay', async () => {
        const harness = await begin();
        const { connect, openStore, advance } = harness;
        const Order = z.object({ id: z.number() });
        const bus = await connect({
          capacity: 10,
          backpressure: { threshold: 0.8, delayMs: 5 },
          store: await openStore(),
          schemas: { 'order.*': Order },
          validate: 'strict',
        });
        const seen = new Collector();
        let isBroken = true;
        await bus.subscribe('order.*', async (message) => {
          if (isBroken && message.topic === 'order.bad') throw new Error('broken');
          await seen.handler(message);
        });
        await bus.publish('order.new', { id: 1 }, { priority: 'high', ttlMs: 60_000, sender: 'shop' });
        await handled(harness, bus, 'order.bad', { id: 2 });
        await expect(bus.publish('order.new', { id: 'x' })).rejects.toMatchObject({
          code: 'ERR_MESSAGE_INVALID',
        });
        await seen.until(1);
        isBroken = false;
        expect(await bus.deadLetters.replayAll()).toMatchObject({ replayed: 1 });
        await seen.until(2);
        await advance(0);
        const replayed = new Collector();
        expect(await bus.replay('order.#', replayed.handler)).toBe(2);
        expect(replayed.payloads).toEqual([{ id: 1 }, { id: 2 }]);
      });
    });

    describe('requests', () => {
      it('are answered by a reply', async () => {
        const bus = await (await begin()).connect();
        await bus.subscribe('q', (message) => message.reply({ echo: message.payload }));
        expect(await bus.request('q', { n: 1 })).toEqual({ echo: { n: 1 } });
      });

      it('end at their timeout, and at their signal', async () => {
        const { connect, advance } = await begin();
        const bus = await connect();
        await bus.subscribe('q', () => undefined);
        const late = settles(bus.request('q', 1, { timeoutMs: 50 }));
        const controller = new AbortController();
        const aborted = settles(bus.request('q', 1, { signal: controller.signal }));
        controller.abort('enough');
        await expect(aborted.promise).rejects.toBe('enough');
        await advance(60);
        await expect(late.promise).rejects.toMatchObject({ code: 'ERR_REQUEST_TIMEOUT' });
      });

      it('take the first reply of several, and cancel the others', async () => {
        const { connect, advance } = await begin();
        const bus = await connect();
        const slow = hold();
        const aborted = new Collector();
        await bus.subscribe('q', async (message) => {
          await slow.handler(message);
          await aborted.handler(message);
        });
        await bus.subscribe('q', (message) => message.reply('first'));
        expect(await bus.request('q', 1)).toBe('first');
        await advance(LONG_MS);
        await aborted.until(1);
        expect(slow.endings).toEqual(['aborted']);
      });
    });

    describe('schemas', () => {
      const Task = z.object({ id: z.string() });

      it('let through what is valid', async () => {
        const bus = await (await begin()).connect({ schemas: { t: Task } });
        const seen = new Collector();
        await bus.subscribe('t', seen.handler);
        await bus.publish('t', { id: 'a' });
        await seen.until(1);
        expect(seen.payloads).toEqual([{ id: 'a' }]);
      });

      it('refuse what is invalid, with path and value', async () => {
        const { connect, advance } = await begin();
        const bus = await connect({ schemas: { t: Task } });
        const seen = new Collector();
        await bus.subscribe('t', seen.handler);
        const error: unknown = await bus.publish('t', { id: 7 }).catch((thrown: unknown) => thrown);
        expect(error).toMatchObject({ code: 'ERR_MESSAGE_INVALID', cause: { path: 'id' } });
        expect((error as { readonly cause: { readonly value: unknown } }).cause.value).toBe(7);
        await advance(0);
        expect(seen.payloads).toEqual([]);
      });

      it('strict refuses a topic without one, lenient takes it', async () => {
        const { connect } = await begin();
        const strict = await connect({ schemas: { t: Task }, validate: 'strict' });
        await expect(strict.publish('other', 1)).rejects.toMatchObject({ code: 'ERR_SCHEMA_MISSING' });
        const lenient = await connect({ schemas: { t: Task } });
        await lenient.publish('other', 1);
      });
    });

    describe('dead letters', () => {
      it('get what a handler throws at, with error and stack, and are listed and found', async () => {
        const harness = await begin();
        const bus = await harness.connect();
        await bus.subscribe('t', fails);
        await handled(harness, bus, 't', { n: 1 });
        const [letter] = bus.deadLetters.list({ topic: 't', reason: 'handler-failed' });
        expect(letter).toMatchObject({
          payload: { n: 1 },
          attempts: 1,
          error: { message: 'broken', stack: expect.stringContaining('amb.contract.ts') },
        });
        expect(bus.deadLetters.get(letter?.id ?? '')).toBe(letter);
        expect(bus.deadLetters.list({ reason: 'expired' })).toEqual([]);
      });

      it('are taken out by discard, and counted', async () => {
        const harness = await begin();
        const bus = await harness.connect();
        await bus.subscribe('t', fails);
        for (const n of [1, 2]) await handled(harness, bus, 't', n);
        const [letter] = bus.deadLetters.list();
        expect(bus.deadLetters.discard(letter?.id ?? '')).toBe(true);
        expect(bus.deadLetters.stats()).toMatchObject({ kept: 1, total: 2, discarded: 1 });
      });

      it('are retried, up to a cap over all retries of one message', async () => {
        const bus = await (await begin()).connect({ deadLetters: { replaysMax: 2 } });
        const tried = new Collector();
        await bus.subscribe('t', async (message) => {
          await tried.handler(message);
          throw new Error('broken');
        });
        const dead = bus.deadLetters[Symbol.asyncIterator]();
        let next = dead.next();
        await bus.publish('t', 1);
        for (let replays = 0; replays < 2; replays++) {
          const { value } = await next;
          next = dead.next();
          await bus.deadLetters.replay(value?.id ?? '');
        }
        const { value: last } = await next;
        expect(last).toMatchObject({ replays: 2, attempts: 3 });
        await expect(bus.deadLetters.replay(last?.id ?? '')).rejects.toMatchObject({
          code: 'ERR_REPLAYS_EXHAUSTED',
        });
        expect(tried.messages.map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
        await dead.return?.();
      });

      it('are bounded: the oldest falls off, and is counted', async () => {
        const harness = await begin();
        const bus = await harness.connect({ deadLetters: { max: 2 } });
        await bus.subscribe('t', fails);
        for (const n of [1, 2, 3]) await handled(harness, bus, 't', n);
        expect(bus.deadLetters.list().map(({ payload }) => payload)).toEqual([2, 3]);
        expect(bus.deadLetters.stats()).toMatchObject({ kept: 2, total: 3, evicted: 1 });
      });

      it('get what has expired, and no handler does', async () => {
        const { connect, advance } = await begin();
        const bus = await connect();
        const { release, payloads, until } = await busy(bus, 't');
        await bus.publish('t', 'late', { ttlMs: 20 });
        await advance(50);
        await bus.publish('t', 'later');
        release();
        await until(2);
        expect(payloads).toEqual(['in hand', 'later']);
        expect(bus.deadLetters.list()).toMatchObject([{ reason: 'expired', topic: 't', payload: 'late' }]);
      });
    });

    describe('a store', () => {
      it('keeps what was published, and replays it by topic and time', async () => {
        const { connect, openStore, advance } = await begin();
        const bus = await connect({ store: await openStore() });
        const seen = new Collector();
        await bus.subscribe('#', seen.handler);
        for (const [index, topic] of ['a', 'b', 'a'].entries()) {
          await bus.publish(topic, index);
          await seen.until(index + 1);
          await advance(20);
        }
        const [, second] = await seen.until(3);
        const replayed = new Collector();
        expect(await bus.replay('a', replayed.handler)).toBe(2);
        const late = new Collector();
        expect(await bus.replay('#', late.handler, { fromMs: second?.publishedAtMs })).toBe(2);
        expect(late.messages.map(({ topic }) => topic)).toEqual(['b', 'a']);
        expect((await bus.stats()).store).toMatchObject({ messages: 3, topics: 2 });
      });
    });

    describe('CloudEvents', () => {
      const message = {
        id: 'm-1',
        topic: 'agent.events',
        payload: { n: 1 },
        priority: 'critical',
        headers: {},
        sender: 'agent-1',
        correlationId: 'c-1',
        publishedAtMs: 1_900_000_000_000,
      } as const;

      it('a message that a handler got goes round: as JSON, as a batch, by HTTP with headers of any case', async () => {
        const bus = await (await begin()).connect();
        const seen = new Collector();
        await bus.subscribe('t', seen.handler);
        await bus.publish('t', { n: 1 }, { priority: 'urgent', sender: 'agent-1' });
        const [received] = await seen.until(1);
        if (received === undefined) throw new Error('nothing came');
        const { id, topic, payload, priority, sender, publishedAtMs } = received;
        const event = toCloudEvent(
          { id, topic, payload, priority, sender, publishedAtMs },
          { source: '/bus' },
        );
        const { headers, body } = toCloudEventHttp(event);
        const shouted = Object.fromEntries(
          Object.entries(headers).map(([key, value]) => [key.toUpperCase(), value]),
        );
        const ways = [
          decodeCloudEvents(encodeCloudEvents(event))[0],
          decodeCloudEvents(encodeCloudEvents([event, event]))[1],
          fromCloudEventHttp({ headers: shouted, body })[0],
        ];
        for (const back of ways) {
          if (back === undefined) throw new Error('no event came back');
          expect(fromCloudEvent(back)).toMatchObject({ id, topic, payload, priority, sender, publishedAtMs });
        }
      });

      it.each([
        ['critical', 15],
        ['urgent', 10],
        ['high', 8],
        ['normal', 5],
        ['low', 1],
        ['background', 0],
      ] as const)('keep the number of AMB for %s: %i', (priority, number) => {
        const event = toCloudEvent({ ...message, priority }, { source: '/bus' });
        expect(event['ambpriority']).toBe(number);
        expect(fromCloudEvent(event).priority).toBe(priority);
      });

      it('a number between two priorities is the lower one', () => {
        const event = toCloudEvent(message, { source: '/bus' });
        const priorityOf = (number: number): Priority | undefined =>
          fromCloudEvent({ ...event, ambpriority: number }).priority;
        expect([14, 9, 7, 4].map(priorityOf)).toEqual(['urgent', 'high', 'normal', 'low']);
      });
    });

    describe('traces', () => {
      it('the active span is the parent of a publish, and its trace goes to the handler', async () => {
        const traces = recordTraces();
        const bus = await (await begin()).connect();
        const seen = new Collector();
        await bus.subscribe('t', seen.handler);
        await traces.inside('user', () => bus.publish('t', 1));
        await seen.until(1);
        await bus.close();
        expect(traces.tree(({ name }) => name)).toEqual(['user', '  send t', '    process t']);
      });

      it('a request and its reply are one trace, and a failed turn has the status of an error', async () => {
        const traces = recordTraces();
        const harness = await begin();
        const bus = await harness.connect();
        await bus.subscribe('q', (message) => message.reply(1));
        await bus.subscribe('bad', fails);
        await traces.inside('user', async () => {
          await bus.request('q', 1);
          await handled(harness, bus, 'bad', 1);
        });
        await bus.close();
        const lines = traces.tree(({ name, status }) => `${name} ${status.code}`);
        expect(lines).toEqual([
          'user 0',
          '  send q 0',
          '    process q 0',
          '  send bad 0',
          '    process bad 2',
          '      dead-letter deliver 2',
        ]);
        expect(new Set(traces.spans.map((span) => span.spanContext().traceId)).size).toBe(1);
      });

      it('goes across agents: a handler that publishes what it got with the headers it got', async () => {
        const bus = await (await begin()).connect();
        const last = new Collector();
        await bus.subscribe('a', ({ payload, headers }) => bus.publish('b', payload, { headers }));
        await bus.subscribe('b', last.handler);
        const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
        await bus.publish('a', 1, { headers: { traceparent, baggage: 'tenant=x' } });
        const [message] = await last.until(1);
        expect(message?.headers['traceparent']).toContain('a'.repeat(32));
        expect(message?.headers['baggage']).toBe('tenant=x');
      });
    });

    // --- what AMB does when it is run -------------------------------------------------------------------------------

    describe('where AMB does something else than it says', () => {
      it.skipIf(!can.waitsForSubscribers)(
        'w01: a slow handler slows the publisher, and runs once at a time',
        async () => {
          const { connect, advance } = await begin();
          const bus = await connect({ capacity: 100 });
          const held = hold();
          await bus.subscribe('t', held.handler);
          const publishes = Array.from({ length: 2_000 }, (_, n) => settles(bus.publish('t', n)));
          await publishes[100]?.promise;
          await advance(0);
          expect(held.running()).toBe(1);
          // 100 found room at once, and one more when the first had its turn.
          expect(publishes.filter(({ hasSettled }) => hasSettled)).toHaveLength(101);
          expect((await bus.stats()).backpressure.waited).toBe(1_900);
          held.release();
          await Promise.all(publishes.map(({ promise }) => promise));
        },
      );

      it('w01: an instant consumer causes no backpressure', async () => {
        const bus = await (await begin()).connect({ capacity: 100, backpressure: { threshold: 0.8 } });
        const seen = new Collector();
        await bus.subscribe('t', seen.handler);
        for (let n = 0; n < 1_000; n++) {
          await bus.publish('t', n, can.countsReceipts ? { confirm: 'handled' } : {});
          await seen.until(n + 1);
        }
        const { braked, waited, refused } = (await bus.stats()).backpressure;
        expect({ braked, waited, refused }).toEqual({ braked: 0, waited: 0, refused: 0 });
      });

      it.skipIf(!can.ordersByPriority)('w02: critical after 400 background runs next, not last', async () => {
        const { connect, advance } = await begin();
        const bus = await connect();
        const started = new Collector();
        const held = hold(started.handler);
        await bus.subscribe('llm', held.handler, { concurrency: 4 });
        for (let n = 0; n < 4; n++) await bus.publish('llm', `in hand ${n}`);
        await started.until(4);
        for (let n = 0; n < 400; n++) await bus.publish('llm', n, { priority: 'background' });
        await bus.publish('llm', 'critical', { priority: 'critical' });
        await advance(0);
        held.release();
        await started.until(405);
        expect(held.payloads.indexOf('critical')).toBe(4);
      });

      it.skipIf(!can.countsReceipts)('w03: a confirmation means handled, failures included', async () => {
        const bus = await (await begin()).connect();
        const held = hold();
        await bus.subscribe('t', held.handler);
        await bus.subscribe('t', fails);
        const receipt = settles(bus.publish('t', 1, { confirm: 'handled' }));
        await bus.publish('other', 1, { confirm: 'handled' });
        expect(receipt.hasSettled).toBe(false);
        held.release();
        expect(await receipt.promise).toMatchObject({ delivered: 2, handled: 1, failed: 1 });
        expect(bus.deadLetters.list()).toMatchObject([{ error: { message: 'broken' } }]);
      });

      it.skipIf(!can.countsReceipts)('w03: with no subscriber the receipt says so', async () => {
        const bus = await (await begin()).connect();
        const receipts: PublishReceipt[] = [
          await bus.publish('t', 1),
          await bus.publish('t', 1, { confirm: 'handled' }),
        ];
        expect(receipts).toMatchObject([{ delivered: 0 }, { delivered: 0, handled: 0, failed: 0 }]);
      });

      it('w04: a handler that raises, a rejection and an expired message land in the dead letters', async () => {
        const harness = await begin();
        const { connect, advance } = harness;
        const bus = await connect();
        await bus.subscribe('raises', fails);
        await bus.subscribe('rejects', (message) => message.reject('not valid'));
        const { release, until } = await busy(bus, 'busy');
        await handled(harness, bus, 'raises', 1);
        await handled(harness, bus, 'rejects', 1);
        await bus.publish('busy', 'late', { ttlMs: 20 });
        await advance(50);
        release();
        await bus.publish('busy', 'last');
        await until(2);
        const letters = bus.deadLetters.list().map(({ topic, reason }) => [topic, reason]);
        expect(letters).toEqual([
          ['raises', 'handler-failed'],
          ['rejects', 'rejected'],
          ['busy', 'expired'],
        ]);
      });

      it('w04: retries are automatic where the subscription says so, delayed and bounded', async () => {
        const { connect, advance } = await begin();
        const bus = await connect();
        const tried = new Collector();
        await bus.subscribe(
          't',
          async (message) => {
            await tried.handler(message);
            throw new Error('broken');
          },
          { retry: { attemptsMax: 3, backoff: { minMs: 500, maxMs: 500, jitter: 0 } } },
        );
        const receipt = settles(bus.publish('t', 1, can.countsReceipts ? { confirm: 'handled' } : {}));
        await tried.until(1);
        await advance(0);
        expect(tried.messages).toHaveLength(1);
        await advance(LONG_MS);
        expect(await receipt.promise).toMatchObject(can.countsReceipts ? { failed: 1 } : { delivered: 1 });
        expect(tried.messages.map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
        expect(bus.deadLetters.list()).toMatchObject([{ reason: 'attempts-exhausted', attempts: 3 }]);
      });

      it.skipIf(!can.countsReceipts)('w04: what is handled is noted in the store', async () => {
        const { connect, openStore } = await begin();
        const store = await openStore();
        const bus = await connect({ store });
        await bus.subscribe('t', () => undefined);
        const { id } = await bus.publish('t', 1, { confirm: 'handled' });
        await bus.close();
        expect(await store.get(id)).toMatchObject({ status: 'handled', attempts: 1 });
      });

      it('w05: a queue that is worked off has room: message 1,001 is taken', async () => {
        const bus = await (await begin()).connect({ capacity: 100 });
        const seen = new Collector();
        await bus.subscribe('t', seen.handler);
        for (let n = 0; n < 1_001; n++) await bus.publish('t', n);
        await seen.until(1_001);
        expect(bus.queueSizes()).toMatchObject([{ queued: 0, waiting: 0 }]);
      });

      it('w06: drop-oldest drops the oldest, and each drop is a dead letter', async () => {
        const { connect, advance } = await begin();
        const bus = await connect();
        const { release, payloads, until } = await busy(bus, 't', { capacity: 3, overflow: 'drop-oldest' });
        for (let n = 0; n < 5; n++) await bus.publish('t', n, { priority: 'background' });
        await advance(0);
        expect(bus.deadLetters.list().map(({ reason, payload }) => [reason, payload])).toEqual([
          ['overflow-dropped', 0],
          ['overflow-dropped', 1],
        ]);
        release();
        await until(4);
        expect(payloads).toEqual(['in hand', 2, 3, 4]);
      });

      it('w07: a late reply is a dead letter, never a new request', async () => {
        const { connect, advance } = await begin();
        const bus = await connect();
        const seen = new Collector();
        await bus.subscribe('q', seen.handler);
        const request = settles(bus.request('q', 1, { timeoutMs: 50 }));
        const [message] = await seen.until(1);
        await advance(60);
        await expect(request.promise).rejects.toMatchObject({ code: 'ERR_REQUEST_TIMEOUT' });
        message?.reply('late');
        await advance(LONG_MS);
        expect(seen.messages).toHaveLength(1);
        expect(bus.deadLetters.list()).toMatchObject([{ reason: 'late-reply', payload: 'late' }]);
      });

      it('w08: the trace of one message never leaks into another', async () => {
        const traces = recordTraces();
        const bus = await (await begin()).connect();
        const seen = new Collector();
        await bus.subscribe('t', seen.handler);
        await traces.inside('a', () => bus.publish('t', 'A'));
        await traces.inside('b', () => bus.publish('t', 'B'));
        await seen.until(2);
        await bus.close();
        expect(traces.tree(({ name }) => name)).toEqual([
          'a',
          '  send t',
          '    process t',
          'b',
          '  send t',
          '    process t',
        ]);
      });

      it('w08: a message without a trace has none, whoever published first', async () => {
        const bus = await (await begin()).connect();
        const seen = new Collector();
        await bus.subscribe('t', seen.handler);
        const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
        await bus.publish('t', 'A', { headers: { traceparent } });
        await bus.publish('t', 'B');
        const [first, second] = await seen.until(2);
        expect(first?.headers['traceparent']).toContain('a'.repeat(32));
        expect(second?.headers['traceparent']).toBeUndefined();
      });

      it('w09: a topic name cannot leave the store, and two topics share nothing', async () => {
        const { connect, openStore } = await begin();
        const bus = await connect({ store: await openStore() });
        for (const topic of ['../escape', 'a/b', '..', 'a\\b', 'a\u0000b'])
          await expect(bus.publish(topic, 1)).rejects.toMatchObject({ code: 'ERR_TOPIC_INVALID' });
        await bus.publish('a.b', 'dot');
        await bus.publish('a_b', 'underscore');
        const replayed = new Collector();
        expect(await bus.replay('a.b', replayed.handler)).toBe(1);
        expect(replayed.payloads).toEqual(['dot']);
      });

      it.skipIf(!can.countsReceipts)(
        'w09: delivered is said when a queue has the message, handled when its handler has ended',
        async () => {
          const { connect, openStore, advance } = await begin();
          const store = await openStore();
          const bus = await connect({ store });
          const held = hold();
          await bus.subscribe('t', held.handler);
          const { id: nobody } = await bus.publish('nobody', 1);
          const { id } = await bus.publish('t', 1);
          await advance(0);
          expect((await store.get(nobody))?.status).toBe('pending');
          expect((await store.get(id))?.status).toBe('delivered');
          held.release();
          await bus.close();
          expect((await store.get(id))?.status).toBe('handled');
        },
      );

      it('w10: every message is what a handler can read; a subscriber settles no message of another topic', async () => {
        const bus = await (await begin()).connect();
        const [a, b] = [new Collector(), new Collector()];
        await bus.subscribe('a', a.handler);
        await bus.subscribe('b', b.handler);
        for (let n = 0; n < 50; n++)
          for (const topic of ['a', 'b']) await bus.publish(topic, `${topic} ${n}`);
        await a.until(50);
        await b.until(50);
        expect(a.payloads).toEqual(Array.from({ length: 50 }, (_, n) => `a ${n}`));
        expect(b.payloads).toEqual(Array.from({ length: 50 }, (_, n) => `b ${n}`));
      });

      it('w11: three topics on one connection never cross', async () => {
        const bus = await (await begin()).connect();
        const topics = ['one', 'two', 'three'];
        const seen = new Map(topics.map((topic) => [topic, new Collector()]));
        for (const [topic, collector] of seen) await bus.subscribe(topic, collector.handler);
        await Promise.all(Array.from({ length: 300 }, (_, n) => bus.publish(topics[n % 3] ?? '', n)));
        for (const [topic, collector] of seen) {
          await collector.until(100);
          expect(new Set(collector.messages.map((message) => message.topic))).toEqual(new Set([topic]));
          expect(collector.messages).toHaveLength(100);
        }
      });

      it('w11: a second subscriber does not replace the first, and a reply is no request', async () => {
        const { connect, advance } = await begin();
        const bus = await connect();
        const [first, second] = [new Collector(), new Collector()];
        await bus.subscribe('q', first.handler);
        await bus.subscribe('q', async (message) => {
          await second.handler(message);
          message.reply('answer');
        });
        expect(await bus.request('q', 1)).toBe('answer');
        await advance(LONG_MS);
        expect([first.messages.length, second.messages.length]).toEqual([1, 1]);
      });

      it('w12: handlers run as many at once as was said, and a failed message is not gone', async () => {
        const { connect, advance } = await begin();
        const bus = await connect();
        const held = hold();
        await bus.subscribe('slow', held.handler, { concurrency: 8 });
        for (let n = 0; n < 673; n++) await bus.publish('slow', n);
        await advance(0);
        expect(held.running()).toBe(8);
        held.release();
        await bus.subscribe('t', fails, {
          retry: { attemptsMax: 2, backoff: { minMs: 1, maxMs: 1, jitter: 0 } },
        });
        const receipt = bus.publish('t', { n: 1 }, can.countsReceipts ? { confirm: 'handled' } : {});
        await advance(50);
        await receipt;
        expect(bus.deadLetters.list()).toMatchObject([{ attempts: 2, payload: { n: 1 } }]);
      });

      it('w12: what was published before anybody subscribed is in the store, and can be replayed', async () => {
        const { connect, openStore } = await begin();
        const bus = await connect({ store: await openStore() });
        await bus.publish('t', 'early');
        const seen = new Collector();
        await bus.subscribe('t', seen.handler);
        expect(await bus.replay('t', seen.handler)).toBe(1);
        expect(seen.payloads).toEqual(['early']);
      });

      it('Kafka: members of a group share the messages, each goes to one of them', async () => {
        const bus = await (await begin()).connect();
        const all = new Collector();
        const shares = new Map<string, number>();
        for (const member of ['a', 'b', 'c'])
          await bus.subscribe(
            't',
            async (message) => {
              shares.set(member, (shares.get(member) ?? 0) + 1);
              await all.handler(message);
            },
            { group: 'workers' },
          );
        for (let n = 0; n < 90; n++) await bus.publish('t', n);
        await all.until(90);
        expect(new Set(all.payloads).size).toBe(90);
        expect([...shares.values()].reduce((sum, share) => sum + share, 0)).toBe(90);
      });

      it('API: a payload is anything, wildcards are the same everywhere, and iteration can be cancelled', async () => {
        const { connect, advance } = await begin();
        const bus = await connect();
        const seen = new Collector();
        await bus.subscribe('a.*.c', seen.handler);
        await bus.subscribe('a.#', seen.handler);
        for (const payload of ['text', 7, null, [1, 2], { a: 1 }]) await bus.publish('a.b.c', payload);
        await seen.until(10);
        const controller = new AbortController();
        const pulled: unknown[] = [];
        const pulling = (async () => {
          for await (const { payload } of bus.messages('p', { window: 4, signal: controller.signal })) {
            pulled.push(payload);
            if (pulled.length === 2) controller.abort();
          }
        })();
        await advance(0); // an iteration begins by itself, and its begin is nothing to wait for
        for (const n of [1, 2]) await bus.publish('p', n);
        await pulling;
        expect(pulled).toEqual([1, 2]);
      });
    });
  });
}
