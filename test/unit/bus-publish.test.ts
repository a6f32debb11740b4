import { describe, expect, it } from 'vitest';
import type { BusMessage } from '../../src/protocol/bus.ts';
import { PRIORITIES } from '../../src/protocol/priority.ts';
import { settles } from '../support/handlers.ts';
import { hold } from '../support/hold.ts';

import { busBench } from '../support/test-bus.ts';

describe('a publish', () => {
  it('reaches every subscription that fits, in the order of its calls, with all that was said', async () => {
    const { connect, settle, clock } = busBench();
    const bus = await connect();
    const seen: BusMessage[] = [];
    await bus.subscribe('agent.*', (message) => seen.push(message));
    await bus.subscribe('agent.#', (message) => seen.push(message));
    await bus.subscribe('other', (message) => seen.push(message));
    const { id, delivered } = await bus.publish(
      'agent.a',
      { n: 1 },
      { priority: 'high', sender: 'me', correlationId: 'c-1', headers: { tenant: 'x' } },
    );
    await settle();
    expect(delivered).toBe(2);
    expect(seen).toHaveLength(2);
    for (const message of seen)
      expect(message).toMatchObject({
        id,
        topic: 'agent.a',
        payload: { n: 1 },
        priority: 'high',
        sender: 'me',
        correlationId: 'c-1',
        headers: { tenant: 'x' },
        publishedAtMs: clock.wallNow(),
        attempt: 1,
        isRequest: false,
      });
  });

  it('takes any payload, not only objects', async () => {
    const { connect, settle } = busBench();
    const bus = await connect();
    const seen: unknown[] = [];
    await bus.subscribe('t', ({ payload }) => seen.push(payload));
    const payloads = [1, 'text', null, undefined, [1], { a: 1 }, false];
    for (const payload of payloads) await bus.publish('t', payload);
    await settle();
    expect(seen).toEqual(payloads);
  });

  it('has an id that no other message of this bus, or of another, has', async () => {
    const { connect } = busBench();
    const [one, two] = [await connect(), await connect()];
    const ids = new Set<string>();
    for (let n = 0; n < 100; n++) {
      ids.add((await one.publish('t', n)).id);
      ids.add((await two.publish('t', n)).id);
    }
    expect(ids.size).toBe(200);
  });

  it('without subscribers resolves with zeros, and leaves no dead letter', async () => {
    const { connect } = busBench();
    const bus = await connect();
    expect(await bus.publish('t', 1)).toEqual({ id: expect.any(String), delivered: 0 });
    expect(await bus.publish('t', 1, { confirm: 'handled' })).toEqual({
      id: expect.any(String),
      delivered: 0,
      handled: 0,
      failed: 0,
    });
    expect(bus.deadLetters.stats().total).toBe(0);
  });

  it('never reaches who subscribes later, or has unsubscribed', async () => {
    const { connect, settle } = busBench();
    const bus = await connect();
    const seen: string[] = [];
    const first = await bus.subscribe('t', ({ payload }) => seen.push(`first ${String(payload)}`));
    await bus.publish('t', 1);
    await settle();
    await bus.subscribe('t', ({ payload }) => seen.push(`second ${String(payload)}`));
    await bus.unsubscribe(first);
    await bus.publish('t', 2);
    await settle();
    expect(seen).toEqual(['first 1', 'second 2']);
  });

  it('is handled most urgent first, and in order of calls among equals', async () => {
    const { connect, settle } = busBench();
    const bus = await connect();
    const { handler, release, payloads } = hold();
    await bus.subscribe('t', handler);
    await bus.publish('t', 'in hand');
    await settle();
    const expected = PRIORITIES.flatMap((priority) => [`${priority} 1`, `${priority} 2`]);
    for (const n of [1, 2])
      for (const priority of PRIORITIES.toReversed())
        await bus.publish('t', `${priority} ${n}`, { priority });
    release();
    await settle();
    expect(payloads).toEqual(['in hand', ...expected]);
  });

  it('goes to one member of each group, and to everybody without one', async () => {
    const { connect, settle } = busBench();
    const bus = await connect();
    const seen: string[] = [];
    for (const name of ['a', 'b'])
      await bus.subscribe('t', ({ payload }) => seen.push(`group ${String(payload)} by ${name}`), {
        group: 'g',
      });
    await bus.subscribe('t', ({ payload }) => seen.push(`alone ${String(payload)}`));
    for (let n = 0; n < 4; n++) expect((await bus.publish('t', n)).delivered).toBe(2);
    await settle();
    expect(seen.filter((line) => line.startsWith('alone'))).toHaveLength(4);
    expect(seen.filter((line) => line.startsWith('group'))).toHaveLength(4);
  });

  it('runs at most `concurrency` handlers of a subscription at once', async () => {
    const { connect, settle } = busBench();
    const bus = await connect();
    const { handler, release, running, payloads } = hold();
    await bus.subscribe('t', handler, { concurrency: 3 });
    for (let n = 0; n < 10; n++) await bus.publish('t', n);
    await settle();
    expect(running()).toBe(3);
    release();
    await settle();
    expect(payloads).toHaveLength(10);
  });
});

