/**
 * Goal: what one end of a loopback connection says, the other hears as it was, however the stream is cut; and whatever arrives is a message
 * that could have been said, or `ERR_FRAME_INVALID`. Nothing else is thrown, nothing hangs.
 * Method: messages there and back in random pieces; then 50,000 streams each way, random ones and messages that met with accidents.
 */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Field } from '../../adapters/loopback/fields.ts';
import { RESULTS, type ToNode, type ToServer, toNode, toServer } from '../../adapters/loopback/messages.ts';
import { Decoder, encode } from '../../adapters/loopback/wire.ts';
import { isTroupeError } from '../../src/protocol/errors.ts';
import { damage } from '../support/damage.ts';
import { RUNS, RUNS_TIMEOUT_MS } from '../support/runs.ts';
import { seededRandom } from '../support/seeded-random.ts';

const FUZZED = 50_000;

/** Short enough for each of the fields. */
const text = fc.string({ unit: 'grapheme', maxLength: 8 }).filter((each) => Buffer.byteLength(each) <= 32);
const whole = fc.oneof(fc.nat(300), fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }));
const time = fc.double({ noNaN: true, noDefaultInfinity: true });
const bytes = fc.uint8Array({ maxLength: 60 });
const proof = fc.uint8Array({ minLength: 32, maxLength: 32 });
const lane = fc.constantFrom(0 as const, 1 as const, 2 as const, 3 as const, 4 as const, 5 as const);
const optional = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(arbitrary, { nil: undefined });
const kind = <const K extends string>(name: K): fc.Arbitrary<K> => fc.constant(name);

const shard = { group: text, shard: whole, shards: whole };
const inShard = fc.record({ kind: kind('shard'), ...shard });
const source = fc.oneof(
  fc.record({ kind: kind('inbox') }),
  fc.record({ kind: kind('group'), group: text, pattern: text }),
  inShard,
);
const destination = fc.oneof(
  fc.record({ kind: kind('node'), node: text }),
  fc.record({ kind: kind('topic'), topic: text }),
  inShard,
);
const identity = { name: text, incarnation: text };

const call = fc.oneof(
  fc.record({ type: fc.constantFrom('ping' as const, 'leave' as const) }),
  fc.record({
    type: kind('publish'),
    isContinued: fc.boolean(),
    frames: fc.array(fc.record({ to: destination, lane, bytes }), { maxLength: 4 }),
  }),
  fc.record({ type: fc.constantFrom('listen' as const, 'unlisten' as const), pattern: text }),
  fc.record({ type: kind('describe'), about: text }),
  fc.record({
    type: kind('consume'),
    reader: whole,
    source,
    windows: fc.array(whole, { minLength: 6, maxLength: 6 }),
  }),
  fc.record({ type: kind('stop'), reader: whole }),
  fc.record({
    type: kind('bury'),
    reader: whole,
    delivery: whole,
    reason: text,
    error: optional(text),
    bytes: optional(bytes),
  }),
  fc.record({ type: kind('backlog'), source }),
  fc.record({ type: fc.constantFrom('claim' as const, 'release' as const), shard: fc.record(shard) }),
);

const fromNode: fc.Arbitrary<ToServer> = fc.oneof(
  fc.record({
    type: kind('join'),
    proof,
    nonce: proof,
    prefix: text,
    ...identity,
    life: whole,
    maxLength: whole,
    expiresMs: time,
    heartbeatMs: time,
    downAfterMs: time,
    processId: whole,
    known: fc.array(fc.record(identity), { maxLength: 3 }),
  }),
  fc.record({ type: kind('ask'), number: whole, call }),
  fc.record({ type: kind('restored') }),
  fc.record({ type: kind('quiet'), reader: whole }),
  fc.record({
    type: kind('settle'),
    reader: whole,
    how: fc.constantFrom('acknowledge' as const, 'release' as const),
    deliveries: fc.array(whole, { maxLength: 5 }),
  }),
);

