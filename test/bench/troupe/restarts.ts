/**
 * Restarts under one supervisor of 1,000 children: in each round every child is told to fail and then one message, which a
 * fresh state handles. Prints counts, time without the collections, and the heap after each tenth of the restarts, whose
 * number is the first argument. Needs `--expose-gc`.
 */

import { setImmediate as macrotask } from 'node:timers/promises';
import { agent, createSystem, protocol, type Ref, supervisor, tell } from 'troupe';
import type { RestartsResult } from '../restarts.ts';

const CHILDREN = 1_000;
const TENTHS = 10;

const restarts = Number(process.argv[2]);
const roundsPerTenth = Math.floor(restarts / TENTHS / CHILDREN);
if (!(roundsPerTenth >= 1)) throw new Error(`Restart at least ${TENTHS * CHILDREN} times.`);

let states = 0;
let handled = 0;
let expected = 0;
let roundDone: () => void = () => {};
const failure = new Error('told to fail');
const Worker = protocol('worker', { fail: tell(), work: tell() });
const worker = agent(Worker, {
  state: () => {
    states++;
    return { isFresh: true };
  },
  on: {
    fail: () => {
      throw failure;
    },
    work: (ctx) => {
      if (ctx.state.isFresh) handled++;
      ctx.state.isFresh = false;
      if (handled === expected) roundDone();
    },
  },
});

const child = worker.child({ backoff: { minMs: 0, maxMs: 0 } });
const children = Object.fromEntries(Array.from({ length: CHILDREN }, (_, index) => [`w${index}`, child]));
const root = supervisor({ intensity: { max: Infinity }, restartsWithoutProgressMax: Infinity, children });
const system = await createSystem({ name: 'bench', root, log: false });
const refs: readonly Ref<typeof Worker>[] = Object.values(system.refs);
states = 0;

/** Restarts every child once. */
async function round(): Promise<void> {
  expected = handled + CHILDREN;
  const done = new Promise<void>((resolve) => {
    roundDone = resolve;
  });
  for (const ref of refs) {
    ref.tell('fail');
    ref.tell('work');
  }
  await done;
}

const { gc } = globalThis;
if (gc === undefined) throw new Error('Measuring memory needs node --expose-gc.');
// More than the dead letters that are kept: from here on the oldest one falls off for each new one.
const WARM_UP_ROUNDS = 20;
for (let index = 0; index < WARM_UP_ROUNDS; index++) await round();
states = 0;
handled = 0;

let elapsedMs = 0;
const heapBytes: number[] = [];
for (let tenth = 0; tenth < TENTHS; tenth++) {
  const startMs = performance.now();
  for (let index = 0; index < roundsPerTenth; index++) await round();
  elapsedMs += performance.now() - startMs;
  for (let index = 0; index < 3; index++) {
    await macrotask();
    gc();
  }
  heapBytes.push(process.memoryUsage().heapUsed);
}
const result: RestartsResult = {
  children: CHILDREN,
  restarts: roundsPerTenth * CHILDREN * TENTHS,
  states,
  handled,
  elapsedMs,
  heapBytes,
};
process.stdout.write(JSON.stringify(result), () => process.exit(0));
