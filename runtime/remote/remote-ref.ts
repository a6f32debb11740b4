/**
 * A ref to an actor of another node. The same calls mean the same; what differs is what is known when they answer: `tell` has it in the
 * outbox of this node, `send` at the broker (with `receipt` in the actor's mailbox), `ask` has the reply, and `stream` its parts.
 */

import { formatNodePlace, type NodePlace } from '../../src/protocol/address.ts';
import type { Envelope } from '../../src/protocol/envelope.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import { ASK_TIMEOUT_MS, SEND_TIMEOUT_MS, STREAM_TIMEOUT_MS } from '../../src/protocol/limits.ts';
import type { AnyProtocol, MessageDefinition, MessageKind } from '../../src/protocol/protocol.ts';
import type { Admission, AskOptions, SendOptions, TellOptions } from '../../src/protocol/ref.ts';
import { isFitForWire, ONLY_TYPED } from '../../src/protocol/schema.ts';
import { type CallOptions, callOptions, deadlineOf, headersOf, waitMs } from '../actor/call-options.ts';
import type { Kernel } from '../actor/kernel.ts';
import { ActorRef, notHere, throwIfOver } from '../actor/local-ref.ts';
import type { PartReader, PartsCall } from '../actor/part-reader.ts';
import type { Turn } from '../actor/turn.ts';
import type { Elsewhere } from '../actor/watch.ts';
import type { Asks } from './asks.ts';
import { type Addressee, type Mail, nodeDown } from './mail.ts';
import type { RemoteWatches } from './remote-watches.ts';

/** What remote refs of one system share. */
export interface RemoteCalls {
  readonly kernel: Kernel;
  readonly mail: Mail;
  readonly asks: Asks;
  readonly watches: RemoteWatches;
}

/** A ref whose messages go by the broker. */
export abstract class FarRef extends ActorRef {
  override readonly protocol: AnyProtocol;
  protected readonly calls: RemoteCalls;

  constructor(calls: RemoteCalls, protocol: AnyProtocol) {
    super();
    this.calls = calls;
    this.protocol = protocol;
  }

  /** Where it leads now; an error where it leads nowhere. */
  protected abstract addressee(): Addressee | TroupeError;

  override get kernel(): Kernel {
    return this.calls.kernel;
  }

  /** None in this process. */
  override target(): undefined {
    return undefined;
  }

  override get isHere(): boolean {
    return false;
  }

  override stopActor(_reason: 'normal' | 'shutdown'): Promise<void> {
    throw notHere('stop', this.address);
  }

  override toJSON(): string {
    return this.address;
  }

  override tellFrom(
    from: Turn | undefined,
    name: string,
    payload: unknown,
    options: TellOptions | undefined,
  ): Admission {
    const envelope = this.letter(from, name, payload, callOptions('tell', options), 'tell');
    const to = this.addressee();
    if (to instanceof TroupeError) return this.refusedTell('actor-unknown', envelope, from);
    this.begin('tell', envelope, from);
    return this.calls.mail.tell(to, envelope);
  }

  override sendFrom(
    from: Turn | undefined,
    name: string,
    payload: unknown,
    options: SendOptions | undefined,
  ): Promise<void> {
    const call = callOptions('send', options);
    const envelope = this.letter(from, name, payload, call, 'tell');
    const ended = endOf(call, from);
    if (ended !== undefined) return Promise.reject(ended.reason);
    const to = this.addressee();
    if (to instanceof TroupeError) return this.lostCall('send', to, envelope, from);
    this.begin('send', envelope, from);
    const timeoutMs = waitMs(this.kernel.now(), call.timeoutMs ?? SEND_TIMEOUT_MS, from);
    const caller = { timeoutMs, signal: call.signal, from, trace: envelope.extras?.trace };
    const { asks } = this.calls;
    // With a receipt it settles with nothing, as it does without.
    if (call.receipt) return asks.ask(to, envelope, undefined, caller) as Promise<void>;
    return asks.send(to, envelope, caller);
  }

  override askFrom(
    from: Turn | undefined,
    name: string,
    payload: unknown,
    options: AskOptions | undefined,
  ): Promise<unknown> {
    const { kernel } = this;
    const call = callOptions('ask', options);
    const envelope = this.letter(from, name, payload, call, 'ask');
    const ended = endOf(call, from);
    if (ended !== undefined) return Promise.reject(ended.reason);
    const to = this.addressee();
    if (to instanceof TroupeError) return this.lostCall('ask', to, envelope, from);
    const { asksInFlightMax } = kernel.settings;
    if (kernel.asksInFlight >= asksInFlightMax)
      return Promise.reject(new TroupeError('ERR_ASKS_IN_FLIGHT_FULL', { max: asksInFlightMax }));
    const timeoutMs = waitMs(kernel.now(), call.timeoutMs ?? ASK_TIMEOUT_MS, from);
    envelope.ensureExtras().deadline = kernel.now() + timeoutMs;
    this.begin('ask', envelope, from);
    const caller = { timeoutMs, signal: call.signal, from, trace: envelope.extras?.trace };
    return this.calls.asks.ask(to, envelope, this.definition(name)?.reply, caller);
  }

