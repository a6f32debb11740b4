/** Programs of `test/support` run as processes of their own, read line by line, and killed when a test says so. */

import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
/** A process that takes longer hangs, and is killed. */
const RUN_MS = 60_000;

/** What became of a process. */
export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Its whole lines. */
  readonly lines: readonly string[];
  readonly errors: string;
}

/** A process that runs. */
export interface RunningProgram {
  /** The number of lines that it has said so far. */
  readonly said: () => number;
  /** Ends it on the spot: SIGKILL. */
  readonly kill: () => void;
  readonly signal: (signal: NodeJS.Signals) => void;
  readonly ended: Promise<Ending>;
}

/** Runs `test/support/<name>.ts`. `react` is told of each line; `before` are a command and its arguments that run node. */
export function runProgram(
  name: string,
  parameters: readonly string[],
  react: (line: string, kill: () => void) => void = () => {},
  before: readonly string[] = [],
): RunningProgram {
  const node = [process.execPath, '--import', 'tsx', `test/support/${name}.ts`, ...parameters];
  const [command = '', ...rest] = [...before, ...node];
  const child = spawn(command, rest, {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: RUN_MS,
    killSignal: 'SIGKILL',
  });
  const lines: string[] = [];
  const kill = (): void => {
    child.kill('SIGKILL');
  };
  const signal = (name: NodeJS.Signals): void => {
    child.kill(name);
  };
  return { said: () => lines.length, kill, signal, ended: follow(child, lines, (line) => react(line, kill)) };
}

function follow(child: ChildProcess, lines: string[], react: (line: string) => void): Promise<Ending> {
  let part = '';
  let errors = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    const whole = (part + text).split('\n');
    part = whole.pop() ?? '';
    for (const line of whole) {
      lines.push(line);
      react(line);
    }
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal, lines, errors }));
  });
}
