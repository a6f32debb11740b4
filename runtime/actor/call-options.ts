/**
 * The options of `tell`, `send`, `ask`, `stream` and `publish`, checked once for all of them. A call without options costs one
 * branch here.
 */

import { Extras } from '../../src/protocol/envelope.ts';
import { STREAM_WINDOW, STREAM_WINDOW_MAX } from '../../src/protocol/limits.ts';
import {
  booleanOption,
  durationOption,
  headersOption,
  integerOption,
  invalidOption,
  objectOption,
  signalOption,
} from '../../src/protocol/options.ts';
import { NORMAL_RANK, type Rank, rankOf } from '../../src/protocol/priority.ts';
import { carriedHeaders } from '../observe/trace-headers.ts';
import type { Kernel } from './kernel.ts';
import type { Turn } from './turn.ts';

/** What a call says beside its message; what it leaves open is undefined. */
export interface CallOptions {
  readonly rank: Rank;
  readonly ttlMs: number | undefined;
  readonly headers: Readonly<Record<string, string>> | undefined;
  readonly timeoutMs: number | undefined;
  readonly signal: AbortSignal | undefined;
  /** Of `send`. */
  readonly receipt: boolean;
  /** Of `stream`. */
  readonly window: number;
}

const KNOWN = {
  tell: ['priority', 'ttlMs', 'headers'],
  send: ['priority', 'ttlMs', 'headers', 'timeoutMs', 'signal', 'receipt'],
  ask: ['priority', 'headers', 'timeoutMs', 'signal'],
  stream: ['priority', 'headers', 'timeoutMs', 'signal', 'window'],
  publish: ['priority', 'ttlMs', 'headers', 'timeoutMs', 'signal'],
} as const;

const UNSAID: CallOptions = Object.freeze({
  rank: NORMAL_RANK,
  ttlMs: undefined,
  headers: undefined,
  timeoutMs: undefined,
  signal: undefined,
  receipt: false,
  window: STREAM_WINDOW,
});

/** Reads the options of a call. Throws `ERR_OPTION_INVALID`. */
export function callOptions(call: keyof typeof KNOWN, options: unknown): CallOptions {
  return options === undefined ? UNSAID : readOptions(call, options);
}

function readOptions(call: keyof typeof KNOWN, options: unknown): CallOptions {
  const { priority, ttlMs, headers, timeoutMs, signal, receipt, window } = objectOption(
    `${call} options`,
    options,
    KNOWN[call],
  );
  return {
    rank: priority === undefined ? NORMAL_RANK : rankOf(priority),
    ttlMs:
      ttlMs === undefined ? undefined : durationOption('ttlMs', ttlMs, 0, { zero: true, infinity: true }),
    headers: headersOption('headers', headers),
    timeoutMs: timeoutMs === undefined ? undefined : durationOption('timeoutMs', timeoutMs, 0),
    signal: signalOption('signal', signal),
    receipt: receipt === undefined ? false : booleanOption('receipt', receipt),
    window: windowOption(window),
  };
}

function windowOption(window: unknown): number {
  const parts = integerOption('window', window, 1, STREAM_WINDOW);
  if (parts <= STREAM_WINDOW_MAX) return parts;
  throw invalidOption('window', `a whole number from 1 to ${STREAM_WINDOW_MAX}`, window);
}

/** Clock time after which the message is not worth a turn. It never outlives the turn it is sent in, unless `Infinity` says so. */
export function deadlineOf(kernel: Kernel, from: Turn | undefined, call: CallOptions): number {
  const inherited = from === undefined ? Infinity : from.envelope.deadline;
  const { ttlMs } = call;
  if (ttlMs === undefined) return inherited;
  return ttlMs === Infinity ? Infinity : Math.min(inherited, kernel.now() + ttlMs);
}

/** Deadline and headers of a message, if it has any. */
export function extrasWith(deadline: number, headers: CallOptions['headers']): Extras | undefined {
  if (deadline === Infinity && headers === undefined) return undefined;
  const extras = new Extras();
  extras.deadline = deadline;
  extras.headers = headers;
  return extras;
}

/** The headers of a message: its own, and the trace of the turn it is sent in. While spans are recorded they tell the trace. */
export function headersOf(
  kernel: Kernel,
  from: Turn | undefined,
  call: Pick<CallOptions, 'headers'>,
): CallOptions['headers'] {
  if (from === undefined || kernel.telemetry.isTracing) return call.headers;
  return carriedHeaders(from.envelope, call.headers);
}

/** Milliseconds a call may wait: never longer than the turn that makes it. */
export function waitMs(now: number, timeoutMs: number, from: Turn | undefined): number {
  if (from === undefined) return timeoutMs;
  return Math.max(0, Math.min(timeoutMs, from.envelope.deadline - now));
}
