/**
 * Messages as CloudEvents 1.0, and back: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md, with the
 * JSON format and its batches. The topic is the `subject`, and the `type` after a prefix. What CloudEvents has no attribute
 * for stands in extensions: `traceparent` and `tracestate` as in its tracing extension, `expirytime`, and those of AMB
 * (`ambpriority`, `ambsender`, `ambcorrelationid`, `ambttl`), so that a bus of that kind understands them. Every extension
 * that this file does not know comes as a header `cloudevents-<name>`, and goes back as it came.
 */

import { TroupeError } from './errors.ts';
import { CLOUD_EVENTS_BYTES_MAX, CLOUD_EVENTS_MAX, HEADERS_MAX } from './limits.ts';
import { describeValue, invalidOption, objectOption } from './options.ts';
import { type Priority, priorityNumber, priorityOfNumber } from './priority.ts';
import type { Headers } from './ref.ts';
import { checkTopic } from './topic.ts';

/** An event of CloudEvents 1.0. Further attributes are extensions: names of `a-z0-9`, values strings, integers or booleans. */
export interface CloudEvent {
  readonly specversion: '1.0';
  /** Unique for each event of one `source`. */
  readonly id: string;
  /** Where it happened, as a URI reference. */
  readonly source: string;
  /** What happened; a reverse domain name before it is the custom. */
  readonly type: string;
  readonly subject?: string | undefined;
  /** When it happened, as RFC 3339 writes it. */
  readonly time?: string | undefined;
  readonly datacontenttype?: string | undefined;
  /** A URI. */
  readonly dataschema?: string | undefined;
  readonly data?: unknown;
  /** The data, where it is bytes. */
  readonly data_base64?: string | undefined;
  readonly [extension: string]: unknown;
}

/** What a message and an event have in common. */
export interface EventMessage {
  readonly id: string;
  readonly topic: string;
  /** A JSON value; bytes as a `Uint8Array`; `undefined` for none. */
  readonly payload: unknown;
  /** `normal` unless said. */
  readonly priority?: Priority | undefined;
  readonly headers?: Headers | undefined;
  readonly sender?: string | undefined;
  readonly correlationId?: string | undefined;
  /** Milliseconds since 1970. */
  readonly publishedAtMs?: number | undefined;
  /** Milliseconds since 1970 after which it is not worth a turn any more. */
  readonly expiresAtMs?: number | undefined;
}

/** How a message becomes an event. */
export interface ToCloudEventOptions {
  /** The `source` attribute: a URI reference that names the publisher, such as `/agents/triage`. */
  readonly source: string;
  /** What stands before the topic in `type`; `dev.troupe` unless said (AMB's is `dev.agent-os`). */
  readonly typePrefix?: string | undefined;
  /** The `dataschema` attribute. */
  readonly dataSchema?: string | undefined;
}

/** How an event becomes a message. */
export interface FromCloudEventOptions {
  /** The topic, whatever the event says. */
  readonly topic?: string | undefined;
  /** What is taken off `type` where `subject` is no topic; `dev.troupe` unless said. */
  readonly typePrefix?: string | undefined;
}

const TYPE_PREFIX = 'dev.troupe';
const FOREIGN = 'cloudevents-';
const NAME = /^[a-z0-9]+$/;
const RFC_3339 = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/;
/** Attributes with a place of their own; the rest are extensions. */
const CORE = new Set([
  'specversion',
  'id',
  'source',
  'type',
  'subject',
  'time',
  'datacontenttype',
  'dataschema',
  'data',
  'data_base64',
]);
/** Extensions with a place of their own in a message. */
const KNOWN = new Set([
  'ambpriority',
  'ambsender',
  'ambcorrelationid',
  'ambttl',
  'expirytime',
  'traceparent',
  'tracestate',
  'troupeheaders',
]);

/** The event of a message. Throws `ERR_OPTION_INVALID`, `ERR_TOPIC_INVALID`, and `ERR_CLOUD_EVENT_INVALID` for an id or a header that an event cannot carry. */
export function toCloudEvent(message: EventMessage, options: ToCloudEventOptions): CloudEvent {
  const given = objectOption('toCloudEvent options', options ?? null, ['source', 'typePrefix', 'dataSchema']);
  const { id, payload, priority = 'normal', sender, correlationId, publishedAtMs, expiresAtMs } = message;
  const topic = checkTopic(message.topic);
  const event: Record<string, unknown> = {
    specversion: '1.0',
    id,
    source: given['source'],
    type: `${prefixOption(given['typePrefix'])}.${topic}`,
    subject: topic,
    time: timeText('publishedAtMs', publishedAtMs),
    dataschema: given['dataSchema'],
    ...dataOf(payload),
    ambpriority: priorityNumber(priority),
    ambsender: sender,
    ambcorrelationid: correlationId,
    expirytime: timeText('expiresAtMs', expiresAtMs),
    ambttl: secondsBetween(publishedAtMs, expiresAtMs),
    ...extensionsOf(message.headers ?? {}),
  };
  for (const name of Object.keys(event)) if (event[name] === undefined) delete event[name];
  return checkCloudEvent(event);
}

