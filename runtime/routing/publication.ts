/**
 * One publication: what was said, read once, and what came of it so far. Its copies differ in the subscriber and in
 * their place in his mailbox, and in nothing else: id, topic, deadline and headers are in extras that all of them share.
 */

import {
  type Customer,
  type Envelope,
  Extras,
  type Sender,
  type Trace,
} from '../../src/protocol/envelope.ts';
import { SEND_TIMEOUT_MS } from '../../src/protocol/limits.ts';
import { invalidOption } from '../../src/protocol/options.ts';
import type { Rank } from '../../src/protocol/priority.ts';
import { checkTopic, isTopic, type TopicDefinition, withParams } from '../../src/protocol/topic.ts';
import { TopicMessage } from '../../src/protocol/topic-message.ts';
import { callOptions, deadlineOf } from '../actor/call-options.ts';
import type { Cell } from '../actor/cell.ts';
import type { Kernel } from '../actor/kernel.ts';
import type { Turn, Withdrawable } from '../actor/turn.ts';

/** One subscriber's part in a question that is put to all of them: who waits for his reply, and how to take the copy back. */
export interface Branch extends Customer {
  /** The copy, once it is made. */
  envelope: Envelope | undefined;
  /** Its wait for room, if it has to wait. */
  wait: Withdrawable | undefined;
}

/** A question that is put to every subscriber. */
export interface Inquiry {
  /** One more is asked. */
  branch(cell: Cell): Branch;
}

/** Who publishes, and how long that one waits for room. */
export interface Publisher {
  readonly from: Turn | undefined;
  readonly sender: Sender | undefined;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
}

/** What is published. */
export class Publication {
  readonly topic: string;
  /** The typed topic it was published through. */
  readonly definition: TopicDefinition | undefined;
  readonly payload: unknown;
  /** Parameters and payload in one, with the topic: for subscribers that rely on no other shape. */
  readonly content: TopicMessage;
  readonly rank: Rank;
  readonly publisher: Publisher;
  /** Shared by all copies. */
  readonly extras: Extras;
  readonly inquiry: Inquiry | undefined;
  /** Another process has published it: nothing that it carries is believed without a look. */
  readonly isForeign: boolean;
  /** Copies that have got into a mailbox, or that a subscription with `latest` has taken. */
  delivered = 0;
  /** Somebody wants to know `fullest`. */
  readonly isGauged: boolean;
  /** The share of its capacity that the fullest subscriber with `backpressure` has queued, this copy included. */
  fullest = 0;
  /** What the first subscriber that it does not fit has against it. */
  unfit: { readonly error: unknown } | undefined = undefined;
  /** Copies that wait for room. */
  waits: Promise<void>[] | undefined = undefined;
  /** While traces are recorded: its call, to be ended. */
  trace: Trace | undefined = undefined;

  constructor(
    said: {
      readonly content: TopicMessage;
      readonly payload: unknown;
      readonly definition: TopicDefinition | undefined;
      readonly rank: Rank;
      readonly inquiry?: Inquiry | undefined;
      readonly isGauged?: boolean | undefined;
      readonly isForeign?: boolean | undefined;
    },
    extras: Extras,
    publisher: Publisher,
  ) {
    this.topic = said.content.topic;
    this.definition = said.definition;
    this.payload = said.payload;
    this.content = said.content;
    this.rank = said.rank;
    this.publisher = publisher;
    this.inquiry = said.inquiry;
    this.isGauged = said.isGauged === true;
    this.isForeign = said.isForeign === true;
    extras.isShared = true;
    extras.topic = this.topic;
    this.extras = extras;
  }

  /** What identifies all copies, if it has been said. */
  get id(): string {
    return this.extras.id ?? '';
  }
}

/**
 * Reads `publish(topic, params, payload, options)` of a typed topic, `publish('plain.topic', payload, options)` of a
 * plain one. Throws `ERR_OPTION_INVALID`, `ERR_TOPIC_INVALID`.
 */
export function readPublication(
  kernel: Kernel,
  from: Turn | undefined,
  topic: unknown,
  rest: readonly unknown[],
): Publication {
  const definition = typeof topic === 'string' ? undefined : typedTopic(topic);
  const params = definition === undefined ? {} : paramsIn(rest[0]);
  const payload = definition === undefined ? rest[0] : rest[1];
  const call = callOptions('publish', definition === undefined ? rest[1] : rest[2]);
  const name = definition === undefined ? checkTopic(topic) : definition.format(params);
  const extras = new Extras();
  extras.deadline = deadlineOf(kernel, from, call);
  extras.headers = call.headers;
  const content = new TopicMessage(name, withParams(payload, params));
  return new Publication({ content, payload, definition, rank: call.rank }, extras, {
    from,
    sender: from?.cell,
    timeoutMs: call.timeoutMs ?? SEND_TIMEOUT_MS,
    signal: call.signal,
  });
}

function typedTopic(topic: unknown): TopicDefinition {
  if (isTopic(topic)) return topic.topic;
  throw invalidOption('topic', 'a topic made by topic(...), or its name', topic);
}

function paramsIn(params: unknown): Readonly<Record<string, string>> {
  if (typeof params === 'object' && params !== null) return params as Readonly<Record<string, string>>; // `format` checks each value
  throw invalidOption('publish: params', "an object with the topic's parameters", params);
}
