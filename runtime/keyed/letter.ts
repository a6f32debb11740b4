/**
 * A message to a key, as the owner of its shard has it from the broker: until its outcome is final it is the broker's as well. It ends
 * once: handled (the broker forgets it), dead (the broker keeps it among its dead letters), or given back (it comes again, here or to
 * the next owner; nobody hears of this attempt).
 */

import {
  type AskChain,
  Envelope,
  Extras,
  type MessageEntry,
  type Outcome,
  type Witness,
} from '../../src/protocol/envelope.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import type { WireTarget } from '../../src/protocol/frame.ts';
import type { Kernel } from '../actor/kernel.ts';
import { cycleTo } from '../actor/local-ref.ts';
import { noRoom } from '../actor/pending.ts';
import { Held, senderOf } from '../remote/deliveries.ts';
import { type Arrival, type GivenUp, RELEASE } from '../remote/inbound.ts';
import { RemoteCustomer } from '../remote/remote-customer.ts';
import type { Activation, Tenancy } from './activation.ts';
import type { Saved } from './snapshot.ts';

/** How a letter ends, as the broker is told. */
export type LetterEnd = GivenUp | typeof RELEASE | undefined;

/** What a letter needs of the shard that it came to. */
export interface LetterPorts extends Tenancy {
  readonly kernel: Kernel;
  /** The shard moves: what is not handled here comes again elsewhere. */
  readonly isClosing: boolean;
  /** What answers whoever waits. Throws for a value that cannot travel. */
  answerTo(letter: Letter, type: 'reply' | 'refusal', value: unknown, error?: unknown): () => void;
  /** The turns that wait for it. */
  chainOf(letter: Letter): AskChain | undefined;
  /** It has ended, for the broker. */
  ended(letter: Letter): void;
  /** Whoever waits for an answer has it, or does not wait any more. */
  answered(letter: Letter): void;
}

/** What a handler is to get. */
export interface Content {
  readonly entry: MessageEntry;
  readonly payload: unknown;
}

/** One message to a key. */
export class Letter implements Witness {
  readonly arrival: Arrival;
  readonly target: WireTarget;
  readonly key: string;
  /** Clock time after which it is not worth a turn. */
  readonly deadline: number;
  /** Resolves when it has ended. */
  readonly end: Promise<LetterEnd>;
  activation: Activation | undefined = undefined;
  private readonly ports: LetterPorts;
  private readonly content: Content;
  private envelope: Envelope | undefined = undefined;
  private customer: RemoteCustomer | undefined = undefined;
  private held: Held | undefined = undefined;
  private isEnded = false;
  /** Nobody waits for an answer any more. */
  private isAnswered = false;
  private isGivenBack = false;
  /** Its turn is over: its outcome is final, and is told when what came of it is safe. */
  private isDone = false;
  /** Replies that were given before that. */
  private readonly replies: (() => void)[] = [];
  private resolve: (end: LetterEnd) => void = () => undefined;

  constructor(ports: LetterPorts, arrival: Arrival, target: WireTarget, deadline: number, content: Content) {
    this.ports = ports;
    this.arrival = arrival;
    this.target = target;
    this.key = target.address;
    this.deadline = deadline;
    this.content = content;
    this.end = new Promise((resolve) => {
      this.resolve = resolve;
    });
  }

  /** The time of ownership in which it came. */
  get tenancy(): Tenancy {
    return this.ports;
  }

  /** Whether its turn runs, or is over and its state is not safe yet. */
  get isUnderWay(): boolean {
    return this.isDone || this.isInTurn;
  }

  private get isInTurn(): boolean {
    return this.envelope !== undefined && this.activation?.cell.turn?.envelope === this.envelope;
  }

  /** Gives it to an actor, where it waits for room if it has to. */
  deliverTo(activation: Activation): void {
    const { kernel } = this.ports;
    const { type } = this.arrival.message;
    const { cell } = activation;
    this.activation = activation;
    activation.letters++;
    const chain = this.ports.chainOf(this);
    const cycle = chain === undefined ? undefined : cycleTo(cell, chain);
    if (cycle !== undefined) {
      this.refuseAsker(new TroupeError('ERR_ASK_CYCLE', { path: cycle }));
      this.ports.answered(this);
      this.finish(undefined);
      return;
    }
    if (type !== 'tell') this.customer = this.customerOf(activation, chain);
    const envelope = this.envelopeFor(type === 'ask' ? this.customer : undefined);
    this.envelope = envelope;
    if (this.customer !== undefined) this.customer.envelope = envelope;
    const verdict = cell.offer(envelope, undefined);
    if (verdict === 'accepted') this.accepted();
    else if (verdict === 'stopped')
      this.refuse('stopped', new TroupeError('ERR_ACTOR_STOPPED', { address: cell.address }));
    else if (cell.mayWait(undefined)) this.hold(activation, envelope);
    else {
      const error = noRoom(cell, envelope, undefined);
      kernel.deadLetters.add(envelope, cell.address, 'overflow-dropped', error);
      this.refuse('overflow-dropped', error);
    }
  }

