import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type MemoryHub, memory, memoryHub } from '../../adapters/memory/index.ts';
import type { BusMessage, BusOptions, MessageBus } from '../../src/protocol/bus.ts';
import type { Codec } from '../../src/protocol/codec.ts';
import type { RuntimeEvent } from '../../src/protocol/events.ts';
import { decodeFrame, encodeFrame, encodeMessage } from '../../src/protocol/frame.ts';
import { CODECS_MAX, FRAME_BYTES_MAX } from '../../src/protocol/limits.ts';
import { dateCodec } from '../support/date-codec.ts';
import { endingOf } from '../support/puppet.ts';
import { busBench } from '../support/test-bus.ts';

/** What JSON cannot say. */
const RICH = { at: new Date(0), counts: new Map([['a', 10n ** 30n]]) };

/** Buses of several processes on one hub, in virtual time. */
function nodes(hub: MemoryHub = memoryHub()) {
  const bench = busBench();
  const done = async <T>(promise: Promise<T>): Promise<T> => {
    const ending = endingOf(promise);
    for (let n = 0; n < 100 && ending.is === undefined; n++) await bench.advance(1);
    return promise;
  };
  const connect = (node: string, options: BusOptions = {}): Promise<MessageBus> =>
    done(bench.connect({ broker: memory({ hub }), node, ...options }));
  /** Subscribes, and keeps what comes. */
  const keep = async (bus: MessageBus, pattern: string, group?: string) => {
    const got: BusMessage[] = [];
    await done(bus.subscribe(pattern, (message) => void got.push(message), { group }));
    return { got, payloads: () => got.map(({ payload }) => payload) };
  };
  /** What is said to this bus that it cannot use. */
  const refusals = (bus: MessageBus) => {
    const events: RuntimeEvent[] = [];
    bus.events.subscribe((event) => event.type === 'frame-refused' && events.push(event));
    return events;
  };
  return { ...bench, hub, connect, done, keep, refusals };
}

/** A codec whose parts a test replaces. */
const codecWith = (parts: Partial<Codec>): Codec => ({ ...dateCodec(), ...parts });

/** The messages of a dead letter of the broker. */
function messagesIn(hub: MemoryHub, place = 0) {
  return decodeFrame(hub.deadFrames()[place]?.bytes ?? new Uint8Array()).messages;
}

describe('a bus with a codec', () => {
  it('carries what JSON cannot, in publish, groups, request and reply', async () => {
    const { connect, advance, keep, done } = nodes();
    const codec = dateCodec();
    const [a, b] = [await connect('a', { codec }), await connect('b', { codec })];
    const [alone, member] = [await keep(b, 'n'), await keep(b, 'n', 'g')];
    await done(b.subscribe('q', ({ payload, reply }) => reply({ was: payload, next: new Date(1) })));
    await done(a.publish('n', RICH));
    await advance(10);
    expect([alone.payloads(), member.payloads()]).toEqual([[RICH], [RICH]]);
    expect(await done(a.request('q', RICH))).toEqual({ was: RICH, next: new Date(1) });
  });

  it('lets bytes and nothing at all pass by the codec', async () => {
    const { connect, advance, keep, done } = nodes();
    const codec = codecWith({
      encode: () => {
        throw new Error('never asked');
      },
    });
    const [a, b] = [await connect('a', { codec }), await connect('b')];
    const { payloads } = await keep(b, 'n');
    await done(a.publish('n', Uint8Array.of(1, 2)));
    await done(a.publish('n', undefined));
    await advance(10);
    expect(payloads()).toEqual([Uint8Array.of(1, 2), undefined]);
  });

  it('reads JSON, and answers a request in what its asker wrote', async () => {
    const { connect, advance, keep, done } = nodes();
    const [plain, rich] = [await connect('a'), await connect('b', { codec: dateCodec() })];
    const { payloads } = await keep(rich, 'n');
    await done(rich.subscribe('q', ({ reply }) => reply({ answer: 42 })));
    await done(plain.publish('n', { from: 'json' }));
    await advance(10);
    expect(payloads()).toEqual([{ from: 'json' }]);
    expect(await done(plain.request('q', 'in JSON'))).toEqual({ answer: 42 });
    expect(await done(plain.request('q', undefined))).toEqual({ answer: 42 });
  });

  it('reads by codecs that it does not write by, so that all can learn one before the first uses it', async () => {
    const { connect, advance, keep, done } = nodes();
    const codec = dateCodec();
    const [old, next] = [
      await connect('a', { codecs: [codec, dateCodec('other')] }),
      await connect('b', { codec }),
    ];
    const [here, there] = [await keep(old, 'n'), await keep(next, 'n')];
    await done(next.publish('n', RICH));
    await done(old.publish('n', { plain: true }));
    await advance(10);
    expect([here.payloads(), there.payloads()]).toEqual([
      [RICH, { plain: true }],
      [RICH, { plain: true }],
    ]);
    await done(old.subscribe('q', ({ reply }) => reply(RICH)));
    expect(await done(next.request('q', 1))).toEqual(RICH);
  });

  it('checks what the codec has read by the schema of its topic, and gives up as validation what does not fit', async () => {
    const { connect, advance, keep, done, hub } = nodes();
    const codec = dateCodec();
    const a = await connect('a', { codec });
    const b = await connect('b', { codec, schemas: { n: z.object({ at: z.date() }) } });
    const { payloads } = await keep(b, 'n');
    await done(a.publish('n', { at: 'no date' }));
    await done(a.publish('n', { at: new Date(5) }));
    await advance(10);
    expect(payloads()).toEqual([{ at: new Date(5) }]);
    expect(hub.deadFrames().map(({ reason }) => reason)).toEqual(['validation']);
  });

  it('sends what was said when it was said, also by a codec that uses its memory again', async () => {
    const { connect, advance, keep, done } = nodes();
    const plain = dateCodec();
    const memoryOfCodec = new Uint8Array(1_000);
    const encode = (value: unknown): Uint8Array => {
      const bytes = plain.encode(value);
      memoryOfCodec.set(bytes);
      return memoryOfCodec.subarray(0, bytes.length);
    };
    const codec = { ...plain, encode };
    const [a, b] = [await connect('a', { codec }), await connect('b', { codec })];
    const { payloads } = await keep(b, 'n');
    const changing = { n: 1 };
    const sent = [a.publish('n', changing), a.publish('n', 'another')];
    changing.n = 2;
    await done(Promise.all(sent));
    await advance(10);
    expect(payloads()).toEqual([{ n: 1 }, 'another']);
  });
});

