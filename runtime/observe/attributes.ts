/**
 * The attributes of spans: those of OpenTelemetry's messaging conventions where they have one
 * (https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/), ours begin with `troupe.`. Payloads and headers
 * are in none.
 */

import type { Attributes } from '@opentelemetry/api';
import type { Envelope } from '../../src/protocol/envelope.ts';

export const MESSAGING_SYSTEM = 'troupe';

/** The call by which a message is sent; a dead letter is sent again by `replay`. */
export type Call = 'tell' | 'send' | 'ask' | 'stream' | 'publish' | 'request' | 'replay';

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

/** What is said of a call that publishes. */
interface Publishing {
  readonly call: 'publish' | 'request';
  readonly topic: string;
  readonly template: string | undefined;
  /** That of a message of the bus; all its copies have it. */
  readonly messageId: string | undefined;
  readonly correlationId: string | undefined;
}

/** Of the call that publishes. What is undefined is no attribute. */
export function publishAttributes(publishing: Publishing): Attributes {
  const { call, topic, template, messageId, correlationId } = publishing;
  return {
    'messaging.system': MESSAGING_SYSTEM,
    'messaging.operation.name': 'send',
    'messaging.operation.type': 'send',
    'messaging.destination.name': topic,
    'messaging.destination.template': template,
    'messaging.message.id': messageId,
    'messaging.message.conversation_id': correlationId,
    'troupe.call': call,
  };
}

/** What a turn's message came by. */
interface Arrival {
  readonly destination: string;
  readonly template: string | undefined;
  /** Milliseconds between the call and now. */
  readonly waitMs: number | undefined;
}

/** Of a turn. */
export function turnAttributes(
  { address, generation, behaviour }: Acting,
  envelope: Envelope,
  { destination, template, waitMs }: Arrival,
): Attributes {
  return {
    'messaging.system': MESSAGING_SYSTEM,
    'messaging.operation.name': 'process',
    'messaging.operation.type': 'process',
    'messaging.destination.name': destination,
    'messaging.destination.template': template,
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
