/**
 * A real server that a test starts: a child process on free loopback ports, with its data in a temporary folder. It can be
 * killed, stopped with SIGSTOP and started again on the same port with the same data. It never outlives the process that
 * started it: a guard, which waits for the end of a pipe from that process, kills the server and removes its folder.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { mkdtemp, readdir, readFile } from 'node:fs/promises';
import { createServer, connect as openSocket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** Milliseconds for a server to answer: a slow machine, not a hanging server. */
const READY_TIMEOUT_MS = 60_000;
/** Milliseconds for a server to end by itself after SIGTERM before it is killed. */
const STOP_TIMEOUT_MS = 20_000;
/** Ports are below those that Linux gives to outgoing connections, so that one stays free while its server is down. */
const PORT_MIN = 18_000;
/** Ports of one worker of vitest. A port is chosen some seconds before it is used: what another worker may choose is never free for sure. */
const WORKER_PORTS = 1_750;
const WORKERS = 8;

/** A server that the tests started. */
export interface TestServer {
  readonly kind: string;
  /** Where clients connect, with user and password where it needs them. */
  readonly url: string;
  readonly port: number;
  /** Its data and logs; removed at the end. */
  readonly folder: string;
  /** Of the process that runs now; the last one's while none does. */
  readonly pid: number;
  /** SIGKILL, and waits until it is gone. */
  kill(): Promise<void>;
  /** Starts it again, with its data and port, after ending it in order if it runs. Resolves when it answers. */
  restart(): Promise<void>;
  /** SIGSTOP: connections stay, and nothing answers. Resolves when the last of its threads has stopped. */
  pause(): Promise<void>;
  /** SIGCONT. */
  resume(): void;
  /** Ends it for good, and removes its folder. */
  stop(): Promise<void>;
}

/** A program to run. */
export interface Program {
  readonly command: string;
  readonly parameters: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

/** How one kind of server is started. */
export interface Recipe {
  readonly kind: string;
  readonly url: string;
  readonly port: number;
  /** From `serverFolder`; the server's output goes to `server.log` in it. */
  readonly folder: string;
  readonly program: Program;
  /** Programs that it needs beside it: started before it, left alone by `kill` and `restart`, ended by `stop`. */
  readonly companions?: readonly Program[];
  /** Whether it answers. What it throws means no. */
  readonly isReady: () => Promise<boolean>;
}

/** A new folder for a server. The guard of its server removes it. */
export function serverFolder(kind: string): Promise<string> {
  return mkdtemp(join(tmpdir(), `troupe-${kind}-`));
}

/** Loopback ports that nobody listens on now. */
export async function freePorts(count: number): Promise<number[]> {
  const worker = Number(process.env['VITEST_POOL_ID'] ?? 0) % WORKERS;
  const ports = new Set<number>();
  while (ports.size < count) {
    const port = PORT_MIN + worker * WORKER_PORTS + Math.floor(Math.random() * WORKER_PORTS);
    if (await isFree(port)) ports.add(port);
  }
  return [...ports];
}

/** Starts a server and resolves when it answers. */
export async function startServer(recipe: Recipe): Promise<TestServer> {
  const server = new ChildServer(recipe);
  try {
    await server.start();
  } catch (error) {
    await server.stop();
    throw error;
  }
  return server;
}

/** What a port answers to these bytes: the first chunk, or nothing if there is none within 2 s. */
export async function firstAnswer(port: number, bytes: string | Uint8Array): Promise<Buffer> {
  const socket = openSocket({ host: '127.0.0.1', port });
  try {
    socket.write(bytes);
    const [chunk] = (await once(socket, 'data', { signal: AbortSignal.timeout(2_000) })) as [Buffer];
    return chunk;
  } finally {
    socket.destroy();
  }
}

class ChildServer implements TestServer {
  readonly kind: string;
  readonly url: string;
  readonly port: number;
  readonly folder: string;
  private readonly recipe: Recipe;
  private readonly guard: Guard;
  private readonly companions: Running[] = [];
  private running: Running | undefined;

  constructor(recipe: Recipe) {
    this.recipe = recipe;
    this.kind = recipe.kind;
    this.url = recipe.url;
    this.port = recipe.port;
    this.folder = recipe.folder;
    this.guard = new Guard(recipe.folder);
  }

  get pid(): number {
    if (this.running === undefined) throw new Error(`The ${this.kind} was never started.`);
    return this.running.pid;
  }

  async start(): Promise<void> {
    for (const program of this.companions.length > 0 ? [] : (this.recipe.companions ?? []))
      this.companions.push(await run(program, this.recipe.folder, 'companion.log'));
    this.running = await run(this.recipe.program, this.recipe.folder, 'server.log');
    this.watch();
    await this.ready(this.running);
  }

  async kill(): Promise<void> {
    await this.running?.end('SIGKILL');
    this.watch();
  }

