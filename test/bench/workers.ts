/** Processes that work, started by the one that gives them work. All run the same program; one that has been forked is a worker. */

import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** Milliseconds for a worker to start and to join its broker. */
const START_MS_MAX = 60_000;

/** A worker's process. */
export interface Worker {
  readonly name: string;
  /** Resolves when it has said `word`, or had before. */
  said(word: string): Promise<void>;
  /** Gives it a message of its process. */
  tell(word: string): void;
  /** Ends it without goodbye. */
  kill(): void;
}

/** Whether this process was forked by one of the same program. */
export const IS_WORKER = process.send !== undefined;

/** Tells the process that has forked this one. */
export function say(word: string): void {
  process.send?.(word);
}

/** Starts a worker, which gets its name and then `parameters`. Rejects when it ends before it has said `ready`. */
export async function startWorker(
  program: string,
  name: string,
  parameters: readonly string[],
): Promise<Worker> {
  const child = fork(fileURLToPath(program), [name, ...parameters], { serialization: 'json' });
  const heard = wordsOf(child, name);
  const worker: Worker = {
    name,
    said: heard,
    tell: (word) => {
      child.send(word);
    },
    kill: () => {
      child.kill('SIGKILL');
    },
  };
  try {
    await heard('ready');
    return worker;
  } catch (error) {
    worker.kill();
    throw error;
  }
}

function wordsOf(child: ChildProcess, name: string): (word: string) => Promise<void> {
  const words = new Set<unknown>();
  child.on('message', (word) => words.add(word));
  return (word) =>
    new Promise((resolve, reject) => {
      const end = (settle: () => void): void => {
        clearTimeout(timer);
        child.off('message', look);
        child.off('exit', ended);
        settle();
      };
      const look = (): void => {
        if (words.has(word)) end(resolve);
      };
      const ended = (code: number | null): void =>
        end(() => reject(new Error(`worker ${name} ended with code ${code} before it said ${word}`)));
      const timer = setTimeout(
        () => end(() => reject(new Error(`worker ${name} did not say ${word} in ${START_MS_MAX} ms`))),
        START_MS_MAX,
      );
      child.on('message', look);
      child.on('exit', ended);
      look();
    });
}
