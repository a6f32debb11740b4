/** A bus in memory: 1,000 publishes to one subscriber, each awaited before the next, until the last one was handled. */

import { MessageBus } from 'troupe';
import { measureRate, Tally } from '../driver.ts';

const WINDOW = 1_000;

const tally = new Tally();
const bus = await MessageBus.connect();
await bus.subscribe('bench.publish', () => {
  tally.handle();
});

await measureRate({
  tally,
  operations: WINDOW,
  window: async () => {
    const handled = tally.open(WINDOW);
    for (let value = 0; value < WINDOW; value++) await bus.publish('bench.publish', { value });
    await handled;
  },
});
