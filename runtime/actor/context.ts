/**
 * The context of one turn, the only thing a handler holds of the engine. It belongs to its turn: after the turn its
 * sends still go out, but it can no longer reply, stash or continue. When its generation ends, or the turn is disowned,
 * every call throws `ERR_GENERATION_STALE` and what it tried to send becomes a dead letter `stale-incarnation`.
 */

import {
  type InternalMessages,
  type Log,
  type MessageInfo,
  REPLIED,
  type Replied,
} from '../../src/protocol/context.ts';
import { type AskChain, Envelope } from '../../src/protocol/envelope.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import type { LogLevel } from '../../src/protocol/events.ts';
import { NORMAL_RANK } from '../../src/protocol/priority.ts';
import type { Admission, AskOptions, SendOptions, TellOptions } from '../../src/protocol/ref.ts';
import type { Timeout } from '../host/timeouts.ts';
import type { Actor } from './actor.ts';
import { actorRef, entryWithoutHandler } from './local-ref.ts';
import type { Turn, Withdrawable } from './turn.ts';

/** What a handler returns when its reply is taken care of. */
const TAKEN_CARE: Replied = Object.freeze({ [REPLIED]: true as const });

/** A turn, or the run of a hook. */
export class TurnContext implements Turn {
  readonly cell: Actor;
  readonly envelope: Envelope;
  /** Started and not ended. */
  isRunning = true;
  /** The engine has disowned this turn: whatever it still does is not observable. */
  isFenced = false;
  /** The message went back to the stash, so the end of this turn is not its outcome. */
  isStashed = false;
  /** The reply is taken care of: given, or promised by a token. */
  isReplied = false;
  /** Clock time at which the turn turned out to be asynchronous; 0 before. */
  startedAt = 0;
  timeout: Timeout | undefined = undefined;
  private readonly epoch: number;
  private abortion: { readonly reason: unknown } | undefined = undefined;
  private controller: AbortController | undefined = undefined;
  private pending: Set<Withdrawable> | undefined = undefined;

  constructor(cell: Actor, envelope: Envelope) {
    this.cell = cell;
    this.envelope = envelope;
    this.epoch = cell.epoch;
  }

  get self(): unknown {
    return this.cell.ref;
  }

  get state(): unknown {
    this.fence('state');
    return this.cell.state;
  }

  set state(state: unknown) {
    this.fence('state');
    this.cell.state = state;
  }

  get signal(): AbortSignal {
    if (this.controller === undefined) {
      this.controller = new AbortController();
      if (this.abortion !== undefined) this.controller.abort(this.abortion.reason);
      else if (this.isStale) this.controller.abort(this.staleError('signal'));
    }
    return this.controller.signal;
  }

  get generation(): number {
    return this.cell.generation;
  }

  get message(): MessageInfo {
    return messageInfo(this.cell, this.envelope);
  }

  get log(): Log {
    const write = (level: LogLevel) => (text: string, fields?: Readonly<Record<string, unknown>>) => {
      this.cell.kernel.events.emit({ type: 'logged', level, address: this.cell.address, text, fields });
    };
    return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
  }

  get system(): unknown {
    return this.cell.kernel.upward.system;
  }

  tell(ref: unknown, name: string, payload?: unknown, options?: TellOptions): Admission {
    if (this.isStale) this.refuseStale('tell', ref, name, payload);
    return actorRef(ref).tellFrom(this, name, payload, options);
  }

  send(ref: unknown, name: string, payload?: unknown, options?: SendOptions): Promise<void> {
    if (this.isStale) this.refuseStale('send', ref, name, payload);
    return actorRef(ref).sendFrom(this, name, payload, options);
  }

  ask(ref: unknown, name: string, payload?: unknown, options?: AskOptions): Promise<unknown> {
    if (this.isStale) this.refuseStale('ask', ref, name, payload);
    return actorRef(ref).askFrom(this, name, payload, options);
  }

  publish(topic: unknown, ...rest: readonly unknown[]): Promise<void> {
    this.fence('publish');
    return this.cell.kernel.upward.publishFrom(this, topic, rest);
  }

  subscribe(filter: unknown, options: unknown): Promise<unknown> {
    this.fence('subscribe');
    return this.cell.kernel.upward.subscribeActor(this.cell, filter, options);
  }

  spawn(agent: unknown, options?: unknown): Promise<unknown> {
    this.fence('spawn');
    return this.cell.kernel.upward.spawnChild(this.cell, agent, options);
  }

  stop(ref: unknown): Promise<void> {
    this.fence('stop');
    const cell = actorRef(ref).target();
    if (cell === undefined) return Promise.resolve();
    if (cell !== this.cell) return cell.stop('shutdown');
    this.cell.leaveAfterTurn('shutdown');
    return Promise.resolve();
  }

