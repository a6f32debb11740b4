/**
 * What is seldom looked after: shards that nobody owns are forgotten once they have been before these eyes for `expiresMs`, and the streams of those that
 * this node owns are kept. It is one command at a tenth of that time, so that shards cost nothing while nothing happens.
 */

import type { BrokerSettings } from '../../src/protocol/broker-options.ts';
import { pairsIn } from './client.ts';
import type { Keys } from './keys.ts';
import type { Session } from './link.ts';
import { FORGET_SHARD, KEEP, UNOWNED } from './shard-scripts.ts';
import { Silence } from './silence.ts';

/** What this needs of its broker. */
export interface ShardKeepingPorts {
  readonly settings: BrokerSettings;
  readonly session: Pick<Session, 'writer'>;
  readonly keys: Keys;
  readonly keptMs: number;
  /** The shards that this node has, by their fields. */
  readonly owned: () => readonly string[];
}

const LOOKS_PER_EXPIRY = 10;
/** Shards whose streams are kept by one command. */
const SHARDS_MAX = 64;

/** The keeping of one session. */
export class ShardKeeping {
  private readonly ports: ShardKeepingPorts;
  private readonly unowned = new Silence();
  private passedMs = 0;

  constructor(ports: ShardKeepingPorts) {
    this.ports = ports;
  }

  /** So much time has passed in which this node was well. */
  async pass(ms: number): Promise<void> {
    const { settings, session, keys, keptMs, owned } = this.ports;
    const { publishTimeoutMs, expiresMs } = settings;
    this.passedMs += ms;
    if (this.passedMs < expiresMs / LOOKS_PER_EXPIRY) return;
    const tables = [keys.nodes, keys.shards];
    this.unowned.look(
      pairsIn(await session.writer.run(publishTimeoutMs, UNOWNED, tables, [])),
      this.passedMs,
    );
    this.passedMs = 0;
    for (const [field, value] of this.unowned.silentFor(expiresMs)) {
      const [group = ''] = field.split(' ');
      const names = [...tables, ...keys.shardsOf(field)];
      await session.writer.run(publishTimeoutMs, FORGET_SHARD, names, [field, value, group]);
    }
    const fields = owned();
    for (let from = 0; from < fields.length; from += SHARDS_MAX) {
      const streams = fields.slice(from, from + SHARDS_MAX).flatMap((field) => keys.shardsOf(field));
      await session.writer.run(publishTimeoutMs, KEEP, streams, [keptMs + expiresMs]);
    }
  }
}
