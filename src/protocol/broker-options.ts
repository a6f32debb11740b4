/**
 * What every adapter reads of its options, the names that reach a broker, and how an address is shown. An adapter adds its own options;
 * it never checks these again.
 */

import type { BrokerOptions, PerLane, Source } from './broker.ts';
import {
  BROKER_CONNECT_TIMEOUT_MS,
  BROKER_DOWN_AFTER_MS,
  BROKER_EXPIRES_MS,
  BROKER_HEARTBEAT_MS,
  BROKER_LENGTH_MAX,
  BROKER_OPEN_ATTEMPTS_MAX,
  BROKER_PUBLISH_TIMEOUT_MS,
  RECONNECT_MAX_MS,
  RECONNECT_MIN_MS,
  SHARDS_MAX,
} from './limits.ts';
import { ABOUT_BYTES_MAX } from './membership.ts';
import { durationOption, integerOption, invalidOption, objectOption } from './options.ts';
import type { Shard } from './sharding.ts';

/** The options of `BrokerOptions`, complete. */
export interface BrokerSettings {
  readonly prefix: string;
  readonly maxLength: number;
  readonly expiresMs: number;
  readonly connectTimeoutMs: number;
  readonly publishTimeoutMs: number;
  readonly openAttemptsMax: number;
  readonly reconnect: { readonly minMs: number; readonly maxMs: number };
  readonly heartbeatMs: number;
  readonly downAfterMs: number;
}

const KNOWN: readonly (keyof BrokerSettings)[] = [
  'prefix',
  'maxLength',
  'expiresMs',
  'connectTimeoutMs',
  'publishTimeoutMs',
  'openAttemptsMax',
  'reconnect',
  'heartbeatMs',
  'downAfterMs',
];

const PREFIX = /^[a-z0-9-]{1,32}$/;
const WINDOW_MAX = 65_535;
const BROKER_NAME = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;

/**
 * Reads an adapter's options: those that all have, and its own by the names in `own`, whose values it gets as they are. Throws
 * `ERR_OPTION_INVALID`. @internal
 */
export function brokerSettings(
  kind: string,
  options: BrokerOptions | undefined,
  own: readonly string[],
): { readonly settings: BrokerSettings; readonly own: Readonly<Record<string, unknown>> } {
  const given = objectOption(`${kind} options`, options, [...KNOWN, ...own]);
  const prefix = given['prefix'] ?? 'troupe';
  if (typeof prefix !== 'string' || !PREFIX.test(prefix))
    throw invalidOption('prefix', '1 to 32 of the characters a-z, 0-9 and -', prefix);
  const reconnect = objectOption('reconnect', given['reconnect'], ['minMs', 'maxMs']);
  const minMs = durationOption('reconnect.minMs', reconnect['minMs'], RECONNECT_MIN_MS);
  const maxMs = durationOption('reconnect.maxMs', reconnect['maxMs'], Math.max(minMs, RECONNECT_MAX_MS));
  if (maxMs < minMs) throw invalidOption('reconnect.maxMs', `at least minMs (${minMs})`, maxMs);
  const heartbeatMs = durationOption('heartbeatMs', given['heartbeatMs'], BROKER_HEARTBEAT_MS);
  const downAfterMs = durationOption(
    'downAfterMs',
    given['downAfterMs'],
    Math.max(BROKER_DOWN_AFTER_MS, 3 * heartbeatMs),
  );
  if (downAfterMs < 2 * heartbeatMs)
    throw invalidOption('downAfterMs', `at least twice heartbeatMs (${heartbeatMs})`, downAfterMs);
  const settings: BrokerSettings = {
    prefix,
    maxLength: integerOption('maxLength', given['maxLength'], 1, BROKER_LENGTH_MAX),
    expiresMs: durationOption('expiresMs', given['expiresMs'], BROKER_EXPIRES_MS),
    connectTimeoutMs: durationOption(
      'connectTimeoutMs',
      given['connectTimeoutMs'],
      BROKER_CONNECT_TIMEOUT_MS,
    ),
    publishTimeoutMs: durationOption(
      'publishTimeoutMs',
      given['publishTimeoutMs'],
      BROKER_PUBLISH_TIMEOUT_MS,
    ),
    openAttemptsMax: integerOption('openAttemptsMax', given['openAttemptsMax'], 1, BROKER_OPEN_ATTEMPTS_MAX),
    reconnect: { minMs, maxMs },
    heartbeatMs,
    downAfterMs,
  };
  return { settings, own: Object.fromEntries(own.map((name) => [name, given[name]])) };
}

