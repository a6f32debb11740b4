/**
 * Goal: whatever arrives is a frame that the encoder could have made, or `ERR_FRAME_INVALID`; nothing else is thrown, nothing hangs.
 * Method: frames there and back; then 100,000 byte strings, random ones and frames with bytes changed, cut, doubled, swapped.
 */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isTroupeError } from '../../src/protocol/errors.ts';
import {
  decodeFrame,
  encodeFrame,
  encodeMessage,
  type Frame,
  isCodecName,
  WIRE_TYPES,
  type WireMessage,
  type WirePayload,
} from '../../src/protocol/frame.ts';
import { decodePayload, encodePayload } from '../../src/protocol/payload.ts';
import { damage } from '../support/damage.ts';
import { RUNS, RUNS_TIMEOUT_MS } from '../support/runs.ts';
import { seededRandom } from '../support/seeded-random.ts';

const FUZZED = 100_000;
const text = fc.string({ unit: 'grapheme', maxLength: 30 });
const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 30 });
const optional = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(arbitrary, { nil: undefined });
const time = fc.double({ noNaN: true, noDefaultInfinity: true });

const payload = fc.oneof(
  fc.constant(undefined),
  fc.uint8Array({ maxLength: 60 }),
  fc.jsonValue({ maxDepth: 3 }).map((value) => JSON.parse(JSON.stringify(value)) as unknown),
);

const TO_ACTORS: readonly string[] = ['tell', 'send', 'spawn'];
const chain = fc.option(fc.array(fc.record({ address: name, id: name }), { minLength: 1, maxLength: 3 }), {
  nil: undefined,
});
const target = fc.record({ address: name, protocol: name, message: name });
const kind = fc
  .record({ type: fc.constantFrom(...WIRE_TYPES), target, chain })
  .map(({ type, target, chain }) => {
    if (type === 'ask' || type === 'job') return { type, target, chain };
    return TO_ACTORS.includes(type) ? { type, target } : { type };
  });

const CODEC_NAME_LETTERS = 'abcdefghijklmnopqrstuvwxyz0123456789-'.split('');

/** What a codec wrote that this node may have or not. */
const named: fc.Arbitrary<WirePayload> = fc
  .record({
    name: fc
      .string({ unit: fc.constantFrom(...CODEC_NAME_LETTERS), minLength: 1, maxLength: 16 })
      .filter(isCodecName),
    bytes: fc.uint8Array({ maxLength: 60 }),
  })
  .map(({ name: codecName, bytes }) => ({ codec: 'named', name: codecName, bytes }));

const labels = fc.record({
  id: name,
  sentAtMs: time,
  expiresAtMs: optional(time),
  sender: optional(text),
  correlationId: optional(text),
  headers: optional(fc.dictionary(fc.oneof(text, fc.constant('__proto__')), text, { maxKeys: 5 })),
  payload: fc.oneof(
    { weight: 3, arbitrary: payload.map((value) => encodePayload(value, 1_000_000)) },
    { weight: 1, arbitrary: named },
  ),
});
const message: fc.Arbitrary<WireMessage> = fc
  .tuple(kind, labels)
  .map(([said, rest]) => ({ ...said, ...rest }));

const frame: fc.Arbitrary<Frame> = fc.record({
  node: name,
  incarnation: name,
  stream: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  sequence: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  messages: fc.array(message, { minLength: 1, maxLength: 8 }),
});

function encoded({ messages, ...head }: Frame): Uint8Array {
  return encodeFrame(head, messages.map(encodeMessage));
}

/** Byte strings from one seed: random ones, and frames that have met with one to four accidents. */
function* accidents(seed: number, count: number): Generator<Uint8Array> {
  const frames = fc.sample(frame, { numRuns: 500, seed }).map(encoded);
  const random = seededRandom(seed);
  const below = (bound: number): number => Math.floor(random() * bound);
  for (let n = 0; n < count; n++) {
    const given = frames[below(frames.length)];
    let bytes =
      given === undefined || below(10) === 0
        ? Uint8Array.from({ length: below(200) }, () => below(256))
        : given;
    for (let times = below(4); times >= 0; times--)
      bytes = damage(bytes, [below(5), below(100_000), below(256)]);
    yield bytes;
  }
}

describe('a frame', () => {
  it(
    'comes back as it was, whatever is in it',
    () => {
      fc.assert(
        fc.property(frame, (given) => {
          const back = decodeFrame(encoded(given));
          expect({ ...back, messages: back.messages.map(plain) }).toEqual({
            ...given,
            messages: given.messages.map(plain),
          });
        }),
        { numRuns: RUNS },
      );
    },
    RUNS_TIMEOUT_MS,
  );

  it(
    'is refused with ERR_FRAME_INVALID, or is one that the encoder could have made, whatever bytes arrive',
    () => {
      const seed = Number(process.env['FUZZ_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
      let frames = 0;
      let refused = 0;
      let readNames = 0;
      for (const bytes of accidents(seed, FUZZED)) {
        const problem = `FUZZ_SEED=${seed}: ${Buffer.from(bytes).toString('hex')}`;
        let read: Frame;
        try {
          read = decodeFrame(bytes);
        } catch (error) {
          refused++;
          expect(isTroupeError(error, 'ERR_FRAME_INVALID'), problem).toBe(true);
          continue;
        }
        frames++;
        expect(Buffer.from(encoded(read)).equals(bytes), problem).toBe(true);
        for (const each of read.messages) {
          const { codec, name: codecName } = each.payload;
          if (codec === 'named') {
            readNames++;
            expect(isCodecName(codecName), problem).toBe(true);
          }
          try {
            decodePayload(each.payload);
          } catch (error) {
            const code = codec === 'named' ? 'ERR_CODEC_UNKNOWN' : 'ERR_FRAME_INVALID';
            expect(isTroupeError(error, code), problem).toBe(true);
          }
        }
      }
      // All of it happens, so the test looks at all of it.
      expect(readNames).toBeGreaterThan(100);
      expect(frames).toBeGreaterThan(100);
      expect(refused).toBeGreaterThan(100);
    },
    RUNS_TIMEOUT_MS,
  );

  it('is no larger in memory for what it claims: a length beyond its end costs nothing', () => {
    const before = process.memoryUsage().arrayBuffers;
    const claim = [0x54, 0x50, 1, 1, 0x61, 1, 0x62, 1, 1, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f];
    for (let n = 0; n < 10_000; n++) {
      expect(() => decodeFrame(Uint8Array.from(claim))).toThrow(
        expect.objectContaining({ code: 'ERR_FRAME_INVALID' }),
      );
    }
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(50_000_000);
  });
});

function plain({ payload: { codec, name: codecName, bytes }, headers, ...rest }: WireMessage): unknown {
  const entries = headers === undefined ? undefined : Object.entries(headers);
  return { ...rest, headers: entries, payload: { codec, codecName, bytes: [...bytes] } };
}
