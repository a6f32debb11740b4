/**
 * Who of a room lives, and what its nodes hear of that. A node whose connection is gone counts as dead after `downAfterMs`, of which only the time
 * counts in which somebody else was connected: when all are cut off, nobody is taken for dead.
 */

import type { TimerHandle } from '../../src/protocol/clock.ts';
import { type Census, changesBetween, incarnationOf } from '../../src/protocol/member-view.ts';
import { lifeKey, type Member } from '../../src/protocol/membership.ts';
import type { NodeRecord } from './node-record.ts';

/** Closed nodes that are remembered, for those that were not connected when they closed. */
const LEFT_MAX = 1_000;

/** Presence in one room. @internal */
export class Presence {
  private readonly nodes: ReadonlyMap<string, NodeRecord>;
  private readonly died: (record: NodeRecord) => void;
  private readonly left = new Set<string>();
  /** Who lived when everybody was told last. */
  private told: readonly Member[] = [];
  private readonly timers = new Map<NodeRecord, TimerHandle>();

  /** `died` is called once for each node that has ended, before others hear of it. */
  constructor(nodes: ReadonlyMap<string, NodeRecord>, died: (record: NodeRecord) => void) {
    this.nodes = nodes;
    this.died = died;
  }

  /** A node has connected. */
  came(record: NodeRecord): void {
    this.forget(record);
    if (record.isDead) record.life++;
    record.isDead = false;
    if (this.connected().length === 1) for (const other of this.nodes.values()) this.expect(other);
    this.tell();
  }

  /** The connection of a node has ended. */
  lost(record: NodeRecord): void {
    this.expect(record);
    this.restIfAlone();
  }

  /** A node will not come back, or not as who it was. */
  ended(record: NodeRecord): void {
    if (record.isDead) return;
    this.forget(record);
    record.isDead = true;
    this.died(record);
    this.tell();
    this.restIfAlone();
  }

  /** A node has closed. */
  closed(record: NodeRecord): void {
    if (record.isDead) return;
    this.left.add(lifeKey(memberOf(record)));
    for (const oldest of this.left) if (this.left.size > LEFT_MAX) this.left.delete(oldest);
    this.ended(record);
  }

  /** Tells everybody who lives now. */
  tell(): void {
    const living = [...this.nodes.values()].filter(({ isDead }) => !isDead).map(memberOf);
    const endOf: Census['endOf'] = (member) => (this.left.has(lifeKey(member)) ? 'left' : 'down');
    const { told: before } = this;
    const changes = changesBetween(before, living, endOf);
    if (changes.length > 0) this.told = living;
    const census: Census = { members: this.told, before, changes, endOf };
    for (const { connection, hears } of this.connected()) connection?.carry('answers', () => hears(census));
  }

  private connected(): readonly NodeRecord[] {
    return [...this.nodes.values()].filter(({ connection }) => connection !== undefined);
  }

  /** Takes a node for dead that does not come back in time. */
  private expect(record: NodeRecord): void {
    if (record.connection !== undefined || record.isDead || this.timers.has(record)) return;
    const { clock, hello } = record;
    this.timers.set(
      record,
      clock.setTimer(hello.downAfterMs, () => this.ended(record)),
    );
  }

  private restIfAlone(): void {
    if (this.connected().length === 0) for (const record of this.timers.keys()) this.forget(record);
  }

  private forget(record: NodeRecord): void {
    const timer = this.timers.get(record);
    if (timer !== undefined) record.clock.clearTimer(timer);
    this.timers.delete(record);
  }
}

function memberOf({ hello: { node }, life, about }: NodeRecord): Member {
  return { name: node.name, incarnation: incarnationOf(node.incarnation, life), about };
}
