/**
 * A system on a virtual clock, for tests: nothing sleeps, everything it says is kept, and the checker of the kit looks at it
 * when it ends, whatever the test is about.
 */

import { afterEach } from 'vitest';
import type { Kernel } from '../../runtime/actor/kernel.ts';
import { startSystem } from '../../runtime/system.ts';
import type { AnySupervisor, RefsOf } from '../../src/protocol/child-spec.ts';
import type { RuntimeEvent } from '../../src/protocol/events.ts';
import type { LogRecord, System, SystemOptions } from '../../src/protocol/system.ts';
import { CheckedHost, ORDER, type Order } from './checked-host.ts';
import { VirtualClock } from './virtual-clock.ts';

/** A system and the strings it hangs on. */
export interface TestSystem<Refs> {
  readonly system: System<Refs>;
  readonly clock: VirtualClock;
  /** The engine's own facilities, for tests that look inside. */
  readonly kernel: Kernel;
  readonly events: RuntimeEvent[];
  readonly logs: LogRecord[];
  /** Lets everything happen that needs no time. */
  readonly settle: () => Promise<void>;
  /** Lets everything happen that needs no time, then lets `ms` virtual milliseconds pass. */
  readonly advance: (ms: number) => Promise<void>;
}

/** What a test may say beside the options of its system. */
export interface TestSystemSettings {
  /** 0 unless given, so that backoff delays are full. */
  readonly random?: () => number;
  readonly clock?: VirtualClock;
  /** Who has the next turn. A test that counts macrotasks says `engine`: in another order each turn has one of its own. */
  readonly order?: Order;
}

interface Started {
  readonly checked: CheckedHost;
  readonly shutdown: () => Promise<void>;
  readonly advance: (ms: number) => Promise<void>;
}

const started: Started[] = [];

afterEach(async () => {
  for (const each of started.splice(0)) await end(each);
});

/** Looks at it as the test leaves it, ends it, and looks again. */
async function end({ checked, shutdown, advance }: Started): Promise<void> {
  const problems: unknown[] = [];
  const judge = (look: () => void): void => {
    try {
      look();
    } catch (error) {
      problems.push(error);
    }
  };
  await checked.settle();
  judge(() => checked.check());
  const ended = shutdown();
  await advance(100_000);
  await ended;
  judge(() => checked.end());
  if (problems.length > 0) throw problems[0];
}

/** Gives `body` a system that ends with it: for properties, which start one for each run. */
export async function runTestSystem<Root extends AnySupervisor = never>(
  options: Parameters<typeof testSystem<Root>>[0],
  body: (test: Awaited<ReturnType<typeof testSystem<Root>>>) => Promise<void>,
): Promise<void> {
  const test = await testSystem<Root>(options);
  const own = started.pop();
  let failure: { readonly error: unknown } | undefined;
  try {
    await body(test);
  } catch (error) {
    failure = { error };
  }
  try {
    if (own !== undefined) await end(own);
  } catch (error) {
    failure ??= { error };
  }
  if (failure !== undefined) throw failure.error;
}

/** Starts a system that is checked and ends with the test. */
export async function testSystem<Root extends AnySupervisor = never>(
  options: Partial<SystemOptions<Root>> & TestSystemSettings = {},
): Promise<TestSystem<[Root] extends [never] ? Record<never, never> : RefsOf<Root>>> {
  const { random = () => 0, clock = new VirtualClock(), order = ORDER, ...rest } = options;
  const checked = new CheckedHost({ clock, random, order });
  const logs: LogRecord[] = [];
  const events: RuntimeEvent[] = [];
  const settle = (): Promise<void> => checked.settle();
  const advance = async (ms: number): Promise<void> => {
    await settle();
    await clock.advance(ms, settle);
  };
  const system = await startSystem<Root>(
    { name: 'test', log: (record) => logs.push(record), ...rest },
    checked.host,
  );
  system.events.subscribe((event) => events.push(event));
  const { kernel } = system as unknown as { readonly kernel: Kernel }; // the local system carries its kernel
  started.push({ checked, shutdown: () => system.shutdown(), advance });
  return { system, clock, kernel, events, logs, settle, advance };
}
