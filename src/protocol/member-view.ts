/** What one node knows of the members: told as a whole by its adapter, and as changes to whoever listens. */

import { Listeners } from './listeners.ts';
import { lifeKey, type Member, type MemberChange } from './membership.ts';

/** The view of one node. @internal */
export class MemberView {
  private members: readonly Member[] = [];
  private readonly listeners = new Listeners<MemberChange>();

  view(): readonly Member[] {
    return this.members;
  }

  onChange(listener: (change: MemberChange) => void): () => void {
    return this.listeners.add(listener);
  }

  /** Takes what the broker knows now, and tells what is different: who is gone first, then who says something else, then who has come. */
  update(members: readonly Member[], endOf: (member: Member) => 'down' | 'left'): void {
    const before = new Map(this.members.map((member) => [lifeKey(member), member]));
    const now = new Map(members.map((member) => [lifeKey(member), member]));
    const changes: MemberChange[] = [];
    for (const [key, member] of before) if (!now.has(key)) changes.push({ kind: endOf(member), member });
    for (const [key, member] of now)
      if (before.has(key) && before.get(key)?.about !== member.about)
        changes.push({ kind: 'changed', member });
    for (const [key, member] of now) if (!before.has(key)) changes.push({ kind: 'up', member });
    if (changes.length === 0) return;
    this.members = [...now.values()];
    for (const change of changes) this.listeners.tell(change);
  }
}

/** The incarnation of a node in its nth life, from 1: another one each time it comes back after it was taken for dead. @internal */
export function incarnationOf(incarnation: string, life: number): string {
  return life === 1 ? incarnation : `${incarnation}.${life}`;
}
