/**
 * Signs of life, and what follows from those of others: a node that gave none for `downAfterMs` while this one was connected without a
 * break is taken out, and what it had of groups is taken over. What this node keeps alive does not expire.
 */

import { LANES, type NodeIdentity } from '../../src/protocol/broker.ts';
import type { BrokerSettings } from '../../src/protocol/broker-options.ts';
import type { Host, TimerHandle } from '../../src/protocol/clock.ts';
import { listIn, textIn } from './client.ts';
import type { RedisConsumption } from './consumption.ts';
import type { Keys } from './keys.ts';
import type { Session } from './link.ts';
import type { Reader } from './reader.ts';
import { BEAT, LEAVE, TAKE_OVER } from './scripts.ts';

/** What a heartbeat needs of its broker. */
export interface HeartbeatPorts {
  readonly host: Host;
  readonly settings: BrokerSettings;
  readonly session: Session;
  readonly node: NodeIdentity;
  readonly keys: Keys;
  readonly groups: () => readonly { readonly field: string; readonly streams: readonly string[] }[];
  readonly consumptions: () => Iterable<RedisConsumption>;
  readonly reader: Reader;
  readonly failed: (error: Error) => void;
}

interface Seen {
  readonly value: string;
  readonly sinceMs: number;
}

/** The heartbeat of one session. */
export class Heartbeat {
  private readonly ports: HeartbeatPorts;
  /** Other nodes, and since when each is as it is. A new session begins anew: it has seen nothing before. */
  private readonly seen = new Map<string, Seen>();
  private timer: TimerHandle | undefined = undefined;
  private lastMs: number;
  private isOver = false;

  constructor(ports: HeartbeatPorts) {
    this.ports = ports;
    this.lastMs = ports.host.clock.now();
  }

  start(): void {
    const { host, settings, failed } = this.ports;
    this.timer = host.clock.setTimer(settings.heartbeatMs, () => {
      this.beat().then(
        () => {
          if (!this.isOver) this.start();
        },
        (error: unknown) => failed(error instanceof Error ? error : new Error('the heartbeat failed')),
      );
    });
  }

  end(): void {
    this.isOver = true;
    if (this.timer !== undefined) this.ports.host.clock.clearTimer(this.timer);
  }

  private async beat(): Promise<void> {
    const { session, settings, node, keys, groups, host } = this.ports;
    const { publishTimeoutMs, expiresMs, heartbeatMs, downAfterMs } = settings;
    const joined = groups();
    const inbox = LANES.map((lane) => keys.inbox(node.name, lane));
    const kept = [
      keys.nodes,
      keys.interests,
      keys.version,
      keys.groups,
      ...inbox,
      ...joined.flatMap(({ streams }) => streams),
    ];
    const parameters = [node.name, node.incarnation, expiresMs, ...joined.map(({ field }) => field)];
    const reply = await session.writer.run(publishTimeoutMs, BEAT, kept, parameters);
    // Whoever was taken for dead enters again, with an empty inbox, as after a lost connection.
    if (textIn(reply) === 'gone') throw new Error('other nodes have taken this one for dead');
    const now = host.clock.now();
    if (now - this.lastMs > 2 * heartbeatMs + publishTimeoutMs) this.seen.clear(); // it was away itself
    this.lastMs = now;
    const living = this.look(listIn(reply), now);
    for (const [name, { value, sinceMs }] of this.seen)
      if (now - sinceMs >= downAfterMs) await this.takeOut(name, value, living);
    await this.takeOver(living);
  }

  /** Notes who has changed; answers the consumers that live. */
  private look(fields: readonly unknown[], now: number): Set<string> {
    const living = new Set<string>();
    const names = new Set<string>();
    for (let n = 0; n + 1 < fields.length; n += 2) {
      const name = textIn(fields[n]);
      const value = textIn(fields[n + 1]);
      living.add(`${name}.${value.split(' ')[0] ?? ''}`);
      if (name === this.ports.node.name) continue;
      names.add(name);
      if (this.seen.get(name)?.value !== value) this.seen.set(name, { value, sinceMs: now });
    }
    for (const name of this.seen.keys()) if (!names.has(name)) this.seen.delete(name);
    return living;
  }

  private async takeOut(name: string, value: string, living: Set<string>): Promise<void> {
    const { session, settings, keys } = this.ports;
    const inbox = LANES.map((lane) => keys.inbox(name, lane));
    const names = [keys.nodes, keys.interests, keys.version, keys.groups, ...inbox];
    await session.writer.run(settings.publishTimeoutMs, LEAVE, names, [name, value]);
    this.seen.delete(name);
    living.delete(`${name}.${value.split(' ')[0] ?? ''}`);
  }

  /** What nobody who lives holds is read here, as far as there is room. */
  private async takeOver(living: ReadonlySet<string>): Promise<void> {
    const { session, settings, node, consumptions, reader } = this.ports;
    const me = `${node.name}.${node.incarnation}`;
    for (const consumption of consumptions()) {
      for (const stream of consumption.streams) {
        const { room, key, ownAfter } = stream;
        if (room <= 0 || ownAfter !== undefined || this.isOver) continue;
        const parameters = [me, room, ...living];
        const taken = await session.writer.run(settings.publishTimeoutMs, TAKE_OVER, [key], parameters);
        reader.taken(stream, listIn(taken));
      }
    }
  }
}
