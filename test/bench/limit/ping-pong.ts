/** Bare limit of ping-pong: two actors send one message to and fro, 10,000 round trips a window. */

import { measureRate, Tally } from '../driver.ts';
import { type BareActor, RunQueue } from './run-queue.ts';

const ROUND_TRIPS = 10_000;

interface Ball {
  readonly value: number;
}

const tally = new Tally();
const queue = new RunQueue();
const ping: BareActor<Ball> = queue.spawn<Ball>((ball) => {
  if (tally.handle()) pong.tell({ value: ball.value + 1 });
});
const pong: BareActor<Ball> = queue.spawn<Ball>((ball) => {
  if (tally.handle()) ping.tell({ value: ball.value + 1 });
});

await measureRate({
  tally,
  operations: ROUND_TRIPS,
  window: () => {
    const handled = tally.open(ROUND_TRIPS * 2);
    pong.tell({ value: 0 });
    return handled;
  },
});
