/**
 * Machines by chance, for plays: trees of all kinds of states, with events, guards, delays, children and actions of all kinds. A plan is
 * data, so that it shrinks and prints; `machineOf` builds it. What could go on for ever costs something of the context, or of the
 * stage's own budget.
 */

import fc from 'fast-check';
import {
  type AnyActorRef,
  type AnyEventObject,
  type AnyMachineSnapshot,
  type AnyStateMachine,
  assign,
  cancel,
  createMachine,
  emit,
  enqueueActions,
  fromCallback,
  fromObservable,
  fromPromise,
  fromTransition,
  type InspectionEvent,
  type Observer,
  raise,
  type StateNode,
  sendParent,
  sendTo,
  spawnChild,
  stopChild,
} from 'xstate';
import { EVENTS, type Sleep } from './xstate-play.ts';

type EventName = (typeof EVENTS)[number];
type ChildKind = 'promise' | 'failing' | 'callback' | 'machine' | 'observable' | 'transition';

type Act =
  | { readonly do: 'count' }
  | { readonly do: 'emit' | 'raise' | 'enqueue'; readonly event: EventName }
  | {
      readonly do: 'raise-late' | 'send-late';
      readonly event: EventName;
      readonly ms: number;
      readonly id: number;
    }
  | { readonly do: 'cancel'; readonly id: number }
  | { readonly do: 'spawn'; readonly child: ChildKind; readonly ms: number; readonly id: number }
  | { readonly do: 'assign-spawn'; readonly ms: number; readonly id: number }
  | { readonly do: 'ping' | 'stop'; readonly id: number };

interface Arrow {
  /** Which node, of all but the root. */
  readonly target: number | undefined;
  readonly guard: { readonly of: number; readonly is: number } | undefined;
  readonly reenter: boolean;
  readonly acts: readonly Act[];
}

interface Invoke {
  readonly child: ChildKind;
  readonly ms: number;
  readonly done: Arrow;
  /** An error that is not handled is the end of the machine. */
  readonly failed: Arrow | undefined;
}

/** A state of a plan. */
export interface Plan {
  readonly kind: 'atomic' | 'compound' | 'parallel' | 'final' | 'shallow' | 'deep';
  readonly initial: number;
  readonly on: readonly (readonly [EventName | '*', Arrow])[];
  readonly always: Arrow | undefined;
  readonly after: readonly (readonly [number, Arrow])[];
  readonly invoke: Invoke | undefined;
  readonly entry: readonly Act[];
  readonly exit: readonly Act[];
  readonly tags: readonly string[];
  readonly done: Arrow | undefined;
  readonly children: readonly Plan[];
}

// --- by chance ------------------------------------------------------------------------------------------------------

const anyEvent = fc.constantFrom(...EVENTS);
const anyId = fc.nat(2);
/** Primes, so that two timers seldom fall due at one instant. */
const anyDelay = fc.constantFrom(3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47);
const anyChild = fc.constantFrom<ChildKind>(
  'promise',
  'failing',
  'callback',
  'machine',
  'observable',
  'transition',
);

/** Nobody handles the errors of a child that is spawned. */
const anySound = fc.constantFrom<ChildKind>('promise', 'callback', 'machine', 'observable', 'transition');

const anyAct: fc.Arbitrary<Act> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('count' as const) }) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constantFrom(
        'emit' as const,
        'emit' as const,
        'raise' as const,
        'enqueue' as const,
        'enqueue' as const,
      ),
      event: anyEvent,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom('raise-late' as const, 'send-late' as const),
      event: anyEvent,
      ms: anyDelay,
      id: anyId,
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('cancel' as const), id: anyId }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('spawn' as const), child: anySound, ms: anyDelay, id: anyId }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('assign-spawn' as const), ms: anyDelay, id: anyId }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom('ping' as const, 'ping' as const, 'stop' as const),
      id: anyId,
    }),
  },
);
/** Nothing comes of it. */
const isQuiet = (act: Act): boolean => act.do === 'count' || act.do === 'emit';
const someActs = fc.array(anyAct, { maxLength: 2, size: 'max' });

const anyArrow: fc.Arbitrary<Arrow> = fc.record({
  target: fc.option(fc.nat(1_000), { nil: undefined, freq: 4 }),
  guard: fc.option(
    fc.integer({ min: 2, max: 3 }).chain((of) => fc.record({ of: fc.constant(of), is: fc.nat(of - 1) })),
    { nil: undefined, freq: 1 },
  ),
  reenter: fc.boolean(),
  acts: someActs,
});

const anyInvoke: fc.Arbitrary<Invoke> = fc.record({
  child: anyChild,
  ms: anyDelay,
  done: anyArrow,
  failed: fc.option(anyArrow, { nil: undefined, freq: 12 }),
});

