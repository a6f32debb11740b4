/**
 * Two processes on one broker, the same scenes for whatever carries the messages: one process handles, the other sends. The second one starts the
 * first, and prints what was measured as one line of JSON. Each text begins with its number, and the handling process counts how often each
 * number came, so a lost one or a copy shows in the result.
 */

import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** What is measured. */
export const SCENES = ['throughput', 'round-trip', 'critical', 'stopped'] as const;
export type SceneName = (typeof SCENES)[number];

/** One measurement. */
export interface Scene {
  readonly name: SceneName;
  readonly url: string;
  /** Characters of each text. */
  readonly size: number;
  /** Messages, requests, or those of the backlog. */
  readonly count: number;
  /** Unlike that of every other measurement. */
  readonly key: string;
}

/** What a pair prints. What a scene does not measure is 0. */
export interface PairResult {
  readonly sent: number;
  /** Numbers that came at least once. */
  readonly received: number;
  readonly copies: number;
  readonly perSecond: number;
  /** Microseconds of processor time for each message, in both processes: what other work on the machine changes least. */
  readonly senderUs: number;
  readonly handlerUs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Less urgent messages that were handled between the sending of an urgent one and its handling: the mean. */
  readonly overtaken: number;
  /** What the sender's memory has grown by, in MiB, and what was taken from it, while nobody handles. */
  readonly grownMiB: number;
  readonly accepted: number;
}

/** Handles texts; an answer is awaited before the next one of its kind. */
export type Handle = (text: string) => Promise<void> | void;

/** Something that carries texts from one process to another. */
export interface Carrier {
  /** Reads from now on. Questions are answered with what they are. */
  readonly consume: (scene: Scene, handle: Handle) => Promise<() => Promise<void>>;
  readonly produce: (scene: Scene) => Promise<Sender>;
}

/** The sending side. */
export interface Sender {
  /** Resolves when the broker has it. */
  readonly publish: (text: string, isUrgent: boolean) => Promise<unknown>;
  readonly ask: (text: string) => Promise<unknown>;
  readonly close: () => Promise<void>;
}

const NUMBER_CHARACTERS = 10;
const URGENT = 'urgent';
/** Messages whose confirmation is awaited together; the next ones are sent meanwhile. */
const WINDOW = 1_000;
/** Milliseconds that one message of a backlog takes. */
const WORK_MS = 1;
const URGENT_MESSAGES = 20;
/** Milliseconds for which is published to nobody, and messages that wait for a confirmation meanwhile at the most. */
const STOPPED_MS = 4_000;
const OFFERED_MAX = 20_000;
/** Messages that warm both processes up, and are not counted. */
const WARM_UP = 1_000;

interface Report {
  readonly type: 'ready' | 'done' | 'urgent' | 'count';
  readonly received: number;
  readonly copies: number;
  /** Processor time that the handling process has used so far. */
  readonly usedUs: number;
}

/** Runs the role that this process has been given. */
export async function runPair(carrier: Carrier, program: string): Promise<void> {
  const [name = '', url = '', size = '', count = '', key = ''] = process.argv.slice(2);
  const sceneName = SCENES.find((each) => each === name);
  if (sceneName === undefined) throw new Error(`no scene is called ${name}`);
  const scene = { name: sceneName, url, size: Number(size), count: Number(count), key };
  if (process.send !== undefined) await handleAll(carrier, scene);
  else console.log(JSON.stringify(await sendAll(carrier, scene, program)));
  // Some of the drivers keep sockets open for a while after they were closed.
  process.exit(0);
}

// --- the handling process ---------------------------------------------------------------------------------------------------

async function handleAll(carrier: Carrier, scene: Scene): Promise<void> {
  const times = new Uint16Array(scene.count + WARM_UP);
  let received = 0;
  let copies = 0;
  const tell = (type: Report['type']): void => {
    process.send?.({ type, received, copies, usedUs: usedUs() } satisfies Report);
  };
  const handle: Handle = async (text) => {
    if (text.startsWith(URGENT)) {
      tell('urgent');
      return;
    }
    const number = Number(text.slice(0, NUMBER_CHARACTERS));
    if (scene.name === 'critical' && number >= WARM_UP)
      await new Promise((resolve) => setTimeout(resolve, WORK_MS));
    const before = times[number] ?? 0;
    times[number] = before + 1;
    if (before > 0) copies++;
    else if (++received === WARM_UP || received === times.length) tell('done');
  };
  const close = await carrier.consume(scene, handle);
  tell('ready');
  await new Promise<void>((resolve) => {
    process.on('message', (word) => {
      if (word === 'count') tell('count');
      else resolve();
    });
  });
  // A copy would come soon after.
  await new Promise((resolve) => setTimeout(resolve, 200));
  tell('done');
  await close();
}

// --- the sending process ----------------------------------------------------------------------------------------------------

async function sendAll(carrier: Carrier, scene: Scene, program: string): Promise<PairResult> {
  const other = fork(fileURLToPath(program), process.argv.slice(2), { serialization: 'json' });
  const reports = new Reports(other);
  try {
    await reports.next('ready');
    const sender = await carrier.produce(scene);
    const result = await measure(sender, scene, reports, other);
    await sender.close();
    return result;
  } finally {
    other.kill('SIGKILL');
  }
}

/** What the other process says, as it is awaited. */
class Reports {
  private readonly kept: Report[] = [];
  private wake: () => void = () => undefined;
  private problem: Error | undefined;

