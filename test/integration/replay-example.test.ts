import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

describe('the example of a replay', () => {
  it('books what was published before the crash, once, and goes on', () => {
    const output = execFileSync('node_modules/.bin/tsx', ['examples/06-replay.ts'], {
      cwd: ROOT,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    expect(output.trim().split('\n')).toEqual([
      'first life',
      'replayed 0: {}',
      'booked 100: { anna: 100 }',
      'booked 200: { anna: 300 }',
      'killed by SIGKILL',
      'second life',
      'replayed 3: { anna: 966 }',
      'booked 500: { anna: 1466 }',
      'ended',
    ]);
  });
});
