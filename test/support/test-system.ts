/** A system on a virtual clock, for tests: nothing sleeps, and everything it says is kept. */

import { afterEach } from 'vitest';
import type { Kernel } from '../../runtime/actor/kernel.ts';
import { startSystem } from '../../runtime/system.ts';
import type { AnySupervisor, RefsOf } from '../../src/protocol/child-spec.ts';
import type { Host } from '../../src/protocol/clock.ts';
import type { RuntimeEvent } from '../../src/protocol/events.ts';
import type { LogRecord, System, SystemOptions } from '../../src/protocol/system.ts';
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

const started: { shutdown(): Promise<void>; advance(ms: number): Promise<void> }[] = [];

/** Ends the systems that the test started; for the tests of a file that imports this one first, by itself. */
export async function endTestSystems(): Promise<void> {
  for (const each of started.splice(0)) {
    const ended = each.shutdown();
    await each.advance(100_000);
    await ended;
  }
}

afterEach(endTestSystems);

/** Gives `body` a system that ends with it: for properties, which start one for each run. */
export async function runTestSystem<Root extends AnySupervisor = never>(
  options: Parameters<typeof testSystem<Root>>[0],
  body: (test: Awaited<ReturnType<typeof testSystem<Root>>>) => Promise<void>,
): Promise<void> {
  const test = await testSystem<Root>(options);
  const own = started.pop();
  try {
    await body(test);
  } finally {
    const ended = own?.shutdown();
    await own?.advance(100_000);
    await ended;
  }
}

/** Starts a system that ends with the test. `random` is 0 unless given, so that backoff delays are full. */
export async function testSystem<Root extends AnySupervisor = never>(
  options: Partial<SystemOptions<Root>> & {
    readonly random?: () => number;
    readonly clock?: VirtualClock;
  } = {},
): Promise<TestSystem<[Root] extends [never] ? Record<never, never> : RefsOf<Root>>> {
  const { random = () => 0, clock = new VirtualClock(), ...rest } = options;
  const host: Host = {
    clock,
    random,
    soon: (task) => {
      queueMicrotask(task);
    },
    later: (task) => {
      setImmediate(task);
    },
  };
  const logs: LogRecord[] = [];
  const events: RuntimeEvent[] = [];
  const system = await startSystem<Root>({ name: 'test', log: (record) => logs.push(record), ...rest }, host);
  system.events.subscribe((event) => events.push(event));
  const { kernel } = system as unknown as { readonly kernel: Kernel }; // the local system carries its kernel
  const settle = async (): Promise<void> => {
    let quietRounds = 0;
    while (quietRounds < 3) {
      await new Promise<void>((resolve) => {
        setImmediate(resolve);
      });
      quietRounds = kernel.scheduler.isIdle ? quietRounds + 1 : 0;
    }
  };
  const advance = async (ms: number): Promise<void> => {
    await settle();
    await clock.advance(ms, settle);
  };
  started.push({ shutdown: () => system.shutdown(), advance });
  return { system, clock, kernel, events, logs, settle, advance };
}