  stopSelf(reason: 'normal' | 'shutdown' = 'normal'): void {
    this.fence('stopSelf');
    this.cell.leaveAfterTurn(reason);
  }

  watch(ref: unknown): void {
    this.fence('watch');
    const subject = actorRef(ref);
    this.cell.watches.watch(subject.target()?.watches, subject);
  }

  unwatch(ref: unknown): void {
    this.fence('unwatch');
    const subject = actorRef(ref);
    this.cell.watches.unwatch(subject.target()?.watches, subject);
  }

  stash(): Replied {
    this.needRunning('stash');
    if (!this.isStashed) this.cell.stash(this.envelope);
    this.isStashed = true;
    return TAKEN_CARE;
  }

  unstash(): void {
    this.fence('unstash');
    this.cell.unstash();
  }

  continue(name: keyof InternalMessages, payload?: unknown): void {
    this.needRunning('continue');
    const entry = this.cell.behaviour.internalEntry(name);
    this.cell.continueWith(new Envelope(entry, payload, NORMAL_RANK, this.cell, undefined, undefined));
  }

  reply(value: unknown): Replied {
    this.needRunning('reply');
    this.cell.checkedAnswer(this.envelope, value);
    this.isReplied = true;
    return TAKEN_CARE;
  }

  get replyTo(): ReplyToken {
    this.needRunning('replyTo');
    this.isReplied = true;
    return new ReplyToken(this.cell, this.envelope);
  }

  /** Aborts the turn's signal and all calls it waits for. The turn itself goes on until its promise settles. */
  abort(reason: unknown): void {
    if (this.abortion !== undefined) return;
    this.abortion = { reason };
    const pending = this.pending;
    this.pending = undefined;
    if (pending !== undefined) for (const call of pending) call.withdraw(reason);
    this.controller?.abort(reason);
  }

  /** Why the turn was aborted, once it was. */
  get aborted(): { readonly reason: unknown } | undefined {
    return this.abortion;
  }

  addPending(call: Withdrawable): void {
    this.pending ??= new Set();
    this.pending.add(call);
  }

  removePending(call: Withdrawable): void {
    this.pending?.delete(call);
  }

  /** The turns that wait when this one asks. */
  askChain(): AskChain | undefined {
    if (!this.isRunning) return undefined;
    return { waiting: this.cell, isWaiting: () => this.isRunning, outer: this.envelope.extras?.chain };
  }

  /** A bare `ref` call in the synchronous part of a turn loses sender, deadline and chain: said once per agent. */
  warnOfBareCall(call: string): void {
    this.cell.behaviour.warnOfBareCall(call, this.cell.address);
  }

  private get isStale(): boolean {
    return this.isFenced || this.epoch !== this.cell.epoch;
  }

  private fence(call: string): void {
    if (this.isStale) throw this.staleError(call);
  }

  private needRunning(call: string): void {
    this.fence(call);
    if (!this.isRunning) throw new TroupeError('ERR_TURN_ENDED', { address: this.cell.address, call });
  }

  private refuseStale(call: string, ref: unknown, name: string, payload: unknown): never {
    const { address } = actorRef(ref);
    const entry = entryWithoutHandler(String(name), call === 'ask' ? 'ask' : 'tell');
    const envelope = new Envelope(entry, payload, NORMAL_RANK, this.cell, undefined, undefined);
    this.cell.kernel.deadLetters.add(envelope, address, 'stale-incarnation');
    throw this.staleError(call);
  }

  private staleError(call: string): TroupeError {
    return new TroupeError('ERR_GENERATION_STALE', { address: this.cell.address, call });
  }
}

/** The right to answer one ask, once. It outlives its turn, and its actor. */
export class ReplyToken implements Replied {
  readonly [REPLIED] = true as const;
  private readonly cell: Actor;
  private readonly envelope: Envelope;

  constructor(cell: Actor, envelope: Envelope) {
    this.cell = cell;
    this.envelope = envelope;
  }

  reply(value: unknown): void {
    this.cell.checkedAnswer(this.envelope, value);
  }

  reject(error: unknown): void {
    if (this.envelope.customer?.reject(this.cell.failedError(this.envelope, error)) === true) return;
    this.cell.answer(this.envelope, error);
  }
}

/** Whether a handler's value says that the reply is taken care of. */
export function isTakenCare(value: unknown): boolean {
  return value === TAKEN_CARE || value instanceof ReplyToken;
}

function messageInfo(cell: Actor, envelope: Envelope): MessageInfo {
  const { kernel } = cell;
  const { deadline } = envelope;
  return {
    id: envelope.id,
    name: envelope.entry.name,
    sender: envelope.sender?.address,
    priority: envelope.priority,
    attempt: envelope.attempt,
    deadline: deadline === Infinity ? undefined : kernel.host.clock.wallNow() + (deadline - kernel.now()),
    headers: envelope.extras?.headers ?? {},
  };
}
