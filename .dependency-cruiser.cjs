// The layers of the tree. Each row: a layer, what it may import besides itself, and which packages and
// built-in modules. The list is read top down: nothing imports a row below its own.
// test/tidy/layers.ts runs it and fails if a file was not read or belongs to no row.

const PROTOCOL = '^src/protocol/';
const BASE = [PROTOCOL, '^runtime/host/', '^runtime/observe/', '^runtime/actor/'];
const ENGINE = [...BASE, '^runtime/supervision/', '^runtime/routing/'];

const LAYERS = [
  { name: 'protocol', path: PROTOCOL, imports: [] },
  { name: 'host', path: '^runtime/host/', imports: [PROTOCOL], modules: 'node' },
  { name: 'observe', path: '^runtime/observe/', imports: [PROTOCOL], modules: '@opentelemetry/api' },
  { name: 'actor', path: '^runtime/actor/', imports: BASE },
  { name: 'supervision', path: '^runtime/supervision/', imports: BASE },
  { name: 'routing', path: '^runtime/routing/', imports: BASE },
  { name: 'pool', path: '^runtime/pool/', imports: ENGINE },
  { name: 'remote', path: '^runtime/remote/', imports: ENGINE, modules: 'p-queue' },
  { name: 'keyed', path: '^runtime/keyed/', imports: [...ENGINE, '^runtime/remote/'] },
  {
    name: 'wiring',
    path: '^runtime/(system\\.ts|topics\\.ts|shutdown\\.ts|bus/|testing/)',
    imports: [PROTOCOL, '^runtime/'],
    modules: 'p-queue',
  },
  { name: 'entry', path: '^src/(index|testing)\\.ts$', imports: [PROTOCOL, '^runtime/'] },
  { name: 'cli', path: '^adapters/cli/', imports: ['^adapters/'], modules: 'any' },
  // A loopback server is a hub of the memory adapter behind a socket: docs/decisions/0018-loopback-broker.md.
  {
    name: 'loopback',
    path: '^adapters/loopback/',
    imports: [PROTOCOL, '^adapters/memory/'],
    modules: 'any',
  },
  // $1 is the adapter's or the example's own folder.
  {
    name: 'adapter',
    path: '^adapters/((?!(?:cli|loopback)/)[^/]+)/',
    own: '^adapters/$1/',
    imports: [PROTOCOL],
    modules: 'any',
  },
  { name: 'example', path: '^examples/([^/]+)/', own: '^examples/$1/', imports: [], modules: 'any' },
  { name: 'example', path: '^examples/([^/]+\\.ts)$', own: '^examples/$1$', imports: [], modules: 'any' },
  { name: 'test', path: '^test/', imports: ['^(src|runtime|adapters|examples)/'], modules: 'any' },
];

// The package under its own name: resolved to its build, or not at all before the first build.
const PACKAGE = '^(dist/|troupe(/|$))';
const INSTALLED = 'node_modules/';
const NODE = ['core'];

function layerRule({ name, path, own = path, imports }) {
  return {
    name: `${name}-imports`,
    comment: `Layer "${name}" may import from the tree: itself${imports.map((to) => `, ${to}`).join('')}.`,
    severity: 'error',
    from: { path },
    to: { path: '^(src|runtime|adapters|test|examples)/', pathNot: [own, ...imports] },
  };
}

function moduleRules({ name, path, modules }) {
  if (modules === 'any') return [];
  const rules = [];
  if (modules !== 'node') {
    rules.push({
      name: `${name}-built-ins`,
      severity: 'error',
      from: { path },
      to: { dependencyTypes: NODE },
    });
  }
  rules.push({
    name: `${name}-packages`,
    severity: 'error',
    from: { path },
    to: {
      path: INSTALLED,
      ...(modules && modules !== 'node' ? { pathNot: `${INSTALLED}${modules}/` } : {}),
    },
  });
  return rules;
}

module.exports = {
  forbidden: [
    { name: 'no-circle', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'no-unresolvable',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true, pathNot: PACKAGE },
    },
    {
      name: 'published-code-needs-published-packages',
      comment: 'What users install must be a dependency or a peer dependency, never a development one.',
      severity: 'error',
      from: { path: '^(src|runtime|adapters)/' },
      to: {
        dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'],
        dependencyTypesNot: ['npm-peer'],
        pathNot: PACKAGE,
      },
    },
    {
      name: 'own-name-is-for-users',
      comment: 'Only the command line, examples and tests use the package by its name.',
      severity: 'error',
      from: { path: '^(src|runtime|adapters/(?!cli/))' },
      to: { path: PACKAGE },
    },
    ...LAYERS.map(layerRule),
    ...LAYERS.flatMap(moduleRules),
  ],
  options: {
    // TypeScript 7 has no API for this tool: with another parser it reads 0 modules and passes.
    parser: 'swc',
    tsPreCompilationDeps: true,
    doNotFollow: { path: ['node_modules', '^dist/'] },
    exclude: { path: '^test/types/' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'types', 'node', 'default'],
      extensions: ['.ts', '.js', '.cjs', '.mjs', '.d.ts', '.json'],
    },
  },
};
