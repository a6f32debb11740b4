/** What an error of kafkajs, or of the sockets below it, means. */

import { isTroupeError } from '../../src/protocol/errors.ts';
import { KafkaFailure, type KafkaFailureKind } from './driver.ts';
import type { KafkaSettings } from './options.ts';

const KINDS: ReadonlyMap<string, KafkaFailureKind> = new Map(
  (
    [
      ['no-topic', 'UNKNOWN_TOPIC_OR_PARTITION'],
      ['too-large', 'MESSAGE_TOO_LARGE', 'RECORD_LIST_TOO_LARGE'],
      ['out-of-range', 'OFFSET_OUT_OF_RANGE'],
      ['fenced', 'UNKNOWN_MEMBER_ID', 'ILLEGAL_GENERATION', 'FENCED_INSTANCE_ID'],
      ['rebalancing', 'REBALANCE_IN_PROGRESS'],
      [
        'refused',
        'LEADER_NOT_AVAILABLE',
        'NOT_LEADER_FOR_PARTITION',
        'FENCED_LEADER_EPOCH',
        'UNKNOWN_LEADER_EPOCH',
        'REPLICA_NOT_AVAILABLE',
        'NOT_ENOUGH_REPLICAS',
        'GROUP_LOAD_IN_PROGRESS',
        'GROUP_COORDINATOR_NOT_AVAILABLE',
        'NOT_COORDINATOR_FOR_GROUP',
        'NOT_CONTROLLER',
        'OFFSET_NOT_AVAILABLE',
        // Fewer servers are up than copies are asked for: also while the only one has missed a heartbeat.
        'INVALID_REPLICATION_FACTOR',
      ],
      [
        'denied',
        'TOPIC_AUTHORIZATION_FAILED',
        'GROUP_AUTHORIZATION_FAILED',
        'CLUSTER_AUTHORIZATION_FAILED',
        'SASL_AUTHENTICATION_FAILED',
        'UNSUPPORTED_SASL_MECHANISM',
        'ILLEGAL_SASL_STATE',
        'POLICY_VIOLATION',
        'INVALID_SESSION_TIMEOUT',
      ],
      // Where nobody listens, nothing was sent.
      ['not-sent', 'ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH'],
    ] as const
  ).flatMap(([kind, ...types]) => types.map((type): [string, KafkaFailureKind] => [type, kind])),
);

/** What an error means to who reads it, where its own words leave that open. */
const WORDS: ReadonlyMap<string, string> = new Map([
  [
    'INVALID_REPLICATION_FACTOR',
    'fewer servers are up than replicationFactor, or the default of the server, asks for',
  ],
]);

/** Codes of Node for certificates that it does not take. */
const CERTIFICATE = /^(ERR_TLS_|ERR_SSL_|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_)/;
const PROBLEM_CHARACTERS_MAX = 300;

/** A failure for an error; never throws. What stands for a secret in the settings is taken out of its message. @internal */
export function failureOf(error: unknown, settings?: KafkaSettings): KafkaFailure {
  if (error instanceof KafkaFailure) return error;
  if (isTroupeError(error)) return new KafkaFailure('not-sent', error.message);
  const known = chain(error);
  const kind = known.map(kindOf).find((found) => found !== undefined) ?? 'lost';
  const problem = redacted(wordsOf(known) ?? String(error), settings);
  const at = known.find(({ partition }) => partition !== undefined);
  const place =
    at?.topic === undefined || at.partition === undefined
      ? undefined
      : { topic: at.topic, partition: at.partition };
  return new KafkaFailure(kind, problem, place);
}

interface Known {
  readonly name: string;
  readonly message: string;
  readonly type: string | undefined;
  readonly code: string | undefined;
  readonly topic: string | undefined;
  readonly partition: number | undefined;
}

/** An error, and those behind it. */
function chain(error: unknown): Known[] {
  const found: Known[] = [];
  for (let next = error; next instanceof Error && found.length < 8; ) {
    const field = (name: string): unknown => Reflect.get(next as object, name);
    const text = (name: string): string | undefined => {
      const value = field(name);
      return typeof value === 'string' ? value : undefined;
    };
    const partition = field('partition');
    found.push({
      name: next.name,
      message: next.message,
      type: text('type'),
      code: text('code'),
      topic: text('topic'),
      partition: typeof partition === 'number' ? partition : undefined,
    });
    const several = field('errors');
    next = Array.isArray(several) ? several[0] : next.cause;
  }
  return found;
}

function wordsOf(known: readonly Known[]): string | undefined {
  const last = known.at(-1);
  return WORDS.get(last?.type ?? '') ?? last?.message;
}

/** Whether one side of a TLS connection refused what the other has shown. @internal */
export function isAboutCertificates(error: Error): boolean {
  return 'code' in error && CERTIFICATE.test(String(error.code));
}

function kindOf({ name, type, code, message }: Known): KafkaFailureKind | undefined {
  const kind = KINDS.get(type ?? '') ?? KINDS.get(code ?? '');
  if (kind !== undefined) return kind;
  if (name === 'KafkaJSSASLAuthenticationError' || CERTIFICATE.test(code ?? '')) return 'denied';
  // Its timeout of connecting, and what it says before it writes.
  return /Connection timeout|Not connected|Failed to connect/.test(message) ? 'not-sent' : undefined;
}

function redacted(problem: string, settings: KafkaSettings | undefined): string {
  const password = settings?.credentials().sasl?.password ?? '';
  const shown = password === '' ? problem : problem.replaceAll(password, '***');
  return shown.slice(0, PROBLEM_CHARACTERS_MAX);
}
