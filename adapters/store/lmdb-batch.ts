/**
 * One transaction's changes to the tables. Everything a message needs is written in the same transaction: its text, its id,
 * its place in the index of its topic, its time in the block it belongs to, and the sums. So whatever is cut short leaves the
 * tables as they were, and two processes that write in turn see each other's sums and positions.
 */

import { STORE_BATCH_MAX, STORE_PAGE_BYTES, STORE_PAGE_LOOKS } from '../../src/protocol/limits.ts';
import type { StatusChange } from '../../src/protocol/store.ts';
import { BLOCK_POSITIONS, blockOf, type MessageTables, put, type TimeBlock } from './lmdb-tables.ts';
import {
  changedState,
  FIRST_STATE,
  type MessageState,
  readHead,
  type StoredText,
  storedAlready,
} from './stored-text.ts';
import {
  countAppended,
  countMarked,
  countRemoved,
  countTrimmed,
  noTotals,
  type Totals,
  type TrimSum,
} from './totals.ts';

/** How far a trim by time has come. */
interface TrimProgress {
  /** The block to look at next. */
  block: number;
  /** Messages appended after the trim began are not part of it. */
  readonly end: number;
  readonly trimmed: TrimSum;
}

/** The changes of one transaction. Made and used inside it, and dropped with it. */
export class Batch {
  /** What bounds took away. */
  readonly trimmed: TrimSum = { messages: 0, unfinished: 0 };
  private readonly tables: MessageTables;
  private readonly totals: Totals;
  /** Blocks and sizes of topics that this batch has changed: many messages share one, so they are written once, at the end. */
  private readonly blocks = new Map<number, TimeBlock>();
  private readonly topicSizes = new Map<string, number>();

  constructor(tables: MessageTables) {
    this.tables = tables;
    this.totals = tables.sums.get('totals') ?? noTotals();
  }

  /** Appends a message and returns its position. Throws `ERR_MESSAGE_STORED`, having written nothing. */
  append(written: StoredText): number {
    const { ids, texts, topicPositions } = this.tables;
    if (ids.get(written.id) !== undefined) throw storedAlready(written.id);
    const position = ++this.totals.lastGiven;
    put(texts, position, written.text, true);
    put(ids, written.id, position);
    put(topicPositions, [written.topic, position], written.publishedAtMs);
    const block = this.blockOf(position) ?? { earliestMs: Infinity, latestMs: -Infinity, messages: 0 };
    this.blocks.set(blockOf(position), {
      earliestMs: Math.min(block.earliestMs, written.publishedAtMs),
      latestMs: Math.max(block.latestMs, written.publishedAtMs),
      messages: block.messages + 1,
    });
    this.topicSizes.set(written.topic, this.topicSize(written.topic) + 1);
    countAppended(this.totals, written.payloadBytes);
    return position;
  }

  /** Changes a status; false if the message is not held. */
  mark(position: number, change: StatusChange): boolean {
    const { texts, states } = this.tables;
    if (!texts.doesExist(position)) return false;
    const before = states.get(position) ?? FIRST_STATE;
    put(states, position, changedState(before, change));
    countMarked(this.totals, before.status, change.status);
    return true;
  }

  /** Takes a message away and returns its last state, or `undefined` if it is not held. */
  remove(position: number): MessageState | undefined {
    const { texts, states, ids, topicPositions } = this.tables;
    const text = texts.get(position);
    if (text === undefined) return undefined;
    const { id, topic, payloadBytes } = readHead(text);
    const state = states.get(position) ?? FIRST_STATE;
    texts.removeSync(position);
    states.removeSync(position);
    ids.removeSync(id);
    topicPositions.removeSync([topic, position]);
    this.topicSizes.set(topic, this.topicSize(topic) - 1);
    const block = this.blockOf(position);
    if (block !== undefined) this.blocks.set(blockOf(position), { ...block, messages: block.messages - 1 });
    countRemoved(this.totals, payloadBytes, state.status);
    return state;
  }

