import { describe, expect, it } from 'vitest';
import { codeFolders, files } from './tree.ts';

/** Names that say nothing about what is inside. */
const EMPTY = /^(utils?|helpers?|common|types?|misc)$/;
const KEBAB = /^[a-z0-9]+(-[a-z0-9]+)*(\.[a-z]+)*$/;

const code = codeFolders().flatMap((folder) => files(folder));
const typeScript = code.filter((path) => path.endsWith('.ts'));

/** The folders and the bare file name of a path; `test/types` is the one name the map gives. */
function words(path: string): string[] {
  return path
    .replace(/^test\/types\//, 'test/')
    .split('/')
    .map((part) => part.replace(/\..*$/, ''));
}

describe('the names of files and folders', () => {
  it('name a noun: no utils, helpers, common, types, misc', () => {
    expect(code.length).toBeGreaterThan(0);
    expect(code.filter((path) => words(path).some((word) => EMPTY.test(word)))).toEqual([]);
  });

  it('are in kebab-case for TypeScript', () => {
    expect(typeScript.length).toBeGreaterThan(0);
    const parts = (path: string): string[] => path.split('/');
    expect(typeScript.filter((path) => !parts(path).every((part) => KEBAB.test(part)))).toEqual([]);
  });
});
