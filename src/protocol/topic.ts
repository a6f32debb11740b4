/**
 * Topics: dot-separated segments `[A-Za-z0-9_-]{1,64}`, at most 8 of them and 200 bytes. In a pattern `*` stands for one
 * segment and `#`, only at the end, for the rest: zero or more segments, as in AMQP, so `mail.#` matches `mail` as well.
 * A typed topic has a template whose parameters are whole segments; what it delivers is its parameters and its payload in one
 * object. This file knows the words; who matches and delivers is the router.
 */

import { TroupeError } from './errors.ts';
import { TOPIC_BYTES_MAX, TOPIC_SEGMENT_BYTES_MAX, TOPIC_SEGMENTS_MAX } from './limits.ts';
import { describeValue, invalidOption } from './options.ts';
import { isSchema, type OutputOf, type Schema, type Stable } from './schema.ts';

declare const DELIVERED: unique symbol;

type ParameterIn<Segment extends string> = Segment extends `{${infer Name}}` ? Name : never;

/** The names of the parameters in a template: `'label'` for `'mail.verdict.{label}'`. */
export type ParameterNames<Template extends string> = Template extends `${infer Head}.${infer Tail}`
  ? ParameterIn<Head> | ParameterNames<Tail>
  : ParameterIn<Template>;

/** The parameters of a template, each a segment of the topic. */
export type ParametersOf<Template extends string> = { readonly [Name in ParameterNames<Template>]: string };

/** What a topic delivers: its parameters and its payload, in one object. */
export type Delivered<Params, Payload> = keyof Params extends never ? Payload : Params & Payload;

/** What `where` makes of the parameters: those it names are narrowed to the given values. */
export type Narrowed<Params, Given> = {
  readonly [Name in keyof Params]: Name extends keyof Given ? Given[Name] : Params[Name];
};

/** Which messages of a topic a subscriber wants, and the type of what it gets. */
export interface TopicFilter<out Message> {
  /** What the router matches: `mail.verdict.spam`, `mail.verdict.*`. */
  readonly pattern: string;
  /** The topic it filters, as the router sees it. */
  readonly topic: TopicDefinition;
  /** Only for the compiler. */
  readonly [DELIVERED]?: Message | undefined;
}

/** A topic as the router sees it: its template, its schema, and how parameters become a topic and come back. */
export interface TopicDefinition {
  readonly template: string;
  /** The pattern that matches every topic of this template. */
  readonly pattern: string;
  readonly schema: Schema;
  /** The topic for these parameters. Throws `ERR_TOPIC_INVALID` for a value that is not one segment, absent or unknown. */
  format(params: Readonly<Record<string, string>>): string;
  /** The parameters in a topic, or `undefined` when it is not one of this template. */
  paramsOf(topic: string): Readonly<Record<string, string>> | undefined;
  /** What a subscriber of `topic` gets: parameters and payload in one object; the payload itself if there are none. */
  delivered(topic: string, payload: unknown): unknown;
}

/** A typed topic. It is a filter itself: the one that lets everything through. */
export interface Topic<Params, Payload> extends TopicFilter<Delivered<Params, Payload>>, TopicDefinition {
  /** A filter for these values of the parameters; those not named stay open. */
  where<const Given extends WhereOf<Params, Given>>(
    params: Given,
  ): TopicFilter<Narrowed<Params, Given> & Payload>;
}

/** The values `where` takes: strings for parameters that the topic has. */
export type WhereOf<Params, Given> = {
  readonly [Name in keyof Given]: Name extends keyof Params ? string : 'the topic has no such parameter';
};

/** `S` if it is stable and its values can carry the parameters too, else a sentence that says why not. */
export type TopicSchema<Template extends string, S extends Schema> =
  ParameterNames<Template> extends never
    ? Stable<S>
    : [OutputOf<S>] extends [readonly unknown[]]
      ? 'a topic with parameters carries an object, not a list'
      : [OutputOf<S>] extends [object]
        ? Extract<keyof OutputOf<S>, ParameterNames<Template>> extends never
          ? Stable<S>
          : 'the payload has a field of the same name as a parameter of the topic'
        : 'a topic with parameters carries an object';

/**
 * A typed topic: `topic('mail.verdict.{label}', schema)`. A parameter is a whole segment. Throws `ERR_TOPIC_INVALID` for a
 * template outside the grammar and `ERR_OPTION_INVALID` for something that is no schema.
 */
