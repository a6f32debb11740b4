/** The asks that the machine has not answered yet, oldest first: each is looked at again in every state, until its asker gives up. */

import type { HeldReply } from '../../src/protocol/driven.ts';

declare const LATER: unique symbol;

/** The type of `later`. */
export interface Later {
  readonly [LATER]: true;
}

/** What `reply` returns where the present state has no answer yet: every state that follows is asked again. */
export const later: Later = Object.freeze({}) as Later; // the mark is for the types; it is known by its identity

interface Waiting<Snapshot> {
  readonly answer: (snapshot: Snapshot) => unknown;
  readonly token: HeldReply;
}

/** The waiting asks of one machine, in one generation. */
export class WaitingAsks<Snapshot> {
  private waiting: Waiting<Snapshot>[] = [];

  add(answer: (snapshot: Snapshot) => unknown, token: HeldReply): void {
    this.waiting.push({ answer, token });
  }

  /** Answers those that a state has an answer for. What an answer throws, its asker and the caller hear. */
  lookAt(snapshot: Snapshot): void {
    if (this.waiting.length === 0) return;
    const before = this.waiting;
    this.waiting = [];
    let failure: { readonly error: unknown } | undefined;
    for (const ask of before) {
      try {
        if (ask.token.isOpen && !answered(ask, snapshot)) this.waiting.push(ask);
      } catch (error) {
        ask.token.reject(error);
        failure ??= { error };
      }
    }
    if (failure !== undefined) throw failure.error;
  }

  /** Nobody will answer them any more. */
  reject(error: unknown): void {
    for (const { token } of this.waiting.splice(0)) if (token.isOpen) token.reject(error);
  }
}

function answered<Snapshot>({ answer, token }: Waiting<Snapshot>, snapshot: Snapshot): boolean {
  const value = answer(snapshot);
  if (value === later) return false;
  token.reply(value);
  return true;
}
