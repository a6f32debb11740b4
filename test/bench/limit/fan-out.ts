/** Bare limit of fan-out: an actor tells 100 others whatever it is told; 10 such messages a window. */

import { measureRate, Tally } from '../driver.ts';
import { type BareActor, RunQueue } from './run-queue.ts';

const RECEIVERS = 100;
const ROUNDS = 10;

interface News {
  readonly value: number;
}

const tally = new Tally();
const queue = new RunQueue();
const receivers: BareActor<News>[] = [];
for (let index = 0; index < RECEIVERS; index++) {
  receivers.push(
    queue.spawn<News>(() => {
      tally.handle();
    }),
  );
}
const hub = queue.spawn<News>((news) => {
  for (const receiver of receivers) receiver.tell({ value: news.value });
  tally.handle();
});

await measureRate({
  tally,
  operations: ROUNDS * RECEIVERS,
  window: () => {
    const handled = tally.open(ROUNDS * (RECEIVERS + 1));
    for (let value = 0; value < ROUNDS; value++) hub.tell({ value });
    return handled;
  },
});
