/**
 * What this adapter writes beside bytes: headers of records, and the texts that go with committed offsets. The texts tell publishers
 * how far readers are, and the next owner of a slot where to go on. What cannot be read is as if it were not there.
 */

import { LANES, type Lane, type OutFrame } from '../../src/protocol/broker.ts';
import type { InRecord, OutRecord } from './driver.ts';
import { isListOf, isNumber, isString, parsed } from './json.ts';

/** Characters that Kafka takes beside a committed offset. */
const METADATA_CHARACTERS_MAX = 4_096;
/** Characters for patterns: a node with more of them counts as one that listens to everything. */
const PATTERNS_CHARACTERS_MAX = 3_000;

/** @internal */
export function toRecord({ to, bytes }: OutFrame): OutRecord {
  const headers: Record<string, string> = {};
  if (to.kind === 'topic') headers['topic'] = to.topic;
  return { value: bytes, headers };
}

/** @internal */
export function topicOf({ headers }: InRecord): string | undefined {
  return headers['topic'];
}

/** What a node says of one of its logs. @internal */
export interface NodeNote {
  readonly incarnation: string;
  /** When it said so, by its clock. */
  readonly atMs: number;
  /** All before this offset was given to its node. */
  readonly given: number;
  /** On the bus, at the partition of lane 0: what it listens to. */
  readonly patterns: readonly string[];
}

/** @internal */
export function writeNodeNote({ incarnation, atMs, given, patterns }: NodeNote): string {
  const isShort = patterns.reduce((sum, pattern) => sum + pattern.length + 3, 0) <= PATTERNS_CHARACTERS_MAX;
  return JSON.stringify({ i: incarnation, a: atMs, n: given, p: isShort ? patterns : ['#'] });
}

/** @internal */
export function readNodeNote(text: string | undefined): NodeNote | undefined {
  const { i, a, n, p } = parsed(text);
  if (typeof i !== 'string' || !isNumber(a) || !isNumber(n) || !isListOf(p, isString)) return undefined;
  return { incarnation: i, atMs: a, given: n, patterns: p };
}

/** What the owner of a slot says of it: a number, or several, for each lane. @internal */
export interface SlotNote {
  readonly pattern: string;
  readonly atMs: number;
  /** All before it was given to a member. */
  readonly given: readonly number[];
  /** All before it is settled. */
  readonly safe: readonly number[];
  /** And these behind it. */
  readonly ahead: readonly (readonly number[])[];
}

/** Leaves out what is settled ahead when there is no room for it: that comes again. @internal */
export function writeSlotNote({ pattern, atMs, given, safe, ahead }: SlotNote): string {
  const steps = ahead.map((offsets, lane) => offsets.map((offset) => offset - (safe[lane] ?? 0)));
  const note = { p: pattern, a: atMs, n: given, w: safe };
  const text = JSON.stringify({ ...note, s: steps });
  return text.length <= METADATA_CHARACTERS_MAX ? text : JSON.stringify({ ...note, s: LANES.map(() => []) });
}

/** @internal */
export function readSlotNote(text: string | undefined): SlotNote | undefined {
  const { p, a, n, w, s } = parsed(text);
  const isRow = (list: unknown): list is number[] => isListOf(list, isNumber);
  if (typeof p !== 'string' || !isNumber(a) || !isRow(n) || !isRow(w) || !isListOf(s, isRow))
    return undefined;
  if (n.length !== LANES.length || w.length !== LANES.length || s.length !== LANES.length) return undefined;
  const ahead = s.map((steps, lane) => steps.map((step) => step + (w[lane] ?? 0)));
  return { pattern: p, atMs: a, given: n, safe: w, ahead };
}

/** One value for each lane. @internal */
export function perLane<T>(make: (lane: Lane) => T): readonly [T, T, T, T, T, T] {
  return [make(0), make(1), make(2), make(3), make(4), make(5)];
}