describe('a payload of a codec that its reader does not have', () => {
  it('is a dead letter `serialization` that names the codec, keeps its bytes, and holds up nothing', async () => {
    const { connect, advance, keep, refusals, done, hub } = nodes();
    const codec = dateCodec();
    const [a, b] = [await connect('a', { codec }), await connect('b', { codecs: [dateCodec('other')] })];
    const { payloads } = await keep(b, 'n');
    const refused = refusals(b);
    // One frame of three messages, of which one cannot be read.
    await done(Promise.all([undefined, RICH, Uint8Array.of(1)].map((payload) => a.publish('n', payload))));
    await advance(10);
    expect(payloads()).toEqual([undefined, Uint8Array.of(1)]);
    const error = `ERR_CODEC_UNKNOWN: A payload was written by the codec 'dates', and this node reads json, other. Give it that codec too: codecs: [{ name: 'dates', encode, decode }].`;
    expect(hub.deadFrames()).toMatchObject([{ reason: 'serialization', error }]);
    const details = { codec: 'dates', known: ['json', 'other'] };
    expect(refused).toMatchObject([
      { reason: 'serialization', topic: 'n', error: { code: 'ERR_CODEC_UNKNOWN', details } },
    ]);
    expect(messagesIn(hub).map(({ payload }) => payload)).toEqual([
      { codec: 'named', name: 'dates', bytes: Uint8Array.from(codec.encode(RICH)) },
    ]);
  });

  it('is handled when its dead letter is published again to a node that has learnt the codec', async () => {
    const { connect, advance, keep, done, hub, clock } = nodes();
    const codec = dateCodec();
    const [a, b] = [await connect('a', { codec }), await connect('b')];
    await keep(b, 'jobs', 'workers');
    await done(a.publish('jobs', RICH));
    await advance(10);
    const [message] = messagesIn(hub);
    expect(message?.payload).toMatchObject({ codec: 'named', name: 'dates' });
    await done(b.close({ drainMs: 0 }));
    const later = await connect('c', { codecs: [codec] });
    const { payloads } = await keep(later, 'jobs', 'workers');
    // What an operator does: the messages as they were, in a frame of their own.
    const operator = memory({ hub });
    await done(
      operator.open(
        { name: 'operator', incarnation: 'x1' },
        {
          clock,
          random: () => 0.5,
          soon: queueMicrotask,
          later: (task: () => void) => void setImmediate(task),
        },
      ),
    );
    const again = messagesIn(hub).map((each) => encodeMessage(each));
    const bytes = encodeFrame({ node: 'operator', incarnation: 'x1', stream: 1, sequence: 1 }, again);
    expect(await done(operator.publish([{ to: { kind: 'topic', topic: 'jobs' }, lane: 3, bytes }]))).toEqual([
      'ok',
    ]);
    await advance(10);
    expect(payloads()).toEqual([RICH]);
    await done(operator.close());
  });

  it('is told to the asker of a request as the cause of its timeout', async () => {
    const { connect, advance, keep, done } = nodes();
    const [a, b, c] = [await connect('a', { codec: dateCodec() }), await connect('b'), await connect('c')];
    await keep(b, 'q');
    await keep(c, 'q', 'workers');
    const asked = endingOf(a.request('q', 1, { timeoutMs: 1_000 }));
    await advance(1_000);
    expect(asked.error).toMatchObject({
      code: 'ERR_REQUEST_TIMEOUT',
      cause: { message: expect.stringContaining("the codec 'dates'") },
    });
    expect(await done(a.stats())).toMatchObject({ deadLetters: { total: 0 } });
  });
});

