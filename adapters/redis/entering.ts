/**
 * Beginning a session under a name. A name that another incarnation holds is watched: with a sign of life it is taken; without one for
 * `downAfterMs` its holder is dead. No clock but this process's own is asked.
 */

import type { NodeIdentity } from '../../src/protocol/broker.ts';
import type { BrokerSettings } from '../../src/protocol/broker-options.ts';
import type { Host } from '../../src/protocol/clock.ts';
import { pause } from '../../src/protocol/deadline.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import { type Connection, textIn } from './client.ts';
import { ENTER } from './scripts.ts';

export interface EnteringPorts {
  readonly node: NodeIdentity;
  readonly host: Pick<Host, 'clock'>;
  readonly settings: Pick<BrokerSettings, 'publishTimeoutMs' | 'heartbeatMs' | 'downAfterMs'>;
  /** The tables, and the streams of its inbox. */
  readonly keys: readonly string[];
  readonly keptMs: number;
  /** What was, and what is to hold from the moment of entering. */
  readonly state: () => EnteringState;
}

export interface EnteringState {
  /** Its last session and life, or zeros. */
  readonly session: number;
  readonly life: number;
  /** What it says of itself, and the number of that. */
  readonly about: string;
  readonly aboutNumber: number;
  /** What it listens to. */
  readonly patterns: readonly string[];
}

/** What was entered. */
export interface Entered {
  readonly session: number;
  /** 1 at first; others once this node was taken for dead, or forgotten. */
  readonly life: number;
  /** The server has lost what it knew of this node. */
  readonly isForgotten: boolean;
  /** When it was asked: a sign of life, seen by others since then at the earliest. */
  readonly sentMs: number;
}

/** Answers what was entered. Rejects with `ERR_NAME_TAKEN`, as the connection does, and when `signal` aborts. */
export async function enterUnder(
  { node, host, settings, keys, keptMs, state }: EnteringPorts,
  writer: Connection,
  signal: AbortSignal,
): Promise<Entered> {
  const { publishTimeoutMs, heartbeatMs, downAfterMs } = settings;
  let watched: string | undefined;
  let silentMs = 0;
  let lookedMs = 0;
  for (;;) {
    const dead = silentMs >= downAfterMs ? (watched ?? '') : '';
    const { session, life, about, aboutNumber, patterns } = state();
    const known = [session, life, aboutNumber, about, ...patterns];
    const sentMs = host.clock.now();
    const reply = await writer.run(publishTimeoutMs, ENTER, keys, [
      node.name,
      node.incarnation,
      dead,
      keptMs,
      ...known,
    ]);
    if (Array.isArray(reply)) {
      const [number, lives, isForgotten] = reply.map(Number);
      return { session: number ?? 0, life: lives ?? 0, isForgotten: isForgotten === 1, sentMs };
    }
    const holder = textIn(reply);
    if (watched !== undefined && watched !== holder)
      throw new TroupeError('ERR_NAME_TAKEN', {
        name: node.name,
        holder: `the incarnation ${holder.split(' ')[0] ?? ''}`,
      });
    const now = host.clock.now();
    // Only what was really watched counts: this process, or the server, may have stood still meanwhile.
    if (watched !== undefined) silentMs += Math.min(now - lookedMs, heartbeatMs);
    watched = holder;
    lookedMs = now;
    await pause(host.clock, heartbeatMs, signal);
    if (signal.aborted) throw new Error('it was closed');
  }
}
