/** Buses on one virtual clock, for tests: nothing sleeps, and everything they say is kept. They are closed with the test. */

import { afterEach } from 'vitest';
import type { Kernel } from '../../runtime/actor/kernel.ts';
import { connectBus, type MessageBus } from '../../runtime/bus/bus.ts';
import type { BusOptions } from '../../src/protocol/bus.ts';
import type { Host } from '../../src/protocol/clock.ts';
import type { LogRecord } from '../../src/protocol/system.ts';
import { VirtualClock } from './virtual-clock.ts';

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

const open: { readonly bus: MessageBus; readonly advance: (ms: number) => Promise<void> }[] = [];

afterEach(async () => {
  for (const { bus, advance } of open.splice(0)) {
    const closed = bus.close({ drainMs: 0 });
    await advance(100_000);
    await closed;
  }
});

/** The engine's own facilities, for tests that look inside. */
export function kernelOf(bus: MessageBus): Kernel {
  return (bus as unknown as { readonly system: { readonly kernel: Kernel } }).system.kernel; // the local bus carries it
}

/** A bench of its own for each test. */
export function busBench(): BusBench {
  const clock = new VirtualClock();
  const logs: LogRecord[] = [];
  const buses: MessageBus[] = [];
  let drawn = 0;
  const host: Host = {
    clock,
    random: () => (drawn++ % 997) / 997,
    soon: (task) => {
      queueMicrotask(task);
    },
    later: (task) => {
      setImmediate(task);
    },
  };
  const settle = async (): Promise<void> => {
    let quietRounds = 0;
    // A trip to a broker takes several macrotasks in which no system has work.
    while (quietRounds < 20) {
      await new Promise<void>((resolve) => {
        setImmediate(resolve);
      });
      quietRounds = buses.every((bus) => kernelOf(bus).scheduler.isIdle) ? quietRounds + 1 : 0;
    }
  };
  const advance = async (ms: number): Promise<void> => {
    await settle();
    await clock.advance(ms, settle);
  };
  const connect = async (options: BusOptions = {}): Promise<MessageBus> => {
    const bus = await connectBus({ log: (record) => logs.push(record), ...options }, host);
    buses.push(bus);
    open.push({ bus, advance });
    return bus;
  };
  return { clock, logs, connect, settle, advance };
}
