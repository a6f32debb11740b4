/**
 * Child specs and supervisors, as data: what to start, with which arguments, and what to do when it ends. They decide
 * nothing; the supervisor that reads them does.
 */

import {
  BACKOFF_JITTER,
  BACKOFF_MAX_MS,
  BACKOFF_MIN_MS,
  CHILDREN_MAX,
  INTENSITY_MAX,
  INTENSITY_WITHIN_MS,
  RESTARTS_WITHOUT_PROGRESS_MAX,
  SHUTDOWN_MS,
} from './limits.ts';
import {
  choiceOption,
  durationOption,
  invalidOption,
  joined,
  limitOption,
  nameOption,
  objectOption,
  recordOption,
} from './options.ts';
import type { AnyProtocol } from './protocol.ts';
import type { Ref } from './ref.ts';

declare const ARGS: unique symbol;

/** When a child is started again: always, after a failure, or never. */
export type RestartType = 'permanent' | 'transient' | 'temporary';

/** Which siblings a failed child takes with it: none, all, or those that were started after it. */
export type Strategy = 'one-for-one' | 'one-for-all' | 'rest-for-one';

/** Whether a supervisor ends when significant children have ended of their own will: the first of them, or the last. */
export type AutoShutdown = 'never' | 'any-significant' | 'all-significant';

/** What a supervisor does to a child that it ends: wait so many milliseconds for its turn and `onStop`, or nothing. */
export type ShutdownLimit = number | 'brutal-kill';

/** Delays before restarts or retries: doubling from `minMs` up to `maxMs`, a share of each (`jitter`, 0 to 1) random. */
export interface BackoffOptions {
  /** Milliseconds before the first; 0 for none; 100 unless said. */
  readonly minMs?: number | undefined;
  /** Milliseconds never exceeded; 30,000 unless said. */
  readonly maxMs?: number | undefined;
  /** Share of the delay that is random, 0 to 1; 0.2 unless said. */
  readonly jitter?: number | undefined;
}

/** A backoff with its defaults applied. */
export interface Backoff {
  readonly minMs: number;
  readonly maxMs: number;
  readonly jitter: number;
}

/** How a child is kept alive and ended. */
export interface ChildPolicy {
  /** `transient` unless said: started again after a failure, not after a normal end. */
  readonly restart?: RestartType | undefined;
  /**
   * Milliseconds it may use to finish its turn when told to stop; 30,000 unless said; `Infinity` waits. `'brutal-kill'`
   * waits for nothing: its turn is disowned at once, and neither `onStop` nor `onRestart` runs.
   */
  readonly shutdownMs?: ShutdownLimit | undefined;
  readonly backoff?: BackoffOptions | undefined;
}

/** The policy of a child that is part of a supervisor's definition. */
export interface SupervisedPolicy extends ChildPolicy {
  /** Its own end may end its supervisor, as `autoShutdown` says; not for a `permanent` child. False unless said. */
  readonly significant?: boolean | undefined;
}

/** A child's policy and its arguments, which its agent does not insist on. */
export interface ChildOptions<Args = void> extends SupervisedPolicy {
  readonly args?: Args | undefined;
}

/** A child's policy and the arguments that its agent's `state` needs. */
export interface ChildOptionsWithArgs<Args> extends SupervisedPolicy {
  readonly args: Args;
}

/** The parameters of `child`: to be left out where `state` takes no arguments, or optional ones. */
export type ChildParameters<Args> = undefined extends Args
  ? [options?: ChildOptions<Args>]
  : [options: ChildOptionsWithArgs<Args>];

/** What can be started: an agent that understands `P` and is made from `Args`. */
export interface Spawnable<out P extends AnyProtocol = AnyProtocol, in Args = never> {
  readonly kind: 'agent' | 'child';
  readonly protocol: P;
  /** Only for the compiler. */
  readonly [ARGS]?: ((args: Args) => void) | undefined;
}

/** One child of a supervisor: its agent, the arguments of its `state`, and its policy with defaults applied. */
export interface ChildSpec<out P extends AnyProtocol = AnyProtocol> {
  readonly kind: 'child';
  readonly agent: Spawnable<P>;
  readonly args: unknown;
  readonly restart: RestartType;
  readonly significant: boolean;
  readonly shutdownMs: ShutdownLimit;
  readonly backoff: Backoff;
}

/** What a supervisor can have as a child; absent ones (`condition && ...`) are left out. */
export type AnyChild = ChildSpec | AnySupervisor | undefined | false;

/** Any supervisor, whatever its children. */
export interface AnySupervisor {
  readonly kind: 'supervisor';
  readonly strategy: Strategy;
  readonly intensity: Intensity;
  readonly restartsWithoutProgressMax: number;
  readonly autoShutdown: AutoShutdown;
  /** Children it may have at once; `Infinity` for one whose children are part of its definition. */
  readonly childrenMax: number;
  /** Its children come at run time, have nothing in common, and are forgotten when they have ended. */
  readonly isDynamic: boolean;
  /** As a child of another supervisor. */
  readonly restart: RestartType;
  readonly significant: boolean;
  readonly backoff: Backoff;
  /** Present children in their start order; an object without prototype, frozen. */
  readonly children: object;
}

