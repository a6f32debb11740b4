/**
 * Who is there: the nodes of a system as this one sees them. What the broker says is final: a life that was lost is not spoken to and not listened
 * to any more, and a node that comes back has another one. A node that says it is leaving gets no new mail, and what it still sends
 * counts.
 */

import { NODES_LOST_REMEMBERED_MAX } from '../../src/protocol/limits.ts';
import {
  lifeKey,
  type Member,
  type MemberChange,
  type Membership,
  type NodeIdentity,
} from '../../src/protocol/membership.ts';
import type { NodeView } from '../../src/protocol/nodes.ts';
import type { EventHub } from '../observe/event-hub.ts';
import { type About, aboutOf, aboutText, NOTHING_SAID } from './about.ts';

/** Who is told of changes. */
export interface NodesListener {
  /** A life of another node has ended. */
  ended(node: NodeIdentity): void;
  /** A node has come. */
  came(node: NodeIdentity): void;
  /** This node was taken for dead, and goes on as another one. */
  renewed(self: NodeIdentity): void;
}

/** The nodes of one system. */
export class Nodes {
  private own: NodeIdentity;
  private isOwnOver = false;
  private readonly members: Membership;
  private readonly events: EventHub;
  private readonly listener: NodesListener;
  /** Lives that were lost, the oldest forgotten first. */
  private readonly lost = new Set<string>();
  private about: About;
  private readonly watchers = new Set<() => void>();
  private stopListening: () => void = () => undefined;
  /** The last view, and its members by name: each message to another node is looked up here. */
  private seen: readonly Member[] = [];
  private byName: ReadonlyMap<string, Member> = new Map();

  constructor(
    own: NodeIdentity,
    members: Membership,
    events: EventHub,
    listener: NodesListener,
    agents: readonly string[] = [],
  ) {
    this.own = own;
    this.about = { ...NOTHING_SAID, agents };
    this.members = members;
    this.events = events;
    this.listener = listener;
  }

  /** This node in its present life. */
  get self(): NodeIdentity {
    return this.own;
  }

  /** Others have taken this life for dead, and the next one has not begun here; others may know of it already. */
  get isBetweenLives(): boolean {
    return this.isOwnOver;
  }

  /** Begins to listen; the broker is open. */
  begin(): void {
    this.stopListening = this.members.onChange((change) => this.changed(change));
  }

  end(): void {
    this.stopListening();
  }

  /** Tells the others that this node takes no new mail. */
  leave(): Promise<void> {
    return this.say({ leaving: true });
  }

  /** Says something of this node, beside what it has said. Rejects as `Membership.describe`. */
  say(about: Partial<About>): Promise<void> {
    this.about = { ...this.about, ...about };
    return this.members.describe(aboutText(this.about));
  }

  /** Tells the others what this node can start. Where the broker is away, it is told with the next connection. */
  async introduce(): Promise<void> {
    if (this.about.agents.length === 0) return;
    await this.say({}).catch(() => undefined);
  }

  /** The life of a node that can be sent to. */
  find(name: string): NodeIdentity | undefined {
    const view = this.members.view();
    // The same array until something changes.
    if (view !== this.seen) {
      this.byName = new Map(view.map((member) => [member.name, member]));
      this.seen = view;
    }
    const member = this.byName.get(name);
    return member === undefined || isLeaving(member) ? undefined : member;
  }

  /** Whether a life is one of this process. */
  isOwn(name: string, incarnation: string): boolean {
    return name === this.own.name && processOf(incarnation) === processOf(this.own.incarnation);
  }

  /** The life of a node that is there, even if it gets no new mail. */
  present(name: string): NodeIdentity | undefined {
    return this.members.view().find((member) => member.name === name);
  }

  /** Whether this life of a node was lost: nothing of it counts any more. */
  isLost(node: NodeIdentity): boolean {
    return this.lost.size > 0 && this.lost.has(lifeKey(node));
  }

  list(): readonly NodeView[] {
    return this.members.view().map((member) => ({
      name: member.name,
      incarnation: member.incarnation,
      isSelf: member.name === this.own.name,
      isLeaving: isLeaving(member),
      agents: aboutOf(member).agents,
    }));
  }

  /** Calls back, soon after, whenever who is there or what he says of himself has changed. Answers how not to any more. */
  onChange(watcher: () => void): () => void {
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  }

  private changed(change: MemberChange): void {
    this.follow(change);
    for (const watcher of this.watchers) watcher();
  }

  private follow({ kind, member }: MemberChange): void {
    if (kind === 'changed') return;
    const { name: node, incarnation } = member;
    this.events.emit({ type: `node-${kind}`, node, incarnation });
    if (kind === 'down') this.remember(lifeKey(member));
    if (node === this.own.name) {
      if (kind === 'down') this.isOwnOver ||= incarnation === this.own.incarnation;
      else if (kind === 'up' && incarnation !== this.own.incarnation) {
        this.own = { name: node, incarnation };
        this.isOwnOver = false;
        this.listener.renewed(this.own);
      }
    } else if (kind === 'up') {
      this.listener.came(member);
    } else {
      this.listener.ended(member);
    }
  }

  private remember(life: string): void {
    this.lost.add(life);
    const [oldest] = this.lost;
    if (this.lost.size > NODES_LOST_REMEMBERED_MAX && oldest !== undefined) this.lost.delete(oldest);
  }
}

function isLeaving(member: Member): boolean {
  return aboutOf(member).leaving;
}

/** What all lives of one process have in common. */
function processOf(incarnation: string): string | undefined {
  return incarnation.split('.')[0];
}
