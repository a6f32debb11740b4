/** The reporter: what an operator wants to see. It measures latencies, counts what the runtime says of itself, and drives the display. */
import { agent, type Priority, type RuntimeEvent, type System } from 'troupe';
import type { Display, ParserView, Snapshot } from '../display.ts';
import { LatencyHistogram } from '../latency.ts';
import { Alert, type LatencyReport, Parser, Reporter } from './protocols.ts';

/** Options of the reporter. */
export interface ReporterArgs {
  readonly display: Display;
  /** The parsers whose mailboxes are shown. */
  readonly parsers: readonly string[];
  /** Mails to come, if that is known. */
  readonly mailsExpected: number | undefined;
}

interface Counts {
  taken: number;
  alerts: number;
  crashes: number;
  restarts: number;
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
    const counts = { taken: 0, alerts: 0, crashes: 0, restarts: 0, refusals: 0, deadLetters: 0 };
    const first = process.memoryUsage.rss();
    return {
      ...args,
      system: ctx.system,
      counts,
      latency: new Map(),
      memoryBytes: { first, max: first, last: first },
      // The listener runs between turns of this same thread: it may count without a message, and so misses nothing.
      unsubscribe: ctx.system.events.subscribe((event) => countEvent(counts, event)),
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
      const { taken, alerts, crashes, restarts, refusals } = state.counts;
      const latency = Object.fromEntries(
        [...state.latency].map(([priority, each]) => [priority, inShort(each)]),
      );
      return { taken, alerts, crashes, restarts, refusals, latency, memoryBytes: { ...state.memoryBytes } };
    },
  },
});

function countEvent(counts: Counts, event: RuntimeEvent): void {
  switch (event.type) {
    case 'actor-failed':
      counts.crashes += 1;
      break;
    case 'actor-restarted':
      counts.restarts += 1;
      break;
    case 'message-dead':
      counts.deadLetters += 1;
      break;
    case 'message-refused':
      if (event.message === 'parse' && event.verdict === 'full') counts.refusals += 1;
      break;
    case 'actor-started':
    case 'actor-restarting':
    case 'actor-stopped':
    case 'supervisor-gave-up':
    case 'supervisor-stopped':
    case 'shutdown-phase-entered':
    case 'shutdown-task-failed':
    case 'turn-disowned':
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
    parsers: state.parsers.map((name) => viewOf(state.system, name)),
  };
}

function viewOf(system: System, name: string): ParserView {
  const inspection = system.inspect(system.ref(Parser, `parsers/${name}`));
  return {
    name,
    capacity: inspection?.mailbox.capacity ?? 0,
    depths: inspection?.mailbox.depths,
    isWaitedFor: (inspection?.mailbox.waiting ?? 0) > 0,
    isRestarting: inspection?.status === 'restarting',
  };
}
