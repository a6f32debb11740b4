/**
 * Fields of messages: each says how one kind of value is written and read, and what is made of fields is a field again, so a message is
 * written down once and has its type from there. Reading trusts nothing: whatever no writer writes is `ERR_FRAME_INVALID`.
 */

import { TroupeError } from '../../src/protocol/errors.ts';
import type { WireReader, WireWriter } from '../../src/protocol/wire-bytes.ts';

/** How a value is written and read. */
export interface Field<T> {
  write(writer: WireWriter, value: T): void;
  read(reader: WireReader): T;
}

/** The value of a field. */
export type Value<F> = F extends Field<infer T> ? T : never;

/** Fields by name. */
export type Shape = Readonly<Record<string, Field<unknown>>>;

/** The value of fields by name. */
export type Values<S extends Shape> = { readonly [K in keyof S]: Value<S[K]> };

/** The value of one of several shapes; the property `Tag` names which. */
export type Variant<Tag extends string, V extends Readonly<Record<string, Shape>>> = {
  [K in keyof V]: { readonly [T in Tag]: K } & Values<V[K]>;
}[keyof V];

/** A whole number from 0 on. */
export const whole: Field<number> = {
  write: (writer, value) => writer.length(value),
  read: (reader) => reader.length(),
};

/** A finite number. */
export const number: Field<number> = {
  write: (writer, value) => writer.number(value),
  read: (reader) => reader.number(),
};

/** Yes or no. */
export const flag: Field<boolean> = {
  write: (writer, value) => writer.byte(value ? 1 : 0),
  read: (reader) => below(reader.byte(), 2, 'flag') === 1,
};

/** A text of at most so many bytes. */
export function text(bytesMax: number): Field<string> {
  return { write: (writer, value) => writer.text(value), read: (reader) => reader.text(bytesMax) };
}

/** At most so many bytes. What is read is a view of what came. */
export function bytes(sizeMax: number): Field<Uint8Array> {
  return {
    write: (writer, value) => writer.bytes(value),
    read: (reader) => {
      const value = reader.bytes();
      below(value.length, sizeMax + 1, 'number of bytes');
      return value;
    },
  };
}

/** One of these, by its place among them. */
export function choice<const T>(choices: readonly T[]): Field<T> {
  return {
    write: (writer, value) => writer.byte(choices.indexOf(value)),
    // There is one at each place below the length.
    read: (reader) => choices[below(reader.byte(), choices.length, 'choice')] as T,
  };
}

/** A value, or nothing. */
export function optional<T>(field: Field<T>): Field<T | undefined> {
  return {
    write: (writer, value) => {
      flag.write(writer, value !== undefined);
      if (value !== undefined) field.write(writer, value);
    },
    read: (reader) => (flag.read(reader) ? field.read(reader) : undefined),
  };
}

/** At most so many values. */
export function list<T>(field: Field<T>, countMax: number): Field<readonly T[]> {
  return {
    write: (writer, values) => {
      writer.length(values.length);
      for (const value of values) field.write(writer, value);
    },
    read: (reader) => {
      const count = below(reader.length(), countMax + 1, 'number of values');
      const values: T[] = [];
      while (values.length < count) values.push(field.read(reader));
      return values;
    },
  };
}

/** Fields, in the order in which they are named. */
export function record<S extends Shape>(shape: S): Field<Values<S>> {
  const fields = Object.entries(shape);
  return {
    write: (writer, value) => writeAll(fields, writer, value),
    // Each field has read its own value.
    read: (reader) => readAll(fields, reader, {}) as Values<S>,
  };
}

/** One of several shapes, by its place among them; the property `tag` says which. */
export function variant<const Tag extends string, V extends Readonly<Record<string, Shape>>>(
  tag: Tag,
  shapes: V,
): Field<Variant<Tag, V>> {
  const which = choice(Object.keys(shapes));
  const fieldsOf = new Map(Object.entries(shapes).map(([name, shape]) => [name, Object.entries(shape)]));
  return {
    write: (writer, given) => {
      // By its type it has the tag of a shape, and the fields of that.
      const value = given as Readonly<Record<string, unknown>>;
      const name = value[tag] as string;
      which.write(writer, name);
      writeAll(fieldsOf.get(name) ?? [], writer, value);
    },
    read: (reader) => {
      const name = which.read(reader);
      return readAll(fieldsOf.get(name) ?? [], reader, { [tag]: name }) as Variant<Tag, V>;
    },
  };
}

type NamedFields = readonly (readonly [name: string, field: Field<unknown>])[];

function writeAll(fields: NamedFields, writer: WireWriter, value: Readonly<Record<string, unknown>>): void {
  for (const [name, field] of fields) field.write(writer, value[name]);
}

/** Adds what is read to `value`. */
function readAll(fields: NamedFields, reader: WireReader, value: Record<string, unknown>): unknown {
  for (const [name, field] of fields) value[name] = field.read(reader);
  return value;
}

function below(value: number, limit: number, what: string): number {
  if (value < limit) return value;
  throw new TroupeError('ERR_FRAME_INVALID', { problem: `a ${what} in it is ${value}, above ${limit - 1}` });
}
