/** What every state store checks at its door, and the one decision that all of them take: which claim holds a key. */

import { TroupeError } from './errors.ts';
import { STATE_KEY_BYTES_MAX, STATE_OWNER_CHARACTERS_MAX, STATE_SNAPSHOT_BYTES_MAX } from './limits.ts';
import { integerOption, invalidOption, nameOption, objectOption } from './options.ts';
import type { StateClaim, StateKey } from './state-store.ts';

const OWNER = new RegExp(`^[\\x21-\\x7e]{1,${STATE_OWNER_CHARACTERS_MAX}}$`);
const encoder = new TextEncoder();

/** Whether a claim may be activated where `held` holds the key. @internal */
export function mayActivate(claim: StateClaim, held: StateClaim | undefined): boolean {
  return held === undefined || claim.epoch > held.epoch || holds(claim, held);
}

/** Whether a claim is the one that holds the key: the only one that may write. @internal */
export function holds(claim: StateClaim, held: StateClaim | undefined): boolean {
  return held !== undefined && claim.epoch === held.epoch && claim.owner === held.owner;
}

/** The error of a claim that does not hold the key. @internal */
export function staleEpoch(
  { kind, key }: StateKey,
  { epoch }: StateClaim,
  heldEpoch: number,
): TroupeError<'ERR_EPOCH_STALE'> {
  return new TroupeError('ERR_EPOCH_STALE', { kind, key, epoch, heldEpoch });
}

/** Checks a key and returns a copy. A half of a surrogate pair would become the same bytes as any other half. @internal */
export function checkStateKey(value: StateKey): StateKey {
  const given = objectOption('key', value, ['kind', 'key']);
  const { key } = given;
  const isText = typeof key === 'string' && key.length > 0 && !/\p{Surrogate}/u.test(key);
  if (!isText || key.length > STATE_KEY_BYTES_MAX || encoder.encode(key).length > STATE_KEY_BYTES_MAX)
    throw invalidOption('key.key', `a well-formed text of 1 to ${STATE_KEY_BYTES_MAX} bytes in UTF-8`, key);
  return { kind: nameOption('key.kind', given['kind']), key };
}

/** Checks a claim and returns a copy. @internal */
export function checkClaim(value: StateClaim): StateClaim {
  const given = objectOption('claim', value, ['epoch', 'owner']);
  const { owner } = given;
  if (given['epoch'] === undefined) throw invalidOption('claim.epoch', 'a whole number >= 1', undefined);
  if (typeof owner !== 'string' || !OWNER.test(owner))
    throw invalidOption('claim.owner', `1 to ${STATE_OWNER_CHARACTERS_MAX} visible ASCII characters`, owner);
  return { epoch: integerOption('claim.epoch', given['epoch'], 1, 1), owner };
}

/** Checks a snapshot and returns a copy: what is done to the bytes later is not seen. @internal */
export function checkSnapshot({ kind, key }: StateKey, snapshot: unknown, sizeBytesMax: number): Uint8Array {
  if (!(snapshot instanceof Uint8Array)) throw invalidOption('snapshot', 'a Uint8Array', snapshot);
  const sizeBytes = snapshot.byteLength;
  if (sizeBytes > sizeBytesMax)
    throw new TroupeError('ERR_SNAPSHOT_TOO_LARGE', { kind, key, sizeBytes, sizeBytesMax });
  return new Uint8Array(snapshot); // never a view: `Buffer.prototype.slice` would be one
}

/** Reads `snapshotBytesMax`. @internal */
export function snapshotBound(value: unknown): number {
  return integerOption('snapshotBytesMax', value, 1, STATE_SNAPSHOT_BYTES_MAX);
}
