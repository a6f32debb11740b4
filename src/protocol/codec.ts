/**
 * Codecs: how payloads become bytes at nodes that were told to use something else than JSON. Troupe brings none; a library becomes
 * one in a line, `{ name: 'msgpack', encode: pack, decode: unpack }` with those of msgpackr. What a codec does is looked at: whatever it
 * throws or gives is a payload or an error that names it.
 */

import { TroupeError } from './errors.ts';
import { isCodecName } from './frame.ts';
import { CODEC_NAME_CHARACTERS_MAX, CODECS_MAX } from './limits.ts';
import { invalidOption } from './options.ts';

/**
 * Makes bytes of payloads and payloads of bytes, both at once (no promises). Nodes that share topics know a codec by its name, so a name stands
 * for one format for ever. JSON and bytes as they are need no codec: every node reads them.
 */
export interface Codec {
  /** `[a-z0-9-]{1,16}`, not `none`, `json`, `bytes` or `named`: it travels with each message. */
  readonly name: string;
  /**
   * The bytes of a payload: anything but `undefined` and a `Uint8Array`, which travel without it. They are copied before it is called
   * again, so it may use its memory again. What it throws, the caller of `publish` gets as the cause of `ERR_CODEC_FAILED`.
   */
  readonly encode: (value: unknown) => Uint8Array;
  /**
   * What `encode` was given. The bytes are a copy that it may keep; they come from another process, so it must not run what they
   * say, and should bound what it makes of them. What it throws, and a payload that is `undefined`, a promise or a function, is a dead letter `serialization`.
   */
  readonly decode: (bytes: Uint8Array) => unknown;
}

/** The codecs of one node. @internal */
export interface Codecs {
  /** By which it writes; JSON where there is none. */
  readonly writer: Codec | undefined;
  /** By which it reads beside JSON, by name; the writer among them. */
  readonly readers: ReadonlyMap<string, Codec>;
}

/** Nothing but JSON. @internal */
export const NO_CODECS: Codecs = { writer: undefined, readers: new Map() };

/** The options `codec`, by which a node writes and reads, and `codecs`, by which it reads as well. Throws `ERR_OPTION_INVALID`. @internal */
export function codecsOption(codec: unknown, codecs: unknown): Codecs {
  if (codec === undefined && codecs === undefined) return NO_CODECS;
  const given = new Set<unknown>();
  const readers = new Map<string, Codec>();
  const add = (option: string, value: unknown): Codec => {
    const read = codecOption(option, value);
    // The one that writes may stand among the others as well.
    if (!given.has(value) && readers.has(read.name))
      throw invalidOption(option, `a codec whose name no other has`, read.name);
    given.add(value);
    readers.set(read.name, read);
    return read;
  };
  const writer = codec === undefined ? undefined : add('codec', codec);
  if (codecs !== undefined) {
    if (!Array.isArray(codecs) || codecs.length > CODECS_MAX)
      throw invalidOption('codecs', `a list of at most ${CODECS_MAX} codecs`, codecs);
    for (const [place, value] of codecs.entries()) add(`codecs[${place}]`, value);
  }
  return { writer, readers };
}

function codecOption(option: string, value: unknown): Codec {
  if (typeof value !== 'object' || value === null)
    throw invalidOption(option, 'a codec: { name, encode, decode }', value);
  const codec = value as Partial<Record<keyof Codec, unknown>>; // any object may be read by name
  const { name, encode, decode } = codec;
  if (typeof name !== 'string' || !isCodecName(name)) {
    const expected = `1 to ${CODEC_NAME_CHARACTERS_MAX} of a-z, 0-9 and -, not none, json, bytes or named`;
    throw invalidOption(`${option}.name`, expected, name);
  }
  if (typeof encode !== 'function') throw invalidOption(`${option}.encode`, 'a function', encode);
  if (typeof decode !== 'function') throw invalidOption(`${option}.decode`, 'a function', decode);
  // Its name was looked at, so it is read once; its functions may belong to an object of a class.
  return {
    name,
    encode: (payload) => encode.call(value, payload) as Uint8Array, // looked at by `encodeBy`
    decode: (bytes) => decode.call(value, bytes) as unknown,
  };
}

/**
 * The payload as this codec writes it. Throws `ERR_CODEC_FAILED`; `ERR_FRAME_TOO_LARGE` above `bytesMax`. The bytes are the codec's: they are
 * copied before it is called again. @internal
 */
export function encodeBy(codec: Codec, payload: unknown, bytesMax: number): Uint8Array {
  let bytes: unknown;
  try {
    bytes = codec.encode(payload);
  } catch (cause) {
    throw failed(codec, 'encode', 'it threw', { cause });
  }
  if (!(bytes instanceof Uint8Array))
    throw failed(codec, 'encode', `it gave ${kindOf(bytes)} where bytes were expected`);
  const { length: sizeBytes } = bytes;
  if (sizeBytes > bytesMax)
    throw new TroupeError('ERR_FRAME_TOO_LARGE', { sizeBytes, sizeBytesMax: bytesMax });
  return bytes;
}

/** What the codec of this name reads. Throws `ERR_CODEC_UNKNOWN`, `ERR_CODEC_FAILED`. @internal */
export function decodeBy({ readers }: Codecs, name: string, bytes: Uint8Array): unknown {
  const codec = readers.get(name);
  if (codec === undefined)
    throw new TroupeError('ERR_CODEC_UNKNOWN', { codec: name, known: ['json', ...readers.keys()] });
  let payload: unknown;
  try {
    // A copy: the frame may become a dead letter yet, and has to be as it came.
    payload = codec.decode(Uint8Array.from(bytes));
  } catch (cause) {
    throw failed(codec, 'decode', 'it threw', { cause });
  }
  const isPayload =
    payload !== undefined &&
    typeof payload !== 'function' &&
    typeof payload !== 'symbol' &&
    !(payload instanceof Promise);
  if (!isPayload) throw failed(codec, 'decode', `it gave ${kindOf(payload)} where a payload was expected`);
  return payload;
}

function failed(
  { name: codec }: Codec,
  call: 'encode' | 'decode',
  problem: string,
  options: { readonly cause?: unknown } = {},
): TroupeError<'ERR_CODEC_FAILED'> {
  return new TroupeError('ERR_CODEC_FAILED', { codec, call, problem }, options);
}

/** What a codec gave, without what is in it. A promise is told apart, since an async function is an easy mistake. */
function kindOf(value: unknown): string {
  if (value instanceof Promise) {
    value.catch(() => undefined); // nobody waits for it
    return 'a promise';
  }
  if (value === null || value === undefined) return String(value);
  return Array.isArray(value) ? 'an array' : `a value of type ${typeof value}`;
}
