/** The tables of a durable store of messages, in one LMDB file. Topics and ids are keys inside that file and never part of a path. */

import type { Database } from 'lmdb';
import { type Driver, type LmdbFolder, openFolder, unusable } from './lmdb-folder.ts';
import { type MessageState, readHead } from './stored-text.ts';
import type { Totals } from './totals.ts';

/** Positions whose times are summed up in one row: a search by time reads one row for each, and looks into those that fit. */
export const BLOCK_POSITIONS = 256;

/** The block of a position. */
export function blockOf(position: number): number {
  return Math.floor(position / BLOCK_POSITIONS);
}

/** When the messages of a block were published. A removal leaves the times as they are: no message lies outside them. */
export interface TimeBlock {
  readonly earliestMs: number;
  readonly latestMs: number;
  /** Those still held; a block without one is removed. */
  readonly messages: number;
}

/** The tables. Written only inside a commit of `folder`. */
export interface MessageTables {
  readonly folder: LmdbFolder;
  /** Texts by position: the log itself. */
  readonly texts: Database<string, number>;
  /** States by position, of those messages that were marked. */
  readonly states: Database<MessageState, number>;
  /** Positions by id. */
  readonly ids: Database<number, string>;
  /** The index by topic, in order of positions. */
  readonly topicPositions: Database<number, [topic: string, position: number]>;
  /** Messages held, by topic. */
  readonly topics: Database<number, string>;
  readonly blocks: Database<TimeBlock, number>;
  readonly sums: Database<Totals, 'totals'>;
}

const FORMAT = { name: 'troupe-message-store', version: 1 };

/** Opens the tables, making the folder if it is not there. Throws `ERR_STORE_UNUSABLE`. */
export async function openTables(folder: string, driver: Driver): Promise<MessageTables> {
  return openFolder(folder, driver, FORMAT, (opened) => {
    const { root, path } = opened;
    const tables: MessageTables = {
      folder: opened,
      texts: root.openDB('texts', { encoding: 'string' }),
      states: root.openDB('states', { encoding: 'json' }),
      ids: root.openDB('ids', { encoding: 'json' }),
      topicPositions: root.openDB('topic-positions', { encoding: 'json' }),
      topics: root.openDB('topics', { encoding: 'json' }),
      blocks: root.openDB('blocks', { encoding: 'json' }),
      sums: root.openDB('sums', { encoding: 'json' }),
    };
    checkTables(tables, path);
    return tables;
  });
}

/** Writes a row, or throws. To be called inside a transaction. */
export function put<V, K extends number | string | [string, number]>(
  table: Database<V, K>,
  key: K,
  value: V,
  isLast = false,
): void {
  // Its types say nothing of what it returns: whether it wrote.
  const isWritten = table.putSync(key, value, { append: isLast }) as unknown;
  if (isWritten !== true) throw new Error(`the row ${String(key)} was not written`);
}

/** Reads where damage would show first, so that a damaged store is refused now and not in the middle of its work. */
function checkTables({ texts, sums }: MessageTables, folder: string): void {
  const messages = sums.get('totals')?.messages ?? 0;
  for (const reverse of [false, true])
    for (const { value } of texts.getRange({ reverse, limit: 1 })) readHead(value);
  const held = (texts.getStats() as { readonly entryCount: number }).entryCount; // LMDB's own count
  if (held !== messages)
    throw unusable(folder, `it is damaged: it counts ${messages} messages and holds ${held}`);
}
