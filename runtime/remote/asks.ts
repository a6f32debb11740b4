/** Calls of this node that wait for another one: sends for the broker, asks for the reply. */

import type { Envelope } from '../../src/protocol/envelope.ts';
import type { NodeIdentity } from '../../src/protocol/membership.ts';
import type { Schema } from '../../src/protocol/schema.ts';
import type { Kernel } from '../actor/kernel.ts';
import type { Caller } from '../actor/pending.ts';
import type { Arrival } from './inbound.ts';
import { type Addressee, type Mail, nodeDown } from './mail.ts';
import type { Parcel } from './parcel.ts';
import { type AskPorts, RemoteAsk } from './remote-ask.ts';

/** Milliseconds for which a cancel is worth sending: by then the other node has given up by itself. */
const CANCEL_MS = 10_000;

/** The open calls of one node. */
export class Asks implements AskPorts {
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
      const opened = { ask, parcel: undefined as Parcel<undefined> | undefined };
      this.open.set(id, opened);
      try {
        // Its own time, and the turn's, end the wait: the parcel has none.
        const patience = { timeoutMs: Infinity, waitsForRoom: true };
        opened.parcel = this.mail.send(type, to, envelope, patience, chain);
      } catch (error) {
        ask.reject(error);
        return;
      }
      opened.parcel.taken.catch((error: unknown) => ask.reject(error));
    });
  }

  /** A reply or a refusal has come. False: nobody waits for it. */
  answered({ message, node, incarnation }: Arrival, value: unknown): boolean {
    const ask = this.open.get(message.id)?.ask;
    // Only the node that was asked can answer, in the life in which it was; for a shard, whoever owns it by then.
    const isPinned = ask?.inquiry.to.node !== undefined;
    if (ask === undefined || (isPinned && !isOf(ask, { name: node, incarnation }))) return false;
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
