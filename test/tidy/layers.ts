/**
 * Runs dependency-cruiser over the tree and checks that it looked at the tree: a file it did not read, or
 * one that belongs to no layer, fails the run. The rules are in .dependency-cruiser.cjs.
 */
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { IConfiguration, ICruiseResult } from 'dependency-cruiser';
import { codeFolders, files, ROOT } from './tree.ts';

const CONFIG = '.dependency-cruiser.cjs';
const OUTPUT_BYTES_MAX = 256 * 1024 * 1024;

/** In a process of its own: under the loader that runs this file, the tool cannot load its parser. */
function cruise(): ICruiseResult {
  const bin = join(ROOT, 'node_modules/dependency-cruiser/bin/dependency-cruise.mjs');
  const args = [bin, '--config', CONFIG, '--output-type', 'json', ...codeFolders()];
  const run = spawnSync(process.execPath, args, { cwd: ROOT, encoding: 'utf8', maxBuffer: OUTPUT_BYTES_MAX });
  if (!run.stdout.startsWith('{'))
    throw new Error(`dependency-cruiser gave no result: ${run.stdout}${run.stderr}`);
  return JSON.parse(run.stdout) as ICruiseResult;
}

/** The layers are the places that the rules named `<layer>-imports` start from. */
function layers(): RegExp[] {
  const { forbidden = [] } = createRequire(import.meta.url)(join(ROOT, CONFIG)) as IConfiguration;
  return forbidden
    .filter((rule) => rule.name?.endsWith('-imports'))
    .flatMap((rule) => rule.from.path ?? [])
    .map((path) => new RegExp(path));
}

const { modules, summary } = cruise();
const read = new Set(modules.map((module) => module.source));
const expected = codeFolders()
  .flatMap((folder) => files(folder))
  .filter((path) => path.endsWith('.ts') && !path.startsWith('test/types/'));
const places = layers();

const problems = [
  ...summary.violations.map(({ rule, from, to, cycle }) => {
    const path = cycle === undefined ? to : cycle.map((step) => step.name).join(' -> ');
    return `${rule.name}: ${from} -> ${path}`;
  }),
  ...expected.filter((path) => !read.has(path)).map((path) => `not read by dependency-cruiser: ${path}`),
  ...expected
    .filter((path) => !places.some((layer) => layer.test(path)))
    .map((path) => `belongs to no layer: ${path}`),
];
if (expected.length === 0 || places.length === 0) problems.push('nothing was looked at');

for (const problem of problems) console.error(problem);
console.log(`${expected.length} files in the tree, ${read.size} modules read, ${problems.length} problems`);
process.exitCode = problems.length === 0 ? 0 : 1;
