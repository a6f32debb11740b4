/**
 * Refs to actors of this process: where the way of an envelope begins. `tell`, `send` and `ask` from outside and through
 * a turn's context meet here, in the `...From` methods; a remote ref will offer the same ones.
 */

import { type AskChain, Envelope, Extras, type MessageEntry } from '../../src/protocol/envelope.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import { ASK_TIMEOUT_MS, SEND_TIMEOUT_MS } from '../../src/protocol/limits.ts';
import { durationOption, invalidOption } from '../../src/protocol/options.ts';
import { NORMAL_RANK, type Rank, rankOf } from '../../src/protocol/priority.ts';
import type { AnyProtocol, MessageDefinition } from '../../src/protocol/protocol.ts';
import type { Admission, AskOptions, SendOptions, TellOptions } from '../../src/protocol/ref.ts';
import type { Actor } from './actor.ts';
import { unknownMessage } from './behaviour.ts';
import type { Kernel } from './kernel.ts';
import { PendingAsk, PendingSend } from './pending.ts';
import type { Turn } from './turn.ts';

const ACCEPTED: Promise<void> = Promise.resolve();

/** A ref whose actor, if there is one, lives in this process. */
export abstract class ActorRef {
  abstract readonly protocol: AnyProtocol;
  abstract readonly address: string;
  protected abstract readonly kernel: Kernel;

  /** The actor it leads to now. */
  abstract target(): Actor | undefined;

  tell(name: string, payload?: unknown, options?: TellOptions): Admission {
    this.warnInsideTurn('tell');
    return this.tellFrom(undefined, name, payload, options);
  }

  send(name: string, payload?: unknown, options?: SendOptions): Promise<void> {
    this.warnInsideTurn('send');
    return this.sendFrom(undefined, name, payload, options);
  }

  ask(name: string, payload?: unknown, options?: AskOptions): Promise<unknown> {
    this.warnInsideTurn('ask');
    return this.askFrom(undefined, name, payload, options);
  }

  toJSON(): string {
    return this.address;
  }

  toString(): string {
    return this.address;
  }

  /** `tell`, with the turn it comes from. Throws `ERR_MESSAGE_UNKNOWN`, `ERR_OPTION_INVALID`, `ERR_MESSAGE_INVALID`. */
  tellFrom(
    from: Turn | undefined,
    name: string,
    payload: unknown,
    options: TellOptions | undefined,
  ): Admission {
    const cell = this.target();
    if (cell === undefined) return this.unknown(this.envelope(from, name, payload, options));
    const entry = cell.behaviour.entry(name, 'tell');
    const extras = extrasOf(this.kernel, from, options);
    const content = cell.behaviour.admissible(entry, payload);
    return cell.tell(new Envelope(entry, content, rankIn(options), from?.cell, undefined, extras), from);
  }

  /** `send`, with the turn it comes from. Misuse throws at once; what may happen in normal work rejects. */
  sendFrom(
    from: Turn | undefined,
    name: string,
    payload: unknown,
    options: SendOptions | undefined,
  ): Promise<void> {
    const cell = this.target();
    if (cell === undefined) {
      this.unknown(this.envelope(from, name, payload, options));
      return Promise.reject(new TroupeError('ERR_ACTOR_UNKNOWN', { address: this.address }));
    }
    const timeoutMs = durationOption('timeoutMs', options?.timeoutMs, SEND_TIMEOUT_MS);
    const signal = signalOption(options?.signal);
    const entry = cell.behaviour.entry(name, 'tell');
    const extras = extrasOf(this.kernel, from, options);
    const content = cell.behaviour.admissible(entry, payload);
    if (signal?.aborted === true) return Promise.reject(signal.reason);
    const envelope = new Envelope(entry, content, rankIn(options), from?.cell, undefined, extras);
    return this.deliver(cell, envelope, { timeoutMs, signal, from });
  }

