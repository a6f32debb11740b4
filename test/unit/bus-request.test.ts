import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { BusMessage } from '../../src/protocol/bus.ts';
import { settles } from '../support/handlers.ts';
import { hold } from '../support/hold.ts';
import { busBench, kernelOf } from '../support/test-bus.ts';

describe('a request', () => {
  it('resolves with what a handler replies, and carries what was said', async () => {
    const { connect } = busBench();
    const bus = await connect();
    const seen: BusMessage[] = [];
    await bus.subscribe('ask.*', (message) => {
      seen.push(message);
      message.reply({ twice: Number(message.payload) * 2 });
    });
    const reply = await bus.request('ask.double', 4, {
      priority: 'urgent',
      sender: 'me',
      correlationId: 'c',
      headers: { a: 'b' },
    });
    expect(reply).toEqual({ twice: 8 });
    expect(seen).toMatchObject([
      {
        payload: 4,
        isRequest: true,
        priority: 'urgent',
        sender: 'me',
        correlationId: 'c',
        headers: { a: 'b' },
      },
    ]);
  });

  it('may be answered after the handler has ended', async () => {
    const { connect, settle } = busBench();
    const bus = await connect();
    let kept: BusMessage | undefined;
    await bus.subscribe('q', (message) => {
      kept = message;
    });
    const reply = settles(bus.request('q', 1));
    await settle();
    expect(reply.hasSettled).toBe(false);
    kept?.reply('later');
    expect(await reply.promise).toBe('later');
    expect(bus.deadLetters.stats().total).toBe(0);
  });

  it('takes the first reply of several; the others are cancelled, queued or running', async () => {
    const { connect, settle } = busBench();
    const bus = await connect();
    const running = hold();
    const queued = hold();
    await bus.subscribe('q', running.handler);
    await bus.subscribe('q', queued.handler);
    await bus.publish('q', 'in hand of the second alone');
    await settle();
    const third = hold((message) => message.isRequest && message.reply('third'));
    await bus.subscribe('q', third.handler);
    const reply = await bus.request('q', 'question');
    expect(reply).toBe('third');
    running.release();
    queued.release();
    await settle();
    expect(queued.payloads).toEqual(['in hand of the second alone']);
    expect(running.payloads).toEqual(['in hand of the second alone']);
    third.release();
    await settle();
    // The winner's own handler is not disturbed.
    expect(third.endings).toEqual(['ended']);
  });

  it('aborts the running handlers of those who were slower', async () => {
    const { connect, settle } = busBench();
    const bus = await connect();
    const slow = hold();
    await bus.subscribe('q', slow.handler);
    await bus.subscribe('q', (message) => message.reply('fast'));
    expect(await bus.request('q', 1)).toBe('fast');
    await settle();
    expect(slow.endings).toEqual(['aborted']);
    expect(slow.messages[0]?.signal.reason).toMatchObject({
      code: 'ERR_REQUEST_OUTRUN',
      details: { topic: 'q' },
    });
  });

  it('makes a late reply a dead letter `late-reply`, a second one `duplicate-reply`, and never a message', async () => {
    const { connect, advance, settle } = busBench();
    const bus = await connect();
    const seen: BusMessage[] = [];
    await bus.subscribe('#', (message) => seen.push(message));
    const reply = settles(bus.request('q', 1, { timeoutMs: 100 }));
    await advance(101);
    await expect(reply.promise).rejects.toMatchObject({
      code: 'ERR_REQUEST_TIMEOUT',
      details: { topic: 'q', subscribers: 1, timeoutMs: 100 },
    });
    seen[0]?.reply('too late');
    const second = bus.request('q', 2);
    await settle();
    seen[1]?.reply('once');
    seen[1]?.reply('twice');
    expect(await second).toBe('once');
    await advance(10_000);
    expect(seen).toHaveLength(2);
    expect(bus.deadLetters.list().map(({ reason, payload }) => [reason, payload])).toEqual([
      ['late-reply', 'too late'],
      ['duplicate-reply', 'twice'],
    ]);
  });

  it('is never handled once its time is up, wherever it waits', async () => {
    const { connect, advance, settle } = busBench();
    const bus = await connect();
    const queue = hold();
    const room = hold();
    await bus.subscribe('queue', queue.handler);
    await bus.subscribe('room', room.handler, { capacity: 1 });
    for (const topic of ['queue', 'room']) await bus.publish(topic, 'in hand');
    await settle();
    await bus.publish('room', 'fills');
    const replies = ['queue', 'room'].map((topic) => settles(bus.request(topic, 'late', { timeoutMs: 50 })));
    await advance(51);
    for (const { promise } of replies)
      await expect(promise).rejects.toMatchObject({ code: 'ERR_REQUEST_TIMEOUT' });
    queue.release();
    room.release();
    await settle();
    expect(queue.payloads).toEqual(['in hand']);
    expect(room.payloads).toEqual(['in hand', 'fills']);
  });

  it('is taken back by its signal, with the work done for it', async () => {
    const { connect, settle } = busBench();
    const bus = await connect();
    const held = hold();
    await bus.subscribe('q', held.handler);
    const controller = new AbortController();
    const reply = settles(bus.request('q', 1, { signal: controller.signal }));
    await settle();
    controller.abort('enough');
    await expect(reply.promise).rejects.toBe('enough');
    await settle();
    expect(held.endings).toEqual(['aborted']);
    await expect(bus.request('q', 1, { signal: controller.signal })).rejects.toBe('enough');
    expect(held.payloads).toEqual([1]);
  });

  it('without a subscriber is rejected at once with ERR_SUBSCRIBER_MISSING', async () => {
    const { connect } = busBench();
    const bus = await connect();
    await expect(bus.request('q', 1)).rejects.toMatchObject({
      code: 'ERR_SUBSCRIBER_MISSING',
      details: { topic: 'q' },
      retryable: true,
    });
  });

  it('fails when every subscriber has failed or rejected it, with the last cause; one failure alone is none', async () => {
    const { connect, settle } = busBench();
    const bus = await connect();
    await bus.subscribe('q', (message) => message.reject('not mine'));
    await bus.subscribe('q', () => {
      throw new Error('broken');
    });
    await expect(bus.request('q', 1)).rejects.toMatchObject({
      code: 'ERR_REQUEST_FAILED',
      details: { topic: 'q', subscribers: 2 },
      cause: expect.any(Error),
    });
    await bus.subscribe('q', (message) => message.reply('mine'));
    expect(await bus.request('q', 2)).toBe('mine');
    await settle();
    expect(
      bus.deadLetters
        .list()
        .map(({ reason }) => reason)
        .toSorted(),
    ).toEqual(['handler-failed', 'handler-failed', 'rejected', 'rejected']);
  });

  it('is tried again where its subscription retries, and answered by a later attempt', async () => {
    const { connect, advance } = busBench();
    const bus = await connect();
    await bus.subscribe(
      'q',
      (message) => {
        if (message.attempt < 3) throw new Error('not yet');
        message.reply(message.attempt);
      },
      { retry: { attemptsMax: 3, backoff: { minMs: 10, maxMs: 10, jitter: 0 } } },
    );
    const reply = bus.request('q', 1);
    await advance(100);
    expect(await reply).toBe(3);
  });

  it('gives its reply as the schema makes it, and refuses one that does not fit with path and value', async () => {
    const { connect } = busBench();
    const bus = await connect();
    await bus.subscribe('answer', (message) => message.reply(message.payload));
    const schema = z.object({ order: z.object({ total: z.coerce.number() }) });
    expect(await bus.request('answer', { order: { total: '7' }, extra: 1 }, { schema })).toEqual({
      order: { total: 7 },
    });
    const refused = bus.request('answer', { order: { total: 'many' } }, { schema });
    await expect(refused).rejects.toMatchObject({
      code: 'ERR_REPLY_INVALID',
      details: { message: 'answer', issues: [expect.stringContaining('order.total')] },
      cause: { path: 'order.total' },
    });
    const error: unknown = await refused.catch((thrown: unknown) => thrown);
    expect((error as { readonly cause: { readonly value: unknown } }).cause.value).toBe('many');
  });

  it('goes to one member of a group', async () => {
    const { connect } = busBench();
    const bus = await connect();
    const answered: string[] = [];
    for (const name of ['a', 'b'])
      await bus.subscribe(
        'q',
        (message) => {
          answered.push(name);
          message.reply(name);
        },
        { group: 'g' },
      );
    for (let n = 0; n < 5; n++) await bus.request('q', n);
    expect(answered).toHaveLength(5);
  });

  it('is answered by who pulls his messages', async () => {
    const { connect, settle } = busBench();
    const bus = await connect();
    const pulled = bus.messages('q')[Symbol.asyncIterator]();
    const next = pulled.next();
    const reply = bus.request('q', 1);
    (await next).value?.reply('pulled');
    expect(await reply).toBe('pulled');
    const second = settles(bus.request('q', 2));
    (await pulled.next()).value?.reject('no');
    await pulled.return?.();
    await settle();
    await expect(second.promise).rejects.toMatchObject({ code: 'ERR_REQUEST_FAILED' });
  });

  it('leaves nothing behind: no timer, no listener, no call in flight', async () => {
    const { connect, settle, clock } = busBench();
    const bus = await connect();
    await bus.subscribe('q', (message) => message.reply(message.payload));
    const before = clock.pending;
    const controller = new AbortController();
    const { signal } = controller;
    for (let n = 0; n < 100; n++) expect(await bus.request('q', n, { signal })).toBe(n);
    await settle();
    expect(kernelOf(bus).asksInFlight).toBe(0);
    expect(clock.pending - before).toBeLessThanOrEqual(1);
  });
});

