/**
 * A function as a subscriber: an actor of its own, so that it has a mailbox with its own bound and policy, one message
 * at a time, a ledger, and dead letters; with `concurrency` or in a group, one of the workers behind such a mailbox. A
 * function that throws loses that message, or tries it again, and goes on. The functions are the arguments and the state of
 * their actors: whoever handles a message asks the state of the actor it is in.
 */

import { type AnyAgentDefinition, agent, type MailboxOptions } from '../../src/protocol/agent.ts';
import { type RetrySettings, retryOption } from '../../src/protocol/agent-settings.ts';
import { type ChildSpec, childSpec } from '../../src/protocol/child-spec.ts';
import { AGING_MS, MAILBOX_CAPACITY, POOL_SIZE_MAX, TURN_TIMEOUT_MS } from '../../src/protocol/limits.ts';
import {
  choiceOption,
  durationOption,
  functionOption,
  integerOption,
  invalidOption,
  nameOption,
  objectOption,
} from '../../src/protocol/options.ts';
import { protocol, tell } from '../../src/protocol/protocol.ts';
import { type } from '../../src/protocol/schema.ts';
import {
  type MessageMeta,
  SUBSCRIPTION_OVERFLOWS,
  type SubscriptionOverflow,
} from '../../src/protocol/subscription.ts';
import type { TopicMessage } from '../../src/protocol/topic-message.ts';
import type { TurnContext } from '../actor/context.ts';
import { defaultDirective } from '../actor/default-directive.ts';
import { HandlerMeta } from './received.ts';

const Deliveries = protocol('subscription', { deliver: tell(type<TopicMessage>()) });

/** Whoever takes the messages of a subscriber's actor. */
export interface Receiver {
  receive(turn: TurnContext, delivery: TopicMessage): unknown;
}

/** A handler, and the end of its subscription. */
export class FunctionReceiver implements Receiver {
  /** Ends the subscription and waits for nothing; set when it has begun. */
  end: () => void = () => undefined;
  private readonly handler: (message: unknown, meta: MessageMeta) => unknown;

  constructor(handler: (message: unknown, meta: MessageMeta) => unknown) {
    this.handler = handler;
  }

  receive(turn: TurnContext, { message, topic }: TopicMessage): unknown {
    return this.handler(message, new HandlerMeta(turn, topic, this.end));
  }
}

/** A subscription of a function, its options checked. What was left open in a group is the group's. */
export interface FunctionSubscription {
  readonly receiver: FunctionReceiver;
  readonly group: string | undefined;
  readonly concurrency: number;
  readonly overflow: SubscriptionOverflow | undefined;
  readonly capacity: number | undefined;
  readonly agingMs: number | undefined;
  /** What `capacity` is where nobody says it. */
  readonly usualCapacity: number;
  readonly turns: TurnOptions;
}

/** What holds for each turn. */
export interface TurnOptions {
  readonly turnTimeoutMs: number;
  readonly retry: RetrySettings | undefined;
}

/** How full a subscriber's mailbox gets, what happens then, and what is next in it. */
export interface IntakeOptions {
  readonly overflow: SubscriptionOverflow;
  readonly capacity: number;
  readonly agingMs: number;
}

/** Reads `subscribe(topic, handler, options)`. Throws `ERR_OPTION_INVALID`. */
export function functionSubscription(
  handler: unknown,
  options: unknown,
  usualCapacity = MAILBOX_CAPACITY,
): FunctionSubscription {
  const call = functionOption('subscribe: handler', handler ?? null) as (
    message: unknown,
    meta: MessageMeta,
  ) => unknown; // any function can be called
  const known = ['overflow', 'capacity', 'agingMs', 'concurrency', 'group', 'retry', 'turnTimeoutMs'];
  const given = objectOption('subscribe options', options, known);
  const concurrency = integerOption('concurrency', given['concurrency'], 1, 1);
  if (concurrency > POOL_SIZE_MAX)
    throw invalidOption('concurrency', `at most ${POOL_SIZE_MAX}`, concurrency);
  const { overflow, capacity, agingMs } = intakeOptions(given);
  const infinity = true;
  return {
    receiver: new FunctionReceiver(call),
    group: given['group'] === undefined ? undefined : nameOption('group', given['group']),
    concurrency,
    overflow: given['overflow'] === undefined ? undefined : overflow,
    capacity: given['capacity'] === undefined ? undefined : capacity,
    agingMs: given['agingMs'] === undefined ? undefined : agingMs,
    usualCapacity,
    turns: {
      turnTimeoutMs: durationOption('turnTimeoutMs', given['turnTimeoutMs'], TURN_TIMEOUT_MS, { infinity }),
      retry: given['retry'] === undefined ? undefined : retryOption('retry', given['retry']),
    },
  };
}

/** The defaults applied to what was said of a subscriber's mailbox. */
export function intakeOptions(given: {
  readonly overflow?: unknown;
  readonly capacity?: unknown;
  readonly agingMs?: unknown;
  readonly usualCapacity?: number;
}): IntakeOptions {
  return {
    overflow: choiceOption('overflow', given.overflow, SUBSCRIPTION_OVERFLOWS, 'backpressure'),
    capacity: integerOption('capacity', given.capacity, 1, given.usualCapacity ?? MAILBOX_CAPACITY),
    agingMs: durationOption('agingMs', given.agingMs, AGING_MS, { zero: true }),
  };
}

/** An agent whose messages go to the receiver in the state of the actor that handles them: its arguments are that receiver. */
export function deliveryAgent(mailbox: MailboxOptions | undefined, turns?: TurnOptions): AnyAgentDefinition {
  const retry = turns?.retry;
  return agent(Deliveries, {
    mailbox,
    turnTimeoutMs: turns?.turnTimeoutMs,
    onFailure: retry === undefined ? 'fail' : { retry },
    decide: retry === undefined ? () => 'resume' : goesOn,
    state: (receiver: Receiver) => receiver,
    on: {
      // The engine calls handlers with its turns.
      deliver: (ctx, delivery) => ctx.state.receive(ctx as unknown as TurnContext, delivery),
    },
  });
}

/** A mailbox's options for a subscriber's. What `latest` replaces is seen to before the mailbox. */
export function mailboxFor({ overflow, capacity, agingMs }: IntakeOptions): MailboxOptions {
  return { capacity, agingMs, overflow: overflow === 'latest' ? 'drop-oldest' : overflow };
}

/**
 * How a subscriber's actors are kept alive: there is no state to lose, so a restart is nothing but the delay before another
 * attempt, and takes no time of its own.
 */
export function subscriberSpec(definition: AnyAgentDefinition): ChildSpec {
  return childSpec('subscribe', definition, SUBSCRIBER_POLICY);
}

/** The policy of such a spec. */
export const SUBSCRIBER_POLICY = Object.freeze({
  restart: 'transient',
  backoff: Object.freeze({ minMs: 0, maxMs: 0 }),
});

/** What a restart would mend is tried again. What it would not has had its only attempt, and the function goes on. */
function goesOn(error: unknown): 'restart' | 'resume' {
  return defaultDirective(error) === 'restart' ? 'restart' : 'resume';
}
