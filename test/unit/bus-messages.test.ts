import { describe, expect, it } from 'vitest';
import type { BusMessage } from '../../src/protocol/bus.ts';
import { settles } from '../support/handlers.ts';
import { busBench } from '../support/test-bus.ts';

const iterate = (messages: AsyncIterable<BusMessage>): AsyncIterator<BusMessage> =>
  messages[Symbol.asyncIterator]();

describe('messages pulled from a bus', () => {
  it('come with what handlers get, in the order of the window', async () => {
    const { connect } = busBench();
    const bus = await connect();
    const pulled = iterate(bus.messages('agent.*'));
    const next = pulled.next();
    const { id } = await bus.publish('agent.a', 1, { sender: 'me', correlationId: 'c', headers: { a: 'b' } });
    expect((await next).value).toMatchObject({
      id,
      topic: 'agent.a',
      payload: 1,
      sender: 'me',
      correlationId: 'c',
      headers: { a: 'b' },
      attempt: 1,
      isRequest: false,
    });
    await pulled.return?.();
  });

  it('are no more than the window has room for; publishers wait for the rest', async () => {
    const { connect, settle } = busBench();
    const bus = await connect();
    const pulled = iterate(bus.messages('t', { window: 2 }));
    const published = Array.from({ length: 4 }, (_, n) => settles(bus.publish('t', n)));
    await settle();
    const open = (): number => published.filter(({ hasSettled }) => !hasSettled).length;
    expect(open()).toBe(2);
    expect((await pulled.next()).value?.payload).toBe(0);
    await settle();
    // One in hand and one queued: a slot is free only when the first is settled.
    expect(open()).toBe(2);
    expect((await pulled.next()).value?.payload).toBe(1);
    await settle();
    expect(open()).toBe(1);
    await pulled.return?.();
    await settle();
    expect(open()).toBe(0);
  });

  it('are handled for a publisher only when the next one is asked for', async () => {
    const { connect, settle } = busBench();
    const bus = await connect();
    const pulled = iterate(bus.messages('t'));
    const first = pulled.next();
    const receipt = settles(bus.publish('t', 1, { confirm: 'handled' }));
    await first;
    await settle();
    expect(receipt.hasSettled).toBe(false);
    const second = pulled.next();
    expect(await receipt.promise).toMatchObject({ delivered: 1, handled: 1, failed: 0 });
    await pulled.return?.();
    expect(await second).toEqual({ done: true, value: undefined });
  });

  it('that are rejected are dead letters `rejected` with the reason', async () => {
    const { connect } = busBench();
    const bus = await connect();
    const receipt = bus.publish('other', 1);
    const pulled = iterate(bus.messages('t'));
    const next = pulled.next();
    const publish = bus.publish('t', 1, { confirm: 'handled' });
    (await next).value?.reject('no such customer');
    await pulled.return?.();
    expect(await publish).toMatchObject({ handled: 0, failed: 1 });
    expect(bus.deadLetters.list()).toMatchObject([
      {
        reason: 'rejected',
        topic: 't',
        payload: 1,
        error: expect.objectContaining({ message: 'no such customer' }),
      },
    ]);
    await receipt;
  });

  it('end with `break`, finally: the subscription is gone, and what is queued is cancelled', async () => {
    const { connect } = busBench();
    const bus = await connect();
    const seen: unknown[] = [];
    const messages = bus.messages('t');
    const pulled = (async () => {
      for await (const { payload } of messages) {
        seen.push(payload);
        break;
      }
    })();
    await bus.publish('t', 1);
    await bus.publish('t', 2);
    await pulled;
    expect(seen).toEqual([1]);
    expect(bus.queueSizes()).toEqual([]);
    expect(await bus.publish('t', 3)).toMatchObject({ delivered: 0 });
  });

  it('end without failing when their signal is aborted, and when the bus is closed', async () => {
    const { connect } = busBench();
    const bus = await connect();
    const controller = new AbortController();
    const aborted = iterate(bus.messages('t', { signal: controller.signal })).next();
    const closed = iterate(bus.messages('t')).next();
    controller.abort('enough');
    expect(await aborted).toEqual({ done: true, value: undefined });
    await bus.close();
    expect(await closed).toEqual({ done: true, value: undefined });
  });

  it('end with the error that is thrown into them, and that message has failed', async () => {
    const { connect } = busBench();
    const bus = await connect();
    const pulled = iterate(bus.messages('t'));
    const next = pulled.next();
    await bus.publish('t', 1);
    await next;
    const error = new Error('broken');
    await expect(pulled.throw?.(error)).rejects.toBe(error);
    expect(bus.deadLetters.list()).toMatchObject([{ reason: 'handler-failed', error }]);
    expect(await pulled.next()).toEqual({ done: true, value: undefined });
  });

  it('are refused on a closed bus: by the call, and by a loop that begins later', async () => {
    const { connect } = busBench();
    const bus = await connect();
    const early = bus.messages('t');
    await bus.close();
    expect(() => bus.messages('t')).toThrow(expect.objectContaining({ code: 'ERR_BUS_CLOSED' }));
    expect(() => iterate(early)).toThrow(expect.objectContaining({ code: 'ERR_BUS_CLOSED' }));
  });
});
