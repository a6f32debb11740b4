/** A server that is told to refuse something answers before it does: whoever breaks it waits until that is real, and as long for the end of it. */

import type { Clock } from '../../src/protocol/clock.ts';
import { pause } from '../../src/protocol/deadline.ts';

/** Milliseconds for a change to be in force, and between looks at it. */
export const IN_FORCE_MS = 30_000;
export const LOOK_MS = 10;
/** Equal answers, one after the other, that are believed: with the looks between them they last ten times as long as a server was seen to lag. */
export const ANSWERS_IN_A_ROW = 5;

export interface Refusal {
  readonly clock: Clock;
  /** Tells the server to refuse, with what tells it to stop. */
  readonly begin: () => Promise<() => Promise<void>>;
  /** Tries it: whether the server takes it now; undefined where its answer says neither. */
  readonly takes: () => Promise<boolean | undefined>;
}

/** Resolves when the server refuses, with what resolves when it does not any more. Rejects when either takes too long. */
export async function refusalInForce({ clock, begin, takes }: Refusal): Promise<() => Promise<void>> {
  const settled = async (wanted: boolean): Promise<void> => {
    const endMs = clock.now() + IN_FORCE_MS;
    for (let inARow = 0; ; ) {
      inARow = (await takes()) === wanted ? inARow + 1 : 0;
      if (inARow === ANSWERS_IN_A_ROW) return;
      if (clock.now() >= endMs)
        throw new Error(
          `The server was told to ${wanted ? 'take' : 'refuse'}, and did not yet after ${IN_FORCE_MS} ms.`,
        );
      await pause(clock, LOOK_MS);
    }
  };
  const end = await begin();
  await settled(false);
  return async () => {
    await end();
    await settled(true);
  };
}
