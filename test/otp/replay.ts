/**
 * Plays a recorded scenario with a real supervisor and real agents, through the public API alone, and tells what could
 * be seen after each event in the words of the recording.
 */

import {
  dynamicSupervisor,
  isTroupeError,
  type SupervisorControl,
  type SupervisorDefinition,
  supervisor,
} from 'troupe';
import { endingOf } from '../support/puppet.ts';
import { testSystem } from '../support/test-system.ts';
import { type PerformerRef, performer, Stage } from './performer.ts';
import type { Outcome, RecordedEvent, Scenario } from './trace.ts';

/** Longer than any shutdown limit of a recording with its grace, and far shorter than its period. */
const STEP_MS = 5_000;
/** Attempts at a start without a delay follow one another, each in a macrotask of its own. */
const ROUNDS_MAX = 100;

/** Supervisor and log of a scenario that is played. */
interface Play {
  readonly scenario: Scenario;
  readonly stage: Stage;
  readonly refs: Map<string, PerformerRef>;
  readonly root: SupervisorControl;
  readonly own: SupervisorControl;
  readonly kill: (ref: PerformerRef) => Promise<void>;
}

/** What could be seen after each event. */
export async function replay(scenario: Scenario): Promise<readonly Outcome[]> {
  const stage = new Stage();
  const outcomes: Outcome[] = [];
  const [, ...later] = scenario.steps;
  const { system, advance } = await testSystem({ log: false });
  const root = system.supervisor('/root');
  const starting = endingOf(root.startChild('own', definition(scenario, stage)));
  await advance(STEP_MS);
  if (starting.is !== 'resolved') return [notStarted(starting.error, stage)];
  const own = system.supervisor('own');
  // The refs of a supervisor are those of its children; these are all of one kind.
  const refs = new Map(Object.entries(starting.value as Readonly<Record<string, PerformerRef>>));
  const play: Play = { scenario, stage, refs, root, own, kill: (ref) => system.kill(ref) };
  outcomes.push(outcome(play, 'ok'));
  for (const { event } of later) {
    const answering = perform(play, event);
    await advance(STEP_MS);
    for (let round = 0; round < ROUNDS_MAX && isRestarting(own); round++) await advance(1);
    outcomes.push(outcome(play, await answering));
  }
  const ended = system.shutdown();
  await advance(STEP_MS);
  await ended;
  return outcomes;
}

function notStarted(error: unknown, stage: Stage): Outcome {
  if (!isTroupeError(error, 'ERR_START_FAILED')) throw error;
  const failed = error.details.address.split('/').at(-1)?.split('#')[0] ?? '';
  const result = ['failed_to_start_child', failed];
  return { result, supervisor: 'not_started', children: [], log: stage.take() };
}

function isRestarting(own: SupervisorControl): boolean {
  return own.children().some(({ status }) => status === 'restarting');
}

function definition(scenario: Scenario, stage: Stage): SupervisorDefinition<object> {
  const policy = {
    intensity: { max: scenario.intensity, withinMs: scenario.period_ms },
    restartsWithoutProgressMax: Infinity,
    autoShutdown: words(scenario.auto_shutdown),
    restart: 'temporary',
  } as const;
  const children = Object.fromEntries(
    scenario.children.map((child) => [child.id, performer(stage, child.id, child)]),
  );
  return scenario.strategy === 'simple_one_for_one'
    ? dynamicSupervisor(policy)
    : supervisor({ ...policy, strategy: words(scenario.strategy), children });
}

async function perform(play: Play, event: RecordedEvent): Promise<string> {
  const { own, root, refs } = play;
  const isDynamic = play.scenario.strategy === 'simple_one_for_one';
  switch (event.op) {
    case 'start_supervisor':
      throw new Error('a recording starts its supervisor once');
    case 'stop_supervisor':
      return (await root.terminateChild('own')) === 'ok' ? 'shutdown' : 'already_down';
    case 'start_child':
      return startChild(play, event);
    case 'terminate_child': {
      const answer = await own.terminateChild(event.child);
      if (answer === 'ok' || !isDynamic) return words(answer, '_');
      // OTP terminates these by process id, and is content with that of a process which has ended.
      return refs.has(event.child) ? 'ok' : 'not_running';
    }
    case 'restart_child':
      try {
        return words(await own.restartChild(event.child), '_');
      } catch (error) {
        return failureOf(error);
      }
    case 'delete_child':
      return words(await own.deleteChild(event.child), '_');
    case 'exit': {
      const ref = refs.get(event.child);
      if (ref === undefined || statusOf(own, event.child) !== 'running') return 'not_running';
      if (event.reason === 'kill') await play.kill(ref);
      else ref.tell('exit', event.reason);
      return 'ok';
    }
  }
}

async function startChild(
  play: Play,
  event: RecordedEvent & { readonly op: 'start_child' },
): Promise<string> {
  const { own, refs, stage, scenario } = play;
  const id = event.spec?.id ?? event.child ?? '';
  const recorded = event.spec ?? scenario.children[0];
  if (recorded === undefined) throw new Error('start_child without a spec');
  const status = statusOf(own, id);
  try {
    refs.set(id, await own.startChild(id, performer(stage, id, recorded)));
    return 'ok';
  } catch (error) {
    if (isTroupeError(error, 'ERR_NAME_TAKEN'))
      return status === 'stopped' ? 'already_present' : 'already_started';
    return failureOf(error);
  }
}

function failureOf(error: unknown): string {
  if (isTroupeError(error, 'ERR_START_FAILED')) return 'start_failed';
  throw error;
}

function statusOf(own: SupervisorControl, id: string): string | undefined {
  return own.children().find(({ name }) => name === id)?.status;
}

function outcome({ own, stage }: Play, result: string): Outcome {
  const isRunning = own.status === 'running';
  return {
    result,
    supervisor: isRunning ? 'running' : 'shutdown',
    children: isRunning
      ? own.children().map(({ name, status }) => [name, status === 'stopped' ? 'undefined' : status] as const)
      : [],
    log: stage.take(),
  };
}

type Words<Text extends string> = Text extends `${infer Head}_${infer Tail}`
  ? `${Head}-${Words<Tail>}`
  : Text;

/** The same words in the other spelling: joined by `-`, or by `_` where that is asked for. */
function words<Text extends string>(text: Text): Words<Text>;
function words(text: string, by: '_'): string;
function words(text: string, by = '-'): string {
  return text.replaceAll(/[-_]/g, by);
}
