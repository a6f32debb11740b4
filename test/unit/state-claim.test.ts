import { describe, expect, it } from 'vitest';
import { checkSnapshot, staleEpoch } from '../../src/protocol/state-claim.ts';

const KEY = { kind: 'customer', key: 'a\nb' };

describe('a refusal of a state store', () => {
  it.each([
    [3, 'an owner of epoch 3 has been there since'],
    [2, 'another owner has the same epoch'],
    [0, 'it was never activated'],
  ])('says of a key that epoch %i holds why epoch 2 does not', (heldEpoch, reason) => {
    const error = staleEpoch(KEY, { epoch: 2, owner: 'a' }, heldEpoch);
    expect(error.message).toContain(reason);
    expect(error.message).not.toContain('\n');
    expect(error.retryable).toBe(false);
  });

  it('names both sizes of a snapshot that has one byte too many', () => {
    expect(() => checkSnapshot(KEY, new Uint8Array(4), 3)).toThrow(
      expect.objectContaining({
        code: 'ERR_SNAPSHOT_TOO_LARGE',
        details: { ...KEY, sizeBytes: 4, sizeBytesMax: 3 },
      }),
    );
  });
});
