/**
 * Messages through a broker, beside what its bare client does and beside peers: same server, same run, in alternation. Run it with
 * `npm run bench:brokers`; `-- --broker redis --runs 1 --messages 2000 --requests 200 --backlog 500 --sizes 256` makes it short. It prints tables,
 * and ends with exit code 1 if a message was lost or came twice where that must not be, and not for a slow machine: targets
 * are marked as met or missed.
 *
 * Each measurement is two processes of its own on a server that was started for the run (pair.ts). A broker whose adapter or server is not
 * here, and a peer that is not installed, is a line that says so.
 */

import { existsSync, readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { summarize } from './measurement.ts';
import type { PairResult, SceneName } from './pair.ts';
import { hasPeer } from './peer.ts';
import { Programs } from './programs.ts';
import { withServer } from './servers.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** One way to carry messages. */
interface Contestant {
  readonly title: string;
  readonly program: string;
  /** The package that has to be installed for it. */
  readonly peer?: string;
  /** Messages may be lost without a word: what came is shown, and no failure. */
  readonly isAtMostOnce?: boolean;
  /** It lets urgent messages overtake. */
  readonly isRanked?: boolean;
}

interface BrokerKind {
  /** The package of its client, and what that does alone: absent where there is none. */
  readonly client?: string;
  readonly raw?: Contestant;
  /** Peers that run on it. */
  readonly peers: readonly Contestant[];
}

const MOLECULER: Contestant = {
  title: 'moleculer',
  program: 'peers/moleculer',
  peer: 'moleculer',
  isAtMostOnce: true,
};

const BROKERS: Readonly<Record<string, BrokerKind>> = {
  redis: {
    client: 'ioredis',
    raw: { title: 'ioredis, pipelined streams', program: 'limit/redis-streams' },
    peers: [{ title: 'BullMQ', program: 'peers/bullmq', peer: 'bullmq', isRanked: true }, MOLECULER],
  },
  rabbitmq: {
    client: 'amqplib',
    raw: { title: 'amqplib, confirm channel', program: 'limit/rabbitmq-queues' },
    // Its AMQP transporter opens its socket with Nagle's algorithm on, and is measured as it comes.
    peers: [{ ...MOLECULER, title: 'moleculer (AMQP)' }],
  },
  kafka: {
    client: 'kafkajs',
    raw: { title: 'kafkajs, batched send', program: 'limit/kafka-log' },
    peers: [],
  },
  loopback: { peers: [] },
};

const PACKED: Contestant = {
  title: 'Troupe, packed (bus)',
  program: 'troupe/broker-bus',
  isRanked: true,
};
const UNPACKED: Contestant = {
  title: 'Troupe, unpacked (port)',
  program: 'troupe/broker-port',
  isRanked: true,
};

/** An actor of another process: by `send` with the same confirmation as the bare client, and by `tell`. */
const SENT: Contestant = { title: 'Troupe, actors (send)', program: 'troupe/broker-send', isRanked: true };
const TOLD: Contestant = { title: 'Troupe, actors (tell)', program: 'troupe/broker-tell', isRanked: true };
const IS_PACKED: ReadonlySet<Contestant> = new Set([PACKED, SENT, TOLD]);

/** DESIGN of the runtime: packed at least twice the raw client, unpacked 0.7 of it, a round trip at most 1.5 times its own. */
const PACKED_RATIO_MIN = 2;
const UNPACKED_RATIO_MIN = 0.7;
const ROUND_TRIP_RATIO_MAX = 1.5;

interface Options {
  readonly brokers: readonly string[];
  readonly runs: number;
  readonly sizes: readonly number[];
  readonly counts: Readonly<Record<SceneName, number>>;
  readonly scenes: readonly SceneName[];
}

const SCENE_NAMES: readonly SceneName[] = ['throughput', 'round-trip', 'critical', 'stopped'];

const options = readOptions();
if (options === undefined) {
  console.error(
    '--broker takes redis, rabbitmq, kafka, loopback or several with commas; --only throughput, round-trip, critical, stopped; --sizes characters; ' +
      '--runs, --messages, --requests and --backlog whole numbers from 1. There are no other options.',
  );
  process.exitCode = 2;
} else {
  try {
    process.exitCode = (await measureAll(options)) ? 0 : 1;
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}

async function measureAll(asked: Options): Promise<boolean> {
  const [cpu] = cpus();
  console.log(
    `${new Date().toISOString().slice(0, 10)}, Node ${process.versions.node}, ${cpus().length} x ${cpu?.model ?? '?'}`,
  );
  const programs = await Programs.build();
  try {
    let isWhole = true;
    for (const name of asked.brokers) isWhole = (await measureBroker(name, programs, asked)) && isWhole;
    return isWhole;
  } finally {
    await programs.remove();
  }
}

async function measureBroker(name: string, programs: Programs, asked: Options): Promise<boolean> {
  const kind = BROKERS[name];
  if (kind === undefined) throw new Error(`no broker is called ${name}`);
  if (!existsSync(join(ROOT, 'adapters', name, 'index.ts'))) {
    console.log(`\n${name}: skipped, there is no adapters/${name}`);
    return true;
  }
  // One without a server has been said to be skipped.
  return (
    (await withServer(name, async (url) => {
      const raw = kind.raw === undefined ? [] : [kind.raw];
      const contestants = [...raw, PACKED, SENT, TOLD, UNPACKED, ...kind.peers].filter(({ peer, title }) => {
        const isHere = peer === undefined || hasPeer(peer);
        if (!isHere) console.log(`${title}: not installed (npm install --prefix test/bench)`);
        return isHere;
      });
      const client = kind.client === undefined ? '' : `, ${kind.client} ${versionOf(kind.client)}`;
      console.log(`\n${name}${client}, ${asked.runs} runs, medians (smallest to largest)`);
      let isWhole = true;
      for (const scene of asked.scenes)
        for (const size of scene === 'critical' ? asked.sizes.slice(0, 1) : asked.sizes) {
          const rows = await measureScene(programs, url, contestants, { scene, size, asked });
          console.log(`\n${titleOf(scene, asked.counts[scene], size)}`);
          console.log(table(scene, rows, kind.raw));
          isWhole = rows.every(({ problem }) => problem === undefined) && isWhole;
        }
      return isWhole;
    })) ?? true
  );
}

interface Row {
  readonly contestant: Contestant;
  readonly results: readonly PairResult[];
  readonly problem: string | undefined;
}

async function measureScene(
  programs: Programs,
  url: string,
  contestants: readonly Contestant[],
  { scene, size, asked }: { readonly scene: SceneName; readonly size: number; readonly asked: Options },
): Promise<readonly Row[]> {
  const results = contestants.map((): PairResult[] => []);
  const problems = contestants.map((): string | undefined => undefined);
  for (let run = 0; run < asked.runs; run++)
    for (const [place, { program, isAtMostOnce }] of contestants.entries()) {
      const key = `bench-${process.pid}-${scene}-${size}-${run}-${place}`.slice(0, 32);
      const parameters = [scene, url, String(size), String(asked.counts[scene]), key];
      try {
        const output = await programs.run(program, { parameters, flags: ['--expose-gc'] });
        const result = output as PairResult; // the program is part of this benchmark
        results[place]?.push(result);
        const { sent, received, copies } = result;
        if (isAtMostOnce !== true && (received !== sent || copies > 0))
          problems[place] = `${sent} sent, ${received} received, ${copies} copies`;
      } catch (error) {
        problems[place] = (error instanceof Error ? error.message : String(error))
          .split('\n')
          .slice(0, 3)
          .join(' ');
      }
    }
  return contestants.map((contestant, place) => ({
    contestant,
    results: results[place] ?? [],
    problem: problems[place],
  }));
}

function titleOf(scene: SceneName, count: number, size: number): string {
  switch (scene) {
    case 'throughput':
      return `Throughput: ${count} messages of ${size} characters`;
    case 'round-trip':
      return `Round trip: ${count} requests of ${size} characters, one at a time`;
    case 'critical':
      return `Critical behind a backlog of ${count} messages that take 1 ms each`;
    case 'stopped':
      return `The reader is stopped (SIGSTOP) for 4 s: what its publisher gets rid of, ${size} characters each`;
  }
}

function table(scene: SceneName, rows: readonly Row[], bare: Contestant | undefined): string {
  const raw = rows.find(({ contestant }) => contestant === bare);
  const lines = rows.map((row) => [row.contestant.title, ...cells(scene, row, raw)]);
  const all = [['', ...headings(scene)], ...lines];
  const widths = (all[0] ?? []).map((_, column) => Math.max(...all.map((line) => line[column]?.length ?? 0)));
  return all
    .map((line) =>
      line
        .map((cell, n) => cell.padEnd(widths[n] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

function headings(scene: SceneName): readonly string[] {
  switch (scene) {
    case 'throughput':
      return ['messages/s', 'of raw', 'us sending', 'us handling', ''];
    case 'round-trip':
      return ['p50 ms', 'p99 ms', 'requests/s', 'p50 of raw', ''];
    case 'critical':
      return ['p50 ms', 'p99 ms', 'others before it', ''];
    case 'stopped':
      return ['taken', 'publisher grew by MiB', ''];
  }
}

function cells(scene: SceneName, row: Row, raw: Row | undefined): readonly string[] {
  const { results, problem } = row;
  if (results.length === 0)
    return [
      '-',
      ...headings(scene)
        .slice(2)
        .map(() => '-'),
      `FAILED: ${problem ?? ''}`,
    ];
  const of = (part: keyof PairResult) => summarize(results.map((result) => result[part]));
  const ratio = (part: keyof PairResult): number | undefined =>
    raw === undefined || raw.results.length === 0
      ? undefined
      : of(part).median / summarize(raw.results.map((result) => result[part])).median;
  const word = problem === undefined ? undefined : `FAILED: ${problem}`;
  switch (scene) {
    case 'throughput':
      return [
        span(of('perSecond')),
        shown(ratio('perSecond')),
        span(of('senderUs')),
        span(of('handlerUs')),
        word ?? verdict(row, ratio('perSecond')) ?? loss(row),
      ];
    case 'round-trip': {
      const times = [span(of('p50Ms')), span(of('p99Ms')), span(of('perSecond')), shown(ratio('p50Ms'))];
      return [...times, word ?? roundTripVerdict(row, ratio('p50Ms'))];
    }
    case 'critical':
      return [
        span(of('p50Ms')),
        span(of('p99Ms')),
        span(of('overtaken')),
        word ?? (row.contestant.isRanked === true ? '' : 'no lanes'),
      ];
    case 'stopped':
      return [span(of('accepted')), span(of('grownMiB')), word ?? ''];
  }
}

function verdict({ contestant }: Row, ratio: number | undefined): string | undefined {
  const min =
    contestant === UNPACKED ? UNPACKED_RATIO_MIN : IS_PACKED.has(contestant) ? PACKED_RATIO_MIN : undefined;
  if (min === undefined || ratio === undefined) return undefined;
  return `${ratio >= min ? 'met' : 'missed'}: at least ${min}`;
}

function roundTripVerdict({ contestant }: Row, ratio: number | undefined): string {
  if (!IS_PACKED.has(contestant) || ratio === undefined) return '';
  return `${ratio <= ROUND_TRIP_RATIO_MAX ? 'met' : 'missed'}: at most ${ROUND_TRIP_RATIO_MAX}`;
}

/** Of whoever promises nothing. */
function loss({ contestant, results }: Row): string {
  if (contestant.isAtMostOnce !== true) return '';
  const lost = results.reduce((sum, { sent, received }) => sum + sent - received, 0);
  return `at most once: ${lost} lost`;
}

function span({
  median,
  min,
  max,
}: {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}): string {
  return `${amount(median)} (${amount(min)} to ${amount(max)})`;
}

function shown(ratio: number | undefined): string {
  return ratio === undefined ? '-' : ratio.toFixed(2);
}

function amount(value: number): string {
  if (value < 10) return value.toFixed(2);
  return value < 100 ? value.toFixed(1) : Math.round(value).toLocaleString('en');
}

function versionOf(name: string): string {
  // Not by its name: a package need not let its own description be read that way.
  const file = join(ROOT, 'node_modules', name, 'package.json');
  const { version }: { readonly version?: unknown } = JSON.parse(readFileSync(file, 'utf8'));
  return String(version);
}

function readOptions(): Options | undefined {
  try {
    const { values } = parseArgs({
      options: {
        broker: { type: 'string', default: 'redis' },
        only: { type: 'string', default: SCENE_NAMES.join(',') },
        sizes: { type: 'string', default: '256,4096' },
        runs: { type: 'string', default: '5' },
        messages: { type: 'string', default: '100000' },
        requests: { type: 'string', default: '5000' },
        backlog: { type: 'string', default: '5000' },
      },
    });
    const whole = (text: string): number => {
      const value = Number(text);
      if (!Number.isSafeInteger(value) || value < 1) throw new Error('no whole number');
      return value;
    };
    const brokers = values.broker.split(',');
    const wanted = values.only.split(',');
    const scenes = SCENE_NAMES.filter((scene) => wanted.includes(scene));
    if (scenes.length !== wanted.length || brokers.some((name) => BROKERS[name] === undefined))
      return undefined;
    return {
      brokers,
      runs: whole(values.runs),
      sizes: values.sizes.split(',').map(whole),
      scenes,
      counts: {
        throughput: whole(values.messages),
        'round-trip': whole(values.requests),
        critical: whole(values.backlog),
        stopped: 1,
      },
    };
  } catch {
    return undefined;
  }
}