/** At most `max` restarts in any `withinMs`; one more and the supervisor gives up. */
export interface Intensity {
  readonly max: number;
  readonly withinMs: number;
}

/** A supervisor: it starts its children in order, and again when they fail, until they fail too often. */
export interface SupervisorDefinition<out Children> extends AnySupervisor {
  readonly children: Children & object;
}

/** What every supervisor can be told, whether its children are defined or come at run time. */
export interface SupervisorPolicy {
  /** Restarts allowed in a window; 3 in 60,000 ms unless said. Either may be `Infinity`. */
  readonly intensity?:
    | { readonly max?: number | undefined; readonly withinMs?: number | undefined }
    | undefined;
  /** Restarts of one child without a completed turn between them; 3 unless said; may be `Infinity`. */
  readonly restartsWithoutProgressMax?: number | undefined;
  /** Whether the end of significant children ends it too, normally; `never` unless said. */
  readonly autoShutdown?: AutoShutdown | undefined;
  /** As a child: when it is started again. `transient` unless said: after it gave up, not after an auto-shutdown. */
  readonly restart?: RestartType | undefined;
  /** As a child: its own end may end the supervisor above. False unless said. */
  readonly significant?: boolean | undefined;
  /** As a child: delays before it is started again; they grow with its restarts in the window of the one above. */
  readonly backoff?: BackoffOptions | undefined;
}

/** The options of a supervisor. */
export interface SupervisorOptions<Children> extends SupervisorPolicy {
  /** Which siblings a failed child takes with it; `one-for-one` unless said: none. */
  readonly strategy?: Strategy | undefined;
  /** The children, by name, in start order. A supervisor among them is a branch of the tree. */
  readonly children: Children;
}

/** The options of a dynamic supervisor. */
export interface DynamicSupervisorOptions extends SupervisorPolicy {
  /** Children it may have at once, those that wait for a restart included; 10,000 unless said; may be `Infinity`. */
  readonly childrenMax?: number | undefined;
}

/** The refs of a supervisor's children, by their names; a branch gives its own; a conditional child gives `Ref | undefined`. */
export type RefsOf<S> =
  S extends SupervisorDefinition<infer Children>
    ? { readonly [Name in keyof Children]: RefOfChild<Children[Name]> }
    : never;

/** What a child is reached by: an actor by its ref, a branch by the refs of its children. */
export type RefOfChild<Child> =
  Child extends ChildSpec<infer P> ? Ref<P> : Child extends AnySupervisor ? RefsOf<Child> : undefined;

/**
 * A supervisor. Throws `ERR_OPTION_INVALID` for an option that is unknown or out of range, or a child that is neither a
 * child spec nor a supervisor. The nested ones of a tree are given directly among the children.
 */
export function supervisor<const Children extends Readonly<Record<string, AnyChild>>>(
  options: SupervisorOptions<Children>,
): SupervisorDefinition<Children> {
  const given = objectOption('', recordOption('options', options), [...POLICY, 'strategy', 'children']);
  const policy = supervisorPolicy(given);
  return Object.freeze({
    kind: 'supervisor',
    strategy: choiceOption('strategy', given['strategy'], STRATEGIES, 'one-for-one'),
    ...policy,
    childrenMax: Number.POSITIVE_INFINITY,
    isDynamic: false,
    // The same names and children; absent ones are gone, which is what their type says of them.
    children: presentChildren(given['children'], policy.autoShutdown) as Children & object,
  });
}

/**
 * A supervisor without children of its own: `system.supervisor(path).startChild` starts them, at most `childrenMax` at
 * once. They have nothing in common: each is restarted alone, they are stopped all at once, and one that has ended is
 * forgotten. Throws `ERR_OPTION_INVALID` for an option that is unknown or out of range.
 */
export function dynamicSupervisor(
  options: DynamicSupervisorOptions = {},
): SupervisorDefinition<Record<never, never>> {
  const given = objectOption('', recordOption('options', options), [...POLICY, 'childrenMax']);
  return Object.freeze({
    kind: 'supervisor',
    strategy: 'one-for-one',
    ...supervisorPolicy(given),
    childrenMax: limitOption('childrenMax', given['childrenMax'], 1, CHILDREN_MAX),
    isDynamic: true,
    children: Object.freeze(Object.create(null) as Record<never, never>),
  });
}

const STRATEGIES: readonly Strategy[] = ['one-for-one', 'one-for-all', 'rest-for-one'];
const RESTART_TYPES: readonly RestartType[] = ['permanent', 'transient', 'temporary'];
const AUTO_SHUTDOWNS: readonly AutoShutdown[] = ['never', 'any-significant', 'all-significant'];
const POLICY = [
  'intensity',
  'restartsWithoutProgressMax',
  'autoShutdown',
  'restart',
  'significant',
  'backoff',
];

