/**
 * The topic router: takes what is published to every subscriber's mailbox. Who subscribes is fixed when `publish` is
 * called; each subscriber has its own copy of the envelope and its own policy, so one that is slow, dead or throwing
 * touches no other. A slow one with `backpressure` makes its publishers wait, and nobody else.
 */

import { Envelope, type MessageEntry } from '../../src/protocol/envelope.ts';
import { isTroupeError, TroupeError } from '../../src/protocol/errors.ts';
import type { DeadLetterReason } from '../../src/protocol/events.ts';
import { invalidOption } from '../../src/protocol/options.ts';
import { check } from '../../src/protocol/schema.ts';
import type { SubscriptionOverflow } from '../../src/protocol/subscription.ts';
import { checkPattern, isTopicFilter, type TopicDefinition } from '../../src/protocol/topic.ts';
import { TopicMessage } from '../../src/protocol/topic-message.ts';
import { checkArriving } from '../actor/behaviour.ts';
import { waitMs } from '../actor/call-options.ts';
import type { Cell } from '../actor/cell.ts';
import type { Kernel } from '../actor/kernel.ts';
import { PendingSend } from '../actor/pending.ts';
import type { Turn, Withdrawable } from '../actor/turn.ts';
import { LatestByTopic } from './latest.ts';
import { type Branch, type Publication, readPublication } from './publication.ts';
import { beginCall, endCall } from './publication-trace.ts';
import { TopicTrie } from './topic-trie.ts';

const DELIVERED: Promise<void> = Promise.resolve();

/** Why a publisher need not wait any longer: the subscriber does not want it any more. */
const UNSUBSCRIBED = Symbol('unsubscribed');

/** The topics of other nodes, if there are any. */
export interface Abroad {
  /** Gives a publication to the other nodes; whoever publishes waits for that. Throws for a payload that cannot travel. */
  publish(publication: Publication): void;
  /** A subscriber that is in no group listens to a pattern, or does so no more. */
  entered(pattern: string): void;
  left(pattern: string): void;
}

/** One subscriber of one pattern. */
export interface Subscriber {
  readonly pattern: string;
  /** The typed topic whose shape it relies on. */
  readonly definition: TopicDefinition | undefined;
  readonly cell: Cell;
  /** The message it arrives as. */
  readonly entry: MessageEntry;
  readonly overflow: SubscriptionOverflow;
  /** Topics it remembers for `latest`. */
  readonly capacity: number;
  /** It wants the topic beside the message (`TopicMessage`). */
  readonly isTopicWanted: boolean;
  /** It was made by a turn, and ends with that turn's generation. */
  readonly endsWithGeneration: boolean;
  /** The name of the group that it is the queue of. */
  readonly group?: string | undefined;
}

/** A subscriber and what the router remembers of it. */
export interface Entered extends Subscriber {
  /** Its place in the order of all that ever entered: a publication reaches those that were there at its call. */
  readonly order: number;
  /** For `latest`: what is on its way. */
  readonly latest: LatestByTopic | undefined;
}

/** The same, where the router changes it. */
interface Known extends Entered {
  /** For `backpressure`: copies that wait for room. */
  readonly waiting: Set<Withdrawable>;
}

/** The subscriptions of one system. */
export class Router {
  private readonly kernel: Kernel;
  private readonly trie = new TopicTrie<Known>();
  private readonly known = new Set<Known>();
  private entered = 0;
  /** Set once, by a node. */
  abroad: Abroad | undefined = undefined;

  constructor(kernel: Kernel) {
    this.kernel = kernel;
  }

  /** Subscriptions held. */
  get size(): number {
    return this.trie.size;
  }

  /** Those that are there now, oldest first. */
  get subscribers(): Iterable<Entered> {
    return this.known;
  }

  /** The order of the last that entered: who publishes later, and means the present ones, names it. */
  get last(): number {
    return this.entered;
  }