/** A node's name: a letter or digit, then letters, digits, `_` and `-`, 64 at most. Throws `ERR_OPTION_INVALID`. @internal */
export function checkNodeName(name: unknown): string {
  return checkName('node', name);
}

/** A group's name, within the same grammar. Throws `ERR_OPTION_INVALID`. @internal */
export function checkGroupName(name: unknown): string {
  return checkName('group', name);
}

/** A shard: the name of its group, its number, and how many there are. Throws `ERR_OPTION_INVALID`. @internal */
export function checkShard({ group, shard, shards }: Shard): Shard {
  const isCount = Number.isInteger(shards) && shards >= 1 && shards <= SHARDS_MAX;
  if (!isCount) throw invalidOption('shards', `a whole number from 1 to ${SHARDS_MAX}`, shards);
  if (!Number.isInteger(shard) || shard < 0 || shard >= shards)
    throw invalidOption('shard', `a whole number from 0 to ${shards - 1}`, shard);
  return { group: checkGroupName(group), shard, shards };
}

/** Whether the source is this shard. @internal */
export function isShard(source: Source, { group, shard }: Shard): boolean {
  return source.kind === 'shard' && source.group === group && source.shard === shard;
}

/** The windows of a source: whole numbers from 1 to 65,535. Throws `ERR_OPTION_INVALID`. @internal */
export function checkWindows(windows: PerLane): void {
  const isWindow = (size: unknown): boolean =>
    Number.isInteger(size) && Number(size) >= 1 && Number(size) <= WINDOW_MAX;
  if (!Array.isArray(windows) || windows.length !== 6 || !windows.every(isWindow))
    throw invalidOption('windows', `six whole numbers from 1 to ${WINDOW_MAX}`, windows);
}

/** What a node says of itself. Throws `ERR_OPTION_INVALID`. @internal */
export function checkAbout(about: unknown): string {
  if (typeof about !== 'string' || Buffer.byteLength(about) > ABOUT_BYTES_MAX)
    throw invalidOption(
      'about',
      `a text of at most ${ABOUT_BYTES_MAX} bytes`,
      typeof about === 'string' ? `${Buffer.byteLength(about)} bytes` : about,
    );
  return about;
}

function checkName(option: string, name: unknown): string {
  if (typeof name !== 'string' || !BROKER_NAME.test(name))
    throw invalidOption(
      option,
      'a letter or digit, then letters, digits, _ and -, 64 characters at most',
      name,
    );
  return name;
}

/** Milliseconds before the nth attempt to connect again, from 0: full jitter, so that clients do not come back all at once. @internal */
export function reconnectPauseMs(
  attempt: number,
  { minMs, maxMs }: BrokerSettings['reconnect'],
  random: () => number,
): number {
  return random() * Math.min(maxMs, minMs * 2 ** Math.min(attempt, 30));
}

/** The URL of a broker, if it has one of these protocols. Throws `ERR_OPTION_INVALID`, without showing what may be a secret. @internal */
export function brokerUrl(kind: string, url: unknown, protocols: readonly string[]): URL {
  const expected = `a URL with ${protocols.map((name) => `${name}//`).join(' or ')}`;
  const parsed = typeof url === 'string' && URL.canParse(url) ? new URL(url) : undefined;
  if (parsed === undefined || !protocols.includes(parsed.protocol))
    throw invalidOption(`${kind}: url`, expected, parsed === undefined ? typeof url : parsed.protocol);
  return parsed;
}

/** A URL for people: protocol, host, port and path, without user, password and parameters. @internal */
export function shownUrl(url: URL): string {
  return `${url.protocol}//${url.host}${url.pathname === '/' ? '' : url.pathname}`;
}
