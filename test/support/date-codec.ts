/**
 * A codec for tests, which knows what JSON does not: dates, maps and whole numbers of any size. It stands for what users bring: binary, with a
 * first byte of its own, and it looks at what it is given no more than such libraries do.
 */

import type { Codec } from '../../src/protocol/codec.ts';

const FIRST_BYTE = 0xc1;

/** A codec of that name. */
export function dateCodec(name = 'dates'): Codec {
  return {
    name,
    encode: (value) => Buffer.concat([Uint8Array.of(FIRST_BYTE), Buffer.from(JSON.stringify(tagged(value)))]),
    decode: (bytes) => {
      if (bytes[0] !== FIRST_BYTE) throw new Error('these bytes are of another codec');
      return untagged(JSON.parse(Buffer.from(bytes.subarray(1)).toString()));
    },
  };
}

/** Everything as a pair of its kind and what JSON can say of it. */
function tagged(value: unknown): unknown {
  if (value instanceof Date) return ['date', value.getTime()];
  if (value instanceof Map) return ['map', [...value].map(([key, each]) => [tagged(key), tagged(each)])];
  if (typeof value === 'bigint') return ['bigint', String(value)];
  if (Array.isArray(value)) return ['list', value.map(tagged)];
  if (typeof value === 'object' && value !== null)
    return ['object', Object.entries(value).map(([key, each]) => [key, tagged(each)])];
  return ['plain', value];
}

function untagged(pair: unknown): unknown {
  const [kind, value] = pair as [string, unknown]; // what `tagged` made
  const entries = value as [unknown, unknown][];
  switch (kind) {
    case 'date':
      return new Date(value as number);
    case 'map':
      return new Map(entries.map(([key, each]) => [untagged(key), untagged(each)]));
    case 'bigint':
      return BigInt(value as string);
    case 'list':
      return (value as unknown[]).map(untagged);
    case 'object':
      return Object.fromEntries(entries.map(([key, each]) => [key, untagged(each)]));
    default:
      return value;
  }
}
