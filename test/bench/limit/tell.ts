/** Bare limit of `tell`: a sender outside tells one actor 1,000 messages and waits until they are handled. */

import { measureRate, Tally } from '../driver.ts';
import { RunQueue } from './run-queue.ts';

const WINDOW = 1_000;

const tally = new Tally();
const receiver = new RunQueue().spawn<{ value: number }>(() => {
  tally.handle();
});

await measureRate({
  tally,
  operations: WINDOW,
  window: () => {
    const handled = tally.open(WINDOW);
    for (let value = 0; value < WINDOW; value++) receiver.tell({ value });
    return handled;
  },
});
