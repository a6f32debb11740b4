/**
 * The topic router: takes what is published to every subscriber's mailbox. Who subscribes is fixed when `publish` is
 * called; each subscriber has its own copy of the envelope and its own policy, so one that is slow, dead or throwing
 * touches no other. A slow one with `backpressure` makes its publishers wait, and nobody else.
 */

import { Envelope, type MessageEntry } from '../../src/protocol/envelope.ts';
import { isTroupeError, TroupeError } from '../../src/protocol/errors.ts';
import { SEND_TIMEOUT_MS } from '../../src/protocol/limits.ts';
import { invalidOption } from '../../src/protocol/options.ts';
import { check } from '../../src/protocol/schema.ts';
import type { SubscriptionOverflow } from '../../src/protocol/subscription.ts';
import {
  checkPattern,
  checkTopic,
  isTopic,
  isTopicFilter,
  type TopicDefinition,
  withParams,
} from '../../src/protocol/topic.ts';
import { type CallOptions, callOptions, deadlineOf, extrasWith, waitMs } from '../actor/call-options.ts';
import type { Cell } from '../actor/cell.ts';
import type { Kernel } from '../actor/kernel.ts';
import { PendingSend } from '../actor/pending.ts';
import type { Turn, Withdrawable } from '../actor/turn.ts';
import { LatestByTopic } from './latest.ts';
import { TopicTrie } from './topic-trie.ts';

const DELIVERED: Promise<void> = Promise.resolve();

/** Why a publisher need not wait any longer: the subscriber does not want it any more. */
const UNSUBSCRIBED = Symbol('unsubscribed');

/** What is published, read once for all subscribers. */
interface Publication {
  readonly topic: string;
  /** The typed topic it was published through. */
  readonly definition: TopicDefinition | undefined;
  /** Parameters and payload in one; the payload where there are no parameters. */
  readonly message: unknown;
  readonly payload: unknown;
  readonly call: CallOptions;
  readonly deadline: number;
  readonly from: Turn | undefined;
}

/** A message of a topic as a function subscriber's actor gets it. */
export interface TopicMessage {
  readonly message: unknown;
  readonly topic: string;
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
}

/** A subscriber and what the router remembers of it. */
interface Entered extends Subscriber {
  /** Its place in the order of all that ever entered: a publication reaches those that were there at its call. */
  readonly order: number;
  /** For `backpressure`: publishers that wait for room. */
  readonly waiting: Set<Withdrawable>;
  /** For `latest`: what is on its way. */
  readonly latest: LatestByTopic | undefined;
}

/** The subscriptions of one system. */
export class Router {
  private readonly kernel: Kernel;
  private readonly trie = new TopicTrie<Entered>();
  private entered = 0;

  constructor(kernel: Kernel) {
    this.kernel = kernel;
  }

  /** Subscriptions held. */
  get size(): number {
    return this.trie.size;
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
    const entered: Entered = {
      ...subscriber,
      entry: { name, kind, isInternal, handler },
      order: ++this.entered,
      waiting: new Set(),
      latest: overflow === 'latest' ? new LatestByTopic(cell, capacity) : undefined,
    };
    this.trie.add(pattern, entered);
    const { rare } = cell;
    rare.leases ??= new Set();
    const { leases } = rare;
    const lease = {
      endsWithGeneration: subscriber.endsWithGeneration,
      end: (): void => {
        leases.delete(lease);
        this.trie.remove(pattern, entered);
      },
    };
    leases.add(lease);
    return () => {
      if (!leases.has(lease)) return;
      lease.end();
      for (const wait of entered.waiting) wait.withdraw(UNSUBSCRIBED);
      entered.latest?.withdraw();
      cell.cancelQueued(entered.entry);
    };
  }

  /** `publish(topic, params, payload, options)` of a typed topic, `publish('plain.topic', payload, options)` of a plain one. */
  publish(from: Turn | undefined, topic: unknown, rest: readonly unknown[]): Promise<void> {
    const publication = this.read(from, topic, rest);
    const { signal } = publication.call;
    if (signal?.aborted === true) return Promise.reject(signal.reason);
    const last = this.entered;
    let waits: Promise<void>[] | undefined;
    this.trie.forEachMatch(publication.topic, (subscriber) => {
      if (subscriber.order > last) return;
      const wait = this.deliver(publication, subscriber);
      if (wait === undefined) return;
      waits ??= [];
      waits.push(wait);
    });
    return waits === undefined ? DELIVERED : Promise.all(waits).then(() => undefined);
  }

