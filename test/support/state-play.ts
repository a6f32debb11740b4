/** What owners may do to a few keys of a state store, the plain model of what must come of it, and how both are compared. */

import fc from 'fast-check';
import { expect } from 'vitest';
import type { StateClaim, StateKey, StateStore } from '../../src/protocol/state-store.ts';

/** One call of one owner. */
export interface Move {
  readonly act: 'activate' | 'save' | 'remove';
  readonly key: StateKey;
  readonly claim: StateClaim;
}

const KEYS: readonly StateKey[] = [
  { kind: 'customer', key: '42' },
  { kind: 'customer', key: '../42' },
  { kind: 'order', key: '42' },
];

/** Calls of three owners with epochs that overlap, so that late, equal and higher ones all come. */
export const moves = fc.array(
  fc.record<Move>({
    act: fc.constantFrom('activate', 'activate', 'save', 'save', 'remove'),
    key: fc.constantFrom(...KEYS),
    claim: fc.record({ epoch: fc.integer({ min: 1, max: 5 }), owner: fc.constantFrom('a', 'b', 'c') }),
  }),
  { minLength: 1, maxLength: 40, size: 'max' },
);

interface Held extends StateClaim {
  readonly snapshot: string | undefined;
}

/**
 * Makes the moves, each owner through the store that is his, and compares every answer with the model: the highest epoch activated holds the
 * key, first come among equals, and no other claim changes anything. `isAtOnce` calls without awaiting, where one store keeps the order.
 */
export async function play(
  storeOf: (owner: string) => StateStore,
  made: readonly Move[],
  isAtOnce = false,
): Promise<void> {
  const model = new Map<StateKey, Held>();
  const answers: (readonly [expected: unknown, got: Promise<unknown>])[] = [];
  for (const [n, move] of made.entries()) {
    const expected = judge(model, move, `${n}`);
    const got = perform(storeOf(move.claim.owner), move, `${n}`);
    if (!isAtOnce) expect([n, await got]).toEqual([n, expected]);
    answers.push([expected, got]);
  }
  expect(await Promise.all(answers.map(([, got]) => got))).toEqual(answers.map(([expected]) => expected));
}

function judge(model: Map<StateKey, Held>, { act, key, claim }: Move, text: string): unknown {
  const held = model.get(key);
  const isHolder = held?.epoch === claim.epoch && held.owner === claim.owner;
  const mayCome = act === 'activate' && (held === undefined || claim.epoch > held.epoch);
  if (!isHolder && !mayCome) return `stale behind ${held?.epoch ?? 0}`;
  const snapshot = act === 'save' ? text : act === 'remove' ? undefined : held?.snapshot;
  model.set(key, { ...claim, snapshot });
  return act === 'activate' ? (snapshot ?? 'none') : 'done';
}

async function perform(store: StateStore, { act, key, claim }: Move, text: string): Promise<unknown> {
  try {
    switch (act) {
      case 'activate': {
        const snapshot = await store.activate(key, claim);
        return snapshot === undefined ? 'none' : Buffer.from(snapshot).toString();
      }
      case 'save':
        await store.save(key, claim, Buffer.from(text));
        return 'done';
      case 'remove':
        await store.remove(key, claim);
        return 'done';
    }
  } catch (error) {
    const { code, details } = error as {
      readonly code: string;
      readonly details: { readonly heldEpoch: number };
    };
    if (code !== 'ERR_EPOCH_STALE') throw error;
    return `stale behind ${details.heldEpoch}`;
  }
}
