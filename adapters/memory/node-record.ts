/** What a hub knows of a node, and what a node is told of the others. */

import type { NodeIdentity } from '../../src/protocol/broker.ts';
import type { Clock } from '../../src/protocol/clock.ts';
import type { Census } from '../../src/protocol/member-view.ts';
import type { FrameQueue } from './frame-queue.ts';
import type { Connection } from './link.ts';

/** What a node says when it connects. @internal */
export interface Hello {
  readonly node: NodeIdentity;
  readonly maxLength: number;
  readonly expiresMs: number;
  readonly downAfterMs: number;
  /** In which of its lives it is, if another hub has seen it before; its first unless said. */
  readonly life?: number;
}

/** A node, with or without a connection. @internal */
export interface NodeRecord {
  readonly hello: Hello;
  readonly inbox: FrameQueue;
  readonly patterns: Map<string, (topic: string) => boolean>;
  readonly clock: Clock;
  connection: Connection | undefined;
  /** Tells it who lives. */
  hears: (census: Census) => void;
  /** When its connection ended; its name is its own for a while. */
  goneAtMs: number;
  /** It will not come back, or not as who it was. */
  isDead: boolean;
  /** How often it has come, from 1: once more whenever it had been taken for dead. */
  life: number;
  /** What it says of itself. */
  about: string;
}
