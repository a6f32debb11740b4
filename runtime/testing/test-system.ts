/**
 * A system for tests: a real one, on a virtual clock, with a seeded choice wherever order is not promised, and with a checker
 * that watches it from its first message to its end.
 */

import type { AnySupervisor, RefsOf } from '../../src/protocol/child-spec.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import { durationOption, integerOption, invalidOption, objectOption } from '../../src/protocol/options.ts';
import type { AnyProtocol } from '../../src/protocol/protocol.ts';
import type { Ref } from '../../src/protocol/ref.ts';
import type { System, SystemOptions } from '../../src/protocol/system.ts';
import type { InstrumentedHost } from '../actor/kernel.ts';
import { systemHost } from '../host/system-clock.ts';
import { startSystem } from '../system.ts';
import { Books } from './books.ts';
import { IDLE_WITHIN_MS } from './bounds.ts';
import { type Chooser, SeededChooser, seededRandom } from './chooser.ts';
import { Driver, type Fail } from './driver.ts';
import { type Fault, type FaultOptions, FaultPlan } from './fault-plan.ts';
import { TestInstruments } from './instruments.ts';
import { type Probe, ProbeRecord } from './probe.ts';
import { listenForRejections } from './rejections.ts';
import { SeededScheduler } from './seeded-scheduler.ts';
import { Trace } from './trace.ts';
import { VirtualClock } from './virtual-clock.ts';

/** Tells the numbers agents draw from the choices of the scheduler. */
const RANDOM_STREAM = 0x5bd1e995;

/** The options of a test system: those of a system, none of them required, and what a test adds. */
export interface TestSystemOptions<Root extends AnySupervisor = AnySupervisor>
  extends Partial<Omit<SystemOptions<Root>, 'log'>> {
  /** Decides every order that is not promised; from `TROUPE_SEED`, or at random, unless said. */
  readonly seed?: number | undefined;
  /** Faults that are planned before anything starts. */
  readonly faults?: readonly FaultOptions[] | undefined;
  /** Where `ctx.log` goes besides the trace; nowhere unless said. */
  readonly log?: SystemOptions<Root>['log'];
}

/** The name of a probe. */
export interface ProbeOptions {
  /** Its name under `/user`; a generated one unless said. */
  readonly name?: string | undefined;
}

