/**
 * Goal: whatever is done to the processes of a system of several nodes, no call hangs, nothing is handled twice, and what was accepted is handled by
 * those that live. Method: real processes on a real broker, killed, stopped, restarted and held up under load.
 */

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { createSystem, isTroupeError, type RuntimeEvent, type System } from '../../src/index.ts';
import { brokerOf } from '../support/broker-of.ts';
import { endingOf } from '../support/puppet.ts';
import { ledgers, NODE_TIMES, noteOf, ProcessClerk } from '../support/remote-clerk.ts';
import type { TestServer } from '../support/servers/server.ts';
import type { UsableServer } from '../support/servers/use-server.ts';
import { IS_SOAKING } from '../support/soak.ts';
import { temporaryFolders } from '../support/temporary-folder.ts';

const PROGRAM = fileURLToPath(new URL('../support/remote-program.ts', import.meta.url));
/** Numbers that each ledger is to have in the end. */
const ENTRIES = 100;
/** Milliseconds for which a process is busy: the heartbeats of RabbitMQ give it up after the longest time, five seconds at the most. */
const BUSY_MS = 8_000;
/** Milliseconds for something that has to come: the machine may be busy. */
const SOON_MS = 40_000;
/** Notes that are printed of a case that fails. */
const NOTES_MAX = 200;

/** A worker process, and what it said it has filed. */
interface Worker {
  readonly process: ChildProcess;
  readonly filed: number[];
}

function passing(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

async function until(condition: () => boolean, what: string): Promise<void> {
  const end = performance.now() + SOON_MS;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`Not within ${SOON_MS} ms: ${what}`);
    await passing(10);
  }
}

/** A broker of the tests' own. */
export interface OwnServer {
  readonly usable: UsableServer;
  readonly start: (command: { readonly command?: string }) => Promise<TestServer>;
}

