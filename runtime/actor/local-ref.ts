/**
 * Refs to actors of this process: where the way of an envelope begins. `tell`, `send`, `ask` and `stream` from outside and
 * through a turn's context meet here, in the `...From` methods; a ref to an actor of another node has its own.
 */

import { type AskChain, Envelope, type Trace } from '../../src/protocol/envelope.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import { ASK_TIMEOUT_MS, SEND_TIMEOUT_MS, STREAM_TIMEOUT_MS } from '../../src/protocol/limits.ts';
import { invalidOption } from '../../src/protocol/options.ts';
import { NORMAL_RANK } from '../../src/protocol/priority.ts';
import type { AnyProtocol, MessageDefinition, MessageKind } from '../../src/protocol/protocol.ts';
import type {
  Admission,
  AskOptions,
  SendOptions,
  StreamOptions,
  TellOptions,
} from '../../src/protocol/ref.ts';
import type { Actor } from './actor.ts';
import { unknownMessage } from './behaviour.ts';
import { type CallOptions, callOptions, deadlineOf, extrasWith, headersOf, waitMs } from './call-options.ts';
import type { Kernel } from './kernel.ts';
import { entryWithoutHandler } from './outcomes.ts';
import { PartReader, type PartsCall } from './part-reader.ts';
import { noRoom, PendingAsk, PendingSend, type Settle } from './pending.ts';
import { PendingStream } from './pending-stream.ts';
import { noteRefusal } from './refusal.ts';
import type { Turn } from './turn.ts';
import type { Watchable } from './watch.ts';

const ACCEPTED: Promise<void> = Promise.resolve();

/** What a call is answered whose message gets to no actor. */
type Refused = 'stopped' | 'actor-unknown';

/** A ref of one system. Its actor, if there is one, lives in this process, unless the ref is one that says otherwise. */
export abstract class ActorRef {
  abstract readonly protocol: AnyProtocol;
  abstract readonly address: string;
  /** The system it belongs to. */
  abstract readonly kernel: Kernel;

  /** The actor it leads to now. */
  abstract target(): Actor | undefined;

  /** Whose end can be told to those who watch. */
  watchable(): Watchable {
    return this.target()?.watches ?? this.elsewhere()?.watchable();
  }

  /** The ref to follow where no actor of this process is meant; asked only then. */
  protected elsewhere(): ActorRef | undefined {
    return undefined;
  }

  /** Whether its actor, if there is one, lives in this process. */
  get isHere(): boolean {
    return true;
  }

  /** Ends its actor, wherever that is. Resolves when it has ended, or was not there. */
  stopActor(reason: 'normal' | 'shutdown'): Promise<void> {
    const target = this.target();
    if (target !== undefined) return target.stop(reason);
    return this.elsewhere()?.stopActor(reason) ?? Promise.resolve();
  }

  tell(name: string, payload?: unknown, options?: TellOptions): Admission {
    if (this.isRefused('tell')) {
      const envelope = this.envelope(undefined, name, payload, callOptions('tell', options));
      return this.refusedTell('stopped', envelope, undefined);
    }
    return this.tellFrom(undefined, name, payload, options);
  }

  send(name: string, payload?: unknown, options?: SendOptions): Promise<void> {
    if (this.isRefused('send')) {
      const envelope = this.envelope(undefined, name, payload, callOptions('send', options));
      return this.refusedCall('send', 'stopped', envelope, undefined);
    }
    return this.sendFrom(undefined, name, payload, options);
  }

  ask(name: string, payload?: unknown, options?: AskOptions): Promise<unknown> {
    if (this.isRefused('ask')) {
      const envelope = this.envelope(undefined, name, payload, callOptions('ask', options), 'ask');
      return this.refusedCall('ask', 'stopped', envelope, undefined);
    }
    return this.askFrom(undefined, name, payload, options);
  }

  stream(name: string, payload?: unknown, options?: StreamOptions): PartReader {
    this.isRefused('stream'); // it is asked again when the call is made
    const { kernel } = this;
    return this.streamFrom(undefined, name, payload, options, () => {
      if (!kernel.isIntakeClosed) return;
      const envelope = this.envelope(undefined, name, payload, callOptions('stream', options), 'stream');
      throw this.refusedWith('stream', 'stopped', envelope, undefined);
    });
  }