  /** Offers an envelope and waits for room as the mailbox's policy says. */
  private deliver(
    cell: Actor,
    envelope: Envelope,
    caller: {
      readonly timeoutMs: number;
      readonly signal: AbortSignal | undefined;
      readonly from: Turn | undefined;
    },
  ): Promise<void> {
    switch (cell.offer(envelope, caller.from)) {
      case 'accepted':
        return ACCEPTED;
      case 'stopped':
        return Promise.reject(new TroupeError('ERR_ACTOR_STOPPED', { address: cell.address }));
      case 'full':
        break;
    }
    if (!cell.mayWait(caller.from)) return Promise.reject(mailboxFull(cell));
    const now = this.kernel.now();
    const timeoutMs = remaining(now, caller.timeoutMs, caller.from);
    return new Promise((fulfil, fail) => {
      // The constructor enters it among the waiters, which hold it from here on.
      new PendingSend(
        cell,
        envelope,
        { ...caller, timeoutMs },
        now,
        fulfil as (value: unknown) => void,
        fail,
      );
    });
  }

  /** `ask`, with the turn it comes from. */
  askFrom(
    from: Turn | undefined,
    name: string,
    payload: unknown,
    options: AskOptions | undefined,
  ): Promise<unknown> {
    const cell = this.target();
    if (cell === undefined) {
      this.unknown(this.envelope(from, name, payload, options, 'ask'));
      return Promise.reject(new TroupeError('ERR_ACTOR_UNKNOWN', { address: this.address }));
    }
    const { kernel } = this;
    const wantedMs =
      options === undefined ? ASK_TIMEOUT_MS : durationOption('timeoutMs', options.timeoutMs, ASK_TIMEOUT_MS);
    const signal = options === undefined ? undefined : signalOption(options.signal);
    const rank = rankIn(options);
    const entry = cell.behaviour.entry(name, 'ask');
    const content = cell.behaviour.admissible(entry, payload);
    if (signal?.aborted === true) return Promise.reject(signal.reason);
    if (kernel.asksInFlight >= kernel.settings.asksInFlightMax) {
      return Promise.reject(
        new TroupeError('ERR_ASKS_IN_FLIGHT_FULL', { max: kernel.settings.asksInFlightMax }),
      );
    }
    const chain = from === undefined ? undefined : from.askChain();
    const cycle = chain === undefined ? undefined : cycleTo(cell, chain);
    if (cycle !== undefined) return Promise.reject(new TroupeError('ERR_ASK_CYCLE', { path: cycle }));
    const now = kernel.now();
    const timeoutMs = remaining(now, wantedMs, from);
    const extras = new Extras();
    extras.deadline = now + timeoutMs;
    extras.headers = options?.headers;
    extras.chain = chain;
    return new Promise((fulfil, fail) => {
      const ask = new PendingAsk(cell, entry.name, { timeoutMs, signal, from }, now, fulfil, fail);
      const envelope = new Envelope(entry, content, rank, from?.cell, ask, extras);
      ask.envelope = envelope;
      switch (cell.offer(envelope, from)) {
        case 'accepted':
          return;
        case 'stopped':
          ask.reject(new TroupeError('ERR_ACTOR_STOPPED', { address: cell.address }));
          return;
        case 'full':
          if (cell.mayWait(from)) ask.waitForRoom(envelope);
          else ask.reject(mailboxFull(cell));
      }
    });
  }

  /** An envelope for a ref that leads nowhere, so that its dead letter can be read. */
  private envelope(
    from: Turn | undefined,
    name: string,
    payload: unknown,
    options: TellOptions | undefined,
    kind: 'tell' | 'ask' = 'tell',
  ): Envelope {
    const messages = this.protocol.messages as Readonly<Record<string, MessageDefinition>>;
    if (messages[name]?.kind !== kind) throw unknownMessage(this.protocol, name, kind);
    return new Envelope(
      entryWithoutHandler(name, kind),
      payload,
      rankIn(options),
      from?.cell,
      undefined,
      undefined,
    );
  }

  private unknown(envelope: Envelope): Admission {
    const { address, kernel } = this;
    kernel.deadLetters.add(envelope, address, 'actor-unknown');
    if (kernel.events.isObserved) {
      const { priority } = envelope;
      kernel.events.emit({
        type: 'message-refused',
        address,
        message: envelope.entry.name,
        verdict: 'actor-unknown',
        priority,
      });
    }
    return 'actor-unknown';
  }

