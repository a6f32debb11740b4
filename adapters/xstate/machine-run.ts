/**
 * One machine in one generation of its agent. Every event, of a message, of a child, of a delay, is a turn of the agent: so there is one
 * mailbox, and what throws fails the turn, and the supervisor decides. What a step sends to the machine itself are the next
 * turns, before any message.
 */

import type { AnyEventObject, AnyMachineSnapshot, AnyStateMachine, InspectionEvent, Observer } from 'xstate';
import type { StartContext } from '../../src/protocol/context.ts';
import { type Driver, drive, type HeldReply, type Reins } from '../../src/protocol/driven.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import { type Machine, MachineRef } from './machine-ref.ts';
import { MachineSystem, type Surroundings } from './machine-system.ts';
import { Observers } from './observers.ts';
import { type Stepping, Steps } from './steps.ts';
import { later, WaitingAsks } from './waiting-asks.ts';
import { Work } from './work.ts';

/** What a machine is, and who hears of it. */
export interface MachinePlan {
  readonly machine: AnyStateMachine;
  readonly inspect: Observer<InspectionEvent> | ((event: InspectionEvent) => void) | undefined;
  readonly onEmit: ((ctx: StartContext, event: AnyEventObject) => unknown) | undefined;
  readonly onDone: ((ctx: StartContext, output: unknown) => unknown) | undefined;
}

/** The context of a message that is asked. */
export interface AskTurn extends StartContext {
  readonly replyTo: HeldReply;
}

/** A machine at work. */
export class MachineRun implements Driver<Work>, Machine, Stepping, Surroundings {
  readonly name = 'machine-event';
  readonly definition: AnyStateMachine;
  readonly rootId: string;
  readonly system: MachineSystem;
  readonly ref: MachineRef;
  readonly observers: Observers<AnyMachineSnapshot>;
  isOver = false;
  private readonly plan: MachinePlan;
  private readonly address: string;
  private readonly logger: StartContext['log'];
  private readonly steps: Steps;
  private readonly asks = new WaitingAsks<AnyMachineSnapshot>();
  private readonly reins: Reins<Work>;
  /** Of the turn that runs. */
  private ctx: StartContext | undefined = undefined;
  /** What a step of the present turn, or of the last one, has thrown. */
  private failure: { readonly error: unknown } | undefined = undefined;
  /** What the hooks of the present turn have begun. */
  private begun: unknown[] = [];

  private constructor(plan: MachinePlan, ctx: StartContext) {
    this.plan = plan;
    this.definition = plan.machine;
    this.address = ctx.self.address;
    this.logger = ctx.log;
    this.rootId = `${this.address}.${ctx.generation}`;
    this.observers = new Observers((error) => this.lookerFailed(error));
    this.system = new MachineSystem(this);
    this.ref = new MachineRef(this.rootId, this);
    this.steps = new Steps(this);
    if (plan.inspect !== undefined) this.system.inspect(plan.inspect);
    this.reins = drive<Work>(ctx, this);
  }

  /** Starts a machine. Throws, or rejects with, what its initial state throws. */
  static start(plan: MachinePlan, ctx: StartContext, input: unknown): MachineRun | Promise<MachineRun> {
    const run = new MachineRun(plan, ctx);
    const begun = run.inTurn(ctx, () => run.steps.begin(input));
    return begun === undefined ? run : begun.then(() => run);
  }

  // --- turns ------------------------------------------------------------------------------------------------------

  /** The turn of a message that is told. As `inTurn`, without a function for each message. */
  tell(ctx: StartContext, event: AnyEventObject): void | Promise<void> {
    this.ctx = ctx;
    this.failure = undefined;
    try {
      this.system._relay(undefined, this.ref, event);
    } catch (error) {
      this.failure ??= { error };
    }
    return this.turnEnds();
  }

