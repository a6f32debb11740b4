/**
 * Plants each bug of planted-bugs.ts in a copy of the tree and runs the tests that should notice. `npm run test:planted`
 * runs all of them, `-- name ...` some. A bug that survives fails the run, and so does one whose place is not found
 * exactly once: then the code has moved on, and the list must follow.
 */

import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PLANTED_BUGS, type PlantedBug } from './planted-bugs.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const COPIED = ['src', 'runtime', 'test', 'package.json', 'tsconfig.json', 'vitest.config.ts'];
/** A bug may make a test hang instead of failing. */
const RUN_MS_MAX = 120_000;

const wanted = process.argv.slice(2);
const bugs = wanted.length === 0 ? PLANTED_BUGS : PLANTED_BUGS.filter(({ name }) => wanted.includes(name));
const folder = mkdtempSync(join(tmpdir(), 'troupe-planted-'));
const problems: string[] = [];
try {
  for (const part of COPIED) cpSync(join(ROOT, part), join(folder, part), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'), 'junction');
  const tests = [...new Set(bugs.flatMap((bug) => bug.tests))];
  if (runTests(tests).status !== 0) problems.push('the tests fail without any bug');
  for (const bug of problems.length === 0 ? bugs : []) {
    const problem = plant(bug);
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
function plant({ file, find, replace, tests }: PlantedBug): string | undefined {
  const path = join(folder, file);
  const sound = readFileSync(path, 'utf8');
  if (sound.split(find).length !== 2) return 'its place is not found exactly once';
  writeFileSync(
    path,
    sound.replace(find, () => replace),
  );
  try {
    const run = runTests(tests);
    if (run.status === 0) return 'survived';
    const output = `${run.stdout}${run.stderr}`;
    return output.includes('No test files found') ? 'no test was run' : undefined;
  } finally {
    writeFileSync(path, sound);
  }
}

function runTests(tests: readonly string[]): SpawnSyncReturns<string> {
  const vitest = join(ROOT, 'node_modules/vitest/vitest.mjs');
  const options = ['run', '--bail', '1', '--testTimeout', '20000', ...tests];
  return spawnSync(process.execPath, [vitest, ...options], {
    cwd: folder,
    encoding: 'utf8',
    timeout: RUN_MS_MAX,
    killSignal: 'SIGKILL',
  });
}