  /**
   * Enters a subscriber until its actor, or that generation, ends; the answer takes it out before. After that nothing that was published to
   * it gets a turn any more: what is queued is cancelled, and whoever waits for room need not.
   */
  enter(subscriber: Subscriber): () => void {
    const { pattern, cell, overflow, capacity } = subscriber;
    if (!cell.isOpen) throw new TroupeError('ERR_ACTOR_STOPPED', { address: cell.address });
    // An entry of its own tells its messages from others to the same handler.
    const { name, kind, isInternal, handler } = subscriber.entry;
    const entered: Known = {
      ...subscriber,
      entry: { name, kind, isInternal, handler },
      order: ++this.entered,
      waiting: new Set(),
      latest: overflow === 'latest' ? new LatestByTopic(cell, capacity) : undefined,
    };
    this.trie.add(pattern, entered);
    this.known.add(entered);
    // A group competes with its members on other nodes: what it gets comes by another way.
    const isHeard = subscriber.group === undefined;
    const { rare } = cell;
    rare.leases ??= new Set();
    const { leases } = rare;
    const lease = {
      endsWithGeneration: subscriber.endsWithGeneration,
      end: (): void => {
        leases.delete(lease);
        this.trie.remove(pattern, entered);
        this.known.delete(entered);
        if (isHeard) this.abroad?.left(pattern);
      },
    };
    leases.add(lease);
    if (isHeard) this.abroad?.entered(pattern);
    return () => {
      if (!leases.has(lease)) return;
      lease.end();
      for (const wait of entered.waiting) wait.withdraw(UNSUBSCRIBED);
      entered.latest?.withdraw();
      cell.cancelQueued(entered.entry);
    };
  }

  /** `publish` of users and of turns. Resolves when every subscriber with `backpressure` has accepted. */
  publish(from: Turn | undefined, topic: unknown, rest: readonly unknown[]): Promise<void> {
    const publication = readPublication(this.kernel, from, topic, rest);
    const { signal } = publication.publisher;
    if (signal?.aborted === true) return Promise.reject(signal.reason);
    this.called(publication);
    if (this.abroad !== undefined) this.send(this.abroad, publication);
    this.distribute(publication, this.entered);
    const { waits } = publication;
    return waits === undefined ? DELIVERED : Promise.all(waits).then(() => undefined);
  }

  private send(abroad: Abroad, publication: Publication): void {
    try {
      abroad.publish(publication);
    } catch (error) {
      publication.trace?.failed(error);
      throw error;
    }
  }

  /**
   * Somebody publishes this now, whenever it is distributed: gives it its place in a trace, in its headers or, while spans
   * are recorded, as the span of this call.
   */
  called(publication: Publication): void {
    beginCall(this.kernel, publication);
  }

  /** Gives a copy to each subscriber that had entered when `last` was the last. */
  distribute(publication: Publication, last: number): void {
    this.trie.forEachMatch(publication.topic, (subscriber) => {
      const isHere = this.abroad === undefined || subscriber.group === undefined;
      if (isHere && subscriber.order <= last) this.deliver(publication, subscriber);
    });
    // A question ends with its answer.
    if (publication.trace !== undefined && publication.inquiry === undefined)
      endCall(publication.trace, publication);
  }

  /** As `distribute`, for what another node has published: to those subscribers alone that it is for. */
  relay(publication: Publication, isFor: (subscriber: Entered) => boolean): void {
    this.trie.forEachMatch(publication.topic, (subscriber) => {
      if (isFor(subscriber)) this.deliver(publication, subscriber);
    });
  }

  /** Gives one subscriber its copy; what the publisher has to wait for is added to the publication. */
  private deliver(publication: Publication, subscriber: Known): void {
    const { cell, overflow, latest } = subscriber;
    const { from } = publication.publisher;
    const branch = publication.inquiry?.branch(cell);
    const envelope = this.envelopeFor(publication, subscriber, branch);
    if (envelope === undefined) return;
    if (branch !== undefined) branch.envelope = envelope;
    if (latest !== undefined) {
      publication.delivered++;
      latest.replace(publication.topic, envelope);
      return;
    }
    const verdict = cell.offer(envelope, from);
    if (verdict === 'accepted') {
      publication.delivered++;
      if (publication.isGauged && overflow === 'backpressure')
        publication.fullest = Math.max(publication.fullest, fillOf(cell));
    } else if (verdict === 'stopped') {
      dropped(envelope, cell, 'stopped');
    } else if (overflow === 'backpressure' && cell.mayWait(from)) {
      publication.waits ??= [];
      publication.waits.push(this.waitForRoom(publication, subscriber, envelope, branch));
    } else {
      // The publisher hears no verdict, so a copy that is refused leaves a trace here.
      cell.noteRefusal(envelope, 'full');
      this.bury(envelope, cell, 'overflow-dropped');
    }
  }

