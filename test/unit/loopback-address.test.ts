import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { addressOf, newSecret, urlOf } from '../../adapters/loopback/address.ts';
import { loopback } from '../../adapters/loopback/index.ts';

const SECRET = newSecret();
const URL_OF_IT = urlOf(SECRET, 4_000);
const NONCES = { server: new Uint8Array(32).fill(1), node: new Uint8Array(32).fill(2) };

function refusalOf(url: unknown): unknown {
  try {
    return addressOf(url);
  } catch (error) {
    return error;
  }
}

describe('the address of a loopback server', () => {
  it('is shown without its secret, and so is a broker made with it', () => {
    expect(addressOf(URL_OF_IT).shown).toBe('loopback://127.0.0.1:4000');
    const broker = loopback(URL_OF_IT);
    expect(broker.url).toBe('loopback://127.0.0.1:4000');
    for (const shown of [inspect(broker, { depth: 9, showHidden: true }), JSON.stringify(broker)])
      expect(shown).not.toContain(SECRET);
  });

  it.each([
    ['something that is no URL', 17],
    ['another protocol', `redis://:${SECRET}@127.0.0.1:4000`],
    ['another machine', `loopback://:${SECRET}@10.0.0.7:4000`],
    ['a name, which may mean any machine', `loopback://:${SECRET}@localhost:4000`],
    ['no port', `loopback://:${SECRET}@127.0.0.1`],
    ['no secret', 'loopback://127.0.0.1:4000'],
    ['a secret that can be guessed', 'loopback://:secret@127.0.0.1:4000'],
  ])('is not %s', (_, url) => {
    const refusal = refusalOf(url);
    expect(refusal).toMatchObject({ code: 'ERR_OPTION_INVALID' });
    expect(inspect(refusal)).not.toContain(SECRET);
  });

  it('has a secret of 256 bits that is another one each time', () => {
    expect(Buffer.from(SECRET, 'base64url')).toHaveLength(32);
    expect(newSecret()).not.toBe(SECRET);
  });

  it('proves the secret to whoever knows it, for one connection and one end of it', () => {
    const mine = addressOf(URL_OF_IT);
    const proof = mine.prove('node', NONCES);
    expect(addressOf(urlOf(SECRET, 5_000)).isProven(proof, 'node', NONCES)).toBe(true);
    expect(addressOf(urlOf(newSecret(), 4_000)).isProven(proof, 'node', NONCES)).toBe(false);
    expect(mine.isProven(proof, 'server', NONCES)).toBe(false);
    expect(mine.isProven(proof, 'node', { ...NONCES, server: NONCES.node })).toBe(false);
    expect(mine.isProven(proof, 'node', { ...NONCES, node: NONCES.server })).toBe(false);
    expect(mine.isProven(proof.subarray(1), 'node', NONCES)).toBe(false);
    expect(mine.isProven(new Uint8Array(), 'node', NONCES)).toBe(false);
  });
});
