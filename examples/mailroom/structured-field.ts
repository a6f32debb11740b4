/**
 * Structured header fields of MIME, `value; name=value; name="value"` (RFC 2045 section 5.1), with the extended and
 * continued parameters of RFC 2231. One pass; nothing is refused here: the caller judges a missing or odd parameter.
 */
import { MAIL_LIMITS } from './mail-limits.ts';

/** A structured field: its first value in lower case and its parameters by lower-case name. */
export interface StructuredField {
  readonly value: string;
  readonly parameters: ReadonlyMap<string, string>;
}

/** Reads a structured field from its raw value. Of a repeated parameter the first counts. */
export function parseStructuredField(raw: string): StructuredField {
  const semicolon = raw.indexOf(';');
  const head = semicolon < 0 ? raw : raw.slice(0, semicolon);
  const parameters = new Map<string, string>();
  let position = semicolon < 0 ? raw.length : semicolon + 1;
  for (let count = 0; position < raw.length && count < MAIL_LIMITS.parametersMax; count += 1) {
    const { name, value, next } = readParameter(raw, position);
    if (name !== '') addParameter(parameters, name, value);
    position = next;
  }
  return { value: withoutComment(head).trim().toLowerCase(), parameters };
}

/** A comment in parentheses after the value carries no meaning (RFC 2045 section 5.1). */
function withoutComment(text: string): string {
  const open = text.indexOf('(');
  return open < 0 ? text : text.slice(0, open);
}

function readParameter(raw: string, start: number): { name: string; value: string; next: number } {
  const equals = raw.indexOf('=', start);
  const semicolon = raw.indexOf(';', start);
  if (equals < 0 || (semicolon >= 0 && semicolon < equals)) {
    return { name: '', value: '', next: semicolon < 0 ? raw.length : semicolon + 1 };
  }
  const name = raw.slice(start, equals).trim().toLowerCase();
  let position = equals + 1;
  while (raw[position] === ' ' || raw[position] === '\t') position += 1;
  if (raw[position] === '"') {
    const { value, end } = readQuoted(raw, position + 1);
    const next = raw.indexOf(';', end);
    return { name, value, next: next < 0 ? raw.length : next + 1 };
  }
  const end = semicolon < 0 ? raw.length : semicolon;
  return { name, value: withoutComment(raw.slice(position, end)).trim(), next: end + 1 };
}

/** A quoted string; a backslash quotes the next character. Without its closing quote it runs to the end. */
function readQuoted(raw: string, start: number): { value: string; end: number } {
  let value = '';
  let position = start;
  while (position < raw.length && raw[position] !== '"') {
    if (raw[position] === '\\' && position + 1 < raw.length) position += 1;
    value += raw[position] ?? '';
    position += 1;
  }
  return { value, end: position + 1 };
}

/** Files `name*`, `name*0` and `name*0*` (RFC 2231 sections 3 and 4) under `name`; continued values are joined in their order. */
function addParameter(parameters: Map<string, string>, written: string, value: string): void {
  const [name = '', section = ''] = written.split('*', 2);
  const decoded = written.endsWith('*') ? decodeExtended(value) : value;
  const known = parameters.get(name);
  if (known === undefined) parameters.set(name, decoded);
  else if (/^[1-9]\d*$/.test(section)) parameters.set(name, known + decoded);
}

/** `charset'language'percent-encoded`; what cannot be decoded is kept as written. */
function decodeExtended(value: string): string {
  const [charset = '', , ...rest] = value.split("'");
  const text = rest.length === 0 ? value : rest.join("'");
  const bytes = Buffer.from(
    text.replace(/%([0-9a-f]{2})/gi, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16))),
    'latin1',
  );
  try {
    return new TextDecoder(charset === '' ? 'utf-8' : charset).decode(bytes);
  } catch {
    return value;
  }
}
