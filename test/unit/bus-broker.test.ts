import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type MemoryHub, memory, memoryHub } from '../../adapters/memory/index.ts';
import type { Broker, Destination } from '../../src/protocol/broker.ts';
import type { BusMessage, BusOptions } from '../../src/protocol/bus.ts';
import { decodeFrame, encodeFrame, encodeMessage, type WireMessage } from '../../src/protocol/frame.ts';
import { ASK_TIMEOUT_MS, HEADERS_MAX, KILL_GRACE_MS, WORKING_AFTER_MS } from '../../src/protocol/limits.ts';
import { deferred, endingOf, never } from '../support/puppet.ts';
import { busBench } from '../support/test-bus.ts';
import { recordTraces } from '../support/traces.ts';

/** Buses of several processes on one hub, in virtual time. */
function nodes(hub: MemoryHub = memoryHub()) {
  const bench = busBench();
  const connect = (node: string, options: BusOptions = {}) =>
    connecting(bench, bench.connect({ broker: memory({ hub }), node, ...options }));
  return { ...bench, hub, connect };
}

/** Opening and subscribing take a trip to the hub, which needs time to pass. */
async function connecting<T>({ advance }: ReturnType<typeof busBench>, promise: Promise<T>): Promise<T> {
  const ending = endingOf(promise);
  for (let n = 0; n < 100 && ending.is === undefined; n++) await advance(1);
  return promise;
}

/** A handler that keeps what it is given. */
function keeping() {
  const got: BusMessage[] = [];
  const keep = (message: BusMessage): void => {
    got.push(message);
  };
  return { got, keep, payloads: () => got.map(({ payload }) => payload) };
}

