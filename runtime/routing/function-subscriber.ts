/**
 * A function as a subscriber: an actor of its own, so that it has a mailbox with its own bound and policy, one message
 * at a time, a ledger, and dead letters. A function that throws loses that message and goes on.
 */

import { type AnyAgentDefinition, agent } from '../../src/protocol/agent.ts';
import { MAILBOX_CAPACITY } from '../../src/protocol/limits.ts';
import { choiceOption, functionOption, integerOption, objectOption } from '../../src/protocol/options.ts';
import { protocol, tell } from '../../src/protocol/protocol.ts';
import { type } from '../../src/protocol/schema.ts';
import {
  type MessageMeta,
  SUBSCRIPTION_OVERFLOWS,
  type SubscriptionOverflow,
} from '../../src/protocol/subscription.ts';
import type { TopicMessage } from './router.ts';

const Deliveries = protocol('subscription', { deliver: tell(type<TopicMessage>()) });

/** The options of a subscription, checked, with defaults applied. */
export interface FunctionSubscription {
  readonly agent: AnyAgentDefinition;
  readonly overflow: SubscriptionOverflow;
  readonly capacity: number;
}

/** Reads `subscribe(topic, handler, options)`. Throws `ERR_OPTION_INVALID`. */
export function functionSubscription(handler: unknown, options: unknown): FunctionSubscription {
  const call = functionOption('subscribe: handler', handler ?? null) as (
    message: unknown,
    meta: MessageMeta,
  ) => unknown; // any function can be called
  const given = objectOption('subscribe options', options, ['overflow', 'capacity']);
  const overflow = choiceOption('overflow', given['overflow'], SUBSCRIPTION_OVERFLOWS, 'backpressure');
  const capacity = integerOption('capacity', given['capacity'], 1, MAILBOX_CAPACITY);
  const definition = agent(Deliveries, {
    mailbox: { capacity, overflow: overflow === 'latest' ? 'drop-oldest' : overflow },
    decide: () => 'resume',
    on: {
      deliver: (ctx, { message, topic }) => {
        const { priority, headers, sender } = ctx.message;
        return call(message, { topic, priority, headers, sender });
      },
    },
  });
  return { agent: definition, overflow, capacity };
}
