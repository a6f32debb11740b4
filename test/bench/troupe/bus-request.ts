/** A bus in memory: requests, each awaited before the next. Prints the times of its round trips, in microseconds. */

import { MessageBus } from 'troupe';
import type { RequestResult } from '../bus.ts';

const WARM_UP = 20_000;
const MEASURED = 100_000;

const bus = await MessageBus.connect();
await bus.subscribe('bench.request', (message) => message.reply(message.payload));

let answered = 0;
const timesUs = new Float64Array(MEASURED);
for (let n = -WARM_UP; n < MEASURED; n++) {
  const startedAt = performance.now();
  const reply = await bus.request('bench.request', n);
  const elapsedMs = performance.now() - startedAt;
  if (n < 0) continue;
  timesUs[n] = elapsedMs * 1_000;
  if (reply === n) answered++;
}
timesUs.sort();
const result: RequestResult = {
  requests: MEASURED,
  answered,
  p50Us: timesUs[MEASURED / 2] ?? Number.NaN,
  p99Us: timesUs[(MEASURED * 99) / 100] ?? Number.NaN,
};
process.stdout.write(JSON.stringify(result), () => process.exit(0));
