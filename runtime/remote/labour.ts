/**
 * Jobs that actors of this node do for pools of others. The pool is told when the turn of a job is over and its actor takes the next one, so that it
 * has one at a time; and that nobody has begun where the actor is not there. What a job's handler replies goes ahead of that.
 */

import { parseNodePlace } from '../../src/protocol/address.ts';
import {
  type AskChain,
  type Customer,
  Envelope,
  Extras,
  type Outcome,
  type Witness,
} from '../../src/protocol/envelope.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import type { NodeIdentity } from '../../src/protocol/membership.ts';
import type { MessageDefinition } from '../../src/protocol/protocol.ts';
import type { Actor } from '../actor/actor.ts';
import type { Kernel } from '../actor/kernel.ts';
import { cycleTo } from '../actor/local-ref.ts';
import { noRoom } from '../actor/pending.ts';
import { type Deliveries, type Find, Held, keyOf, nodeOf, refusedIn, senderOf } from './deliveries.ts';
import type { Arrival, Taken } from './inbound.ts';
import { doneWord, labelIn } from './job-words.ts';
import type { Mail } from './mail.ts';
import { refusalOf } from './refusal.ts';
import { RemoteCustomer } from './remote-customer.ts';
import { clockTimeOf } from './wall-time.ts';

/** Milliseconds for which an answer is worth sending where the asker sets no end. */
const ANSWER_MS = 60_000;

/** The jobs that one node does for others. */
export class Labour {
  readonly kernel: Kernel;
  readonly mail: Mail;
  private readonly deliveries: Deliveries;
  private readonly find: Find;
  /** By node, incarnation and id, until their outcomes are known. */
  private readonly open = new Map<string, Task>();

  constructor(kernel: Kernel, mail: Mail, deliveries: Deliveries, find: Find) {
    this.kernel = kernel;
    this.mail = mail;
    this.deliveries = deliveries;
    this.find = find;
  }

  take(arrival: Arrival): Taken {
    const { kernel, mail } = this;
    const { target, payload: sent, correlationId } = arrival.message;
    const label = labelIn(correlationId);
    const place = target === undefined ? undefined : parseNodePlace(target.address);
    const { self } = mail.nodes;
    if (target === undefined || label === undefined || place?.node !== self.name)
      return Promise.resolve({ reason: 'validation', error: new Error('it is no job for this node') });
    // Whoever sent it to a life of this node that is over has heard of its end; who is lost himself hears nothing.
    if (place.incarnation !== self.incarnation || mail.nodes.isLost(nodeOf(arrival))) return undefined;
    const actor = kernel.isEnding ? undefined : this.find(place.local);
    if (actor === undefined || !actor.isOpen) {
      this.say(arrival, undefined, 'absent', undefined);
      return undefined;
    }
    let payload: unknown;
    try {
      payload = mail.valueOf(sent);
    } catch (error) {
      this.say(arrival, actor, 'serialization', error);
      return Promise.resolve({ reason: 'serialization', error });
    }
    const messages = actor.behaviour.agent.protocol.messages as Readonly<Record<string, MessageDefinition>>;
    const isAsk = messages[target.message]?.kind === 'ask';
    const way = this.deliveries.wayTo(actor, { node: arrival.node, target, payload }, isAsk ? 'ask' : 'tell');
    const chain = this.deliveries.chainIn(arrival);
    const cycle = chain === undefined ? undefined : cycleTo(actor, chain);
    if ('error' in way || cycle !== undefined) {
      const error = 'error' in way ? way.error : new TroupeError('ERR_ASK_CYCLE', { path: cycle ?? [] });
      this.say(arrival, actor, 'validation', error);
      return undefined;
    }
    const task = new Task(this, arrival, actor, {
      isAsk,
      chain,
      deadline: clockTimeOf(kernel, arrival.message.expiresAtMs),
    });
    this.open.set(keyOf(arrival.node, arrival.incarnation, arrival.message.id), task);
    return task.begin(way.entry, way.content, label);
  }

  /** Whoever waits for this does not any more. False: it is no job. */
  cancel({ message, node, incarnation }: Arrival): boolean {
    const task = this.open.get(keyOf(node, incarnation, message.id));
    task?.cancel(
      new TroupeError('ERR_MESSAGE_DROPPED', {
        address: `//${node}`,
        message: message.id,
        reason: 'cancelled',
      }),
    );
    return task !== undefined;
  }

  /** A life of a node has ended: nobody there waits for a reply any more. Its workers are stopped beside this. */
  ended({ name, incarnation }: NodeIdentity): void {
    const prefix = keyOf(name, incarnation, '');
    for (const [key, task] of this.open)
      if (key.startsWith(prefix)) task.abandon(new TroupeError('ERR_NODE_DOWN', { node: name }));
  }

  over({ message, node, incarnation }: Arrival): void {
    this.open.delete(keyOf(node, incarnation, message.id));
  }

