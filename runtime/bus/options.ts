/** The options of a bus and of its calls, checked at the door. Every reader throws `ERR_OPTION_INVALID`. */

import type { Broker } from '../../src/protocol/broker.ts';
import type { BusPublishOptions } from '../../src/protocol/bus.ts';
import type { Codecs } from '../../src/protocol/codec.ts';
import {
  ASK_TIMEOUT_MS,
  BRAKE_DELAY_MS,
  BRAKE_THRESHOLD,
  BUS_TEXT_CHARACTERS_MAX,
  MAILBOX_CAPACITY,
  SEND_TIMEOUT_MS,
} from '../../src/protocol/limits.ts';
import {
  choiceOption,
  durationOption,
  headersOption,
  integerOption,
  invalidOption,
  nameOption,
  objectOption,
  signalOption,
} from '../../src/protocol/options.ts';
import { NORMAL_RANK, type Rank, rankOf } from '../../src/protocol/priority.ts';
import { isSchema, type Schema } from '../../src/protocol/schema.ts';
import type { MessageStore } from '../../src/protocol/store.ts';
import { brokerOption, codecsAt, nodeOption } from '../remote/options.ts';

/** When publishers are braked, and for how long. */
export interface BrakeSettings {
  readonly threshold: number;
  readonly delayMs: number;
}

/** The options of a bus that are its own; the others are those of its system. */
export interface BusSettings {
  readonly name: string;
  readonly capacity: number;
  readonly brake: BrakeSettings | undefined;
  readonly store: MessageStore | undefined;
  readonly broker: Broker | undefined;
  /** The name of this node at the broker. */
  readonly node: string | undefined;
  readonly codecs: Codecs;
  readonly schemas: unknown;
  readonly isStrict: boolean;
  readonly system: Readonly<Record<string, unknown>>;
}

/** What every message of a bus may say beside its payload. */
export interface Labels {
  readonly rank: Rank;
  readonly sender: string | undefined;
  readonly correlationId: string | undefined;
  readonly headers: Readonly<Record<string, string>> | undefined;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
}

/** How a message is published. */
export interface PublishSettings extends Labels {
  readonly ttlMs: number;
  readonly confirm: 'accepted' | 'handled';
}

/** How something is requested. */
export interface RequestSettings extends Labels {
  readonly schema: Schema | undefined;
}

const CONNECT = [
  'name',
  'broker',
  'node',
  'codec',
  'codecs',
  'capacity',
  'backpressure',
  'deadLetters',
  'store',
  'schemas',
  'validate',
] as const;
const SYSTEM = ['asksInFlightMax', 'log', 'signals'] as const;
const LABELS = ['priority', 'sender', 'correlationId', 'headers', 'timeoutMs', 'signal'] as const;
const PUBLISH = [...LABELS, 'ttlMs', 'confirm'];
const REQUEST = [...LABELS, 'schema'];
const CONFIRMATIONS = ['accepted', 'handled'] as const satisfies readonly BusPublishOptions['confirm'][];
const VISIBLE = /^[\x20-\x7e]+$/;

/** `MessageBus.connect(options)`. */
export function connectOptions(options: unknown): BusSettings {
  const given = objectOption('connect options', options, [...CONNECT, ...SYSTEM]);
  const name = given['name'] === undefined ? 'bus' : nameOption('name', given['name']);
  const { asksInFlightMax, log, signals } = given;
  const { max, replaysMax } = objectOption('deadLetters', given['deadLetters'], ['max', 'replaysMax']);
  return {
    name,
    capacity: integerOption('capacity', given['capacity'], 1, MAILBOX_CAPACITY),
    brake: brakeOption(given['backpressure']),
    store: storeOption(given['store']),
    broker: brokerOption(given['broker']),
    node: nodeOption(given['node'], given['broker'], 'bus'),
    codecs: codecsAt(given['codec'], given['codecs'], given['broker'], 'bus'),
    schemas: given['schemas'],
    isStrict: choiceOption('validate', given['validate'], ['strict', 'lenient'], 'lenient') === 'strict',
    system: {
      name,
      asksInFlightMax,
      log,
      signals,
      deadLettersMax: max === undefined ? undefined : integerOption('deadLetters.max', max, 1, 1),
      replaysMax:
        replaysMax === undefined ? undefined : integerOption('deadLetters.replaysMax', replaysMax, 0, 0),
    },
  };
}

