/**
 * CloudEvents over HTTP: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md.
 * Written in binary mode, where attributes are headers and the data is the body; read in binary, structured and batched
 * mode. It opens no connection: it makes and reads headers and bodies.
 */

import { type CloudEvent, checkCloudEvent, decodeCloudEvents, invalidEvent } from './cloudevents.ts';
import { CLOUD_EVENTS_BYTES_MAX } from './limits.ts';
import { describeValue, invalidOption, recordOption } from './options.ts';

/** The headers and the body of an HTTP request or response. */
export interface HttpContent {
  /** By name in any case; several values of one name are joined, as `node:http` does it. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly body?: string | Uint8Array | undefined;
}

const PREFIX = 'ce-';
const STRUCTURED = 'application/cloudevents+json';
const BATCH = 'application/cloudevents-batch+json';
/** What a header may hold as it is: visible ASCII but `"` and `%` (section 3.1.3.2). */
const ENCODED = /[^\x21\x23\x24\x26-\x7e]/gu;

/** One event in binary mode. Header names are in lower case. Throws `ERR_CLOUD_EVENT_INVALID`. */
export function toCloudEventHttp(event: CloudEvent): {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Uint8Array | undefined;
} {
  const checked = checkCloudEvent(event);
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(checked)) {
    if (name === 'data' || name === 'data_base64') continue;
    if (name === 'datacontenttype') headers['content-type'] = String(value);
    else headers[`${PREFIX}${name}`] = encodeHeader(String(value));
  }
  return { headers, body: bodyOf(checked) };
}

/**
 * The events in an HTTP message, by its `content-type`: structured (one), batch (1,000 at most), else binary (one). Throws
 * `ERR_CLOUD_EVENT_INVALID`, also for more than 8 MiB.
 */
export function fromCloudEventHttp(content: HttpContent): readonly CloudEvent[] {
  const { headers: given, body } = recordOption('content', content);
  const headers = lowerCase(recordOption('content.headers', given));
  if (body !== undefined && typeof body !== 'string' && !(body instanceof Uint8Array))
    throw invalidOption('content.body', 'a string or bytes', body);
  if ((body?.length ?? 0) > CLOUD_EVENTS_BYTES_MAX)
    throw invalidEvent(`its body is longer than ${CLOUD_EVENTS_BYTES_MAX}`);
  const type = mediaType(headers.get('content-type'));
  if (type !== STRUCTURED && type !== BATCH) return [binaryEvent(headers, body)];
  const events = decodeCloudEvents(textOf(body));
  if (type === STRUCTURED && events.length !== 1) throw invalidEvent(`${STRUCTURED} holds one event`);
  return events;
}

function binaryEvent(
  headers: ReadonlyMap<string, string>,
  body: string | Uint8Array | undefined,
): CloudEvent {
  const event: Record<string, unknown> = {};
  for (const [name, value] of headers) {
    if (name.startsWith(PREFIX)) event[name.slice(PREFIX.length)] = decodeHeader(value);
  }
  if (event['id'] === undefined && event['specversion'] === undefined)
    throw invalidEvent(`it has neither headers that begin with ${PREFIX} nor the content-type of an event`);
  const type = headers.get('content-type');
  if (type !== undefined) event['datacontenttype'] = type;
  return checkCloudEvent({ ...event, ...dataIn(body, type) });
}

function dataIn(body: string | Uint8Array | undefined, type: string | undefined): Partial<CloudEvent> {
  if (body === undefined || body.length === 0) return {};
  if (isJson(type)) {
    try {
      return { data: JSON.parse(textOf(body)) as unknown };
    } catch (cause) {
      throw invalidEvent(`its body is not the JSON that its content-type says`, cause);
    }
  }
  if (typeof body === 'string') return { data: body };
  return { data_base64: Buffer.from(body.buffer, body.byteOffset, body.length).toString('base64') };
}

function bodyOf({ data, data_base64, datacontenttype }: CloudEvent): string | Uint8Array | undefined {
  if (data_base64 !== undefined) return new Uint8Array(Buffer.from(data_base64, 'base64'));
  if (data === undefined) return undefined;
  if (!isJson(datacontenttype) && typeof data === 'string') return data;
  try {
    return JSON.stringify(data);
  } catch (cause) {
    throw invalidEvent('its data cannot be written as JSON', cause);
  }
}

/** Data without a content type is JSON, as in the JSON format. */
function isJson(contentType: string | undefined): boolean {
  const type = mediaType(contentType);
  return type === undefined || type === 'application/json' || type === 'text/json' || type.endsWith('+json');
}

function mediaType(contentType: string | undefined): string | undefined {
  return contentType?.split(';', 1)[0]?.trim().toLowerCase();
}

function textOf(body: string | Uint8Array | undefined): string {
  return typeof body === 'string' ? body : Buffer.from(body ?? []).toString('utf8');
}

function lowerCase(headers: Readonly<Record<string, unknown>>): Map<string, string> {
  const found = new Map<string, string>();
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined) continue;
    if (Array.isArray(value)) found.set(name.toLowerCase(), value.join(', '));
    else if (typeof value === 'string') found.set(name.toLowerCase(), value);
    else throw invalidOption(`content.headers.${name.slice(0, 64)}`, 'a string or a list of strings', value);
  }
  return found;
}

function encodeHeader(text: string): string {
  return text.replace(ENCODED, (character) =>
    [...Buffer.from(character, 'utf8')]
      .map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`)
      .join(''),
  );
}

/** Takes off quotes, then decodes what is percent-encoded, once; what is not well encoded stays as it is. */
function decodeHeader(text: string): string {
  const inner = /^"(.*)"$/s.exec(text)?.[1]?.replaceAll(/\\(.)/g, '$1') ?? text;
  try {
    return decodeURIComponent(inner);
  } catch {
    throw invalidEvent(`a header is not percent-encoded UTF-8: ${describeValue(text)}`);
  }
}
