/**
 * The files of this repository as the tidy checks see them. Paths are relative to the root and use `/`.
 * Reads the folder itself, not git, so that an unpacked archive is checked as well.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript-5.9';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Folders that are written by tools and belong to no commit. */
const GENERATED = new Set(['node_modules', '.git', 'dist', 'coverage', 'reports', '.stryker-tmp']);

/** The folders of code, in the order of the layers. Absent ones are left out: git keeps no empty folder. */
export function codeFolders(): string[] {
  const present = new Set(readdirSync(ROOT));
  return ['src', 'runtime', 'adapters', 'examples', 'test'].filter((folder) => present.has(folder));
}

/** All files below `folder` (the whole tree by default), without what tools generate. */
export function files(folder = ''): string[] {
  const found: string[] = [];
  for (const entry of readdirSync(join(ROOT, folder), { withFileTypes: true })) {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
    if (entry.isFile()) found.push(path);
    else if (entry.isDirectory() && !GENERATED.has(entry.name)) found.push(...files(path));
  }
  return found.sort();
}

/** The TypeScript files of some folders, without the type tests, which break rules on purpose. */
export function sources(...folders: string[]): string[] {
  const present = new Set(codeFolders());
  return folders
    .filter((folder) => present.has(folder))
    .flatMap((folder) => files(folder))
    .filter((path) => path.endsWith('.ts') && !path.startsWith('test/types/'));
}

export function read(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8');
}

/** The syntax tree of a file: comments and strings are no longer mistaken for code. */
export function parse(path: string, text: string = read(path)): ts.SourceFile {
  return ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
}

/** `file:line`, as a terminal makes it clickable. */
export function place(node: ts.Node): string {
  const file = node.getSourceFile();
  return `${file.fileName}:${file.getLineAndCharacterOfPosition(node.getStart()).line + 1}`;
}

/** Every node below `node`, itself included, in the order of the text. */
export function* walk(node: ts.Node): Generator<ts.Node> {
  yield node;
  for (const child of node.getChildren()) yield* walk(child);
}