describe('a publish that is to be handled', () => {
  it('resolves when all handlers have ended, and counts those that failed without rejecting', async () => {
    const { connect, settle } = busBench();
    const bus = await connect();
    const { handler, release } = hold();
    await bus.subscribe('t', handler);
    await bus.subscribe('t', () => undefined);
    await bus.subscribe('t', () => {
      throw new Error('broken');
    });
    const receipt = settles(bus.publish('t', 1, { confirm: 'handled' }));
    await settle();
    expect(receipt.hasSettled).toBe(false);
    release();
    expect(await receipt.promise).toMatchObject({ delivered: 3, handled: 2, failed: 1 });
  });

  it('waits for all attempts, and counts the message once', async () => {
    const { connect, advance } = busBench();
    const bus = await connect();
    const attempts: number[] = [];
    await bus.subscribe(
      't',
      ({ attempt }) => {
        attempts.push(attempt);
        if (attempt < 3) throw new Error('not yet');
      },
      { retry: { attemptsMax: 3, backoff: { minMs: 10, maxMs: 10, jitter: 0 } } },
    );
    const receipt = settles(bus.publish('t', 1, { confirm: 'handled' }));
    await advance(5);
    expect(receipt.hasSettled).toBe(false);
    await advance(100);
    expect(await receipt.promise).toMatchObject({ delivered: 1, handled: 1, failed: 0 });
    expect(attempts).toEqual([1, 2, 3]);
  });

  it('counts what expired, was dropped, or lost its subscription as failed', async () => {
    const { connect, advance, settle } = busBench();
    const bus = await connect();
    const held = hold();
    const subscription = await bus.subscribe('t', held.handler, { capacity: 1, overflow: 'drop-oldest' });
    await bus.publish('t', 'in hand');
    await settle();
    const dropped = bus.publish('t', 'dropped', { confirm: 'handled' });
    const expired = bus.publish('t', 'expired', { confirm: 'handled', ttlMs: 10 });
    await settle();
    expect(await dropped).toMatchObject({ delivered: 1, handled: 0, failed: 1 });
    await advance(11);
    const cancelled = bus.publish('t', 'cancelled', { confirm: 'handled' });
    await settle();
    expect(await expired).toMatchObject({ delivered: 1, handled: 0, failed: 1 });
    const ended = bus.unsubscribe(subscription);
    expect(await cancelled).toMatchObject({ delivered: 1, handled: 0, failed: 1 });
    held.release();
    await settle();
    await ended;
    expect(held.payloads).toEqual(['in hand']);
  });

  it('gives up after its time with ERR_CONFIRM_TIMEOUT, and the message stays published', async () => {
    const { connect, advance, settle } = busBench();
    const bus = await connect();
    const held = hold();
    await bus.subscribe('t', held.handler);
    await bus.subscribe('t', () => undefined);
    const receipt = settles(bus.publish('t', 1, { confirm: 'handled', timeoutMs: 100 }));
    await advance(101);
    await expect(receipt.promise).rejects.toMatchObject({
      code: 'ERR_CONFIRM_TIMEOUT',
      details: { topic: 't', timeoutMs: 100, handled: 1, failed: 0 },
    });
    held.release();
    await settle();
    expect(held.payloads).toEqual([1]);
    expect(held.endings).toEqual(['ended']);
  });

  it('ends at once when its signal is aborted, with the reason, and cancels nobody', async () => {
    const { connect, settle } = busBench();
    const bus = await connect();
    const held = hold();
    await bus.subscribe('t', held.handler);
    const controller = new AbortController();
    const receipt = settles(bus.publish('t', 1, { confirm: 'handled', signal: controller.signal }));
    await settle();
    controller.abort('enough');
    await expect(receipt.promise).rejects.toBe('enough');
    held.release();
    await settle();
    expect(held.endings).toEqual(['ended']);
  });

  it('is bounded: with asksInFlightMax waiting, one more is refused before anybody gets it', async () => {
    const { connect, settle } = busBench();
    const bus = await connect({ asksInFlightMax: 2 });
    const held = hold();
    await bus.subscribe('t', held.handler);
    const waiting = [1, 2].map((n) => bus.publish('t', n, { confirm: 'handled' }));
    await expect(bus.publish('t', 3, { confirm: 'handled' })).rejects.toMatchObject({
      code: 'ERR_ASKS_IN_FLIGHT_FULL',
      details: { max: 2 },
    });
    held.release();
    await settle();
    await Promise.all(waiting);
    expect(held.payloads).toEqual([1, 2]);
    expect(await bus.publish('t', 4, { confirm: 'handled' })).toMatchObject({ handled: 1 });
  });
});

