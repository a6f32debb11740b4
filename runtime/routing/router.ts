/**
 * The topic router: takes what is published to every subscriber's mailbox. Who subscribes is fixed when `publish` is
 * called; each subscriber has its own copy of the envelope and its own policy, so one that is slow, dead or throwing
 * touches no other. A slow one with `backpressure` makes its publishers wait, and nobody else.
 */

import { Envelope, Extras, type MessageEntry } from '../../src/protocol/envelope.ts';
import { isTroupeError, TroupeError } from '../../src/protocol/errors.ts';
import { SEND_TIMEOUT_MS } from '../../src/protocol/limits.ts';
import { durationOption, invalidOption, objectOption } from '../../src/protocol/options.ts';
import { NORMAL_RANK, type Rank, rankOf } from '../../src/protocol/priority.ts';
import { check } from '../../src/protocol/schema.ts';
import type { PublishOptions, SubscriptionOverflow } from '../../src/protocol/subscription.ts';
import {
  checkPattern,
  checkTopic,
  type TopicDefinition,
  type TopicFilter,
} from '../../src/protocol/topic.ts';
import type { Cell } from '../actor/cell.ts';
import type { Kernel } from '../actor/kernel.ts';
import { PendingSend } from '../actor/pending.ts';
import type { Turn, Withdrawable } from '../actor/turn.ts';
import { TopicTrie } from './topic-trie.ts';

const DELIVERED: Promise<void> = Promise.resolve();

/** What is published, read once for all subscribers. */
interface Publication {
  readonly topic: string;
  /** The typed topic it was published through. */
  readonly definition: TopicDefinition | undefined;
  /** Parameters and payload in one; the payload where there are no parameters. */
  readonly message: unknown;
  readonly payload: unknown;
  readonly rank: Rank;
  readonly deadline: number;
  readonly headers: Readonly<Record<string, string>> | undefined;
  readonly from: Turn | undefined;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
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
}

/** A subscriber and what the router remembers of it. */
interface Entered extends Subscriber {
  /** For `latest`: what is still on its way, by topic. */
  readonly latest: Map<string, Withdrawable>;
}

/** The subscriptions of one system. */
export class Router {
  private readonly kernel: Kernel;
  private readonly trie = new TopicTrie<Entered>();

  constructor(kernel: Kernel) {
    this.kernel = kernel;
  }

  /** Subscriptions held. */
  get size(): number {
    return this.trie.size;
  }

  /** Enters a subscriber; the answer takes it out again, once or more. */
  enter(subscriber: Subscriber): () => void {
    const entered: Entered = { ...subscriber, latest: new Map() };
    this.trie.add(subscriber.pattern, entered);
    const { releases } = subscriber.cell.rare;
    const release = (): void => {
      if (!releases.delete(release)) return;
      this.trie.remove(subscriber.pattern, entered);
    };
    releases.add(release);
    return release;
  }