describe('a codec that fails', () => {
  it.each<[string, Codec['decode'], string]>([
    ['throws', () => JSON.parse('{'), 'it threw'],
    ['gives nothing', () => undefined, 'it gave undefined'],
    ['gives a function', () => () => 1, 'it gave a value of type function'],
    ['gives a symbol', () => Symbol('s'), 'it gave a value of type symbol'],
    ['gives a promise that fails', () => Promise.reject(new Error('late')), 'it gave a promise'],
  ])('to read is no end: what %s is a dead letter `serialization`', async (_what, decode, problem) => {
    const { connect, advance, keep, refusals, done, hub } = nodes();
    const a = await connect('a', { codec: dateCodec() });
    const b = await connect('b', { codec: codecWith({ decode }) });
    const { payloads } = await keep(b, 'n');
    const refused = refusals(b);
    await done(a.publish('n', 1));
    await done(a.publish('n', undefined));
    await advance(10);
    expect(payloads()).toEqual([undefined]);
    expect(hub.deadFrames()).toMatchObject([
      {
        reason: 'serialization',
        error: expect.stringContaining(`'dates' failed to decode a payload: ${problem}`),
      },
    ]);
    const details = { codec: 'dates', call: 'decode', problem: expect.stringContaining(problem) };
    expect(refused).toMatchObject([{ error: { code: 'ERR_CODEC_FAILED', details } }]);
  });

  it('to read a reply fails the request with that cause', async () => {
    const { connect, advance, done, hub } = nodes();
    const a = await connect('a', { codec: codecWith({ decode: () => undefined }) });
    const b = await connect('b', { codec: dateCodec() });
    await done(b.subscribe('q', ({ reply }) => reply(1)));
    const asked = endingOf(a.request('q', 1, { timeoutMs: 1_000 }));
    await advance(1_000);
    expect(asked.error).toMatchObject({ code: 'ERR_REQUEST_TIMEOUT', cause: { code: 'ERR_CODEC_FAILED' } });
    expect(hub.deadFrames()).toMatchObject([{ reason: 'serialization' }]);
  });

  it.each<[string, unknown, string]>([
    ['throws', () => Map.prototype.get.call({}, 1), 'it threw'],
    ['gives a text', () => 'secret', 'it gave a value of type string where bytes were expected'],
    ['gives null', () => null, 'it gave null where bytes were expected'],
    ['gives a list', () => [1, 2], 'it gave an array where bytes were expected'],
    [
      'gives a promise that fails',
      () => Promise.reject(new Error('late')),
      'it gave a promise where bytes were expected',
    ],
  ])(
    'to write is told to who publishes, and nothing is sent: one that %s',
    async (_what, encode, problem) => {
      const { connect, advance, keep, done } = nodes();
      const codec = codecWith({ encode: encode as Codec['encode'] });
      const [a, b] = [await connect('a', { codec }), await connect('b', { codec })];
      const { payloads } = await keep(b, 'n');
      const details = { codec: 'dates', call: 'encode', problem };
      await expect(a.publish('n', 1)).rejects.toMatchObject({ code: 'ERR_CODEC_FAILED', details });
      await expect(a.request('n', 1)).rejects.toMatchObject({ code: 'ERR_CODEC_FAILED', details });
      await done(a.publish('n', undefined));
      await advance(10);
      expect(payloads()).toEqual([undefined]);
    },
  );

  it('to write a reply throws where the reply is given', async () => {
    const { connect, advance, done } = nodes();
    const a = await connect('a', { codec: dateCodec() });
    const encode = (): never => {
      throw new Error('no room');
    };
    const b = await connect('b', { codec: codecWith({ encode }) });
    const thrown: unknown[] = [];
    await done(
      b.subscribe('q', ({ reply }) => {
        try {
          reply(1);
        } catch (error) {
          thrown.push(error);
        }
      }),
    );
    endingOf(a.request('q', 1, { timeoutMs: 1_000 }));
    await advance(2_000);
    expect(thrown).toMatchObject([{ code: 'ERR_CODEC_FAILED', details: { call: 'encode' } }]);
  });

  it('to stay within a frame is refused with ERR_FRAME_TOO_LARGE before anything is sent', async () => {
    const { connect } = nodes();
    const sizeBytes = FRAME_BYTES_MAX;
    const a = await connect('a', { codec: codecWith({ encode: () => new Uint8Array(sizeBytes) }) });
    const error = await a.publish('n', 1).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'ERR_FRAME_TOO_LARGE', details: { sizeBytes } });
  });

  it('cannot change the frame that becomes a dead letter', async () => {
    const { connect, advance, keep, done, hub } = nodes();
    const codec = dateCodec();
    const a = await connect('a', { codec });
    const decode = (bytes: Uint8Array): unknown => {
      bytes.fill(0);
      throw new Error('read, and broken');
    };
    const b = await connect('b', { codec: codecWith({ decode }) });
    await keep(b, 'n');
    // One frame, of which a part becomes the dead letter: that part is written anew.
    await done(Promise.all([a.publish('n', undefined), a.publish('n', RICH)]));
    await advance(10);
    expect(messagesIn(hub)).toHaveLength(1);
    expect(messagesIn(hub)[0]?.payload.bytes).toEqual(Uint8Array.from(codec.encode(RICH)));
  });
});

