import { describe, expect, it } from 'vitest';
import { files, read } from './tree.ts';

const FOLDER = 'test/contract/broker/';

/** All that the list of conformance cases has. */
const WANTED: readonly string[] = [...numbers(1, 18), '18a', ...numbers(19, 62)];

/** `25 26 29: takes what ...`: what a case proves stands at the beginning of its name. */
const CASE = /['`]((?:\d+a? )*\d+a?): /g;

function numbers(first: number, last: number): string[] {
  return Array.from({ length: last - first + 1 }, (_, place) => String(first + place));
}

/** The numbers of the cases in each file of the suite. */
function provedIn(path: string): Set<string> {
  return new Set([...read(path).matchAll(CASE)].flatMap(([, found = '']) => found.split(' ')));
}

/** The rows of the table: a number, and the files that have it. */
function table(): { readonly number: string; readonly files: string[] }[] {
  const [, section = ''] = read('docs/brokers.md').split('\n## Conformance cases\n');
  const [text = ''] = section.split('\n## ');
  return text
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .slice(2)
    .map((line) => ({
      number: line.split('|')[1]?.trim() ?? '',
      files: [...line.matchAll(/`([\w-]+\.ts)`/g)].map(([, name = '']) => name),
    }));
}

describe('the conformance cases', () => {
  it('are each in the table, in their order, with the files that prove them and no others', () => {
    const proved = new Map(
      files(FOLDER.slice(0, -1)).map((path) => [path.slice(FOLDER.length), provedIn(path)]),
    );
    const rows = table();
    expect(rows.map(({ number }) => number)).toEqual(WANTED);
    for (const row of rows) {
      const having = [...proved].filter(([, found]) => found.has(row.number)).map(([name]) => name);
      expect([row.number, row.files.toSorted()]).toEqual([row.number, having.toSorted()]);
    }
  });

  it('have no number that the table does not have', () => {
    const known = new Set(WANTED);
    const used = files(FOLDER.slice(0, -1)).flatMap((path) => [...provedIn(path)]);
    expect(used.filter((number) => !known.has(number))).toEqual([]);
  });
});
