import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const examples = readdirSync(`${ROOT}examples`).filter((name) => name !== 'README.md');
const index = readFileSync(`${ROOT}examples/README.md`, 'utf8');
const tests = readdirSync(`${ROOT}test/integration`)
  .map((name) => readFileSync(`${ROOT}test/integration/${name}`, 'utf8'))
  .join('\n');

describe('the examples', () => {
  it('are named by their index, and it names nothing else', () => {
    const named = [...index.matchAll(/^\| \[([^\]]+)\]/gm)].map((match) => match[1]);
    expect(examples.length).toBeGreaterThan(0);
    expect(named).toEqual(examples.toSorted(inOrder(named)));
  });

  it.each(examples)('%s is run by a test', (name) => {
    expect(tests).toMatch(new RegExp(`['/]${name.replaceAll('.', '\\.')}['/]`));
  });
});

/** By their places in a list; what is not in it comes last. */
function inOrder(list: readonly (string | undefined)[]): (left: string, right: string) => number {
  const place = (name: string): number => (list.includes(name) ? list.indexOf(name) : list.length);
  return (left, right) => place(left) - place(right);
}
