import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Types these lines into the example; answers what it prints. */
function typed(...lines: readonly string[]): string {
  const run = spawnSync('node_modules/.bin/tsx', ['examples/04-crash-by-hand.ts'], {
    cwd: ROOT,
    encoding: 'utf8',
    input: `${lines.join('\n')}\n`,
    timeout: 60_000,
  });
  expect(run.status, run.stderr).toBe(0);
  return run.stdout;
}

describe('the tree to crash by hand', () => {
  it('restarts the crashed child and those started after it, and nobody else', () => {
    const printed = typed('crash judge', 'tree', 'quit');
    expect(printed).toContain('judge#3 restarts (failed)');
    expect(printed).toContain('write#4 restarts (sibling)');
    expect(printed).toContain('judge answers: turn 1 of this life');
    const [, tree = ''] = printed.split('judge answers');
    expect(tree).toMatch(
      /fetch running\n\s+judge running, restarted 1 times\n\s+write running, restarted 1 times/,
    );
  });

  it('ends as a whole when it is crashed too often', () => {
    const printed = typed('crash fetch', 'crash fetch', 'crash fetch', 'crash fetch', 'ask clock', 'quit');
    expect(printed).toContain('gave up');
    expect(printed).toContain('clock#1 ends (shutdown)');
    expect(printed).toMatch(/ERR_ACTOR|has stopped|No actor lives/);
  });
});
