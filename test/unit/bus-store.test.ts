import { describe, expect, it } from 'vitest';
import { memoryStore } from '../../adapters/store/index.ts';
import type { MessageStore } from '../../src/protocol/store.ts';
import { settles } from '../support/handlers.ts';
import { hold } from '../support/hold.ts';
import { busBench } from '../support/test-bus.ts';

/** All that a store holds. */
async function held(store: MessageStore): Promise<unknown[]> {
  const messages: unknown[] = [];
  for await (const { topic, payload, status, attempts } of store.range())
    messages.push([topic, payload, status, attempts]);
  return messages;
}

/** A store whose appends wait until they are let go. */
function slowStore(): { readonly store: MessageStore; readonly waiting: (() => void)[] } {
  const inner = memoryStore();
  const waiting: (() => void)[] = [];
  const store: MessageStore = Object.create(inner, {
    append: {
      value: async (...args: Parameters<MessageStore['append']>) => {
        const position = await inner.append(...args);
        await new Promise<void>((resolve) => waiting.push(resolve));
        return position;
      },
    },
  });
  for (const call of ['mark', 'range', 'stats', 'get', 'close'] as const)
    Object.defineProperty(store, call, { value: inner[call].bind(inner) });
  return { store, waiting };
}

describe('a bus with a store', () => {
  it('keeps each message with all that was said before anybody gets it', async () => {
    const { connect, settle } = busBench();
    const { store, waiting } = slowStore();
    const bus = await connect({ store });
    const seen: unknown[] = [];
    await bus.subscribe('t', ({ payload }) => seen.push(payload));
    const published = settles(
      bus.publish(
        't',
        { n: 1 },
        { priority: 'high', ttlMs: 1_000, sender: 'me', correlationId: 'c', headers: { a: 'b' } },
      ),
    );
    await settle();
    expect([seen, published.hasSettled]).toEqual([[], false]);
    waiting[0]?.();
    const { id, delivered } = await published.promise;
    await settle();
    expect([seen, delivered]).toEqual([[{ n: 1 }], 1]);
    const stored = await store.get(id);
    expect(stored).toMatchObject({
      id,
      topic: 't',
      payload: { n: 1 },
      priority: 'high',
      sender: 'me',
      correlationId: 'c',
      headers: { a: 'b' },
      status: 'handled',
      attempts: 1,
    });
    expect((stored?.expiresAtMs ?? 0) - (stored?.publishedAtMs ?? 0)).toBe(1_000);
  });

  it('gives messages to their subscribers in the order of the calls, whatever order the store answers in', async () => {
    const { connect, settle } = busBench();
    const { store, waiting } = slowStore();
    const bus = await connect({ store });
    const seen: unknown[] = [];
    await bus.subscribe('t', ({ payload }) => seen.push(payload));
    for (let n = 0; n < 3; n++) settles(bus.publish('t', n));
    await settle();
    waiting[2]?.();
    waiting[1]?.();
    await settle();
    expect(seen).toEqual([]);
    waiting[0]?.();
    await settle();
    expect(seen).toEqual([0, 1, 2]);
  });

  it('fixes who gets a message at the call: who subscribes while it becomes safe does not', async () => {
    const { connect, settle } = busBench();
    const { store, waiting } = slowStore();
    const bus = await connect({ store });
    const seen: unknown[] = [];
    await bus.subscribe('t', ({ payload }) => seen.push(['early', payload]));
    const published = settles(bus.publish('t', 1));
    await settle();
    await bus.subscribe('t', ({ payload }) => seen.push(['late', payload]));
    waiting[0]?.();
    expect(await published.promise).toMatchObject({ delivered: 1 });
    await settle();
    expect(seen).toEqual([['early', 1]]);
  });

  it('gives nobody a message that the store refuses, and rejects as the store does', async () => {
    const { connect, settle } = busBench();
    const bus = await connect({ store: memoryStore() });
    const seen: unknown[] = [];
    await bus.subscribe('t', ({ payload }) => seen.push(payload));
    await expect(bus.publish('t', { when: new Date(0) })).rejects.toMatchObject({
      code: 'ERR_PAYLOAD_UNSERIALIZABLE',
    });
    const big = 'x'.repeat(2_000_000);
    await expect(bus.publish('t', big)).rejects.toMatchObject({ code: 'ERR_PAYLOAD_TOO_LARGE' });
    await bus.publish('t', 'fine');
    await settle();
    expect(seen).toEqual(['fine']);
  });

  it('notes what becomes of each message', async () => {
    const { connect, settle, advance } = busBench();
    const store = memoryStore();
    const bus = await connect({ store });
    const running = hold();
    await bus.subscribe('running', running.handler);
    await bus.subscribe('handled', () => undefined);
    await bus.subscribe('dead', () => {
      throw new Error('broken');
    });
    for (const topic of ['nobody', 'running', 'handled', 'dead']) await bus.publish(topic, topic);
    await bus.publish('running', 'expired', { ttlMs: 10 });
    await advance(11);
    expect(await held(store)).toEqual([
      ['nobody', 'nobody', 'pending', 0],
      ['running', 'running', 'delivered', 0],
      ['handled', 'handled', 'handled', 1],
      ['dead', 'dead', 'dead', 1],
      ['running', 'expired', 'delivered', 0],
    ]);
    running.release();
    await settle();
    expect((await held(store))[4]).toEqual(['running', 'expired', 'expired', expect.any(Number)]);
    expect((await held(store))[1]).toEqual(['running', 'running', 'handled', 1]);
    expect((await bus.stats()).store).toMatchObject({ messages: 5 });
  });

  it('counts and logs changes of status that the store does not take, and goes on', async () => {
    const { connect, settle, logs } = busBench();
    const inner = memoryStore();
    const store = new Proxy(inner, {
      get: (target, key) => {
        if (key === 'mark') return () => Promise.reject(new Error('disk full'));
        const value: unknown = Reflect.get(target, key);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    const bus = await connect({ store });
    await bus.subscribe('t', () => undefined);
    expect(await bus.publish('t', 1, { confirm: 'handled' })).toMatchObject({ handled: 1 });
    await settle();
    expect(logs).toMatchObject([{ level: 'warn', text: expect.stringContaining('store was not told') }]);
    expect((await bus.stats()).statusesLost).toBe(1);
  });

  it('ends the wait for the store when the signal is aborted; the message is published all the same', async () => {
    const { connect, settle } = busBench();
    const { store, waiting } = slowStore();
    const bus = await connect({ store });
    const seen: unknown[] = [];
    await bus.subscribe('t', ({ payload }) => seen.push(payload));
    const controller = new AbortController();
    const published = settles(bus.publish('t', 1, { signal: controller.signal }));
    await settle();
    controller.abort('enough');
    await expect(published.promise).rejects.toBe('enough');
    waiting[0]?.();
    await settle();
    expect(seen).toEqual([1]);
  });

  it('delivers what is on its way to the store when it is closed, and tells the store the end of it', async () => {
    const { connect, settle } = busBench();
    const { store, waiting } = slowStore();
    const bus = await connect({ store });
    const seen: unknown[] = [];
    await bus.subscribe('t', ({ payload }) => seen.push(payload));
    const published = settles(bus.publish('t', 1));
    await settle();
    const closed = settles(bus.close());
    await settle();
    expect(closed.hasSettled).toBe(false);
    waiting[0]?.();
    await closed.promise;
    expect(await published.promise).toMatchObject({ delivered: 1 });
    expect(seen).toEqual([1]);
    expect(await held(store)).toEqual([['t', 1, 'handled', 1]]);
  });

  it('brakes nobody any more whose message came from the store when the bus was about to close', async () => {
    const { connect, settle } = busBench();
    const { store, waiting } = slowStore();
    const bus = await connect({ store, backpressure: { threshold: 0, delayMs: 1_000_000 } });
    await bus.subscribe('t', () => undefined);
    const published = settles(bus.publish('t', 1));
    await settle();
    const closed = bus.close();
    await settle();
    waiting[0]?.();
    await closed;
    expect(await published.promise).toMatchObject({ delivered: 1 });
    expect((await bus.stats()).backpressure.braked).toBe(0);
  });

  it('keeps neither requests nor replies', async () => {
    const { connect } = busBench();
    const store = memoryStore();
    const bus = await connect({ store });
    await bus.subscribe('q', (message) => message.reply(1));
    await bus.request('q', 1);
    expect(await held(store)).toEqual([]);
  });
});

describe('a replay from the store', () => {
  it('gives what was published in a span of time to a topic or pattern, oldest first, one at a time', async () => {
    const { connect, advance, clock } = busBench();
    const bus = await connect({ store: memoryStore() });
    const times: number[] = [];
    for (const topic of ['a.x', 'b', 'a.y', 'a.x']) {
      times.push(clock.wallNow());
      await bus.publish(topic, times.length, { sender: 'me' });
      await advance(100);
    }
    const seen: unknown[] = [];
    let running = 0;
    const handler = async ({ payload, sender, publishedAtMs, id }: Seen): Promise<void> => {
      expect(++running).toBe(1);
      await Promise.resolve();
      running--;
      seen.push([payload, sender, times.indexOf(publishedAtMs), typeof id]);
    };
    expect(await bus.replay('a.*', handler)).toBe(3);
    expect(seen.splice(0)).toEqual([
      [1, 'me', 0, 'string'],
      [3, 'me', 2, 'string'],
      [4, 'me', 3, 'string'],
    ]);
    expect(await bus.replay('#', handler, { fromMs: times[1], toMs: times[3] })).toBe(2);
    expect(seen.map((each) => (each as unknown[])[0])).toEqual([2, 3]);
    expect(await bus.replay('none', handler)).toBe(0);
  });

  it('gives no message twice, and none that is published meanwhile', async () => {
    const { connect } = busBench();
    const bus = await connect({ store: memoryStore() });
    for (let n = 0; n < 600; n++) await bus.publish('t', n);
    const seen: unknown[] = [];
    const count = await bus.replay('t', async ({ payload }) => {
      seen.push(payload);
      await bus.publish('t', 'meanwhile');
    });
    expect(count).toBe(600);
    expect(seen).toEqual(Array.from({ length: 600 }, (_, n) => n));
  });

  it('goes on past a handler that fails: the message is a dead letter', async () => {
    const { connect } = busBench();
    const bus = await connect({ store: memoryStore() });
    for (let n = 0; n < 3; n++) await bus.publish('t', n);
    const seen: unknown[] = [];
    const count = await bus.replay('t', ({ payload }) => {
      seen.push(payload);
      if (payload === 1) throw new Error('broken');
    });
    expect([count, seen]).toEqual([3, [0, 1, 2]]);
    expect(bus.deadLetters.list()).toMatchObject([{ reason: 'handler-failed', topic: 't', payload: 1 }]);
  });

  it('gives also what has expired: whoever replays wants what was', async () => {
    const { connect, advance } = busBench();
    const bus = await connect({ store: memoryStore() });
    await bus.publish('t', 1, { ttlMs: 10 });
    await advance(1_000);
    expect(await bus.replay('t', () => undefined)).toBe(1);
  });

  it('ends when its signal is aborted, with the reason: what has not begun is not handled', async () => {
    const { connect, settle } = busBench();
    const bus = await connect({ store: memoryStore() });
    for (let n = 0; n < 3; n++) await bus.publish('t', n);
    const controller = new AbortController();
    const running = hold();
    const replayed = settles(bus.replay('t', running.handler, { signal: controller.signal }));
    await settle();
    controller.abort('enough');
    await expect(replayed.promise).rejects.toBe('enough');
    expect(running.payloads).toEqual([0]);
    expect(running.endings).toEqual(['aborted']);
  });

  it('rejects with ERR_BUS_CLOSED when the bus is closed meanwhile', async () => {
    const { connect, settle, advance } = busBench();
    const bus = await connect({ store: memoryStore() });
    for (let n = 0; n < 3; n++) await bus.publish('t', n);
    const running = hold();
    const replayed = settles(bus.replay('t', running.handler));
    await settle();
    const closed = bus.close({ drainMs: 0 });
    await advance(100_000);
    await closed;
    await expect(replayed.promise).rejects.toMatchObject({ code: 'ERR_BUS_CLOSED' });
  });

  it('is refused on a bus without a store', async () => {
    const { connect } = busBench();
    const bus = await connect();
    await expect(bus.replay('t', () => undefined)).rejects.toMatchObject({ code: 'ERR_OPTION_INVALID' });
  });
});

interface Seen {
  readonly payload: unknown;
  readonly sender: string | undefined;
  readonly publishedAtMs: number;
  readonly id: string;
}
