/**
 * Protocols: what an agent can be told and asked, and what it streams. A protocol is one importable object that carries types, run-time schemas
 * and the names on the wire. Builders erase the schemas' own types, so that an error shows `Ask<{ id: string }, ...>` and
 * never the insides of a schema library.
 */

import { invalidOption, nameOption, recordOption } from './options.ts';
import { isSchema, type OutputOf, type Schema, type Stable } from './schema.ts';

declare const PAYLOAD: unique symbol;
declare const REPLY: unique symbol;
declare const PART: unique symbol;

/** The kinds of messages. */
export type MessageKind = 'tell' | 'ask' | 'stream';

/** A message as the runtime sees it: its kind and its schemas. `undefined` as payload means that it carries none. */
export interface MessageDefinition {
  readonly kind: MessageKind;
  readonly payload: Schema | undefined;
  /** Of a stream: what it returns. */
  readonly reply: Schema | undefined;
  /** Of a stream: what each of its parts is. */
  readonly part?: Schema | undefined;
}

/** A message that expects no reply. `Tell<void>` carries no payload. */
export interface Tell<in Payload = void> extends MessageDefinition {
  readonly kind: 'tell';
  readonly reply: undefined;
  /** Only for the compiler: a ref that takes more fits where one that takes less is wanted. */
  readonly [PAYLOAD]?: ((payload: Payload) => void) | undefined;
}

/** A message that is answered exactly once. */
export interface Ask<in Request, out Reply> extends MessageDefinition {
  readonly kind: 'ask';
  readonly reply: Schema;
  /** Only for the compiler. */
  readonly [PAYLOAD]?: ((payload: Request) => void) | undefined;
  /** Only for the compiler. */
  readonly [REPLY]?: Reply | undefined;
}

/** A message that is answered part by part, and at the end by a result; `void` where only the parts matter. */
export interface Stream<in Request, out Part, out Result = void> extends MessageDefinition {
  readonly kind: 'stream';
  readonly part: Schema;
  /** Only for the compiler. */
  readonly [PAYLOAD]?: ((payload: Request) => void) | undefined;
  /** Only for the compiler. */
  readonly [PART]?: Part | undefined;
  /** Only for the compiler. */
  readonly [REPLY]?: Result | undefined;
}

/** Any message of any protocol. */
export type AnyMessage = Tell<never> | Ask<never, unknown> | Stream<never, unknown, unknown>;

/** A named set of messages. The annotated form, for an exported one, is `Protocol<TriageMessages>`. */
export interface Protocol<out Messages extends { readonly [N in keyof Messages]: AnyMessage }> {
  readonly name: string;
  /** The definitions by name; an object without prototype, frozen. */
  readonly messages: Messages;
}

/** Any protocol, and the smallest: one that promises no message. */
export type AnyProtocol = Protocol<Record<never, AnyMessage>>;

/** A message that expects no reply: `tell()` carries nothing, `tell(schema)` what the schema says. */
export function tell(): Tell<void>;
export function tell<S extends Schema>(schema: Stable<S>): Tell<OutputOf<S>>;
export function tell(schema?: unknown): Tell<never> {
  return Object.freeze({
    kind: 'tell',
    payload: schema === undefined ? undefined : schemaOption('tell', schema),
    reply: undefined,
  });
}

/** A message that is answered exactly once: the schema of what is asked and the schema of the reply. */
export function ask<Q extends Schema, R extends Schema>(
  request: Stable<Q>,
  reply: Stable<R>,
): Ask<OutputOf<Q>, OutputOf<R>>;
// The same once more: for a call with overloads the compiler's message begins with one short line and not with the whole
// type of a schema.
export function ask<Q extends Schema, R extends Schema>(
  request: Stable<Q>,
  reply: Stable<R>,
): Ask<OutputOf<Q>, OutputOf<R>>;
export function ask(request: unknown, reply: unknown): Ask<never, unknown> {
  return Object.freeze({
    kind: 'ask',
    payload: schemaOption('ask request', request),
    reply: schemaOption('ask reply', reply),
  });
}

