/** Snapshots that show by themselves whether they are whole: from a few bytes to many pages, each byte told by epoch and number. */

export const KEY = { kind: 'customer', key: 'customer-42' };

/** The snapshot of this number. */
export function snapshotOf(epoch: number, n: number): Uint8Array {
  const text = `${epoch} ${n} `;
  return Buffer.from(text.repeat(1 + ((n * 7_919) % 5_000)));
}

/** Its epoch and number. Throws for one that is not whole. */
export function numbersIn(snapshot: Uint8Array): readonly [epoch: number, n: number] {
  const [epoch = 0, n = 0] = Buffer.from(snapshot.subarray(0, 40)).toString().split(' ').map(Number);
  if (Buffer.compare(snapshot, snapshotOf(epoch, n)) !== 0)
    throw new Error(`The snapshot of ${snapshot.length} bytes that begins as ${epoch} ${n} is not whole.`);
  return [epoch, n];
}
