/**
 * A store that forgets with its process: for tests, and for those who want replay but no disk. It keeps texts, as a durable
 * one does, so that what comes back is the same from both. A change is made by the call itself: nothing ever waits.
 */

import { TroupeError } from '../../src/protocol/errors.ts';
import { objectOption } from '../../src/protocol/options.ts';
import type {
  MessageRange,
  MessageStore,
  NewMessage,
  StatusChange,
  StoredMessage,
  StoreOptions,
  StoreStats,
  Trimmed,
  TrimOptions,
} from '../../src/protocol/store.ts';
import {
  BOUND_NAMES,
  type Criteria,
  checkBounds,
  checkRange,
  checkTrim,
  type StoreBounds,
} from './criteria.ts';
import {
  changedState,
  checkChange,
  checkPosition,
  FIRST_STATE,
  type MessageState,
  messageOf,
  type StoredText,
  storedAlready,
  writeText,
} from './stored-text.ts';
import {
  countAppended,
  countMarked,
  countRemoved,
  countTrimmed,
  noTotals,
  statsOf,
  type TrimSum,
} from './totals.ts';

/** A store in memory. Throws `ERR_OPTION_INVALID`. */
export function memoryStore(options: StoreOptions = {}): MessageStore {
  return new MemoryStore(checkBounds(objectOption('', options, BOUND_NAMES)));
}

/** A message, and what changes about it. */
interface Held extends StoredText {
  readonly position: number;
  state: MessageState;
}

class MemoryStore implements MessageStore {
  readonly isDurable = false;
  private readonly bounds: StoreBounds;
  private readonly totals = noTotals();
  /** By position. Maps keep the order of the appends, and may change while they are read. */
  private readonly held = new Map<number, Held>();
  private readonly byTopic = new Map<string, Map<number, Held>>();
  private readonly positions = new Map<string, number>();
  private isClosed = false;

  constructor(bounds: StoreBounds) {
    this.bounds = bounds;
  }

  async append(message: NewMessage): Promise<number> {
    this.ensureOpen();
    const written = writeText(message, this.bounds.payloadBytesMax);
    if (this.positions.has(written.id)) throw storedAlready(written.id);
    const held: Held = { ...written, position: ++this.totals.lastGiven, state: FIRST_STATE };
    this.held.set(held.position, held);
    this.positions.set(held.id, held.position);
    this.topicOf(held.topic).set(held.position, held);
    countAppended(this.totals, held.payloadBytes);
    this.keepBound();
    return held.position;
  }

  async mark(position: number, change: StatusChange): Promise<boolean> {
    this.ensureOpen();
    const held = this.held.get(checkPosition(position));
    const checked = checkChange(change);
    if (held === undefined) return false;
    countMarked(this.totals, held.state.status, checked.status);
    held.state = changedState(held.state, checked);
    return true;
  }

  async get(id: string): Promise<StoredMessage | undefined> {
    this.ensureOpen();
    const held = this.held.get(this.positions.get(id) ?? 0);
    return held === undefined ? undefined : messageOf(held.position, held.text, held.state);
  }

  range(range?: MessageRange): AsyncIterable<StoredMessage> {
    const criteria = checkRange(range);
    const end = this.totals.lastGiven;
    return { [Symbol.asyncIterator]: () => this.read(criteria, end) };
  }

  async remove(position: number): Promise<boolean> {
    this.ensureOpen();
    const held = this.held.get(checkPosition(position));
    if (held !== undefined) this.drop(held);
    return held !== undefined;
  }

  async trim(options: TrimOptions): Promise<Trimmed> {
    this.ensureOpen();
    const { beforeMs, messagesMax } = checkTrim(options);
    const excess = this.held.size - messagesMax;
    const trimmed: TrimSum = { messages: 0, unfinished: 0 };
    let place = 0;
    for (const held of this.held.values()) {
      if (place++ < excess || held.publishedAtMs < beforeMs) this.trimOne(held, trimmed);
    }
    return trimmed;
  }

  async stats(): Promise<StoreStats> {
    this.ensureOpen();
    const firstPosition = this.held.keys().next().value ?? 0;
    let lastPosition = this.totals.lastGiven;
    if (!this.held.has(lastPosition)) {
      lastPosition = 0;
      for (const position of this.held.keys()) lastPosition = position;
    }
    return statsOf(this.totals, { topics: this.byTopic.size, firstPosition, lastPosition, waiting: 0 });
  }

  async close(): Promise<void> {
    this.isClosed = true;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  private async *read(criteria: Criteria, end: number): AsyncGenerator<StoredMessage, void> {
    this.ensureOpen();
    const { topic, fits, fromMs, toMs, status, after, limit } = criteria;
    let given = 0;
    for (const held of (topic === undefined ? this.held : this.byTopic.get(topic))?.values() ?? []) {
      if (held.position > end || given >= limit) return;
      if (held.position <= after || held.publishedAtMs < fromMs || held.publishedAtMs >= toMs) continue;
      if (fits?.(held.topic) === false || (status !== undefined && held.state.status !== status)) continue;
      given++;
      yield messageOf(held.position, held.text, held.state);
      this.ensureOpen();
    }
  }

  private keepBound(): void {
    const trimmed: TrimSum = { messages: 0, unfinished: 0 };
    for (const held of this.held.values()) {
      if (this.held.size <= this.bounds.messagesMax) break;
      this.trimOne(held, trimmed);
    }
    const { onTrimmed } = this.bounds;
    // In a job of its own: what it throws must not look like a failed append.
    if (trimmed.messages > 0 && onTrimmed !== undefined) queueMicrotask(() => onTrimmed(trimmed));
  }

  private trimOne(held: Held, trimmed: TrimSum): void {
    this.drop(held);
    countTrimmed(trimmed, held.state.status);
    countTrimmed(this.totals.trimmed, held.state.status);
  }

  private drop(held: Held): void {
    const { position, topic, id, payloadBytes, state } = held;
    this.held.delete(position);
    this.positions.delete(id);
    const ofTopic = this.byTopic.get(topic);
    ofTopic?.delete(position);
    if (ofTopic?.size === 0) this.byTopic.delete(topic);
    countRemoved(this.totals, payloadBytes, state.status);
  }

  private topicOf(topic: string): Map<number, Held> {
    let ofTopic = this.byTopic.get(topic);
    if (ofTopic === undefined) {
      ofTopic = new Map();
      this.byTopic.set(topic, ofTopic);
    }
    return ofTopic;
  }

  private ensureOpen(): void {
    if (this.isClosed) throw new TroupeError('ERR_STORE_CLOSED', { store: 'in memory' });
  }
}
