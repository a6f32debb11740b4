/** How a supervisor behaves, and what it needs of the system around it. */

import type { AutoShutdown, ChildSpec, Intensity, Strategy } from '../../src/protocol/child-spec.ts';
import type { TroupeError } from '../../src/protocol/errors.ts';
import type { SupervisorEndReason } from '../../src/protocol/events.ts';
import type { Cell } from '../actor/cell.ts';
import type { Kernel } from '../actor/kernel.ts';
import type { Slot } from '../actor/slot.ts';

/** Before the number of a child that was given no name. */
export const ANONYMOUS = '$';

/** What supervisors need of the system around them. */
export interface Surroundings {
  readonly kernel: Kernel;
  /** An actor of an agent, at its place. It has not started. */
  cellFor(agent: ChildSpec['agent'], slot: Slot): Cell;
  /** An actor is about to start for the first time. */
  opened(cell: Cell): void;
  /** An actor has ended: its names are free from here on. */
  closed(cell: Cell): void;
}

/** How a supervisor behaves. */
export interface SupervisorSettings {
  readonly path: string;
  readonly strategy: Strategy;
  readonly intensity: Intensity;
  readonly restartsWithoutProgressMax: number;
  readonly autoShutdown: AutoShutdown;
  readonly childrenMax: number;
  /** Whether the place of a child that has ended stays, so that it can be started again. */
  readonly keepsEnded: boolean;
  /**
   * What happens when a child fails too often: `escalate` stops all children and calls `ended`; `stop-child` ends that
   * child alone, for actors that have nothing in common but the place where they were spawned.
   */
  readonly onLimit: 'escalate' | 'stop-child';
  /** Children end one after the other, last started first, or all at once. */
  readonly stopOrder: 'reverse' | 'together';
  /** It has ended of its own will, and its children before it. */
  readonly ended: (reason: SupervisorEndReason, error: TroupeError | undefined) => void;
}

/** What a supervisor of unrelated, spawned actors has in common with others of its kind. */
export const UNRELATED = {
  strategy: 'one-for-one',
  autoShutdown: 'never',
  childrenMax: Number.POSITIVE_INFINITY,
  keepsEnded: false,
} as const;