export function topic<const Template extends string, S extends Schema>(
  template: Template,
  schema: TopicSchema<Template, S>,
): Topic<ParametersOf<Template>, OutputOf<S>>;
// The same once more: for a call with overloads the compiler's message begins with one short line and not with the whole
// type of a schema.
export function topic<const Template extends string, S extends Schema>(
  template: Template,
  schema: TopicSchema<Template, S>,
): Topic<ParametersOf<Template>, OutputOf<S>>;
export function topic(template: string, schema: unknown): Topic<Record<string, string>, unknown> {
  const parts = parseTemplate(template);
  if (!isSchema(schema)) throw invalidOption(`topic ${template}: schema`, 'a Standard Schema', schema);
  const definition: TopicDefinition = Object.freeze({
    template,
    pattern: patternFor(parts, {}),
    schema,
    format: (params: Readonly<Record<string, string>>) => formatTopic(template, parts, params),
    paramsOf: (text: string) => paramsOf(parts, text),
    delivered: (text: string, payload: unknown) => {
      const params = paramsOf(parts, text);
      return params === undefined ? payload : withParams(payload, params);
    },
  });
  const where = (params: Readonly<Record<string, string>>): TopicFilter<unknown> => {
    checkParams(template, parts, params);
    return asFilter({ pattern: patternFor(parts, params), topic: definition });
  };
  const made = asFilter({ ...definition, topic: definition, where });
  // The parameters and the payload exist only for the compiler.
  return made as unknown as Topic<Record<string, string>, unknown>;
}

/** What `topic` and `where` have made: nothing else is a filter, whatever it looks like. */
const FILTERS = new WeakSet<object>();

function asFilter<F extends TopicFilter<unknown>>(filter: F): F {
  FILTERS.add(filter);
  return Object.freeze(filter);
}

/** Whether `value` was made by `topic` or `where`. @internal */
export function isTopicFilter(value: unknown): value is TopicFilter<unknown> {
  return typeof value === 'object' && value !== null && FILTERS.has(value);
}

/** Whether `value` was made by `topic`, so that it can be published to. @internal */
export function isTopic(value: unknown): value is TopicDefinition & TopicFilter<unknown> {
  return isTopicFilter(value) && 'format' in value;
}

/** Parameters and payload in one object; the payload itself where there are no parameters. @internal */
export function withParams(payload: unknown, params: Readonly<Record<string, string>>): unknown {
  const names = Object.keys(params);
  if (names.length === 0) return payload;
  // A typed topic with parameters carries an object; a loop is several times faster than a second spread.
  const message: Record<string, unknown> = { ...(payload as object) };
  for (const name of names) message[name] = params[name];
  return message;
}

/**
 * The parameters of a topic of this template; undefined where it is none, or the template is none: both may come from another process. @internal
 */
export function parametersIn(template: string, text: string): Readonly<Record<string, string>> | undefined {
  try {
    return paramsOf(parseTemplate(template), text);
  } catch {
    return undefined;
  }
}

/** Checks a topic and returns it. Throws `ERR_TOPIC_INVALID` saying what is wrong. @internal */
export function checkTopic(text: unknown): string {
  // Every publish comes here: what is right is seen at once, and what is wrong is looked at closely.
  if (typeof text === 'string' && text.length <= TOPIC_BYTES_MAX && TOPIC.test(text)) return text;
  return checkSegments(text, (segment) => (SEGMENT.test(segment) ? undefined : segmentProblem(segment)));
}

/** Checks a pattern and returns it: a topic whose segments may be `*`, and whose last may be `#`. Throws `ERR_TOPIC_INVALID`. @internal */
export function checkPattern(text: unknown): string {
  return checkSegments(text, (segment, isLast) => {
    if (segment === '*' || SEGMENT.test(segment)) return undefined;
    if (segment === '#') return isLast ? undefined : "'#' may only be the last segment";
    return segmentProblem(segment);
  });
}

const NAME = `[A-Za-z0-9_-]{1,${TOPIC_SEGMENT_BYTES_MAX}}`;
const SEGMENT = new RegExp(`^${NAME}$`);
const TOPIC = new RegExp(`^${NAME}(?:\\.${NAME}){0,${TOPIC_SEGMENTS_MAX - 1}}$`);
const PARAMETER = /^\{([A-Za-z][A-Za-z0-9_]{0,63})\}$/;

