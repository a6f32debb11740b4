import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RestartWindow } from '../../runtime/supervision/restart-window.ts';
import { RUNS } from '../support/runs.ts';

describe('the restart window', () => {
  it('P16 allows max restarts in the window and refuses the next, at the boundary too', () => {
    const atEnd = new RestartWindow({ max: 2, withinMs: 100 });
    expect([0, 0, 100].map((now) => atEnd.allows(now))).toEqual([true, true, false]);
    const after = new RestartWindow({ max: 2, withinMs: 100 });
    expect([0, 0, 101].map((now) => after.allows(now))).toEqual([true, true, true]);
  });

  it('P16 with max 0 allows none, with max Infinity all', () => {
    expect(new RestartWindow({ max: 0, withinMs: 100 }).allows(0)).toBe(false);
    const endless = new RestartWindow({ max: Infinity, withinMs: 100 });
    for (let i = 0; i < 100; i++) expect(endless.allows(0)).toBe(true);
  });

  it('P16 refuses exactly when the formula is violated for the first time', () => {
    const gaps = fc.array(fc.oneof(fc.integer({ min: 0, max: 30 }), fc.constantFrom(50, 51)), {
      size: 'max',
      maxLength: 60,
    });
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 6 }),
        fc.constantFrom(50, Infinity),
        gaps,
        (max, withinMs, delays) => {
          const window = new RestartWindow({ max, withinMs });
          const times: number[] = [];
          let now = 0;
          for (const delay of delays) {
            now += delay;
            times.push(now);
            const isAllowed = times.filter((time) => now - time <= withinMs).length <= max;
            expect(window.allows(now)).toBe(isAllowed);
            if (!isAllowed) return;
          }
        },
      ),
      { numRuns: RUNS },
    );
  });
});
