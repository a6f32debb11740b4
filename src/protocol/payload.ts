/** Payloads as bytes: JSON, or bytes as they are. What JSON could not give back as it was is refused where it is sent. */

import { TroupeError } from './errors.ts';
import { invalidFrame, type WirePayload } from './frame.ts';
import { jsonOf } from './json-value.ts';

const TEXT = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const NONE: WirePayload = { codec: 'none', bytes: new Uint8Array(0) };

/**
 * A payload as it travels: a copy, so that later changes to the object are not sent. Throws `ERR_PAYLOAD_UNSERIALIZABLE` with the path of
 * the part that does not fit, and `ERR_PAYLOAD_TOO_LARGE`. @internal
 */
export function encodePayload(payload: unknown, bytesMax: number): WirePayload {
  if (payload === undefined) return NONE;
  if (payload instanceof Uint8Array) {
    const { length: sizeBytes } = payload;
    if (sizeBytes > bytesMax)
      throw new TroupeError('ERR_PAYLOAD_TOO_LARGE', { sizeBytes, sizeBytesMax: bytesMax });
    return { codec: 'bytes', bytes: Uint8Array.from(payload) };
  }
  return { codec: 'json', bytes: Buffer.from(jsonOf(payload, bytesMax).text) };
}

/** What was sent. Throws `ERR_FRAME_INVALID`. @internal */
export function decodePayload({ codec, bytes }: WirePayload): unknown {
  switch (codec) {
    case 'none':
      return undefined;
    case 'bytes':
      return Uint8Array.from(bytes);
    case 'json':
      try {
        return JSON.parse(TEXT.decode(bytes)) as unknown;
      } catch (cause) {
        throw invalidFrame('a payload in it is not JSON', cause);
      }
  }
}
