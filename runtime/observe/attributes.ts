/**
 * The attributes of spans: those of OpenTelemetry's messaging conventions where they have one
 * (https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/), ours begin with `troupe.`. Payloads and headers
 * are in none.
 */

import type { Attributes } from '@opentelemetry/api';
import type { Envelope } from '../../src/protocol/envelope.ts';

export const MESSAGING_SYSTEM = 'troupe';

/** The call by which a message is sent; a dead letter is sent again by `replay`. */
export type Call = 'tell' | 'send' | 'ask' | 'publish' | 'replay';

/** An actor whose turn it is. */
export interface Acting {
  readonly address: string;
  readonly generation: number;
  readonly behaviour: { readonly tally: { readonly agent: string } };
}

/** Of the call that sends one message. */
export function sendAttributes(call: Call, destination: string, envelope: Envelope): Attributes {
  return {
    'messaging.system': MESSAGING_SYSTEM,
    'messaging.operation.name': 'send',
    'messaging.operation.type': 'send',
    'messaging.destination.name': destination,
    'messaging.message.id': envelope.id,
    'troupe.call': call,
    'troupe.message': envelope.entry.name,
    'troupe.priority': envelope.priority,
  };
}

/** Of the call that publishes: its copies have ids of their own. */
export function publishAttributes(topic: string, template: string | undefined): Attributes {
  return {
    'messaging.system': MESSAGING_SYSTEM,
    'messaging.operation.name': 'send',
    'messaging.operation.type': 'send',
    'messaging.destination.name': topic,
    ...(template === undefined ? {} : { 'messaging.destination.template': template }),
    'troupe.call': 'publish',
  };
}

/** Of a turn. */
export function turnAttributes(
  { address, generation, behaviour }: Acting,
  envelope: Envelope,
  destination: string,
  waitMs: number | undefined,
): Attributes {
  return {
    'messaging.system': MESSAGING_SYSTEM,
    'messaging.operation.name': 'process',
    'messaging.operation.type': 'process',
    'messaging.destination.name': destination,
    'messaging.message.id': envelope.id,
    'troupe.agent': behaviour.tally.agent,
    'troupe.address': address,
    'troupe.generation': generation,
    'troupe.message': envelope.entry.name,
    'troupe.priority': envelope.priority,
    'troupe.attempt': envelope.attempt,
    'troupe.queue.wait_ms': waitMs,
  };
}
