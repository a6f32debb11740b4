/**
 * Bare limit of spawn: 10,000 actors are made, each is told one message, and all of them live until the last of these
 * was handled.
 */

import { measureRate, Tally } from '../driver.ts';
import { type BareActor, RunQueue } from './run-queue.ts';

const ACTORS = 10_000;

interface Greeting {
  readonly value: number;
}

const tally = new Tally();
const queue = new RunQueue();
const receive = (): void => {
  tally.handle();
};
let living: BareActor<Greeting>[] = [];

await measureRate({
  tally,
  operations: ACTORS,
  window: async () => {
    const handled = tally.open(ACTORS);
    for (let value = 0; value < ACTORS; value++) {
      const actor = queue.spawn<Greeting>(receive);
      actor.tell({ value });
      living.push(actor);
    }
    await handled;
  },
  between: async () => {
    living = [];
  },
});