describe('a bus on a broker', () => {
  it('brings what is published to every subscription of every node once, with all that was said beside it', async () => {
    const { connect, advance } = nodes();
    const [a, b] = [await connect('a'), await connect('b')];
    const [here, there, other, elsewhere] = [keeping(), keeping(), keeping(), keeping()];
    const subscribed = Promise.all([
      a.subscribe('agent.*', here.keep),
      b.subscribe('agent.*', there.keep),
      b.subscribe('agent.#', other.keep),
      b.subscribe('else', elsewhere.keep),
    ]);
    await advance(10);
    await subscribed;
    const published = a.publish(
      'agent.mail',
      { n: 1 },
      {
        priority: 'critical',
        sender: 'me',
        correlationId: 'c1',
        headers: { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', tenant: 'acme' },
        ttlMs: 60_000,
      },
    );
    await advance(10);
    const receipt = await published;
    expect(receipt).toEqual({ id: expect.any(String), delivered: 1 });
    for (const { got } of [here, there, other]) {
      expect(got).toHaveLength(1);
      expect(got[0]).toMatchObject({
        id: receipt.id,
        topic: 'agent.mail',
        payload: { n: 1 },
        priority: 'critical',
        sender: 'me',
        correlationId: 'c1',
        attempt: 1,
        isRequest: false,
        headers: { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', tenant: 'acme' },
      });
    }
    expect(elsewhere.got).toEqual([]);
  });

  it('keeps the order of one publisher, also when the broker had no room or the connection was cut meanwhile', async () => {
    const { connect, advance, hub } = nodes();
    const [a, b] = [await connect('a'), await connect('b')];
    const { keep, payloads } = keeping();
    const subscribed = b.subscribe('n', keep);
    await advance(10);
    await subscribed;
    const sent = Array.from({ length: 1_000 }, (_, n) => endingOf(a.publish('n', n)));
    await advance(2);
    hub.cut('b');
    await advance(50);
    hub.cut('a');
    const more = Array.from({ length: 1_000 }, (_, n) => endingOf(a.publish('n', 1_000 + n)));
    await advance(50);
    hub.heal();
    await advance(20_000);
    expect([...sent, ...more].filter(({ is }) => is !== 'resolved')).toEqual([]);
    expect(payloads()).toEqual(Array.from({ length: 2_000 }, (_, n) => n));
  });

  it('hides the copies that lost confirms make', async () => {
    const { connect, advance, hub } = nodes();
    const [a, b] = [await connect('a'), await connect('b')];
    const { keep, payloads } = keeping();
    const subscribed = b.subscribe('n', keep);
    await advance(10);
    await subscribed;
    hub.lose('confirms', 'a');
    const sent = [1, 2, 3].map((n) => endingOf(a.publish('n', n)));
    await advance(6_000);
    hub.heal();
    await advance(20_000);
    expect(sent.map(({ is }) => is)).toEqual(['resolved', 'resolved', 'resolved']);
    expect(payloads()).toEqual([1, 2, 3]);
  });

  it('gives each message of a group to one member, and loses none when a member leaves', async () => {
    const { connect, advance } = nodes();
    const [a, b, c] = [await connect('a'), await connect('b'), await connect('c')];
    const [one, two] = [keeping(), keeping()];
    const joining = Promise.all([
      b.subscribe('jobs', one.keep, { group: 'workers' }),
      c.subscribe('jobs', two.keep, { group: 'workers' }),
    ]);
    await advance(10);
    const [leaving] = await joining;
    const sent: ReturnType<typeof endingOf>[] = [];
    for (let n = 0; n < 400; n++) {
      sent.push(endingOf(a.publish('jobs', n)));
      await advance(1);
      if (n === 200) endingOf(leaving.unsubscribe());
    }
    await advance(40_000);
    expect(sent.filter(({ is }) => is !== 'resolved')).toEqual([]);
    expect(one.got.length).toBeGreaterThan(10);
    expect(two.got.length).toBeGreaterThan(10);
    const all = [...one.payloads(), ...two.payloads()] as number[];
    expect(all.toSorted((x, y) => x - y)).toEqual(Array.from({ length: 400 }, (_, n) => n));
  });

  it('gives what a member was doing when it died to another one, as a further attempt', async () => {
    const { connect, advance, hub } = nodes();
    const [a, b, c] = [await connect('a'), await connect('b'), await connect('c')];
    const holding = endingOf(b.subscribe('jobs', never, { group: 'g' }));
    await advance(10);
    expect(holding.is).toBe('resolved');
    endingOf(a.publish('jobs', 'paid work'));
    await advance(10);
    const { got, keep } = keeping();
    const joined = c.subscribe('jobs', keep, { group: 'g' });
    await advance(10);
    await joined;
    expect(got).toEqual([]);
    hub.kill('b');
    await advance(30_000);
    expect(got).toMatchObject([{ payload: 'paid work', attempt: 2 }]);
  });

  it('answers a request from another node, and cancels the others when the first reply is there', async () => {
    const { connect, advance } = nodes();
    const [a, b, c] = [await connect('a'), await connect('b'), await connect('c')];
    const slow = deferred<AbortSignal>();
    const subscribed = Promise.all([
      b.subscribe('agent.query', (message) => message.reply({ length: String(message.payload).length })),
      c.subscribe('agent.query', (message) => {
        slow.resolve(message.signal);
        return new Promise(() => undefined);
      }),
    ]);
    await advance(10);
    await subscribed;
    const asked = endingOf(a.request('agent.query', 'status?', { schema: z.object({ length: z.number() }) }));
    await advance(10);
    expect(asked).toMatchObject({ is: 'resolved', value: { length: 7 } });
    await advance(WORKING_AFTER_MS);
    expect((await slow.promise).aborted).toBe(true);
  });

  it('cancels those who have said that they work on a request when its reply comes', async () => {
    const { connect, advance } = nodes();
    const [a, b, c] = [await connect('a'), await connect('b'), await connect('c')];
    const [answer, slow] = [deferred(), deferred<AbortSignal>()];
    const subscribed = Promise.all([
      b.subscribe('agent.query', async (message) => {
        await answer.promise;
        message.reply('late, but there');
      }),
      c.subscribe('agent.query', ({ signal }) => {
        slow.resolve(signal);
        return new Promise(() => undefined);
      }),
    ]);
    await advance(10);
    await subscribed;
    const asked = endingOf(a.request('agent.query', 'status?'));
    await advance(3 * WORKING_AFTER_MS);
    const signal = await slow.promise;
    expect(signal.aborted).toBe(false);
    answer.resolve();
    await advance(10);
    expect([asked.value, signal.aborted]).toEqual(['late, but there', true]);
  });

  it('ends the work for a request in its time also where that is over before anybody says that he works', async () => {
    const { connect, advance, hub } = nodes();
    const said: string[] = [];
    const [a, b] = [await connect('a'), await connect('b', { broker: overheard(hub, 'b', said) })];
    const working = deferred<AbortSignal>();
    const subscribed = b.subscribe('q', ({ signal }) => {
      working.resolve(signal);
      return new Promise(() => undefined);
    });
    await advance(10);
    await subscribed;
    const asked = endingOf(a.request('q', 1, { timeoutMs: WORKING_AFTER_MS / 2 }));
    await advance(WORKING_AFTER_MS / 2 + 2);
    expect([asked.is, (await working.promise).aborted]).toEqual(['ERR_REQUEST_TIMEOUT', true]);
    await advance(2 * WORKING_AFTER_MS);
    expect(said).toEqual([]);
  });

  it('ends a request by its time where nobody replies, with what a subscriber said as its cause, and buries a late reply', async () => {
    const { connect, advance } = nodes();
    const [a, b] = [await connect('a'), await connect('b')];
    const late = deferred();
    const subscribed = Promise.all([
      b.subscribe('fails', () => {
        throw new Error('no model');
      }),
      b.subscribe('late', async (message) => {
        await late.promise;
        message.reply('too late');
      }),
    ]);
    await advance(10);
    await subscribed;
    const failing = endingOf(a.request('fails', 1, { timeoutMs: 1_000 }));
    const waiting = endingOf(a.request('late', 1, { timeoutMs: 1_000 }));
    await advance(1_000);
    expect(failing.error).toMatchObject({
      code: 'ERR_REQUEST_TIMEOUT',
      cause: { message: expect.stringContaining('no model') },
    });
    expect(waiting.is).toBe('ERR_REQUEST_TIMEOUT');
    late.resolve();
    await advance(100);
    expect(a.deadLetters.list()).toEqual([]); // the question had been taken back, so no reply was sent
    expect(b.deadLetters.list({ reason: 'late-reply' })).toHaveLength(1);
  });

  it('keeps a failed message of a group among the dead letters of the broker, and no other', async () => {
    const { connect, advance, hub } = nodes();
    const [a, b] = [await connect('a'), await connect('b')];
    const joined = b.subscribe(
      'jobs',
      ({ payload }) => {
        if (payload === 2) throw new Error('poison');
      },
      { group: 'g' },
    );
    await advance(10);
    await joined;
    for (const n of [1, 2, 3]) endingOf(a.publish('jobs', n));
    await advance(100);
    expect(hub.deadFrames()).toMatchObject([
      { reason: 'handler-failed', error: expect.stringContaining('poison') },
    ]);
    expect(b.deadLetters.list()).toMatchObject([{ reason: 'handler-failed', payload: 2 }]);
  });

  it('waits with its publishers when a subscriber elsewhere is slow, and with nobody else', async () => {
    const hub = memoryHub();
    const bench = nodes(hub);
    const a = await bench.connect('a', { broker: memory({ hub, maxLength: 10 }) });
    const b = await bench.connect('b', { broker: memory({ hub, maxLength: 10 }) });
    const gate = deferred();
    const { got, keep } = keeping();
    const subscribed = Promise.all([
      b.subscribe(
        'slow',
        async (message) => {
          await gate.promise;
          keep(message);
        },
        { capacity: 5 },
      ),
      b.subscribe('fast', keep),
    ]);
    await bench.advance(10);
    await subscribed;
    const sent: ReturnType<typeof endingOf>[] = [];
    // Awaited one by one each is a frame of its own.
    for (let n = 0; n < 3_000; n++) {
      sent.push(endingOf(a.publish('slow', n, { priority: 'low', timeoutMs: 600_000 })));
      if (n % 10 === 0) await bench.settle();
    }
    await bench.advance(1_000);
    const waiting = sent.filter(({ is }) => is === undefined).length;
    expect(waiting).toBeGreaterThan(0);
    const critical = endingOf(a.publish('fast', 'now', { priority: 'critical' }));
    await bench.advance(10);
    expect(critical.is).toBe('resolved');
    expect(got.map(({ payload }) => payload)).toEqual(['now']);
    gate.resolve();
    await bench.advance(60_000);
    expect(sent.filter(({ is }) => is !== 'resolved')).toEqual([]);
    expect(got).toHaveLength(3_001);
  });

  it('refuses a frame that is none, and what a schema here does not allow, and goes on', async () => {
    const { connect, advance, hub, clock } = nodes();
    const b = await connect('b', { schemas: { jobs: z.object({ n: z.number() }) } });
    const a = await connect('a');
    const { keep, payloads } = keeping();
    const subscribed = b.subscribe('jobs', keep);
    await advance(10);
    await subscribed;
    const raw = memory({ hub });
    const host = {
      clock,
      random: () => 0.5,
      soon: queueMicrotask,
      later: (task: () => void) => void setImmediate(task),
    };
    const opened = raw.open({ name: 'raw', incarnation: 'x1' }, host);
    await advance(10);
    await opened;
    const results = raw.publish([
      { to: { kind: 'topic', topic: 'jobs' }, lane: 3, bytes: new Uint8Array([1, 2, 3]) },
      {
        to: { kind: 'topic', topic: 'jobs' },
        lane: 3,
        bytes: encodeFrame({ node: 'raw', incarnation: 'x1', stream: 1, sequence: 1 }, [new Uint8Array([9])]),
      },
    ]);
    await advance(10);
    expect(await results).toEqual(['ok', 'ok']);
    endingOf(a.publish('jobs', { n: 'one' }));
    endingOf(a.publish('jobs', { n: 2 }));
    await advance(100);
    expect(payloads()).toEqual([{ n: 2 }]);
    expect(hub.deadFrames().map(({ reason }) => reason)).toEqual([
      'frame-invalid',
      'frame-invalid',
      'validation',
    ]);
    const closing = raw.close();
    await advance(100);
    await closing;
  });

  it('leaves nothing behind when it is closed, and its messages have arrived', async () => {
    const { connect, advance, hub } = nodes();
    const [a, b] = [await connect('a'), await connect('b')];
    const { got, keep } = keeping();
    const subscribed = b.subscribe('n', keep);
    await advance(10);
    await subscribed;
    for (let n = 0; n < 100; n++) endingOf(a.publish('n', n));
    const closed = endingOf(a.close());
    await advance(10_000);
    expect(closed.is).toBe('resolved');
    expect(got).toHaveLength(100);
    const over = endingOf(b.close());
    await advance(20_000);
    expect(over.is).toBe('resolved');
    expect(hub.names()).toEqual([]);
    await expect(a.publish('n', 1)).rejects.toMatchObject({ code: 'ERR_BUS_CLOSED' });
  });

  it('takes its own end for no outage', async () => {
    const { connect, advance, logs } = nodes();
    const a = await connect('a');
    const closed = endingOf(a.close());
    await advance(10_000);
    expect([closed.is, (await a.stats()).broker]).toEqual(['resolved', 'down']);
    expect(logs.filter(({ level }) => level === 'warn')).toEqual([]);
  });

  it('refuses what it could not keep: confirm handled, payloads that cannot travel, two nodes of one name', async () => {
    const { connect, advance } = nodes();
    const a = await connect('a');
    await expect(a.publish('n', 1, { confirm: 'handled' })).rejects.toMatchObject({
      code: 'ERR_OPTION_INVALID',
    });
    await expect(a.publish('n', { at: new Date(0) })).rejects.toMatchObject({
      code: 'ERR_PAYLOAD_UNSERIALIZABLE',
    });
    await expect(a.publish('n', 'x'.repeat(2_000_000))).rejects.toMatchObject({
      code: 'ERR_PAYLOAD_TOO_LARGE',
    });
    await expect(connect('a')).rejects.toMatchObject({ code: 'ERR_NAME_TAKEN' });
    // A name of a group that a bus in memory takes, and no broker does.
    await expect(a.subscribe('n', () => undefined, { group: 'g'.repeat(100) })).rejects.toMatchObject({
      code: 'ERR_OPTION_INVALID',
    });
    expect(a.queueSizes()).toEqual([]);
    await advance(0);
  });

  it('does not connect to a broker that cannot be used, and says why', async () => {
    const { hub, advance, connect } = nodes();
    const b = await connect('b');
    hub.cut('a');
    const refused = endingOf(connect('a'));
    await advance(60_000);
    expect(refused.error).toMatchObject({ code: 'ERR_BROKER_UNAVAILABLE', retryable: true });
    expect(hub.names()).toEqual(['node b']);
    expect((await b.stats()).broker).toBe('up');
  });

  it('pulls messages from the moment an iteration begins', async () => {
    const { connect, advance, hub } = nodes();
    const [a, b] = [await connect('a'), await connect('b')];
    const iterator = b.messages('n')[Symbol.asyncIterator]();
    await advance(10);
    for (let n = 0; n < 3; n++) endingOf(a.publish('n', n));
    await advance(10);
    const got: unknown[] = [];
    for (let n = 0; n < 3; n++) got.push((await iterator.next()).value?.payload);
    expect(got).toEqual([0, 1, 2]);
    const ended = iterator.return?.();
    await advance(100);
    expect(await ended).toEqual({ done: true, value: undefined });
    endingOf(a.publish('n', 4));
    await advance(100);
    expect(hub.names()).toEqual(['node a', 'node b']);
  });

  it('carries as many headers as may be said, and a trace beside them', async () => {
    const traces = recordTraces();
    const { connect, advance, hub } = nodes();
    const a = await connect('a');
    const { got, keep } = keeping();
    const subscribed = a.subscribe('n', keep);
    await advance(10);
    await subscribed;
    const headers = Object.fromEntries(Array.from({ length: HEADERS_MAX }, (_, n) => [`h${n}`, 'x']));
    endingOf(traces.inside('user', () => a.publish('n', 1, { headers })));
    await advance(100);
    expect(hub.deadFrames()).toEqual([]);
    expect(Object.keys(got[0]?.headers ?? {})).toHaveLength(HEADERS_MAX + 1);
  });

  it('keeps what is published while its broker is away for minutes, and refuses and counts what waited its time', async () => {
    const { connect, advance, hub } = nodes();
    const [a, b] = [await connect('a'), await connect('b')];
    const { keep, payloads } = keeping();
    const subscribed = b.subscribe('n', keep);
    await advance(10);
    await subscribed;
    hub.cut('a');
    const patient = endingOf(a.publish('n', 'patient', { timeoutMs: 600_000 }));
    await advance(1); // together they would be one frame, which goes on as long as anybody waits for a part of it
    const hasty = endingOf(a.publish('n', 'hasty', { timeoutMs: 1_000 }));
    await advance(300_000);
    expect([patient.is, hasty.is]).toEqual([undefined, 'ERR_SEND_TIMEOUT']);
    expect((await a.stats()).backpressure.refused).toBe(1);
    hub.heal();
    await advance(10_000);
    expect([patient.is, payloads()]).toEqual(['resolved', ['patient']]);
  });

  it('takes a request back here, and sends no word of it, where it has not left yet', async () => {
    const { connect, advance, hub, clock } = nodes();
    const a = await connect('a');
    const types = await wiretap(hub, clock, advance, 'q');
    hub.cut('a');
    await advance(10);
    const first = endingOf(a.request('q', 'first'));
    await advance(10);
    const controller = new AbortController();
    const second = endingOf(a.request('q', 'second', { signal: controller.signal }));
    controller.abort('enough');
    hub.heal();
    await advance(10_000);
    expect([first.is, second.error]).toEqual([undefined, 'enough']);
    expect(types).toEqual(['request']);
  });

  it('costs no word beside request and reply when it is answered soon', async () => {
    const { connect, advance, hub } = nodes();
    const frames: string[] = [];
    const [a, b] = [
      await connect('a', { broker: overheard(hub, 'a', frames) }),
      await connect('b', { broker: overheard(hub, 'b', frames) }),
    ];
    const subscribed = b.subscribe('q', (message) => message.reply('soon'));
    await advance(10);
    await subscribed;
    const asked = endingOf(a.request('q', 1));
    await advance(10_000);
    expect([asked.value, frames]).toEqual(['soon', ['a request', 'b reply']]);
  });

  it('takes back what is done for a request, in a group and beside it, whenever nobody waits for it any more', async () => {
    const { connect, advance } = nodes();
    const [a, b, c] = [await connect('a'), await connect('b'), await connect('c')];
    const signals: AbortSignal[] = [];
    const work = ({ signal }: BusMessage): Promise<void> => {
      signals.push(signal);
      return new Promise((resolve) => {
        signal.addEventListener('abort', () => resolve());
      });
    };
    const subscribed = Promise.all([
      b.subscribe('q', work),
      ...[a, b, c].map((bus) => bus.subscribe('q', work, { group: 'g', concurrency: 9 })),
    ]);
    await advance(10);
    await subscribed;
    for (const afterMs of [1, WORKING_AFTER_MS + 10]) {
      for (let n = 0; n < 3; n++) {
        const controller = new AbortController();
        endingOf(a.request('q', n, { signal: controller.signal }));
        await advance(afterMs);
        controller.abort();
        await advance(WORKING_AFTER_MS + 10);
      }
    }
    // Each is one for the subscription, which works on one after the other, and one for a member of the group.
    expect(signals).toHaveLength(12);
    expect(signals.filter(({ aborted }) => !aborted)).toEqual([]);
  });

  it('sends no cancellation where the time of a request has come', async () => {
    const { connect, advance, hub } = nodes();
    const frames: string[] = [];
    const [a, b] = [
      await connect('a', { broker: overheard(hub, 'a', frames) }),
      await connect('b', { broker: overheard(hub, 'b', frames) }),
    ];
    const subscribed = b.subscribe('q', () => never());
    await advance(10);
    await subscribed;
    const late = endingOf(a.request('q', 1, { timeoutMs: 1_000 }));
    await advance(10_000);
    expect(late.is).toBe('ERR_REQUEST_TIMEOUT');
    expect(frames).toEqual(['a request', 'b working']);
  });

  it('tells the asker why nobody here answers, also where that is known at once', async () => {
    const { connect, advance } = nodes();
    const [a, b] = [await connect('a'), await connect('b')];
    const subscribed = b.subscribe('q', () => never(), { capacity: 1, overflow: 'reject' });
    await advance(10);
    await subscribed;
    for (let n = 0; n < 2; n++) {
      endingOf(a.publish('q', n));
      await advance(10); // one is in hand, then one is queued
    }
    const asked = endingOf(a.request('q', 1, { timeoutMs: 1_000 }));
    await advance(1_000);
    expect(asked.error).toMatchObject({
      code: 'ERR_REQUEST_TIMEOUT',
      cause: { message: expect.stringContaining('ERR_MESSAGE_DROPPED') },
    });
  });

  it('lets a handler whose reply cannot travel give another one, and tells the asker when it does not', async () => {
    const { connect, advance } = nodes();
    const [a, b] = [await connect('a'), await connect('b')];
    const subscribed = Promise.all([
      b.subscribe('twice', (message) => {
        expect(() => message.reply({ at: new Date(0) })).toThrow(/at/);
        message.reply('as text');
      }),
      b.subscribe('once', (message) => message.reply({ at: new Date(0) })),
    ]);
    await advance(10);
    await subscribed;
    const [twice, once] = [
      endingOf(a.request('twice', 1)),
      endingOf(a.request('once', 1, { timeoutMs: 1_000 })),
    ];
    await advance(1_000);
    expect(twice).toMatchObject({ is: 'resolved', value: 'as text' });
    expect(once.error).toMatchObject({
      code: 'ERR_REQUEST_TIMEOUT',
      cause: { message: expect.stringContaining('ERR_PAYLOAD_UNSERIALIZABLE') },
    });
  });

  it('sends a reply as long as its asker waits, however long the broker was away', async () => {
    const { connect, advance, hub } = nodes();
    const [a, b] = [await connect('a'), await connect('b')];
    const subscribed = b.subscribe('q', (message) => {
      hub.cut('b');
      message.reply('late, and in time');
    });
    await advance(10);
    await subscribed;
    const asked = endingOf(a.request('q', 1, { timeoutMs: 300_000 }));
    await advance(120_000);
    hub.heal();
    await advance(10_000);
    expect(asked).toMatchObject({ is: 'resolved', value: 'late, and in time' });
  });

  it('leaves no timer when it is closed while it works for others, and a reply after that is a dead letter', async () => {
    const { connect, advance, clock } = nodes();
    const [a, b] = [await connect('a'), await connect('b')];
    const { got, keep } = keeping();
    const subscribed = b.subscribe('q', keep); // it keeps the message, to answer later
    await advance(10);
    await subscribed;
    const before = clock.pending;
    endingOf(a.request('q', 1, { timeoutMs: 1_000_000 }));
    await advance(10);
    expect(got).toHaveLength(1);
    const closed = Promise.all([a.close(), b.close()]);
    await advance(20_000);
    await closed;
    expect(clock.pending).toBeLessThanOrEqual(before);
    got[0]?.reply('too late');
    await advance(1);
    expect(clock.pending).toBe(0);
  });

  it('gives what its group has in hand as long as `close` lets it, to nobody else', async () => {
    const { connect, advance } = nodes();
    const [a, b] = [await connect('a'), await connect('b')];
    const gate = deferred();
    const { keep, payloads } = keeping();
    const joined = b.subscribe('jobs', () => gate.promise, { group: 'g' });
    await advance(10);
    await joined;
    endingOf(a.publish('jobs', 'long'));
    await advance(10);
    const other = a.subscribe('jobs', keep, { group: 'g' });
    await advance(10);
    await other;
    const closed = endingOf(b.close({ drainMs: 30_000 }));
    await advance(20_000);
    gate.resolve();
    await advance(20_000);
    expect([closed.is, payloads()]).toEqual(['resolved', []]);
  });

  it('P119 hands what a handler that hangs has in hand to another member, and is closed within its bound', async () => {
    const { connect, advance } = nodes();
    const [a, b] = [await connect('a'), await connect('b')];
    const { keep, payloads } = keeping();
    const hanging = b.subscribe('jobs', never, { group: 'g' });
    await advance(10);
    await hanging;
    endingOf(a.publish('jobs', 'stuck'));
    await advance(10);
    const other = a.subscribe('jobs', keep, { group: 'g' });
    await advance(10);
    await other;
    const closed = endingOf(b.close({ drainMs: 0 }));
    await advance(KILL_GRACE_MS + 100);
    expect([closed.is, payloads()]).toEqual(['resolved', ['stuck']]);
  });

  it('tells those who work for its requests to stop when it is closed', async () => {
    const { connect, advance } = nodes();
    const [a, b] = [await connect('a'), await connect('b')];
    let signal: AbortSignal | undefined;
    const subscribed = b.subscribe('q', (message) => {
      signal = message.signal;
      return never();
    });
    await advance(10);
    await subscribed;
    endingOf(a.request('q', 1));
    await advance(WORKING_AFTER_MS + 10);
    const closed = endingOf(a.close());
    await advance(10_000);
    expect([closed.is, signal?.aborted]).toEqual(['resolved', true]);
  });

  it('takes what was published while it did not listen for no loss', async () => {
    const { connect, advance } = nodes();
    const [a, b] = [await connect('a'), await connect('b')];
    const missing: unknown[] = [];
    b.events.subscribe((event) => {
      if (event.type === 'frames-missing') missing.push(event);
    });
    for (let round = 0; round < 2; round++) {
      const { got, keep } = keeping();
      const subscribed = b.subscribe('n', keep);
      await advance(10);
      endingOf(a.publish('n', round));
      await advance(10);
      expect(got).toHaveLength(1);
      endingOf((await subscribed).unsubscribe());
      await advance(10);
      endingOf(a.publish('n', 'unheard'));
      await advance(10);
    }
    expect(missing).toEqual([]);
  });

  it('leaves no subscription behind when an iteration could not begin to listen', async () => {
    const { connect, advance, hub } = nodes();
    const a = await connect('a');
    hub.cut('a');
    await advance(1);
    const iterator = a.messages('n')[Symbol.asyncIterator]();
    const first = endingOf(iterator.next());
    await advance(60_000);
    expect(first.is).toBe('ERR_BROKER_UNAVAILABLE');
    expect(a.queueSizes()).toEqual([]);
  });

  it('gives up an answer that was sent to a topic, and a request without an end of its own after the usual time', async () => {
    const { connect, advance, hub, clock } = nodes();
    const b = await connect('b');
    const { got, keep } = keeping();
    const subscribed = b.subscribe('q', keep);
    await advance(10);
    await subscribed;
    const { raw } = await rawNode(hub, clock, advance);
    const frame = (sequence: number, type: WireMessage['type'], expiresAtMs?: number) => ({
      to: { kind: 'topic', topic: 'q' } as const,
      lane: 3 as const,
      bytes: encodeFrame({ node: 'raw', incarnation: 'x1', stream: 1, sequence }, [
        encodeMessage({ ...BARE, type, id: `r${sequence}`, expiresAtMs }),
      ]),
    });
    const before = clock.pending;
    endingOf(
      raw.publish([frame(1, 'reply'), frame(2, 'refusal'), frame(3, 'request'), frame(4, 'request', 1e300)]),
    );
    await advance(10);
    expect(hub.deadFrames().map(({ reason }) => reason)).toEqual(['validation', 'validation']);
    expect(got.map(({ isRequest }) => isRequest)).toEqual([true, true]);
    await advance(ASK_TIMEOUT_MS + 1_000);
    expect(clock.pending).toBeLessThanOrEqual(before);
  });
});

describe('a message to an actor', () => {
  it.each(['tell', 'ask'] as const)('is given up by a bus, which has none: %s', async (type) => {
    const { connect, advance, hub, clock } = nodes();
    const b = await connect('b');
    const { got, keep } = keeping();
    const subscribed = b.subscribe('q', keep);
    await advance(10);
    await subscribed;
    const { raw } = await rawNode(hub, clock, advance);
    const target = { address: 'judge', protocol: 'triage', message: 'learn' };
    const frame = (to: Destination, stream: number) => ({
      to,
      lane: 3 as const,
      bytes: encodeFrame({ node: 'raw', incarnation: 'x1', stream, sequence: 1 }, [
        encodeMessage({ ...BARE, type, id: `r${stream}`, target }),
      ]),
    });
    endingOf(raw.publish([frame({ kind: 'node', node: 'b' }, 1), frame({ kind: 'topic', topic: 'q' }, 2)]));
    await advance(10);
    expect(hub.deadFrames().map(({ reason }) => reason)).toEqual(['validation', 'validation']);
    expect(got).toEqual([]);
  });
});

describe('a trace', () => {
  it('goes from one process to the other and back, through publish, request and reply', async () => {
    const traces = recordTraces();
    const { connect, advance } = nodes();
    const [a, b] = [await connect('a'), await connect('b')];
    const subscribed = Promise.all([
      b.subscribe('step.one', async () => {
        await b.publish('step.two', 2);
      }),
      a.subscribe('step.two', () => undefined),
      b.subscribe('question', (message) => message.reply('answer')),
    ]);
    await advance(10);
    await subscribed;
    await traces.inside('user', async () => {
      endingOf(a.publish('step.one', 1));
      endingOf(a.request('question', 'what?'));
      await advance(100);
    });
    await advance(100);
    expect(new Set(traces.spans.map((span) => span.spanContext().traceId)).size).toBe(1);
    expect(traces.tree(({ name }) => name)).toEqual([
      'user',
      '  send step.one',
      '    process step.one',
      '      send step.two',
      '        process step.two',
      '  send question',
      '    process question',
    ]);
  });
});

const BARE: Omit<WireMessage, 'type' | 'id'> = {
  sentAtMs: 0,
  expiresAtMs: undefined,
  sender: undefined,
  correlationId: undefined,
  headers: undefined,
  payload: { codec: 'none', bytes: new Uint8Array(0) },
};

type Bench = ReturnType<typeof busBench>;

/** A node without a bus. */
async function rawNode(hub: MemoryHub, clock: Bench['clock'], advance: Bench['advance']) {
  const raw = memory({ hub });
  const host = {
    clock,
    random: () => 0.5,
    soon: queueMicrotask,
    later: (task: () => void) => void setImmediate(task),
  };
  const opened = raw.open({ name: 'raw', incarnation: 'x1' }, host);
  await advance(10);
  await opened;
  return { raw };
}

/** A broker that writes down the types of what its node publishes. */
function overheard(hub: MemoryHub, node: string, said: string[]): Broker {
  const broker = memory({ hub });
  const publish = broker.publish.bind(broker);
  broker.publish = (frames) => {
    for (const { bytes } of frames)
      said.push(...decodeFrame(bytes).messages.map(({ type }) => `${node} ${type}`));
    return publish(frames);
  };
  return broker;
}

/** The types of what goes to a topic, as they come. */
async function wiretap(hub: MemoryHub, clock: Bench['clock'], advance: Bench['advance'], topic: string) {
  const types: string[] = [];
  const { raw } = await rawNode(hub, clock, advance);
  const ready = Promise.all([
    raw.listen(topic),
    raw.consume(
      { kind: 'inbox' },
      {
        windows: [100, 100, 100, 100, 100, 100],
        receive: (deliveries) => {
          for (const { bytes } of deliveries)
            types.push(...decodeFrame(bytes).messages.map(({ type }) => type));
        },
      },
    ),
  ]);
  await advance(10);
  await ready;
  return types;
}
