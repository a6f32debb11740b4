import { describe, expect, it } from 'vitest';
import type { RuntimeEvent } from '../../src/protocol/events.ts';
import { hold } from '../support/hold.ts';
import { busBench } from '../support/test-bus.ts';

const fails = (): never => {
  throw new Error('broken');
};

describe('the dead letters of a bus', () => {
  it('say what failed, with payload, topic, sender, stack and each attempt', async () => {
    const { connect, advance, clock } = busBench();
    const bus = await connect();
    await bus.subscribe('t', fails, {
      retry: { attemptsMax: 3, backoff: { minMs: 10, maxMs: 10, jitter: 0 } },
    });
    const { id } = await bus.publish('t', { n: 1 }, { sender: 'me', priority: 'high' });
    await advance(100);
    const [letter] = bus.deadLetters.list();
    expect(letter).toMatchObject({
      messageId: id,
      reason: 'attempts-exhausted',
      topic: 't',
      payload: { n: 1 },
      priority: 'high',
      sender: 'me',
      attempts: 3,
      replays: 0,
      error: { message: 'broken', stack: expect.stringContaining('bus-dead-letters.test.ts') },
      deadAtMs: clock.wallNow() - 80,
    });
    expect(letter?.history.map(({ attempt, atMs }) => [attempt, atMs - clock.wallNow()])).toEqual([
      [1, -100],
      [2, -90],
      [3, -80],
    ]);
  });

  it('have a reason for each way to be lost', async () => {
    const { connect, advance, settle } = busBench();
    const bus = await connect();
    const held = hold();
    await bus.subscribe('failed', fails);
    await bus.subscribe('rejected', (message) => message.reject('no such customer'));
    await bus.subscribe('dropped', held.handler, { capacity: 1, overflow: 'drop-newest' });
    await bus.subscribe('refused', held.handler, { capacity: 1, overflow: 'reject' });
    await bus.subscribe('conflated', held.handler, { overflow: 'latest' });
    await bus.subscribe('expired', held.handler);
    for (const topic of ['dropped', 'refused', 'conflated', 'expired']) await bus.publish(topic, 0);
    await settle();
    for (const topic of ['failed', 'rejected']) await bus.publish(topic, 1);
    for (const topic of ['dropped', 'refused', 'conflated'])
      for (const n of [1, 2]) await bus.publish(topic, n);
    await bus.publish('expired', 1, { ttlMs: 10 });
    await advance(11);
    held.release();
    await settle();
    const letters = bus.deadLetters.list().map(({ topic, reason, payload }) => [topic, reason, payload]);
    expect(letters).toHaveLength(6);
    expect(new Set(letters)).toEqual(
      new Set([
        ['conflated', 'overflow-dropped', 1],
        ['dropped', 'overflow-dropped', 2],
        ['expired', 'expired', 1],
        ['failed', 'handler-failed', 1],
        ['refused', 'overflow-dropped', 2],
        ['rejected', 'rejected', 1],
      ]),
    );
  });

  it('are listed by topic, pattern, reason, sender and time, page by page', async () => {
    const { connect, settle, advance, clock } = busBench();
    const bus = await connect();
    await bus.subscribe('mail.*', fails);
    await bus.subscribe('other', (message) => message.reject('no'));
    await bus.publish('mail.a', 1, { sender: 'x' });
    await bus.publish('mail.b', 2, { sender: 'y' });
    await advance(100);
    const later = clock.wallNow();
    await bus.publish('mail.a', 3, { sender: 'y' });
    await bus.publish('other', 4);
    await settle();
    const { deadLetters } = bus;
    const payloads = (filter?: Parameters<typeof deadLetters.list>[0]): unknown[] =>
      deadLetters.list(filter).map(({ payload }) => payload);
    expect(payloads()).toEqual([1, 2, 3, 4]);
    expect(payloads({ topic: 'mail.a' })).toEqual([1, 3]);
    expect(payloads({ topic: 'mail.#' })).toEqual([1, 2, 3]);
    expect(payloads({ reason: 'rejected' })).toEqual([4]);
    expect(payloads({ sender: 'y' })).toEqual([2, 3]);
    expect(payloads({ sinceMs: later })).toEqual([3, 4]);
    expect(payloads({ untilMs: later })).toEqual([1, 2]);
    const [, second] = deadLetters.list({ limit: 2 });
    expect(payloads({ after: second?.id, limit: 1 })).toEqual([3]);
  });

  it('are replayed one by one, to the subscription that failed and to no other', async () => {
    const { connect, settle } = busBench();
    const bus = await connect();
    let isBroken = true;
    const mended: unknown[] = [];
    const other: unknown[] = [];
    await bus.subscribe('t', ({ payload, attempt, topic, headers, sender, correlationId }) => {
      if (isBroken) throw new Error('broken');
      mended.push({ payload, attempt, topic, headers, sender, correlationId });
    });
    await bus.subscribe('t', ({ payload }) => other.push(payload));
    await bus.publish('t', 1, { headers: { a: 'b' }, sender: 'me', correlationId: 'c', ttlMs: 1_000 });
    await settle();
    isBroken = false;
    const [letter] = bus.deadLetters.list();
    await bus.deadLetters.replay(letter?.id ?? '');
    await settle();
    expect(mended).toEqual([
      { payload: 1, attempt: 2, topic: 't', headers: { a: 'b' }, sender: 'me', correlationId: 'c' },
    ]);
    expect(other).toEqual([1]);
    expect(bus.deadLetters.stats()).toMatchObject({ kept: 0, replayed: 1, total: 1 });
  });

  it('are replayed all that match, and those that cannot be are named', async () => {
    const { connect, settle } = busBench();
    const bus = await connect();
    let isBroken = true;
    const seen: unknown[] = [];
    const handler = ({ payload }: { readonly payload: unknown }): void => {
      if (isBroken) throw new Error('broken');
      seen.push(payload);
    };
    await bus.subscribe('a', handler);
    const gone = await bus.subscribe('b', handler);
    for (const topic of ['a', 'b', 'a']) await bus.publish(topic, topic);
    await settle();
    isBroken = false;
    await gone.unsubscribe();
    const report = await bus.deadLetters.replayAll();
    await settle();
    expect(report).toMatchObject({ replayed: 2, refused: [{ error: { code: 'ERR_ACTOR_UNKNOWN' } }] });
    expect(seen).toEqual(['a', 'a']);
    expect(bus.deadLetters.list().map(({ topic }) => topic)).toEqual(['b']);
  });

  it('of one message are replayed replaysMax times in all, whatever ids it had', async () => {
    const { connect, settle } = busBench();
    const bus = await connect({ deadLetters: { replaysMax: 2 } });
    let runs = 0;
    await bus.subscribe('t', () => {
      runs++;
      throw new Error('broken');
    });
    await bus.publish('t', 1);
    await settle();
    for (let n = 0; n < 2; n++) {
      expect(await bus.deadLetters.replayAll()).toMatchObject({ replayed: 1, refused: [] });
      await settle();
    }
    const [letter] = bus.deadLetters.list();
    expect(letter).toMatchObject({ replays: 2, attempts: 3 });
    await expect(bus.deadLetters.replay(letter?.id ?? '')).rejects.toMatchObject({
      code: 'ERR_REPLAYS_EXHAUSTED',
    });
    expect(runs).toBe(3);
  });

  it('are discarded one by one or all that match, and counted', async () => {
    const { connect, settle } = busBench();
    const bus = await connect();
    await bus.subscribe('#', fails);
    for (const topic of ['a', 'b', 'b', 'c']) await bus.publish(topic, topic);
    await settle();
    const [letter] = bus.deadLetters.list();
    expect(bus.deadLetters.discard(letter?.id ?? '')).toBe(true);
    expect(bus.deadLetters.discard(letter?.id ?? '')).toBe(false);
    expect(bus.deadLetters.discardAll({ topic: 'b' })).toBe(2);
    expect(bus.deadLetters.stats()).toEqual({
      kept: 1,
      total: 4,
      evicted: 0,
      discarded: 3,
      replayed: 0,
      byReason: { 'handler-failed': 4 },
      byTopic: [{ topic: 'c', kept: 1 }],
      otherTopics: 0,
    });
  });

  it('are bounded: the oldest falls off, is counted and told', async () => {
    const { connect, settle } = busBench();
    const bus = await connect({ deadLetters: { max: 3 } });
    const evicted: RuntimeEvent[] = [];
    bus.events.subscribe((event) => {
      if (event.type === 'dead-letter-evicted') evicted.push(event);
    });
    await bus.subscribe('t', fails);
    for (let n = 0; n < 5; n++) await bus.publish('t', n);
    await settle();
    expect(bus.deadLetters.list().map(({ payload }) => payload)).toEqual([2, 3, 4]);
    expect(bus.deadLetters.stats()).toMatchObject({ kept: 3, total: 5, evicted: 2 });
    expect(evicted).toHaveLength(2);
  });

  it('come one after the other to who iterates them', async () => {
    const { connect, settle } = busBench();
    const bus = await connect();
    await bus.subscribe('t', fails);
    const letters = bus.deadLetters[Symbol.asyncIterator]();
    const next = letters.next();
    await bus.publish('t', 1);
    await settle();
    expect((await next).value).toMatchObject({ reason: 'handler-failed', topic: 't', payload: 1 });
    await letters.return?.();
  });
});
