/**
 * Goal: trees of supervisors behave as the plain model of OTP says. Method: trees to depth 3 and the ends of their workers
 * are generated; after each end hooks, children and status must be those of the model. No step is told to the model twice.
 */

import fc from 'fast-check';
import { type SupervisorControl, type SupervisorDefinition, supervisor } from 'troupe';
import { describe, expect, it } from 'vitest';
import { type PerformerRef, performer, Stage } from '../otp/performer.ts';
import type { ExitReason, LogLine, RecordedChild } from '../otp/trace.ts';
import { endingOf } from '../support/puppet.ts';
import { RUNS, RUNS_TIMEOUT_MS } from '../support/runs.ts';
import { runTestSystem } from '../support/test-system.ts';
import { type ModelSpec, ModelSupervisor } from './supervisor-model.ts';

const STEP_MS = 5_000;
const ROUNDS_MAX = 200;
const STRATEGIES = {
  one_for_one: 'one-for-one',
  one_for_all: 'one-for-all',
  rest_for_one: 'rest-for-one',
} as const;
const AUTO = {
  never: 'never',
  any_significant: 'any-significant',
  all_significant: 'all-significant',
} as const;

interface Exit {
  /** Which worker, counted through the tree and round again. */
  readonly place: number;
  readonly reason: ExitReason;
}

const restart = fc.constantFrom<RecordedChild['restart']>('permanent', 'transient', 'temporary');
const worker: fc.Arbitrary<Omit<RecordedChild, 'id'>> = fc.record({
  restart,
  significant: fc.boolean(),
  shutdown: fc.constantFrom<RecordedChild['shutdown']>(1_000, 1_000, 'infinity', 'brutal_kill'),
  hangs_in_terminate: fc.constant(false),
  failing_start_attempts: fc.oneof(
    { weight: 3, arbitrary: fc.constant<number[]>([]) },
    { weight: 1, arbitrary: fc.subarray([2, 3, 4, 5]) },
    { weight: 1, arbitrary: fc.subarray([1, 2, 3], { maxLength: 1 }) },
  ),
});

/** A tree without names. */
interface Bough extends Omit<ModelSpec, 'children'> {
  readonly below: readonly Sketch[];
}
type Sketch = Omit<RecordedChild, 'id'> | Bough;

function sketch(depth: number): fc.Arbitrary<Bough> {
  const child: fc.Arbitrary<Sketch> =
    depth <= 1
      ? worker
      : fc.oneof({ weight: 3, arbitrary: worker }, { weight: 2, arbitrary: sketch(depth - 1) });
  return fc.record({
    strategy: fc.constantFrom('one_for_one', 'one_for_all', 'rest_for_one'),
    intensity: fc.nat({ max: 4 }),
    auto_shutdown: fc.constantFrom('never', 'any_significant', 'all_significant'),
    restart,
    significant: fc.boolean(),
    below: fc.array(child, { minLength: 1, maxLength: 4 }),
  });
}

/** Names everything by its place, and makes nothing significant where that is refused. */
function grow(given: Bough, prefix: string): ModelSpec {
  const { below, ...spec } = given;
  const children = below.map((child, index): [string, RecordedChild | ModelSpec] => {
    const id = `${prefix}${index}`;
    const significant = child.significant && spec.auto_shutdown !== 'never' && child.restart !== 'permanent';
    return [id, 'below' in child ? { ...grow(child, `${id}-`), significant } : { ...child, id, significant }];
  });
  return { ...spec, children: Object.fromEntries(children) };
}

const tree = sketch(3).map((given) => grow({ ...given, restart: 'temporary', significant: false }, 'c'));
const exits: fc.Arbitrary<readonly Exit[]> = fc.array(
  fc.record({
    place: fc.nat({ max: 20 }),
    reason: fc.constantFrom('crash', 'crash', 'kill', 'normal', 'shutdown'),
  }),
  { minLength: 1, maxLength: 8, size: 'max' },
);

