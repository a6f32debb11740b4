/**
 * Pools, as data: one ref, several workers of one agent, and a rule that says which worker a message goes to. A pool is
 * a child spec like any other, and what `spawn` takes as well. It runs nothing; `runtime/pool` does.
 */

import { type AgentSettings, type MailboxSettings, mailboxOption } from './agent-settings.ts';
import { checkNodeName } from './broker-options.ts';
import { type ChildPolicy, type ChildSpec, childSpec, type Spawnable } from './child-spec.ts';
import { POOL_SIZE_MAX } from './limits.ts';
import {
  choiceOption,
  durationOption,
  functionOption,
  integerOption,
  invalidOption,
  objectOption,
  recordOption,
} from './options.ts';
import type { AnyProtocol, MessageDefinition, PayloadOf } from './protocol.ts';

/**
 * Which worker a message goes to. `work-pulling`: the first that is idle takes the best one of a shared queue. `round-robin`,
 * `random`, `least-loaded`: one, chosen on arrival. `consistent-hash`: the one its key belongs to. `sticky`: one for all
 * messages of a key that are under way. `broadcast`: each of them. `scatter-gather-first`: each of them, and the first
 * reply ends the others.
 */
export type Routing =
  | 'work-pulling'
  | 'round-robin'
  | 'random'
  | 'least-loaded'
  | 'broadcast'
  | 'consistent-hash'
  | 'sticky'
  | 'scatter-gather-first';

const ROUTINGS: readonly Routing[] = [
  'work-pulling',
  'round-robin',
  'random',
  'least-loaded',
  'broadcast',
  'consistent-hash',
  'sticky',
  'scatter-gather-first',
];

type KeyedRouting = 'consistent-hash' | 'sticky';

/** A message's name and payload, as a key function is given them. */
type NamedPayload<Messages> = {
  [N in keyof Messages]: [name: N, payload: PayloadOf<Messages[N]>];
}[keyof Messages];

/** A method, since methods compare leniently: a pool of any protocol fits `PoolSpec`. */
interface Weigher<P extends AnyProtocol> {
  cost(...message: NamedPayload<P['messages']>): number;
}

/** How many workers, how they are kept alive, and how many messages wait for them. */
export interface PoolPolicy extends ChildPolicy {
  /** Workers, 1 to 10,000. */
  readonly size: number;
  /** The queue that all of them share; the agent's own settings unless said. */
  readonly mailbox?:
    | { readonly [Option in keyof MailboxSettings]?: MailboxSettings[Option] | undefined }
    | undefined;
  /**
   * Turns of its workers that run at once, 1 to 10,000; as many as there are workers unless said. What is sent to one
   * worker alone counts too; a turn that was disowned does not.
   */
  readonly concurrencyMax?: number | undefined;
  /**
   * The nodes that its workers are spread over: these, as far as they live, or all that can start the agent (`agents` of `createSystem`), this one included.
   * They come and go with their nodes; there are `size` of them wherever they are. Unless said, all are on this node.
   */
  readonly nodes?: 'all' | readonly string[] | undefined;
}

/**
 * A token bucket: full at first, never fuller than `tokens`, and refilled evenly, `tokens` in `perMs`. A turn of a job
 * starts only when the bucket holds its cost, which is taken then: by each attempt, and for each worker that gets a copy.
 * In any `w` milliseconds, jobs of at most `tokens + w * tokens / perMs` start. Jobs start in the order of the queue, and a
 * costly one is not overtaken by those behind it. What is sent to one worker alone costs nothing.
 */
export interface RateLimit<P extends AnyProtocol> {
  /** What the bucket holds, 1 or more: the largest burst. */
  readonly tokens: number;
  /** Milliseconds in which an empty bucket is full again. */
  readonly perMs: number;
  /**
   * The cost of a message, a number from 0; 1 for each unless said. Called once, when the message is sent; what it throws is
   * thrown there, or rejects the ask, and so is `ERR_COST_EXCESSIVE` for a cost above `tokens`.
   */
  readonly cost?: Weigher<P>['cost'] | undefined;
}

/** A pool whose messages go by their keys. */
export interface KeyedPool<P extends AnyProtocol> extends PoolPolicy {
  readonly routing: KeyedRouting;
  /**
   * The key of a message: those with an equal key go to the same worker. Called once, when the message is sent; what it
   * throws is thrown there, or rejects the ask.
   */
  key(...message: NamedPayload<P['messages']>): string;
}

/** A pool that needs no keys. */
export interface UnkeyedPool extends PoolPolicy {
  /** `work-pulling` unless said. */
  readonly routing?: Exclude<Routing, KeyedRouting> | undefined;
  readonly key?: undefined;
}

/** The options of `pool`; with the arguments of each worker's `state`, where that takes any. */
export type PoolOptions<P extends AnyProtocol, Args> = (KeyedPool<P> | UnkeyedPool) & {
  /** How much work may start in a time; any amount unless said. */
  readonly rateLimit?: RateLimit<P> | undefined;
} & (undefined extends Args ? { readonly args?: Args | undefined } : { readonly args: Args });

/** A pool: a child of a supervisor, or what `spawn` starts. Frozen. */
export interface PoolSpec<P extends AnyProtocol = AnyProtocol> extends ChildSpec<P>, Spawnable<P, void> {
  readonly kind: 'child';
}

/** A rate limit, checked. */
export interface RateLimitSettings {
  readonly tokens: number;
  readonly perMs: number;
  readonly cost: ((name: string, payload: unknown) => unknown) | undefined;
}

