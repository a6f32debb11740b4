/**
 * Publishing to one topic with one subscriber, 1,000 messages a window, beside as many other topics with a subscriber
 * each as the first argument says.
 */

import { createSystem, topic, type } from 'troupe';
import { measureRate, Tally } from '../driver.ts';

const WINDOW = 1_000;

const others = Number(process.argv[2]);
if (!Number.isSafeInteger(others) || others < 0) throw new Error('Say how many other topics there shall be.');

const tally = new Tally();
const News = topic('bench.news.{subject}', type<{ value: number }>());
const subject = 'published';

const system = await createSystem({ name: 'bench' });
for (let index = 0; index < others; index++) {
  await system.subscribe(News.where({ subject: `other-${index}` }), () => {
    throw new Error(`A message for '${subject}' arrived at 'other-${index}'.`);
  });
}
await system.subscribe(News.where({ subject }), () => {
  tally.handle();
});

await measureRate({
  tally,
  operations: WINDOW,
  window: async () => {
    const handled = tally.open(WINDOW);
    for (let value = 0; value < WINDOW; value++) await system.publish(News, { subject }, { value });
    await handled;
  },
});
