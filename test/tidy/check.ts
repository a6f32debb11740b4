/**
 * The gate: runs the scripts `check:*` of package.json in their order and stops at the first that fails.
 * `npm run check -- layers knip` runs only the named ones. Each step has a time limit, because a tool that
 * hangs must fail too.
 */
import { spawnSync } from 'node:child_process';
import { ROOT, read } from './tree.ts';

const STEP_TIMEOUT_MS = 300_000;
const PREFIX = 'check:';

function steps(): string[] {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
  return Object.keys(scripts)
    .filter((name) => name.startsWith(PREFIX))
    .map((name) => name.slice(PREFIX.length));
}

/** Why the step failed, or undefined. */
function failure(step: string): string | undefined {
  const run = spawnSync('npm', ['run', '--silent', PREFIX + step], {
    cwd: ROOT,
    stdio: 'inherit',
    timeout: STEP_TIMEOUT_MS,
  });
  if (run.error !== undefined) return run.error.message;
  if (run.status !== 0) return `it ended with ${run.status ?? run.signal}`;
  return undefined;
}

function check(wanted: readonly string[]): boolean {
  const known = steps();
  const unknown = wanted.filter((step) => !known.includes(step));
  const selected = wanted.length === 0 ? known : known.filter((step) => wanted.includes(step));
  if (unknown.length > 0 || selected.length === 0) {
    console.error(`No step named ${unknown.join(', ')}. The steps are: ${known.join(', ')}.`);
    return false;
  }
  for (const step of selected) {
    console.log(`--- ${step}`);
    const startedMs = performance.now();
    const reason = failure(step);
    if (reason !== undefined) {
      console.error(`check failed at step "${step}": ${reason}`);
      return false;
    }
    console.log(`--- ${step}: ok, ${((performance.now() - startedMs) / 1000).toFixed(1)} s`);
  }
  return true;
}

process.exitCode = check(process.argv.slice(2)) ? 0 : 1;
