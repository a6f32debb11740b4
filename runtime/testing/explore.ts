/**
 * Every order that a small scenario may take: the scenario runs from its start again and again, and at each choice of the
 * scheduler another way is gone, depth first, until there is none left. For about three actors and four messages; the number
 * of schedules grows with the factorial of what is runnable at once.
 */

import type { AnySupervisor } from '../../src/protocol/child-spec.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import { functionOption, integerOption, invalidOption, recordOption } from '../../src/protocol/options.ts';
import { SCHEDULES_MAX } from './bounds.ts';
import { type Decision, ScriptedChooser } from './chooser.ts';
import {
  type RefsOrNone,
  seedOption,
  startTestSystem,
  type TestSystem,
  type TestSystemOptions,
} from './test-system.ts';

/** The options of an exploration: those of each test system, and what runs in it. */
export interface ExploreOptions<Root extends AnySupervisor = AnySupervisor> extends TestSystemOptions<Root> {
  /** Runs once for each schedule, on a system of its own. What it throws is a failure. It must do the same each time. */
  readonly scenario: (system: TestSystem<RefsOrNone<Root>>) => unknown;
  /** Schedules that are tried; 10,000 unless said. If there are more, `isComplete` is false. */
  readonly schedulesMax?: number | undefined;
  /** Only this schedule, as a failure named it. */
  readonly schedule?: readonly number[] | undefined;
}

/** What was explored. */
export interface Exploration {
  /** Schedules that ran, each a different one. */
  readonly schedules: number;
  /** Whether there are no others. */
  readonly isComplete: boolean;
}

type Script = readonly { readonly size: number | undefined; readonly choice: number }[];

/**
 * Runs a scenario under every schedule. Rejects with `ERR_TEST_FAILED` at the first that fails: its `cause` is the failure,
 * its `finding` names the schedule, which `explore({ schedule })` runs again.
 */
export async function explore<Root extends AnySupervisor = never>(
  options: ExploreOptions<Root>,
): Promise<Exploration> {
  const { scenario, schedulesMax, schedule, ...given } = recordOption('explore options', options);
  const run = functionOption('scenario', scenario ?? null) as (system: unknown) => unknown; // looked at by the reader
  const max = integerOption('schedulesMax', schedulesMax, 1, SCHEDULES_MAX);
  const only = scheduleOption(schedule);
  const seed = seedOption(given['seed']);
  let script: Script | undefined = only ?? [];
  let schedules = 0;
  while (script !== undefined && schedules < max) {
    const chooser = new ScriptedChooser(script);
    // What is left of the options is a test system's; its door looks at them.
    await runOnce(given as TestSystemOptions<never>, seed, chooser, run);
    schedules++;
    script = only === undefined ? nextScript(chooser.decisions) : undefined;
  }
  return { schedules, isComplete: script === undefined && only === undefined };
}

async function runOnce(
  options: TestSystemOptions<never>,
  seed: number,
  chooser: ScriptedChooser,
  scenario: (system: unknown) => unknown,
): Promise<void> {
  const system = await startTestSystem<never>(options, seed, chooser);
  let failure: { readonly error: unknown } | undefined;
  try {
    await scenario(system);
    await system.check();
  } catch (error) {
    failure = { error };
  }
  const taken = chooser.decisions.map(({ choice }) => choice);
  chooser.end();
  try {
    await system[Symbol.asyncDispose]();
  } catch (error) {
    failure ??= { error };
  }
  if (chooser.hasDiverged)
    throw testFailed(
      seed,
      'The scenario does not do the same each time: something besides the schedule decides.',
    );
  if (failure === undefined) return;
  const { error } = failure;
  const what = error instanceof Error ? error.message : String(error);
  throw testFailed(
    seed,
    `Schedule [${taken.join(', ')}] fails: ${what}\nexplore({ schedule }) runs it again.`,
    error,
  );
}

/** The next way, depth first: the last choice that has another one left takes it. */
function nextScript(decisions: readonly Decision[]): Script | undefined {
  for (let depth = decisions.length - 1; depth >= 0; depth--) {
    const decision = decisions[depth];
    if (decision === undefined || decision.choice + 1 >= decision.size) continue;
    return [...decisions.slice(0, depth), { size: decision.size, choice: decision.choice + 1 }];
  }
  return undefined;
}

function scheduleOption(value: unknown): Script | undefined {
  if (value === undefined) return undefined;
  if (!Array.isArray(value)) throw invalidOption('schedule', 'a list of whole numbers', value);
  return value.map((choice: unknown, index) => ({
    size: undefined,
    choice: integerOption(`schedule[${index}]`, choice ?? null, 0, 0),
  }));
}

function testFailed(seed: number, finding: string, cause?: unknown): TroupeError<'ERR_TEST_FAILED'> {
  return new TroupeError('ERR_TEST_FAILED', { seed, finding }, { cause });
}
