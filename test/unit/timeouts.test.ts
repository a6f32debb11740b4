import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Timeouts } from '../../runtime/host/timeouts.ts';
import { HandHost } from '../support/hand-host.ts';
import { RUNS } from '../support/runs.ts';

const nothing = (): Promise<void> => Promise.resolve();

function start(timeouts: Timeouts, host: HandHost, durationMs: number, fire: () => void) {
  return timeouts.startFunction(durationMs, host.clock.now(), fire);
}

describe('timeouts', () => {
  it('fire once, when their time has come and not before', async () => {
    const host = new HandHost();
    const timeouts = new Timeouts(host);
    const fired: string[] = [];
    start(timeouts, host, 100, () => fired.push('a'));
    await host.clock.advance(50, nothing);
    start(timeouts, host, 100, () => fired.push('b'));
    await host.clock.advance(49, nothing);
    expect(fired).toEqual([]);
    await host.clock.advance(1, nothing);
    expect(fired).toEqual(['a']);
    await host.clock.advance(49, nothing);
    expect(fired).toEqual(['a']);
    await host.clock.advance(1, nothing);
    expect(fired).toEqual(['a', 'b']);
    await host.clock.advance(1_000, nothing);
    expect(fired).toEqual(['a', 'b']);
  });

  it('never fire once cancelled, be it twice, by another one that fires, or by themselves', async () => {
    const host = new HandHost();
    const timeouts = new Timeouts(host);
    const fired: string[] = [];
    const first = start(timeouts, host, 100, () => {
      fired.push('first');
      timeouts.cancel(first);
      timeouts.cancel(second);
    });
    const second = start(timeouts, host, 100, () => fired.push('second'));
    const third = start(timeouts, host, 100, () => fired.push('third'));
    timeouts.cancel(third);
    timeouts.cancel(third);
    await host.clock.advance(1_000, nothing);
    expect(fired).toEqual(['first']);
  });

  it('may be started by one that fires, of the same length', async () => {
    const host = new HandHost();
    const timeouts = new Timeouts(host);
    const fired: number[] = [];
    const again = (): void => {
      fired.push(host.clock.now());
      if (fired.length < 3) start(timeouts, host, 100, again);
    };
    start(timeouts, host, 100, again);
    await host.clock.advance(1_000, nothing);
    expect(fired).toEqual([100, 200, 300]);
  });

  it('share one clock timer for each length, and leave none when all are cancelled', async () => {
    const host = new HandHost();
    const timeouts = new Timeouts(host);
    const all = Array.from({ length: 1_000 }, (_, i) =>
      start(timeouts, host, i % 2 === 0 ? 100 : 200, () => undefined),
    );
    expect([host.clock.pending, timeouts.size]).toEqual([2, 2]);
    for (const each of all) timeouts.cancel(each);
    expect(timeouts.size).toBe(0);
    await host.turn();
    await host.turn();
    expect(host.clock.pending).toBe(0);
  });

  it('keep their timer when a new one begins before the empty list is taken down', async () => {
    const host = new HandHost();
    const timeouts = new Timeouts(host);
    const fired: string[] = [];
    timeouts.cancel(start(timeouts, host, 100, () => fired.push('a')));
    await host.clock.advance(30, nothing);
    start(timeouts, host, 100, () => fired.push('b'));
    await host.turn();
    await host.clock.advance(99, nothing);
    expect(fired).toEqual([]);
    await host.clock.advance(1, nothing);
    expect(fired).toEqual(['b']);
  });

  it('fire as a plain list of due times would, for any starts, cancels and pauses', async () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('start' as const), ms: fc.constantFrom(0, 1, 5, 5, 30) }),
      fc.record({ kind: fc.constant('cancel' as const), nth: fc.nat(50) }),
      fc.record({ kind: fc.constant('advance' as const), ms: fc.integer({ min: 0, max: 12 }) }),
      fc.record({ kind: fc.constant('turn' as const) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { size: 'max', maxLength: 60 }), async (steps) => {
        const host = new HandHost();
        const timeouts = new Timeouts(host);
        const fired: string[] = [];
        const expected = new Map<number, number>();
        const handles: ReturnType<typeof start>[] = [];
        const due: string[] = [];
        for (const each of steps) {
          if (each.kind === 'start') {
            const id = handles.length;
            expected.set(id, host.clock.now() + each.ms);
            handles.push(start(timeouts, host, each.ms, () => fired.push(`${id}@${host.clock.now()}`)));
          } else if (each.kind === 'cancel') {
            const handle = handles[each.nth];
            if (handle !== undefined) timeouts.cancel(handle);
            expected.delete(each.nth);
          } else if (each.kind === 'turn') {
            await Promise.resolve();
          } else {
            await host.clock.advance(each.ms, nothing);
            for (const [id, at] of expected) {
              if (at > host.clock.now()) continue;
              expected.delete(id);
              due.push(`${id}@${at}`);
            }
          }
        }
        await host.clock.advance(100, nothing);
        for (const [id, at] of expected) due.push(`${id}@${at}`);
        expect(fired.sort()).toEqual(due.sort());
        expect(timeouts.size).toBe(0);
        while (await host.turn());
        expect(host.clock.pending).toBe(0);
      }),
      { numRuns: RUNS },
    );
  });
});
