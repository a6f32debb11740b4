/** Where a Redis is and how to get there: its URL and certificates, checked, and what went wrong on the way, without secrets. */

import { brokerUrl, shownUrl } from '../../src/protocol/broker-options.ts';
import { isTroupeError, TroupeError } from '../../src/protocol/errors.ts';
import { invalidOption, objectOption } from '../../src/protocol/options.ts';
import { type Connect, connectTo } from './client.ts';

/** Certificates of a `rediss://` connection, as Node's `tls.connect` takes them. */
export interface RedisTls {
  readonly ca?: string | Buffer | readonly (string | Buffer)[] | undefined;
  readonly cert?: string | Buffer | undefined;
  readonly key?: string | Buffer | undefined;
  readonly servername?: string | undefined;
  /** True unless said; false only for tests. */
  readonly rejectUnauthorized?: boolean | undefined;
}

const TLS_OPTIONS = ['ca', 'cert', 'key', 'servername', 'rejectUnauthorized'];
const PROBLEM_CHARACTERS_MAX = 200;

/** How to connect to this URL, and how it is shown: without user and password. Throws `ERR_OPTION_INVALID`. */
export function serverAt(url: string, tls: unknown): { readonly connect: Connect; readonly shown: string } {
  const parsed = brokerUrl('redis', url, ['redis:', 'rediss:']);
  // The driver would take parameters for options of its own.
  if (parsed.search !== '') throw invalidOption('redis: url', 'a URL without parameters', 'parameters');
  if (!/^\/?\d*$/.test(parsed.pathname))
    throw invalidOption('redis: url', 'the number of a database as its path', parsed.pathname);
  const checked = objectOption('tls', tls, TLS_OPTIONS);
  if (tls !== undefined && parsed.protocol !== 'rediss:')
    throw invalidOption('tls', 'absent unless the URL begins with rediss://', tls);
  const connect = connectTo(url, parsed.protocol === 'rediss:' ? { tls: checked } : {});
  return { connect, shown: shownUrl(parsed) };
}

/** `ERR_BROKER_DENIED` where the server does not want this client, else `ERR_BROKER_UNAVAILABLE`. An error of ours stays as it is. */
export function connectionError(shown: string, cause: unknown): TroupeError {
  if (isTroupeError(cause)) return cause;
  const text = cause instanceof Error ? cause.message : 'the connection failed';
  const code = isDenial(text) ? 'ERR_BROKER_DENIED' : 'ERR_BROKER_UNAVAILABLE';
  const problem = text.slice(0, PROBLEM_CHARACTERS_MAX);
  return new TroupeError(code, { broker: 'redis', url: shown, problem });
}

/** Answers of a server that does not want this client, and errors of TLS about certificates. */
function isDenial(text: string): boolean {
  return /^(WRONGPASS|NOAUTH|NOPERM|ERR (invalid password|AUTH|Client sent AUTH))|certificate|self.signed/i.test(
    text,
  );
}