describe('the options codec and codecs', () => {
  const { encode, decode } = dateCodec();
  const many = Array.from({ length: CODECS_MAX + 1 }, (_, n) => dateCodec(`c${n}`));

  it.each<[string, Record<string, unknown>]>([
    ['codec', { codec: 'msgpack' }],
    ['codec', { codec: null }],
    ['codec.name', { codec: { encode, decode } }],
    ['codec.name', { codec: { name: '', encode, decode } }],
    ['codec.name', { codec: { name: 'Msgpack', encode, decode } }],
    ['codec.name', { codec: { name: 'a-name-of-17-long', encode, decode } }],
    ['codec.name', { codec: { name: 'json', encode, decode } }],
    ['codec.name', { codec: { name: 'named', encode, decode } }],
    ['codec.encode', { codec: { name: 'dates', decode } }],
    ['codec.decode', { codec: { name: 'dates', encode, decode: 'unpack' } }],
    ['codecs', { codecs: dateCodec() }],
    ['codecs', { codecs: many }],
    ['codecs[0].name', { codecs: [{ name: 'bytes', encode, decode }] }],
    ['codecs[0]', { codec: dateCodec(), codecs: [dateCodec()] }],
    ['codecs[1]', { codecs: [dateCodec(), dateCodec()] }],
  ])('are refused by name: %s in %j', async (option, options) => {
    const { connect } = nodes();
    await expect(connect('a', options as BusOptions)).rejects.toMatchObject({
      code: 'ERR_OPTION_INVALID',
      details: { option },
    });
  });

  it.each(['codec', 'codecs'])('need a broker: %s', async (option) => {
    const given = option === 'codec' ? { codec: dateCodec() } : { codecs: [dateCodec()] };
    await expect(busBench().connect(given)).rejects.toMatchObject({
      code: 'ERR_OPTION_INVALID',
      details: { option, expected: 'absent on a bus without a broker' },
    });
  });

  it('may name the codec that writes among those that read, and take an object of a class', async () => {
    const { connect, advance, keep, done } = nodes();
    class Packer {
      readonly name = 'packer';
      readonly #inner = dateCodec();
      encode(value: unknown): Uint8Array {
        return this.#inner.encode(value);
      }
      decode(bytes: Uint8Array): unknown {
        return this.#inner.decode(bytes);
      }
    }
    const codec = new Packer();
    const [a, b] = [
      await connect('a', { codec, codecs: [codec] }),
      await connect('b', { codecs: [codec, codec] }),
    ];
    const { payloads } = await keep(b, 'n');
    await done(a.publish('n', RICH));
    await advance(10);
    expect(payloads()).toEqual([RICH]);
  });
});