/** A state without what it is made of. */
function ofKind(kind: Plan['kind'], children: fc.Arbitrary<readonly Plan[]>): fc.Arbitrary<Plan> {
  const isFull = kind === 'atomic' || kind === 'compound' || kind === 'parallel';
  const seldom = <T>(arbitrary: fc.Arbitrary<T>, freq: number): fc.Arbitrary<T | undefined> =>
    isFull ? fc.option(arbitrary, { nil: undefined, freq }) : fc.constant(undefined);
  const some = <T>(arbitrary: fc.Arbitrary<T>, maxLength: number): fc.Arbitrary<readonly T[]> =>
    fc.array(arbitrary, { maxLength: isFull ? maxLength : 0, size: 'max' });
  return fc.record({
    kind: fc.constant(kind),
    initial: fc.nat(10),
    on: some(
      fc.oneof(
        { weight: 9, arbitrary: fc.tuple(anyEvent, anyArrow) },
        // It leads nowhere: an observable that is invoked anew would tell of itself, and that for ever.
        {
          weight: 1,
          arbitrary: fc.tuple(
            fc.constant('*' as const),
            anyArrow.map((arrow) => ({ ...arrow, target: undefined, acts: arrow.acts.filter(isQuiet) })),
          ),
        },
      ),
      3,
    ),
    always: seldom(anyArrow, 2),
    after: some(fc.tuple(anyDelay, anyArrow), 1),
    invoke: seldom(anyInvoke, 2),
    entry: kind === 'final' || isFull ? someActs : fc.constant([]),
    exit: isFull ? someActs : fc.constant([]),
    tags: some(fc.constantFrom('red', 'blue'), 2),
    done: seldom(anyArrow, 3),
    children,
  });
}

const leaf = ofKind('atomic', fc.constant([]));

function compoundOf(inner: fc.Arbitrary<Plan>): fc.Arbitrary<Plan> {
  const parts = fc.tuple(
    fc.array(inner, { minLength: 1, maxLength: 2, size: 'max' }),
    fc.oneof(
      { weight: 3, arbitrary: fc.constant([]) },
      { weight: 1, arbitrary: fc.tuple(ofKind('final', fc.constant([]))) },
    ),
    fc.array(fc.oneof(ofKind('shallow', fc.constant([])), ofKind('deep', fc.constant([]))), {
      maxLength: 1,
      size: 'max',
    }),
  );
  return ofKind(
    'compound',
    parts.map((groups) => groups.flat()),
  );
}

function parallelOf(inner: fc.Arbitrary<Plan>): fc.Arbitrary<Plan> {
  return ofKind('parallel', fc.array(inner, { minLength: 2, maxLength: 2, size: 'max' }));
}

const low = compoundOf(leaf);
const middle = fc.oneof(
  { weight: 2, arbitrary: leaf },
  { weight: 2, arbitrary: low },
  { weight: 2, arbitrary: parallelOf(low) },
);

/** A machine by chance. */
export const anyPlan: fc.Arbitrary<Plan> = fc.oneof(
  { weight: 3, arbitrary: compoundOf(middle) },
  { weight: 1, arbitrary: parallelOf(fc.oneof(low, compoundOf(middle))) },
);

/** What happens to it. */
export const anyCues = fc
  .array(fc.tuple(fc.constantFrom(0, 0, 1, 2, 4, 8, 14, 25), anyEvent), {
    minLength: 4,
    maxLength: 14,
    size: 'max',
  })
  .map((gaps) => {
    let atMs = 0;
    return gaps.map(([gapMs, name]) => {
      atMs += gapMs;
      return { atMs, event: { type: name } };
    });
  });

// --- built ----------------------------------------------------------------------------------------------------------

interface Counted {
  n: number;
  /** Steps that always transitions and raised events may still take together. */
  left: number;
  /** Events that may still be put off. */
  late: number;
  /** Children that may still be spawned. */
  kids: number;
}

type Spawn = (logic: never, options: { readonly id: string }) => unknown;

const BEGIN: Counted = { n: 0, left: 8, late: 16, kids: 8 };
/** Events that callbacks may send back. */
const SEND_BACKS = 25;

/** The machine of a plan; each call makes a new one, with a budget of its own. */
export function machineOf(plan: Plan): (sleep: Sleep) => AnyStateMachine {
  return (sleep) => new Builder(plan, sleep).machine();
}

class Builder {
  private readonly root: Plan;
  private readonly sleep: Sleep;
  private readonly ids = new Map<Plan, string>();
  private readonly targets: string[] = [];
  private budget = SEND_BACKS;

  constructor(root: Plan, sleep: Sleep) {
    this.root = root;
    this.sleep = sleep;
    this.number(root);
  }

