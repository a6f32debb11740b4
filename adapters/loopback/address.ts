/**
 * Where a server is and what must be known to join it: a URL, `loopback://:secret@127.0.0.1:port`. Both ends prove that they know the
 * secret, which itself never goes over the wire: another program that took the port of a server that is gone learns nothing.
 */

import { createHmac, timingSafeEqual } from 'node:crypto';
import { brokerUrl, shownUrl } from '../../src/protocol/broker-options.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import { invalidOption } from '../../src/protocol/options.ts';
import { unguessable } from './host.ts';

const HOST = '127.0.0.1';
const SECRET_BYTES = 32;
/** 32 bytes or more, in base64url. */
const SECRET = /^[A-Za-z0-9_-]{43,128}$/;

/** Who proves that it knows the secret. */
export type Prover = 'node' | 'server';

/** An address, with the secret out of sight. */
export interface Address {
  readonly host: string;
  readonly port: number;
  /** For people: without the secret. */
  readonly shown: string;
  /** What only somebody who knows the secret can answer to the nonces of a connection. */
  prove(prover: Prover, nonces: Nonces): Uint8Array;
  /** Whether it was proven. Takes as long for a wrong proof as for a right one. */
  isProven(proof: Uint8Array, prover: Prover, nonces: Nonces): boolean;
}

/** What both ends say once, so that a proof is good for one connection. */
export interface Nonces {
  readonly server: Uint8Array;
  readonly node: Uint8Array;
}

/** Reads a URL. Throws `ERR_OPTION_INVALID`, without the secret. */
export function addressOf(url: unknown): Address {
  const parsed = brokerUrl('loopback', url, ['loopback:']);
  const { hostname: host, port, password: secret } = parsed;
  if (host !== HOST)
    throw invalidOption('loopback: url', `the host ${HOST}, since it serves one machine`, host);
  if (port === '') throw invalidOption('loopback: url', 'a port', 'none');
  if (!SECRET.test(secret))
    throw invalidOption(
      'loopback: url',
      'a secret of 43 to 128 characters of base64url before the host, as a server has given it out',
      secret === '' ? 'none' : `${secret.length} characters`,
    );
  const prove: Address['prove'] = (prover, { server, node }) =>
    createHmac('sha256', secret).update(prover).update(server).update(node).digest();
  return {
    host,
    port: Number(port),
    shown: shownUrl(parsed),
    prove,
    isProven: (proof, prover, nonces) => {
      const expected = prove(prover, nonces);
      return proof.length === expected.length && timingSafeEqual(proof, expected);
    },
  };
}

/** A secret that nobody has used before. */
export function newSecret(): string {
  return Buffer.from(unguessable(SECRET_BYTES)).toString('base64url');
}

/** The URL of a server. */
export function urlOf(secret: string, port: number): string {
  return `loopback://:${secret}@${HOST}:${port}`;
}

/** The error of a broker that cannot be used now. */
export function unavailable(
  url: string,
  problem: string,
  cause?: Error,
): TroupeError<'ERR_BROKER_UNAVAILABLE'> {
  const details = { broker: 'loopback', url, problem };
  return new TroupeError('ERR_BROKER_UNAVAILABLE', details, cause === undefined ? {} : { cause });
}

/** The error of a broker that does not take this client, or is not the one that was meant. */
export function denied(url: string, problem: string): TroupeError<'ERR_BROKER_DENIED'> {
  return new TroupeError('ERR_BROKER_DENIED', { broker: 'loopback', url, problem });
}