/** The cases, on one broker. */
export function remoteProcessCases(kind: string, { usable, start: startServer }: OwnServer): void {
  vi.setConfig({ testTimeout: 180_000 });
  const newFolder = temporaryFolders();

  describe.skipIf(usable.isForeign)(`systems in processes of their own, on ${kind}`, () => {
    let server: TestServer | undefined;
    let tests = 0;
    let prefix = '';
    let folder = '';
    let front: System;
    let events: RuntimeEvent[];
    let notes: string[];
    const note = (node: string, noted: string): void => {
      notes.push(`${performance.now().toFixed(0)} ms ${node}: ${noted}`);
    };
    const workers = new Map<string, Worker>();

    beforeAll(async () => {
      server = await startServer(usable.command === undefined ? {} : { command: usable.command });
    }, 180_000);
    afterAll(() => server?.stop());

    beforeEach(async ({ onTestFailed }) => {
      workers.clear();
      folder = await newFolder();
      prefix = `processes-${process.pid}-${++tests}`;
      events = [];
      const broker = brokerOf(server?.url ?? '', prefix, NODE_TIMES);
      const system = await createSystem({ name: 'front', node: 'front', broker, log: false });
      front = system as unknown as System;
      front.events.subscribe((event) => {
        events.push(event);
        const noted = noteOf(event);
        if (noted !== undefined) note('front', noted);
      });
      notes = [];
      onTestFailed(() => {
        const filed = [...workers].map(([node, worker]) => `${node} filed ${worker.filed.join(' ')}`);
        console.error(['What was noted:', ...notes.slice(-NOTES_MAX), ...filed].join('\n'));
      });
    });
    afterEach(async () => {
      await front.shutdown({ deadlineMs: 5_000 });
      for (const { process: child } of workers.values()) child.kill('SIGKILL');
    });

    const start = async (node: string): Promise<Worker> => {
      const env = {
        ...process.env,
        CLERK_BROKER: server?.url,
        CLERK_PREFIX: prefix,
        CLERK_NODE: node,
        CLERK_STATES: folder,
      };
      const child = fork(PROGRAM, { execArgv: ['--import', 'tsx'], env });
      const worker: Worker = { process: child, filed: [] };
      const ended = once(child, 'exit').then(() =>
        Promise.reject(new Error(`${node} ended before it had joined`)),
      );
      const joined = new Promise<void>((resolve) => {
        child.on('message', (message: unknown) => {
          if (message === 'joined') resolve();
          else if ('noted' in (message as object)) note(node, (message as { noted: string }).noted);
          else worker.filed.push((message as { filed: number }).filed);
        });
      });
      await Promise.race([joined, ended]);
      ended.catch(() => undefined);
      workers.set(node, worker);
      await until(() => lifeOf(node) !== undefined, `that ${node} is known`);
      return worker;
    };
    const lifeOf = (node: string): string | undefined =>
      front.nodes.find(({ name, isLeaving }) => name === node && !isLeaving)?.incarnation;
    const clerk = (node: string) => front.ref(ProcessClerk, 'clerk', { node });
    const heard = (type: RuntimeEvent['type'], node: string): number =>
      events.filter((event) => event.type === type && 'node' in event && event.node === node).length;

    /** Asks some living worker until one has answered; counts how often it had to ask again. */
    const askSomebody = async (n: number, again: { times: number }): Promise<number> => {
      for (;;) {
        const living = [...workers.keys()].filter((node) => lifeOf(node) !== undefined);
        const node = living[n % Math.max(1, living.length)];
        try {
          if (node !== undefined) return await clerk(node).ask('count', n, { timeoutMs: SOON_MS });
        } catch (error) {
          if (!isTroupeError(error) || error.code === 'ERR_ASK_TIMEOUT') throw error;
        }
        again.times++;
        await passing(5);
      }
    };

    it('answer every ask, by another one where one is killed with asks in hand', async () => {
      await Promise.all(['a', 'b', 'c'].map(start));
      const again = { times: 0 };
      const answers: Promise<number>[] = [];
      for (let n = 0; n < 1_500; n++) {
        answers.push(askSomebody(n, again));
        if (n % 10 === 0) await passing(2);
        if (n === 600) workers.get('a')?.process.kill('SIGKILL');
      }
      expect(await Promise.all(answers)).toEqual(Array.from({ length: 1_500 }, (_, n) => 2 * n));
      expect(again.times).toBeGreaterThan(0);
      expect(heard('node-down', 'a')).toBe(1);
      expect(heard('node-down', 'b') + heard('node-down', 'c')).toBe(0);
    });

    it('know a process that was stopped for longer than its time as another one, and handle nothing twice', async () => {
      const worker = await start('a');
      const before = lifeOf('a');
      for (let n = 0; n < 50; n++) await clerk('a').send('file', n, { receipt: true });
      worker.process.kill('SIGSTOP');
      const asked = endingOf(clerk('a').ask('count', 1, { timeoutMs: SOON_MS }));
      for (let n = 50; n < 60; n++) clerk('a').tell('file', n); // on the way to a life that ends
      await until(() => heard('node-down', 'a') === 1, 'that a is lost');
      await until(() => asked.is !== undefined, 'the end of the ask');
      expect(asked.is).toBe('ERR_NODE_DOWN');
      expect(clerk('a').tell('file', -1)).toBe('actor-unknown');
      await passing(IS_SOAKING ? 30_000 : 1_000);
      worker.process.kill('SIGCONT');
      await until(() => lifeOf('a') !== undefined, 'that a is back');
      expect(lifeOf('a')).toBe(`${before}.2`);
      for (let n = 100; n < 150; n++) await clerk('a').send('file', n, { receipt: true });
      await until(() => worker.filed.includes(149), 'what was sent to the new life');
      const numbers = (from: number, to: number) => worker.filed.filter((n) => n >= from && n < to);
      expect(numbers(0, 50)).toEqual(Array.from({ length: 50 }, (_, n) => n));
      // What it finds before it has heard of its own end it handles, once.
      expect(new Set(numbers(50, 100)).size).toBe(numbers(50, 100).length);
      expect(numbers(100, 150)).toEqual(Array.from({ length: 50 }, (_, n) => 100 + n));
    });

    it('lose no ask in a rolling restart of three', async () => {
      await Promise.all(['a', 'b', 'c'].map(start));
      const again = { times: 0 };
      const answers: Promise<number>[] = [];
      let isOver = false;
      const load = (async () => {
        for (let n = 0; !isOver; n++) {
          answers.push(askSomebody(n, again));
          await passing(5);
        }
      })();
      for (const node of ['a', 'b', 'c']) {
        const old = workers.get(node);
        const exit = old === undefined ? undefined : once(old.process, 'exit');
        old?.process.kill('SIGTERM');
        await exit;
        workers.delete(node);
        await until(() => front.nodes.every(({ name }) => name !== node), `that ${node} has left`);
        await start(node);
      }
      isOver = true;
      await load;
      expect(await Promise.all(answers)).toEqual(answers.map((_, n) => 2 * n));
      expect(['a', 'b', 'c'].map((node) => heard('node-left', node))).toEqual([1, 1, 1]);
      expect(['a', 'b', 'c'].map((node) => heard('node-down', node))).toEqual([0, 0, 0]);
    });

    it('give a process up that is busy for too long, and go on with it when it is done', async () => {
      const worker = await start('a');
      const ms = IS_SOAKING ? 20_000 : BUSY_MS;
      const asked = endingOf(clerk('a').ask('spin', ms, { timeoutMs: SOON_MS }));
      await until(() => asked.is !== undefined, 'the end of the ask');
      expect(asked.is).toBe('ERR_NODE_DOWN');
      await until(() => lifeOf('a')?.endsWith('.2') === true, 'that a is back');
      expect(await clerk('a').ask('count', 21)).toBe(42);
      // The turn was done, once, though nobody waited for it any more.
      expect(worker.filed).toEqual([-ms]);
    });

    it('lose nothing that was told, and nobody, when the server is killed and comes back under load', async () => {
      const worker = await start('a');
      const ref = clerk('a');
      let told = 0;
      const flood = async (ms: number): Promise<void> => {
        for (const end = performance.now() + ms; performance.now() < end; ) {
          for (let k = 0; k < 10; k++) if (ref.tell('file', told) === 'accepted') told++;
          await passing(10);
        }
      };
      await flood(1_000);
      await server?.kill();
      await flood(1_500);
      await server?.restart();
      await flood(1_000);
      await until(() => worker.filed.length >= told, 'all that was told');
      expect(worker.filed).toEqual(Array.from({ length: told }, (_, n) => n));
      expect(events.filter(({ type }) => type === 'node-down')).toEqual([]);
      expect(told).toBeGreaterThan(1_000);
    });

    /** Adds numbers to ledgers of all shards while something is done to the process `a`, which has half of them; answers with what each ledger has. */
    const added = async (
      harm: (worker: Worker) => Promise<void>,
    ): Promise<readonly (readonly number[])[]> => {
      const [worker] = await Promise.all(['a', 'b'].map(start));
      const all = ledgers(front, folder, false);
      const keys = Array.from({ length: 12 }, (_, n) => `ledger-${n}`);
      const add = async (key: string, n: number): Promise<readonly number[]> => {
        for (;;) {
          try {
            return await all.forKey(key).ask('add', n, { timeoutMs: 5_000 });
          } catch (error) {
            // Whoever had it may have died with it, or have been taken for dead.
            if (!isTroupeError(error)) throw error;
            await passing(20);
          }
        }
      };
      const fill = async (key: string): Promise<readonly number[]> => {
        let last: readonly number[] = [];
        for (let n = 0; n < ENTRIES; n++) {
          last = await add(key, n);
          // Nobody answers with less than was answered before.
          expect(last).toEqual(Array.from({ length: n + 1 }, (_, each) => each));
          await passing(20);
        }
        return last;
      };
      const filled = Promise.all(keys.map(fill));
      await passing(500);
      if (worker !== undefined) await harm(worker);
      return filled;
    };

    it('keep every ledger whole when the process that has it is killed', async () => {
      const all = await added(async (worker) => {
        worker.process.kill('SIGKILL');
        await once(worker.process, 'exit');
      });
      expect(all.map(({ length }) => length)).toEqual(all.map(() => ENTRIES));
      expect(heard('node-down', 'a')).toBe(1);
    });

    it('let no process that was stopped, and followed by another, write to a ledger again', async () => {
      const all = await added(async (worker) => {
        worker.process.kill('SIGSTOP');
        await until(() => heard('node-down', 'a') === 1, 'that a is lost');
        await passing(1_000);
        worker.process.kill('SIGCONT');
        await until(() => lifeOf('a') !== undefined, 'that a is back');
      });
      expect(all.map(({ length }) => length)).toEqual(all.map(() => ENTRIES));
    });
  });
}