  machine(): AnyStateMachine {
    const config = {
      context: BEGIN,
      output: ({ context }: { context: Counted }) => context.n,
      // What raises itself for ever fails alike in both.
      options: { maxIterations: 40 },
      ...this.state(this.root),
    };
    return (createMachine as (given: object) => AnyStateMachine)(config);
  }

  private number(plan: Plan): void {
    const id = `s${this.ids.size}`;
    this.ids.set(plan, id);
    if (plan !== this.root) this.targets.push(`#${id}`);
    for (const child of plan.children) this.number(child);
  }

  private state(plan: Plan): object {
    const { kind, children } = plan;
    const id = this.ids.get(plan);
    if (kind === 'shallow' || kind === 'deep') return { id, type: 'history', history: kind };
    const common = {
      id,
      entry: plan.entry.map((act) => this.action(act)),
      exit: plan.exit.map((act) => this.action(act)),
      tags: plan.tags,
    };
    if (kind === 'final') return { ...common, type: 'final', output: id };
    const real = children.filter((child) => child.kind !== 'shallow' && child.kind !== 'deep');
    const initial = real[plan.initial % Math.max(1, real.length)];
    return {
      ...common,
      ...(kind === 'parallel' ? { type: 'parallel' } : {}),
      ...(kind === 'compound' && initial !== undefined ? { initial: this.ids.get(initial) } : {}),
      states: Object.fromEntries(children.map((child) => [this.ids.get(child), this.state(child)])),
      on: Object.fromEntries(plan.on.map(([name, arrow]) => [name, this.arrow(arrow)])),
      after: Object.fromEntries(plan.after.map(([ms, arrow]) => [ms, this.arrow(arrow)])),
      ...(plan.always === undefined ? {} : { always: this.always(plan.always) }),
      ...(plan.invoke === undefined ? {} : { invoke: this.invoke(plan.invoke, `i-${id}`) }),
      ...(plan.done === undefined || kind === 'atomic' ? {} : { onDone: this.arrow(plan.done) }),
    };
  }

  private arrow({ target, guard, reenter, acts }: Arrow): object {
    return {
      ...(target === undefined ? {} : { target: this.targets[target % this.targets.length] }),
      ...(guard === undefined
        ? {}
        : { guard: ({ context }: { context: Counted }) => context.n % guard.of === guard.is }),
      reenter,
      actions: acts.map((act) => this.action(act)),
    };
  }

  private always(arrow: Arrow): object {
    const { of, is } = arrow.guard ?? { of: 1, is: 0 };
    const { actions } = this.arrow(arrow) as { actions: object[] };
    return {
      ...this.arrow(arrow),
      guard: ({ context }: { context: Counted }) => context.left > 0 && context.n % of === is,
      actions: [SPEND, ...actions],
    };
  }

  private invoke({ child, ms, done, failed }: Invoke, id: string): object {
    return {
      id,
      src: this.logic(child, ms),
      onDone: this.arrow(done),
      ...(failed === undefined ? {} : { onError: this.arrow(failed) }),
      ...(child === 'observable' ? { onSnapshot: { actions: [COUNT] } } : {}),
    };
  }

  private action(act: Act): object {
    switch (act.do) {
      case 'count':
        return COUNT;
      case 'emit':
        return emit(({ context }) => ({ type: act.event, n: (context as Counted).n }));
      case 'raise':
        return atCost('left', raise({ type: act.event }));
      case 'enqueue':
        return enqueueActions(({ enqueue, check }) => {
          if (!check(({ context }) => (context as Counted).left > 0)) return;
          enqueue(SPEND as never);
          enqueue.raise({ type: act.event });
          (enqueue as unknown as { emit(event: AnyEventObject): void }).emit({ type: 'enqueued' });
        });
      case 'raise-late':
        return atCost('late', raise({ type: act.event }, { delay: act.ms, id: `d${act.id}` }));
      case 'send-late':
        return atCost(
          'late',
          sendTo(({ self }) => self, { type: act.event }, { delay: act.ms, id: `d${act.id}` }),
        );
      case 'cancel':
        return cancel(`d${act.id}`);
      case 'spawn':
        return atCost(
          'kids',
          spawnChild(this.logic(act.child, act.ms) as never, { id: `k${act.id}` } as never),
        );
      case 'assign-spawn':
        return atCost('kids', this.spawning(`k${act.id}`, act.ms));
      case 'ping':
        return enqueueActions(({ enqueue, self }) => {
          const child = childOf(self, `k${act.id}`);
          if (child !== undefined) enqueue.sendTo(child, { type: 'ping' });
        });
      case 'stop':
        return stopChild(`k${act.id}`);
    }
  }