  async restart(): Promise<void> {
    await this.endInOrder();
    await this.start();
  }

  async pause(): Promise<void> {
    const pid = this.livingPid();
    process.kill(pid, 'SIGSTOP');
    while (!(await isStopped(pid))) await delay(1);
  }

  resume(): void {
    process.kill(this.livingPid(), 'SIGCONT');
  }

  async stop(): Promise<void> {
    await this.endInOrder();
    for (const companion of this.companions.splice(0)) await companion.end('SIGKILL');
    await this.guard.leave();
  }

  private async endInOrder(): Promise<void> {
    if (this.running === undefined || this.running.hasEnded) return;
    this.resume(); // one that is stopped would not hear of its end
    const late = new AbortController();
    const timer = delay(STOP_TIMEOUT_MS, undefined, { signal: late.signal }).then(
      () => this.running?.end('SIGKILL'),
      () => undefined,
    );
    await this.running.end('SIGTERM');
    late.abort();
    await timer;
    this.watch();
  }

  private livingPid(): number {
    if (this.running === undefined || this.running.hasEnded)
      throw new Error(`The ${this.kind} does not run.`);
    return this.running.pid;
  }

  private watch(): void {
    const all = this.running === undefined ? this.companions : [this.running, ...this.companions];
    this.guard.watch(all.filter((one) => !one.hasEnded).map((one) => one.pid));
  }

  private async ready(running: Running): Promise<void> {
    const endMs = Date.now() + READY_TIMEOUT_MS;
    while (!(await this.recipe.isReady().catch(() => false))) {
      if (running.hasEnded || Date.now() > endMs) {
        const log = await readFile(join(this.recipe.folder, 'server.log'), 'utf8').catch(() => '');
        const what = running.hasEnded ? 'ended' : `did not answer within ${READY_TIMEOUT_MS} ms`;
        throw new Error(`The ${this.kind} ${what}. The end of its log:\n${log.slice(-2_000)}`);
      }
      await delay(20);
    }
  }
}

/** A child process, and its end. */
class Running {
  readonly pid: number;
  private readonly child: ChildProcess;
  private readonly ended: Promise<unknown>;

  constructor(child: ChildProcess, pid: number) {
    this.child = child;
    this.pid = pid;
    this.ended =
      child.exitCode === null && child.signalCode === null ? once(child, 'exit') : Promise.resolve();
  }

  get hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  async end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    if (!this.hasEnded) this.child.kill(signal);
    await this.ended;
  }
}

async function run(
  { command, parameters, environment }: Program,
  folder: string,
  log: string,
): Promise<Running> {
  const output = openSync(join(folder, log), 'a');
  const child = spawn(command, parameters, {
    cwd: folder,
    // A session of its own: what is typed at the terminal of the tests does not reach it.
    detached: true,
    env: { ...process.env, ...environment },
    stdio: ['ignore', output, output],
  });
  closeSync(output);
  await once(child, 'spawn'); // rejects with what went wrong, if it did
  if (child.pid === undefined) throw new Error(`${command} has no pid.`);
  return new Running(child, child.pid);
}

/**
 * A shell that reads lines of pids until the pipe ends, which the kernel does when this process dies, however that happens. Then it
 * kills those of the last line, and removes the folder.
 */
class Guard {
  private readonly shell: ChildProcess;

  constructor(folder: string) {
    const script = [
      'trap "" HUP INT TERM',
      'while read -r line; do pids=$line; done',
      // Unquoted: the line is a list of numbers.
      'for pid in $pids; do kill -KILL "$pid"; done 2>/dev/null',
      'for try in 1 2 3 4 5; do rm -rf "$1" 2>/dev/null && break; sleep 0.2; done',
    ].join('\n');
    this.shell = spawn('sh', ['-c', script, 'guard', folder], {
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    this.shell.unref();
  }

  watch(pids: readonly number[]): void {
    this.shell.stdin?.write(`${pids.join(' ')}\n`);
  }

  /** Ends the guard, which removes the folder. Nothing may run any more. */
  async leave(): Promise<void> {
    if (this.shell.exitCode !== null) return;
    const end = once(this.shell, 'exit');
    this.shell.ref();
    this.shell.stdin?.end('\n');
    await end;
  }
}

/** Whether all threads of a process have stopped: the signal takes a moment. Where there is no /proc it is believed. */
async function isStopped(pid: number): Promise<boolean> {
  const threads = await readdir(`/proc/${pid}/task`).catch(() => []);
  const states = await Promise.all(
    threads.map((thread) => readFile(`/proc/${pid}/task/${thread}/stat`, 'utf8').catch(() => ') T')),
  );
  // The state follows the name, which is in parentheses and may have some itself.
  return states.every((stat) => ['T', 'Z', 'X'].includes(stat.slice(stat.lastIndexOf(')') + 2)[0] ?? 'T'));
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ host: '127.0.0.1', port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}
