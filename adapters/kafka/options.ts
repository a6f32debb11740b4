/** Options of the Kafka adapter: addresses, who we are to the server, and what its topics are like. */

import type { BrokerOptions } from '../../src/protocol/broker.ts';
import { type BrokerSettings, brokerSettings, brokerUrl } from '../../src/protocol/broker-options.ts';
import {
  choiceOption,
  durationOption,
  integerOption,
  invalidOption,
  objectOption,
} from '../../src/protocol/options.ts';

/** How the server is known by its certificate, and this client by its own: as in `tls.connect` of Node. */
export interface KafkaTls {
  readonly ca?: string | Uint8Array | readonly (string | Uint8Array)[] | undefined;
  readonly cert?: string | Uint8Array | undefined;
  readonly key?: string | Uint8Array | undefined;
  readonly passphrase?: string | undefined;
  /** The name in the server's certificate; the host of its address unless said. */
  readonly servername?: string | undefined;
  /** `false` takes any certificate, so anybody could be the server. */
  readonly rejectUnauthorized?: boolean | undefined;
}

/** User and password. Those in the URL are used with `plain`. */
export interface KafkaSasl {
  readonly mechanism?: 'plain' | 'scram-sha-256' | 'scram-sha-512' | undefined;
  readonly username: string;
  readonly password: string;
}

/** Options of a Kafka broker. */
export interface KafkaOptions extends BrokerOptions {
  /** TLS with these settings; `kafkas://` alone means TLS as Node has it. */
  readonly tls?: KafkaTls | undefined;
  readonly sasl?: KafkaSasl | undefined;
  /** Copies of each topic that is made; what the server has as its default unless said. */
  readonly replicationFactor?: number | undefined;
  /**
   * Milliseconds for which frames that were published to topics are kept, at least `expiresMs`; a day unless said. A node or a group
   * that is further behind loses them, and tells so as `degraded`.
   */
  readonly retentionMs?: number | undefined;
  /** Parts into which the work of a group is divided, and so its members that can work at once: 12 unless said. Counts when a group is made. */
  readonly slots?: number | undefined;
}

/** Options, read. @internal */
export interface KafkaSettings extends BrokerSettings {
  readonly addresses: readonly string[];
  /** The addresses for people. */
  readonly shown: string;
  /** Behind a function, so that nobody who looks at an object sees them. */
  readonly credentials: () => {
    readonly tls: KafkaTls | undefined;
    readonly sasl: Required<KafkaSasl> | undefined;
  };
  readonly replicationFactor: number;
  readonly retentionMs: number;
  readonly slots: number;
}

const OWN = ['tls', 'sasl', 'replicationFactor', 'retentionMs', 'slots'] as const;
const TLS_NAMES = ['ca', 'cert', 'key', 'passphrase', 'servername', 'rejectUnauthorized'] as const;
const SCHEMES = ['kafka:', 'kafkas:'];
const MECHANISMS = ['plain', 'scram-sha-256', 'scram-sha-512'] as const;

const PORT = 9092;
const RETENTION_MS = 86_400_000;
const SLOTS = 12;
/** So that all slots fit into one answer, and a group's topic stays small. */
const SLOTS_MAX = 128;

/** Reads an address and options. Throws `ERR_OPTION_INVALID`, without showing what may be a secret. @internal */
export function kafkaSettings(url: unknown, options: KafkaOptions | undefined): KafkaSettings {
  const { settings, own } = brokerSettings('kafka', options, OWN);
  const { isTls, user, addresses } = readUrl(url);
  const replicationFactor = integerOption('replicationFactor', own['replicationFactor'], 1, -1);
  const retentionMs = durationOption(
    'retentionMs',
    own['retentionMs'],
    Math.max(RETENTION_MS, settings.expiresMs),
  );
  if (retentionMs < settings.expiresMs)
    throw invalidOption('retentionMs', `at least expiresMs (${settings.expiresMs})`, retentionMs);
  const slots = integerOption('slots', own['slots'], 1, SLOTS);
  if (slots > SLOTS_MAX) throw invalidOption('slots', `at most ${SLOTS_MAX}`, slots);
  const credentials = { tls: readTls(isTls, own['tls']), sasl: readSasl(own['sasl']) ?? user };
  return {
    ...settings,
    addresses,
    shown: `${isTls ? 'kafkas' : 'kafka'}://${addresses.join(',')}`,
    credentials: () => credentials,
    replicationFactor,
    retentionMs,
    slots,
  };
}

function readUrl(url: unknown): {
  readonly isTls: boolean;
  readonly user: Required<KafkaSasl> | undefined;
  readonly addresses: readonly string[];
} {
  const parts = typeof url === 'string' ? /^(kafkas?:)\/\/(?:(.*)@)?([^/?#@]+)\/?$/.exec(url) : null;
  const [, scheme = '', user, hosts = ''] = parts ?? [];
  const parsed = hosts.split(',').map((host) => brokerUrl('kafka', `${scheme}//${host}`, SCHEMES));
  const addresses = parsed.map(({ hostname, port }) => `${hostname}:${port === '' ? PORT : port}`);
  return { isTls: scheme === 'kafkas:', user: user === undefined ? undefined : readUser(user), addresses };
}

function readUser(user: string): Required<KafkaSasl> {
  const colon = user.indexOf(':');
  try {
    return {
      mechanism: 'plain',
      username: decodeURIComponent(colon < 0 ? user : user.slice(0, colon)),
      password: colon < 0 ? '' : decodeURIComponent(user.slice(colon + 1)),
    };
  } catch {
    throw invalidOption('kafka: url', 'user and password, percent-encoded', 'something else');
  }
}

function readTls(isTls: boolean, tls: unknown): KafkaTls | undefined {
  if (tls === undefined) return isTls ? {} : undefined;
  // What a certificate may be is checked by Node when it is used.
  return objectOption('tls', tls, TLS_NAMES) as KafkaTls;
}

function readSasl(sasl: unknown): Required<KafkaSasl> | undefined {
  if (sasl === undefined) return undefined;
  const given = objectOption('sasl', sasl, ['mechanism', 'username', 'password']);
  const mechanism = choiceOption('sasl.mechanism', given['mechanism'], MECHANISMS, 'plain');
  const { username, password } = given;
  if (typeof username !== 'string' || username === '')
    throw invalidOption('sasl.username', 'a string', typeof username);
  if (typeof password !== 'string') throw invalidOption('sasl.password', 'a string', typeof password);
  return { mechanism, username, password };
}