const fromServer: fc.Arbitrary<ToNode> = fc.oneof(
  fc.record({ type: kind('greeting'), server: text, ageMs: time, nonce: proof }),
  fc.record({ type: kind('proof'), proof }),
  fc.record({ type: kind('joined') }),
  fc.record({
    type: kind('refused'),
    why: fc.constantFrom('denied' as const, 'name-taken' as const, 'unavailable' as const),
    problem: text,
  }),
  fc.record({
    type: kind('census'),
    ended: fc.array(fc.record({ ...identity, hasLeft: fc.boolean() }), { maxLength: 3 }),
    living: fc.array(fc.record({ ...identity, about: text }), { maxLength: 3 }),
  }),
  fc.record({
    type: kind('answer'),
    number: whole,
    values: fc.array(fc.nat(RESULTS.length - 1), { maxLength: 5 }),
  }),
  fc.record({
    type: kind('deliveries'),
    reader: whole,
    lane,
    frames: fc.array(fc.record({ delivery: whole, deliveries: whole, topic: optional(text), bytes }), {
      maxLength: 4,
    }),
  }),
  fc.record({ type: kind('granted'), shard: fc.record(shard), epoch: whole }),
  fc.record({ type: kind('refuses'), isRefused: fc.boolean() }),
);

/** What is heard of a stream that comes in pieces: messages, and the error that ended it. */
function hear<T>(field: Field<T>, pieces: readonly Uint8Array[]): { heard: T[]; error: unknown } {
  const decoder = new Decoder(field);
  const heard: T[] = [];
  try {
    for (const piece of pieces)
      decoder.take(piece, (message) => {
        heard.push(message);
        return true;
      });
  } catch (error) {
    return { heard, error };
  }
  return { heard, error: undefined };
}

function pieces(stream: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const places = [0, ...cuts.map((cut) => cut % (stream.length + 1)), stream.length].toSorted(
    (a, b) => a - b,
  );
  return places.slice(1).map((end, n) => stream.slice(places[n], end));
}

const ways = [
  { way: 'to the server', field: toServer as Field<unknown>, message: fromNode as fc.Arbitrary<unknown> },
  { way: 'to a node', field: toNode as Field<unknown>, message: fromServer as fc.Arbitrary<unknown> },
] as const;

describe.each(ways)('messages $way', ({ field, message }) => {
  it(
    'come as they were said, in their order, however the stream is cut',
    () => {
      fc.assert(
        fc.property(
          fc.array(message, { maxLength: 6 }),
          fc.array(fc.nat(), { maxLength: 12 }),
          (said, cuts) => {
            const stream = Buffer.concat(said.map((each) => encode(field, each)));
            expect(hear(field, pieces(stream, cuts))).toEqual({ heard: said, error: undefined });
          },
        ),
        { numRuns: RUNS },
      );
    },
    RUNS_TIMEOUT_MS,
  );

  it(
    'are what could have been said, or ERR_FRAME_INVALID, whatever bytes arrive',
    () => {
      const seed = Number(process.env['FUZZ_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
      const random = seededRandom(seed);
      const below = (bound: number): number => Math.floor(random() * bound);
      const said = fc.sample(message, { numRuns: 300, seed }).map((each) => encode(field, each));
      let heard = 0;
      let refused = 0;
      for (let n = 0; n < FUZZED; n++) {
        let stream: Uint8Array = said[below(said.length)] ?? new Uint8Array();
        if (below(10) === 0) stream = Uint8Array.from({ length: below(200) }, () => below(256));
        // Half of the accidents leave the length as it was said, so that they reach what is behind it.
        const head = below(2) * 4;
        for (let times = below(4); times >= 0; times--) {
          const rest = damage(stream.slice(head), [below(5), below(100_000), below(256)]);
          stream = Uint8Array.from([...stream.slice(0, head), ...rest]);
        }
        const problem = `FUZZ_SEED=${seed}: ${Buffer.from(stream).toString('hex')}`;
        const result = hear(field, pieces(stream, [below(1_000)]));
        if (result.error !== undefined) {
          refused++;
          expect(isTroupeError(result.error, 'ERR_FRAME_INVALID'), problem).toBe(true);
        }
        heard += result.heard.length;
        const again = Buffer.concat(result.heard.map((each) => encode(field, each)));
        expect(Buffer.from(stream.subarray(0, again.length)).equals(again), problem).toBe(true);
      }
      // Both happen, so the test looks at both.
      expect(heard).toBeGreaterThan(1_000);
      expect(refused).toBeGreaterThan(1_000);
    },
    RUNS_TIMEOUT_MS,
  );
});
