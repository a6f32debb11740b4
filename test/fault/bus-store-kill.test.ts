/**
 * Goal: a publish that resolved is stored, and a replay gives each stored message once, whenever the process was killed.
 * Method: a program publishes, or replays, and is killed at random; another life of it, in this process, replays its folder.
 */

import { describe, expect, it, vi } from 'vitest';
import { openLmdbStore } from '../../adapters/store/index.ts';
import { MessageBus } from '../../runtime/bus/bus.ts';
import type { BusReplayOptions } from '../../src/protocol/bus.ts';
import type { MessageStore } from '../../src/protocol/store.ts';
import { closing } from '../support/closing.ts';
import { runProgram } from '../support/run-program.ts';
import { IS_SOAKING, SEED, seeded } from '../support/soak.ts';
import { temporaryFolders } from '../support/temporary-folder.ts';

const ROUNDS = IS_SOAKING ? 200 : 3;
/** Lives of the program on one folder. */
const LIVES = 4;
vi.setConfig({ testTimeout: 60_000 + ROUNDS * 10_000 });

const newFolder = temporaryFolders();
const random = seeded(SEED);

/** Runs the program until it is killed; answers its lines. */
async function killed(
  parameters: readonly string[],
  react?: (line: string, kill: () => void) => void,
): Promise<readonly string[]> {
  const { signal, lines, errors } = await runProgram('bus-store-program', parameters, react).ended;
  expect({ signal, errors }).toEqual({ signal: 'SIGKILL', errors: '' });
  return lines;
}

/** Lets the program publish, and kills it at random. */
async function killedPublishing(folder: string, name: string): Promise<readonly string[]> {
  const afterLines = 2 + Math.floor(random() ** 2 * 5_000);
  const afterMs = random() * 20;
  let said = 0;
  return killed([folder, name], (_line, kill) => {
    if (++said === afterLines) setTimeout(kill, afterMs);
  });
}

/** Opens the folder as the next life of the program would, for the time of `look`. */
async function inNextLife(
  folder: string,
  look: (bus: MessageBus, store: MessageStore) => Promise<void>,
): Promise<void> {
  const store = closing(await openLmdbStore({ folder, messagesMax: Number.POSITIVE_INFINITY }));
  const bus = closing(await MessageBus.connect({ store, log: false }));
  await look(bus, store);
  await bus.close();
  await store.close();
}

/** What one replay gives, by id; each once, or it fails. */
async function replayed(
  bus: MessageBus,
  pattern = 'publisher.*',
  options?: BusReplayOptions,
): Promise<ReadonlyMap<string, unknown>> {
  const given = new Map<string, unknown>();
  let calls = 0;
  const count = await bus.replay(
    pattern,
    ({ id, payload }) => {
      calls++;
      given.set(id, payload);
    },
    options,
  );
  expect({ calls, different: given.size }).toEqual({ calls: count, different: count });
  return given;
}

/** The published messages among the lines of a program, by id. */
function publishedIn(lines: readonly string[]): ReadonlyMap<string, unknown> {
  const published = new Map<string, unknown>();
  for (const line of lines) {
    const [, id = '', payload = ''] = /^published (\S+) (.*)$/.exec(line) ?? [];
    if (id !== '') published.set(id, JSON.parse(payload));
  }
  return published;
}

describe(`a bus with a store whose process is killed (TROUPE_SEED=${SEED})`, () => {
  it('has stored every publish that resolved; each replay gives each once, by topic and time too', async () => {
    let folder = '';
    const published = new Map<string, unknown>();
    let acknowledged = 0;
    for (let round = 1; round <= ROUNDS; round++) {
      // Some lives on one folder, then a new one: each look reads all of it, again and again.
      if (round % LIVES === 1) {
        folder = await newFolder();
        published.clear();
      }
      for (const [id, payload] of publishedIn(await killedPublishing(folder, `r${round}`)))
        published.set(id, payload);
      await inNextLife(folder, async (bus, store) => {
        const first = await replayed(bus);
        for (const [id, payload] of published) expect(first.get(id)).toEqual(payload);
        expect(await replayed(bus)).toEqual(first);
        expect((await store.stats()).messages).toBe(first.size);
        await expectParts(bus, store, first);
      });
      acknowledged += published.size;
    }
    expect(acknowledged).toBeGreaterThan(ROUNDS);
  });

  it('replays all of it, each once, after a crash in the middle of a replay, and marks nothing by it', async () => {
    const folder = await newFolder();
    await inNextLife(folder, async (bus) => {
      const publishes = Array.from({ length: 3_000 }, (_, n) => bus.publish(`publisher.${n % 7}`, n));
      await Promise.all(publishes);
    });
    for (let round = 1; round <= ROUNDS; round++) {
      const crashAt = 1 + Math.floor(random() * 3_000);
      expect(await killed([folder, `r${round}`, String(crashAt)])).toEqual(['open']);
      await inNextLife(folder, async (bus, store) => {
        expect([...(await replayed(bus)).values()]).toEqual(Array.from({ length: 3_000 }, (_, n) => n));
        expect((await store.stats()).byStatus.pending).toBe(3_000);
      });
    }
  });
});

/** Topic by topic, and time by time, replays give the parts of the whole: nothing twice, nothing missing. */
async function expectParts(
  bus: MessageBus,
  store: MessageStore,
  all: ReadonlyMap<string, unknown>,
): Promise<void> {
  const byTopic = new Map<string, unknown>();
  for (let publisher = 0; publisher < 40; publisher++) {
    for (const [id, payload] of await replayed(bus, `publisher.${publisher}`)) {
      expect(payload).toMatchObject({ publisher });
      byTopic.set(id, payload);
    }
  }
  expect(byTopic).toEqual(new Map([...byTopic.keys()].map((id) => [id, all.get(id)])));
  expect(byTopic.size).toBe(all.size);
  const times: number[] = [];
  for await (const { publishedAtMs } of store.range()) times.push(publishedAtMs);
  const cutMs = times[Math.floor(times.length / 2)] ?? 0;
  const before = await replayed(bus, '#', { toMs: cutMs });
  const after = await replayed(bus, '#', { fromMs: cutMs });
  expect(before.size).toBe(times.filter((time) => time < cutMs).length);
  expect(new Map([...before, ...after])).toEqual(new Map(all));
  expect(before.size + after.size).toBe(all.size);
}