  override openStream(
    from: Turn | undefined,
    name: string,
    payload: unknown,
    call: CallOptions,
    reader: PartReader,
  ): PartsCall {
    const { kernel } = this;
    const envelope = this.letter(from, name, payload, call, 'stream');
    throwIfOver(kernel, call, from);
    const to = this.addressee();
    if (to instanceof TroupeError) {
      this.refused('stream', 'actor-unknown', envelope, from)?.failed(to);
      throw to;
    }
    const timeoutMs = waitMs(kernel.now(), call.timeoutMs ?? STREAM_TIMEOUT_MS, from);
    envelope.ensureExtras().deadline = kernel.now() + timeoutMs;
    this.begin('stream', envelope, from);
    const caller = { timeoutMs, signal: call.signal, from, trace: envelope.extras?.trace };
    const { part, reply } = this.definition(name) ?? {};
    return this.calls.asks.stream(to, envelope, reply, caller, { reader, part, window: call.window });
  }

  private letter(
    from: Turn | undefined,
    name: string,
    payload: unknown,
    call: CallOptions,
    kind: MessageKind,
  ): Envelope {
    const { kernel } = this;
    const headers = headersOf(kernel, from, call);
    const envelope = this.envelope(from, name, payload, { rank: call.rank, headers }, kind);
    const schema = this.definition(name)?.payload;
    if (schema !== undefined && payload !== undefined && !isFitForWire(schema)) {
      const subject = `the payload of '${name}' of protocol '${this.protocol.name}'`;
      throw new TroupeError('ERR_MESSAGE_INVALID', { subject, issues: [ONLY_TYPED] });
    }
    const extras = envelope.ensureExtras();
    extras.id = this.calls.mail.nextId();
    extras.deadline = deadlineOf(kernel, from, call);
    return envelope;
  }

  private begin(call: 'tell' | 'send' | 'ask' | 'stream', envelope: Envelope, from: Turn | undefined): void {
    const { kernel } = this;
    if (kernel.isRecorded) kernel.telemetry.sending(call, this.protocol.name, envelope, from);
  }

  private lostCall(
    call: 'send' | 'ask',
    error: TroupeError,
    envelope: Envelope,
    from: Turn | undefined,
  ): Promise<never> {
    this.refused(call, 'actor-unknown', envelope, from)?.failed(error);
    return Promise.reject(error);
  }

  private definition(name: string): MessageDefinition | undefined {
    return (this.protocol.messages as Readonly<Record<string, MessageDefinition>>)[name];
  }
}

/** A ref whose actor, if there is one, lives on another node. */
export class RemoteRef extends FarRef {
  override readonly address: string;
  readonly place: NodePlace;
  /** Where it led last, as long as that life of the node is what the broker tells. */
  private led: Addressee | undefined = undefined;

  constructor(calls: RemoteCalls, protocol: AnyProtocol, place: NodePlace) {
    super(calls, protocol);
    this.place = place;
    this.address = formatNodePlace(place);
  }

  override watchable(): Elsewhere {
    return { watch: (heard) => this.calls.watches.watch(this.place, heard) };
  }

  override stopActor(reason: 'normal' | 'shutdown'): Promise<void> {
    return this.calls.watches.stop(this.place, reason);
  }

  protected override addressee(): Addressee | TroupeError {
    const { node: name, incarnation, local } = this.place;
    const node = this.calls.mail.nodes.find(name);
    if (node === undefined || (incarnation ?? node.incarnation) !== node.incarnation) return nodeDown(name);
    if (this.led?.node !== node) {
      const target = formatNodePlace({ node: name, incarnation: node.incarnation, local });
      const destination = { kind: 'node', node: name } as const;
      this.led = { destination, node, target, address: this.address, protocol: this.protocol.name };
    }
    return this.led;
  }
}

/** Why nobody waits for a call that is only being made. */
function endOf({ signal }: CallOptions, from: Turn | undefined): { readonly reason: unknown } | undefined {
  return signal?.aborted === true ? { reason: signal.reason } : from?.aborted;
}
