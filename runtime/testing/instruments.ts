/**
 * Puts the checker and the fault plan around what users wrote: every handler and hook of every agent is wrapped when its
 * first actor starts, and every mailbox watched. The engine itself runs unchanged.
 */

import type { AnyAgentDefinition } from '../../src/protocol/agent.ts';
import type { ErasedFunction } from '../../src/protocol/agent-settings.ts';
import { Cell } from '../actor/cell.ts';
import { TurnContext } from '../actor/context.ts';
import type { Instruments, Kernel } from '../actor/kernel.ts';
import { promiseIn } from '../actor/promise-in.ts';
import type { RunQueue } from '../host/scheduler.ts';
import type { Books } from './books.ts';
import { type FaultPlan, type FaultPoint, strikeBy } from './fault-plan.ts';
import type { Trace } from './trace.ts';

const HOOK = /^on[A-Z]/;

/** Hooks in which a fault can be planned. */
const HOOK_POINTS: Readonly<Record<string, FaultPoint>> = { onRestart: 'restart', onStop: 'stop' };

/** The instruments of one test system. */
export class TestInstruments implements Instruments {
  readonly runQueue: RunQueue;
  private readonly books: Books;
  private readonly faults: FaultPlan;
  private readonly trace: Trace;
  /** Agents that no fault strikes: the probes. */
  private readonly spared = new WeakSet<object>();
  private readonly met = new WeakSet<Cell>();

  constructor(runQueue: RunQueue, books: Books, faults: FaultPlan, trace: Trace) {
    this.runQueue = runQueue;
    this.books = books;
    this.faults = faults;
    this.trace = trace;
  }

  attach(kernel: Kernel): void {
    this.books.attach(kernel);
    kernel.events.listen((event) => this.trace.event(event));
  }

  /** No fault strikes this agent. */
  spare(agent: object): void {
    this.spared.add(agent);
  }

  prepare(agent: AnyAgentDefinition): AnyAgentDefinition {
    const isSpared = this.spared.has(agent);
    const { state, on } = agent.options;
    const options: Record<string, unknown> = { ...agent.options };
    for (const [name, value] of Object.entries(agent.options)) {
      if (HOOK.test(name) && typeof value === 'function') {
        const hook = value as ErasedFunction; // a hook: whatever it takes, the context comes first
        options[name] = (ctx: unknown, ...rest: unknown[]) =>
          this.around(ctx, name, isSpared ? undefined : HOOK_POINTS[name], () => hook(ctx, ...rest));
      }
    }
    options['state'] = (args: unknown, ctx: unknown) => {
      if (ctx instanceof TurnContext && ctx.cell instanceof Cell) this.meet(ctx.cell, isSpared);
      return this.around(ctx, 'state', isSpared ? undefined : 'start', () => state?.(args, ctx));
    };
    const handlers: Record<string, unknown> = Object.create(null);
    for (const [name, handler] of Object.entries(on)) {
      handlers[name] = (ctx: unknown, payload: unknown) =>
        this.around(ctx, name, isSpared ? undefined : 'turn-start', () => handler(ctx, payload));
    }
    options['on'] = Object.freeze(handlers);
    // The same options with functions of the same parameters in their places.
    return Object.freeze({
      ...agent,
      options: Object.freeze(options) as unknown as AnyAgentDefinition['options'],
    });
  }

  private meet(cell: Cell, isSpared: boolean): void {
    if (this.met.has(cell)) return;
    this.met.add(cell);
    this.books.meet(cell);
    if (isSpared) return;
    const offer = cell.offer.bind(cell);
    cell.offer = (envelope, from) => {
      const { name } = envelope.entry;
      this.crash(cell, 'before-accept', name);
      const verdict = offer(envelope, from);
      if (verdict === 'accepted') this.crash(cell, 'after-accept', name);
      return verdict;
    };
  }

  /** The actor fails as if its turn had. */
  private crash(cell: Cell, at: 'before-accept' | 'after-accept', message: string): void {
    if (cell.status !== 'running') return;
    const strike = this.faults.take({
      at,
      path: cell.path,
      protocol: cell.behaviour.agent.protocol,
      message,
    });
    if (strike === undefined) return;
    this.trace.add(cell.address, `fault ${at} ${message}`);
    cell.collapse(strike.error);
  }

  /** Runs a handler or hook: watched, and with what was planned for it. */
  private around(ctx: unknown, name: string, at: FaultPoint | undefined, body: () => unknown): unknown {
    if (!(ctx instanceof TurnContext && ctx.cell instanceof Cell)) return body();
    const { cell } = ctx;
    this.trace.add(cell.address, `turn ${name}`);
    const ends = this.books.begins(cell, ctx, name);
    let value: unknown;
    try {
      value = at === undefined ? body() : this.withFaults(cell, ctx, name, at, body);
    } catch (error) {
      ends();
      throw error;
    }
    const promise = typeof value === 'object' ? promiseIn(value) : undefined;
    if (promise === undefined) {
      ends();
      return value;
    }
    promise.then(ends, ends);
    return promise;
  }

  private withFaults(
    cell: Cell,
    ctx: TurnContext,
    name: string,
    at: FaultPoint,
    body: () => unknown,
  ): unknown {
    const message = at === 'turn-start' ? name : undefined;
    const spot = { path: cell.path, protocol: cell.behaviour.agent.protocol, message };
    const atStart = this.faults.take({ ...spot, at });
    const atEnd = at === 'turn-start' ? this.faults.take({ ...spot, at: 'turn-end' }) : undefined;
    if (atStart !== undefined) {
      this.trace.add(cell.address, `fault ${at} ${name}`);
      return strikeBy(atStart, ctx.signal);
    }
    const value = body();
    if (atEnd === undefined) return value;
    const strike = (): Promise<never> => {
      this.trace.add(cell.address, `fault turn-end ${name}`);
      return strikeBy(atEnd, ctx.signal);
    };
    const promise = typeof value === 'object' ? promiseIn(value) : undefined;
    return promise === undefined ? strike() : promise.then(strike);
  }
}
