/**
 * Payloads as bytes: bytes as they are, everything else as JSON or as a codec of the user's writes it. What JSON could not give back as it was is
 * refused where it is sent; a codec has to know that itself.
 */

import { type Codec, type Codecs, decodeBy, encodeBy, NO_CODECS } from './codec.ts';
import { TroupeError } from './errors.ts';
import { invalidFrame, type WirePayload } from './frame.ts';
import { jsonOf } from './json-value.ts';

const TEXT = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const NONE: WirePayload = { codec: 'none', bytes: new Uint8Array(0) };

/**
 * A payload as it travels: as JSON, unless a codec is named. Later changes to the object are not sent. Throws `ERR_PAYLOAD_UNSERIALIZABLE` with
 * the path of the part that does not fit, and `ERR_PAYLOAD_TOO_LARGE`; what `encodeBy` throws where a codec is named. @internal
 */
export function encodePayload(payload: unknown, bytesMax: number, codec?: Codec): WirePayload {
  if (payload === undefined) return NONE;
  if (payload instanceof Uint8Array) {
    const { length: sizeBytes } = payload;
    if (sizeBytes > bytesMax)
      throw new TroupeError('ERR_PAYLOAD_TOO_LARGE', { sizeBytes, sizeBytesMax: bytesMax });
    return { codec: 'bytes', bytes: Uint8Array.from(payload) };
  }
  if (codec !== undefined)
    return { codec: 'named', name: codec.name, bytes: encodeBy(codec, payload, bytesMax) };
  return { codec: 'json', bytes: Buffer.from(jsonOf(payload, bytesMax).text) };
}

/** What was sent. Throws `ERR_FRAME_INVALID` for what is not JSON, `ERR_CODEC_UNKNOWN` and `ERR_CODEC_FAILED`. @internal */
export function decodePayload(payload: WirePayload, codecs: Codecs = NO_CODECS): unknown {
  const { bytes } = payload;
  switch (payload.codec) {
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
    case 'named':
      return decodeBy(codecs, payload.name, bytes);
  }
}
