import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const EXAMPLE = 'examples/01-first-agent.ts';

describe('the program of the README', () => {
  it('is the first example, word for word', () => {
    const readme = readFileSync(`${ROOT}README.md`, 'utf8');
    const program = /```ts\n([\s\S]*?)```/.exec(readme)?.[1];
    expect(program).toBe(readFileSync(ROOT + EXAMPLE, 'utf8'));
  });

  it('prints what its comments say', () => {
    const output = execFileSync('node_modules/.bin/tsx', [EXAMPLE], {
      cwd: ROOT,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const [first, second, third] = output.trim().split('\n');
    expect([first, third]).toEqual(['1', '0']);
    expect(second).toContain("/root/judge#1 failed while it handled 'score'");
  });
});