  /** The turn of a message that is asked. Returns the answer, or the token of one that is given later. */
  ask(ctx: AskTurn, event: AnyEventObject, answer: (snapshot: AnyMachineSnapshot) => unknown): unknown {
    const begun = this.tell(ctx, event);
    const reply = (): unknown => {
      const value = answer(this.snapshot);
      if (value !== later) return value;
      const token = ctx.replyTo;
      this.asks.add(answer, token);
      return token;
    };
    return begun === undefined ? reply() : begun.then(reply);
  }

  /** The turn of something that was posted. */
  receive(ctx: StartContext, work: Work): void | Promise<void> {
    return this.inTurn(ctx, () => work.act());
  }

  shown(): unknown {
    return this.steps.snapshot?.value;
  }

  ended(): void {
    this.isOver = true;
    this.system.stopAll((error) => this.logger.error('a child of the machine did not stop', { error }));
    this.observers.complete();
    this.asks.reject(this.failure?.error ?? new TroupeError('ERR_ACTOR_STOPPED', { address: this.address }));
  }

  private inTurn(ctx: StartContext, act: () => void): void | Promise<void> {
    this.ctx = ctx;
    this.failure = undefined;
    try {
      act();
    } catch (error) {
      this.failure ??= { error };
    }
    return this.turnEnds();
  }

  /** What the turn has come to: nothing more, what it has thrown, or what its hooks have begun. */
  private turnEnds(): void | Promise<void> {
    this.ctx = undefined;
    const { begun, failure } = this;
    if (failure === undefined && begun.length === 0) return undefined;
    this.begun = [];
    if (failure === undefined) return Promise.all(begun).then(() => undefined);
    this.observers.error(failure.error);
    if (begun.length === 0) throw failure.error;
    return Promise.allSettled(begun).then(() => {
      throw failure.error;
    });
  }

  // --- steps ------------------------------------------------------------------------------------------------------

  get snapshot(): AnyMachineSnapshot {
    // Absent only while the initial one is made; in xstate it is absent then too.
    return this.steps.snapshot as AnyMachineSnapshot;
  }

  /** What throws in a step is not for the child whose event it was: it stays here until the turn ends. */
  arrived(event: AnyEventObject): void {
    if (this.isOver) return;
    // After a failure too: where that is resumed, the events that came with it are not lost.
    if (this.steps.isStepping || this.failure !== undefined) {
      this.reins.post(new Work(event, () => this.arrived(event)));
      return;
    }
    try {
      this.steps.step(event);
    } catch (error) {
      this.failure = { error };
    }
  }

  emit(event: AnyEventObject): void {
    this.observers.emit(event);
    const { onEmit } = this.plan;
    if (onEmit !== undefined && this.ctx !== undefined) this.keep(onEmit(this.ctx, event));
  }

  reached(snapshot: AnyMachineSnapshot): void {
    this.observers.next(snapshot);
    this.asks.lookAt(snapshot);
    if (snapshot.status === 'active') return;
    const { ctx } = this;
    const { onDone } = this.plan;
    this.observers.complete();
    if (ctx === undefined) return;
    if (onDone !== undefined) this.keep(onDone(ctx, snapshot.output));
    ctx.stopSelf('normal');
  }

  /** The turn lasts until what a hook has begun is over: so it is slowed down by those it tells. */
  private keep(given: unknown): void {
    if (typeof given === 'object' && given !== null) this.begun.push(given);
  }

  // --- for the machine's children ---------------------------------------------------------------------------------

  get isInTurn(): boolean {
    return this.ctx !== undefined;
  }

  post(work: Work): void {
    this.reins.post(work);
  }

  postLater(key: string, delayMs: number, work: Work): void {
    this.reins.postLater(key, delayMs, work);
  }

  cancel(key: string): void {
    this.reins.cancel(key);
  }

  log(...values: unknown[]): void {
    const [label, value] = values;
    if (values.length === 2) this.logger.info(String(label), { value });
    else this.logger.info('the machine logs', { value: label });
  }

  lookerFailed(error: unknown): void {
    this.logger.warn('who looks on at the machine has thrown', { error });
  }
}
