/**
 * What nodes cost that only stand there: n systems on one broker, each of which reads its inbox, with the usual times, no topics but where said, no shards and no
 * messages. It follows from what the adapters do; tests count it on the memory hub and on real servers. The table in docs/operations.md is made of it.
 */

import { BROKER_DOWN_AFTER_MS, BROKER_HEARTBEAT_MS } from '../../src/protocol/limits.ts';

/** The brokers that have a row. */
export const COSTED = ['redis', 'rabbitmq', 'kafka', 'loopback', 'memory'] as const;
export type CostedBroker = (typeof COSTED)[number];

/** What all nodes together cost their server. Seconds are those of a clock. */
export interface NodeCost {
  /** Sockets that stay open; of Kafka where it is one server. */
  readonly connections: number;
  /** Streams, queues or partitions, those of the prefix included. */
  readonly queues: number;
  /** Signs of life, written or asked for. */
  readonly signsPerSecond: number;
  /** Requests that look who lives, or whether anything has come. */
  readonly readsPerSecond: number;
  /** Rows and words about other nodes that all nodes together are given: what grows with the square. */
  readonly wordsPerSecond: number;
  /** The same when one node comes, in addition. */
  readonly wordsPerJoin: number;
  /** Interests that are read again when one of them changes, one pattern on each node, and all nodes publish to topics. */
  readonly wordsPerInterest: number;
}

/** Times of the broker. */
export interface CostTimes {
  readonly heartbeatMs?: number;
  readonly downAfterMs?: number;
}

const LANES = 6;

/** A read of a Redis waits so long at the server. */
const REDIS_WAIT_MS = 5_000;
/** RabbitMQ is asked so often how many nodes there are, */
const RABBITMQ_LOOK_MS = 500;
/** and each tenth time for the next two of the ring; each tenth heartbeat a node tells all that it is there. */
const RABBITMQ_LOOKS_PER_PROBE = 10;
const RABBITMQ_PROBED = 2;
const RABBITMQ_HEARTBEATS_PER_NEWS = 10;
/** A fetch of Kafka waits so long at the server, unless something comes. */
const KAFKA_WAIT_MS = 500;
const KAFKA_WORDS_PER_SESSION = 4;
/** Of three clients, for requests, the log of members and the inbox: kafkajs keeps a second one to the server that it met first, of two of them. */
const KAFKA_SOCKETS = 5;

/** What `n` nodes cost on a broker. */
export function nodeCost(
  broker: CostedBroker,
  n: number,
  { heartbeatMs = BROKER_HEARTBEAT_MS, downAfterMs = BROKER_DOWN_AFTER_MS }: CostTimes = {},
): NodeCost {
  const beats = (n * 1_000) / heartbeatMs;
  switch (broker) {
    case 'redis':
      // A sign of life is answered with the whole table, and followed by a look at what dead readers have left.
      return {
        connections: 2 * n,
        queues: LANES * n,
        signsPerSecond: beats,
        readsPerSecond: beats + (n * 1_000) / Math.min(REDIS_WAIT_MS, downAfterMs - heartbeatMs),
        wordsPerSecond: beats * n,
        wordsPerJoin: 0,
        wordsPerInterest: n * (n + 1),
      };
    case 'rabbitmq': {
      // Six of the inbox and the one that lives with the connection; all nodes consume from one, and one has the dead letters.
      const looks = (n * 1_000) / RABBITMQ_LOOK_MS;
      const news = beats / RABBITMQ_HEARTBEATS_PER_NEWS;
      const probes = n === 1 ? 0 : (Math.min(RABBITMQ_PROBED, n - 1) * looks) / RABBITMQ_LOOKS_PER_PROBE;
      return {
        connections: 2 * n,
        queues: (LANES + 1) * n + 2,
        signsPerSecond: news + probes,
        readsPerSecond: looks,
        wordsPerSecond: news * n + probes,
        // It tells all, itself as well, and all others answer.
        wordsPerJoin: n + (n - 1),
        wordsPerInterest: 0,
      };
    }
    case 'kafka': {
      const words = (n * 1_000) / Math.min(heartbeatMs, downAfterMs / KAFKA_WORDS_PER_SESSION);
      const idle = (n * 1_000) / KAFKA_WAIT_MS;
      return {
        connections: KAFKA_SOCKETS * n,
        // The inboxes; the bus, the dead letters and the log of members.
        queues: LANES * n + LANES + 2,
        // A word into the log, and a commit of the inbox.
        signsPerSecond: words + beats,
        // Each word may end a fetch of each node; the inbox is fetched as when nothing comes.
        readsPerSecond: Math.max(idle, n * words) + idle,
        wordsPerSecond: n * words,
        wordsPerJoin: n,
        wordsPerInterest: 0,
      };
    }
    case 'loopback':
      // The server tells each node what has changed, and a new one who lives.
      return {
        connections: n,
        queues: LANES * n,
        signsPerSecond: beats,
        readsPerSecond: 0,
        wordsPerSecond: 0,
        wordsPerJoin: n + (n - 1),
        wordsPerInterest: 0,
      };
    case 'memory':
      // What has changed is told to each node, and to a new one who lives.
      return {
        connections: 0,
        queues: LANES * n,
        signsPerSecond: 0,
        readsPerSecond: 0,
        wordsPerSecond: 0,
        wordsPerJoin: n + (n - 1),
        wordsPerInterest: 0,
      };
  }
}

/** Numbers of nodes in the table. */
const NODES = [10, 100, 1_000] as const;
const HEADINGS = [
  'broker',
  'nodes',
  'connections',
  'streams, queues, partitions',
  'signs of life/s',
  'reads/s',
  'words about others/s',
  'words when one comes',
  'interests read when one changes',
] as const;

/** The table of the documentation, a line each. */
export function costTable(): readonly string[] {
  const rows = COSTED.flatMap((broker) =>
    NODES.map((n) => {
      const cost = nodeCost(broker, n);
      return [
        broker,
        n,
        cost.connections,
        cost.queues,
        cost.signsPerSecond,
        cost.readsPerSecond,
        cost.wordsPerSecond,
        cost.wordsPerJoin,
        cost.wordsPerInterest,
      ].map((cell) => (typeof cell === 'number' ? shown(cell) : cell));
    }),
  );
  const widths = HEADINGS.map((heading, at) =>
    Math.max(heading.length, ...rows.map((row) => row[at]?.length ?? 0)),
  );
  const line = (cells: readonly string[], pad: (cell: string, at: number) => string): string =>
    `| ${cells.map(pad).join(' | ')} |`;
  const padded = (cell: string, at: number): string =>
    at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0);
  const rule = HEADINGS.map((_, at) =>
    at === 0 ? '-'.repeat(widths[at] ?? 0) : `${'-'.repeat((widths[at] ?? 1) - 1)}:`,
  );
  return [line(HEADINGS, padded), line(rule, (cell) => cell), ...rows.map((row) => line(row, padded))];
}

function shown(value: number): string {
  return (value < 100 ? Math.round(value * 10) / 10 : Math.round(value)).toLocaleString('en');
}