describe('a reply', () => {
  it('needs no message before it: what a handler names in its parameters works', async () => {
    const { connect, settle } = busBench();
    const bus = await connect();
    await bus.subscribe('q', ({ payload, reply, reject }) =>
      payload === 1 ? reply('one') : reject('not one'),
    );
    expect(await bus.request('q', 1)).toBe('one');
    await expect(bus.request('q', 2)).rejects.toMatchObject({ code: 'ERR_REQUEST_FAILED' });
    await settle();
  });

  it('to what is no request throws ERR_REPLY_UNWANTED, and so does a rejection after the handler', async () => {
    const { connect, settle } = busBench();
    const bus = await connect();
    const errors: unknown[] = [];
    let kept: BusMessage | undefined;
    await bus.subscribe('t', (message) => {
      kept = message;
      try {
        message.reply(1);
      } catch (error) {
        errors.push(error);
      }
    });
    const { id } = await bus.publish('t', 1);
    await settle();
    expect(errors).toMatchObject([{ code: 'ERR_REPLY_UNWANTED', details: { id, topic: 't' } }]);
    expect(() => kept?.reject('late')).toThrow(expect.objectContaining({ code: 'ERR_REPLY_UNWANTED' }));
  });

  it('to a request that was replayed goes nowhere, and the handler does not fail', async () => {
    const { connect, settle } = busBench();
    const bus = await connect();
    let isBroken = true;
    const seen: boolean[] = [];
    await bus.subscribe('q', (message) => {
      if (isBroken) throw new Error('broken');
      seen.push(message.isRequest);
      message.reply('nobody waits');
    });
    await expect(bus.request('q', 1)).rejects.toMatchObject({ code: 'ERR_REQUEST_FAILED' });
    isBroken = false;
    const [letter] = bus.deadLetters.list();
    await bus.deadLetters.replay(letter?.id ?? '');
    await settle();
    expect(seen).toEqual([true]);
    expect(bus.deadLetters.stats()).toMatchObject({ kept: 0, total: 1, replayed: 1 });
  });
});
