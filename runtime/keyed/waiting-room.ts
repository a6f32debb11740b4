/**
 * Messages to keys that have no actor, while as many actors live here as may. They stay with the broker meanwhile, so there are never more
 * than it gives out. Those of one key go in together, in their order.
 */

import type { Activation } from './activation.ts';
import type { Letter } from './letter.ts';

/** The letters of one group that wait for an actor. */
export class WaitingRoom {
  /** By key, the one that has waited longest first. */
  private readonly waiting = new Map<string, Letter[]>();
  private readonly actorFor: (letter: Letter) => Activation | undefined;

  constructor(actorFor: (letter: Letter) => Activation | undefined) {
    this.actorFor = actorFor;
  }

  /** Gives a letter to the actor of its key, now or when there is room for that actor. */
  enter(letter: Letter): void {
    const others = this.waiting.get(letter.key);
    const activation = others === undefined ? this.actorFor(letter) : undefined;
    if (activation !== undefined) letter.deliverTo(activation);
    else if (others !== undefined) others.push(letter);
    else this.waiting.set(letter.key, [letter]);
  }

  /** It does not wait any more. */
  leave(letter: Letter): void {
    const others = this.waiting.get(letter.key)?.filter((each) => each !== letter);
    if (others === undefined) return;
    if (others.length > 0) this.waiting.set(letter.key, others);
    else this.waiting.delete(letter.key);
  }

  /** There may be room. */
  admit(): void {
    for (const [key, letters] of this.waiting) {
      const [first] = letters;
      const activation = first === undefined ? undefined : this.actorFor(first);
      if (activation === undefined) return;
      this.waiting.delete(key);
      for (const letter of letters) letter.deliverTo(activation);
    }
  }
}
