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

  /** Takes what the broker knows now, and tells what is different. */
  update(members: readonly Member[], endOf: EndOf): void {
    const changes = changesBetween(this.members, members, endOf);
    if (changes.length > 0)
      this.members = [...new Map(members.map((each) => [lifeKey(each), each])).values()];
    for (const change of changes) this.listeners.tell(change);
  }

  /** As `update`, without comparing where this view has the list that this one follows. */
  follow({ members, before, changes, endOf }: Census): void {
    const different = this.members === before ? changes : changesBetween(this.members, members, endOf);
    if (different.length > 0) this.members = members;
    for (const change of different) this.listeners.tell(change);
  }
}

/** How a member that is not there any more has ended. */
type EndOf = (member: Member) => 'down' | 'left';

/** All that live, each once; and what is different from the list that was told before, for whoever has that one. @internal */
export interface Census {
  readonly members: readonly Member[];
  readonly before: readonly Member[];
  readonly changes: readonly MemberChange[];
  readonly endOf: EndOf;
}

/** What is different: who is gone first, then who says something else, then who has come. @internal */
export function changesBetween(
  before: readonly Member[],
  now: readonly Member[],
  endOf: EndOf,
): readonly MemberChange[] {
  const earlier = new Map(before.map((member) => [lifeKey(member), member]));
  const later = new Map(now.map((member) => [lifeKey(member), member]));
  const changes: MemberChange[] = [];
  for (const [key, member] of earlier) if (!later.has(key)) changes.push({ kind: endOf(member), member });
  for (const [key, member] of later)
    if (earlier.has(key) && earlier.get(key)?.about !== member.about)
      changes.push({ kind: 'changed', member });
  for (const [key, member] of later) if (!earlier.has(key)) changes.push({ kind: 'up', member });
  return changes;
}

/** The incarnation of a node in its nth life, from 1: another one each time it comes back after it was taken for dead. @internal */
export function incarnationOf(incarnation: string, life: number): string {
  return life === 1 ? incarnation : `${incarnation}.${life}`;
}
