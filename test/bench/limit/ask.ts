/**
 * Bare limit of sequential ask: the same round trip over bare promises. The caller awaits a promise that a bare actor
 * resolves, and only then asks again. The queue wakes up in a promise job: with a macrotask for each round trip this
 * row would measure the event loop, and be no limit.
 */

import { measureRate, Tally } from '../driver.ts';
import { RunQueue } from './run-queue.ts';

const WINDOW = 1_000;

interface Question {
  readonly value: number;
  readonly resolve: (answer: number) => void;
}

const tally = new Tally();
const settled = Promise.resolve();
const queue = new RunQueue((drain) => {
  // It cannot reject: drain does not throw.
  void settled.then(drain);
});
const receiver = queue.spawn<Question>((question) => {
  tally.handle();
  question.resolve(question.value);
});

await measureRate({
  tally,
  operations: WINDOW,
  window: async () => {
    const handled = tally.open(WINDOW);
    for (let value = 0; value < WINDOW; value++) {
      const answer = await new Promise<number>((resolve) => receiver.tell({ value, resolve }));
      if (answer !== value) throw new Error(`Asked for ${value}, got ${answer}.`);
    }
    await handled;
  },
});
