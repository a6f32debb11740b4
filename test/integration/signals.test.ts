import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, vi } from 'vitest';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
/** A process that takes longer hangs, and is killed. */
const RUN_MS = 30_000;
vi.setConfig({ testTimeout: 2 * RUN_MS });

/** Runs the program; `react` is told each line it says, and may send it a signal. */
function runProgram(
  way: string,
  react: (line: string, send: (signal: NodeJS.Signals) => void) => void,
): Promise<{ code: number | null; signal: NodeJS.Signals | null; lines: string[] }> {
  const args = ['--import', 'tsx', 'test/support/signal-program.ts', way];
  const child = spawn(process.execPath, args, {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: RUN_MS,
    killSignal: 'SIGKILL',
  });
  const lines: string[] = [];
  let rest = '';
  child.stdout.setEncoding('utf8');
  child.stdout.on('data', (text: string) => {
    const parts = (rest + text).split('\n');
    rest = parts.pop() ?? '';
    for (const line of parts) {
      lines.push(line);
      react(line, (signal) => child.kill(signal));
    }
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal, lines }));
  });
}

describe('a process whose system listens for signals', () => {
  it.each([
    ['SIGTERM', 143],
    ['SIGINT', 130],
  ] as const)(
    'works off its mailboxes at %s, closes, and ends by itself with code %i',
    async (signal, code) => {
      const ending = await runProgram('clean', (line, send) => {
        if (line === 'ready') send(signal);
      });
      expect(ending).toEqual({
        code,
        signal: null,
        lines: ['ready', 'announced', 'job 1', 'job 2', 'job 3', 'stopped', 'closed'],
      });
    },
  );

  it('is ended when something keeps it after its system has ended', async () => {
    const ending = await runProgram('open', (line, send) => {
      if (line === 'ready') send('SIGTERM');
    });
    expect(ending).toMatchObject({ code: 143, signal: null });
    expect(ending.lines.at(-1)).toBe('closed');
  });

  it('is ended at once by a second signal', async () => {
    const ending = await runProgram('stuck', (line, send) => {
      if (line === 'ready') send('SIGTERM');
      if (line === 'announced') send('SIGINT');
    });
    expect(ending).toEqual({ code: 130, signal: null, lines: ['ready', 'announced'] });
  });
});
