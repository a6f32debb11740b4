import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const page = readFileSync(`${ROOT}docs/testing.md`, 'utf8');
const blocks = [...page.matchAll(/```ts\n([\s\S]*?)```/g)].map((match) => match[1]);

describe('the page about testing', () => {
  it.each([
    ['02-test-with-probes.ts', ['60000 ms, 1 restart']],
    ['02-test-with-faults.ts', ['10 20 20 30']],
    ['02-test-every-order.ts', ['TroupeError: Schedule [0, 0] fails: -1 left']],
  ])('shows %s word for word, and it prints what the page says', (name, lines) => {
    expect(blocks).toContain(readFileSync(`${ROOT}examples/${name}`, 'utf8'));
    const output = execFileSync('node_modules/.bin/tsx', [`examples/${name}`], {
      cwd: ROOT,
      encoding: 'utf8',
    });
    expect(output.trim().split('\n')).toEqual(lines);
  });
});