  /** As other nodes name it, where there are others. */
  toJSON(): string {
    return this.kernel.nameOnNodes(this.address);
  }

  toString(): string {
    return this.toJSON();
  }

  /** `tell`, with the turn it comes from. Throws `ERR_MESSAGE_UNKNOWN`, `ERR_OPTION_INVALID`, `ERR_MESSAGE_INVALID`. */
  tellFrom(
    from: Turn | undefined,
    name: string,
    payload: unknown,
    options: TellOptions | undefined,
  ): Admission {
    const cell = this.target();
    if (cell === undefined) {
      const far = this.elsewhere();
      if (far !== undefined) return far.tellFrom(from, name, payload, options);
      const envelope = this.envelope(from, name, payload, callOptions('tell', options));
      return this.refusedTell('actor-unknown', envelope, from);
    }
    const { behaviour } = cell;
    const { isRecorded } = behaviour.kernel;
    // Stryker disable next-line ConditionalExpression: what is plain gets there by the long way too, slowly; the rest is tested.
    if (options !== undefined || behaviour.isValidating || isRecorded || from?.passesOn === true)
      return tellSaying(cell, this.told(cell, from, name, payload, callOptions('tell', options)), from);
    const entry = behaviour.tellEntry(name);
    return cell.tell(new Envelope(entry, payload, NORMAL_RANK, from?.cell, undefined, undefined), from);
  }

  /** `send`, with the turn it comes from. Misuse throws at once; what may happen in normal work rejects. */
  sendFrom(
    from: Turn | undefined,
    name: string,
    payload: unknown,
    options: SendOptions | undefined,
  ): Promise<void> {
    const call = callOptions('send', options);
    const cell = this.target();
    if (cell === undefined) {
      const far = this.elsewhere();
      if (far !== undefined) return far.sendFrom(from, name, payload, options);
      return this.refusedCall('send', 'actor-unknown', this.envelope(from, name, payload, call), from);
    }
    const envelope = this.told(cell, from, name, payload, call);
    const { signal } = call;
    if (signal?.aborted === true) return Promise.reject(signal.reason);
    return offerOrWait('send', cell, envelope, call, from);
  }

  /** `ask`, with the turn it comes from. */
  askFrom(
    from: Turn | undefined,
    name: string,
    payload: unknown,
    options: AskOptions | undefined,
  ): Promise<unknown> {
    const call = callOptions('ask', options);
    const { signal, rank } = call;
    const cell = this.target();
    if (cell === undefined) {
      const far = this.elsewhere();
      if (far !== undefined) return far.askFrom(from, name, payload, options);
      return this.refusedCall('ask', 'actor-unknown', this.envelope(from, name, payload, call, 'ask'), from);
    }
    const { kernel, behaviour } = cell;
    const entry = behaviour.askEntry(name);
    // `admissible` looks too; to call it for every ask has made asks twice as slow.
    const content = behaviour.isValidating ? behaviour.admissible(entry, payload) : payload;
    if (signal?.aborted === true) return Promise.reject(signal.reason);
    if (from?.aborted !== undefined) return Promise.reject(from.aborted.reason);
    const { asksInFlightMax } = kernel.settings;
    if (kernel.asksInFlight >= asksInFlightMax)
      return Promise.reject(new TroupeError('ERR_ASKS_IN_FLIGHT_FULL', { max: asksInFlightMax }));
    const chain = from === undefined ? undefined : from.askChain();
    // Stryker disable next-line ConditionalExpression: outside turns nobody waits in a chain; this spares the walk.
    const cycle = chain === undefined ? undefined : cycleTo(cell, chain);
    if (cycle !== undefined) return Promise.reject(new TroupeError('ERR_ASK_CYCLE', { path: cycle }));
    const now = kernel.now();
    const timeoutMs = waitMs(now, call.timeoutMs ?? ASK_TIMEOUT_MS, from);
    const extras = extrasWith(Infinity, headersOf(kernel, from, call));
    return new Promise((fulfil, fail) => {
      const ask = new PendingAsk(cell, chain, { timeoutMs, signal, from }, now, fulfil, fail);
      const envelope = new Envelope(entry, content, rank, from?.cell, ask, extras);
      if (kernel.isRecorded) kernel.telemetry.sending('ask', behaviour.tally.agent, envelope, from);
      ask.ask(envelope);
    });
  }