  private spawning(id: string, ms: number): object {
    const logic = this.logic('callback', ms);
    const spawned = ({ spawn, context }: { spawn: Spawn; context: Counted }): number => {
      spawn(logic as never, { id });
      return context.n;
    };
    return assign({ n: spawned as never });
  }

  private logic(kind: ChildKind, ms: number): object {
    const { sleep } = this;
    switch (kind) {
      case 'promise':
        return fromPromise(async () => {
          await sleep(ms);
          return ms;
        });
      case 'failing':
        return fromPromise(async () => {
          await sleep(ms);
          throw new Error(`after ${ms}`);
        });
      case 'callback':
        return fromCallback(({ sendBack, receive }) => this.callback(sendBack, receive, ms));
      case 'machine':
        return createMachine({
          id: 'child',
          initial: 'x',
          context: { n: 0, left: 3 },
          states: {
            x: {
              after: { [ms]: { target: 'y', actions: sendParent({ type: 'C' }) } },
              on: {
                ping: {
                  guard: ({ context }) => context.left > 0,
                  actions: [SPEND as never, sendParent({ type: 'D' })],
                },
              },
            },
            y: { after: { [ms]: 'z' } },
            z: { type: 'final' },
          },
          output: ms,
        });
      case 'observable':
        return fromObservable(() => ({
          subscribe: (observer: unknown) => this.observed(observer as Observer<number>, ms),
        }));
      case 'transition':
        return fromTransition((n: number, event: { type: string }) => (event.type === 'ping' ? n + 1 : n), 0);
    }
  }

  private callback(
    sendBack: (event: AnyEventObject) => void,
    receive: (listener: (event: AnyEventObject) => void) => void,
    ms: number,
  ): () => void {
    const back = (name: EventName): void => {
      if (this.budget-- > 0) sendBack({ type: name });
    };
    back('A');
    receive(() => back('B'));
    void this.sleep(ms).then(() => back('E')); // a sleep does not reject
    return () => undefined;
  }

  private observed(observer: Observer<number>, ms: number): { unsubscribe(): void } {
    let isOver = false;
    const go = async (): Promise<void> => {
      for (let n = 0; n < 2; n++) {
        await this.sleep(ms);
        if (isOver) return;
        observer.next?.(n);
      }
      observer.complete?.();
    };
    void go(); // as above
    return {
      unsubscribe: () => {
        isOver = true;
      },
    };
  }
}

/** An action that is done while there is something left for it. */
function atCost(purse: 'left' | 'late' | 'kids', action: object): object {
  return enqueueActions(({ enqueue, check }) => {
    if (!check(({ context }) => (context as Counted)[purse] > 0)) return;
    const pay = assign({ [purse]: ({ context }: { context: Counted }) => context[purse] - 1 });
    enqueue(pay as never);
    enqueue(action as never);
  });
}

/** xstate in development refuses to be asked while the initial state is made. */
function childOf(self: AnyActorRef, id: string): AnyActorRef | undefined {
  try {
    return (self.getSnapshot() as AnyMachineSnapshot | undefined)?.children[id];
  } catch {
    return undefined;
  }
}

const COUNT = assign({ n: ({ context }: { context: Counted }) => context.n + 1 });
const SPEND = assign({ left: ({ context }: { context: Counted }) => context.left - 1 });

// --- met ------------------------------------------------------------------------------------------------------------

/** What a property is to have met. */
export const FEATURES = [
  'parallel',
  'history',
  'always',
  'after',
  'invoke',
  'spawn',
  'raise',
  'final',
] as const;

/** Which of them a play has met: not those that a machine has, but those that were at work. */
export function featuresMet(inspected: readonly InspectionEvent[]): Set<(typeof FEATURES)[number]> {
  const met = new Set<(typeof FEATURES)[number]>();
  for (const event of inspected) {
    if (event.type === '@xstate.microstep') {
      for (const { eventType, target } of event._transitions) {
        if (eventType === '') met.add('always');
        if (eventType.startsWith('xstate.after')) met.add('after');
        for (const node of target ?? []) if (node.type === 'history') met.add('history');
      }
    }
    if (event.type === '@xstate.snapshot' || event.type === '@xstate.microstep') {
      // The snapshot of a machine has its nodes.
      const nodes = (event.snapshot as { readonly _nodes?: readonly StateNode[] })._nodes ?? [];
      for (const node of nodes) if (node.type === 'parallel' || node.type === 'final') met.add(node.type);
    }
    if (event.type === '@xstate.action' && event.action.type === 'xstate.raise') met.add('raise');
    if (event.type === '@xstate.actor') {
      const { id = '' } = event.actorRef as { readonly id?: string };
      if (id.startsWith('i-')) met.add('invoke');
      if (id.startsWith('k')) met.add('spawn');
    }
  }
  return met;
}
