/**
 * In which lanes an actor has sent anything to which node: word of its end goes behind all of that. An actor that never sends to another
 * node costs nothing here, and what is kept of one goes with it.
 */

import type { Lane } from '../../src/protocol/broker.ts';
import type { Sender } from '../../src/protocol/envelope.ts';
import type { NodeIdentity } from '../../src/protocol/membership.ts';

/** Nodes that are kept of an actor before those that have ended are looked for. */
const NODES_KEPT = 16;

/** Lanes are bits. */
interface ToNode {
  readonly incarnation: string;
  lanes: number;
}

/** The lanes that the actors of one node have used. */
export class SentLanes {
  private readonly bySender = new WeakMap<Sender, Map<string, ToNode>>();
  private readonly isPresent: (node: NodeIdentity) => boolean;

  constructor(isPresent: (node: NodeIdentity) => boolean) {
    this.isPresent = isPresent;
  }

  note(sender: Sender, { name, incarnation }: NodeIdentity, lane: Lane): void {
    let nodes = this.bySender.get(sender);
    if (nodes === undefined) {
      nodes = new Map();
      this.bySender.set(sender, nodes);
    }
    const known = nodes.get(name);
    if (known?.incarnation === incarnation) {
      known.lanes |= 1 << lane;
      return;
    }
    nodes.set(name, { incarnation, lanes: 1 << lane });
    if (nodes.size > NODES_KEPT) this.sweep(nodes);
  }

  /** The lanes in which this actor has sent to this life of a node, as bits. */
  of(sender: Sender, { name, incarnation }: NodeIdentity): number {
    const known = this.bySender.get(sender)?.get(name);
    return known?.incarnation === incarnation ? known.lanes : 0;
  }

  private sweep(nodes: Map<string, ToNode>): void {
    for (const [name, { incarnation }] of nodes)
      if (!this.isPresent({ name, incarnation })) nodes.delete(name);
  }
}
