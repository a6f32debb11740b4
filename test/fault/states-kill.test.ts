/**
 * Goal: what a state store in a file has acknowledged is there, whole, after its process was killed at any moment; and the fence holds
 * between processes, and against damage.
 * Method: programs save as fast as they can and say what was acknowledged; after SIGKILL, or a higher epoch, the folder is read.
 */

import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { fileStates } from '../../adapters/store/file-states.ts';
import { systemHost } from '../../runtime/host/system-clock.ts';
import type { StateStore } from '../../src/protocol/state-store.ts';
import { closing } from '../support/closing.ts';
import { runProgram } from '../support/run-program.ts';
import { IS_SOAKING, SEED, seeded } from '../support/soak.ts';
import { temporaryFolders } from '../support/temporary-folder.ts';
import { KEY, numbersIn, snapshotOf } from '../support/whole-snapshot.ts';

const ROUNDS = IS_SOAKING ? 200 : 5;
/** Openings of a folder that grows. */
const OPENINGS = IS_SOAKING ? 1_000 : 300;
vi.setConfig({ testTimeout: 60_000 + ROUNDS * 10_000 });

const newFolder = temporaryFolders();
const random = seeded(SEED);

async function opened(folder: string): Promise<StateStore> {
  const store = closing(fileStates({ folder }));
  await store.open(systemHost);
  return store;
}

describe(`a state store in a file (TROUPE_SEED=${SEED})`, () => {
  it('holds the last snapshot it acknowledged, or the one in work, whole, when its process is killed', async () => {
    const folder = await newFolder();
    for (let round = 1; round <= ROUNDS; round++) {
      const epoch = 2 * round - 1;
      const afterLines = 2 + Math.floor(random() * 100);
      let said = 0;
      const afterMs = random() * 5;
      const program = runProgram('states-program', [folder, `${epoch}`], (_line, kill) => {
        if (++said === afterLines) setTimeout(kill, afterMs);
      });
      const { signal, lines, errors } = await program.ended;
      expect({ signal, errors }).toEqual({ signal: 'SIGKILL', errors: '' });
      const last = Number(lines.at(-1)?.replace('saved ', ''));
      const store = await opened(folder);
      const snapshot = await store.activate(KEY, { epoch: epoch + 1, owner: 'test' });
      const [by, n] = numbersIn(snapshot ?? new Uint8Array());
      expect(by).toBe(epoch);
      // What was safe and not yet said, and the one in work.
      expect(n).toBeGreaterThanOrEqual(last);
      expect(n).toBeLessThanOrEqual(last + 2);
      await store.close();
    }
  });

  it('cuts nothing off that another process is writing while it is opened', async () => {
    const folder = await newFolder();
    let grows: () => void = () => undefined;
    const begun = new Promise<void>((resolve) => {
      grows = resolve;
    });
    const program = runProgram('states-grow-program', [folder], () => grows());
    await begun;
    for (let round = 0; round < OPENINGS; round++) await (await opened(folder)).close();
    program.signal('SIGTERM');
    const { code, lines, errors } = await program.ended;
    expect({ code, errors }).toEqual({ code: 0, errors: '' });
    const store = await opened(folder);
    for (let n = 0; n < Number(lines.at(-1)); n++) {
      const kept = await store.activate({ kind: 'grows', key: `${n}` }, { epoch: 2, owner: 'test' });
      expect([n, kept?.length, kept?.every((byte) => byte === n % 256)]).toEqual([n, 9_000, true]);
    }
  });

  it('P113 takes nothing more of a process whose key another process has activated', async () => {
    const folder = await newFolder();
    const store = await opened(folder);
    let active: () => void = () => undefined;
    const isActive = new Promise<void>((resolve) => {
      active = resolve;
    });
    const program = runProgram('states-program', [folder, '1'], (line) => {
      if (line === 'saved 20') active();
    });
    await isActive;
    const mine = { epoch: 2, owner: 'test' };
    const taken = numbersIn((await store.activate(KEY, mine)) ?? new Uint8Array());
    const { code, lines } = await program.ended;
    expect({ code, last: lines.at(-1) }).toEqual({ code: 0, last: 'stale 2' });
    // All it was told to be saved had been there when its key was taken.
    expect(lines.at(-2)).toBe(`saved ${taken[1]}`);
    expect(numbersIn((await store.activate(KEY, mine)) ?? new Uint8Array())).toEqual(taken);
  });

  it('says ERR_SNAPSHOT_CORRUPT of damaged bytes, loses none, and lets the new owner go on', async () => {
    const folder = await newFolder();
    const first = { epoch: 1, owner: 'test' };
    const before = await opened(folder);
    await before.activate(KEY, first);
    await before.save(KEY, first, snapshotOf(1, 1));
    await before.close();
    const file = join(folder, 'data.mdb');
    const bytes = await readFile(file);
    const at = bytes.lastIndexOf('1 1 1 1 1 1 1 1 ');
    expect(at).toBeGreaterThan(0);
    bytes[at] = 0x32;
    await writeFile(file, bytes);
    const store = await opened(folder);
    const second = { epoch: 2, owner: 'test' };
    const corrupt = { code: 'ERR_SNAPSHOT_CORRUPT', retryable: false, details: { ...KEY } };
    await expect(store.activate(KEY, second)).rejects.toMatchObject(corrupt);
    await expect(store.activate(KEY, second)).rejects.toMatchObject(corrupt);
    await expect(store.save(KEY, first, snapshotOf(1, 2))).rejects.toMatchObject({ code: 'ERR_EPOCH_STALE' });
    await store.save(KEY, second, snapshotOf(2, 1));
    expect(numbersIn((await store.activate(KEY, second)) ?? new Uint8Array())).toEqual([2, 1]);
  });

  it('refuses a folder of something else with ERR_STORE_UNUSABLE', async () => {
    const folder = await newFolder();
    await writeFile(join(folder, 'notes.txt'), 'mine');
    const store = closing(fileStates({ folder }));
    await expect(store.open(systemHost)).rejects.toMatchObject({ code: 'ERR_STORE_UNUSABLE' });
  });
});
