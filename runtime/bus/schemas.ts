/**
 * What payloads must be, by topic. Where several patterns fit a topic, the most specific one decides alone: what arrives is
 * what one schema made of the payload, and a schema that drops what it does not know never drops what another one knows.
 */

import { TroupeError } from '../../src/protocol/errors.ts';
import { invalidOption, recordOption } from '../../src/protocol/options.ts';
import { check, isSchema, type Schema, type SchemaIssue } from '../../src/protocol/schema.ts';
import { checkPattern } from '../../src/protocol/topic.ts';
import { TopicTrie } from '../routing/topic-trie.ts';

/** A pattern and what fits it must be. */
interface Rule {
  readonly pattern: string;
  readonly schema: Schema;
}

/** The first objection of a schema: the cause of `ERR_MESSAGE_INVALID` and `ERR_REPLY_INVALID` on a bus. */
export interface Objection {
  /** Where in the value: `order.lines.0.amount`; empty for the value itself. */
  readonly path: string;
  /** What stands there. */
  readonly value: unknown;
}

/** The schemas of one bus. */
export class Schemas {
  private readonly rules = new TopicTrie<Rule>();
  private readonly isStrict: boolean;

  /** Throws `ERR_OPTION_INVALID`, `ERR_TOPIC_INVALID`. */
  constructor(schemas: unknown, isStrict: boolean) {
    this.isStrict = isStrict;
    if (schemas === undefined) {
      if (isStrict) throw invalidOption('validate', "'lenient' on a bus without schemas", 'strict');
      return;
    }
    for (const [pattern, schema] of Object.entries(recordOption('schemas', schemas))) {
      if (!isSchema(schema)) throw invalidOption(`schemas.${pattern}`, 'a Standard Schema', schema);
      this.rules.add(checkPattern(pattern), { pattern, schema });
    }
  }

  /** The payload as it may be delivered. Throws `ERR_MESSAGE_INVALID`; `ERR_SCHEMA_MISSING` where a strict bus has none for it. */
  checked(topic: string, payload: unknown): unknown {
    const schema = this.schemaFor(topic);
    if (schema !== undefined) {
      const checked = check(schema, payload);
      if (checked.ok) return checked.value;
      const details = { subject: `what was published to '${topic}'`, issues: checked.issues };
      throw new TroupeError('ERR_MESSAGE_INVALID', details, { cause: objectionOf(schema, payload) });
    }
    if (this.isStrict) throw new TroupeError('ERR_SCHEMA_MISSING', { topic });
    return payload;
  }

  private schemaFor(topic: string): Schema | undefined {
    let best: Rule | undefined;
    this.rules.forEachMatch(topic, (rule) => {
      if (best === undefined || isMoreSpecific(rule.pattern, best.pattern)) best = rule;
    });
    return best?.schema;
  }
}

/** Of two patterns that fit one topic: where they differ first, a name goes before `*`, and `*` before `#`. */
function isMoreSpecific(pattern: string, other: string): boolean {
  const others = other.split('.');
  for (const [place, segment] of pattern.split('.').entries()) {
    const difference = vagueness(segment) - vagueness(others[place]);
    if (difference !== 0) return difference < 0;
  }
  // The other one goes on: with `#`, since both fit.
  return true;
}

function vagueness(segment: string | undefined): number {
  return segment === '#' ? 2 : segment === '*' ? 1 : 0;
}

/** Where and what a schema objects to first. It is asked once more, because `check` keeps texts alone. */
export function objectionOf(schema: Schema, value: unknown): Objection {
  const issue = firstIssue(schema, value);
  const keys = (issue?.path ?? []).map((part) => (typeof part === 'object' ? part.key : part));
  let part = value;
  for (const key of keys) part = partOf(part, key);
  const objection = { path: keys.map(String).join('.') };
  // Not to be enumerated: who logs an error does not mean to log what users sent.
  Object.defineProperty(objection, 'value', { value: part });
  return objection as Objection; // both fields are there
}

function firstIssue(schema: Schema, value: unknown): SchemaIssue | undefined {
  try {
    const result = schema['~standard'].validate(value);
    if (!(result instanceof Promise)) return result.issues?.[0];
    result.catch(() => undefined); // refused already, as an async schema
  } catch {
    // Refused already: the schema throws.
  }
  return undefined;
}

function partOf(value: unknown, key: PropertyKey): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
  return Reflect.get(value, key);
}
