import { describe, expect, it } from 'vitest';
import {
  type CallOptions,
  callOptions,
  deadlineOf,
  extrasWith,
  headersOf,
  waitMs,
} from '../../runtime/actor/call-options.ts';
import type { Kernel } from '../../runtime/actor/kernel.ts';
import type { Turn } from '../../runtime/actor/turn.ts';
import { NORMAL_RANK, rankOf } from '../../src/protocol/priority.ts';

const NOTHING: CallOptions = {
  rank: NORMAL_RANK,
  ttlMs: undefined,
  headers: undefined,
  timeoutMs: undefined,
  signal: undefined,
  receipt: false,
  window: 16,
};
const TRACEPARENT = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

/** A kernel at 1,000 ms, as far as these functions read it. */
function kernelAt1000(isTracing = false): Kernel {
  return { now: () => 1_000, telemetry: { isTracing } } as unknown as Kernel;
}

/** A turn whose message has this end and these headers, as far as these functions read it. */
function turn(deadline: number, headers?: Readonly<Record<string, string>>): Turn {
  return { passesOn: true, envelope: { deadline, extras: { headers }, headers } } as unknown as Turn;
}

describe('the options of a call', () => {
  it('that says nothing are all absent, and cost no object', () => {
    for (const call of ['tell', 'send', 'ask', 'publish'] as const) {
      expect(callOptions(call, undefined)).toEqual(NOTHING);
      expect(callOptions(call, undefined)).toBe(callOptions('tell', undefined));
      expect(callOptions(call, {})).toEqual(NOTHING);
    }
    expect(Object.isFrozen(callOptions('tell', undefined))).toBe(true);
  });

  it('are read as they are said', () => {
    const { signal } = new AbortController();
    const headers = { tenant: 'a' };
    const all = { priority: 'high', ttlMs: 5, headers, timeoutMs: 7, signal };
    const expected = {
      rank: rankOf('high'),
      ttlMs: 5,
      headers,
      timeoutMs: 7,
      signal,
      receipt: false,
      window: 16,
    };
    for (const call of ['send', 'publish'] as const) expect(callOptions(call, all)).toEqual(expected);
    expect(callOptions('send', { ...all, receipt: true })).toEqual({ ...expected, receipt: true });
    const { ttlMs: _, ...asked } = all;
    expect(callOptions('ask', asked)).toEqual({ ...expected, ttlMs: undefined });
    expect(callOptions('stream', { ...asked, window: 2 })).toEqual({
      ...expected,
      ttlMs: undefined,
      window: 2,
    });
    const { timeoutMs: __, signal: ___, ...told } = all;
    expect(callOptions('tell', told)).toEqual({ ...expected, timeoutMs: undefined, signal: undefined });
    expect(callOptions('tell', { ttlMs: 0 })).toEqual({ ...NOTHING, ttlMs: 0 });
    expect(callOptions('tell', { ttlMs: Infinity })).toEqual({ ...NOTHING, ttlMs: Infinity });
  });
});

describe('the end of a message', () => {
  it('is its ttl from now, or the end of the turn it is sent in, whichever comes first', () => {
    const end = (from: Turn | undefined, ttlMs: number | undefined): number =>
      deadlineOf(kernelAt1000(), from, { ...NOTHING, ttlMs });
    expect(end(undefined, undefined)).toBe(Infinity);
    expect(end(undefined, 5)).toBe(1_005);
    expect(end(undefined, 0)).toBe(1_000);
    expect(end(turn(1_003), undefined)).toBe(1_003);
    expect(end(turn(1_003), 5)).toBe(1_003);
    expect(end(turn(1_003), 2)).toBe(1_002);
    expect(end(turn(1_003), Infinity)).toBe(Infinity);
    expect(end(turn(Infinity), 5)).toBe(1_005);
  });

  it('makes extras, as headers do; a message without either has none', () => {
    const headers = { tenant: 'a' };
    expect(extrasWith(Infinity, undefined)).toBeUndefined();
    expect(extrasWith(5, undefined)).toMatchObject({ deadline: 5, headers: undefined });
    expect(extrasWith(Infinity, headers)).toMatchObject({ deadline: Infinity, headers });
    expect(extrasWith(5, headers)).toMatchObject({ deadline: 5, headers });
  });
});

describe('the headers of a message', () => {
  it('are its own from outside, and have the trace of the turn where no spans tell it', () => {
    const headers = { tenant: 'a' };
    const from = turn(Infinity, { traceparent: TRACEPARENT });
    expect(headersOf(kernelAt1000(), undefined, { headers })).toBe(headers);
    expect(headersOf(kernelAt1000(), from, { headers })).toEqual({ ...headers, traceparent: TRACEPARENT });
    expect(headersOf(kernelAt1000(), from, { headers: undefined })).toEqual({ traceparent: TRACEPARENT });
    expect(headersOf(kernelAt1000(true), from, { headers })).toBe(headers);
  });
});

describe('the wait of a call', () => {
  it('is never longer than its turn, and never negative', () => {
    expect(waitMs(1_000, 50, undefined)).toBe(50);
    expect(waitMs(1_000, 50, turn(Infinity))).toBe(50);
    expect(waitMs(1_000, 50, turn(1_100))).toBe(50);
    expect(waitMs(1_000, 50, turn(1_020))).toBe(20);
    expect(waitMs(1_000, 50, turn(1_000))).toBe(0);
    expect(waitMs(1_000, 50, turn(900))).toBe(0);
  });
});