/** `publish(topic, payload, options)`. */
export function publishOptions(options: unknown): PublishSettings {
  return options === undefined ? PLAIN_PUBLISH : readPublishOptions(options);
}

function readPublishOptions(options: unknown): PublishSettings {
  const given = objectOption('publish options', options, PUBLISH);
  const confirm = choiceOption('confirm', given['confirm'], CONFIRMATIONS, 'accepted');
  const otherwise = confirm === 'handled' ? ASK_TIMEOUT_MS : SEND_TIMEOUT_MS;
  const ttlMs = durationOption('ttlMs', given['ttlMs'], Infinity, { zero: true, infinity: true });
  // By name: spreading six fields takes longer than all the checks.
  const { rank, sender, correlationId, headers, timeoutMs, signal } = labels(given, otherwise);
  return { rank, sender, correlationId, headers, timeoutMs, signal, ttlMs, confirm };
}

/** `request(topic, payload, options)`. */
export function requestOptions(options: unknown): RequestSettings {
  const given = objectOption('request options', options, REQUEST);
  const { schema } = given;
  if (schema !== undefined && !isSchema(schema)) throw invalidOption('schema', 'a Standard Schema', schema);
  const { rank, sender, correlationId, headers, timeoutMs, signal } = labels(given, ASK_TIMEOUT_MS);
  return { rank, sender, correlationId, headers, timeoutMs, signal, schema };
}

function labels(given: Readonly<Record<string, unknown>>, timeoutMs: number): Labels {
  const { priority } = given;
  return {
    rank: priority === undefined ? NORMAL_RANK : rankOf(priority),
    sender: textOption('sender', given['sender']),
    correlationId: textOption('correlationId', given['correlationId']),
    headers: headersOption('headers', given['headers']),
    timeoutMs: durationOption('timeoutMs', given['timeoutMs'], timeoutMs),
    signal: signalOption('signal', given['signal']),
  };
}

/** Most publishes say nothing: theirs are not made anew each time. */
const PLAIN_PUBLISH = Object.freeze(readPublishOptions({}));

/** Visible ASCII, as ids of stores and headers of other systems take it. */
function textOption(option: string, value: unknown): string | undefined {
  if (value === undefined) return undefined;
  if (typeof value === 'string' && value.length <= BUS_TEXT_CHARACTERS_MAX && VISIBLE.test(value))
    return value;
  throw invalidOption(option, `1 to ${BUS_TEXT_CHARACTERS_MAX} visible ASCII characters`, value);
}

function brakeOption(value: unknown): BrakeSettings | undefined {
  if (value === undefined) return undefined;
  const { threshold = BRAKE_THRESHOLD, delayMs } = objectOption('backpressure', value, [
    'threshold',
    'delayMs',
  ]);
  if (typeof threshold !== 'number' || !(threshold >= 0 && threshold <= 1))
    throw invalidOption('backpressure.threshold', 'a number from 0 to 1', threshold);
  return { threshold, delayMs: durationOption('backpressure.delayMs', delayMs, BRAKE_DELAY_MS) };
}

const STORE_CALLS = ['append', 'mark', 'range', 'stats'] as const satisfies readonly (keyof MessageStore)[];

function storeOption(value: unknown): MessageStore | undefined {
  if (value === undefined) return undefined;
  const isStore =
    typeof value === 'object' && value !== null && STORE_CALLS.every((call) => isFunctionOf(value, call));
  if (!isStore) throw invalidOption('store', 'a message store, as troupe/store makes it', value);
  return value as MessageStore; // it has the calls that a bus makes
}

function isFunctionOf(value: object, name: string): boolean {
  return typeof (value as Readonly<Record<string, unknown>>)[name] === 'function'; // any object may be read by name
}
