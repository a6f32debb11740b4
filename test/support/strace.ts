/** System calls of a program, seen by `strace`. */

import { spawnSync } from 'node:child_process';

/** Why calls cannot be seen here, or nothing. */
export function straceProblem(): string | undefined {
  if (process.platform !== 'linux') return `strace is for Linux, not ${process.platform}`;
  const { error, status, stderr } = spawnSync('strace', ['-o', '/dev/null', 'true'], { encoding: 'utf8' });
  if (error !== undefined) return 'strace is not installed';
  return status === 0 ? undefined : `strace does not work: ${stderr.trim().split('\n').at(-1) ?? ''}`;
}

/** Whether a suite that cannot run fails instead of being skipped. */
export const IS_REQUIRED = process.env['TROUPE_BROKERS'] === 'required' || process.env['CI'] === 'true';

/** One call that has come back. */
export interface SystemCall {
  readonly name: string;
  /** What it was given and what it answered, as strace writes it. */
  readonly text: string;
}

const SHOWN = /^(\d+)\s+(?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)$/;

/**
 * The calls of a trace (`strace -f`), in the order in which they came back. A call of one thread that another's cuts in two is
 * put together again.
 */
export function callsOf(trace: string): readonly SystemCall[] {
  const calls: SystemCall[] = [];
  const begun = new Map<string, string>();
  for (const line of trace.split('\n')) {
    const [, thread = '', resumed, started, rest = ''] = SHOWN.exec(line) ?? [];
    const name = resumed ?? started;
    if (name === undefined) continue;
    const text = resumed === undefined ? rest : `${begun.get(thread) ?? ''}${rest}`;
    if (text.endsWith('<unfinished ...>')) begun.set(thread, text.replace('<unfinished ...>', ''));
    else calls.push({ name, text });
  }
  return calls;
}