  /** Answers whoever asked. Throws for a value that cannot travel. */
  answer(arrival: Arrival, type: 'reply' | 'refusal', value: unknown): void {
    const { mail, kernel } = this;
    const { id, expiresAtMs, payload: asked } = arrival.message;
    const refused = refusedIn(arrival.message);
    const payload =
      type === 'reply' ? mail.answerTo(asked, value) : mail.payloadOf(refusalOf(value, refused));
    const dueAt = Math.min(clockTimeOf(kernel, expiresAtMs), kernel.now() + ANSWER_MS);
    mail.say(nodeOf(arrival), { type, id, lane: arrival.lane, dueAt, payload });
  }

  /** Says how a job ended. */
  say(arrival: Arrival, actor: Actor | undefined, outcome: Outcome | 'absent', error: unknown): void {
    const { mail } = this;
    const { message, lane } = arrival;
    const payload = mail.payloadOf(doneWord(outcome, error, refusedIn(message)));
    const node = nodeOf(arrival);
    if (actor !== undefined) mail.noteSent(actor, node, lane);
    // Where it is not taken for good, its node is not there any more.
    mail.signal(node, { type: 'done', id: message.id, lane, payload }).catch(() => undefined);
  }
}

interface TaskSettings {
  readonly isAsk: boolean;
  readonly chain: AskChain | undefined;
  readonly deadline: number;
}

/** One job, until its outcome is known. */
class Task implements Witness {
  private readonly labour: Labour;
  private readonly arrival: Arrival;
  private readonly actor: Actor;
  private readonly deadline: number;
  private readonly customer: RemoteCustomer | Teller;
  private envelope: Envelope | undefined = undefined;
  private held: Held | undefined = undefined;

  constructor(labour: Labour, arrival: Arrival, actor: Actor, { isAsk, chain, deadline }: TaskSettings) {
    this.labour = labour;
    this.arrival = arrival;
    this.actor = actor;
    this.deadline = deadline;
    this.customer = isAsk
      ? new RemoteCustomer(
          labour.kernel,
          actor,
          { deadline, chain },
          {
            reply: (value) => labour.answer(arrival, 'reply', value),
            refuse: (error) => labour.answer(arrival, 'refusal', error),
            over: () => undefined,
          },
        )
      : new Teller(deadline, chain);
  }

  /** Gives it to the actor, where it waits for room if it has to. */
  begin(
    entry: Envelope['entry'],
    content: unknown,
    { attempt, id }: { readonly attempt: number; readonly id: string },
  ): Taken {
    const { actor, customer, labour, arrival } = this;
    const extras = new Extras();
    extras.id = id;
    extras.attempt = attempt;
    extras.headers = arrival.message.headers;
    extras.deadline = this.deadline;
    extras.witness = this;
    if (labour.kernel.isRecorded) extras.waitsSince = labour.kernel.now();
    const envelope = new Envelope(entry, content, arrival.lane, senderOf(arrival), customer, extras);
    this.envelope = envelope;
    if (customer instanceof RemoteCustomer) customer.envelope = envelope;
    if (actor.offer(envelope, undefined) !== 'full') return undefined;
    if (actor.mayWait(undefined)) return this.hold(envelope);
    this.lost('overflow-dropped', noRoom(actor, envelope, undefined));
    return undefined;
  }

  ended(_envelope: Envelope, outcome: Outcome, error?: unknown): void {
    const { labour, arrival, actor } = this;
    labour.over(arrival);
    // The reply goes ahead of it, and word of the actor's end behind it.
    actor.whenSettled(() => labour.say(arrival, actor, outcome, error));
  }

  /** Takes it out of the queue, or aborts its turn. */
  cancel(reason: unknown): void {
    if (this.customer instanceof RemoteCustomer) this.customer.cancel(reason);
    else if (this.held !== undefined) this.held.leave();
    else if (this.envelope !== undefined) this.actor.cancel(this.envelope, reason);
  }

  /** Its pool is no more: what was told may end, as what was accepted anywhere. */
  abandon(reason: unknown): void {
    if (this.customer instanceof RemoteCustomer) this.customer.cancel(reason);
  }

  private hold(envelope: Envelope): Taken {
    const { labour, actor, customer } = this;
    return new Promise((resolve) => {
      const held = new Held(labour.kernel, actor, envelope, {
        admitted: () => {
          this.held = undefined;
          resolve(undefined);
        },
        lost: (reason, error) => {
          this.lost(reason, error);
          resolve(undefined);
        },
        taken: () => {
          this.ended(envelope, 'cancelled');
          resolve(undefined);
        },
      });
      this.held = held;
      if (customer instanceof RemoteCustomer) customer.leave = () => held.leave();
      held.begin(customer instanceof RemoteCustomer ? Infinity : this.deadline);
    });
  }

  /** No mailbox has it: the pool that sent it says what becomes of it. */
  private lost(outcome: Outcome, error: unknown): void {
    if (this.envelope !== undefined) this.ended(this.envelope, outcome, error);
    this.customer.reject(error);
  }
}

/** Who only told something, but is waited with: his chain is that of an ask. */
class Teller implements Customer {
  readonly isAnswered = false;
  readonly deadline: number;
  readonly chain: AskChain | undefined;

  constructor(deadline: number, chain: AskChain | undefined) {
    this.deadline = deadline;
    this.chain = chain;
  }

  resolve(): boolean {
    return true;
  }

  reject(): boolean {
    return true;
  }
}
