/**
 * A flood of awaited sends: 100 producers, one agent of capacity 1,000 that yields a macrotask every 16 turns. Prints
 * the resident memory after 200,000 warm-up sends and, sampled evenly, over the messages that follow; the first
 * argument says how many these are.
 */

import { setImmediate as macrotask } from 'node:timers/promises';
import { agent, createSystem, protocol, tell, type } from 'troupe';
import { Tally } from '../driver.ts';
import type { FloodResult } from '../flood.ts';

const PRODUCERS = 100;
const CAPACITY = 1_000;
const TURNS_PER_YIELD = 16;
const WARM_UP = 200_000;
const SAMPLES = 400;

const messages = Number(process.argv[2]);
if (!Number.isSafeInteger(messages) || messages < SAMPLES)
  throw new Error(`Send at least ${SAMPLES} messages.`);

const tally = new Tally();
const Sink = protocol('sink', { take: tell(type<{ value: number }>()) });
const sink = agent(Sink, {
  mailbox: { capacity: CAPACITY },
  on: {
    take: () => {
      tally.handle();
      return tally.handled % TURNS_PER_YIELD === 0 ? macrotask() : undefined;
    },
  },
});

const system = await createSystem({ name: 'bench' });
const ref = await system.spawn(sink);

/** Sends `count` messages, each producer one after the other; `sent` is told of each that was accepted. */
async function flood(count: number, sent: (value: number) => void): Promise<void> {
  const handled = tally.open(count);
  let next = 0;
  const produce = async (): Promise<void> => {
    while (next < count) {
      const value = ++next;
      await ref.send('take', { value });
      sent(value);
    }
  };
  await Promise.all(Array.from({ length: PRODUCERS }, produce));
  await handled;
}

await flood(WARM_UP, () => {});
const baselineBytes = process.memoryUsage.rss();
const samplesBytes: number[] = [];
const every = Math.floor(messages / SAMPLES);
const startMs = performance.now();
await flood(messages, (value) => {
  if (value % every === 0) samplesBytes.push(process.memoryUsage.rss());
});
const result: FloodResult = {
  sent: tally.sent,
  handled: tally.handled,
  elapsedMs: performance.now() - startMs,
  baselineBytes,
  samplesBytes,
};
process.stdout.write(JSON.stringify(result), () => process.exit(0));