/** The message of an event. Throws `ERR_CLOUD_EVENT_INVALID` for what is no event, or names no topic. */
export function fromCloudEvent(event: CloudEvent, options?: FromCloudEventOptions): EventMessage {
  const given = objectOption('fromCloudEvent options', options, ['topic', 'typePrefix']);
  const checked = checkCloudEvent(event);
  const publishedAtMs = timeOf(checked, 'time');
  return {
    id: checked.id,
    topic: topicOf(checked, given['topic'], prefixOption(given['typePrefix'])),
    payload: payloadOf(checked),
    priority: priorityOf(checked['ambpriority']),
    headers: headersOf(checked),
    sender: textOf(checked, 'ambsender'),
    correlationId: textOf(checked, 'ambcorrelationid'),
    publishedAtMs,
    expiresAtMs: timeOf(checked, 'expirytime') ?? expiryByTtl(checked['ambttl'], publishedAtMs),
  };
}

/** One event as JSON text, or several as a JSON batch. Throws `ERR_CLOUD_EVENT_INVALID` for data that JSON cannot carry. */
export function encodeCloudEvents(events: CloudEvent | readonly CloudEvent[]): string {
  const checked = Array.isArray(events) ? events.map(checkCloudEvent) : checkCloudEvent(events);
  try {
    return JSON.stringify(checked);
  } catch (cause) {
    throw invalidEvent('its data cannot be written as JSON', cause);
  }
}

/** The events in JSON text: one, or a batch of 1,000 at most. Throws `ERR_CLOUD_EVENT_INVALID`, also for more than 8 MiB. */
export function decodeCloudEvents(text: string): readonly CloudEvent[] {
  if (typeof text !== 'string') throw invalidOption('decodeCloudEvents: text', 'a string', text);
  if (text.length > CLOUD_EVENTS_BYTES_MAX)
    throw invalidEvent(`it is longer than ${CLOUD_EVENTS_BYTES_MAX} characters`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw invalidEvent('it is not JSON', cause);
  }
  const values: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (values.length > CLOUD_EVENTS_MAX)
    throw invalidEvent(`a batch of ${values.length} is more than ${CLOUD_EVENTS_MAX}`);
  return values.map(checkCloudEvent);
}

/** The event, if it is one; attributes that are `null` are absent. Throws `ERR_CLOUD_EVENT_INVALID`. @internal */
export function checkCloudEvent(value: unknown): CloudEvent {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw invalidEvent(`${describeValue(value)} is no event`);
  const event: Record<string, unknown> = {};
  for (const [name, attribute] of Object.entries(value)) {
    if (attribute === undefined || (attribute === null && name !== 'data')) continue;
    if (name !== 'data' && name !== 'data_base64') checkAttribute(name, attribute);
    event[name] = attribute;
  }
  if (event['specversion'] !== '1.0')
    throw invalidEvent(`specversion must be '1.0', not ${describeValue(event['specversion'])}`);
  for (const name of ['id', 'source', 'type']) needText(event, name, true);
  for (const name of ['subject', 'datacontenttype', 'dataschema', 'data_base64'])
    needText(event, name, false);
  const { time } = event;
  if (time !== undefined && (typeof time !== 'string' || !RFC_3339.test(time)))
    throw invalidEvent(`time must be as RFC 3339 writes it, not ${describeValue(time)}`);
  if (event['data'] !== undefined && event['data_base64'] !== undefined)
    throw invalidEvent('it has both data and data_base64');
  return event as CloudEvent; // each attribute was looked at above
}

/** The error of something that is no event, or of a message that cannot be one. @internal */
export function invalidEvent(problem: string, cause?: unknown): TroupeError<'ERR_CLOUD_EVENT_INVALID'> {
  return new TroupeError('ERR_CLOUD_EVENT_INVALID', { problem }, cause === undefined ? {} : { cause });
}

function checkAttribute(name: string, value: unknown): void {
  if (!NAME.test(name))
    throw invalidEvent(`an attribute's name is lower-case letters and digits, not ${describeValue(name)}`);
  if (typeof value === 'string' || typeof value === 'boolean') return;
  // The type Integer of CloudEvents has 32 bits.
  if (typeof value === 'number' && (value | 0) === value) return;
  throw invalidEvent(`${name} must be a string, an integer or a boolean, not ${describeValue(value)}`);
}

function needText(event: Readonly<Record<string, unknown>>, name: string, isRequired: boolean): void {
  const value = event[name];
  if (value === undefined && !isRequired) return;
  if (typeof value !== 'string' || value === '')
    throw invalidEvent(`${name} must be a text that is not empty, not ${describeValue(value)}`);
}

// --- data -----------------------------------------------------------------------------------------------------------

function dataOf(payload: unknown): Pick<CloudEvent, 'data' | 'data_base64' | 'datacontenttype'> {
  if (payload === undefined) return {};
  if (!(payload instanceof Uint8Array)) return { datacontenttype: 'application/json', data: payload };
  const data_base64 = Buffer.from(payload.buffer, payload.byteOffset, payload.length).toString('base64');
  return { datacontenttype: 'application/octet-stream', data_base64 };
}

