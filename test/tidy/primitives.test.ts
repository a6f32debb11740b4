import ts from 'typescript-5.9';
import { describe, expect, it } from 'vitest';
import { parse, place, sources, walk } from './tree.ts';

/** Where time and chance come from; everything else is handed a clock and a generator. A loopback server is opened by nobody who could hand it one. */
const HOSTS = ['runtime/host/', 'adapters/loopback/host.ts'];

const GLOBALS = new Set([
  'Date',
  'performance',
  'setTimeout',
  'setInterval',
  'setImmediate',
  'clearTimeout',
  'clearInterval',
  'clearImmediate',
]);
const MEMBERS = new Set([
  'Math.random',
  'AbortSignal.timeout',
  'process.hrtime',
  'process.uptime',
  'crypto.randomUUID',
  'crypto.getRandomValues',
]);
const MODULES = new Set(['timers', 'timers/promises', 'perf_hooks', 'crypto']);

/** A name that is used as a value, not the name of a property, a key or a declared member. */
function isGlobalUse(node: ts.Identifier): boolean {
  const parent = node.parent;
  if (ts.isPropertyAccessExpression(parent) && parent.name === node) {
    return parent.expression.getText() === 'globalThis';
  }
  // `value instanceof Date` reads no clock.
  if (ts.isBinaryExpression(parent) && parent.operatorToken.kind === ts.SyntaxKind.InstanceOfKeyword)
    return false;
  if (ts.isTypeReferenceNode(parent) || ts.isQualifiedName(parent) || ts.isTypeQueryNode(parent))
    return false;
  if (ts.isPropertyAssignment(parent)) return parent.initializer === node;
  const isMember =
    ts.isPropertySignature(parent) ||
    ts.isMethodSignature(parent) ||
    ts.isPropertyDeclaration(parent) ||
    ts.isMethodDeclaration(parent) ||
    ts.isGetAccessorDeclaration(parent) ||
    ts.isSetAccessorDeclaration(parent);
  return !(isMember && parent.name === node);
}

/** `new Date(value)` and `Date.parse(text)` convert between a number and its text, and read no clock. */
function isConversion(node: ts.Identifier): boolean {
  const { parent } = node;
  if (ts.isNewExpression(parent)) return parent.expression === node && (parent.arguments?.length ?? 0) > 0;
  return ts.isPropertyAccessExpression(parent) && parent.expression === node && parent.name.text === 'parse';
}

/** These give the same for the same each time: no chance comes in by them. */
const DIGESTS = new Set(['createHash', 'createHmac', 'timingSafeEqual']);

/** Whether nothing but those is imported. */
function isDigest({ importClause }: ts.ImportDeclaration): boolean {
  const names = importClause?.namedBindings;
  return (
    names !== undefined &&
    ts.isNamedImports(names) &&
    names.elements.every((each) => DIGESTS.has((each.propertyName ?? each.name).text))
  );
}

function primitivesIn(file: ts.SourceFile): string[] {
  const found: string[] = [];
  for (const node of walk(file)) {
    if (ts.isIdentifier(node) && GLOBALS.has(node.text) && isGlobalUse(node) && !isConversion(node)) {
      found.push(`${place(node)} ${node.text}`);
    } else if (ts.isPropertyAccessExpression(node)) {
      const text = node.getText().replace(/^globalThis\./, '');
      if (MEMBERS.has(text)) found.push(`${place(node)} ${text}`);
    } else if (ts.isStringLiteral(node) && MODULES.has(node.text.replace(/^node:/, ''))) {
      if (ts.isImportDeclaration(node.parent) && !isDigest(node.parent))
        found.push(`${place(node)} ${node.text}`);
    }
  }
  return found;
}

describe('clock, timers and randomness', () => {
  it('appear only in runtime/host, and in the host of a server', () => {
    const scanned = sources('src', 'runtime', 'adapters');
    const outside = scanned.filter((path) => !HOSTS.some((host) => path.startsWith(host)));
    expect(outside.length).toBeGreaterThan(0);
    expect(outside.flatMap((path) => primitivesIn(parse(path)))).toEqual([]);
  });

  it.each(HOSTS)('are found in %s, so that the search is known to see them', (host) => {
    const hosts = sources('runtime', 'adapters').filter((path) => path.startsWith(host));
    expect(hosts.flatMap((path) => primitivesIn(parse(path)))).not.toEqual([]);
  });

  it('are told from comments, strings, keys and types', () => {
    const harmless = `
      // setTimeout(f); Date.now()
      const text = 'Math.random() performance';
      interface Clock { setTimeout(f: () => void): void; performance: number }
      clock.setTimeout(f); const o = { Date: 1 }; x instanceof Date; let d: Date;
      new Date(ms).toISOString(); Date.parse(text);
      import { createHash, createHmac } from 'node:crypto';`;
    expect(primitivesIn(parse('harmless.ts', harmless))).toEqual([]);

    const harmful = [
      'setTimeout(f, 1);',
      'globalThis.setImmediate(f);',
      'const t = Date.now();',
      'new Date();',
      'const r = Math.random;',
      'const later = { setTimeout };',
      "import { setTimeout } from 'node:timers/promises';",
      "import { performance as p } from 'node:perf_hooks';",
      'AbortSignal.timeout(5);',
      'const id = crypto.randomUUID();',
      "import { createHmac, randomBytes } from 'node:crypto';",
    ];
    for (const line of harmful) expect(primitivesIn(parse('harmful.ts', line)), line).not.toEqual([]);
  });
});
