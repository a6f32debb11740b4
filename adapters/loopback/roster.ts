/**
 * Who lives, as the server tells it. A server that takes the place of an earlier one knows nobody at first: whoever was known before and has
 * not come yet counts as living for `downAfterMs`, and only then as dead.
 */

import type { NodeIdentity } from '../../src/protocol/broker.ts';
import type { Host, TimerHandle } from '../../src/protocol/clock.ts';
import { incarnationOf, type MemberView } from '../../src/protocol/member-view.ts';
import { lifeKey, type Member } from '../../src/protocol/membership.ts';
import { type Join, KNOWN_MAX } from './messages.ts';
import type { News, ServerLife } from './session.ts';

type CensusNews = Extract<News, { type: 'census' }>;

/** The members that one node knows. */
export class Roster {
  private readonly view: MemberView;
  private readonly node: NodeIdentity;
  private readonly host: Host;
  private readonly downAfterMs: number;
  private server: string | undefined;
  /** In which of its lives this node is. */
  private life = 1;
  /** As this server has told. */
  private living = new Map<string, Member>();
  /** Known from an earlier server, and not from this one yet; by name. */
  private missed = new Map<string, Member>();
  private patience: TimerHandle | undefined;

  constructor(view: MemberView, node: NodeIdentity, host: Host, downAfterMs: number) {
    this.view = view;
    this.node = node;
    this.host = host;
    this.downAfterMs = downAfterMs;
  }

  /** What to say to a server before it tells anything. */
  introduce({ server, ageMs }: ServerLife): Pick<Join, 'life' | 'known'> {
    if (server !== this.server) {
      const isFirst = this.server === undefined;
      this.server = server;
      this.missed = new Map(this.view.view().map((member) => [member.name, member]));
      this.living = new Map();
      // Others have lost patience with this node, or may have.
      if (!isFirst && ageMs >= this.downAfterMs) this.life++;
      this.end();
      if (this.missed.size > 0)
        this.patience = this.host.clock.setTimer(this.downAfterMs, () => this.forget());
    }
    const known = [...this.living.values()].slice(0, KNOWN_MAX);
    return { life: this.life, known: known.map(({ name, incarnation }) => ({ name, incarnation })) };
  }

  hears({ ended, living }: CensusNews): void {
    const left = new Set<string>();
    for (const { hasLeft, ...gone } of ended) {
      this.living.delete(lifeKey(gone));
      if (hasLeft) left.add(lifeKey(gone));
    }
    for (const member of living) {
      this.living.set(lifeKey(member), member);
      this.missed.delete(member.name);
      if (member.name === this.node.name) this.life = lifeOf(member, this.node);
    }
    this.update(left);
  }

  /** Whether a node counts as living that this server does not know yet. */
  misses(name: string): boolean {
    return this.missed.has(name);
  }

  /** Waits for nobody any more. */
  end(): void {
    if (this.patience !== undefined) this.host.clock.clearTimer(this.patience);
  }

  /** Whoever has not come by now is dead. */
  private forget(): void {
    this.missed.clear();
    this.update(new Set());
  }

  private update(left: ReadonlySet<string>): void {
    this.view.update([...this.living.values(), ...this.missed.values()], (member) =>
      left.has(lifeKey(member)) ? 'left' : 'down',
    );
  }
}

/** The number of a node's life. */
function lifeOf({ incarnation }: Member, node: NodeIdentity): number {
  return incarnation === incarnationOf(node.incarnation, 1)
    ? 1
    : Number(incarnation.slice(node.incarnation.length + 1));
}
