/**
 * Surroundings of a system under test: a virtual clock, and the checker of `troupe/testing` around everything it runs. Turns
 * come in the order of the engine's own scheduler, or in one that a seed decides, as in the kit.
 */

import fc from 'fast-check';
import type { InstrumentedHost, Kernel } from '../../runtime/actor/kernel.ts';
import { type RunQueue, Scheduler } from '../../runtime/host/scheduler.ts';
import { Books } from '../../runtime/testing/books.ts';
import { SeededChooser } from '../../runtime/testing/chooser.ts';
import { FaultPlan } from '../../runtime/testing/fault-plan.ts';
import { TestInstruments } from '../../runtime/testing/instruments.ts';
import { listenForRejections } from '../../runtime/testing/rejections.ts';
import { SeededScheduler } from '../../runtime/testing/seeded-scheduler.ts';
import { Trace } from '../../runtime/testing/trace.ts';
import type { Clock, Host } from '../../src/protocol/clock.ts';
import type { VirtualClock } from './virtual-clock.ts';

/** Decides the order of turns in every test that leaves it open; the engine's own scheduler does where it is not set. */
const SEED = process.env['TROUPE_SEED'];

/** The order of turns: that of a seed, or the engine's own. */
export type Order = { readonly seed: number } | 'engine';

/** The order of a test that says nothing of it. */
export const ORDER: Order = SEED === undefined || SEED === '' ? 'engine' : { seed: Number(SEED) };

/** Orders for a property: the engine's own as often as any other. */
export const orders: fc.Arbitrary<Order> =
  ORDER === 'engine'
    ? fc.oneof(fc.constant('engine' as const), fc.record({ seed: fc.nat(2 ** 31 - 1) }))
    : fc.constant(ORDER);

/** How one system is surrounded. */
export interface Surroundings {
  readonly clock: VirtualClock;
  readonly random: () => number;
  readonly order: Order;
  /** How far its wall clock is from the true time. */
  readonly wallShiftMs?: (() => number) | undefined;
}

/** Macrotasks without work after which a system counts as settled. */
const QUIET_ROUNDS = 3;

/** Lets macrotasks go by until none of these systems has had work in `rounds` of them. */
export async function quiet(systems: Iterable<CheckedHost>, rounds: number): Promise<void> {
  for (let quietRounds = 0; quietRounds < rounds; ) {
    for (const system of systems) if (system.isSeeded) await system.turns();
    await new Promise<void>((resolve) => {
      setImmediate(resolve);
    });
    quietRounds = allIdle(systems) ? quietRounds + 1 : 0;
  }
}

function allIdle(systems: Iterable<CheckedHost>): boolean {
  for (const { isIdle } of systems) if (!isIdle) return false;
  return true;
}

/** What surrounds one system, and what was seen of it. */
export class CheckedHost {
  readonly host: InstrumentedHost;
  private readonly books = new Books();
  private readonly seeded: SeededScheduler | undefined;
  private readonly runQueue: RunQueue;
  private readonly stopListening: () => void;
  private readonly order: Order;
  private kernel: Kernel | undefined = undefined;

  constructor({ clock, random, order, wallShiftMs }: Surroundings) {
    this.order = order;
    const chooser = order === 'engine' ? undefined : new SeededChooser(order.seed);
    this.seeded =
      chooser === undefined ? undefined : new SeededScheduler(chooser, () => new Error('it never settles'));
    if (chooser !== undefined) clock.choose = (size) => chooser.pick(size);
    const { seeded } = this;
    const bare: Host = {
      clock: wallShiftMs === undefined ? clock : shifted(clock, wallShiftMs),
      random,
      soon: (task) => {
        queueMicrotask(task);
      },
      later: (task) => {
        if (seeded === undefined) setImmediate(task);
        else seeded.later(task);
      },
    };
    this.runQueue = seeded ?? new Scheduler(bare, () => this.kernel?.telemetry.refresh());
    const trace = new Trace(() => clock.now());
    const instruments = new TestInstruments(this.runQueue, this.books, new FaultPlan(), trace);
    const attach = instruments.attach.bind(instruments);
    instruments.attach = (kernel) => {
      this.kernel = kernel;
      attach(kernel);
    };
    this.host = { ...bare, instruments };
    this.stopListening = listenForRejections((reason) =>
      this.books.findings.add('rejection', String(reason)),
    );
  }

  /** Its turns come when they are let, not by themselves. */
  get isSeeded(): boolean {
    return this.seeded !== undefined;
  }

  get isIdle(): boolean {
    return this.runQueue.isIdle;
  }

  /** Lets everything happen that needs no time. */
  async settle(): Promise<void> {
    await quiet([this], QUIET_ROUNDS);
  }

  /** Lets the turns of the seeded order come; in the engine's own they come by themselves. */
  async turns(): Promise<void> {
    await this.seeded?.settled();
  }

  /** Throws what was found against the laws: a message lost or ended twice, turns that overlap, an order lost, a rejection. */
  check(): void {
    this.books.audit();
    const { text } = this.books.findings;
    const order = this.order === 'engine' ? 'in the order of the engine' : `TROUPE_SEED=${this.order.seed}`;
    if (text !== undefined) throw new Error(`The checker found (${order}):\n  ${text}`);
  }

  /** Checks for the last time. */
  end(): void {
    this.stopListening();
    this.check();
  }
}

/** The same clock, but for its wall. */
function shifted(clock: VirtualClock, wallShiftMs: () => number): Clock {
  return {
    now: () => clock.now(),
    wallNow: () => clock.wallNow() + wallShiftMs(),
    setTimer: (delayMs, fire) => clock.setTimer(delayMs, fire),
    clearTimer: (timer) => clock.clearTimer(timer),
  };
}
