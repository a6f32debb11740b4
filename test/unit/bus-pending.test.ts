import { describe, expect, it } from 'vitest';
import { settles } from '../support/handlers.ts';
import { hold } from '../support/hold.ts';
import { busBench } from '../support/test-bus.ts';

describe('pending messages', () => {
  it('are shown most urgent first, then oldest first, with all that was said', async () => {
    const { connect, settle, clock } = busBench();
    const bus = await connect();
    const held = hold();
    await bus.subscribe('t.*', held.handler);
    await bus.publish('t.a', 'in hand');
    await settle();
    await bus.publish('t.a', 'low', { priority: 'low' });
    await bus.publish('t.b', 'first');
    await bus.publish('t.a', 'second');
    const { id } = await bus.publish('t.a', 'critical', {
      priority: 'critical',
      sender: 'me',
      correlationId: 'c',
      headers: { a: 'b' },
    });
    expect(bus.pending('t.*').map(({ payload }) => payload)).toEqual(['critical', 'first', 'second', 'low']);
    expect(bus.pending('t.a').map(({ payload }) => payload)).toEqual(['critical', 'second', 'low']);
    expect(bus.pending('#', { limit: 1 })).toEqual([
      {
        id,
        topic: 't.a',
        payload: 'critical',
        priority: 'critical',
        sender: 'me',
        correlationId: 'c',
        headers: { a: 'b' },
        publishedAtMs: clock.wallNow(),
        waitingAt: 1,
      },
    ]);
    held.release();
    await settle();
    expect(bus.pending('#')).toEqual([]);
  });

  it('are shown once each, wherever they wait: at several subscriptions, in a group, for room', async () => {
    const { connect, settle } = busBench();
    const bus = await connect();
    const held = hold();
    await bus.subscribe('t', held.handler, { capacity: 1 });
    await bus.subscribe('t', held.handler, { group: 'g', capacity: 10 });
    await bus.subscribe('t', held.handler, { capacity: 1, overflow: 'latest' });
    await bus.publish('t', 'in hand');
    await settle();
    await bus.publish('t', 'queued');
    const waiting = settles(bus.publish('t', 'waits'));
    await settle();
    const shown = bus.pending('t').map(({ payload, waitingAt }) => [payload, waitingAt]);
    // With `latest` the newer one has taken the place of the older.
    expect(shown).toEqual([
      ['queued', 2],
      ['waits', 3],
    ]);
    held.release();
    await waiting.promise;
  });

  it('are 100 unless said', async () => {
    const { connect, settle } = busBench();
    const bus = await connect();
    const held = hold();
    await bus.subscribe('t', held.handler);
    for (let n = 0; n < 150; n++) await bus.publish('t', n);
    await settle();
    expect(bus.pending('t')).toHaveLength(100);
    expect(bus.pending('t', { limit: 1_000 })).toHaveLength(149);
    held.release();
  });
});

describe('queue sizes and statistics of a bus', () => {
  it('are exact: queued by priority, capacity, fill and who waits', async () => {
    const { connect, settle } = busBench();
    const bus = await connect({ capacity: 4 });
    const held = hold();
    await bus.subscribe('t', held.handler);
    await bus.subscribe('other.#', () => undefined, { capacity: 9 });
    await bus.publish('t', 'in hand');
    await settle();
    for (const priority of ['low', 'low', 'high', 'normal'] as const) await bus.publish('t', 1, { priority });
    const waiting = settles(bus.publish('t', 2));
    await settle();
    expect(bus.queueSizes()).toEqual([
      {
        patterns: ['t'],
        queued: 4,
        byPriority: { critical: 0, urgent: 0, high: 1, normal: 1, low: 2, background: 0 },
        capacity: 4,
        fill: 1,
        waiting: 1,
      },
      {
        patterns: ['other.#'],
        queued: 0,
        byPriority: { critical: 0, urgent: 0, high: 0, normal: 0, low: 0, background: 0 },
        capacity: 9,
        fill: 0,
        waiting: 0,
      },
    ]);
    held.release();
    await waiting.promise;
  });

  it('count publishes and requests, and name what is there', async () => {
    const { connect, settle } = busBench();
    const bus = await connect();
    await bus.subscribe('q', (message) => message.isRequest && message.reply(1));
    await bus.publish('q', 1);
    await bus.publish('nobody', 1);
    await bus.request('q', 1);
    await settle();
    expect(await bus.stats()).toMatchObject({
      published: 2,
      requested: 1,
      queues: [{ patterns: ['q'], queued: 0 }],
      deadLetters: { kept: 0, total: 0 },
      store: undefined,
      statusesLost: 0,
    });
  });
});
