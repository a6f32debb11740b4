import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

describe('the example of a pool', () => {
  it('prints what its comments say', () => {
    const output = execFileSync('node_modules/.bin/tsx', ['examples/03-pool.ts'], {
      cwd: ROOT,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    expect(output.trim().split('\n')).toEqual([
      'worker 1: A LONG SENTENCE THAT KEEPS ITS WORKER BUSY',
      'worker 2: SHORT',
      'worker 2: WORDS',
      '4',
    ]);
  });
});