  constructor(process: ChildProcess) {
    process.on('message', (report) => {
      this.kept.push(report as Report); // the other side is this file
      this.wake();
    });
    process.on('exit', (code) => {
      this.problem = new Error(`the handling process ended with code ${code}`);
      this.wake();
    });
  }

  async next(type: Report['type']): Promise<Report> {
    for (;;) {
      const place = this.kept.findIndex((report) => report.type === type);
      const [report] = place < 0 ? [] : this.kept.splice(place, 1);
      if (report !== undefined) return report;
      if (this.problem !== undefined) throw this.problem;
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }
}

async function measure(
  sender: Sender,
  scene: Scene,
  reports: Reports,
  other: ChildProcess,
): Promise<PairResult> {
  const none = {
    perSecond: 0,
    senderUs: 0,
    handlerUs: 0,
    p50Ms: 0,
    p99Ms: 0,
    overtaken: 0,
    grownMiB: 0,
    accepted: 0,
  };
  const { count, size } = scene;
  if (scene.name === 'stopped') {
    other.kill('SIGSTOP');
    return { ...none, sent: 0, received: 0, copies: 0, ...(await offer(sender, size)) };
  }
  await publishAll(sender, size, 0, WARM_UP);
  const warm = await reports.next('done');
  const counted = async (): Promise<{ readonly received: number; readonly copies: number }> => {
    other.send('finish');
    const { received, copies } = await reports.next('done');
    return { received, copies };
  };
  switch (scene.name) {
    case 'throughput': {
      const began = performance.now();
      const before = usedUs();
      await publishAll(sender, size, WARM_UP, count);
      const { usedUs: handled } = await reports.next('done');
      const perSecond = (count / (performance.now() - began)) * 1_000;
      const senderUs = (usedUs() - before) / count;
      const handlerUs = (handled - warm.usedUs) / count;
      return { ...none, sent: count + WARM_UP, ...(await counted()), perSecond, senderUs, handlerUs };
    }
    case 'round-trip': {
      const asked = await askAll(sender, size, count);
      return { ...none, sent: WARM_UP, ...(await counted()), ...asked };
    }
    case 'critical': {
      const whole = publishAll(sender, size, WARM_UP, count);
      await whole;
      const latencies: number[] = [];
      let overtaken = 0;
      while (latencies.length < URGENT_MESSAGES) {
        const before = await countIn(other, reports);
        // What nothing is in front of overtakes nothing.
        if (before >= count + WARM_UP) break;
        const { latencyMs, received } = await urgent(sender, reports);
        latencies.push(latencyMs);
        overtaken += received - before;
      }
      if (latencies.length === 0) throw new Error('the backlog was gone before anything could overtake it');
      overtaken /= latencies.length;
      await reports.next('done');
      return { ...none, sent: count + WARM_UP, ...(await counted()), ...quantiles(latencies), overtaken };
    }
  }
}

/** Messages that were handled so far. */
async function countIn(other: ChildProcess, reports: Reports): Promise<number> {
  other.send('count');
  return (await reports.next('count')).received;
}

async function urgent(
  sender: Sender,
  reports: Reports,
): Promise<{ readonly latencyMs: number; readonly received: number }> {
  const began = performance.now();
  await sender.publish(URGENT, true);
  const { received } = await reports.next('urgent');
  return { latencyMs: performance.now() - began, received };
}

async function publishAll(sender: Sender, size: number, from: number, count: number): Promise<void> {
  let before: Promise<unknown> = Promise.resolve();
  for (let next = from; next < from + count; ) {
    const window: Promise<unknown>[] = [];
    for (const end = Math.min(next + WINDOW, from + count); next < end; next++)
      window.push(sender.publish(textOf(next, size), false));
    await before;
    before = Promise.all(window);
  }
  await before;
}

async function askAll(sender: Sender, size: number, count: number): Promise<Partial<PairResult>> {
  const latencies: number[] = [];
  for (let n = 0; n < Math.min(count, 200); n++) await sender.ask(textOf(n, size));
  const began = performance.now();
  for (let n = 0; n < count; n++) {
    const at = performance.now();
    await sender.ask(textOf(n, size));
    latencies.push(performance.now() - at);
  }
  const perSecond = (count / (performance.now() - began)) * 1_000;
  return { perSecond, ...quantiles(latencies) };
}

/** Publishes to nobody for a while. */
async function offer(sender: Sender, size: number): Promise<Partial<PairResult>> {
  let accepted = 0;
  let waiting = 0;
  const before = memoryMiB();
  const end = performance.now() + STOPPED_MS;
  for (let n = 0; performance.now() < end; n++) {
    while (waiting >= OFFERED_MAX && performance.now() < end)
      await new Promise((resolve) => setTimeout(resolve, 10));
    waiting++;
    const over = (): void => {
      waiting--;
    };
    sender.publish(textOf(n, size), false).then(() => {
      accepted++;
      over();
    }, over);
    if (n % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  return { grownMiB: memoryMiB() - before, accepted };
}

/** Processor time of this process, in all of its threads. */
function usedUs(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

function memoryMiB(): number {
  globalThis.gc?.();
  return process.memoryUsage().rss / 2 ** 20;
}

function textOf(number: number, size: number): string {
  return String(number).padStart(NUMBER_CHARACTERS, '0').padEnd(size, 'x');
}

function quantiles(latencies: readonly number[]): { readonly p50Ms: number; readonly p99Ms: number } {
  const sorted = latencies.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.floor(sorted.length * share)] ?? 0;
  return { p50Ms: at(0.5), p99Ms: at(0.99) };
}
