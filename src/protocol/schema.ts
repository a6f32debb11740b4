/**
 * Schemas as Troupe sees them: the Standard Schema interface, version 1, written down structurally, so that zod, valibot,
 * arktype and every other library that speaks it fit without being a dependency. Sender, handler and wire use a schema's
 * *output* type; that is why builders take only schemas that accept their own output (`Stable`).
 */

import { booleanOption, describeValue, objectOption } from './options.ts';

/** What a schema says about one value: the value it makes of it, or the issues it has with it. */
export type SchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] };

/** One objection of a schema, with the place of the offending part. */
export interface SchemaIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** Any Standard Schema (version 1) that turns `Input` into `Output`. */
export interface Schema<Input = unknown, Output = Input> {
  readonly '~standard': {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

/** The type of the values a schema lets through. */
export type OutputOf<S extends Schema> = NonNullable<S['~standard']['types']>['output'];

/** The type of the values a schema expects. */
export type InputOf<S extends Schema> = NonNullable<S['~standard']['types']>['input'];

/**
 * `S` itself if it accepts its own output, else a sentence that says why not. A one-way transform would make a local send
 * (not validated) and a remote one (validated) differ. Defaults, coercions and brands pass.
 */
export type Stable<S extends Schema> = S extends
  | { readonly async: true }
  | { readonly '~standard': { readonly validate: (value: unknown) => Promise<unknown> } }
  ? 'async schemas are refused'
  : [OutputOf<S>] extends [InputOf<S>]
    ? S
    : 'the schema does not accept its own output';

const TYPE_ONLY = Symbol.for('troupe.type-only');

/** A schema that only types: it lets every value through, and a broker refuses it unless told to trust. */
export interface TypeOnly<T> extends Schema<T, T> {
  readonly '~standard': Schema<T, T>['~standard'] & { readonly vendor: 'troupe' };
}

const STANDARD = Object.freeze({
  version: 1,
  vendor: 'troupe',
  validate: (value: unknown) => ({ value }),
});
const typeOnly = Object.freeze({ [TYPE_ONLY]: 'local', '~standard': STANDARD });
const trusting = Object.freeze({ [TYPE_ONLY]: 'trusted', '~standard': STANDARD });

/** The options of `type`. */
export interface TypeOptions {
  /** Lets values of this type come from other nodes unchecked: only where every process at the broker is trusted. */
  readonly trust?: boolean | undefined;
}

/**
 * A schema that only types: `type<Order>()`. Nothing is checked at run time; `type<void>()` stands for "no payload". What other nodes send is
 * refused by it, unless `trust` is true. Throws `ERR_OPTION_INVALID`.
 */
export function type<T>(options?: TypeOptions): TypeOnly<T> {
  const { trust } = objectOption('type options', options, ['trust']);
  const isTrusting = trust !== undefined && booleanOption('trust', trust);
  // The one instance serves every T: it looks at no value, so its type is a claim of the caller.
  return (isTrusting ? trusting : typeOnly) as unknown as TypeOnly<T>;
}

/** Whether a schema was made by `type()`, that is, checks nothing. */
export function isTypeOnly(schema: Schema): boolean {
  return TYPE_ONLY in schema;
}

/** Whether a schema says something of values that come from other nodes: it checks them, or was told to trust. */
export function isFitForWire(schema: Schema): boolean {
  return !(TYPE_ONLY in schema) || schema[TYPE_ONLY] === 'trusted';
}

/** Why a value may not pass between nodes by a schema that only types. @internal */
export const ONLY_TYPED =
  'its schema only types and checks nothing: use one that checks, or type<T>({ trust: true })';

/** Whether a value looks like a Standard Schema, version 1. */
export function isSchema(value: unknown): value is Schema {
  // Schemas of some libraries (arktype) are functions.
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null || !('~standard' in value))
    return false;
  const standard: unknown = value['~standard'];
  if (
    typeof standard !== 'object' ||
    standard === null ||
    !('version' in standard) ||
    !('validate' in standard)
  )
    return false;
  return standard.version === 1 && typeof standard.validate === 'function';
}

/** What `check` found: the schema's own version of the value, or why it refused, as 'path: message'. */
export type Checked<Output> =
  | { readonly ok: true; readonly value: Output }
  | { readonly ok: false; readonly issues: readonly string[] };

/** Issues kept of one check; the rest is counted. A schema may find one in every element of a long list. */
const ISSUES_MAX = 8;
/** Characters kept of one issue. Some libraries quote the offending value. */
const ISSUE_CHARACTERS_MAX = 200;

/** Runs a schema on a value. Never throws and never waits: a schema that answers with a promise has one issue, saying so. */
export function check<S extends Schema>(schema: S, value: unknown): Checked<OutputOf<S>> {
  try {
    return read(schema['~standard'].validate(value));
  } catch (error) {
    const what = error instanceof Error ? error.message : describeValue(error);
    return { ok: false, issues: [shortened(`the schema threw: ${what}`)] };
  }
}

/** Throws where the schema's answer is not what the standard says. */
function read<Output>(result: SchemaResult<Output> | Promise<SchemaResult<Output>>): Checked<Output> {
  if (isPromise(result)) {
    // Nobody waits for it, and its rejection is not ours to report.
    result.then(undefined, () => undefined);
    return { ok: false, issues: ['async schemas are refused'] };
  }
  if (result.issues === undefined) return { ok: true, value: result.value };
  return { ok: false, issues: describeIssues(result.issues) };
}

function isPromise<T>(value: T | Promise<T>): value is Promise<T> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
}

function describeIssues(issues: readonly SchemaIssue[]): string[] {
  const texts = issues.slice(0, ISSUES_MAX).map((issue) => {
    const path = (issue.path ?? [])
      .map((part) => String(typeof part === 'object' ? part.key : part))
      .join('.');
    return shortened(path === '' ? issue.message : `${path}: ${issue.message}`);
  });
  if (issues.length > ISSUES_MAX) texts.push(`and ${issues.length - ISSUES_MAX} more`);
  return texts;
}

function shortened(text: string): string {
  return text.length <= ISSUE_CHARACTERS_MAX ? text : `${text.slice(0, ISSUE_CHARACTERS_MAX - 3)}...`;
}
