/**
 * Reading a range page by page. A page is read in one go and holds no transaction open afterwards; the next one begins after
 * the last position looked at, so that nothing comes twice whatever is appended, marked or removed meanwhile. Before each page
 * another thread of LMDB's touches its beginning, which also lets the event loop do other work.
 */

import { STORE_PAGE_BYTES, STORE_PAGE_LOOKS, STORE_PAGE_MESSAGES } from '../../src/protocol/limits.ts';
import type { StoredMessage } from '../../src/protocol/store.ts';
import type { Criteria } from './criteria.ts';
import { BLOCK_POSITIONS, blockOf, type MessageTables } from './lmdb-tables.ts';
import { FIRST_STATE, messageOf, readHead, topicOf } from './stored-text.ts';

/** A part of a range. */
export interface Page {
  readonly messages: readonly StoredMessage[];
  /** The last position looked at; the end of the range when nothing more can follow. */
  readonly through: number;
}

/** The page after `after`, with at most `limit` messages and no position beyond `end`. */
export function readPage(
  tables: MessageTables,
  criteria: Criteria,
  after: number,
  end: number,
  limit: number,
): Page {
  const messages: StoredMessage[] = [];
  let looks = 0;
  let bytes = 0;
  for (const position of positionsIn(tables, criteria, after, end)) {
    const text = tables.texts.get(position);
    looks++;
    if (text !== undefined && fitsText(criteria, text)) {
      const state = tables.states.get(position) ?? FIRST_STATE;
      if (criteria.status === undefined || state.status === criteria.status) {
        messages.push(messageOf(position, text, state));
      }
    }
    bytes += text?.length ?? 0;
    const isFull = messages.length >= Math.min(limit, STORE_PAGE_MESSAGES);
    if (isFull || looks >= STORE_PAGE_LOOKS || bytes >= STORE_PAGE_BYTES)
      return { messages, through: position };
  }
  return { messages, through: end };
}

function fitsText({ fits, fromMs, toMs }: Criteria, text: string): boolean {
  if (fits?.(topicOf(text)) === false) return false;
  if (fromMs === Number.NEGATIVE_INFINITY && toMs === Number.POSITIVE_INFINITY) return true;
  const { publishedAtMs } = readHead(text);
  return publishedAtMs >= fromMs && publishedAtMs < toMs;
}

/** The positions worth looking at, in order: of the topic, if it is one, in those blocks that may have such times. */
function* positionsIn(
  tables: MessageTables,
  criteria: Criteria,
  after: number,
  end: number,
): Generator<number, void> {
  const { topic, fromMs, toMs } = criteria;
  if (fromMs === Number.NEGATIVE_INFINITY && toMs === Number.POSITIVE_INFINITY) {
    yield* positionsBetween(tables, topic, after + 1, end);
    return;
  }
  for (const { key: block, value } of tables.blocks.getRange({
    start: blockOf(after + 1),
    end: blockOf(end) + 1,
  })) {
    if (value.latestMs < fromMs || value.earliestMs >= toMs) continue;
    const first = Math.max(after + 1, block * BLOCK_POSITIONS);
    const last = Math.min(end, (block + 1) * BLOCK_POSITIONS - 1);
    yield* positionsBetween(tables, topic, first, last);
  }
}

function* positionsBetween(
  { texts, topicPositions }: MessageTables,
  topic: string | undefined,
  first: number,
  last: number,
): Generator<number, void> {
  if (topic === undefined) yield* texts.getKeys({ start: first, end: last + 1 });
  else
    for (const [, position] of topicPositions.getKeys({ start: [topic, first], end: [topic, last + 1] }))
      yield position;
}
