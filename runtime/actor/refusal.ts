/** What every call leaves whose message does not get in, wherever it was refused. */

import type { Envelope } from '../../src/protocol/envelope.ts';
import type { AgentTally, Refusal } from '../observe/agent-tally.ts';
import type { Kernel } from './kernel.ts';

/** A message was refused on its way to `address`: it is counted, and listeners hear of it. */
export function noteRefusal(
  kernel: Kernel,
  tally: AgentTally,
  address: string,
  envelope: Envelope,
  verdict: Refusal,
): void {
  tally.refused.count(verdict);
  const { events } = kernel;
  // Stryker disable next-line ConditionalExpression: where nobody listens it would cost an event, and do nothing.
  if (!events.isObserved) return;
  const { entry, priority } = envelope;
  events.emit({ type: 'message-refused', address, message: entry.name, verdict, priority });
}
