/** Accidents that happen to bytes. */

/** Bytes changed, cut at either end, with one more, or doubled: by three numbers, which kind, where, and the byte. */
export function damage(
  bytes: Uint8Array,
  [kind, where, value]: readonly [number, number, number],
): Uint8Array {
  const at = bytes.length === 0 ? 0 : where % bytes.length;
  switch (kind) {
    case 0: {
      const changed = Uint8Array.from(bytes);
      changed[at] = value;
      return changed;
    }
    case 1:
      return bytes.slice(0, at);
    case 2:
      return bytes.slice(at);
    case 3:
      return Uint8Array.from([...bytes.slice(0, at), value, ...bytes.slice(at)]);
    default:
      return Uint8Array.from([...bytes, ...bytes.slice(at)]);
  }
}
