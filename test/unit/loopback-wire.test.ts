import { describe, expect, it } from 'vitest';
import { type ToNode, toNode } from '../../adapters/loopback/messages.ts';
import { Decoder, encode, WIRE_VERSION } from '../../adapters/loopback/wire.ts';
import { LOOPBACK_MESSAGE_BYTES_MAX } from '../../src/protocol/limits.ts';

const JOINED = encode(toNode, { type: 'joined' });

function hear(...pieces: readonly Uint8Array[]): ToNode[] {
  const decoder = new Decoder(toNode);
  const heard: ToNode[] = [];
  for (const piece of pieces) decoder.take(piece, (message) => heard.push(message) > 0);
  return heard;
}

function refusalOf(...pieces: readonly Uint8Array[]): unknown {
  try {
    return hear(...pieces);
  } catch (error) {
    return error;
  }
}

describe('the loopback wire', () => {
  it('is a length of four bytes, the version, and the message', () => {
    expect([...JOINED]).toEqual([0, 0, 0, 2, WIRE_VERSION, 2]);
  });

  it('hears a message byte by byte, and several at once', () => {
    expect(hear(...[...JOINED].map((byte) => Uint8Array.of(byte)))).toEqual([{ type: 'joined' }]);
    expect(hear(Buffer.concat([JOINED, JOINED, JOINED.slice(0, 3)]), JOINED.slice(3))).toHaveLength(3);
  });

  it('names both versions where they differ', () => {
    const other = Uint8Array.from(JOINED).fill(7, 4, 5);
    expect(refusalOf(other)).toMatchObject({
      code: 'ERR_FRAME_INVALID',
      details: { problem: `it is of version 7 of the wire, and this is version ${WIRE_VERSION}` },
    });
  });

  it('refuses a message that is too long by its length, before any of it has come', () => {
    const head = Buffer.alloc(4);
    head.writeUInt32BE(LOOPBACK_MESSAGE_BYTES_MAX + 1);
    expect(refusalOf(head)).toMatchObject({
      code: 'ERR_FRAME_INVALID',
      details: { problem: expect.stringContaining(String(LOOPBACK_MESSAGE_BYTES_MAX)) },
    });
    head.writeUInt32BE(LOOPBACK_MESSAGE_BYTES_MAX);
    expect(refusalOf(head)).toEqual([]);
  });

  it('refuses a message with something behind its end', () => {
    expect(refusalOf(Uint8Array.of(0, 0, 0, 3, WIRE_VERSION, 2, 0))).toMatchObject({
      code: 'ERR_FRAME_INVALID',
    });
  });

  it('hears no more once the listener has had enough', () => {
    const decoder = new Decoder(toNode);
    let heard = 0;
    decoder.take(Buffer.concat([JOINED, JOINED]), () => ++heard < 1);
    expect(heard).toBe(1);
  });
});
