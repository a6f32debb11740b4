import { describe, expect, it } from 'vitest';
import { settles } from '../support/handlers.ts';
import { hold } from '../support/hold.ts';
import { busBench } from '../support/test-bus.ts';

describe('the brake of a bus', () => {
  it('makes each publish above the threshold take delayMs longer, and none at it', async () => {
    const { connect, advance, settle } = busBench();
    const bus = await connect({ capacity: 10, backpressure: { threshold: 0.5, delayMs: 20 } });
    const held = hold();
    await bus.subscribe('t', held.handler);
    await bus.publish('t', 'in hand');
    await settle();
    const publishes = Array.from({ length: 10 }, (_, n) => settles(bus.publish('t', n)));
    await settle();
    expect(publishes.map(({ hasSettled }) => hasSettled)).toEqual([
      ...Array<boolean>(5).fill(true),
      ...Array<boolean>(5).fill(false),
    ]);
    await advance(19);
    expect(publishes.filter(({ hasSettled }) => hasSettled)).toHaveLength(5);
    await advance(1);
    expect(publishes.every(({ hasSettled }) => hasSettled)).toBe(true);
    expect((await bus.stats()).backpressure).toEqual({
      braked: 5,
      brakedMs: 100,
      waited: 0,
      waitedMs: 0,
      refused: 0,
    });
    held.release();
    await settle();
    // What was braked had been queued before: order does not change.
    expect(held.payloads).toEqual(['in hand', 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  it('slows who awaits his publishes to one message for each delayMs', async () => {
    const { connect, advance } = busBench();
    const bus = await connect({ capacity: 10, backpressure: { threshold: 0, delayMs: 10 } });
    const held = hold();
    await bus.subscribe('t', held.handler);
    let published = 0;
    const publishing = (async () => {
      for (let n = 0; n < 5; n++) {
        await bus.publish('t', n);
        published++;
      }
    })();
    const counts: number[] = [];
    for (let step = 0; step < 5; step++) {
      await advance(10);
      counts.push(published);
    }
    await publishing;
    expect(counts).toEqual([1, 2, 3, 4, 5]);
    held.release();
  });

  it('is off unless said; then a full subscription still makes its publishers wait', async () => {
    const { connect, settle, advance } = busBench();
    const bus = await connect({ capacity: 2 });
    const held = hold();
    await bus.subscribe('t', held.handler);
    await bus.publish('t', 'in hand');
    await settle();
    const publishes = [1, 2, 3].map((n) => settles(bus.publish('t', n)));
    await settle();
    expect(publishes.map(({ hasSettled }) => hasSettled)).toEqual([true, true, false]);
    await advance(40);
    held.release();
    await settle();
    expect(publishes.map(({ hasSettled }) => hasSettled)).toEqual([true, true, true]);
    expect((await bus.stats()).backpressure).toEqual({
      braked: 0,
      brakedMs: 0,
      waited: 1,
      waitedMs: 40,
      refused: 0,
    });
  });

  it('never brakes for who drops instead of waiting', async () => {
    const { connect, settle } = busBench();
    const bus = await connect({ backpressure: { threshold: 0, delayMs: 1_000 } });
    const held = hold();
    await bus.subscribe('t', held.handler, { capacity: 2, overflow: 'drop-oldest' });
    const publishes = Array.from({ length: 10 }, (_, n) => settles(bus.publish('t', n)));
    await settle();
    expect(publishes.every(({ hasSettled }) => hasSettled)).toBe(true);
    expect((await bus.stats()).backpressure.braked).toBe(0);
    held.release();
  });

  it('ends at once for an aborted signal, with its reason; the message stays published', async () => {
    const { connect, settle } = busBench();
    const bus = await connect({ capacity: 2, backpressure: { threshold: 0, delayMs: 1_000 } });
    const held = hold();
    await bus.subscribe('t', held.handler);
    const controller = new AbortController();
    const braked = settles(bus.publish('t', 1, { signal: controller.signal }));
    await settle();
    expect(braked.hasSettled).toBe(false);
    controller.abort('enough');
    await expect(braked.promise).rejects.toBe('enough');
    held.release();
    await settle();
    expect(held.payloads).toEqual([1]);
  });

  it('lets go whom it brakes when the bus is closed', async () => {
    const { connect, settle } = busBench();
    const bus = await connect({ backpressure: { threshold: 0, delayMs: 1_000_000 } });
    await bus.subscribe('t', () => undefined);
    const braked = settles(bus.publish('t', 1));
    await settle();
    expect(braked.hasSettled).toBe(false);
    const closed = bus.close();
    expect(await braked.promise).toMatchObject({ delivered: 1 });
    await closed;
  });
});

describe('a publisher that waits for room', () => {
  it('waits for the slowest subscription with `backpressure`, and for no other', async () => {
    const { connect, settle } = busBench();
    const bus = await connect();
    const slow = hold();
    const dropping = hold();
    await bus.subscribe('t', slow.handler, { capacity: 1 });
    await bus.subscribe('t', dropping.handler, { capacity: 1, overflow: 'reject' });
    await bus.publish('t', 'in hand');
    await settle();
    await bus.publish('t', 'queued');
    const waiting = settles(bus.publish('t', 'waits'));
    await settle();
    expect(waiting.hasSettled).toBe(false);
    expect(bus.deadLetters.list().map(({ reason, payload }) => [reason, payload])).toEqual([
      ['overflow-dropped', 'waits'],
    ]);
    slow.release();
    expect(await waiting.promise).toMatchObject({ delivered: 1 });
    dropping.release();
  });

  it('gives up after timeoutMs with ERR_SEND_TIMEOUT, and is counted', async () => {
    const { connect, settle, advance } = busBench();
    const bus = await connect();
    const held = hold();
    await bus.subscribe('t', held.handler, { capacity: 1 });
    await bus.publish('t', 'in hand');
    await settle();
    await bus.publish('t', 'queued');
    const late = settles(bus.publish('t', 'late', { timeoutMs: 100 }));
    const controller = new AbortController();
    const aborted = settles(bus.publish('t', 'aborted', { signal: controller.signal }));
    await advance(101);
    controller.abort('enough');
    await expect(late.promise).rejects.toMatchObject({
      code: 'ERR_SEND_TIMEOUT',
      details: { timeoutMs: 100 },
    });
    await expect(aborted.promise).rejects.toBe('enough');
    expect((await bus.stats()).backpressure).toMatchObject({ waited: 2, refused: 2, waitedMs: 201 });
    held.release();
    await settle();
    expect(held.payloads).toEqual(['in hand', 'queued']);
  });

  it('is let go, and the copy dropped, when that subscription ends', async () => {
    const { connect, settle } = busBench();
    const bus = await connect();
    const held = hold();
    const subscription = await bus.subscribe('t', held.handler, { capacity: 1 });
    await bus.publish('t', 'in hand');
    await settle();
    await bus.publish('t', 'queued');
    const waiting = settles(bus.publish('t', 'waits'));
    await settle();
    const ended = subscription.unsubscribe();
    expect(await waiting.promise).toMatchObject({ delivered: 0 });
    held.release();
    await ended;
    expect(held.payloads).toEqual(['in hand']);
  });

  it('is one of waitersMax at most: beyond that a publish is refused with ERR_MAILBOX_WAITERS_FULL', async () => {
    const { connect, settle } = busBench();
    const bus = await connect();
    const held = hold();
    await bus.subscribe('t', held.handler, { capacity: 1 });
    await bus.publish('t', 'in hand');
    await settle();
    await bus.publish('t', 'queued');
    const outcomes = Array.from({ length: 10_001 }, (_, n) =>
      bus.publish('t', n).catch((error: unknown) => error),
    );
    const last = await outcomes.at(-1);
    expect(last).toMatchObject({ code: 'ERR_MAILBOX_WAITERS_FULL' });
    expect((await bus.stats()).backpressure).toMatchObject({ refused: 1, waited: 10_001 });
    const [subscription] = bus.queueSizes();
    expect(subscription?.waiting).toBe(10_000);
  });
});
