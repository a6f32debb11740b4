/**
 * What JSON gives back as it was: null, booleans, strings, finite numbers, lists and plain objects of such, without cycles.
 * Everything else would be stored as something else (a `Date` as a string, `NaN` as null, a `Map` as nothing), or not at all.
 */

import { TroupeError } from './errors.ts';
import { STORED_PAYLOAD_DEPTH_MAX } from './limits.ts';
import { describeValue } from './options.ts';

/**
 * The value as JSON, at most `sizeBytesMax` bytes of it in UTF-8. Throws `ERR_PAYLOAD_UNSERIALIZABLE` with the path of the part
 * that does not fit, and `ERR_PAYLOAD_TOO_LARGE`. @internal
 */
export function jsonOf(
  value: unknown,
  sizeBytesMax: number,
): { readonly text: string; readonly sizeBytes: number } {
  new ValueCheck(sizeBytesMax).check(value, 'payload');
  const text = JSON.stringify(value);
  const sizeBytes = Buffer.byteLength(text);
  if (sizeBytes > sizeBytesMax) throw new TroupeError('ERR_PAYLOAD_TOO_LARGE', { sizeBytes, sizeBytesMax });
  return { text, sizeBytes };
}

/** One walk through a value. It counts the bytes on its way, so that parts shared many times over cannot make it endless. */
class ValueCheck {
  private readonly sizeBytesMax: number;
  /** No more than the JSON will have. */
  private sizeBytes = 0;
  private readonly above: object[] = [];

  constructor(sizeBytesMax: number) {
    this.sizeBytesMax = sizeBytesMax;
  }

  check(value: unknown, path: string): void {
    this.count(typeof value === 'string' ? value.length + 2 : 1);
    if (value === null || typeof value === 'boolean' || typeof value === 'string') return;
    if (typeof value === 'number' && Number.isFinite(value)) return;
    if (typeof value !== 'object') throw unserializable(path, describeValue(value));
    if (this.above.includes(value)) throw unserializable(path, 'it contains itself');
    if (this.above.length >= STORED_PAYLOAD_DEPTH_MAX) {
      throw unserializable(path, `it lies more than ${STORED_PAYLOAD_DEPTH_MAX} levels deep`);
    }
    this.above.push(value);
    if (Array.isArray(value)) this.checkList(value, path);
    else this.checkObject(value, path);
    this.above.pop();
  }

  private checkList(list: readonly unknown[], path: string): void {
    // By index: a hole is `undefined`, which JSON would turn into null.
    for (let index = 0; index < list.length; index++) this.check(list[index], `${path}[${index}]`);
  }

  private checkObject(object: object, path: string): void {
    const prototype: unknown = Object.getPrototypeOf(object);
    // A plain object's prototype has none itself: those of other realms count too, instances of classes do not.
    if (prototype !== null && Object.getPrototypeOf(prototype) !== null) {
      throw unserializable(path, `an instance of ${object.constructor?.name || 'a class'}`);
    }
    for (const [key, value] of Object.entries(object)) {
      if (value === undefined) continue; // A field without a value is the same as none.
      this.count(key.length + 3);
      this.check(value, `${path}.${key}`);
    }
  }

  private count(bytes: number): void {
    this.sizeBytes += bytes;
    if (this.sizeBytes > this.sizeBytesMax) {
      const { sizeBytes, sizeBytesMax } = this;
      throw new TroupeError('ERR_PAYLOAD_TOO_LARGE', { sizeBytes, sizeBytesMax });
    }
  }
}

/** Characters of a path that an error repeats. */
const PATH_CHARACTERS_MAX = 200;

function unserializable(path: string, given: string): TroupeError<'ERR_PAYLOAD_UNSERIALIZABLE'> {
  const shown = path.length > PATH_CHARACTERS_MAX ? `${path.slice(0, PATH_CHARACTERS_MAX)}...` : path;
  return new TroupeError('ERR_PAYLOAD_UNSERIALIZABLE', { path: shown, given });
}