  /**
   * `stream`, with the turn it comes from. Misuse throws at once; the call is made with the first `next`, unless `refuse` throws then.
   */
  streamFrom(
    from: Turn | undefined,
    name: string,
    payload: unknown,
    options: StreamOptions | undefined,
    refuse: () => void,
  ): PartReader {
    const call = callOptions('stream', options);
    this.needMessage(name, 'stream');
    return new PartReader({ address: this.address, message: name }, (reader) => {
      refuse();
      return this.openStream(from, name, payload, call, reader);
    });
  }

  /** Makes the call of a stream. What it throws, its reader is failed with. */
  openStream(
    from: Turn | undefined,
    name: string,
    payload: unknown,
    call: CallOptions,
    reader: PartReader,
  ): PartsCall {
    const cell = this.target();
    if (cell === undefined) {
      const far = this.elsewhere();
      if (far !== undefined) return far.openStream(from, name, payload, call, reader);
      const envelope = this.envelope(from, name, payload, call, 'stream');
      throw this.refusedWith('stream', 'actor-unknown', envelope, from);
    }
    const { kernel, behaviour } = cell;
    const entry = behaviour.streamEntry(name);
    const content = behaviour.admissible(entry, payload);
    throwIfOver(kernel, call, from);
    const chain = from?.askChain();
    const cycle = chain === undefined ? undefined : cycleTo(cell, chain);
    if (cycle !== undefined) throw new TroupeError('ERR_ASK_CYCLE', { path: cycle });
    const now = kernel.now();
    const timeoutMs = waitMs(now, call.timeoutMs ?? STREAM_TIMEOUT_MS, from);
    const caller = { timeoutMs, signal: call.signal, from };
    const pending = new PendingStream(cell, chain, caller, now, reader, call.window);
    const extras = extrasWith(Infinity, headersOf(kernel, from, call));
    const envelope = new Envelope(entry, content, call.rank, from?.cell, pending, extras);
    if (kernel.isRecorded) kernel.telemetry.sending('stream', behaviour.tally.agent, envelope, from);
    pending.ask(envelope);
    return pending;
  }

  private told(
    cell: Actor,
    from: Turn | undefined,
    name: string,
    payload: unknown,
    call: CallOptions,
  ): Envelope {
    const { behaviour } = cell;
    const entry = behaviour.tellEntry(name);
    const content = behaviour.isValidating ? behaviour.admissible(entry, payload) : payload;
    const { kernel } = behaviour;
    const extras = extrasWith(deadlineOf(kernel, from, call), headersOf(kernel, from, call));
    return new Envelope(entry, content, call.rank, from?.cell, undefined, extras);
  }

  /** An envelope for a ref that leads nowhere, so that its dead letter can be read. */
  protected envelope(
    from: Turn | undefined,
    name: string,
    payload: unknown,
    { rank, headers }: Pick<CallOptions, 'rank' | 'headers'>,
    kind: MessageKind = 'tell',
  ): Envelope {
    this.needMessage(name, kind);
    const extras = extrasWith(Infinity, headers);
    return new Envelope(entryWithoutHandler(name, kind), payload, rank, from?.cell, undefined, extras);
  }

  private needMessage(name: string, kind: MessageKind): void {
    const messages = this.protocol.messages as Readonly<Record<string, MessageDefinition>>;
    if (typeof name !== 'string' || messages[name]?.kind !== kind)
      throw unknownMessage(this.protocol, name, kind);
  }

  protected refusedTell(verdict: Refused, envelope: Envelope, from: Turn | undefined): Admission {
    this.refused('tell', verdict, envelope, from)?.sent(verdict);
    return verdict;
  }