  private warnInsideTurn(call: string): void {
    const turn = this.kernel.current;
    if (turn !== undefined) turn.warnOfBareCall(call);
  }
}

/** A ref to one incarnation: it never reaches a successor. */
export class LocalRef extends ActorRef {
  private readonly cell: Actor;

  constructor(cell: Actor) {
    super();
    this.cell = cell;
  }

  override get protocol(): AnyProtocol {
    return this.cell.behaviour.agent.protocol;
  }

  override get address(): string {
    return this.cell.address;
  }

  protected override get kernel(): Kernel {
    return this.cell.behaviour.kernel;
  }

  override target(): Actor {
    return this.cell;
  }
}

/** A ref by name or path: it leads to whichever actor holds it when it is used. */
export class NamedRef extends ActorRef {
  override readonly protocol: AnyProtocol;
  protected override readonly kernel: Kernel;
  private readonly name: string;
  private readonly resolve: () => Actor | undefined;

  constructor(kernel: Kernel, protocol: AnyProtocol, name: string, resolve: () => Actor | undefined) {
    super();
    this.kernel = kernel;
    this.protocol = protocol;
    this.name = name;
    this.resolve = resolve;
  }

  override get address(): string {
    return this.target()?.path ?? this.name;
  }

  override target(): Actor | undefined {
    return this.resolve();
  }
}

/** The ref behind what a user handed over. Throws `ERR_OPTION_INVALID` for anything else. */
export function actorRef(ref: unknown, option = 'ref'): ActorRef {
  if (ref instanceof ActorRef) return ref;
  throw invalidOption(option, 'a ref of this system', ref);
}

/** An entry for a message that no actor of ours will handle. */
export function entryWithoutHandler(name: string, kind: 'tell' | 'ask'): MessageEntry {
  return { name, kind, isInternal: false, handler: () => undefined };
}

/** The address of `cell` and of those that wait for each other back to it, if it is among them. */
function cycleTo(cell: Actor, chain: AskChain): readonly string[] | undefined {
  const path = [cell.address];
  for (let link: AskChain | undefined = chain; link !== undefined; link = link.outer) {
    if (!link.isWaiting()) return undefined;
    path.unshift(link.waiting.address);
    if (link.waiting === cell) return path;
  }
  return undefined;
}

function remaining(now: number, timeoutMs: number, from: Turn | undefined): number {
  if (from === undefined) return timeoutMs;
  const { deadline } = from.envelope;
  return deadline === Infinity ? timeoutMs : Math.max(0, Math.min(timeoutMs, deadline - now));
}

function rankIn(options: TellOptions | undefined): Rank {
  return options?.priority === undefined ? NORMAL_RANK : rankOf(options.priority);
}

/** Deadline and headers, if the message has any. A `ttlMs` never outlives the turn it is sent in, unless `Infinity`. */
function extrasOf(
  kernel: Kernel,
  from: Turn | undefined,
  options: TellOptions | undefined,
): Extras | undefined {
  const inherited = from === undefined ? Infinity : from.envelope.deadline;
  if (options === undefined && inherited === Infinity) return undefined;
  const ttlMs = options?.ttlMs;
  if (ttlMs === undefined && options?.headers === undefined && inherited === Infinity) return undefined;
  const extras = new Extras();
  extras.headers = options?.headers;
  extras.deadline = inherited;
  if (ttlMs !== undefined) {
    const ttl = durationOption('ttlMs', ttlMs, Infinity, { zero: true, infinity: true });
    extras.deadline = ttl === Infinity ? Infinity : Math.min(inherited, kernel.now() + ttl);
  }
  return extras;
}

function signalOption(signal: unknown): AbortSignal | undefined {
  if (signal === undefined || signal instanceof AbortSignal) return signal;
  throw invalidOption('signal', 'an AbortSignal', signal);
}

function mailboxFull(cell: Actor): TroupeError {
  const { capacity } = cell.behaviour.agent.options.mailbox;
  return new TroupeError('ERR_MAILBOX_FULL', { address: cell.address, capacity });
}