function define(stage: Stage, spec: ModelSpec): SupervisorDefinition<object> {
  const children = Object.entries(spec.children).map(([id, child]) => [
    id,
    'children' in child ? define(stage, child) : performer(stage, id, child),
  ]);
  return supervisor({
    strategy: STRATEGIES[spec.strategy as keyof typeof STRATEGIES],
    intensity: { max: spec.intensity, withinMs: Infinity },
    restartsWithoutProgressMax: Infinity,
    autoShutdown: AUTO[spec.auto_shutdown],
    restart: spec.restart,
    significant: spec.significant,
    backoff: { minMs: 0, maxMs: 0 },
    children: Object.fromEntries(children),
  });
}

/** Names and states of everything below that runs or could. */
function modelStates(own: ModelSupervisor): unknown[] {
  if (own.state !== 'running') return [];
  return own.children.map((child) => [
    child.id,
    child.state,
    child instanceof ModelSupervisor ? modelStates(child) : [],
  ]);
}

function realStates(find: (path: string) => SupervisorControl, own: SupervisorControl): unknown[] {
  if (own.status !== 'running') return [];
  return own
    .children()
    .map(({ name, kind, status }) => [
      name,
      status === 'stopped' ? 'undefined' : status,
      kind === 'supervisor' ? realStates(find, find(`${own.path}/${name}`)) : [],
    ]);
}

function workers(spec: ModelSpec): string[] {
  return Object.entries(spec.children).flatMap(([id, child]) =>
    'children' in child ? workers(child) : [id],
  );
}

/** The supervisor of the model that holds this worker now. */
function holder(own: ModelSupervisor, id: string): ModelSupervisor | undefined {
  if (own.state !== 'running') return undefined;
  for (const child of own.children) {
    if (child.id === id) return own;
    const found = child instanceof ModelSupervisor ? holder(child, id) : undefined;
    if (found !== undefined) return found;
  }
  return undefined;
}

function refsById(refs: object): Map<string, PerformerRef> {
  const found = new Map<string, PerformerRef>();
  for (const [id, ref] of Object.entries(refs)) {
    if ('tell' in ref)
      found.set(id, ref as PerformerRef); // the workers are all of one kind
    else for (const [inner, each] of refsById(ref as object)) found.set(inner, each);
  }
  return found;
}

async function run(spec: ModelSpec, chosen: readonly Exit[]): Promise<void> {
  const stage = new Stage();
  let log: LogLine[] = [];
  const model = new ModelSupervisor('own', spec, (line) => log.push(line));
  await runTestSystem({ log: false }, async ({ system, advance, events }) => {
    const find = (path: string): SupervisorControl => system.supervisor(path);
    const settled = async (): Promise<void> => {
      await advance(STEP_MS);
      const isUnsettled = (): boolean => JSON.stringify(system.tree()).includes('"restarting"');
      for (let round = 0; round < ROUNDS_MAX && isUnsettled(); round++) await advance(1);
    };
    const starting = endingOf(find('/root').startChild('own', define(stage, spec)));
    await settled();
    const failed = model.start();
    expect(stage.take()).toEqual(log);
    expect(starting.is === 'resolved').toBe(failed === undefined);
    if (failed !== undefined) return;
    const refs = refsById(starting.value as object);
    const own = find('own');
    const names = workers(spec);
    for (const { place, reason } of chosen) {
      const id = names[place % names.length] ?? '';
      const ref = refs.get(id);
      if (ref === undefined) throw new Error(`no ref of ${id}`);
      log = [];
      const supervisorOf = holder(model, id);
      if (supervisorOf?.find(id)?.state !== 'running') continue;
      if (reason === 'kill') void system.kill(ref);
      else ref.tell('exit', reason);
      supervisorOf.exit(id, reason);
      await settled();
      expect(stage.take()).toEqual(log);
      expect(realStates(find, own)).toEqual(modelStates(model));
      expect(own.status === 'running').toBe(model.status === 'running');
    }
    if (model.status !== 'running') {
      const ended = events.find(
        (event) => event.type === 'supervisor-stopped' && event.address === '/root/own',
      );
      expect(ended).toMatchObject({ reason: model.status });
    }
  });
}

describe('a tree of supervisors', () => {
  it(
    'P10 behaves as the model of OTP, hook by hook, to depth 3',
    async () => {
      await fc.assert(fc.asyncProperty(tree, exits, run), { numRuns: RUNS });
    },
    RUNS_TIMEOUT_MS,
  );
});
