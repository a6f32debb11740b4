/** Worker processes: started, and ended by a word, or by `kill -9`. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(new URL('worker.ts', import.meta.url));
/** Milliseconds in which an answer that was given before a process stopped still comes. */
const LAST_ANSWERS_MS = 100;
/** Milliseconds that a worker may take to end by itself. */
const END_MS = 5_000;

/** How workers find their system. */
export interface Meeting {
  readonly url: string;
  readonly prefix: string;
}

/** The workers of a run. */
export class Workers {
  readonly #processes = new Map<string, ChildProcess>();

  /** Starts one process for each name; resolves when all have joined. */
  static async start(names: readonly string[], { url, prefix }: Meeting): Promise<Workers> {
    const workers = new Workers();
    try {
      const starting = names.map(async (name) => {
        // In the environment: arguments of a process are shown to everybody.
        const env = { ...process.env, MAILROOM_BROKER: url, MAILROOM_PREFIX: prefix, MAILROOM_NODE: name };
        const child = fork(PROGRAM, { env });
        workers.#processes.set(name, child);
        const ended = once(child, 'exit').then(([code, signal]) => {
          throw new Error(`worker ${name} ended before it had joined (${code ?? signal})`);
        });
        await Promise.race([once(child, 'message'), ended]);
      });
      await Promise.all(starting);
    } catch (error) {
      await workers.stop();
      throw error;
    }
    return workers;
  }

  /** Stops a process where it stands; resolves when its last answers have come. */
  async stopAnswering(name: string): Promise<void> {
    this.#processes.get(name)?.kill('SIGSTOP');
    await new Promise((resolve) => {
      setTimeout(resolve, LAST_ANSWERS_MS);
    });
  }

  /** `kill -9`: it says goodbye to nobody. */
  kill(name: string): void {
    this.#processes.get(name)?.kill('SIGKILL');
  }

  /** Lets all end; whoever does not is killed. */
  async stop(): Promise<void> {
    await Promise.all([...this.#processes.values()].map(ended));
  }
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  if (child.connected) child.disconnect();
  const late = setTimeout(() => child.kill('SIGKILL'), END_MS);
  await exit;
  clearTimeout(late);
}

/** Worker processes, and how the mailroom meets them. */
export interface Away {
  readonly names: readonly string[];
  readonly workers: Workers;
  readonly meeting: Meeting;
}
