/** Recordings of Erlang/OTP's supervisor: their format, and how they are read and compared. It knows no scenario by number. */

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** One child as the recording describes it. */
export interface RecordedChild {
  readonly id: string;
  readonly restart: 'permanent' | 'transient' | 'temporary';
  readonly significant: boolean;
  /** Milliseconds, or a word. */
  readonly shutdown: number | 'infinity' | 'brutal_kill';
  readonly hangs_in_terminate: boolean;
  /** Which of its starts fail, counted from 1. */
  readonly failing_start_attempts: readonly number[];
}

export type ExitReason = 'crash' | 'kill' | 'normal' | 'shutdown' | 'shutdown_tuple';

export type RecordedEvent =
  | { readonly op: 'start_supervisor' | 'stop_supervisor' }
  | { readonly op: 'start_child'; readonly spec?: RecordedChild; readonly child?: string }
  | { readonly op: 'terminate_child' | 'restart_child' | 'delete_child'; readonly child: string }
  | { readonly op: 'exit'; readonly child: string; readonly reason: ExitReason };

export type LogLine =
  | readonly ['start' | 'start_failed', string, number]
  | readonly ['terminate', string, string];

/** What can be seen after one event. */
export interface Outcome {
  readonly result: string | readonly string[];
  readonly supervisor: string;
  readonly children: readonly (readonly [string, string])[];
  readonly log: readonly LogLine[];
}

/** A supervisor and what happens to it. */
export interface Scenario {
  readonly id: number;
  readonly strategy: 'one_for_one' | 'one_for_all' | 'rest_for_one' | 'simple_one_for_one';
  readonly intensity: number;
  readonly period_ms: number;
  readonly auto_shutdown: 'never' | 'any_significant' | 'all_significant';
  readonly children: readonly RecordedChild[];
  readonly steps: readonly (Outcome & { readonly event: RecordedEvent })[];
}

/** The recordings: those of the repository, or of the file that `OTP_TRACES` names. */
export function readScenarios(): readonly Scenario[] {
  const own = fileURLToPath(new URL('otp-supervisor-traces.jsonl', import.meta.url));
  const lines = readFileSync(process.env['OTP_TRACES'] ?? own, 'utf8').split('\n');
  // The recorder wrote them in this form; what does not fit it fails the comparison.
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as Scenario);
}

/** An outcome as it is compared: where order carries no meaning, sorted. */
export function comparable({ result, supervisor, children, log }: Outcome, scenario: Scenario): Outcome {
  if (scenario.strategy !== 'simple_one_for_one') return { result, supervisor, children, log };
  const sorted = <T>(items: readonly T[]): T[] =>
    [...items].sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
  return { result, supervisor, children: sorted(children), log: sorted(log) };
}
