/**
 * Signs of life, and what follows from those of others. A node counts as dead when this one has looked for `downAfterMs` and seen none, and
 * a group or a shard as left when it had none for `expiresMs`. Only time in which this node itself was well and connected counts: a server that was away kills
 * nobody, and neither does a process that stood still.
 */

import type { BrokerSettings } from '../../src/protocol/broker-options.ts';
import type { Host, TimerHandle } from '../../src/protocol/clock.ts';
import { listIn, pairsIn, Refusal, textIn } from './client.ts';
import type { Keys } from './keys.ts';
import { checkPresent, type Session } from './link.ts';
import { isGone } from './node-row.ts';
import { BEAT, FORGET, TAKE_OUT } from './scripts.ts';
import { Silence } from './silence.ts';

/** What a heartbeat needs of its broker. */
export interface HeartbeatPorts {
  readonly host: Host;
  readonly settings: BrokerSettings;
  readonly session: Pick<Session, 'writer'>;
  /** Name and fence of the node. */
  readonly fence: readonly [name: string, fence: string];
  readonly keys: Keys;
  /** Milliseconds for which the server keeps what nobody refreshes. */
  readonly keptMs: number;
  /** The groups that are read here, by their fields. */
  readonly groups: () => readonly string[];
  /** A sign of life has reached the server; it was sent then. */
  readonly signed: (sentMs: number) => void;
  /** All nodes as they are now. */
  readonly look: (nodes: ReadonlyMap<string, string>) => Promise<void>;
  /** A value that cannot be, since its end was told. */
  readonly isOver: (name: string, value: string) => boolean;
  /** Looks after what is seldom looked after; `ms` is how much time has passed that counts. */
  readonly keep: (ms: number) => Promise<void>;
  /** All is well; others may have died. */
  readonly beaten: () => void;
  /** The server takes nothing for the time being. */
  readonly refused: (error: Refusal) => void;
  /** The session is of no use any more. */
  readonly failed: (error: Error) => void;
}

/** The heartbeat of one session. */
export class Heartbeat {
  private readonly ports: HeartbeatPorts;
  private readonly nodes: Silence;
  private readonly groups: Silence;
  private timer: TimerHandle | undefined = undefined;
  private lastMs: number;
  private isOver = false;

  constructor(ports: HeartbeatPorts) {
    this.ports = ports;
    this.nodes = new Silence();
    this.groups = new Silence();
    this.lastMs = ports.host.clock.now();
  }

  /** The first sign of life, and those after it until `end`. Rejects as the connection does. */
  async begin(): Promise<void> {
    await this.beat();
    this.next();
  }

  end(): void {
    this.isOver = true;
    if (this.timer !== undefined) this.ports.host.clock.clearTimer(this.timer);
  }

  private next(): void {
    if (this.isOver) return;
    const { host, refused, failed } = this.ports;
    this.timer = host.clock.setTimer(this.pauseMs(), () => {
      this.beat().then(
        () => this.next(),
        (error: unknown) => {
          if (!(error instanceof Refusal && error.isOverload)) return failed(error as Error);
          refused(error);
          this.next();
        },
      );
    });
  }

  /** Until the next sign of life, or until the most silent node has been silent for too long, if that is sooner. */
  private pauseMs(): number {
    const { settings, fence } = this.ports;
    const { heartbeatMs, downAfterMs } = settings;
    const others = (name: string, value: string): boolean => name !== fence[0] && !isGone(value);
    const leftMs = this.nodes.nextWithin(downAfterMs, others) ?? heartbeatMs;
    return Math.max(1, Math.min(heartbeatMs, Math.ceil(leftMs)));
  }

  private async beat(): Promise<void> {
    const { session, settings, fence, keys, keptMs, groups, host, signed, look, isOver, keep, beaten } =
      this.ports;
    const { publishTimeoutMs, heartbeatMs, downAfterMs, expiresMs } = settings;
    const fields = groups();
    const kept = [
      ...keys.tables,
      ...keys.inboxes(fence[0]),
      ...fields.flatMap((field) => keys.groupsOf(field)),
    ];
    const sentMs = host.clock.now();
    // When it is gone, it enters again, as after a lost connection.
    const reply = checkPresent(
      await session.writer.run(publishTimeoutMs, BEAT, kept, [...fence, keptMs, ...fields]),
    );
    signed(sentMs);
    const now = host.clock.now();
    const looked = Math.min(now - this.lastMs, heartbeatMs);
    this.lastMs = now;
    const [nodes = [], counts = []] = listIn(reply).map(pairsIn);
    this.nodes.look(nodes, looked);
    this.groups.look(counts, looked);
    const rows = new Map(nodes);
    const isDue = new Set(this.nodes.silentFor(downAfterMs).map(([name]) => name));
    for (const [name, value] of nodes)
      if (name !== fence[0] && !isGone(value) && (isDue.has(name) || isOver(name, value))) {
        const present = await this.takeOut(name, value);
        if (present === '') rows.delete(name);
        else rows.set(name, present);
      }
    await look(rows);
    for (const [name, value] of this.nodes.silentFor(expiresMs))
      if (isGone(value)) await this.forget(keys.nodes, keys.inboxes(name), name, value);
    for (const [field, value] of this.groups.silentFor(expiresMs))
      await this.forget(keys.groups, keys.groupsOf(field), field, value);
    await keep(looked);
    beaten();
  }

  /** Answers what the name has for a value then: others may have been quicker, or it has come back. */
  private async takeOut(name: string, value: string): Promise<string> {
    const { session, settings, keys } = this.ports;
    const names = [keys.nodes, keys.interests, keys.version, keys.about, ...keys.inboxes(name)];
    const parameters = [name, value, settings.expiresMs];
    return textIn(await session.writer.run(settings.publishTimeoutMs, TAKE_OUT, names, parameters));
  }

  private async forget(
    table: string,
    streams: readonly string[],
    field: string,
    value: string,
  ): Promise<void> {
    const { session, settings, keys } = this.ports;
    const names = [table, keys.interests, keys.version, ...streams];
    await session.writer.run(settings.publishTimeoutMs, FORGET, names, [field, value]);
  }
}
