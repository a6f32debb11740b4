/**
 * A bus in memory: publishes to one subscriber, each awaited before the next, until the last one was handled. Prints how
 * many there are in a second, and in a second of processor time: the first moves with what else the machine does.
 */

import { setImmediate as macrotask } from 'node:timers/promises';
import { MessageBus } from 'troupe';
import type { PublishResult } from '../bus.ts';

const WARM_UP = 200_000;
const MEASURED = 1_000_000;
/** Rounds of the event loop in which a message that was handled twice would show. */
const LINGER_ROUNDS = 10;

let sent = 0;
let handled = 0;
const bus = await MessageBus.connect();
await bus.subscribe('bench.publish', () => {
  handled++;
});

async function publish(messages: number): Promise<void> {
  for (let value = 0; value < messages; value++) {
    await bus.publish('bench.publish', { value });
    sent++;
  }
  while (handled < sent) await macrotask();
}

await publish(WARM_UP);
const before = process.cpuUsage();
const startedAt = performance.now();
await publish(MEASURED);
const elapsedMs = performance.now() - startedAt;
const { user, system } = process.cpuUsage(before);
for (let round = 0; round < LINGER_ROUNDS; round++) await macrotask();
const result: PublishResult = {
  sent,
  handled,
  perSecond: (MEASURED / elapsedMs) * 1_000,
  perProcessorSecond: (MEASURED / (user + system)) * 1_000_000,
};
process.stdout.write(JSON.stringify(result), () => process.exit(0));