function supervisorPolicy(given: Readonly<Record<string, unknown>>) {
  const intensity = objectOption('intensity', given['intensity'], ['max', 'withinMs']);
  return {
    intensity: Object.freeze({
      max: limitOption('intensity.max', intensity['max'], 0, INTENSITY_MAX),
      withinMs: durationOption('intensity.withinMs', intensity['withinMs'], INTENSITY_WITHIN_MS, {
        infinity: true,
      }),
    }),
    restartsWithoutProgressMax: limitOption(
      'restartsWithoutProgressMax',
      given['restartsWithoutProgressMax'],
      0,
      RESTARTS_WITHOUT_PROGRESS_MAX,
    ),
    autoShutdown: choiceOption('autoShutdown', given['autoShutdown'], AUTO_SHUTDOWNS, 'never'),
    ...lifePolicy('', given),
  };
}

/** When a child comes back, and whether its own end matters to its supervisor. The rule is OTP's. */
function lifePolicy(option: string, given: Readonly<Record<string, unknown>>) {
  const restart = choiceOption(joined(option, 'restart'), given['restart'], RESTART_TYPES, 'transient');
  const significant = given['significant'] ?? false;
  if (typeof significant !== 'boolean')
    throw invalidOption(joined(option, 'significant'), 'true or false', significant);
  if (significant && restart === 'permanent') {
    throw invalidOption(
      joined(option, 'significant'),
      'false for a permanent child, which never ends of its own will',
      significant,
    );
  }
  return { restart, significant, backoff: backoffOption(joined(option, 'backoff'), given['backoff']) };
}

/** Refuses a significant child where nobody cares for its end. Throws `ERR_OPTION_INVALID`. @internal */
export function checkSignificant(option: string, child: AnyChild, autoShutdown: AutoShutdown): void {
  if (typeof child !== 'object' || !child.significant || autoShutdown !== 'never') return;
  throw invalidOption(
    joined(option, 'significant'),
    "false under a supervisor whose autoShutdown is 'never'",
    true,
  );
}

function presentChildren(
  value: unknown,
  autoShutdown: AutoShutdown,
): Readonly<Record<string, ChildSpec | AnySupervisor>> {
  const given = recordOption('children', value);
  const children: Record<string, ChildSpec | AnySupervisor> = Object.create(null);
  for (const name of Object.keys(given)) {
    nameOption('children: name', name);
    const child = given[name];
    if (child === undefined || child === false) continue;
    if (!isChild(child))
      throw invalidOption(joined('children', name), 'agent.child(...), supervisor(...) or undefined', child);
    checkSignificant(joined('children', name), child, autoShutdown);
    children[name] = child;
  }
  return Object.freeze(children);
}

/** Whether a value was made by `agent.child(...)`, `supervisor(...)` or `dynamicSupervisor(...)`. @internal */
export function isChild(value: unknown): value is ChildSpec | AnySupervisor {
  return (
    typeof value === 'object' &&
    value !== null &&
    Object.isFrozen(value) &&
    'kind' in value &&
    (value.kind === 'child' || value.kind === 'supervisor')
  );
}

/** Reads the options of `child` and `spawn`: arguments, policy and backoff, defaults applied. @internal */
export function childSpec<P extends AnyProtocol>(
  option: string,
  agent: Spawnable<P>,
  options: unknown,
): ChildSpec<P> {
  const given = objectOption(option, options, ['args', 'restart', 'significant', 'shutdownMs', 'backoff']);
  return Object.freeze({
    kind: 'child',
    agent,
    args: given['args'],
    ...lifePolicy(option, given),
    shutdownMs: shutdownOption(joined(option, 'shutdownMs'), given['shutdownMs']),
  });
}

function shutdownOption(option: string, value: unknown): ShutdownLimit {
  if (value === 'brutal-kill') return value;
  if (typeof value === 'string')
    throw invalidOption(option, "milliseconds, Infinity or 'brutal-kill'", value);
  return durationOption(option, value, SHUTDOWN_MS, { zero: true, infinity: true });
}

/** Reads a backoff. A bound that is left out gives way to the one that is said. @internal */
export function backoffOption(option: string, value: unknown): Backoff {
  const given = objectOption(option, value, ['minMs', 'maxMs', 'jitter']);
  const saidMinMs =
    given['minMs'] === undefined
      ? undefined
      : durationOption(`${option}.minMs`, given['minMs'], 0, { zero: true });
  const saidMaxMs =
    given['maxMs'] === undefined
      ? undefined
      : durationOption(`${option}.maxMs`, given['maxMs'], 0, { zero: true });
  const minMs = saidMinMs ?? Math.min(BACKOFF_MIN_MS, saidMaxMs ?? BACKOFF_MIN_MS);
  const maxMs = saidMaxMs ?? Math.max(BACKOFF_MAX_MS, minMs);
  if (maxMs < minMs) throw invalidOption(`${option}.maxMs`, `at least minMs (${minMs})`, maxMs);
  const jitter = given['jitter'] ?? BACKOFF_JITTER;
  if (typeof jitter !== 'number' || !(jitter >= 0 && jitter <= 1)) {
    throw invalidOption(`${option}.jitter`, 'a share from 0 to 1', jitter);
  }
  return Object.freeze({ minMs, maxMs, jitter });
}
