/** What users see of a hub: the faults between memory brokers, and what the hub holds. */

import type { Loss, Silence } from './link.ts';
import type { MemoryDeadFrame } from './room.ts';

/** Options of a hub. */
export interface MemoryHubOptions {
  /** What delays, duplicates and reorderings are drawn from: the same seed gives the same ones. 1 unless said. */
  readonly seed?: number | undefined;
}

/** Times that something takes. */
export interface DelayOptions {
  /** Milliseconds at least; 0 unless said. */
  readonly minMs?: number | undefined;
  /** Milliseconds at most. */
  readonly maxMs: number;
}

/** Which share of frames comes late, and how late. */
export interface ReorderOptions {
  /** From 0 to 1. */
  readonly share: number;
  /** Newer frames of its lane that may come before it; 8 unless said. */
  readonly depth?: number | undefined;
}

/**
 * What memory brokers share. Each fault takes names of nodes; without any it is everybody's, those that come later included. All
 * of them throw `ERR_OPTION_INVALID` for what they cannot do.
 */
export interface MemoryHub {
  /** Ends the connections of these nodes, and refuses new ones. What is on the way is lost; they go on trying. */
  cut(...nodes: readonly string[]): void;
  /**
   * Nothing arrives any more, one way or both, and nobody closes anything: published frames are `unknown` after their time, and after
   * `downAfterMs` both ends take the connection for dead.
   */
  silence(direction: Silence, ...nodes: readonly string[]): void;
  /**
   * Loses one kind of thing and nothing else, without a word. `publishes`: they never reach the hub, and are `unavailable` at once.
   * `confirms`: the hub has the frames, and they are `unknown` after their time. `deliveries`: they come again after `heal`.
   * `settlements`: what they settled comes again after `heal`.
   */
  lose(loss: Loss, ...nodes: readonly string[]): void;
  /** Everything takes this long, each way; nothing overtakes. */
  delay(delay: DelayOptions, ...nodes: readonly string[]): void;
  /** This share (from 0 to 1) of what is published is stored twice, as by a client that sends again by itself. */
  duplicate(share: number, ...nodes: readonly string[]): void;
  /** This share of what is given out is lost on its way and comes again, marked, after some that are newer. */
  reorder(options: ReorderOptions, ...nodes: readonly string[]): void;
  /**
   * Parts nodes: what one side publishes is stored, and waits until `heal` for readers of another side. Nodes that are not named are with everybody.
   */
  partition(...sides: readonly (readonly string[])[]): void;
  /** Ends a node without goodbye: its connection is gone, it never comes back, and its name is free. */
  kill(...nodes: readonly string[]): void;
  /** Takes nothing that is published, as a server without memory: `unavailable`, and every broker is `degraded`. */
  refusePublishes(): void;
  /** Keeps no dead letters, so `deadLetter` rejects. */
  refuseDeadLetters(): void;
  /** Ends the faults of these nodes; without names, all faults there are. Where something was lost, the connection is made anew. */
  heal(...nodes: readonly string[]): void;
  /** Dead letters, oldest first, 10,000 at most: then `deadLetter` rejects. The prefix is `troupe` unless said. */
  deadFrames(prefix?: string): readonly MemoryDeadFrame[];
  /** Forgets the dead letters of a prefix. */
  clearDeadFrames(prefix?: string): void;
  /** What exists below a prefix besides dead letters: `node a`, `group workers orders.#`. */
  names(prefix?: string): readonly string[];
}
