/**
 * Two workers and a front in processes of their own. With asks to the first worker waiting, that one's process is killed; the front notes when it hears
 * of it, when its asks reject, and when the second worker has answered the same work.
 */

import { z } from 'zod';
import { agent, ask, createSystem, isTroupeError, protocol, supervisor } from '../../../src/index.ts';
import { brokerOf } from '../../support/broker-of.ts';
import type { FailoverResult } from '../failover.ts';
import { IS_WORKER, say, startWorker } from '../workers.ts';

const Work = protocol('work', { do: ask(z.object({ number: z.number(), isHeld: z.boolean() }), z.number()) });
const ASKS = 20;
/** Milliseconds: longer than any broker takes to tell. */
const ASK_TIMEOUT_MS = 180_000;

const parameters = process.argv.slice(2);
if (IS_WORKER) await work(parameters);
else {
  console.log(JSON.stringify(await measure(parameters)));
  process.exit(0);
}

/** A worker: what is held is never answered. */
async function work([name = '', ...rest]: readonly string[]): Promise<void> {
  const worker = agent(Work, {
    state: (): object => ({}),
    on: {
      do: (_, { number, isHeld }) => {
        if (!isHeld) return number;
        say('holds');
        return new Promise<number>(() => undefined);
      },
    },
  });
  await join(name, rest, { root: supervisor({ children: { worker: worker.child() } }) });
  say('ready');
}

async function measure(rest: readonly string[]): Promise<FailoverResult> {
  const [one, two] = await Promise.all(
    ['one', 'two'].map((name) => startWorker(import.meta.url, name, rest)),
  );
  if (one === undefined || two === undefined) throw new Error('there are two workers');
  try {
    const system = await join('front', rest, {});
    const [first, second] = [one, two].map(({ name }) => system.ref(Work, 'worker', { node: name }));
    // Both are there, and have been spoken to.
    const greeting = { number: 0, isHeld: false };
    await Promise.all([first?.ask('do', greeting), second?.ask('do', greeting)]);
    let heardMs = Number.NaN;
    let began = 0;
    system.events.subscribe((event) => {
      if (event.type === 'node-down' && event.node === one.name) heardMs = performance.now() - began;
    });
    const rejectedMs: number[] = [];
    const doneMs: number[] = [];
    const asks = Array.from({ length: ASKS }, async (_, number) => {
      const held = first?.ask('do', { number, isHeld: true }, { timeoutMs: ASK_TIMEOUT_MS });
      const error: unknown = await held?.then(
        () => new Error('a held ask was answered'),
        (reason: unknown) => reason,
      );
      if (!isTroupeError(error, 'ERR_NODE_DOWN')) throw error;
      rejectedMs.push(performance.now() - began);
      if ((await second?.ask('do', { number, isHeld: false })) !== number) throw new Error('a wrong answer');
      doneMs.push(performance.now() - began);
    });
    await one.said('holds');
    began = performance.now();
    one.kill();
    await Promise.all(asks);
    return {
      heardMs,
      firstRejectedMs: Math.min(...rejectedMs),
      lastRejectedMs: Math.max(...rejectedMs),
      doneMs: Math.max(...doneMs),
    };
  } finally {
    one.kill();
    two.kill();
  }
}

async function join(
  node: string,
  [url = '', key = '', times = '{}']: readonly string[],
  rest: { readonly root?: ReturnType<typeof supervisor> },
) {
  const broker = brokerOf(url, key, JSON.parse(times)); // written by this benchmark
  return createSystem({ name: 'bench', node, broker, log: () => undefined, ...rest });
}