  protected refusedCall(
    call: 'send' | 'ask',
    verdict: Refused,
    envelope: Envelope,
    from: Turn | undefined,
  ): Promise<never> {
    return Promise.reject(this.refusedWith(call, verdict, envelope, from));
  }

  private refusedWith(
    call: 'send' | 'ask' | 'stream',
    verdict: Refused,
    envelope: Envelope,
    from: Turn | undefined,
  ): TroupeError {
    const code = verdict === 'stopped' ? 'ERR_ACTOR_STOPPED' : 'ERR_ACTOR_UNKNOWN';
    const error = new TroupeError(code, { address: this.address });
    this.refused(call, verdict, envelope, from)?.failed(error);
    return error;
  }

  /** A message gets to no actor: it is a dead letter, it is counted, and listeners hear of it. Answers its trace. */
  protected refused(
    call: 'tell' | 'send' | 'ask' | 'stream',
    verdict: Refused,
    envelope: Envelope,
    from: Turn | undefined,
  ): Trace | undefined {
    const { address, kernel } = this;
    const { name } = this.protocol;
    if (kernel.isRecorded) kernel.telemetry.sending(call, name, envelope, from);
    // An address with a `uid` means one incarnation: that one is gone, whoever lives there now.
    const isStale = verdict === 'actor-unknown' && address.includes('#');
    kernel.deadLetters.add(envelope, address, isStale ? 'stale-incarnation' : verdict);
    noteRefusal(kernel, kernel.telemetry.tallyOf(name), address, envelope, verdict);
    // Stryker disable next-line OptionalChaining: for the compiler; the letter has read its id, which stands in them.
    return envelope.extras?.trace;
  }

  /** Whether a call from outside is refused because the system shuts down. One that is really inside a turn is warned of. */
  private isRefused(call: string): boolean {
    const { kernel } = this;
    if (kernel.current !== undefined) kernel.current.warnOfBareCall(call);
    kernel.telemetry.look();
    return kernel.isIntakeClosed;
  }
}

/** Throws why nobody waits for a stream that is only being asked for, or why it may not be. */
export function throwIfOver(kernel: Kernel, { signal }: CallOptions, from: Turn | undefined): void {
  if (signal?.aborted === true) throw signal.reason;
  if (from?.aborted !== undefined) throw from.aborted.reason;
  const { asksInFlightMax } = kernel.settings;
  if (kernel.asksInFlight >= asksInFlightMax)
    throw new TroupeError('ERR_ASKS_IN_FLIGHT_FULL', { max: asksInFlightMax });
}

/** Tells, and says to whoever records how that went. */
function tellSaying(cell: Actor, envelope: Envelope, from: Turn | undefined): Admission {
  const { kernel, tally } = cell.behaviour;
  if (!kernel.isRecorded) return cell.tell(envelope, from);
  kernel.telemetry.sending('tell', tally.agent, envelope, from);
  const { trace } = envelope.ensureExtras();
  try {
    const verdict = cell.tell(envelope, from);
    trace?.sent(verdict);
    return verdict;
  } catch (error) {
    trace?.failed(error); // a function of the user's had a look at it
    throw error;
  }
}

/** Offers a message, and waits for room where the mailbox lets senders wait. */
export function offerOrWait(
  verb: 'send' | 'replay',
  cell: Actor,
  envelope: Envelope,
  call: Pick<CallOptions, 'timeoutMs' | 'signal'>,
  from: Turn | undefined,
): Promise<void> {
  const { kernel, tally } = cell.behaviour;
  if (kernel.isRecorded) kernel.telemetry.sending(verb, tally.agent, envelope, from);
  const verdict = offered(cell, envelope, from);
  if (verdict === 'accepted') {
    envelope.extras?.trace?.sent(verdict);
    return ACCEPTED;
  }
  if (verdict === 'stopped')
    return unsent(envelope, new TroupeError('ERR_ACTOR_STOPPED', { address: cell.address }));
  if (!cell.mayWait(from) || cell.isWaitingRoomFull) return unsent(envelope, noRoom(cell, envelope, from));
  if (from?.aborted !== undefined) return unsent(envelope, from.aborted.reason);
  const now = cell.kernel.now();
  const timeoutMs = waitMs(now, call.timeoutMs ?? SEND_TIMEOUT_MS, from);
  const { signal } = call;
  return new Promise((fulfil, fail) => {
    // The constructor enters it among the waiters, which hold it from here on.
    const { trace } = envelope.extras ?? {};
    new PendingSend(cell, envelope, { timeoutMs, signal, from, trace }, now, fulfil as Settle, fail);
  });
}

