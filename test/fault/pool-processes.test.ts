/**
 * Goal: a pool over processes has each job done once or tells that it failed, whoever is killed, and leaves no worker behind. Method: real processes on
 * a real Redis, ended by `kill -9` and by SIGTERM under load.
 */

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { redis } from '../../adapters/redis/index.ts';
import { createSystem, isTroupeError, type System } from '../../src/index.ts';
import { doubler } from '../support/pool-program.ts';
import { endingOf } from '../support/puppet.ts';
import { NODE_TIMES } from '../support/remote-clerk.ts';
import { startRedis } from '../support/servers/redis.ts';
import type { TestServer } from '../support/servers/server.ts';
import { useServer } from '../support/servers/use-server.ts';

const PROGRAM = fileURLToPath(new URL('../support/pool-program.ts', import.meta.url));
const usable = useServer('redis');
/** Milliseconds for something that has to come: the machine may be busy. */
const SOON_MS = 40_000;
const JOBS = 600;
vi.setConfig({ testTimeout: 180_000 });

/** A process, and what its workers said. */
interface Program {
  readonly process: ChildProcess;
  readonly begun: number[];
  started: number;
  stopped: number;
}

async function until(condition: () => boolean, what: string): Promise<void> {
  const end = performance.now() + SOON_MS;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`Not within ${SOON_MS} ms: ${what}`);
    await new Promise((resolve) => {
      setTimeout(resolve, 10);
    });
  }
}

describe.skipIf(usable.isForeign)('a pool over processes, on a Redis', () => {
  let server: TestServer | undefined;
  let tests = 0;
  let prefix = '';
  let front: System;
  const programs = new Map<string, Program>();

  beforeAll(async () => {
    server = await startRedis(usable.command === undefined ? {} : { command: usable.command });
  }, 60_000);
  afterAll(() => server?.stop());

  beforeEach(async () => {
    prefix = `pools-${process.pid}-${++tests}`;
    const broker = redis(server?.url ?? '', { ...NODE_TIMES, prefix });
    const system = await createSystem({ name: 'front', node: 'front', broker, log: false });
    front = system as unknown as System;
  });
  afterEach(async () => {
    await front.shutdown({ deadlineMs: 5_000 });
    for (const { process: child } of programs.values()) child.kill('SIGKILL');
    programs.clear();
  });

  const start = async (node: string, size?: number): Promise<Program> => {
    const env = { ...process.env, POOL_BROKER: server?.url, POOL_PREFIX: prefix, POOL_NODE: node };
    const whole = size === undefined ? env : { ...env, POOL_SIZE: String(size) };
    const child = fork(PROGRAM, { execArgv: ['--import', 'tsx'], env: whole });
    const program: Program = { process: child, begun: [], started: 0, stopped: 0 };
    programs.set(node, program);
    const joined = new Promise<void>((resolve) => {
      child.on(
        'message',
        (message: 'joined' | Readonly<Partial<Record<'begun' | 'started' | 'stopped', number>>>) => {
          if (message === 'joined') resolve();
          else if (message.begun !== undefined) program.begun.push(message.begun);
          else if (message.started !== undefined) program.started++;
          else program.stopped++;
        },
      );
    });
    await joined;
    await until(
      () =>
        front.nodes.some(({ name, agents }) => name === node && (size !== undefined || agents.length > 0)),
      `that ${node} is known`,
    );
    return program;
  };
  const begun = (): readonly number[] => [...programs.values()].flatMap((program) => program.begun);
  const living = (): number =>
    [...programs.values()].reduce((sum, { started, stopped }) => sum + started - stopped, 0);

  it('loses what a killed process had in hand and nothing else, and does no job twice', async () => {
    const [a] = await Promise.all(['a', 'b', 'c'].map((node) => start(node)));
    const pool = await front.spawn(doubler.pool({ size: 6, nodes: 'all' }));
    await until(() => living() === 6, 'six workers');
    const asks = Array.from({ length: JOBS }, (_, n) => endingOf(pool.ask('double', { n, ms: 5 })));
    await until(() => begun().length > JOBS / 4, 'a quarter of the jobs');
    a?.process.kill('SIGKILL');
    await until(() => asks.every(({ is }) => is !== undefined), 'the ends of all');
    const failed = asks.flatMap(({ is, error }, n) => (is === 'resolved' ? [] : [{ n, error }]));
    expect(failed.length).toBeLessThanOrEqual(2);
    for (const { error } of failed)
      expect(isTroupeError(error, 'ERR_ACTOR_FAILED') && error.cause).toMatchObject({
        code: 'ERR_NODE_DOWN',
        details: { node: 'a' },
      });
    for (const [n, { is, value }] of asks.entries()) if (is === 'resolved') expect(value).toBe(2 * n);
    expect(new Set(begun()).size).toBe(begun().length);
    expect(front.deadLetters.list()).toHaveLength(failed.length);
    await until(
      () => front.inspect(pool)?.pool?.workers.filter(({ node }) => node !== 'a').length === 6,
      'six workers elsewhere',
    );
    await front.stop(pool);
    await until(() => living() === 2, 'the end of all but those of the dead'); // whose two never said that they stopped
  });

  it('leaves no worker when its own process is killed, and its jobs are aborted', async () => {
    await Promise.all(['a', 'b'].map((node) => start(node)));
    const boss = await start('boss', 4);
    await until(() => living() === 4 && begun().length === 4, 'four workers at work');
    boss.process.kill('SIGKILL');
    await until(() => living() === 0, 'the end of all workers');
  });

  it('loses nothing when a process is shut down and comes back, and uses it again', async () => {
    const [a] = await Promise.all(['a', 'b'].map((node) => start(node)));
    const pool = await front.spawn(doubler.pool({ size: 4, nodes: 'all' }));
    await until(() => living() === 4, 'four workers');
    const asks = Array.from({ length: JOBS }, (_, n) => endingOf(pool.ask('double', { n, ms: 5 })));
    await until(() => begun().length > JOBS / 4, 'a quarter of the jobs');
    const exit = a === undefined ? undefined : once(a.process, 'exit');
    a?.process.kill('SIGTERM');
    await exit;
    const before = begun();
    await until(() => front.nodes.every(({ name }) => name !== 'a'), 'that a has left');
    const again = await start('a');
    await until(() => asks.every(({ is }) => is !== undefined), 'the ends of all');
    expect(asks.map(({ value }) => value)).toEqual(Array.from({ length: JOBS }, (_, n) => 2 * n));
    expect(new Set(before).size).toBe(before.length);
    await until(() => again.started === 2, 'its share of the workers');
    expect(await pool.ask('double', { n: 1_000, ms: 0 })).toBe(2_000);
    expect(front.deadLetters.list()).toEqual([]);
  });
});
