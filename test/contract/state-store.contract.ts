/**
 * Goal: every state store keeps the port's promises, and all keep them alike.
 * Method: one suite, run for each store; random calls of several owners are compared with a plain model.
 */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { systemHost } from '../../runtime/host/system-clock.ts';
import type { StateClaim, StateKey, StateStore, StateStoreOptions } from '../../src/protocol/state-store.ts';
import { closing } from '../support/closing.ts';
import { moves, play } from '../support/state-play.ts';

const RUNS = Number(process.env['FC_RUNS'] ?? 50);
const RUNS_TIMEOUT_MS = 30_000 + RUNS * 500;

const KEY: StateKey = { kind: 'customer', key: 'customer-42' };
const FIRST: StateClaim = { epoch: 1, owner: 'north@1' };
const SECOND: StateClaim = { epoch: 2, owner: 'south@1' };

const bytesOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));

/** What names must never do: leave a folder, meet another key, or end a name. */
export const HOSTILE_KEYS = [
  '../../etc/passwd',
  '..',
  '/',
  'a/../b',
  'C:\\x',
  'a\0b',
  '\0',
  '}:state:customer:x',
  '{other}',
  '*',
  ':',
  ' ',
  '__proto__',
  'constructor',
  'line\nline\r\n',
  'ü'.repeat(512),
  '👩‍🚀',
];

