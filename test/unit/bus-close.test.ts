import { describe, expect, it } from 'vitest';
import { memoryStore } from '../../adapters/store/index.ts';
import { MessageBus } from '../../src/index.ts';
import type { RuntimeEvent } from '../../src/protocol/events.ts';
import { KILL_GRACE_MS } from '../../src/protocol/limits.ts';
import { settles } from '../support/handlers.ts';
import { hold } from '../support/hold.ts';
import { never } from '../support/puppet.ts';
import { busBench } from '../support/test-bus.ts';

describe('the end of a bus', () => {
  it('lets handlers get what is queued, then ends', async () => {
    const { connect } = busBench();
    const bus = await connect();
    const seen: unknown[] = [];
    await bus.subscribe('t', async ({ payload }) => {
      await Promise.resolve();
      seen.push(payload);
    });
    for (let n = 0; n < 100; n++) await bus.publish('t', n);
    await bus.close();
    expect(seen).toHaveLength(100);
  });

  it('aborts what still runs after drainMs; what is left are dead letters `stopped`', async () => {
    const { connect, settle, advance } = busBench();
    const bus = await connect();
    const held = hold();
    await bus.subscribe('t', held.handler);
    await bus.publish('t', 'in hand');
    await settle();
    await bus.publish('t', 'queued');
    const closed = settles(bus.close({ drainMs: 50 }));
    await advance(49);
    expect([closed.hasSettled, held.endings]).toEqual([false, []]);
    await advance(100_000);
    await closed.promise;
    expect(held.endings).toEqual(['aborted']);
    expect(bus.deadLetters.list()).toMatchObject([{ reason: 'stopped', payload: 'queued' }]);
  });

  it('P118 waits for drainMs and the grace of an abort, whatever a handler does: its message is told', async () => {
    const { connect, settle, advance } = busBench();
    const logged: string[] = [];
    const bus = await connect({ log: ({ text }) => logged.push(text) });
    const events: RuntimeEvent[] = [];
    bus.events.subscribe((event) => events.push(event));
    await bus.subscribe('t', never);
    await bus.subscribe('many', never, { concurrency: 2 });
    const confirmed = settles(bus.publish('t', 1, { confirm: 'handled' }));
    for (const payload of [1, 2, 3]) await bus.publish('many', payload);
    await settle();
    const closed = settles(bus.close({ drainMs: 50 }));
    await advance(50 + KILL_GRACE_MS - 1);
    expect(closed.hasSettled).toBe(false);
    await advance(1);
    expect(closed.hasSettled).toBe(true);
    expect(await confirmed.promise).toMatchObject({ delivered: 1, handled: 0, failed: 1 });
    const disowned = events.filter(({ type }) => type === 'turn-disowned');
    expect(disowned).toMatchObject([{ topic: 't' }, { topic: 'many' }, { topic: 'many' }]);
    expect(logged).toContain("a turn of a message of topic 't' was disowned and may still run");
    expect(bus.deadLetters.list()).toMatchObject([{ reason: 'stopped', topic: 'many', payload: 3 }]);
  });

  it('lets a handler that heeds its signal end by itself, at once', async () => {
    const { connect, clock, settle } = busBench();
    const bus = await connect();
    const events: RuntimeEvent[] = [];
    bus.events.subscribe((event) => events.push(event));
    const held = hold();
    await bus.subscribe('t', held.handler);
    await bus.publish('t', 1);
    await settle();
    const closed = settles(bus.close({ drainMs: 0 }));
    await settle();
    expect([closed.hasSettled, held.endings]).toEqual([true, ['aborted']]);
    expect(events.filter(({ type }) => type === 'turn-disowned')).toEqual([]);
    expect(clock.pending).toBe(0);
  });

  it('P118 ends what an unsubscribe waits for, and a replay, in the same time', async () => {
    const { connect, settle, advance } = busBench();
    const bus = await connect({ store: memoryStore() });
    await bus.publish('t', 1);
    await bus.publish('t', 2);
    const replayed = settles(bus.replay('t', never));
    const subscription = await bus.subscribe('t', never);
    await bus.publish('t', 3);
    const held = hold();
    await bus.subscribe('u', held.handler);
    await bus.publish('u', 'in hand');
    await bus.publish('u', 'queued');
    await settle();
    const unsubscribed = settles(bus.unsubscribe(subscription));
    await settle();
    const closed = settles(bus.close({ drainMs: 0 }));
    await advance(KILL_GRACE_MS);
    expect(held.payloads).toEqual(['in hand']); // nobody goes on while others are waited for
    expect([closed.hasSettled, unsubscribed.hasSettled]).toEqual([true, true]);
    await expect(replayed.promise).rejects.toMatchObject({ code: 'ERR_BUS_CLOSED' });
  });

  it('refuses every call afterwards with ERR_BUS_CLOSED; what only looks still answers', async () => {
    const { connect } = busBench();
    const bus = await connect({ name: 'mine' });
    const subscription = await bus.subscribe('t', () => undefined);
    await bus.close();
    const calls = [
      () => bus.publish('t', 1),
      () => bus.publish('t', 1, { confirm: 'handled' }),
      () => bus.request('t', 1),
      () => bus.subscribe('t', () => undefined),
      () => bus.replay('t', () => undefined),
    ];
    for (const call of calls)
      await expect(call()).rejects.toMatchObject({ code: 'ERR_BUS_CLOSED', details: { name: 'mine' } });
    await bus.unsubscribe(subscription);
    expect(bus.pending('#')).toEqual([]);
    expect(bus.queueSizes()).toEqual([]);
    expect(await bus.stats()).toMatchObject({ published: 0 });
    expect(bus.deadLetters.list()).toEqual([]);
  });

  it('ends those who wait: for room, for a confirmation, for a reply', async () => {
    const { connect, settle, advance } = busBench();
    const bus = await connect();
    const held = hold();
    await bus.subscribe('t', held.handler, { capacity: 1 });
    await bus.publish('t', 'in hand');
    await settle();
    const confirmed = settles(bus.publish('t', 'queued', { confirm: 'handled' }));
    const waiting = settles(bus.publish('t', 'waits'));
    await bus.subscribe('q', () => undefined);
    const request = settles(bus.request('q', 1));
    await settle();
    const closed = bus.close({ drainMs: 0 });
    await advance(100_000);
    await closed;
    expect(await confirmed.promise).toMatchObject({ delivered: 1, handled: 0, failed: 1 });
    expect(await waiting.promise).toMatchObject({ delivered: 0 });
    await expect(request.promise).rejects.toMatchObject({ code: 'ERR_BUS_CLOSED' });
    expect(bus.deadLetters.list({ reason: 'stopped' }).map(({ payload }) => payload)).toEqual([
      'queued',
      'waits',
    ]);
  });

  it('is one end, however often and from wherever it is called', async () => {
    const { connect, settle } = busBench();
    const bus = await connect();
    const ends: Promise<void>[] = [];
    await bus.subscribe('t', () => {
      ends.push(bus.close());
    });
    await bus.publish('t', 1);
    await settle();
    await Promise.all([...ends, bus.close(), bus[Symbol.asyncDispose]()]);
    expect(ends).toHaveLength(1);
  });

  it('leaves no timer behind', async () => {
    const { connect, clock, settle, advance } = busBench();
    const bus = await connect({ backpressure: { threshold: 0 } });
    const held = hold();
    await bus.subscribe('t', held.handler);
    settles(bus.publish('t', 1, { confirm: 'handled', ttlMs: 1_000 }));
    settles(bus.request('t', 1));
    await settle();
    const closed = bus.close({ drainMs: 0 });
    await advance(100_000);
    await closed;
    expect(clock.pending).toBe(0);
  });

  it('comes with `await using`, on the clock of the process', async () => {
    // What `await using` calls. (The syntax itself is beyond a tool of the gate.)
    const bus = await MessageBus.connect({ log: false });
    await bus.subscribe('q', (message) => message.reply('here'));
    expect(await bus.request('q', 1)).toBe('here');
    await bus[Symbol.asyncDispose]();
    await expect(bus.publish('t', 1)).rejects.toMatchObject({ code: 'ERR_BUS_CLOSED' });
  });
});
