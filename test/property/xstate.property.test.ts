// Goal: a machine as an agent goes through the same states, contexts, emitted events and outputs as in xstate's own actor.
// Method: machines and events by chance, played to both at the same virtual times; every inspection event of the machine and of each child is
// compared, in the order of each: in xstate a child that reports waits until its parent is done with all, here until it is done with the report.

import fc from 'fast-check';
import { expect, it, vi } from 'vitest';
import { RUNS, RUNS_TIMEOUT_MS } from '../support/runs.ts';
import { anyCues, anyPlan, FEATURES, featuresMet, machineOf } from '../support/xstate-machines.ts';
import { playedByAgent, playedByXstate } from '../support/xstate-play.ts';

/** Of the machines of a run, those that have to meet each feature. */
const SHARE_MIN = 0.05;

/** What each actor has told, in its order. */
function byActor(lines: readonly string[]): Record<string, string[]> {
  const told: Record<string, string[]> = {};
  for (const line of lines) {
    const [, , actor = ''] = line.split(' ', 3);
    told[actor] = [...(told[actor] ?? []), line];
  }
  return told;
}

it(
  'a machine by chance does as an agent what it does in xstate',
  async () => {
    // xstate in development warns of each event to an actor that has ended.
    vi.spyOn(console, 'warn').mockImplementation(() => undefined);
    const met = new Map<string, number>();
    let machines = 0;
    await fc.assert(
      fc.asyncProperty(anyPlan, anyCues, async (plan, cues) => {
        const play = { machine: machineOf(plan), cues, endMs: (cues.at(-1)?.atMs ?? 0) + 60 };
        const expected = await playedByXstate(play);
        fc.pre(expected.isFair);
        machines++;
        for (const feature of featuresMet(expected.inspected)) met.set(feature, (met.get(feature) ?? 0) + 1);
        if (expected.end !== undefined) {
          const how = /failed|done/.exec(expected.end)?.[0] ?? '';
          met.set(how, (met.get(how) ?? 0) + 1);
        }
        const { lines, emitted, end } = await playedByAgent(play);
        expect(byActor(lines)).toEqual(byActor(expected.lines));
        expect(emitted).toEqual(expected.emitted);
        expect(end).toBe(expected.end);
      }),
      { numRuns: Math.ceil(RUNS / 2) },
    );
    const shares = FEATURES.map((feature) => [feature, (met.get(feature) ?? 0) / machines] as const);
    console.log(
      `${machines} machines, ${[...met].map(([feature, count]) => `${feature} ${count}`).join(', ')}`,
    );
    expect(shares.filter(([, share]) => share < SHARE_MIN)).toEqual([]);
  },
  RUNS_TIMEOUT_MS * 2,
);