/** What a mailbox throws is thrown; whoever records hears of it first. */
function offered(cell: Actor, envelope: Envelope, from: Turn | undefined): 'accepted' | 'full' | 'stopped' {
  try {
    return cell.offer(envelope, from);
  } catch (error) {
    envelope.extras?.trace?.failed(error);
    throw error;
  }
}

function unsent(envelope: Envelope, error: unknown): Promise<never> {
  envelope.extras?.trace?.failed(error);
  return Promise.reject(error);
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

  override get kernel(): Kernel {
    return this.cell.behaviour.kernel;
  }

  override target(): Actor {
    return this.cell;
  }
}

/** A ref by name or path: it leads to whichever actor holds it when it is used. */
export class NamedRef extends ActorRef {
  override readonly protocol: AnyProtocol;
  override readonly kernel: Kernel;
  private readonly name: string;
  private readonly resolve: () => Actor | undefined;
  private readonly resolveFar: (() => ActorRef | undefined) | undefined;

  /** `resolveFar` says who holds the name on another node, where nobody of this one does. */
  constructor(
    kernel: Kernel,
    protocol: AnyProtocol,
    name: string,
    resolve: () => Actor | undefined,
    resolveFar?: () => ActorRef | undefined,
  ) {
    super();
    this.kernel = kernel;
    this.protocol = protocol;
    this.name = name;
    this.resolve = resolve;
    this.resolveFar = resolveFar;
  }

  override get address(): string {
    return this.target()?.path ?? this.elsewhere()?.address ?? this.name;
  }

  override get isHere(): boolean {
    return this.target() !== undefined || this.elsewhere() === undefined;
  }

  override toJSON(): string {
    const far = this.target() === undefined ? this.elsewhere() : undefined;
    return far === undefined ? super.toJSON() : far.toJSON();
  }

  protected override elsewhere(): ActorRef | undefined {
    return this.resolveFar?.();
  }

  override target(): Actor | undefined {
    return this.resolve();
  }
}

/** The ref behind what a user handed over. Throws `ERR_OPTION_INVALID` for anything but a ref of this system. */
export function actorRef(ref: unknown, kernel: Kernel): ActorRef {
  if (ref instanceof ActorRef && ref.kernel === kernel) return ref;
  throw foreignRef(ref);
}

/** As `actorRef`, for what can be done only where the actor lives. */
export function localRef(call: string, ref: unknown, kernel: Kernel): ActorRef {
  const given = actorRef(ref, kernel);
  if (given.isHere) return given;
  throw notHere(call, given.address);
}

/** The error of a call that reaches no further than this process. */
export function notHere(call: string, address: string): TroupeError {
  const expected = 'a ref to an actor of this process';
  return new TroupeError('ERR_OPTION_INVALID', { option: `${call}: ref`, expected, given: address });
}

function foreignRef(ref: unknown): TroupeError {
  if (!(ref instanceof ActorRef)) return invalidOption('ref', 'a ref of this system', ref);
  const given = `${ref.address} of another system`;
  return new TroupeError('ERR_OPTION_INVALID', { option: 'ref', expected: 'a ref of this system', given });
}

/** The address of `cell` and of those that wait for each other back to it, if it is among them. */
export function cycleTo(cell: Actor, chain: AskChain): readonly string[] | undefined {
  const path = [cell.address];
  for (let link: AskChain | undefined = chain; link !== undefined; link = link.outer) {
    if (!link.isWaiting()) return undefined;
    path.unshift(link.waiting.address);
    if (link.waiting === cell) return path;
  }
  return undefined;
}
