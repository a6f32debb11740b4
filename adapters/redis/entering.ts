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
  /** What it listens to at the moment of entering. */
  readonly patterns: () => readonly string[];
}

/** Answers the number of the session. Rejects with `ERR_NAME_TAKEN`, as the connection does, and when `signal` aborts. */
export async function enterUnder(
  { node, host, settings, keys, keptMs, patterns }: EnteringPorts,
  writer: Connection,
  signal: AbortSignal,
): Promise<number> {
  const { publishTimeoutMs, heartbeatMs, downAfterMs } = settings;
  let watched: string | undefined;
  let silentMs = 0;
  let lookedMs = host.clock.now();
  for (;;) {
    const dead = silentMs >= downAfterMs ? (watched ?? '') : '';
    const parameters = [node.name, node.incarnation, dead, keptMs, ...patterns()];
    const reply = await writer.run(publishTimeoutMs, ENTER, keys, parameters);
    if (typeof reply === 'number') return reply;
    const holder = textIn(reply);
    if (watched !== undefined && watched !== holder)
      throw new TroupeError('ERR_NAME_TAKEN', {
        name: node.name,
        holder: `the incarnation ${holder.split(' ')[0] ?? ''}`,
      });
    watched = holder;
    // Only what was really watched counts: this process, or the server, may have stood still meanwhile.
    const now = host.clock.now();
    silentMs += Math.min(now - lookedMs, heartbeatMs);
    lookedMs = now;
    await pause(host.clock, heartbeatMs, signal);
    if (signal.aborted) throw new Error('it was closed');
  }
}
