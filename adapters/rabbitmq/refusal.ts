/** What went wrong at the server, as one of our errors: whether trying again may help is the question, and none of its answers may tell a secret. */

import { isTroupeError, TroupeError } from '../../src/protocol/errors.ts';
import type { RabbitmqSettings } from './settings.ts';

type Where = Pick<RabbitmqSettings, 'shownUrl'>;

/** Replies of the protocol: access refused, not allowed, and a queue that exists with other arguments. */
const DENIALS: readonly unknown[] = [403, 530, 406];
/** The server's answer that something is exclusive to another connection. */
export const RESOURCE_LOCKED = 405;
/** The server's answer that something does not exist. */
export const NOT_FOUND = 404;

/** What the driver says, with no code of its own, when user, password or virtual host are refused in the handshake. */
const REFUSED_HANDSHAKE =
  /Handshake terminated by server: 403|Expected ConnectionOpenOk; got <ConnectionClose/;
/** Codes of Node and OpenSSL when one side does not accept the other's certificate. */
const CERTIFICATE = /CERT|SELF_SIGNED|UNABLE_TO_VERIFY|ERR_SSL_.*ALERT/;

/** The error for a call that needs a connection. */
export function unavailable(
  { shownUrl: url }: Where,
  problem: string,
  cause?: unknown,
): TroupeError<'ERR_BROKER_UNAVAILABLE'> {
  return new TroupeError('ERR_BROKER_UNAVAILABLE', { broker: 'RabbitMQ', url, problem }, { cause });
}

/** Any error as one of ours. */
export function refusalOf(error: unknown, where: Where): TroupeError {
  if (isTroupeError(error)) return error;
  const problem = problemOf(error);
  if (!isDenial(error, problem)) return unavailable(where, problem, error);
  const details = { broker: 'RabbitMQ', url: where.shownUrl, problem };
  return new TroupeError('ERR_BROKER_DENIED', details, { cause: error });
}

/** The code that the driver or Node gave an error. */
export function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}

function isDenial(error: unknown, problem: string): boolean {
  const code = codeOf(error);
  return (
    DENIALS.includes(code) ||
    REFUSED_HANDSHAKE.test(problem) ||
    (typeof code === 'string' && CERTIFICATE.test(code))
  );
}

/** One line; an error of several addresses has only a code. */
function problemOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = codeOf(error);
  const text = error.message === '' && typeof code === 'string' ? code : error.message;
  if (/Expected ConnectionOpenOk; got <ConnectionClose/.test(text))
    return `${text} (the virtual host does not exist, or is closed to this user)`;
  return text.slice(0, 500);
}
