/** What waits on a bus at one instant, read off its mailboxes: nothing is counted while messages pass. */

import type { PendingMessage, QueueSize } from '../../src/protocol/bus.ts';
import type { Envelope } from '../../src/protocol/envelope.ts';
import { patternMatcher } from '../../src/protocol/pattern.ts';
import { PRIORITIES, type Priority, rankOf } from '../../src/protocol/priority.ts';
import type { TopicMessage } from '../../src/protocol/topic-message.ts';
import type { Cell } from '../actor/cell.ts';
import { type Entered, fillOf } from '../routing/router.ts';

/** Each message of a topic or pattern that waits, most urgent first; the first `limit`. */
export function pendingMessages(
  subscribers: Iterable<Entered>,
  pattern: string,
  limit: number,
): readonly PendingMessage[] {
  const fits = patternMatcher(pattern);
  const waiting = new Map<TopicMessage, { readonly envelope: Envelope; waitingAt: number }>();
  const note = (envelope: Envelope): void => {
    const content = contentOf(envelope);
    if (!fits(content.topic)) return;
    const known = waiting.get(content);
    if (known === undefined) waiting.set(content, { envelope, waitingAt: 1 });
    else known.waitingAt++;
  };
  for (const { mailbox } of byCell(subscribers).keys()) {
    mailbox?.forEachQueued(note);
    mailbox?.forEachWaiting(note);
  }
  return [...waiting.values()]
    .sort((a, b) => a.envelope.rank - b.envelope.rank || numberOf(a.envelope) - numberOf(b.envelope))
    .slice(0, limit)
    .map(({ envelope, waitingAt }) => shown(envelope, waitingAt));
}

/** What each subscription, or group, has before it. */
export function queueSizes(subscribers: Iterable<Entered>): readonly QueueSize[] {
  return [...byCell(subscribers)].map(([cell, entered]) => ({
    patterns: entered.map(({ pattern }) => pattern),
    queued: cell.mailbox?.queued ?? 0,
    byPriority: depths(cell),
    capacity: cell.behaviour.agent.options.mailbox.capacity,
    fill: fillOf(cell),
    waiting: cell.mailbox?.waiting ?? 0,
  }));
}

/** One queue may be fed by several patterns. */
function byCell(subscribers: Iterable<Entered>): Map<Cell, Entered[]> {
  const cells = new Map<Cell, Entered[]>();
  for (const entered of subscribers) {
    const others = cells.get(entered.cell);
    if (others === undefined) cells.set(entered.cell, [entered]);
    else others.push(entered);
  }
  return cells;
}

function depths({ mailbox }: Cell): Readonly<Record<Priority, number>> {
  const depth = (priority: Priority): number => mailbox?.depth(rankOf(priority)) ?? 0;
  // One entry for each of the six.
  return Object.fromEntries(PRIORITIES.map((priority) => [priority, depth(priority)])) as Record<
    Priority,
    number
  >;
}

function shown(envelope: Envelope, waitingAt: number): PendingMessage {
  const { topic, message, label } = contentOf(envelope);
  return {
    id: envelope.id,
    topic,
    payload: message,
    priority: envelope.priority,
    sender: envelope.sender?.address,
    correlationId: label?.correlationId,
    headers: envelope.extras?.headers ?? {},
    publishedAtMs: label?.publishedAtMs ?? 0,
    waitingAt,
  };
}

function numberOf(envelope: Envelope): number {
  return contentOf(envelope).label?.number ?? 0;
}

function contentOf(envelope: Envelope): TopicMessage {
  return envelope.payload as TopicMessage; // what actors of subscriptions are told
}
