import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { ask, protocol, tell } from '../../src/protocol/protocol.ts';
import type { Schema } from '../../src/protocol/schema.ts';

function optionOf(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  return undefined;
}

const refused = (option: string) => ({ code: 'ERR_OPTION_INVALID', details: { option } });

describe('protocol', () => {
  const text = z.string();
  const Notes = protocol('notes', { add: tell(text), read: ask(text, text), clear: tell() });

  it('holds name and messages, frozen', () => {
    expect(Notes.name).toBe('notes');
    expect(Object.keys(Notes.messages)).toEqual(['add', 'read', 'clear']);
    expect(Notes.messages.add).toEqual({ kind: 'tell', payload: text, reply: undefined });
    expect(Notes.messages.read).toEqual({ kind: 'ask', payload: text, reply: text });
    expect(Notes.messages.clear).toEqual({ kind: 'tell', payload: undefined, reply: undefined });
    expect([Notes, Notes.messages, Notes.messages.add].every(Object.isFrozen)).toBe(true);
  });

  it('knows no message that was not defined, whatever objects inherit', () => {
    const messages: Readonly<Record<string, unknown>> = Notes.messages;
    for (const name of ['constructor', 'toString', '__proto__', 'hasOwnProperty']) {
      expect(messages[name]).toBeUndefined();
    }
    expect(protocol('odd', { constructor: tell() }).messages.constructor).toMatchObject({ kind: 'tell' });
  });

  it('takes names of a letter, then letters, digits, _ and -, 128 characters at most', () => {
    const good = ['a', 'A9_-', 'x'.repeat(128)];
    for (const name of good) expect(Object.keys(protocol(name, { [name]: tell() }).messages)).toEqual([name]);
    const bad = ['', '9', '-a', 'a.b', 'a b', 'é', 'x'.repeat(129), '__proto__', 5, undefined];
    for (const name of bad) {
      expect(optionOf(() => protocol(name as string, {}))).toMatchObject(refused('protocol name'));
    }
    for (const name of ['', '9', 'a.b', 'x'.repeat(129)]) {
      expect(optionOf(() => protocol('p', { [name]: tell() }))).toMatchObject(
        refused('protocol p: message name'),
      );
    }
    const sly = JSON.parse('{"__proto__": 1}') as Record<string, never>;
    expect(optionOf(() => protocol('p', sly))).toMatchObject(refused('protocol p: message name'));
  });

  it('refuses what is no message', () => {
    const wrong = { add: z.string() } as unknown as Record<string, never>;
    expect(optionOf(() => protocol('p', wrong))).toMatchObject(refused('protocol p: add'));
    expect(optionOf(() => protocol('p', undefined as unknown as Record<string, never>))).toMatchObject(
      refused('protocol p'),
    );
  });
});

describe('tell and ask', () => {
  it('refuse what is no schema', () => {
    const wrong = { type: 'string' } as unknown as Schema;
    expect(optionOf(() => tell(wrong))).toMatchObject(refused('tell schema'));
    expect(optionOf(() => ask(wrong, z.string()))).toMatchObject(refused('ask request schema'));
    expect(optionOf(() => ask(z.string(), wrong))).toMatchObject(refused('ask reply schema'));
  });
});
