import { describe, expect, it } from 'vitest';
import { read, sources } from './tree.ts';

const TABLE = 'src/protocol/errors.ts';
const DOCS = 'docs/errors.md';

/** The rows of the table in source form: two spaces, the code, an opening brace. */
function codesOf(table: string): string[] {
  return [...new Set([...table.matchAll(/^ {2}(ERR_[A-Z0-9_]+): \{/gm)].map((match) => match[1] ?? ''))];
}

/** Sections by code: a heading that is the code alone, then the text up to the next heading. */
function sectionsOf(docs: string): Map<string, string> {
  const parts = docs.split(/^#{1,6} +/m).slice(1);
  const sections = new Map<string, string>();
  for (const part of parts) {
    const [heading = '', ...body] = part.split('\n');
    const code = /^`?(ERR_[A-Z0-9_]+)`?$/.exec(heading.trim())?.[1];
    if (code !== undefined) sections.set(code, body.join('\n').trim());
  }
  return sections;
}

const codes = codesOf(read(TABLE));

describe('error codes', () => {
  it('are found in the table and follow ERR_<NOUN>_<STATE>', () => {
    expect(codes.length).toBeGreaterThan(0);
    expect(codes.filter((code) => !/^ERR(_[A-Z0-9]+){2,}$/.test(code))).toEqual([]);
  });

  it('each have a section with text in docs/errors.md, and no section is left over', () => {
    const sections = sectionsOf(read(DOCS));
    expect(codes.filter((code) => !sections.get(code))).toEqual([]);
    expect([...sections.keys()].filter((code) => !codes.includes(code))).toEqual([]);
  });

  it('are each used in at least one test', () => {
    const tests = sources('test').filter(
      (path) => path.endsWith('.test.ts') && !path.startsWith('test/tidy/'),
    );
    expect(tests.length).toBeGreaterThan(0);
    const used = new Set(tests.flatMap((path) => read(path).match(/\bERR_[A-Z0-9_]+\b/g) ?? []));
    expect(codes.filter((code) => !used.has(code))).toEqual([]);
  });
});
