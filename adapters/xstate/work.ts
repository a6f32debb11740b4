/**
 * Something that a machine or one of its children has to do in a turn of its own: an event on its way. If that turn fails it is kept
 * among the dead letters: it holds on to actors only until it is done.
 */

import type { AnyEventObject } from 'xstate';

/** One thing to do, once. */
export class Work {
  readonly event: AnyEventObject;
  #act: (() => void) | undefined;

  constructor(event: AnyEventObject, act: () => void) {
    this.event = event;
    this.#act = act;
  }

  /** Does it, the first time it is called. */
  act(): void {
    const act = this.#act;
    this.#act = undefined;
    act?.();
  }
}
