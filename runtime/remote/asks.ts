/** Calls of this node that wait for another one: sends for the broker, asks for the reply, streams for their parts. */

import type { AskChain, Envelope } from '../../src/protocol/envelope.ts';
import type { NodeIdentity } from '../../src/protocol/membership.ts';
import type { Schema } from '../../src/protocol/schema.ts';
import type { Kernel } from '../actor/kernel.ts';
import type { Caller } from '../actor/pending.ts';
import type { Arrival } from './inbound.ts';
import { type Addressee, type Mail, nodeDown } from './mail.ts';
import type { Parcel } from './parcel.ts';
import { partsIn } from './parts-text.ts';
import { RemoteAsk } from './remote-ask.ts';
import { type Reading, RemoteStream, type StreamPorts } from './remote-stream.ts';

/** Milliseconds for which a cancel is worth sending: by then the other node has given up by itself. */
const CANCEL_MS = 10_000;

/** The open calls of one node. */
export class Asks implements StreamPorts {
  private readonly kernel: Kernel;
  private readonly mail: Mail;
  private readonly open = new Map<
    string,
    { readonly ask: RemoteAsk; parcel: Parcel<undefined> | undefined }
  >();

  constructor(kernel: Kernel, mail: Mail) {
    this.kernel = kernel;
    this.mail = mail;
  }

  /** Resolves when the broker has the message. */
  send(to: Addressee, envelope: Envelope, caller: Caller): Promise<void> {
    const { timeoutMs, signal, from, trace } = caller;
    const parcel = this.mail.send('tell', to, envelope, { timeoutMs, signal, waitsForRoom: true });
    // Nobody else has to hear how it ends.
    if (from === undefined && trace === undefined) return parcel.taken;
    const withdrawable = { withdraw: (reason: unknown) => parcel.refuse(reason) };
    from?.addPending(withdrawable);
    return parcel.taken.then(
      () => {
        from?.removePending(withdrawable);
        trace?.sent('accepted');
      },
      (error: unknown) => {
        from?.removePending(withdrawable);
        trace?.failed(error);
        throw error;
      },
    );
  }

  /** Resolves with the reply; without a schema for it, when the actor's mailbox has the message. */
  ask(
    to: Addressee,
    envelope: Envelope,
    reply: Schema | undefined,
    caller: Caller,
    type: 'ask' | 'send' | 'spawn' = reply === undefined ? 'send' : 'ask',
  ): Promise<unknown> {
    const { address } = to;
    // Starts are counted, and not among the asks of the agent.
    const protocol = type === 'spawn' ? '(spawn)' : to.protocol;
    const { id, rank, entry } = envelope;
    const chain = reply === undefined ? undefined : caller.from?.askChain();
    const { name: message } = entry;
    const inquiry = { id, to, address, protocol, message, rank, reply };
    return new Promise((fulfil, fail) => {
      const ask = new RemoteAsk(this.kernel, inquiry, this, caller, fulfil, fail);
      this.put(type, ask, envelope, chain);
    });
  }

  /** Asks for the parts of a stream, for its reader; `result` is the schema of what it returns. */
  stream(
    to: Addressee,
    envelope: Envelope,
    result: Schema | undefined,
    caller: Caller,
    reading: Reading,
  ): RemoteStream {
    const { address, protocol } = to;
    const { id, rank, entry } = envelope;
    const inquiry = { id, to, address, protocol, message: entry.name, rank, reply: result };
    const stream = new RemoteStream(this.kernel, inquiry, this, caller, reading);
    this.put('ask', stream, envelope, caller.from?.askChain(), reading.window);
    return stream;
  }

  private put(
    type: 'ask' | 'send' | 'spawn',
    ask: RemoteAsk,
    envelope: Envelope,
    chain: AskChain | undefined,
    window?: number,
  ): void {
    const opened = { ask, parcel: undefined as Parcel<undefined> | undefined };
    const { id, to } = ask.inquiry;
    this.open.set(id, opened);
    try {
      // Its own time, and the turn's, end the wait: the parcel has none.
      const patience = { timeoutMs: Infinity, waitsForRoom: true };
      opened.parcel = this.mail.send(type, to, envelope, patience, chain, { window });
    } catch (error) {
      ask.reject(error);
      return;
    }
    opened.parcel.taken.catch((error: unknown) => ask.reject(error));
  }

  /** A part of a stream has come. False: it was never asked for. One that nobody waits for any more is passed over. */
  came({ message, node, incarnation }: Arrival, value: () => unknown): boolean {
    const number = partsIn(message.correlationId);
    if (number === undefined) return false;
    const stream = this.open.get(message.id)?.ask;
    if (!(stream instanceof RemoteStream) || !isOf(stream, { name: node, incarnation })) return true;
    try {
      return stream.came(number, value());
    } catch (error) {
      stream.unreadable(error);
      throw error;
    }
  }

  demand({ inquiry, dueAt }: RemoteStream, parts: number): void {
    const { to, id, rank: lane } = inquiry;
    if (to.node === undefined) return;
    this.mail.sayOfStream(to.node, { type: 'demand', id, lane, dueAt, parts });
  }

  /** A reply or a refusal has come. False: nobody waits for it. */
  answered({ message, node, incarnation }: Arrival, value: unknown): boolean {
    const ask = this.open.get(message.id)?.ask;
    // Only the node that was asked can answer, in the life in which it was; for a shard, whoever owns it by then.
    const isPinned = ask?.inquiry.to.node !== undefined;
    if (ask === undefined || (isPinned && !isOf(ask, { name: node, incarnation }))) return false;
    if (ask instanceof RemoteStream)
      return ask.answered(message.type === 'reply', partsIn(message.correlationId), value);
    return message.type === 'reply' ? ask.replied(value) : ask.refused(value);
  }

  /** A life of a node has ended: nothing that it was asked will be answered. */
  ended(node: NodeIdentity): void {
    for (const { ask } of this.open.values()) if (isOf(ask, node)) ask.reject(nodeDown(node.name));
  }

  /** Ends all calls. */
  withdraw(reason: unknown): void {
    for (const { ask } of this.open.values()) ask.withdraw(reason);
  }

  settled({ inquiry }: RemoteAsk): void {
    const parcel = this.open.get(inquiry.id)?.parcel;
    this.open.delete(inquiry.id);
    parcel?.refuse(undefined); // if it is still here it stays here
  }

  takeBack({ inquiry }: RemoteAsk): void {
    const { to, id, rank } = inquiry;
    // Also when its time has come, which the other node knows by a clock of its own.
    const word = { type: 'cancel', id, lane: rank, dueAt: this.kernel.now() + CANCEL_MS } as const;
    if (to.node === undefined) this.mail.sayAt(to.destination, word);
    else this.mail.say(to.node, word);
  }
}

function isOf({ inquiry }: RemoteAsk, { name, incarnation }: NodeIdentity): boolean {
  return inquiry.to.node?.name === name && inquiry.to.node.incarnation === incarnation;
}
