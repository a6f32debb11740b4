import ts from 'typescript-5.9';
import { describe, expect, it } from 'vitest';
import { parse, place, sources } from './tree.ts';

const paths = sources('src', 'runtime', 'adapters', 'examples', 'test');
/** Tools that read a configuration ask for a default export. */
const configuration = /\.config\.ts$/;

function statements(chosen: readonly string[]): ts.Statement[] {
  return chosen.flatMap((path) => [...parse(path).statements]);
}

function isStarExport(statement: ts.Statement): boolean {
  return (
    ts.isExportDeclaration(statement) &&
    !(statement.exportClause && ts.isNamedExports(statement.exportClause))
  );
}

function isDefaultExport(statement: ts.Statement): boolean {
  if (ts.isExportAssignment(statement)) return true;
  if (
    ts.isExportDeclaration(statement) &&
    statement.exportClause &&
    ts.isNamedExports(statement.exportClause)
  ) {
    return statement.exportClause.elements.some((element) => element.name.text === 'default');
  }
  const modifiers = ts.canHaveModifiers(statement) ? ts.getModifiers(statement) : undefined;
  return modifiers?.some((modifier) => modifier.kind === ts.SyntaxKind.DefaultKeyword) ?? false;
}

describe('exports', () => {
  it('are named one by one: no export *', () => {
    expect(paths.length).toBeGreaterThan(0);
    expect(statements(paths).filter(isStarExport).map(place)).toEqual([]);
  });

  it('have no default, outside the configuration of tools', () => {
    const chosen = paths.filter((path) => !configuration.test(path));
    expect(chosen.length).toBeGreaterThan(0);
    expect(statements(chosen).filter(isDefaultExport).map(place)).toEqual([]);
  });

  it('are only re-exports in the entry files', () => {
    const entries = statements(sources('src').filter((path) => /^src\/[^/]+\.ts$/.test(path)));
    expect(entries.length).toBeGreaterThan(0);
    const others = entries.filter((one) => !(ts.isExportDeclaration(one) && one.moduleSpecifier));
    expect(others.map(place)).toEqual([]);
  });

  it('of every form are recognised', () => {
    const star = parse('star.ts', "export * from './a.ts'; export * as b from './b.ts';");
    expect(star.statements.filter(isStarExport)).toHaveLength(2);
    const text = "export default 1; export default function f() {} export { a as default } from './a.ts';";
    expect(parse('default.ts', text).statements.filter(isDefaultExport)).toHaveLength(3);
  });
});
