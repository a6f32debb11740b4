/**
 * Goal: whatever a store acknowledged is there, whole and once, after its process was killed at any moment.
 * Method: programs append as fast as they can and say what was acknowledged; after SIGKILL the folder is opened and compared.
 */

import { describe, expect, it, vi } from 'vitest';
import { openLmdbStore } from '../../adapters/store/index.ts';
import type { MessageStore, StoredMessage } from '../../src/protocol/store.ts';
import { closing } from '../support/closing.ts';
import { runProgram } from '../support/run-program.ts';
import { IS_SOAKING, SEED, seeded } from '../support/soak.ts';
import { temporaryFolders } from '../support/temporary-folder.ts';

const ROUNDS = IS_SOAKING ? 300 : 4;
/** Lives of the program on one folder. */
const LIVES = 6;
vi.setConfig({ testTimeout: 60_000 + ROUNDS * 10_000 });

const newFolder = temporaryFolders();
const random = seeded(SEED);

/** Runs the program on a folder and kills it: after so many lines, and so many milliseconds more. */
async function runAndKill(
  folder: string,
  name: string,
  options: readonly string[],
): Promise<readonly string[]> {
  const linesMax = options.includes('--publishers') ? 400 : 4_000;
  const afterLines = 1 + Math.floor(random() ** 2 * linesMax);
  const afterMs = random() * 20;
  let said = 0;
  const program = runProgram('store-program', [folder, name, ...options], (_line, kill) => {
    if (++said === afterLines) setTimeout(kill, afterMs);
  });
  const { signal, lines, errors } = await program.ended;
  expect({ signal, errors }).toEqual({ signal: 'SIGKILL', errors: '' });
  return lines;
}

/** Everything that the store holds, read in every way that gives it, after a check that the ways agree. */
async function readAll(store: MessageStore): Promise<Map<string, StoredMessage>> {
  const byId = new Map<string, StoredMessage>();
  let last = 0;
  for await (const message of store.range()) {
    expect(message.position).toBeGreaterThan(last);
    last = message.position;
    byId.set(message.id, message);
  }
  const statuses = { pending: 0, handled: 0 };
  for (const message of byId.values()) {
    expect(await store.get(message.id)).toEqual(message);
    // What the program makes: a message is whole when all of it belongs together.
    expect(message.payload).toMatchObject({ id: message.id });
    expect(message.topic).toBe(`topic.${message.publishedAtMs % 3}`);
    statuses[message.status as keyof typeof statuses]++;
  }
  const stats = await store.stats();
  expect(stats).toMatchObject({ messages: byId.size, byStatus: statuses, lastPosition: last });
  let inTopics = 0;
  for (const topic of ['topic.0', 'topic.1', 'topic.2']) {
    for await (const message of store.range({ topic, fromMs: 0 })) {
      expect(byId.get(message.id)?.topic).toBe(topic);
      inTopics++;
    }
  }
  expect(inTopics).toBe(byId.size);
  return byId;
}

/** What is missing of what was acknowledged, but for what was trimmed since. */
function missing(lines: readonly string[], held: Map<string, StoredMessage>, firstHeld: number): string[] {
  const byPosition = new Map([...held.values()].map((message) => [message.position, message]));
  return lines.filter((line) => {
    const [act, position = '0', id = ''] = line.split(' ');
    if ((act !== 'append' && act !== 'mark') || Number(position) < firstHeld) return false;
    const message = byPosition.get(Number(position));
    return act === 'append' ? message?.id !== id : message?.status !== 'handled';
  });
}

async function reopened(folder: string): Promise<MessageStore> {
  return closing(await openLmdbStore({ folder, messagesMax: Number.POSITIVE_INFINITY }));
}

describe(`a durable store whose process is killed (TROUPE_SEED=${SEED})`, () => {
  it.each([
    ['while it appends', []],
    ['while it appends, marks and trims', ['--busy']],
    ['while one change at a time is made', ['--publishers', '1']],
  ])('holds all it acknowledged, whole and once, when killed %s', async (_, options) => {
    let folder = '';
    let lines: string[] = [];
    let acknowledged = 0;
    for (let round = 1; round <= ROUNDS; round++) {
      // Some lives on one folder, then a new one: each look reads all of it.
      if (round % LIVES === 1) {
        folder = await newFolder();
        lines = [];
      }
      lines.push(...(await runAndKill(folder, `r${round}`, options)));
      const store = await reopened(folder);
      const held = await readAll(store);
      const { firstPosition } = await store.stats();
      expect(missing(lines, held, firstPosition), `round ${round}`).toEqual([]);
      await store.close();
      acknowledged += lines.length;
    }
    expect(acknowledged).toBeGreaterThan(ROUNDS * 2);
  });

  it('goes on in another process that works in the same folder, and loses nothing of either', async () => {
    for (let round = 1; round <= Math.ceil(ROUNDS / 4); round++) {
      const folder = await newFolder();
      const other = runProgram('store-program', [folder, `other${round}`, '--appends', '6000']);
      const lines = await runAndKill(folder, `killed${round}`, []);
      const { code, lines: othersLines, errors } = await other.ended;
      expect({ code, errors, last: othersLines.at(-1) }).toEqual({ code: 0, errors: '', last: 'closed' });
      const store = await reopened(folder);
      const held = await readAll(store);
      expect(missing([...lines, ...othersLines], held, 0)).toEqual([]);
      await store.close();
    }
  });
});
