/**
 * References from prose to the test that proves it: `test/unit/heap.test.ts` › "takes the oldest first".
 * The path stands in backquotes and the name in double quotes, exactly as the test states it. A suite that is run for several
 * things (`test/contract/amb.contract.ts`) proves something when a test runs it.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import ts from 'typescript-5.9';
import { parse, ROOT, walk } from './tree.ts';

export interface Reference {
  readonly path: string;
  readonly name: string;
}

const REFERENCE = /`(test\/[^`]+\.(?:test|contract)\.ts)` › "([^"]+)"/g;
/** One or more references in parentheses, with the full stop before or after. */
const PROOF = /\s*\((?:`test\/[^`]+\.(?:test|contract)\.ts` › "[^"]+"(?:[;,]? (?:and )?)?)+\)\.?/g;

export function referencesIn(text: string): Reference[] {
  const flat = text.replace(/\s+/g, ' ');
  return [...flat.matchAll(REFERENCE)].map(([, path = '', name = '']) => ({ path, name }));
}

/** Paragraphs and list items. Headings, quotes, code, comments and rules of a page promise nothing. */
function statementsOf(page: string): string[] {
  const text = page.replace(/<!--[\s\S]*?-->/g, '').replace(/^(```|~~~)[\s\S]*?^\1.*$/gm, '');
  const statements: string[] = [];
  let open = false;
  for (const line of text.split('\n')) {
    if (/^\s*(#|>|---|$)/.test(line)) {
      open = false;
    } else if (!open || /^\s*([-*+]|\d+\.)\s/.test(line)) {
      statements.push(line.trim());
      open = true;
    } else {
      statements.push(`${statements.pop() ?? ''} ${line.trim()}`);
    }
  }
  return statements;
}

/** The sentences of a page, each with whether a reference ends it. */
export function sentencesOf(page: string): { readonly sentence: string; readonly proved: boolean }[] {
  return statementsOf(page).flatMap((statement) => {
    // What stands between two references ends with the second one: only its last sentence is proved by it.
    const pieces = statement.split(PROOF);
    return pieces.flatMap((piece, index) => {
      const sentences = piece
        .trim()
        .split(/(?<=[.!?])\s+(?=[A-Z`*"])/)
        .filter((sentence) => /\w/.test(sentence));
      const isLast = index === pieces.length - 1;
      return sentences.map((sentence, at) => ({ sentence, proved: !isLast && at === sentences.length - 1 }));
    });
  });
}

/** The names of the tests in a file that run: `it.skip` and `it.todo` prove nothing. */
export function testNamesIn(file: ts.SourceFile): Set<string> {
  const names = new Set<string>();
  for (const node of walk(file)) {
    if (!ts.isCallExpression(node)) continue;
    const callee = node.expression.getText();
    const [name] = node.arguments;
    if (!/^(it|test)\b/.test(callee) || /\.(skip|todo|fails)\b/.test(callee)) continue;
    if (name !== undefined && ts.isStringLiteralLike(name)) names.add(name.text);
  }
  return names;
}

/** What is wrong with a reference, or undefined. */
export function problemOf({ path, name }: Reference): string | undefined {
  if (!existsSync(join(ROOT, path))) return `${path} does not exist`;
  if (path.endsWith('.contract.ts') && !isRun(path)) return `no test runs ${path}`;
  return namesOf(path).has(name) ? undefined : `${path} has no test "${name}"`;
}

/** Files do not change while they are checked, and pages refer to the same few over and over. */
const known = new Map<string, Set<string>>();

function namesOf(path: string): Set<string> {
  const names = known.get(path) ?? testNamesIn(parse(path));
  known.set(path, names);
  return names;
}

/** Whether a test beside a suite imports it. */
function isRun(suite: string): boolean {
  const folder = join(ROOT, dirname(suite));
  const tests = readdirSync(folder).filter((name) => name.endsWith('.test.ts'));
  return tests.some((name) => readFileSync(join(folder, name), 'utf8').includes(`'./${basename(suite)}'`));
}