/** Describes what every state store must do. `make` gives a new one over a place of its own. */
export function stateStoreContract(
  name: string,
  make: (options?: StateStoreOptions) => Promise<StateStore>,
): void {
  describe(name, () => {
    const newStore = async (options?: StateStoreOptions): Promise<StateStore> => {
      const store = closing(await make(options));
      await store.open(systemHost);
      return store;
    };

    it('has nothing of a key at first, and gives what was saved last to the next owner', async () => {
      const store = await newStore();
      expect(await store.activate(KEY, FIRST)).toBeUndefined();
      await store.save(KEY, FIRST, bytesOf('one'));
      await store.save(KEY, FIRST, bytesOf('two'));
      const snapshot = await store.activate(KEY, SECOND);
      expect(snapshot).toEqual(bytesOf('two'));
      expect(snapshot?.constructor).toBe(Uint8Array);
    });

    it('refuses whoever held a key before with ERR_EPOCH_STALE, whatever he calls, and keeps what is there', async () => {
      const store = await newStore();
      await store.activate(KEY, FIRST);
      await store.save(KEY, FIRST, bytesOf('old'));
      await store.activate(KEY, SECOND);
      const stale = {
        code: 'ERR_EPOCH_STALE',
        retryable: false,
        details: { ...KEY, epoch: 1, heldEpoch: 2 },
      };
      await expect(store.save(KEY, FIRST, bytesOf('late'))).rejects.toMatchObject(stale);
      await expect(store.remove(KEY, FIRST)).rejects.toMatchObject(stale);
      await expect(store.activate(KEY, FIRST)).rejects.toMatchObject(stale);
      expect(await store.activate(KEY, SECOND)).toEqual(bytesOf('old'));
    });

    it('refuses another owner of the same epoch, and lets the same one activate again', async () => {
      const store = await newStore();
      await store.activate(KEY, FIRST);
      await store.save(KEY, FIRST, bytesOf('mine'));
      const other = { ...FIRST, owner: 'south@1' };
      const stale = { code: 'ERR_EPOCH_STALE', details: { epoch: 1, heldEpoch: 1 } };
      await expect(store.activate(KEY, other)).rejects.toMatchObject(stale);
      await expect(store.save(KEY, other, bytesOf('his'))).rejects.toMatchObject(stale);
      expect(await store.activate(KEY, FIRST)).toEqual(bytesOf('mine'));
      await store.save(KEY, FIRST, bytesOf('again'));
      expect(await store.activate(KEY, FIRST)).toEqual(bytesOf('again'));
    });

    it('takes no write by a claim that was never activated', async () => {
      const store = await newStore();
      const stale = { code: 'ERR_EPOCH_STALE', details: { epoch: 2, heldEpoch: 0 } };
      await expect(store.save(KEY, SECOND, bytesOf('x'))).rejects.toMatchObject(stale);
      await store.activate(KEY, FIRST);
      await expect(store.save(KEY, SECOND, bytesOf('x'))).rejects.toMatchObject({
        details: { epoch: 2, heldEpoch: 1 },
      });
      expect(await store.activate(KEY, FIRST)).toBeUndefined();
    });

    it('keeps the fence of what was removed', async () => {
      const store = await newStore();
      await store.activate(KEY, SECOND);
      await store.save(KEY, SECOND, bytesOf('x'));
      await store.remove(KEY, SECOND);
      await store.remove(KEY, SECOND);
      await expect(store.activate(KEY, FIRST)).rejects.toMatchObject({ code: 'ERR_EPOCH_STALE' });
      expect(await store.activate(KEY, SECOND)).toBeUndefined();
      await store.save(KEY, SECOND, bytesOf('anew'));
      expect(await store.activate(KEY, SECOND)).toEqual(bytesOf('anew'));
    });

    it('keeps keys apart, whatever they consist of', async () => {
      const store = await newStore();
      const keys = ['customer', 'constructor'].flatMap((kind) => HOSTILE_KEYS.map((key) => ({ kind, key })));
      for (const [n, key] of keys.entries()) {
        expect(await store.activate(key, FIRST)).toBeUndefined();
        await store.save(key, FIRST, bytesOf(`${n}`));
      }
      for (const [n, key] of keys.entries())
        expect(await store.activate(key, SECOND)).toEqual(bytesOf(`${n}`));
    });

    it('gives back bytes as they were when save was called, none and as many as may be among them', async () => {
      const store = await newStore({ snapshotBytesMax: 300_000 });
      await store.activate(KEY, FIRST);
      for (const size of [0, 1, 4, 256, 300_000]) {
        const bytes = Uint8Array.from({ length: size }, (_, n) => n * 7);
        const before = new Uint8Array(bytes);
        const saved = store.save(KEY, FIRST, bytes);
        bytes.fill(255);
        await saved;
        const found = await store.activate(KEY, FIRST);
        expect(Buffer.compare(found ?? bytesOf('none'), before)).toBe(0);
        found?.fill(0);
        expect(Buffer.compare((await store.activate(KEY, FIRST)) ?? bytesOf('none'), before)).toBe(0);
      }
    });

    it('refuses one byte more than a snapshot may have with ERR_SNAPSHOT_TOO_LARGE, and keeps the one before', async () => {
      const store = await newStore({ snapshotBytesMax: 3 });
      await store.activate(KEY, FIRST);
      await store.save(KEY, FIRST, bytesOf('abc'));
      await expect(store.save(KEY, FIRST, bytesOf('abcd'))).rejects.toMatchObject({
        code: 'ERR_SNAPSHOT_TOO_LARGE',
        details: { ...KEY, sizeBytes: 4, sizeBytesMax: 3 },
      });
      expect(await store.activate(KEY, SECOND)).toEqual(bytesOf('abc'));
    });

    it.each<[string, unknown, unknown]>([
      ['an empty key', { ...KEY, key: '' }, FIRST],
      ['a key of 1,025 bytes', { ...KEY, key: `${'ü'.repeat(512)}x` }, FIRST],
      ['half of a surrogate pair', { ...KEY, key: 'a\ud800' }, FIRST],
      ['a key that is no text', { ...KEY, key: 42 }, FIRST],
      ['a kind with a slash', { ...KEY, kind: 'a/b' }, FIRST],
      ['a kind with a colon', { ...KEY, kind: 'a:b' }, FIRST],
      ['an epoch of 0', KEY, { ...FIRST, epoch: 0 }],
      ['no epoch', KEY, { owner: 'a' }],
      ['half an epoch', KEY, { ...FIRST, epoch: 1.5 }],
      ['an epoch that is not exact', KEY, { ...FIRST, epoch: 2 ** 53 }],
      ['no owner', KEY, { epoch: 1 }],
      ['an owner with a space', KEY, { ...FIRST, owner: 'a b' }],
    ])('refuses %s with ERR_OPTION_INVALID', async (_, key, claim) => {
      const store = await newStore();
      const [badKey, badClaim] = [key as StateKey, claim as StateClaim]; // wrong on purpose
      const invalid = { code: 'ERR_OPTION_INVALID' };
      await expect(store.activate(badKey, badClaim)).rejects.toMatchObject(invalid);
      await expect(store.save(badKey, badClaim, bytesOf('x'))).rejects.toMatchObject(invalid);
      await expect(store.remove(badKey, badClaim)).rejects.toMatchObject(invalid);
    });

    it('takes epochs up to the last exact number', async () => {
      const store = await newStore();
      const last = { epoch: Number.MAX_SAFE_INTEGER, owner: 'z' };
      await store.activate(KEY, { epoch: Number.MAX_SAFE_INTEGER - 1, owner: 'z' });
      await store.activate(KEY, last);
      await store.save(KEY, last, bytesOf('x'));
      await expect(
        store.activate(KEY, { epoch: Number.MAX_SAFE_INTEGER - 1, owner: 'z' }),
      ).rejects.toMatchObject({ details: { heldEpoch: Number.MAX_SAFE_INTEGER } });
    });

    it('refuses a snapshot that is no Uint8Array', async () => {
      const store = await newStore();
      await store.activate(KEY, FIRST);
      const text = 'text' as unknown as Uint8Array; // wrong on purpose
      await expect(store.save(KEY, FIRST, text)).rejects.toMatchObject({ code: 'ERR_OPTION_INVALID' });
    });

    it('lets calls that were made end before it closes, and refuses all others with ERR_STORE_CLOSED', async () => {
      const store = closing(await make());
      const closed = { code: 'ERR_STORE_CLOSED' };
      await expect(store.activate(KEY, FIRST)).rejects.toMatchObject(closed);
      await store.open(systemHost);
      await expect(store.open(systemHost)).rejects.toMatchObject(closed);
      await store.activate(KEY, FIRST);
      const saved = store.save(KEY, FIRST, bytesOf('x'));
      const ended = store.close();
      await expect(store.save(KEY, FIRST, bytesOf('y'))).rejects.toMatchObject(closed);
      await saved;
      await ended;
      await store.close();
      await expect(store.activate(KEY, FIRST)).rejects.toMatchObject(closed);
      await expect(store.open(systemHost)).rejects.toMatchObject(closed);
    });

    it(
      'P113 lets the highest epoch that was activated write and nobody else, whatever order owners come in',
      async () => {
        await fc.assert(
          fc.asyncProperty(moves, fc.boolean(), async (made, isAtOnce) => {
            const store = await make();
            await store.open(systemHost);
            try {
              await play(() => store, made, isAtOnce);
            } finally {
              await store.close();
            }
          }),
          { numRuns: RUNS },
        );
      },
      RUNS_TIMEOUT_MS,
    );
  });
}