  /** `publish(topic, params, payload, options)` of a typed topic, `publish('plain.topic', payload, options)` of a plain one. */
  publish(from: Turn | undefined, topic: unknown, rest: readonly unknown[]): Promise<void> {
    const publication = this.read(from, topic, rest);
    if (publication.signal?.aborted === true) return Promise.reject(publication.signal.reason);
    let waits: Promise<void>[] | undefined;
    this.trie.forEachMatch(publication.topic, (subscriber) => {
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
    const options = publishOptions(definition === undefined ? rest[1] : rest[2]);
    const inherited = from === undefined ? Infinity : from.envelope.deadline;
    const ttlMs = durationOption('ttlMs', options?.ttlMs, Infinity, { zero: true, infinity: true });
    return {
      topic: definition === undefined ? checkTopic(topic) : definition.format(params),
      definition,
      message: Object.keys(params).length === 0 ? payload : { ...(payload as object), ...params }, // a typed topic with parameters carries an object
      payload,
      rank: options?.priority === undefined ? NORMAL_RANK : rankOf(options.priority),
      deadline: deadlineOf(this.kernel, inherited, options?.ttlMs === undefined ? undefined : ttlMs),
      headers: options?.headers,
      from,
      timeoutMs: durationOption('timeoutMs', options?.timeoutMs, SEND_TIMEOUT_MS),
      signal: options?.signal,
    };
  }

  /** Gives one subscriber its copy; answers what the publisher has to wait for. */
  private deliver(publication: Publication, subscriber: Entered): Promise<void> | undefined {
    const { cell, overflow } = subscriber;
    const envelope = this.envelopeFor(publication, subscriber);
    if (envelope === undefined) return undefined;
    if (overflow === 'latest') {
      this.replaceLatest(publication.topic, subscriber, envelope);
      return undefined;
    }
    if (overflow !== 'backpressure') {
      cell.tell(envelope, publication.from);
      return undefined;
    }
    if (cell.offer(envelope, publication.from) !== 'full') return undefined;
    if (!cell.mayWait(publication.from)) {
      cell.noteRefusal(envelope, 'full');
      return undefined;
    }
    const { timeoutMs, signal, from } = publication;
    return new Promise<void>((fulfil, fail) => {
      const done = (): void => fulfil();
      new PendingSend(cell, envelope, { timeoutMs, signal, from }, this.kernel.now(), done, (error) => {
        // A subscriber that ends while its publishers wait is no failure of theirs.
        if (isTroupeError(error, 'ERR_ACTOR_STOPPED')) fulfil();
        else fail(error);
      });
    });
  }

  /** The copy for one subscriber; undefined when it does not fit what the subscriber relies on (then it is a dead letter). */
  private envelopeFor(publication: Publication, subscriber: Entered): Envelope | undefined {
    const { topic, payload, rank, deadline, headers, from } = publication;
    let { message } = publication;
    const { definition, cell, entry } = subscriber;
    let issues: readonly string[] | undefined;
    if (definition !== undefined && definition !== publication.definition) {
      const checked = check(definition.schema, publication.definition === undefined ? payload : message);
      if (checked.ok) message = definition.delivered(topic, checked.value);
      else issues = checked.issues;
    }
    const extras = deadline === Infinity && headers === undefined ? undefined : new Extras();
    if (extras !== undefined) {
      extras.deadline = deadline;
      extras.headers = headers;
    }
    const content = subscriber.isTopicWanted ? ({ message, topic } satisfies TopicMessage) : message;
    const envelope = new Envelope(entry, content, rank, from?.cell, undefined, extras);
    if (issues === undefined) return envelope;
    const error = new TroupeError('ERR_MESSAGE_INVALID', {
      subject: `what was published to '${topic}'`,
      issues,
    });
    this.kernel.deadLetters.add(envelope, cell.address, 'validation', error);
    return undefined;
  }

  /** Policy `latest`: the newest message of each topic takes the place of the one before, queued or still waiting. */
  private replaceLatest(topic: string, subscriber: Entered, envelope: Envelope): void {
    const { cell, latest, capacity } = subscriber;
    const superseded = new TroupeError('ERR_MESSAGE_DROPPED', {
      address: cell.address,
      message: envelope.entry.name,
      reason: 'overflow-dropped',
    });
    latest.get(topic)?.withdraw(superseded);
    latest.delete(topic);
    const verdict = cell.offer(envelope, undefined);
    if (verdict === 'stopped') return;
    if (latest.size >= capacity) forgetOldest(latest);
    if (verdict === 'accepted') {
      latest.set(topic, { withdraw: () => cell.drop(envelope) });
      return;
    }
    const caller = { timeoutMs: SEND_TIMEOUT_MS, signal: undefined, from: undefined };
    const ignore = (): void => undefined;
    latest.set(topic, new PendingSend(cell, envelope, caller, this.kernel.now(), ignore, ignore));
  }
}

/** The pattern and typed topic of what a user subscribes to: a topic, a filter, or a plain pattern. */
export function readFilter(filter: unknown): {
  readonly pattern: string;
  readonly definition: TopicDefinition | undefined;
} {
  if (typeof filter === 'string') return { pattern: checkPattern(filter), definition: undefined };
  if (typeof filter === 'object' && filter !== null && 'pattern' in filter && 'topic' in filter) {
    const { pattern, topic } = filter as TopicFilter<unknown>; // made by `topic` or `where`: nothing else has both
    return { pattern, definition: topic };
  }
  throw invalidOption('topic', 'a topic, topic.where(...) or a pattern', filter);
}

function typedTopic(topic: unknown): TopicDefinition {
  if (typeof topic === 'object' && topic !== null && 'format' in topic && 'topic' in topic) {
    return topic.topic as TopicDefinition; // made by `topic`: nothing else has both
  }
  throw invalidOption('topic', 'a topic made by topic(...), or its name', topic);
}

function forgetOldest(latest: Map<string, unknown>): void {
  for (const oldest of latest.keys()) {
    latest.delete(oldest);
    return;
  }
}

function paramsIn(params: unknown): Readonly<Record<string, string>> {
  if (typeof params === 'object' && params !== null) return params as Readonly<Record<string, string>>; // `format` checks each value
  throw invalidOption('publish: params', "an object with the topic's parameters", params);
}

function publishOptions(options: unknown): PublishOptions | undefined {
  if (options === undefined) return undefined;
  return objectOption('publish options', options, ['priority', 'ttlMs', 'headers', 'timeoutMs', 'signal']);
}

function deadlineOf(kernel: Kernel, inherited: number, ttlMs: number | undefined): number {
  if (ttlMs === undefined) return inherited;
  return ttlMs === Infinity ? Infinity : Math.min(inherited, kernel.now() + ttlMs);
}
