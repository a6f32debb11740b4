/** Who lives, as this node's users see it: a list that is the same until it changes, and listeners that hear of changes afterwards. */

import type { Member, MemberChange } from '../../src/protocol/membership.ts';

/** @internal */
export class MemberView {
  private members: readonly Member[] = [];
  private readonly listeners = new Set<(change: MemberChange) => void>();
  /** A listener threw. */
  private readonly thrown: (error: unknown) => void;

  constructor(thrown: (error: unknown) => void) {
    this.thrown = thrown;
  }

  view(): readonly Member[] {
    return this.members;
  }

  onChange(listener: (change: MemberChange) => void): () => void {
    // One that listens twice hears it twice.
    const hear = (change: MemberChange): void => listener(change);
    this.listeners.add(hear);
    return () => {
      this.listeners.delete(hear);
    };
  }

  /** What it is complete with: nobody is told of how that came to be. */
  begin(members: readonly Member[]): void {
    this.members = Object.freeze([...members]);
  }

  become(members: readonly Member[], changes: readonly MemberChange[]): void {
    if (changes.length === 0) return;
    this.members = Object.freeze([...members]);
    for (const change of changes)
      for (const hear of [...this.listeners]) {
        try {
          hear(change);
        } catch (error) {
          this.thrown(error);
        }
      }
  }
}
