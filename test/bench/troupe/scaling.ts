/**
 * A front and some workers in processes of their own. Each worker has an actor whose turns take a processor and nothing else; the front asks it, a few
 * at a time, and counts the answers. With the URL `none` there is neither front nor broker: the same work in bare processes, which is what the
 * machine gives.
 */

import { z } from 'zod';
import { agent, ask, createSystem, protocol, supervisor } from '../../../src/index.ts';
import { brokerOf } from '../../support/broker-of.ts';
import { burn, usedMs } from '../burn.ts';
import type { ScalingResult } from '../scaling.ts';
import { IS_WORKER, say, startWorker, type Worker } from '../workers.ts';

/** Answered with the milliseconds of a processor that it took. */
const Work = protocol('work', { do: ask(z.number(), z.number()) });
/** Asks that wait at one worker: it never waits for the front. */
const IN_FLIGHT = 4;
/** Turns that warm a worker up, and are not counted. */
const WARM_UP = 10;
const NOWHERE = 'none';

const parameters = process.argv.slice(2);
if (IS_WORKER) await work(parameters);
else {
  console.log(JSON.stringify(await measure(parameters)));
  process.exit(0);
}

async function work([
  name = '',
  url = '',
  key = '',
  rounds = '',
  turns = '',
]: readonly string[]): Promise<void> {
  const turn = (n: number): number => {
    const before = usedMs();
    // Never true, and no compiler knows that.
    if (burn(n) === 0) say('zero');
    return usedMs() - before;
  };
  if (url !== NOWHERE) {
    const worker = agent(Work, { state: (): object => ({}), on: { do: (_, n) => turn(n) } });
    await createSystem({
      name: 'bench',
      node: name,
      broker: brokerOf(url, key),
      root: supervisor({ children: { worker: worker.child() } }),
      log: () => undefined,
    });
    say('ready');
    return;
  }
  for (let n = 0; n < WARM_UP; n++) turn(Number(rounds));
  say('ready');
  await new Promise((resolve) => process.once('message', resolve));
  for (let n = 0; n < Number(turns); n++) turn(Number(rounds));
  say('done');
}

async function measure(rest: readonly string[]): Promise<ScalingResult> {
  const [url = '', key = '', rounds = '', turns = '', count = ''] = rest;
  const names = Array.from({ length: Number(count) }, (_, n) => `worker-${n}`);
  const workers = await Promise.all(names.map((name) => startWorker(import.meta.url, name, rest)));
  try {
    if (url === NOWHERE) return await measureBare(workers, Number(turns));
    const system = await createSystem({
      name: 'bench',
      node: 'front',
      broker: brokerOf(url, key),
      log: () => undefined,
    });
    const askAll = async (turnsOfEach: number): Promise<readonly number[]> => {
      const used: number[] = [];
      await Promise.all(
        names.flatMap((node) => {
          const ref = system.ref(Work, 'worker', { node });
          let left = turnsOfEach;
          return Array.from({ length: IN_FLIGHT }, async () => {
            while (left-- > 0) used.push(await ref.ask('do', Number(rounds)));
          });
        }),
      );
      return used;
    };
    await askAll(WARM_UP);
    const began = performance.now();
    const before = usedMs();
    const used = await askAll(Number(turns));
    const elapsedMs = performance.now() - began;
    return {
      messages: used.length,
      perSecond: (used.length / elapsedMs) * 1_000,
      turnMs: used.reduce((sum, ms) => sum + ms, 0) / used.length,
      frontShare: (usedMs() - before) / elapsedMs,
    };
  } finally {
    for (const worker of workers) worker.kill();
  }
}

async function measureBare(workers: readonly Worker[], turns: number): Promise<ScalingResult> {
  const began = performance.now();
  for (const worker of workers) worker.tell('begin');
  await Promise.all(workers.map((worker) => worker.said('done')));
  const messages = workers.length * turns;
  return { messages, perSecond: (messages / (performance.now() - began)) * 1_000, turnMs: 0, frontShare: 0 };
}
