/**
 * A message as the text a store keeps, written once and never changed: one line of JSON with everything but the payload, its
 * topic first, then a line with the payload. Whoever looks for a message reads as little of a text as will do. What changes,
 * the status, is kept beside it.
 */

import { TroupeError } from '../../src/protocol/errors.ts';
import { jsonOf } from '../../src/protocol/json-value.ts';
import { STORED_ID_CHARACTERS_MAX, STORED_TEXT_CHARACTERS_MAX } from '../../src/protocol/limits.ts';
import {
  choiceOption,
  headersOption,
  integerOption,
  invalidOption,
  objectOption,
} from '../../src/protocol/options.ts';
import { rankOf } from '../../src/protocol/priority.ts';
import {
  MESSAGE_STATUSES,
  type MessageStatus,
  type NewMessage,
  type StatusChange,
  type StoredMessage,
} from '../../src/protocol/store.ts';
import { checkTopic } from '../../src/protocol/topic.ts';

const MESSAGE_KEYS = [
  'id',
  'topic',
  'payload',
  'priority',
  'headers',
  'sender',
  'correlationId',
  'publishedAtMs',
  'expiresAtMs',
] as const satisfies readonly (keyof NewMessage)[];

const ID = new RegExp(`^[\\x21-\\x7e]{1,${STORED_ID_CHARACTERS_MAX}}$`);

/** A checked message: the text to keep, and what the indexes need of it. */
export interface StoredText {
  readonly id: string;
  readonly topic: string;
  readonly publishedAtMs: number;
  readonly payloadBytes: number;
  readonly text: string;
}

/** What changes about a stored message. */
export interface MessageState {
  readonly status: MessageStatus;
  readonly attempts: number;
  readonly lastError: string | undefined;
}

/** The state every message begins with; a store keeps no other for it until it is marked. */
export const FIRST_STATE: MessageState = { status: 'pending', attempts: 0, lastError: undefined };

/** Checks a message and writes it down. What is done to it later is not seen. */
export function writeText(message: NewMessage, payloadBytesMax: number): StoredText {
  const { payload, ...given } = objectOption('message', message, MESSAGE_KEYS);
  const id = given['id'];
  if (typeof id !== 'string' || !ID.test(id)) {
    throw invalidOption('message.id', `1 to ${STORED_ID_CHARACTERS_MAX} visible ASCII characters`, id);
  }
  const topic = checkTopic(given['topic']);
  rankOf(given['priority']);
  const publishedAtMs = timeOption('message.publishedAtMs', given['publishedAtMs']);
  if (publishedAtMs === undefined) throw invalidOption('message.publishedAtMs', 'milliseconds', undefined);
  const head = {
    topic,
    id,
    priority: given['priority'],
    headers: headersOption('message.headers', given['headers']) ?? {},
    sender: textOption('message.sender', given['sender']),
    correlationId: textOption('message.correlationId', given['correlationId']),
    publishedAtMs,
    expiresAtMs: timeOption('message.expiresAtMs', given['expiresAtMs']),
  };
  const { text, sizeBytes } =
    payload === undefined ? { text: undefined, sizeBytes: 0 } : jsonOf(payload, payloadBytesMax);
  const headText = JSON.stringify({ ...head, payloadBytes: sizeBytes });
  return {
    id,
    topic,
    publishedAtMs,
    payloadBytes: sizeBytes,
    text: text === undefined ? headText : `${headText}\n${text}`,
  };
}

/** The topic of a text, read without the rest of it. */
export function topicOf(text: string): string {
  return text.slice(TOPIC_AT, text.indexOf('"', TOPIC_AT));
}

const TOPIC_AT = '{"topic":"'.length;

/** A text without its payload. */
interface Head extends Omit<NewMessage, 'payload'> {
  readonly payloadBytes: number;
}

/** The head of a text. Throws what JSON throws for a damaged one. */
export function readHead(text: string): Head {
  const cut = text.indexOf('\n');
  // A store holds no other texts than those of `writeText`.
  return JSON.parse(cut === -1 ? text : text.slice(0, cut)) as Head;
}

/** The message as it is given back. */
export function messageOf(position: number, text: string, state: MessageState): StoredMessage {
  const { payloadBytes: _, ...head } = readHead(text);
  const cut = text.indexOf('\n');
  const payload: unknown = cut === -1 ? undefined : JSON.parse(text.slice(cut + 1));
  return { position, ...head, payload, ...state };
}

/** The state after a checked change. */
export function changedState(before: MessageState, change: StatusChange): MessageState {
  return {
    status: change.status,
    attempts: change.attempts ?? before.attempts,
    lastError: change.lastError?.slice(0, STORED_TEXT_CHARACTERS_MAX) ?? before.lastError,
  };
}

/** Checks a change of status and returns a copy of it. */
export function checkChange(change: StatusChange): StatusChange {
  const given = objectOption('change', change, ['status', 'attempts', 'lastError']);
  const { lastError } = given;
  if (given['status'] === undefined) throw invalidOption('change.status', 'a status', undefined);
  if (lastError !== undefined && typeof lastError !== 'string')
    throw invalidOption('change.lastError', 'a string', lastError);
  const attempts = given['attempts'];
  return {
    status: choiceOption('change.status', given['status'], MESSAGE_STATUSES, 'pending'),
    attempts: attempts === undefined ? undefined : integerOption('change.attempts', attempts, 0, 0),
    lastError,
  };
}

/** Checks a position: a whole number from 1. */
export function checkPosition(position: unknown): number {
  if (position === undefined) throw invalidOption('position', 'a whole number >= 1', position);
  return integerOption('position', position, 1, 1);
}

/** The error of an id that the store holds already. */
export function storedAlready(id: string): TroupeError<'ERR_MESSAGE_STORED'> {
  return new TroupeError('ERR_MESSAGE_STORED', { id });
}

/** A finite number of milliseconds since 1970, or nothing. */
export function timeOption(option: string, value: unknown): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== 'number' || !Number.isFinite(value))
    throw invalidOption(option, 'milliseconds since 1970, a finite number', value);
  return value;
}

function textOption(option: string, value: unknown): string | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== 'string' || value.length > STORED_TEXT_CHARACTERS_MAX)
    throw invalidOption(option, `a string of at most ${STORED_TEXT_CHARACTERS_MAX} characters`, value);
  return value;
}