  private read(from: Turn | undefined, topic: unknown, rest: readonly unknown[]): Publication {
    const definition = typeof topic === 'string' ? undefined : typedTopic(topic);
    const params = definition === undefined ? {} : paramsIn(rest[0]);
    const payload = definition === undefined ? rest[0] : rest[1];
    const call = callOptions('publish', definition === undefined ? rest[1] : rest[2]);
    return {
      topic: definition === undefined ? checkTopic(topic) : definition.format(params),
      definition,
      message: withParams(payload, params),
      payload,
      call,
      deadline: deadlineOf(this.kernel, from, call),
      from,
    };
  }

  /** Gives one subscriber its copy; answers what the publisher has to wait for. */
  private deliver(publication: Publication, subscriber: Entered): Promise<void> | undefined {
    const { cell, overflow, latest } = subscriber;
    const { topic, from } = publication;
    const envelope = this.envelopeFor(publication, subscriber);
    if (envelope === undefined) return undefined;
    if (latest !== undefined) {
      latest.replace(topic, envelope);
      return undefined;
    }
    if (cell.offer(envelope, from) !== 'full') return undefined;
    if (overflow === 'backpressure' && cell.mayWait(from))
      return this.waitForRoom(publication, subscriber, envelope);
    // The publisher hears no verdict, so a copy that is refused leaves a trace here.
    cell.noteRefusal(envelope, 'full');
    this.kernel.deadLetters.add(envelope, cell.address, 'overflow-dropped');
    return undefined;
  }

  /** Waits for one subscriber. That it ends meanwhile, or unsubscribes, is no failure of its publishers. */
  private waitForRoom(publication: Publication, subscriber: Entered, envelope: Envelope): Promise<void> {
    const { cell, waiting } = subscriber;
    const { from, call } = publication;
    if (from?.aborted !== undefined) return Promise.reject(from.aborted.reason);
    const now = this.kernel.now();
    const timeoutMs = waitMs(now, call.timeoutMs ?? SEND_TIMEOUT_MS, from);
    return new Promise<void>((fulfil, fail) => {
      let pending: PendingSend | undefined;
      const admitted = (): void => {
        if (pending !== undefined) waiting.delete(pending);
        fulfil();
      };
      const ended = (error: unknown): void => {
        if (pending !== undefined) waiting.delete(pending);
        if (error === UNSUBSCRIBED) {
          fulfil();
        } else if (isTroupeError(error, 'ERR_ACTOR_STOPPED') && error.details.address === cell.address) {
          this.kernel.deadLetters.add(envelope, cell.address, 'stopped');
          fulfil();
        } else {
          fail(error);
        }
      };
      const caller = { timeoutMs, signal: call.signal, from };
      pending = new PendingSend(cell, envelope, caller, now, admitted, ended);
      // Where too many wait already it has ended inside its constructor.
      if (!pending.isSettled) waiting.add(pending);
    });
  }

  /** The copy for one subscriber; undefined when it does not fit what the subscriber relies on (then it is a dead letter). */
  private envelopeFor(publication: Publication, subscriber: Entered): Envelope | undefined {
    let content: unknown;
    try {
      content = contentFor(publication, subscriber);
    } catch (error) {
      const refused = copyOf(publication, subscriber, publication.payload);
      this.kernel.deadLetters.add(refused, subscriber.cell.address, 'validation', error);
      return undefined;
    }
    return copyOf(publication, subscriber, content);
  }
}

/** Each subscriber has an envelope of its own. */
function copyOf({ call, deadline, from }: Publication, { entry }: Subscriber, content: unknown): Envelope {
  return new Envelope(entry, content, call.rank, from?.cell, undefined, extrasWith(deadline, call.headers));
}

/** What a subscriber gets: what was published, checked where it comes from elsewhere. Throws `ERR_MESSAGE_INVALID`. */
function contentFor(publication: Publication, subscriber: Subscriber): unknown {
  const { topic, payload } = publication;
  const { definition, cell, entry } = subscriber;
  let { message } = publication;
  if (definition !== undefined && definition !== publication.definition) {
    const checked = check(definition.schema, payload);
    if (!checked.ok) {
      const subject = `what was published to '${topic}'`;
      throw new TroupeError('ERR_MESSAGE_INVALID', { subject, issues: checked.issues });
    }
    message = definition.delivered(topic, checked.value);
  }
  if (subscriber.isTopicWanted) return { message, topic } satisfies TopicMessage;
  return cell.behaviour.admissible(entry, message);
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

function typedTopic(topic: unknown): TopicDefinition {
  if (isTopic(topic)) return topic.topic;
  throw invalidOption('topic', 'a topic made by topic(...), or its name', topic);
}

function paramsIn(params: unknown): Readonly<Record<string, string>> {
  if (typeof params === 'object' && params !== null) return params as Readonly<Record<string, string>>; // `format` checks each value
  throw invalidOption('publish: params', "an object with the topic's parameters", params);
}
