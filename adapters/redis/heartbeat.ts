/**
 * Signs of life, and what follows from those of others. A node counts as dead when this one has looked for `downAfterMs` and seen none, and
 * a group as left when it had none for `expiresMs`. Only time in which this node itself was well and connected counts: a server that was away kills
 * nobody, and neither does a process that stood still.
 */

import type { BrokerSettings } from '../../src/protocol/broker-options.ts';
import type { Host, TimerHandle } from '../../src/protocol/clock.ts';
import { listIn, pairsIn, Refusal, textIn } from './client.ts';
import type { Keys } from './keys.ts';
import type { Session } from './link.ts';
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

  start(): void {
    const { host, settings, refused, failed } = this.ports;
    this.timer = host.clock.setTimer(settings.heartbeatMs, () => {
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

  end(): void {
    this.isOver = true;
    if (this.timer !== undefined) this.ports.host.clock.clearTimer(this.timer);
  }

  private next(): void {
    if (!this.isOver) this.start();
  }

  private async beat(): Promise<void> {
    const { session, settings, fence, keys, keptMs, groups, host, beaten } = this.ports;
    const { publishTimeoutMs, heartbeatMs, downAfterMs, expiresMs } = settings;
    const fields = groups();
    const kept = [
      ...keys.tables,
      ...keys.inboxes(fence[0]),
      ...fields.flatMap((field) => keys.groupsOf(field)),
    ];
    const reply = await session.writer.run(publishTimeoutMs, BEAT, kept, [...fence, keptMs, ...fields]);
    // It enters again, as after a lost connection.
    if (textIn(reply) === 'gone') throw new Error('other nodes have taken this one for dead');
    const now = host.clock.now();
    const looked = Math.min(now - this.lastMs, heartbeatMs);
    this.lastMs = now;
    const [nodes, counts] = listIn(reply).map(pairsIn);
    this.nodes.look(nodes ?? [], looked);
    this.groups.look(counts ?? [], looked);
    for (const [name, value] of this.nodes.silentFor(downAfterMs))
      if (name !== fence[0] && !isGone(value)) await this.tell(TAKE_OUT, keys.nodes, name, value);
    for (const [name, value] of this.nodes.silentFor(expiresMs))
      if (isGone(value)) await this.tell(FORGET, keys.nodes, name, value);
    for (const [field, value] of this.groups.silentFor(expiresMs))
      await this.tell(FORGET, keys.groups, field, value);
    beaten();
  }

  private async tell(script: typeof FORGET, table: string, name: string, value: string): Promise<void> {
    const { session, settings, keys } = this.ports;
    const { publishTimeoutMs, expiresMs } = settings;
    const streams = table === keys.groups ? keys.groupsOf(name) : keys.inboxes(name);
    const others = [keys.interests, keys.version, ...(script === TAKE_OUT ? [keys.groups] : [])];
    await session.writer.run(
      publishTimeoutMs,
      script,
      [table, ...others, ...streams],
      [name, value, expiresMs],
    );
  }
}

function isGone(value: string): boolean {
  return value.startsWith('- ');
}
