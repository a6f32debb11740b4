/**
 * Goal (P72): whatever copies, losses and late frames a broker makes, each frame is news exactly once, and no news is taken for a copy.
 * Method: sequences of deliveries of several streams, against a plain set of everything seen so far.
 */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GroupArrivals, InboxArrivals } from '../../runtime/remote/arrivals.ts';
import { FRAMES_MISSING_MAX } from '../../src/protocol/limits.ts';
import { RUNS, RUNS_TIMEOUT_MS } from '../support/runs.ts';

const deliveries = fc.array(
  fc.record({
    node: fc.constantFrom('a', 'b'),
    incarnation: fc.constantFrom('1', '2'),
    stream: fc.integer({ min: 1, max: 3 }),
    sequence: fc.integer({ min: 1, max: 40 }),
  }),
  { maxLength: 200 },
);

describe('what an inbox has got', () => {
  it(
    'P72 tells news from copies like a plain set of all that came, as long as nothing is forgotten',
    () => {
      fc.assert(
        fc.property(deliveries, (sequence) => {
          const arrivals = new InboxArrivals(() => undefined);
          const seen = new Set<string>();
          for (const frame of sequence) {
            const key = JSON.stringify(frame);
            expect(arrivals.isNew(frame)).toBe(!seen.has(key));
            seen.add(key);
          }
        }),
        { numRuns: RUNS },
      );
    },
    RUNS_TIMEOUT_MS,
  );

  it('tells how many frames were skipped, each time, and not what came before the first', () => {
    const missing: [string, number][] = [];
    const arrivals = new InboxArrivals(({ node }, frames) => missing.push([node, frames]));
    const at = (sequence: number) => arrivals.isNew({ node: 'a', incarnation: '1', stream: 1, sequence });
    at(7);
    at(8);
    at(12);
    at(9);
    at(13);
    expect(missing).toEqual([['a', 3]]);
  });

  it(`takes a frame for a copy only when it is one, or more than ${FRAMES_MISSING_MAX} missing ones came after it`, () => {
    const arrivals = new InboxArrivals(() => undefined);
    const at = (sequence: number) => arrivals.isNew({ node: 'a', incarnation: '1', stream: 1, sequence });
    expect(at(1)).toBe(true);
    expect(at(FRAMES_MISSING_MAX + 3)).toBe(true);
    expect(at(2)).toBe(false); // forgotten: the oldest of 1,025
    expect(at(3)).toBe(true);
    expect(at(3)).toBe(false);
    expect(at(FRAMES_MISSING_MAX + 2)).toBe(true);
  });

  it('forgets the stream that was quiet longest when there are too many', () => {
    const arrivals = new InboxArrivals(() => undefined, 2);
    const at = (stream: number) => arrivals.isNew({ node: 'a', incarnation: '1', stream, sequence: 1 });
    expect([at(1), at(2), at(1), at(3), at(1), at(2)]).toEqual([true, true, false, true, false, true]);
  });
});

describe('what a member of a group has handled', () => {
  it('is what was noted, the last so many', () => {
    const arrivals = new GroupArrivals(2);
    const frame = (sequence: number) => ({ node: 'a', incarnation: '1', stream: 1, sequence });
    for (const n of [1, 2, 3]) arrivals.noteHandled(frame(n));
    expect([1, 2, 3, 4].map((n) => arrivals.wasHandled(frame(n)))).toEqual([false, true, true, false]);
  });
});
