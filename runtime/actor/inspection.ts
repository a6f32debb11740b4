/** One actor at one instant, as a copy: answered at once, also while a turn runs, and without touching the actor. */

import type { ActorStatus } from '../../src/protocol/actor-status.ts';
import { partsCustomerOf } from '../../src/protocol/envelope.ts';
import { PRIORITIES, type Priority, rankOf } from '../../src/protocol/priority.ts';
import type { Inspection } from '../../src/protocol/system.ts';
import type { Cell } from './cell.ts';
import type { TurnContext } from './context.ts';

const UNWATCHED = { watchers: 0, watching: 0, links: 0 };

/** What can be said of an actor now. */
export function inspectCell(cell: Cell): Inspection {
  const { mailbox, turn, kernel } = cell;
  const rare = cell.rareIfAny;
  return {
    address: cell.address,
    protocol: cell.behaviour.agent.protocol.name,
    status: statusOf(cell),
    generation: cell.generation,
    mailbox: {
      capacity: cell.behaviour.agent.options.mailbox.capacity,
      queued: mailbox?.queued ?? 0,
      depths: Object.fromEntries(
        PRIORITIES.map((priority) => [priority, mailbox?.depth(rankOf(priority)) ?? 0]),
      ) as Record<Priority, number>, // one entry for each priority
      stashed: mailbox?.stashed ?? 0,
      waiting: mailbox?.waiting ?? 0,
      control: mailbox?.controls ?? 0,
    },
    turn:
      turn === undefined
        ? undefined
        : {
            id: turn.envelope.id,
            message: turn.envelope.entry.name,
            attempt: turn.envelope.attempt,
            runningMs: turn.startedAt === 0 ? 0 : kernel.now() - turn.startedAt,
            stream: streamOf(turn),
          },
    restarts: rare?.restarts ?? 0,
    restartsWithoutProgress: cell.restartsWithoutProgress,
    lastError: rare?.lastError,
    zombies: rare?.zombies ?? 0,
    timers: rare?.timers?.inspect() ?? [],
    idleTimeout: rare?.idle?.inspect(),
    ...(rare?.watches?.inspect() ?? UNWATCHED),
    state: rare?.driving?.shown(),
    pool: undefined,
    counts: {
      accepted: mailbox?.accepted ?? 0,
      handled: mailbox?.handled ?? 0,
      failed: mailbox?.failed ?? 0,
      cancelled: mailbox?.cancelled ?? 0,
      deadLettered: mailbox?.deadLettered ?? 0,
    },
  };
}

/** How far the stream is that a turn makes. */
function streamOf({ envelope, isHeld }: TurnContext): { parts: number; isHeld: boolean } | undefined {
  const customer = partsCustomerOf(envelope);
  return customer === undefined ? undefined : { parts: customer.parts, isHeld };
}

/** What an actor is doing, in the users' words. */
export function statusOf(cell: Cell): ActorStatus {
  return cell.status === 'running' && cell.suspensions > 0 ? 'suspended' : cell.status;
}
