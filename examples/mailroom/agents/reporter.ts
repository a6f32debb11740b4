/** The reporter: what an operator wants to see. It measures latencies, counts what the runtime says of itself, and drives the display. */
import { agent, isTroupeError, type Priority, type RuntimeEvent, type System } from 'troupe';
import type { Display, PoolView, Snapshot } from '../display.ts';
import { LatencyHistogram } from '../latency.ts';
import { Alert, type LatencyReport, Parser, PLACES, Reporter } from './protocols.ts';

/** Options of the reporter. */
export interface ReporterArgs {
  readonly display: Display;
  /** Mails to come, if that is known. */
  readonly mailsExpected: number | undefined;
}

interface Counts {
  taken: number;
  alerts: number;
  crashes: number;
  restarts: number;
  givenUp: number;
  deserted: number;
  begunAnew: number;
  refusals: number;
  deadLetters: number;
}

interface ReporterState extends ReporterArgs {
  readonly system: System;
  readonly counts: Counts;
  readonly latency: Map<Priority, LatencyHistogram>;
  readonly memoryBytes: { first: number; max: number; last: number };
  readonly unsubscribe: () => void;
}

/** Memory is read once for so many mails: the reading itself costs about as much as a message. */
const MAILS_PER_MEMORY_SAMPLE = 8;

/** Listens to alerts, to parsers, and to the events of the system. */
export const reporter = agent(Reporter, {
  state: (args: ReporterArgs, ctx): ReporterState => {
    const counts = noCounts();
    const first = process.memoryUsage.rss();
    return {
      ...args,
      system: ctx.system,
      counts,
      latency: new Map(),
      memoryBytes: { first, max: first, last: first },
      // The listener runs between turns of this same thread: it may count without a message, and so misses nothing.
      unsubscribe: ctx.system.events.subscribe(counterOf(counts)),
    };
  },
  onStop: ({ state }) => state.unsubscribe(),
  onRestart: ({ state }) => state.unsubscribe(),
  subscribe: [{ topic: Alert, as: 'alert' }],
  on: {
    taken(ctx, { priority, waitedMs }) {
      const { state } = ctx;
      state.counts.taken += 1;
      recordLatency(state.latency, priority, waitedMs);
      if (state.counts.taken % MAILS_PER_MEMORY_SAMPLE === 0) sampleMemory(state);
      state.display.progress(state.counts.taken, () => snapshotOf(state));
    },
    alert(ctx, { publishedAtMs }) {
      ctx.state.counts.alerts += 1;
      recordLatency(ctx.state.latency, 'critical', performance.now() - publishedAtMs);
    },
    report({ state }) {
      sampleMemory(state);
      state.display.end(snapshotOf(state));
      const { deadLetters: _, ...counts } = state.counts;
      const latency = Object.fromEntries(
        [...state.latency].map(([priority, each]) => [priority, inShort(each)]),
      );
      return { ...counts, latency, memoryBytes: { ...state.memoryBytes } };
    },
    close: (ctx) => ctx.stopSelf(),
  },
});

function noCounts(): Counts {
  return {
    taken: 0,
    alerts: 0,
    crashes: 0,
    restarts: 0,
    givenUp: 0,
    deserted: 0,
    begunAnew: 0,
    refusals: 0,
    deadLetters: 0,
  };
}

/** A listener that counts. */
function counterOf(counts: Counts): (event: RuntimeEvent) => void {
  /** Pools that wait for their restart. */
  const deserted = new Set<string>();
  return (event) => countEvent(counts, deserted, event);
}

function countEvent(counts: Counts, deserted: Set<string>, event: RuntimeEvent): void {
  switch (event.type) {
    case 'actor-failed':
      counts.crashes += 1;
      break;
    case 'actor-restarted':
      if (deserted.delete(event.address)) counts.begunAnew += 1;
      else counts.restarts += 1;
      break;
    case 'actor-restarting':
      if (!isTroupeError(event.error, 'ERR_POOL_DESERTED')) break;
      counts.deserted += 1;
      deserted.add(event.address);
      break;
    case 'actor-stopped':
      if (event.reason === 'failed') counts.givenUp += 1;
      break;
    case 'message-dead':
      counts.deadLetters += 1;
      break;
    case 'message-refused':
      if (event.message === 'parse' && event.verdict === 'full') counts.refusals += 1;
      break;
    case 'actor-started':
    case 'supervisor-gave-up':
    case 'supervisor-stopped':
    case 'shutdown-phase-entered':
    case 'shutdown-task-failed':
    case 'dead-letter-evicted':
    case 'turn-disowned':
    case 'broker-state-changed':
    case 'node-up':
    case 'node-down':
    case 'node-left':
    case 'shard-granted':
    case 'shard-lost':
    case 'shard-released':
    case 'frames-missing':
    case 'frame-refused':
    case 'logged':
      break;
  }
}

function recordLatency(
  latency: Map<Priority, LatencyHistogram>,
  priority: Priority,
  latencyMs: number,
): void {
  let histogram = latency.get(priority);
  if (histogram === undefined) {
    histogram = new LatencyHistogram();
    latency.set(priority, histogram);
  }
  histogram.record(latencyMs);
}

function inShort(histogram: LatencyHistogram): LatencyReport {
  return {
    count: histogram.count,
    p50Ms: histogram.percentileMs(0.5),
    p99Ms: histogram.percentileMs(0.99),
  };
}

function sampleMemory({ memoryBytes }: ReporterState): void {
  memoryBytes.last = process.memoryUsage.rss();
  memoryBytes.max = Math.max(memoryBytes.max, memoryBytes.last);
}

function snapshotOf(state: ReporterState): Snapshot {
  return {
    ...state.counts,
    mailsExpected: state.mailsExpected,
    memoryBytes: state.memoryBytes.last,
    parsers: viewOf(state.system),
  };
}

function viewOf(system: System): PoolView {
  const pool = system.inspect(system.ref(Parser, PLACES.parsers));
  const workers = pool?.pool?.workers ?? [];
  const restarting = workers.filter(({ address }) => {
    const worker = system.inspect(system.ref(Parser, address));
    return worker?.status === 'restarting';
  });
  return {
    size: pool?.pool?.size ?? 0,
    alive: workers.length - restarting.length,
    restarting: restarting.length,
    capacity: pool?.mailbox.capacity ?? 0,
    depths: pool?.mailbox.depths,
    isWaitedFor: (pool?.mailbox.waiting ?? 0) > 0,
  };
}
