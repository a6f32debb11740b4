/**
 * Goal: a supervisor keeps its bounds and its order of stop, whatever its children do meanwhile.
 * Method: random children that are slow, deaf or endless, and random requests; looked at step by step of virtual time.
 */

import fc from 'fast-check';
import { dynamicSupervisor, isTroupeError, supervisor } from 'troupe';
import { describe, expect, it } from 'vitest';
import { orders } from '../support/checked-host.ts';
import { endingOf, never, type PuppetRef, puppet } from '../support/puppet.ts';
import { RUNS, RUNS_TIMEOUT_MS } from '../support/runs.ts';
import { runTestSystem } from '../support/test-system.ts';

/** From the abort of a turn or hook to its disowning. */
const GRACE_MS = 1_000;
const STRIDE_MS = 50;

const child = fc.record({
  turn: fc.constantFrom('none', 'quick', 'heeds its signal', 'deaf'),
  stop: fc.constantFrom('at once', 'slowly', 'never'),
  shutdownMs: fc.constantFrom(0, 30, 200, 'brutal-kill' as const),
});

describe('a supervisor that stops', () => {
  it(
    'P13 P27 P28 ends its children one by one, last started first, each within its time and grace',
    async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(child, { minLength: 1, maxLength: 4 }), orders, async (children, order) => {
          const ends: number[] = [];
          const specs = children.map(({ stop, shutdownMs }) =>
            puppet({
              onStop: () => (stop === 'never' ? never() : stop === 'slowly' ? Promise.resolve() : undefined),
            }).child({ shutdownMs }),
          );
          const branch = supervisor({
            children: Object.fromEntries(specs.map((spec, place) => [`c${place}`, spec])),
          });
          await runTestSystem(
            { root: supervisor({ children: { branch } }), order },
            async ({ system, settle, advance }) => {
              const refs = Object.values(system.refs.branch) as PuppetRef[]; // its children, in their order
              for (const [place, { turn }] of children.entries()) {
                if (turn === 'quick') refs[place]?.tell('act', () => Promise.resolve());
                if (turn === 'deaf') refs[place]?.tell('act', never);
                if (turn === 'heeds its signal')
                  refs[place]?.tell(
                    'act',
                    (ctx) =>
                      new Promise((_, reject) => {
                        ctx.signal.addEventListener('abort', () => reject(ctx.signal.reason));
                      }),
                  );
              }
              await settle();
              const stopped = endingOf(system.supervisor('/root').terminateChild('branch'));
              const allowedMs = children.reduce(
                (sum, { shutdownMs }) => sum + (shutdownMs === 'brutal-kill' ? 0 : shutdownMs + GRACE_MS),
                0,
              );
              for (let passedMs = 0; passedMs <= allowedMs + STRIDE_MS; passedMs += STRIDE_MS) {
                await settle();
                const states = refs.map((ref) => system.inspect(ref)?.status);
                const told = states.findIndex((status) => status !== 'running');
                // Before the one that was told all run; after it all have ended.
                if (told >= 0)
                  expect(states.slice(told + 1)).toEqual(states.slice(told + 1).map(() => 'stopped'));
                for (const [place, status] of states.entries())
                  if (status === 'stopped' && !ends.includes(place)) ends.push(place);
                if (stopped.is !== undefined) break;
                await advance(STRIDE_MS);
              }
              expect(stopped).toMatchObject({ is: 'resolved', value: 'ok' });
              expect(ends.length).toBe(children.length);
            },
          );
        }),
        { numRuns: Math.ceil(RUNS / 4) },
      );
    },
    RUNS_TIMEOUT_MS,
  );
});

const request = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('start' as const), who: fc.nat(5) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom('crash' as const, 'leave' as const, 'kill' as const),
      who: fc.nat(5),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constantFrom('terminate' as const, 'wait' as const), who: fc.nat(5) }),
  },
);

describe('a dynamic supervisor', () => {
  it(
    'P20 never has more children than it may, those that wait for a restart included, and refuses only then',
    async () => {
      const seen = { refused: 0, restarting: 0 };
      await fc.assert(
        fc.asyncProperty(
          fc.array(request, { size: 'max', maxLength: 30 }),
          fc.integer({ min: 1, max: 4 }),
          orders,
          async (requests, childrenMax, order) => {
            const crew = dynamicSupervisor({
              childrenMax,
              intensity: { max: Infinity },
              restartsWithoutProgressMax: Infinity,
            });
            const root = supervisor({ children: { crew } });
            await runTestSystem({ root, order }, async ({ system, settle, advance }) => {
              const control = system.supervisor('crew');
              const refs = new Map<string, PuppetRef>();
              for (const { do: what, who } of requests) {
                const name = `c${who}`;
                const ref = refs.get(name);
                const before = control.children();
                if (what === 'start') {
                  try {
                    refs.set(
                      name,
                      await control.startChild(name, puppet().child({ backoff: { minMs: 20, jitter: 0 } })),
                    );
                    expect(before.length).toBeLessThan(childrenMax);
                  } catch (error) {
                    const isTaken = before.some((each) => each.name === name);
                    const isFull = isTroupeError(error, 'ERR_CHILDREN_FULL');
                    expect(isFull ? before.length === childrenMax : isTaken).toBe(true);
                    if (isFull) seen.refused++;
                  }
                } else if (what === 'wait') await advance(who * 5);
                else if (what === 'terminate') await control.terminateChild(name);
                else if (ref === undefined) continue;
                else if (what === 'kill')
                  void system.kill(ref); // it comes back, or has gone
                else
                  ref.tell('act', (ctx) => {
                    if (what === 'crash') throw new Error('crash');
                    ctx.stopSelf();
                  });
                await settle();
                const children = control.children();
                expect(children.length).toBeLessThanOrEqual(childrenMax);
                seen.restarting += children.filter(({ status }) => status === 'restarting').length;
              }
            });
          },
        ),
        { numRuns: RUNS },
      );
      expect(Math.min(seen.refused, seen.restarting)).toBeGreaterThan(RUNS / 10); // it looked at something
    },
    RUNS_TIMEOUT_MS,
  );
});