  /** The last position given so far. */
  get lastGiven(): number {
    return this.totals.lastGiven;
  }

  /** Messages beyond a bound. */
  excessOf(messagesMax: number): number {
    return Math.max(0, this.totals.messages - messagesMax);
  }

  /** Takes away the oldest, at most `count` of them and one step's worth. Returns how many. */
  trimOldest(count: number, trimmed: TrimSum): number {
    const limit = Math.min(count, STORE_BATCH_MAX);
    if (limit === 0) return 0;
    const before = trimmed.messages;
    const bytesBefore = this.totals.payloadBytes;
    // Read before anything is taken away: a cursor does not outlive a change.
    const positions = [...this.tables.texts.getKeys({ limit })];
    for (const position of positions) {
      this.trimOne(position, trimmed);
      if (bytesBefore - this.totals.payloadBytes > STORE_PAGE_BYTES) break;
    }
    return trimmed.messages - before;
  }

  /** Takes away what was published before a time, one step's worth. False when nothing is left to look at. */
  trimBefore(beforeMs: number, progress: TrimProgress): boolean {
    this.writeBlocks();
    const { texts, blocks } = this.tables;
    const start = progress.block;
    const end = blockOf(progress.end) + 1;
    const looked = [...blocks.getRange({ start, end, limit: STORE_PAGE_LOOKS })];
    for (const { key: block, value } of looked) {
      progress.block = block + 1;
      if (value.earliestMs >= beforeMs) continue;
      const first = block * BLOCK_POSITIONS;
      const rows = [...texts.getRange({ start: first, end: first + BLOCK_POSITIONS })];
      for (const { key: position, value: text } of rows) {
        if (position <= progress.end && readHead(text).publishedAtMs < beforeMs)
          this.trimOne(position, progress.trimmed);
      }
      return true;
    }
    return looked.length === STORE_PAGE_LOOKS;
  }

  /** Writes the sums. Called last. */
  finish(): void {
    this.writeBlocks();
    const { topics, sums } = this.tables;
    for (const [topic, size] of this.topicSizes) {
      if (size === 0) topics.removeSync(topic);
      else put(topics, topic, size);
    }
    put(sums, 'totals', this.totals);
  }

  private writeBlocks(): void {
    for (const [block, value] of this.blocks) {
      if (value.messages === 0) this.tables.blocks.removeSync(block);
      else put(this.tables.blocks, block, value);
    }
    this.blocks.clear();
  }

  private trimOne(position: number, trimmed: TrimSum): void {
    const state = this.remove(position);
    if (state === undefined) return;
    countTrimmed(trimmed, state.status);
    countTrimmed(this.totals.trimmed, state.status);
  }

  private blockOf(position: number): TimeBlock | undefined {
    const block = blockOf(position);
    return this.blocks.get(block) ?? this.tables.blocks.get(block);
  }

  private topicSize(topic: string): number {
    return this.topicSizes.get(topic) ?? this.tables.topics.get(topic) ?? 0;
  }
}

/** A trim in several steps, each in a transaction of its own. What it takes away was there when it began. */
export class Trimming {
  isMore = true;
  private readonly beforeMs: number;
  private readonly messagesMax: number;
  private readonly progress: TrimProgress;
  /** Messages beyond the bound when it began, less those it took away for that. */
  private excess: number;

  constructor(batch: Batch, beforeMs: number, messagesMax: number, trimmed: TrimSum) {
    this.beforeMs = beforeMs;
    this.messagesMax = messagesMax;
    this.progress = { block: 0, end: batch.lastGiven, trimmed };
    this.excess = batch.excessOf(messagesMax);
    this.step(batch);
  }

  step(batch: Batch): void {
    // Others may have taken some away meanwhile.
    const excess = Math.min(this.excess, batch.excessOf(this.messagesMax));
    if (excess > 0) this.excess = excess - batch.trimOldest(excess, this.progress.trimmed);
    else this.isMore = batch.trimBefore(this.beforeMs, this.progress);
  }
}