function payloadOf({ data, data_base64 }: CloudEvent): unknown {
  return data_base64 === undefined ? data : new Uint8Array(Buffer.from(data_base64, 'base64'));
}

// --- topic ----------------------------------------------------------------------------------------------------------

function prefixOption(value: unknown): string {
  if (value === undefined) return TYPE_PREFIX;
  if (typeof value !== 'string' || value === '') throw invalidOption('typePrefix', 'a text', value);
  return value;
}

function topicOf({ subject, type }: CloudEvent, topic: unknown, prefix: string): string {
  if (topic !== undefined) return checkTopic(topic);
  const rest = type.startsWith(`${prefix}.`) ? type.slice(prefix.length + 1) : type;
  for (const candidate of [subject, rest]) {
    try {
      if (candidate !== undefined) return checkTopic(candidate);
    } catch {
      // The next one may do; the error below names both.
    }
  }
  throw invalidEvent(
    `neither its subject (${describeValue(subject)}) nor its type (${describeValue(type)}) is a topic: name one by the option topic`,
  );
}

// --- headers and extensions -----------------------------------------------------------------------------------------

/** Headers as extensions: tracing by its own names, foreign ones as they came, the rest together as one JSON text. */
function extensionsOf(headers: Headers): Record<string, unknown> {
  const extensions: Record<string, unknown> = {};
  const rest: Record<string, string> = {};
  for (const [name, text] of Object.entries(headers)) {
    if (name === 'traceparent' || name === 'tracestate') extensions[name] = text;
    else if (name.startsWith(FOREIGN) && isForeign(name.slice(FOREIGN.length)))
      extensions[name.slice(FOREIGN.length)] = text;
    else rest[name] = text;
  }
  if (Object.keys(rest).length > 0) extensions['troupeheaders'] = JSON.stringify(rest);
  return extensions;
}

function isForeign(name: string): boolean {
  return NAME.test(name) && !CORE.has(name) && !KNOWN.has(name);
}

/** What `checkAttribute` lets through. */
type Scalar = string | number | boolean;

function headersOf(event: CloudEvent): Headers {
  const headers: Record<string, string> = { ...restOf(event['troupeheaders']) };
  for (const [name, value] of Object.entries(event)) {
    if (name === 'traceparent' || name === 'tracestate') headers[name] = String(value);
    else if (isForeign(name)) headers[`${FOREIGN}${name}`] = String(value);
  }
  return headers;
}

function restOf(text: unknown): Readonly<Record<string, string>> {
  if (text === undefined) return {};
  let value: unknown;
  try {
    value = JSON.parse(String(text as Scalar));
  } catch (cause) {
    throw invalidEvent('troupeheaders is not JSON', cause);
  }
  const entries = typeof value === 'object' && value !== null ? Object.entries(value) : undefined;
  if (entries === undefined || entries.length > HEADERS_MAX || !entries.every(isTextEntry))
    throw invalidEvent(`troupeheaders must be an object of at most ${HEADERS_MAX} strings`);
  return Object.fromEntries(entries);
}

function isTextEntry(entry: [string, unknown]): entry is [string, string] {
  return typeof entry[1] === 'string';
}

function textOf(event: CloudEvent, name: string): string | undefined {
  const value = event[name];
  return value === undefined ? undefined : String(value as Scalar);
}

/** The level of a number; a number between two levels is the lower one. In HTTP headers a number is a text. */
function priorityOf(value: unknown): Priority {
  if (value === undefined) return 'normal';
  const number = Number(value);
  if (!Number.isInteger(number))
    throw invalidEvent(`ambpriority must be an integer, not ${describeValue(value)}`);
  return priorityOfNumber(number);
}

// --- time -----------------------------------------------------------------------------------------------------------

const INTEGER_MAX = 2_147_483_647;

function timeText(option: string, ms: number | undefined): string | undefined {
  if (ms === undefined) return undefined;
  const date = new Date(ms);
  if (Number.isNaN(date.getTime())) throw invalidOption(option, 'milliseconds since 1970', ms);
  return date.toISOString();
}

function timeOf(event: CloudEvent, name: 'time' | 'expirytime'): number | undefined {
  const text = event[name];
  if (text === undefined) return undefined;
  const ms = Date.parse(String(text as Scalar));
  if (Number.isNaN(ms)) throw invalidEvent(`${name} is no time: ${describeValue(text)}`);
  return ms;
}

function secondsBetween(fromMs: number | undefined, toMs: number | undefined): number | undefined {
  if (fromMs === undefined || toMs === undefined) return undefined;
  return Math.min(INTEGER_MAX, Math.max(0, Math.ceil((toMs - fromMs) / 1_000)));
}

function expiryByTtl(ttl: unknown, publishedAtMs: number | undefined): number | undefined {
  if (ttl === undefined || publishedAtMs === undefined) return undefined;
  const seconds = Number(ttl);
  if (!Number.isInteger(seconds) || seconds < 0)
    throw invalidEvent(`ambttl must be whole seconds, not ${describeValue(ttl)}`);
  return publishedAtMs + seconds * 1_000;
}
