import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startRedis } from '../support/servers/redis.ts';
import type { TestServer } from '../support/servers/server.ts';
import { useServer } from '../support/servers/use-server.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const usable = useServer('redis');

/** Its lines. Two processes say theirs in any order. */
function linesOf(...parameters: readonly string[]): string[] {
  const output = execFileSync('node_modules/.bin/tsx', ['examples/07-two-processes.ts', ...parameters], {
    cwd: ROOT,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
    timeout: 60_000,
  });
  return output.trim().split('\n').toSorted();
}

const LINES = [
  'leader 42',
  "worker jobs.alert { disk: 'full' } critical",
  'worker jobs.index { page: 1 } normal',
];

describe('the example of two processes', () => {
  it('does its work with both nodes in one process', () => {
    expect(linesOf()).toEqual(LINES);
  }, 60_000);
});

describe.skipIf(usable.isAbsent)('the example of two processes, on a Redis', () => {
  let own: TestServer | undefined;
  beforeAll(async () => {
    if (usable.url === undefined)
      own = await startRedis(usable.command === undefined ? {} : { command: usable.command });
  }, 60_000);
  afterAll(() => own?.stop());

  it('does the same with two', () => {
    expect(linesOf('--broker', usable.url ?? own?.url ?? '')).toEqual(LINES);
  }, 60_000);
});