  /** Its message has an outcome. */
  ended(_envelope: Envelope, outcome: Outcome, error?: unknown): void {
    if (outcome === 'handled') this.handled();
    else if (outcome !== 'cancelled') this.dead(outcome, error);
    else if (this.isAnswered) this.finish(undefined);
    else if (this.ports.isClosing) this.giveBack();
    else this.finish({ reason: 'killed', error });
  }

  private dead(reason: string, error: unknown): void {
    // What it has replied was not kept.
    if (this.replies.splice(0).length > 0) this.refuseAsker(error);
    this.finish({ reason, error });
  }

  private handled(): void {
    this.isDone = true;
    this.whenSaved((saved) => {
      for (const reply of this.replies.splice(0)) this.when(saved, reply);
      if (saved === 'saved') this.finish(undefined);
      else if (saved === 'gone') this.giveBack();
      else this.finish({ reason: 'serialization', error: saved.error });
    });
  }

  private whenSaved(then: (saved: Saved) => void): void {
    const snapshot = this.activation?.snapshot;
    if (snapshot === undefined) then('saved');
    else snapshot.whenSaved(then);
  }

  /** Whoever waits for it does not any more. */
  cancel(reason: unknown): void {
    if (this.customer !== undefined) this.customer.cancel(reason);
    else this.finish(undefined); // nobody has it yet
  }

  /** It will come again: nobody hears of this attempt. Its turn, if it runs, is its caller's to end. */
  giveBack(): void {
    if (this.isEnded) return;
    this.isGivenBack = true;
    const { envelope, held } = this;
    if (held !== undefined) held.leave();
    else if (envelope !== undefined && !this.isUnderWay) this.activation?.cell.cancel(envelope, undefined);
    this.customer?.reject(undefined);
    this.finish(RELEASE);
  }

  private accepted(): void {
    this.held = undefined;
    if (this.arrival.message.type === 'send') this.customer?.resolve(undefined);
  }

  private hold(activation: Activation, envelope: Envelope): void {
    const { kernel } = this.ports;
    const held = new Held(kernel, activation.cell, envelope, {
      admitted: () => this.accepted(),
      lost: (reason, error) => {
        if (!this.isGivenBack) kernel.deadLetters.add(envelope, activation.cell.address, reason, error);
        this.refuse(reason, error);
      },
      taken: () => this.finish(this.isGivenBack ? RELEASE : undefined),
    });
    this.held = held;
    if (this.customer !== undefined) this.customer.leave = () => held.leave();
    held.begin(this.customer === undefined ? this.deadline : Infinity);
  }

  private refuse(reason: string, error: unknown): void {
    this.customer?.reject(error);
    this.finish({ reason, error });
  }

  private finish(end: LetterEnd): void {
    if (this.isEnded) return;
    this.isEnded = true;
    const { activation } = this;
    if (activation !== undefined) activation.letters--;
    this.resolve(end);
    this.ports.ended(this);
  }

  private customerOf({ cell }: Activation, chain: AskChain | undefined): RemoteCustomer {
    const { ports, arrival, deadline } = this;
    const isAsk = arrival.message.type === 'ask';
    return new RemoteCustomer(
      ports.kernel,
      cell,
      { deadline: isAsk ? deadline : Infinity, chain },
      {
        reply: (value) => {
          if (isAsk) this.reply(value);
          else ports.answerTo(this, 'reply', undefined)();
        },
        refuse: (error) => this.refuseAsker(error),
        over: () => {
          this.isAnswered = true;
          ports.answered(this);
        },
      },
    );
  }

  /** A reply speaks of what its turn has done, so it leaves when that is safe. */
  private reply(value: unknown): void {
    const reply = this.ports.answerTo(this, 'reply', value);
    if (this.activation?.snapshot === undefined) reply();
    else if (this.isInTurn) this.replies.push(reply);
    else this.whenSaved((saved) => this.when(saved, reply));
  }

  private when(saved: Saved, reply: () => void): void {
    if (saved === 'saved') reply();
    else if (saved !== 'gone') this.refuseAsker(saved.error);
  }

  private refuseAsker(error: unknown): void {
    if (!this.isGivenBack) this.ports.answerTo(this, 'refusal', undefined, error)();
  }

  private envelopeFor(customer: RemoteCustomer | undefined): Envelope {
    const { arrival, content, deadline } = this;
    const { message, lane, deliveries } = arrival;
    const extras = new Extras();
    extras.id = message.id;
    extras.headers = message.headers;
    extras.attempt = Math.max(1, deliveries);
    extras.deadline = deadline;
    extras.witness = this;
    if (this.ports.kernel.isRecorded) extras.waitsSince = this.ports.kernel.now();
    return new Envelope(content.entry, content.payload, lane, senderOf(arrival), customer, extras);
  }
}