/** A pool's workers, complete: checked, with defaults applied. */
export interface PoolSettings {
  readonly agent: PoolableAgent;
  readonly args: unknown;
  readonly size: number;
  readonly routing: Routing;
  readonly key: ((name: string, payload: unknown) => unknown) | undefined;
  /** `Infinity` without a limit. */
  readonly concurrencyMax: number;
  readonly rateLimit: RateLimitSettings | undefined;
  /** Undefined where all workers are on this node. */
  readonly nodes: 'all' | readonly string[] | undefined;
  /** The policy of each worker. */
  readonly policy: Readonly<Record<string, unknown>>;
}

/** What a pool needs of an agent. */
export interface PoolableAgent extends Spawnable {
  readonly internal: Readonly<Record<string, MessageDefinition>>;
  readonly options: AgentSettings;
}

/** The agent of the pool itself: it takes messages in and hands them to workers. */
export interface PoolAgent extends PoolableAgent {
  readonly workers: PoolSettings;
}

/** Whether what is about to be spawned is a pool. @internal */
export function isPoolSpec(value: unknown): value is PoolSpec {
  return (
    typeof value === 'object' &&
    value !== null &&
    Object.isFrozen(value) &&
    'kind' in value &&
    value.kind === 'child' &&
    'protocol' in value
  );
}

/** A number of workers. @internal */
export function poolSizeOption(option: string, value: unknown): number {
  const size = integerOption(option, value ?? null, 1, 1);
  if (size > POOL_SIZE_MAX) throw invalidOption(option, `at most ${POOL_SIZE_MAX} workers`, value);
  return size;
}

const KNOWN = [
  'size',
  'routing',
  'key',
  'args',
  'restart',
  'shutdownMs',
  'backoff',
  'mailbox',
  'concurrencyMax',
  'rateLimit',
  'nodes',
];

/** Reads the options of `pool`. Throws `ERR_OPTION_INVALID`. @internal */
export function poolSpec<P extends AnyProtocol>(
  agent: PoolableAgent & Spawnable<P>,
  options: unknown,
): PoolSpec<P> {
  const given = objectOption('pool', recordOption('pool', options), KNOWN);
  const routing = choiceOption('pool.routing', given['routing'], ROUTINGS, 'work-pulling');
  const { restart, shutdownMs, backoff } = given;
  const policy = Object.freeze({ restart, shutdownMs, backoff });
  const workers: PoolSettings = Object.freeze({
    agent,
    args: given['args'],
    size: poolSizeOption('pool.size', given['size']),
    routing,
    key: keyOption(routing, given['key']),
    concurrencyMax: concurrencyOption(given['concurrencyMax']),
    rateLimit: rateLimitOption(given['rateLimit']),
    nodes: nodesOption(given['nodes']),
    policy,
  });
  const mailbox = given['mailbox'] === undefined ? agent.options.mailbox : mailboxOption(given['mailbox']);
  const front: PoolAgent & Spawnable<P> = Object.freeze({
    ...agent,
    options: frontSettings(agent.options, mailbox),
    workers,
  });
  return Object.freeze({ ...childSpec('pool', front, policy), protocol: agent.protocol });
}

/** The pool itself runs no handler and no hook of the agent: its workers do, each bounded in time. */
function frontSettings(settings: AgentSettings, mailbox: MailboxSettings): AgentSettings {
  return Object.freeze({
    ...settings,
    mailbox,
    state: undefined,
    startTimeoutMs: Number.POSITIVE_INFINITY,
    onFailure: 'fail',
    decide: undefined,
    onRestart: undefined,
    onStop: undefined,
    onTerminated: undefined,
    onIdle: undefined,
  });
}

function keyOption(routing: Routing, value: unknown): PoolSettings['key'] {
  const isKeyed = routing === 'consistent-hash' || routing === 'sticky';
  const key = functionOption('pool.key', value);
  if (isKeyed && key === undefined)
    throw invalidOption('pool.key', `a function (name, payload) => string for routing '${routing}'`, value);
  if (!isKeyed && key !== undefined)
    throw invalidOption('pool.key', `absent for routing '${routing}', which needs no key`, value);
  // It is called with what its declared type asks for: a name of the protocol and that message's payload.
  return key as PoolSettings['key'];
}

function concurrencyOption(value: unknown): number {
  return value === undefined ? Number.POSITIVE_INFINITY : poolSizeOption('pool.concurrencyMax', value);
}

function nodesOption(value: unknown): PoolSettings['nodes'] {
  if (value === undefined || value === 'all') return value;
  if (!Array.isArray(value) || value.length === 0)
    throw invalidOption('pool.nodes', "'all', or a list of names of nodes", value);
  const names = value.map((name: unknown) => checkNodeName(name));
  if (new Set(names).size < names.length)
    throw invalidOption('pool.nodes', 'different names of nodes', value);
  return Object.freeze(names);
}

function rateLimitOption(value: unknown): RateLimitSettings | undefined {
  if (value === undefined) return undefined;
  const given = objectOption('pool.rateLimit', recordOption('pool.rateLimit', value), [
    'tokens',
    'perMs',
    'cost',
  ]);
  const tokens = integerOption('pool.rateLimit.tokens', given['tokens'] ?? null, 1, 1);
  const perMs = durationOption('pool.rateLimit.perMs', given['perMs'] ?? null, 1);
  // It is called with what its declared type asks for: a name of the protocol and that message's payload.
  const cost = functionOption('pool.rateLimit.cost', given['cost']) as RateLimitSettings['cost'];
  return Object.freeze({ tokens, perMs, cost });
}
