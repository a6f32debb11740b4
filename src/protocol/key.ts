/** Keys of keyed agents: texts of the user's choosing, the names of their actors in the tree, and the shards they belong to. */

import { hashOf } from './hash.ts';
import { KEY_BYTES_MAX } from './limits.ts';
import { invalidOption } from './options.ts';

/** A key: well-formed text of 1 to 256 bytes of UTF-8. Throws `ERR_OPTION_INVALID`. @internal */
export function checkKey(option: string, key: unknown): string {
  if (isKey(key)) return key;
  const given = typeof key === 'string' && key.length > KEY_BYTES_MAX ? `${key.length} characters` : key;
  throw invalidOption(option, `a well-formed string of 1 to ${KEY_BYTES_MAX} bytes`, given);
}

/** Whether something is a key. @internal */
export function isKey(key: unknown): key is string {
  if (typeof key !== 'string' || key === '' || key.length > KEY_BYTES_MAX) return false;
  return Buffer.byteLength(key) <= KEY_BYTES_MAX && !/\p{Surrogate}/u.test(key);
}

/** The shard of a key: the same on every node. @internal */
export function shardOf(key: string, shards: number): number {
  return hashOf(key) % shards;
}

/**
 * The name of a key's actor: letters, digits and `-` as they are, every other byte as `_` and two hexadecimal digits. No two keys have
 * one name. @internal
 */
export function nameOfKey(key: string): string {
  let name = '';
  for (const byte of Buffer.from(key)) {
    const character = String.fromCharCode(byte);
    name += /[A-Za-z0-9-]/.test(character) ? character : `_${byte.toString(16).padStart(2, '0')}`;
  }
  return name;
}

/** The key whose actor has this name; undefined where none has. @internal */
export function keyOfName(name: string): string | undefined {
  if (!/^(?:[A-Za-z0-9-]|_[0-9a-f]{2})+$/.test(name)) return undefined;
  const bytes = (name.match(/_..|./g) ?? []).map((part) =>
    part.length === 1 ? part.charCodeAt(0) : Number.parseInt(part.slice(1), 16),
  );
  const key = Buffer.from(bytes).toString();
  return isKey(key) && nameOfKey(key) === name ? key : undefined;
}
