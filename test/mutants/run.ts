/**
 * Plants each bug of planted-bugs.ts in a copy of the tree and runs the tests that should notice. `npm run test:planted`
 * runs all of them, `-- name ...` some. A bug that survives fails the run, and so does one whose place is not found
 * exactly once: then the code has moved on, and the list must follow.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { PlantedBug } from './planted-bug.ts';
import { PLANTED_BUGS } from './planted-bugs.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const COPIED = ['src', 'runtime', 'adapters', 'test', 'package.json', 'tsconfig.json', 'vitest.config.ts'];
/** A run that lasts so long has noticed nothing: the tests of a bug fail, they do not hang. */
const RUN_MS_MAX = 180_000;

const wanted = process.argv.slice(2);
const bugs = wanted.length === 0 ? PLANTED_BUGS : PLANTED_BUGS.filter(({ name }) => wanted.includes(name));
const folder = mkdtempSync(join(tmpdir(), 'troupe-planted-'));
const problems: string[] = [];
try {
  for (const part of COPIED) cpSync(join(ROOT, part), join(folder, part), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'), 'junction');
  const tests = [...new Set(bugs.flatMap((bug) => bug.tests))];
  if ((await runTests(tests)) !== 'passed') problems.push('the tests fail without any bug');
  for (const bug of problems.length === 0 ? bugs : []) {
    const problem = await plant(bug);
    if (problem !== undefined) problems.push(`${bug.name}: ${problem}`);
    console.log(`${problem === undefined ? 'killed' : problem}  ${bug.name}`);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
for (const problem of problems) console.error(problem);
console.log(`${bugs.length} planted, ${bugs.length - problems.length} killed`);
process.exitCode = problems.length === 0 && bugs.length > 0 ? 0 : 1;

/** Runs the tests over one bug; answers what is wrong if they do not notice. */
async function plant({ file, find, replace, tests }: PlantedBug): Promise<string | undefined> {
  const path = join(folder, file);
  const sound = readFileSync(path, 'utf8');
  if (sound.split(find).length !== 2) return 'its place is not found exactly once';
  writeFileSync(
    path,
    sound.replace(find, () => replace),
  );
  try {
    const result = await runTests(tests);
    return result === 'failed' ? undefined : result === 'passed' ? 'survived' : result;
  } finally {
    writeFileSync(path, sound);
  }
}

/** Runs tests in a process group of their own: a bug that makes a worker hang must not leave it running. */
async function runTests(tests: readonly string[]): Promise<'passed' | 'failed' | 'hung' | 'no test was run'> {
  const vitest = join(ROOT, 'node_modules/vitest/vitest.mjs');
  const options = ['run', '--bail', '1', '--testTimeout', '20000', ...tests];
  const run = spawn(process.execPath, [vitest, ...options], { cwd: folder, detached: true });
  let output = '';
  run.stdout.on('data', (part: Buffer) => {
    output += part.toString();
  });
  run.stderr.on('data', (part: Buffer) => {
    output += part.toString();
  });
  let isOver = false;
  const limit = setTimeout(() => {
    isOver = true;
    endGroup(run.pid);
  }, RUN_MS_MAX);
  const [code] = (await once(run, 'close')) as [number | null];
  clearTimeout(limit);
  endGroup(run.pid);
  if (isOver) return 'hung';
  if (output.includes('No test files found')) return 'no test was run';
  return code === 0 ? 'passed' : 'failed';
}

function endGroup(pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL');
  } catch {
    // The group has ended already.
  }
}