/** A system in the hand of a test. While its `shutdown` runs, virtual time passes until it is done. */
export interface TestSystem<out Refs = unknown> extends System<Refs> {
  /** What replays this run: `createTestSystem({ seed })`, or `TROUPE_SEED`. */
  readonly seed: number;
  /** Virtual milliseconds since the start. */
  readonly now: number;
  /** What happened, line by line, the last 10,000; the same for the same seed. */
  readonly trace: readonly string[];
  /** Lets everything happen that needs no time. Rejects with `ERR_TEST_FAILED` if it never ends. */
  settle(): Promise<void>;
  /** Lets `ms` virtual milliseconds pass, timer by timer, and everything they bring about. */
  advance(ms: number): Promise<void>;
  /** Lets time pass until no timer is left. Rejects with `ERR_TEST_FAILED` if that takes more than `withinMs` (an hour). */
  runUntilIdle(options?: { readonly withinMs?: number | undefined }): Promise<void>;
  /** The whole process stands still for `ms`; then every timer that is overdue fires, late. */
  stall(ms: number): Promise<void>;
  /** Starts an actor of a protocol that remembers what it gets and answers as it is told. */
  probe<P extends AnyProtocol>(protocol: P, options?: ProbeOptions): Promise<Probe<P>>;
  /** Plans a fault. Throws `ERR_OPTION_INVALID`. */
  fault(options: FaultOptions): Fault;
  /** Settles, then rejects with `ERR_TEST_FAILED` if a law was broken. The end of an `await using` block does it as well. */
  check(): Promise<void>;
  /** Checks, shuts down, and checks again. Any number of calls is one. Rejects as `check` does. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** Refs by the names of a tree; none without one. */
export type RefsOrNone<Root extends AnySupervisor> = [Root] extends [never]
  ? Record<never, never>
  : RefsOf<Root>;

/**
 * Starts a system for a test. Hold it by `await using`: at the end of the block it is checked and shut down. Rejects as
 * `createSystem` does.
 */
export function createTestSystem<Root extends AnySupervisor = never>(
  options?: TestSystemOptions<Root>,
): Promise<TestSystem<RefsOrNone<Root>>> {
  const seed = seedOption(options === undefined ? undefined : objectOf(options)['seed']);
  return startTestSystem(options, seed, new SeededChooser(seed));
}

/** As `createTestSystem`, with the choices of somebody else. */
export async function startTestSystem<Root extends AnySupervisor = never>(
  options: TestSystemOptions<Root> | undefined,
  seed: number,
  chooser: Chooser,
): Promise<TestSystem<RefsOrNone<Root>>> {
  const { seed: _, faults = [], ...rest } = objectOf(options);
  const fail: Fail = (finding, cause) => new TroupeError('ERR_TEST_FAILED', { seed, finding }, { cause });
  const clock = new VirtualClock();
  const books = new Books();
  const trace = new Trace(() => clock.elapsedMs);
  const plan = new FaultPlan();
  if (!Array.isArray(faults)) throw invalidOption('faults', 'a list of faults', faults);
  for (const fault of faults) plan.add(fault);
  const scheduler = new SeededScheduler(chooser, () =>
    fail('The system never settles: its actors keep writing.'),
  );
  const instruments = new TestInstruments(scheduler, books, plan, trace);
  const host: InstrumentedHost = {
    clock,
    random: seededRandom(seed ^ RANDOM_STREAM),
    soon: systemHost.soon,
    later: (task) => scheduler.later(task),
    instruments,
  };
  const driver = new Driver(clock, scheduler, chooser, fail);
  const stopListening = listenForRejections((reason) => books.findings.add('rejection', String(reason)));
  try {
    const starting = startSystem<Root>({ name: 'test', log: false, ...rest } as SystemOptions<Root>, host);
    const system = await driver.complete(starting);
    const kit = { driver, books, trace, plan, instruments, fail, seed, stopListening };
    return withKit(system, kit);
  } catch (error) {
    stopListening();
    throw error;
  }
}

interface Kit {
  readonly driver: Driver;
  readonly books: Books;
  readonly trace: Trace;
  readonly plan: FaultPlan;
  readonly instruments: TestInstruments;
  readonly fail: Fail;
  readonly seed: number;
  readonly stopListening: () => void;
}

type Extras = Omit<TestSystem, Exclude<keyof System, 'shutdown' | typeof Symbol.asyncDispose>>;

/** The system itself, with the verbs of a test in front of it. Agents see the system alone. */
function withKit<Refs>(system: System<Refs>, kit: Kit): TestSystem<Refs> {
  const extras = extrasOf(system, kit);
  const handler: ProxyHandler<System<Refs>> = {
    get: (target, key) => {
      if (Object.hasOwn(extras, key)) return Reflect.get(extras, key);
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
    has: (target, key) => Object.hasOwn(extras, key) || Reflect.has(target, key),
  };
  // What is not the system's is the kit's: together they are what the type says.
  return new Proxy(system, handler) as TestSystem<Refs>;
}

function extrasOf(system: System, kit: Kit): Extras {
  const { driver, books, trace, plan, instruments, fail, seed, stopListening } = kit;
  let disposing: Promise<void> | undefined;
  const check = async (): Promise<void> => {
    await driver.settle();
    books.audit();
    const { text } = books.findings;
    if (text !== undefined) throw fail(`The checker found:\n  ${text}\n`);
  };
  const shutdown: System['shutdown'] = (options) => driver.complete(system.shutdown(options));
  const dispose = async (): Promise<void> => {
    try {
      await check();
    } finally {
      await shutdown().finally(stopListening);
    }
    await check();
  };
  return {
    seed,
    get now() {
      return driver.now;
    },
    get trace() {
      return trace.lines;
    },
    settle: () => driver.settle(),
    advance: (ms) => driver.advance(neededDuration('advance: ms', ms)),
    stall: (ms) => driver.stall(neededDuration('stall: ms', ms)),
    runUntilIdle: (options) => {
      const { withinMs } = objectOption('runUntilIdle options', options, ['withinMs']);
      return driver.untilIdle(durationOption('withinMs', withinMs, IDLE_WITHIN_MS, { zero: true }));
    },
    probe: async <P extends AnyProtocol>(protocol: P, options?: ProbeOptions): Promise<Probe<P>> => {
      const { name } = objectOption('probe options', options, ['name']);
      if (!isProtocol(protocol)) throw invalidOption('probe: protocol', 'protocol(...)', protocol);
      const record = new ProbeRecord(protocol, driver, fail);
      instruments.spare(record.definition);
      const ref = (await system.spawn(record.definition as never, { name } as never)) as unknown as Ref<P>;
      // The record has the verbs of a probe for every protocol, with its types erased.
      return Object.assign(record, { ref }) as unknown as Probe<P>;
    },
    fault: (options) => plan.add(options),
    check,
    shutdown,
    [Symbol.asyncDispose]: () => {
      disposing ??= dispose();
      return disposing;
    },
  };
}

function isProtocol(value: unknown): boolean {
  const messages =
    typeof value === 'object' && value !== null && 'messages' in value ? value.messages : undefined;
  return typeof messages === 'object' && messages !== null;
}

function neededDuration(option: string, value: unknown): number {
  return durationOption(option, value ?? null, 0, { zero: true });
}

function objectOf(options: unknown): Readonly<Record<string, unknown>> {
  if (options === undefined) return {};
  if (typeof options === 'object' && options !== null && !Array.isArray(options))
    return options as Readonly<Record<string, unknown>>; // read by its own keys; the system refuses the unknown ones
  throw invalidOption('test system options', 'an object', options);
}

/** The seed that was given, that of the environment, or one at random. */
export function seedOption(value: unknown): number {
  if (value !== undefined) return integerOption('seed', value, 0, 0);
  const named = process.env['TROUPE_SEED'];
  if (named === undefined || named === '') return Math.floor(systemHost.random() * 2 ** 32);
  return integerOption('TROUPE_SEED', /^\d+$/.test(named) ? Number(named) : named, 0, 0);
}
