/**
 * Bare limit of memory: bytes of an actor that waits for work. With the argument `told`, each has handled one message
 * before; else it was never told anything.
 */

import { measureBytes, Tally } from '../driver.ts';
import { type BareActor, RunQueue } from './run-queue.ts';

const ACTORS = 100_000;

interface Greeting {
  readonly value: number;
}

const isTold = process.argv[2] === 'told';
const tally = new Tally();
const queue = new RunQueue();

await measureBytes(tally, ACTORS, async () => {
  const actors: BareActor<Greeting>[] = [];
  for (let index = 0; index < ACTORS; index++) {
    actors.push(
      queue.spawn<Greeting>(() => {
        tally.handle();
      }),
    );
  }
  if (!isTold) return actors;
  const handled = tally.open(ACTORS);
  for (const [value, actor] of actors.entries()) actor.tell({ value });
  await handled;
  return actors;
});
