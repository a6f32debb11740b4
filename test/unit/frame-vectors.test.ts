import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  decodeFrame,
  encodeFrame,
  encodeMessage,
  type Frame,
  WIRE_CODECS,
  WIRE_TYPES,
  type WireMessage,
  type WirePayload,
} from '../../src/protocol/frame.ts';

/** What a vector says; other implementations read the same file. */
interface Vectors {
  readonly valid: readonly { readonly name: string; readonly frame: GivenFrame; readonly hex: string }[];
  readonly refused: readonly { readonly name: string; readonly hex: string; readonly problem: string }[];
}

type GivenPayload =
  | { readonly codec: 'none' }
  | { readonly codec: 'json'; readonly text: string }
  | { readonly codec: 'bytes'; readonly hex: string }
  | { readonly codec: 'named'; readonly name: string; readonly hex: string };

type GivenMessage = Pick<WireMessage, 'type' | 'id' | 'sentAtMs'> &
  Partial<Pick<WireMessage, 'expiresAtMs' | 'sender' | 'correlationId' | 'headers' | 'target' | 'chain'>> & {
    readonly payload: GivenPayload;
  };

type GivenFrame = Omit<Frame, 'messages'> & { readonly messages: readonly GivenMessage[] };

// The file is part of the repository, and each test below fails on one that says something else.
const vectors = JSON.parse(readFileSync(new URL('../data/frames.json', import.meta.url), 'utf8')) as Vectors;

function payloadOf(given: GivenPayload): WirePayload {
  switch (given.codec) {
    case 'none':
      return { codec: 'none', bytes: new Uint8Array(0) };
    case 'json':
      return { codec: 'json', bytes: new TextEncoder().encode(given.text) };
    case 'bytes':
      return { codec: 'bytes', bytes: bytesOf(given.hex) };
    case 'named':
      return { codec: 'named', name: given.name, bytes: bytesOf(given.hex) };
  }
}

function messageOf(given: GivenMessage): WireMessage {
  const { expiresAtMs, sender, correlationId, headers } = given;
  const parts = { expiresAtMs, sender, correlationId, headers };
  return { ...given, ...parts, payload: payloadOf(given.payload) };
}

function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex, 'hex'));
}

describe('the vectors of frames', () => {
  it.each(vectors.valid)('are what is written: $name', ({ frame, hex }) => {
    const { messages, ...head } = frame;
    const bytes = encodeFrame(
      head,
      messages.map((message) => encodeMessage(messageOf(message))),
    );
    expect(Buffer.from(bytes).toString('hex')).toBe(hex);
  });

  it.each(vectors.valid)('are what is read: $name', ({ frame, hex }) => {
    const { messages, ...head } = decodeFrame(bytesOf(hex));
    expect(head).toEqual({
      node: frame.node,
      incarnation: frame.incarnation,
      stream: frame.stream,
      sequence: frame.sequence,
    });
    const plain = messages.map(({ payload, ...message }) => ({
      ...message,
      payload: { ...payload, bytes: Uint8Array.from(payload.bytes) },
    }));
    expect(plain).toEqual(frame.messages.map(messageOf));
  });

  it.each(vectors.refused)('are refused: $name', ({ hex, problem }) => {
    expect(() => decodeFrame(bytesOf(hex))).toThrow(
      expect.objectContaining({ code: 'ERR_FRAME_INVALID', details: { problem } }),
    );
  });

  it('are some of each', () => {
    const types = new Set(vectors.valid.flatMap(({ frame }) => frame.messages.map(({ type }) => type)));
    expect([...types].sort()).toEqual([...WIRE_TYPES].sort());
    const codecs = new Set(
      vectors.valid.flatMap(({ frame }) => frame.messages.map(({ payload }) => payload.codec)),
    );
    expect([...codecs].sort()).toEqual([...WIRE_CODECS].sort());
    expect(vectors.refused.length).toBeGreaterThan(15);
  });
});
