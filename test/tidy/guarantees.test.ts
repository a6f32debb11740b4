import { describe, expect, it } from 'vitest';
import { problemOf, referencesIn, sentencesOf, testNamesIn } from './references.ts';
import { files, parse, read } from './tree.ts';

const GUARANTEES = 'docs/guarantees.md';

describe('guarantees', () => {
  it('each end with the test that proves them', () => {
    const sentences = sentencesOf(read(GUARANTEES));
    expect(sentences.length).toBeGreaterThan(0);
    expect(sentences.filter(({ proved }) => !proved).map(({ sentence }) => sentence)).toEqual([]);
  });

  it('name tests that exist, in README and docs as well', () => {
    const pages = ['README.md', ...files('docs').filter((path) => path.endsWith('.md'))];
    const references = pages.flatMap((page) => referencesIn(read(page)).map((one) => ({ page, ...one })));
    expect(references.length).toBeGreaterThan(0);
    const problems = references.map((one) => ({ page: one.page, problem: problemOf(one) }));
    expect(problems.filter(({ problem }) => problem !== undefined)).toEqual([]);
  });
});

describe('the comparison with AMB', () => {
  /** The rows of the table under a heading. */
  const rowsUnder = (heading: string): string[] => {
    const [, section = ''] = read('docs/from-amb.md').split(`\n## ${heading}\n`);
    const [text = ''] = section.split('\n## ');
    return text
      .split('\n')
      .filter((line) => line.startsWith('|'))
      .slice(2);
  };

  it('has a row for each case in which AMB was run, and each row ends with the tests that prove it', () => {
    const rows = rowsUnder('What it claims, what it does, what this does');
    const cases = new Set(rows.map((row) => row.split('|')[1]?.trim()));
    for (let n = 1; n <= 12; n++) expect(cases).toContain(`w${String(n).padStart(2, '0')}`);
    expect(rows.filter((row) => referencesIn(row).length === 0)).toEqual([]);
  });

  it('names the proof of each behaviour that the tests of AMB name', () => {
    const rows = rowsUnder('What its tests name');
    expect(rows.length).toBeGreaterThanOrEqual(30);
    expect(rows.filter((row) => referencesIn(row).length === 0)).toEqual([]);
  });
});

describe('the search for guarantees', () => {
  const one = '(`test/unit/a.test.ts` › "keeps order")';

  it('accepts sentences, bullets and wrapped lines that end with a test', () => {
    const page = `# Title\n\n> A note promises nothing.\n\nOrder is kept ${one}. Nothing is lost. ${one}\n\n- A bullet,\n  wrapped ${one}.\n`;
    expect(sentencesOf(page).map(({ proved }) => proved)).toEqual([true, true, true]);
    expect(referencesIn(page)).toHaveLength(3);
  });

  it('finds a sentence without a test, wherever it stands', () => {
    const unproved = (page: string): string[] =>
      sentencesOf(page)
        .filter(({ proved }) => !proved)
        .map(({ sentence }) => sentence);
    expect(unproved(`First. Second ${one}.`)).toEqual(['First.']);
    expect(unproved(`First ${one}. Second.`)).toEqual(['Second.']);
    expect(unproved(`- First ${one}.\n- Second.`)).toEqual(['- Second.']);
  });

  it('knows the tests of a file and does not count skipped ones', () => {
    const text = `it('a', f); it.each([1])('b %s', f); it.skip('c', f); test.todo('d'); describe('e', f);`;
    expect([...testNamesIn(parse('some.test.ts', text))]).toEqual(['a', 'b %s']);
  });
});