interface Part {
  readonly text: string;
  /** The name of the parameter that this segment is, if it is one. */
  readonly name: string | undefined;
}

function parseTemplate(template: unknown): readonly Part[] {
  const text = checkSegments(template, (segment) =>
    SEGMENT.test(segment) || PARAMETER.test(segment)
      ? undefined
      : `${segmentProblem(segment)}, nor a parameter like {name}`,
  );
  const parts = text
    .split('.')
    .map((segment): Part => ({ text: segment, name: PARAMETER.exec(segment)?.[1] }));
  const names = parts.map((part) => part.name).filter((name) => name !== undefined);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw invalidTopic(text, `the parameter {${twice}} stands in it twice`);
  return parts;
}

function checkSegments(
  text: unknown,
  problemOf: (segment: string, isLast: boolean) => string | undefined,
): string {
  if (typeof text !== 'string') throw invalidTopic(describeValue(text), 'it is not a string');
  // Before the split, so that a huge text costs nothing. Accepted segments are ASCII, so characters are bytes.
  if (text.length > TOPIC_BYTES_MAX) throw invalidTopic(text, `it has more than ${TOPIC_BYTES_MAX} bytes`);
  const segments = text.split('.');
  if (segments.length > TOPIC_SEGMENTS_MAX)
    throw invalidTopic(text, `it has more than ${TOPIC_SEGMENTS_MAX} segments`);
  for (const [index, segment] of segments.entries()) {
    const problem = problemOf(segment, index === segments.length - 1);
    if (problem !== undefined) throw invalidTopic(text, problem);
  }
  return text;
}

function formatTopic(
  template: string,
  parts: readonly Part[],
  params: Readonly<Record<string, string>>,
): string {
  checkParams(template, parts, params);
  let text = '';
  for (const { text: segment, name } of parts) {
    const value = name === undefined ? segment : parameterValue(template, params, name);
    text = text === '' ? value : `${text}.${value}`;
  }
  if (text.length > TOPIC_BYTES_MAX) throw invalidTopic(text, `it has more than ${TOPIC_BYTES_MAX} bytes`);
  return text;
}

function patternFor(parts: readonly Part[], params: Readonly<Record<string, string>>): string {
  return parts
    .map(({ text, name }) => (name === undefined ? text : Object.hasOwn(params, name) ? params[name] : '*'))
    .join('.');
}

function paramsOf(parts: readonly Part[], topicText: string): Readonly<Record<string, string>> | undefined {
  const segments = topicText.split('.');
  if (segments.length !== parts.length) return undefined;
  const params: Record<string, string> = {};
  for (const [index, { text, name }] of parts.entries()) {
    const segment = segments[index];
    if (segment === undefined || (name === undefined ? segment !== text : !SEGMENT.test(segment)))
      return undefined;
    if (name !== undefined) params[name] = segment;
  }
  return params;
}

/** Every given parameter is one of the template's and its value one segment. */
function checkParams(template: string, parts: readonly Part[], params: unknown): void {
  if (typeof params !== 'object' || params === null)
    throw invalidTopic(template, 'its parameters must be an object');
  for (const [name, value] of Object.entries(params)) {
    if (!parts.some((part) => part.name === name))
      throw invalidTopic(template, `it has no parameter {${name.slice(0, 64)}}`);
    if (typeof value !== 'string' || !SEGMENT.test(value)) {
      const given = typeof value === 'string' ? value : describeValue(value);
      throw invalidTopic(template, `the value of {${name}} must be one segment: ${segmentProblem(given)}`);
    }
  }
}

function parameterValue(template: string, params: Readonly<Record<string, string>>, name: string): string {
  const value = Object.hasOwn(params, name) ? params[name] : undefined;
  if (value === undefined) throw invalidTopic(template, `the parameter {${name}} was not given`);
  return value;
}

function segmentProblem(segment: string): string {
  if (segment === '') return 'a segment is empty';
  const shown = segment.length > 64 ? `${segment.slice(0, 61)}...` : segment;
  return `'${shown}' is not 1 to ${TOPIC_SEGMENT_BYTES_MAX} letters, digits, _ and -`;
}

function invalidTopic(text: string, problem: string): TroupeError<'ERR_TOPIC_INVALID'> {
  const shown = text.length > TOPIC_BYTES_MAX ? `${text.slice(0, 61)}...` : text;
  return new TroupeError('ERR_TOPIC_INVALID', { topic: shown, problem });
}
