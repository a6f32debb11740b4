import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

describe('the example of an approval', () => {
  it('is on the page about state machines, word for word', () => {
    const page = readFileSync(`${ROOT}docs/xstate.md`, 'utf8');
    expect(page).toContain(readFileSync(`${ROOT}examples/08-approval.ts`, 'utf8'));
  });

  it('survives its crash, waits for a decision, and answers whoever asks', () => {
    const output = execFileSync('node_modules/.bin/tsx', ['examples/08-approval.ts'], {
      cwd: ROOT,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    expect(output.trim().split('\n')).toEqual([
      'ERR_ACTOR_FAILED: the register is away',
      'the manager is asked',
      'the director is asked',
      "{ waiting: 'director' }",
      'approved by the director',
      '2 checks',
    ]);
  });
});
