import { existsSync } from 'node:fs';
import { expect, it } from 'vitest';
import { PLANTED_BUGS } from '../mutants/planted-bugs.ts';
import { read } from './tree.ts';

it('planted bugs have names of their own, places that are there once, and tests that are there', () => {
  const names = PLANTED_BUGS.map(({ name }) => name);
  expect(names).toEqual([...new Set(names)]);
  expect(PLANTED_BUGS.length).toBeGreaterThan(0);
  const lost = PLANTED_BUGS.filter(({ file, find }) => read(file).split(find).length !== 2);
  expect(lost.map(({ name, file }) => `${name}: ${file}`)).toEqual([]);
  const tests = new Set(PLANTED_BUGS.flatMap((bug) => bug.tests));
  expect([...tests].filter((test) => !existsSync(test))).toEqual([]);
});
