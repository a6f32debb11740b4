/** A bus in memory that has used 1,000 topics and has nothing to do: the processor time of its process over 5 s, as a share. */

import { setTimeout as wait } from 'node:timers/promises';
import { MessageBus } from 'troupe';
import type { IdleResult } from '../bus.ts';

const TOPICS = 1_000;
/** The compiler and the collector go on for a while after work. */
const CALM_DOWN_MS = 2_000;
const MEASURE_MS = 5_000;

let handled = 0;
const bus = await MessageBus.connect();
for (let n = 0; n < TOPICS; n++) {
  await bus.subscribe(`bench.idle.t${n}`, (message) => {
    handled++;
    if (message.isRequest) message.reply(n);
  });
  await bus.publish(`bench.idle.t${n}`, n);
  await bus.request(`bench.idle.t${n}`, n);
}
await wait(CALM_DOWN_MS);
const before = process.cpuUsage();
const startedAt = performance.now();
await wait(MEASURE_MS);
const elapsedMs = performance.now() - startedAt;
const { user, system } = process.cpuUsage(before);
const result: IdleResult = { topics: TOPICS, handled, share: (user + system) / 1_000 / elapsedMs };
process.stdout.write(JSON.stringify(result), () => process.exit(0));