/**
 * A message that is answered part by part: the schema of what is asked, the schema of each part and, where the generator returns
 * something at its end, the schema of that.
 */
export function stream<Q extends Schema, T extends Schema>(
  request: Stable<Q>,
  part: Stable<T>,
): Stream<OutputOf<Q>, OutputOf<T>>;
export function stream<Q extends Schema, T extends Schema, R extends Schema>(
  request: Stable<Q>,
  part: Stable<T>,
  result: Stable<R>,
): Stream<OutputOf<Q>, OutputOf<T>, OutputOf<R>>;
export function stream(request: unknown, part: unknown, result?: unknown): Stream<never, unknown, unknown> {
  return Object.freeze({
    kind: 'stream',
    payload: schemaOption('stream request', request),
    part: schemaOption('stream part', part),
    reply: result === undefined ? undefined : schemaOption('stream result', result),
  });
}

/**
 * A protocol: its name (on the wire and in telemetry) and its messages. Names are a letter, then letters, digits, `_` and `-`,
 * 128 characters at most. Throws `ERR_OPTION_INVALID` for anything else.
 */
export function protocol<Messages extends Readonly<Record<string, AnyMessage>>>(
  name: string,
  messages: Messages,
): Protocol<Messages> {
  const checkedName = nameOption('protocol name', name);
  // The copy has the same keys and values as `messages`; only the prototype is gone.
  return Object.freeze({
    name: checkedName,
    messages: messageMap(`protocol ${checkedName}`, messages) as Messages,
  });
}

/** Messages by name, checked, in a frozen object without prototype. @internal */
export function messageMap(option: string, value: unknown): Readonly<Record<string, MessageDefinition>> {
  const given = recordOption(option, value);
  const messages: Record<string, MessageDefinition> = Object.create(null);
  for (const name of Object.keys(given)) {
    nameOption(`${option}: message name`, name);
    const message = given[name];
    if (!isMessage(message))
      throw invalidOption(`${option}: ${name}`, 'tell(...), ask(...) or stream(...)', message);
    messages[name] = message;
  }
  return Object.freeze(messages);
}

function isMessage(value: unknown): value is MessageDefinition {
  return (
    typeof value === 'object' &&
    value !== null &&
    'kind' in value &&
    (value.kind === 'tell' || value.kind === 'ask' || value.kind === 'stream')
  );
}

function schemaOption(option: string, schema: unknown): Schema {
  if (!isSchema(schema))
    throw invalidOption(
      `${option} schema`,
      'a Standard Schema (zod, valibot, arktype, type<T>(), ...)',
      schema,
    );
  return schema;
}

/** The names of the messages that `tell` and `send` take. */
export type TellName<P extends AnyProtocol> = keyof {
  [N in keyof P['messages'] as P['messages'][N] extends Tell<never> ? N : never]: 1;
};

/** The names of the messages that `ask` takes. */
export type AskName<P extends AnyProtocol> = keyof {
  [N in keyof P['messages'] as P['messages'][N] extends Ask<never, unknown> ? N : never]: 1;
};

/** The names of the messages that `stream` takes. */
export type StreamName<P extends AnyProtocol> = keyof {
  [N in keyof P['messages'] as P['messages'][N] extends Stream<never, unknown, unknown> ? N : never]: 1;
};

/** What a message carries. */
export type PayloadOf<M> =
  M extends Tell<infer Payload>
    ? Payload
    : M extends Ask<infer Request, unknown>
      ? Request
      : M extends Stream<infer Request, unknown, unknown>
        ? Request
        : never;

/** What a message is answered with. */
export type ReplyOf<M> = M extends Ask<never, infer Reply> ? Reply : never;

/** What each part of a stream is. */
export type PartOf<M> = M extends Stream<never, infer Part, unknown> ? Part : never;

/** What a stream returns at its end. */
export type ResultOf<M> = M extends Stream<never, unknown, infer Result> ? Result : never;