describe('the time to live of a message', () => {
  it('is over wherever it waits: in a queue, for room, in a group, at a pulled window, for another attempt', async () => {
    const { connect, advance, settle } = busBench();
    const bus = await connect();
    const held = hold();
    const alone = hold();
    const member = hold();
    const tried: number[] = [];
    await bus.subscribe('queue', held.handler);
    await bus.subscribe('room', alone.handler, { capacity: 1 });
    await bus.subscribe('group', member.handler, { group: 'g', concurrency: 1 });
    await bus.subscribe(
      'retry',
      ({ attempt }) => {
        tried.push(attempt);
        throw new Error('again');
      },
      { retry: { attemptsMax: 3, backoff: { minMs: 50, maxMs: 50, jitter: 0 } } },
    );
    const pulled = bus.messages('pulled')[Symbol.asyncIterator]();
    const topics = ['queue', 'room', 'group', 'pulled'];
    const first = pulled.next();
    for (const topic of topics) await bus.publish(topic, 'in hand');
    await settle();
    await first;
    await bus.publish('room', 'fills');
    const waiting = bus.publish('room', 'late', { ttlMs: 20 });
    for (const topic of ['queue', 'group', 'pulled', 'retry'])
      await bus.publish(topic, 'late', { ttlMs: 20 });
    await advance(21);
    for (const one of [held, alone, member]) one.release();
    await settle();
    await waiting;
    await advance(200);
    const next = settles(pulled.next());
    await settle();
    expect(next.hasSettled).toBe(false);
    await pulled.return?.();
    expect(held.payloads).toEqual(['in hand']);
    expect(alone.payloads).toEqual(['in hand', 'fills']);
    expect(member.payloads).toEqual(['in hand']);
    expect(tried).toEqual([1]);
    const letters = bus.deadLetters.list({ reason: 'expired' });
    expect(letters).toHaveLength(5);
    expect(new Set(letters.map(({ topic }) => topic))).toEqual(
      new Set(['group', 'pulled', 'queue', 'retry', 'room']),
    );
  });

  it('is kept at its last millisecond', async () => {
    const { connect, advance, settle } = busBench();
    const bus = await connect();
    const held = hold();
    await bus.subscribe('t', held.handler);
    await bus.publish('t', 'in hand');
    await settle();
    await bus.publish('t', 'just', { ttlMs: 20 });
    await bus.publish('t', 'late', { ttlMs: 19 });
    await advance(20);
    held.release();
    await settle();
    expect(held.payloads).toEqual(['in hand', 'just']);
  });
});
