/** The options of this adapter, checked, and what the driver is told of the server. The password is behind `dial`, and nowhere else. */

import type { Options, SocketOptions } from 'amqplib';
import type { BrokerOptions } from '../../src/protocol/broker.ts';
import {
  type BrokerSettings,
  brokerSettings,
  brokerUrl,
  shownUrl,
} from '../../src/protocol/broker-options.ts';
import { choiceOption, invalidOption, objectOption } from '../../src/protocol/options.ts';

/** Options of a RabbitMQ broker. */
export interface RabbitmqOptions extends BrokerOptions {
  /**
   * What the queues of groups are. `classic` unless said: exact bounds. `quorum`: RabbitMQ replicates them where it is a cluster, and
   * counts their deliveries, also those that a consumer has died of. Not on a single node before RabbitMQ 4: there a crash of the server
   * can leave a quorum queue without a leader. All members of a group say the same.
   */
  readonly groupQueues?: 'classic' | 'quorum' | undefined;
  /** For `amqps:`. The server's certificate is always checked. */
  readonly tls?: RabbitmqTlsOptions | undefined;
}

/** What a TLS connection needs beyond the certificates that Node knows. PEM throughout. */
export interface RabbitmqTlsOptions {
  /** Authorities that the server's certificate is checked against, instead of those of Node. */
  readonly ca?: string | Uint8Array | undefined;
  /** The client's certificate. */
  readonly cert?: string | Uint8Array | undefined;
  /** The client's key. */
  readonly key?: string | Uint8Array | undefined;
  /** The name in the server's certificate, where it is not the host of the URL. */
  readonly servername?: string | undefined;
}

/** The options, complete. */
export interface RabbitmqSettings extends BrokerSettings {
  /** The server, for people. */
  readonly shownUrl: string;
  readonly groupQueues: 'classic' | 'quorum';
  readonly heartbeatSeconds: number;
  /** How the driver connects. Functions, since whatever shows an object shows what is in it. */
  readonly dial: () => Options.Connect;
  readonly socket: () => SocketOptions;
}

/** Bytes of one frame of the protocol: what RabbitMQ proposes, and the most that is taken from a server. */
const PROTOCOL_FRAME_BYTES = 131_072;

/** Reads what `rabbitmq` was given. Throws `ERR_OPTION_INVALID`. */
export function rabbitmqSettings(given: unknown, options: RabbitmqOptions | undefined): RabbitmqSettings {
  const url = brokerUrl('rabbitmq', given, ['amqp:', 'amqps:']);
  if (url.search !== '' || url.hash !== '')
    throw invalidOption('rabbitmq: url', 'without ? and #: what they would say are options', 'some');
  const { settings, own } = brokerSettings('rabbitmq', options, ['groupQueues', 'tls']);
  const isTls = url.protocol === 'amqps:';
  if (own['tls'] !== undefined && !isTls)
    throw invalidOption('tls', 'absent unless the URL begins with amqps:', own['tls']);
  const heartbeatSeconds = Math.max(1, Math.round(settings.heartbeatMs / 1_000));
  const dial: Options.Connect = {
    protocol: isTls ? 'amqps' : 'amqp',
    hostname: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? (isTls ? 5671 : 5672) : Number(url.port),
    ...(url.username === '' && url.password === ''
      ? {}
      : { username: decoded('user', url.username), password: decoded('password', url.password) }),
    // As it stands in the URL: the driver decodes it.
    vhost: url.pathname.slice(1),
    heartbeat: heartbeatSeconds,
    frameMax: PROTOCOL_FRAME_BYTES,
    maxFrameSize: PROTOCOL_FRAME_BYTES,
  };
  // Without noDelay each answer of more than a packet waits for the acknowledgement of the one before: 40 ms.
  const socket: SocketOptions = { noDelay: true, ...tlsSettings(own['tls']) };
  return {
    ...settings,
    shownUrl: shownUrl(url),
    groupQueues: choiceOption('groupQueues', own['groupQueues'], ['classic', 'quorum'], 'classic'),
    heartbeatSeconds,
    dial: () => dial,
    socket: () => socket,
  };
}

function tlsSettings(given: unknown): SocketOptions {
  const tls = objectOption('tls', given, ['ca', 'cert', 'key', 'servername']);
  const servername = tls['servername'];
  if (servername !== undefined && (typeof servername !== 'string' || servername === ''))
    throw invalidOption('tls.servername', 'a host name', servername);
  const [ca, cert, key] = [pem('ca', tls['ca']), pem('cert', tls['cert']), pem('key', tls['key'])];
  if ((cert === undefined) !== (key === undefined))
    throw invalidOption('tls', 'with both cert and key, or with neither', 'one of them');
  return {
    ...(servername === undefined ? {} : { servername }),
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  };
}

function pem(name: string, value: unknown): Buffer | undefined {
  if (value === undefined) return undefined;
  if (typeof value === 'string') return Buffer.from(value);
  if (value instanceof Uint8Array) return Buffer.from(value);
  // Not what was given: it might be a key.
  throw invalidOption(`tls.${name}`, 'PEM as a string or bytes', typeof value);
}

function decoded(part: string, text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw invalidOption('rabbitmq: url', `a URL whose ${part} is percent-encoded`, 'one that is not');
  }
}