  /** Waits for one subscriber. That it ends meanwhile, or unsubscribes, is no failure of its publishers. */
  private waitForRoom(
    publication: Publication,
    subscriber: Known,
    envelope: Envelope,
    branch: Branch | undefined,
  ): Promise<void> {
    const { cell, waiting } = subscriber;
    const { from, signal } = publication.publisher;
    if (from?.aborted !== undefined) return Promise.reject(from.aborted.reason);
    const now = this.kernel.now();
    const timeoutMs = waitMs(now, publication.publisher.timeoutMs, from);
    return new Promise<void>((fulfil, fail) => {
      let pending: PendingSend | undefined;
      const admitted = (): void => {
        if (pending !== undefined) waiting.delete(pending);
        publication.delivered++;
        fulfil();
      };
      const ended = (error: unknown): void => {
        if (pending !== undefined) waiting.delete(pending);
        if (error === UNSUBSCRIBED) {
          dropped(envelope, cell, 'stopped');
          fulfil();
        } else if (isTroupeError(error, 'ERR_ACTOR_STOPPED') && error.details.address === cell.address) {
          this.bury(envelope, cell, 'stopped');
          fulfil();
        } else if (branch !== undefined) {
          branch.reject(error);
          fulfil();
        } else {
          fail(error);
        }
      };
      pending = new PendingSend(cell, envelope, { timeoutMs, signal, from }, now, admitted, ended);
      // Where too many wait already it has ended inside its constructor.
      if (!pending.isSettled) waiting.add(pending);
      if (branch !== undefined) branch.wait = pending;
    });
  }

  /** The copy for one subscriber; undefined when it does not fit what the subscriber relies on (then it is a dead letter). */
  private envelopeFor(
    publication: Publication,
    subscriber: Known,
    branch: Branch | undefined,
  ): Envelope | undefined {
    let content: unknown;
    try {
      content = contentFor(publication, subscriber);
    } catch (error) {
      const refused = copyOf(publication, subscriber, publication.payload, branch);
      this.bury(refused, subscriber.cell, 'validation', error);
      publication.unfit ??= { error };
      return undefined;
    }
    return copyOf(publication, subscriber, content, branch);
  }

  /** A copy that no mailbox has accepted is a dead letter. */
  private bury(envelope: Envelope, cell: Cell, reason: DeadLetterReason, error?: unknown): void {
    this.kernel.deadLetters.add(envelope, cell.address, reason, error);
    dropped(envelope, cell, reason);
  }
}

/** Who asked hears that this subscriber will not answer. */
function dropped(envelope: Envelope, { address }: Cell, reason: DeadLetterReason): void {
  const { customer, entry } = envelope;
  customer?.reject(new TroupeError('ERR_MESSAGE_DROPPED', { address, message: entry.name, reason }));
}

/** The share of its capacity that an actor has queued; reserves beyond the capacity can make it more than 1. */
export function fillOf(cell: Cell): number {
  const { mailbox } = cell;
  return mailbox === undefined ? 0 : mailbox.queued / cell.behaviour.agent.options.mailbox.capacity;
}

/** Each subscriber has an envelope of its own. */
function copyOf(
  { rank, publisher, extras }: Publication,
  { entry }: Subscriber,
  content: unknown,
  branch: Branch | undefined,
): Envelope {
  return new Envelope(entry, content, rank, publisher.sender, branch, extras);
}

/** What a subscriber gets: what was published, checked where it comes from elsewhere. Throws `ERR_MESSAGE_INVALID`. */
function contentFor(publication: Publication, subscriber: Subscriber): unknown {
  const { topic, content, payload, isForeign } = publication;
  const { definition, cell, entry, isTopicWanted } = subscriber;
  const taken = (message: unknown): unknown =>
    isForeign ? cell.behaviour.arriving(entry, message) : cell.behaviour.admissible(entry, message);
  if (definition === undefined || definition === publication.definition)
    return isTopicWanted ? content : taken(content.message);
  const checked = isForeign ? checkArriving(definition.schema, payload) : check(definition.schema, payload);
  if (!checked.ok) {
    const subject = `what was published to '${topic}'`;
    throw new TroupeError('ERR_MESSAGE_INVALID', { subject, issues: checked.issues });
  }
  const message = definition.delivered(topic, checked.value);
  return isTopicWanted ? new TopicMessage(topic, message, content.label) : taken(message);
}

/** The pattern and typed topic of what a user subscribes to: a topic, a filter, or a plain pattern. */
export function readFilter(filter: unknown): {
  readonly pattern: string;
  readonly definition: TopicDefinition | undefined;
} {
  if (typeof filter === 'string') return { pattern: checkPattern(filter), definition: undefined };
  if (isTopicFilter(filter)) return { pattern: filter.pattern, definition: filter.topic };
  throw invalidOption('topic', 'a topic, topic.where(...) or a pattern', filter);
}
