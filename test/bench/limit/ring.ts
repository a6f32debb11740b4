/** Bare limit of the ring: one message travels through 1,000 actors, 100 laps a window. */

import { measureRate, Tally } from '../driver.ts';
import { type BareActor, RunQueue } from './run-queue.ts';

const ACTORS = 1_000;
const HOPS = ACTORS * 100;

interface Token {
  readonly value: number;
}

const tally = new Tally();
const queue = new RunQueue();
const ring: BareActor<Token>[] = [];
for (let index = 0; index < ACTORS; index++) {
  const next = (index + 1) % ACTORS;
  ring.push(
    queue.spawn<Token>((token) => {
      if (tally.handle()) ring[next]?.tell({ value: token.value + 1 });
    }),
  );
}

await measureRate({
  tally,
  operations: HOPS,
  window: () => {
    const handled = tally.open(HOPS);
    ring[0]?.tell({ value: 0 });
    return handled;
  },
});
