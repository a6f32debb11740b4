/**
 * Buses on one virtual clock, for tests: nothing sleeps, and everything they say is kept. They are closed with the test, and
 * the checker of the kit looks at each of them.
 */

import { afterEach } from 'vitest';
import type { Kernel } from '../../runtime/actor/kernel.ts';
import { connectBus, type MessageBus } from '../../runtime/bus/bus.ts';
import type { BusOptions } from '../../src/protocol/bus.ts';
import type { LogRecord } from '../../src/protocol/system.ts';
import { CheckedHost, ORDER, quiet } from './checked-host.ts';
import { VirtualClock } from './virtual-clock.ts';

/** A trip to a broker takes several macrotasks in which no bus has work. */
const QUIET_ROUNDS = 20;

/** Where buses are connected, and their time. */
export interface BusBench {
  readonly clock: VirtualClock;
  readonly logs: LogRecord[];
  readonly connect: (options?: BusOptions) => Promise<MessageBus>;
  /** Lets everything happen that needs no time. */
  readonly settle: () => Promise<void>;
  /** Lets everything happen that needs no time, then lets `ms` virtual milliseconds pass. */
  readonly advance: (ms: number) => Promise<void>;
}

const benches: { readonly open: Map<MessageBus, CheckedHost>; readonly bench: BusBench }[] = [];

/** Closes and checks the buses of the test, by itself after each test of a file that imports this one first. */
export async function endBuses(): Promise<void> {
  for (const { open, bench } of benches.splice(0)) {
    await bench.settle();
    for (const checked of open.values()) checked.check();
    const closed = [...open.keys()].map((bus) => bus.close({ drainMs: 0 }));
    await bench.advance(100_000);
    await Promise.all(closed);
    for (const [bus, checked] of open) {
      checked.end();
      const { asksInFlight } = kernelOf(bus);
      if (asksInFlight !== 0)
        throw new Error(`${bus.name} is closed, and ${asksInFlight} calls have not settled.`);
    }
  }
}

afterEach(endBuses);

/** The engine's own facilities, for tests that look inside. */
export function kernelOf(bus: MessageBus): Kernel {
  return (bus as unknown as { readonly system: { readonly kernel: Kernel } }).system.kernel; // the local bus carries it
}

/** A bench of its own for each test. */
export function busBench(): BusBench {
  const clock = new VirtualClock();
  const logs: LogRecord[] = [];
  const open = new Map<MessageBus, CheckedHost>();
  let drawn = 0;
  const random = (): number => ((drawn++ * 389) % 997) / 997;
  const settle = (): Promise<void> => quiet([...open.values()], QUIET_ROUNDS);
  const advance = async (ms: number): Promise<void> => {
    await settle();
    await clock.advance(ms, settle);
  };
  const connect = async (options: BusOptions = {}): Promise<MessageBus> => {
    const checked = new CheckedHost({ clock, random, order: ORDER });
    const bus = await connectBus({ log: (record) => logs.push(record), ...options }, checked.host);
    open.set(bus, checked);
    return bus;
  };
  const bench = { clock, logs, connect, settle, advance };
  benches.push({ open, bench });
  return bench;
}
