/**
 * An agent definition as cells use it: its messages resolved once to entries, so that sending looks a name up once and
 * a turn looks up nothing.
 */

import type { AnyAgentDefinition, Directive } from '../../src/protocol/agent.ts';
import type { MessageEntry, Sender } from '../../src/protocol/envelope.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import { NAME_CHARACTERS_MAX } from '../../src/protocol/limits.ts';
import { describeValue, invalidOption } from '../../src/protocol/options.ts';
import type { AnyProtocol, MessageDefinition, MessageKind } from '../../src/protocol/protocol.ts';
import {
  type Checked,
  check,
  isFitForWire,
  isTypeOnly,
  ONLY_TYPED,
  type Schema,
} from '../../src/protocol/schema.ts';
import type { AgentTally } from '../observe/agent-tally.ts';
import { defaultDirective } from './default-directive.ts';
import type { Kernel } from './kernel.ts';
import { producing } from './production.ts';
import { ignoreEnd } from './promise-in.ts';
import type { Turn } from './turn.ts';

const DIRECTIVES: readonly Directive[] = ['restart', 'resume', 'stop', 'escalate'];

/** One kind of agent in one system. */
export class Behaviour {
  readonly kernel: Kernel;
  readonly agent: AnyAgentDefinition;
  /** Whether payloads and replies of local sends are checked too. */
  readonly isValidating: boolean;
  /** Whether waiting lifts a message. */
  readonly isAging: boolean;
  /** What is counted of agents of this type. */
  readonly tally: AgentTally;
  private isWarned = false;
  /** Most agents are told one thing most of the time: a look here is cheaper than one into the map. */
  private lastTold: MessageEntry | undefined = undefined;
  private readonly tells = new Map<string, MessageEntry>();
  private readonly asks = new Map<string, MessageEntry>();
  private readonly streams = new Map<string, MessageEntry>();
  private readonly internals = new Map<string, MessageEntry>();

  constructor(kernel: Kernel, agent: AnyAgentDefinition) {
    this.kernel = kernel;
    this.agent = kernel.prepared(this.withProductions(agent));
    this.isValidating = agent.options.validate === 'always';
    // Stryker disable next-line ConditionalExpression,EqualityOperator: where none ages, times are only a cost; the rest is tested.
    this.isAging = agent.options.mailbox.agingMs > 0;
    this.tally = kernel.telemetry.tallyOf(agent.protocol.name);
    this.addEntries(agent.protocol.messages as Readonly<Record<string, MessageDefinition>>, false);
    this.addEntries(agent.internal, true);
  }

  /** The entry of a message that is told or sent. Throws `ERR_MESSAGE_UNKNOWN` for a name that this verb does not take. */
  tellEntry(name: string): MessageEntry {
    const last = this.lastTold;
    // Stryker disable next-line ConditionalExpression: the Map has the same entry, and is slower; the rest is tested.
    if (last !== undefined && last.name === name) return last;
    const entry = this.tells.get(name);
    if (entry === undefined) throw unknownMessage(this.agent.protocol, name, 'tell');
    this.lastTold = entry;
    return entry;
  }

  /** The entry of a message that is asked. Throws `ERR_MESSAGE_UNKNOWN` for a name that this verb does not take. */
  askEntry(name: string): MessageEntry {
    const entry = this.asks.get(name);
    if (entry === undefined) throw unknownMessage(this.agent.protocol, name, 'ask');
    return entry;
  }

  /** The entry of a stream. Throws `ERR_MESSAGE_UNKNOWN` for a name that this verb does not take. */
  streamEntry(name: string): MessageEntry {
    const entry = this.streams.get(name);
    if (entry === undefined) throw unknownMessage(this.agent.protocol, name, 'stream');
    return entry;
  }

  /** The entry of a message that only the agent itself sends. Throws `ERR_MESSAGE_UNKNOWN`. */
  internalEntry(name: string): MessageEntry {
    const entry = this.internals.get(name);
    if (entry !== undefined) return entry;
    throw new TroupeError('ERR_MESSAGE_UNKNOWN', {
      protocol: `${this.agent.protocol.name} (internal)`,
      message: shownName(name),
      known: [...this.internals.keys()],
    });
  }

  /** The entry that a topic feeds: any message that is told, internal ones too. Throws `ERR_OPTION_INVALID`. */
  feedEntry(name: unknown): MessageEntry {
    // Stryker disable next-line ConditionalExpression: for the compiler; only strings are keys. The rest is tested.
    const entry = typeof name === 'string' ? (this.tells.get(name) ?? this.internals.get(name)) : undefined;
    if (entry !== undefined) return entry;
    throw invalidOption('subscribe: as', 'the name of a message made by tell(...)', name);
  }

  /** The payload as it may be delivered: as it is, or checked. Throws `ERR_MESSAGE_INVALID`. */
  admissible(entry: MessageEntry, payload: unknown): unknown {
    if (!this.isValidating) return payload;
    // Stryker disable next-line OptionalChaining: for the compiler; an entry is made of its definition.
    const checked = checkPayload(this.definitionOf(entry)?.payload, payload);
    if (checked.ok) return checked.value;
    throw new TroupeError('ERR_MESSAGE_INVALID', {
      subject: `the payload of '${entry.name}' of protocol '${this.agent.protocol.name}'`,
      issues: checked.issues,
    });
  }

  /**
   * The payload of a message from another node, as it may be delivered. Such a border is watched whatever `validate` says. Throws
   * `ERR_MESSAGE_INVALID`.
   */
  arriving(entry: MessageEntry, payload: unknown): unknown {
    const schema = this.definitionOf(entry)?.payload;
    const checked = checkArriving(schema, payload);
    if (checked.ok) return checked.value;
    throw new TroupeError('ERR_MESSAGE_INVALID', {
      subject: `the payload of '${entry.name}' of protocol '${this.agent.protocol.name}'`,
      issues: checked.issues,
    });
  }

  /**
   * What is wrong with a reply; undefined when it may go out. Without `validate: 'always'` only a reply that is absent
   * is looked at: that is a forgotten `return`, unless the schema takes `undefined`.
   */
  replyProblem(entry: MessageEntry, reply: unknown, replier: Sender): TroupeError | undefined {
    if (reply !== undefined && !this.isValidating) return undefined;
    // Stryker disable next-line OptionalChaining: as in `admissible`.
    const schema = this.definitionOf(entry)?.reply;
    if (schema === undefined || isTypeOnly(schema)) return undefined;
    const checked = check(schema, reply);
    if (checked.ok) return undefined;
    const { address } = replier;
    if (reply === undefined) return new TroupeError('ERR_REPLY_MISSING', { address, message: entry.name });
    return new TroupeError('ERR_REPLY_INVALID', { address, message: entry.name, issues: checked.issues });
  }

  /** What is wrong with a part; looked at with `validate: 'always'` alone. */
  private partProblem(part: unknown, { cell, envelope }: Turn): TroupeError | undefined {
    const { name } = envelope.entry;
    // Stryker disable next-line OptionalChaining: as in `admissible`.
    const schema = this.isValidating ? this.definitionOf(envelope.entry)?.part : undefined;
    const checked = schema === undefined ? undefined : check(schema, part);
    if (checked === undefined || checked.ok) return undefined;
    const issues = checked.issues.map((issue) => `a part: ${issue}`);
    return new TroupeError('ERR_REPLY_INVALID', { address: cell.address, message: name, issues });
  }

  /** What is to be done about a failure. A `decide` that throws or answers something else is reported and restarts. */
  decide(error: unknown, address: string): Directive {
    const { decide } = this.agent.options;
    if (decide === undefined) return defaultDirective(error);
    try {
      const directive = decide(error);
      for (const known of DIRECTIVES) if (known === directive) return known;
      ignoreEnd(directive);
      this.report(
        address,
        `decide answered ${describeValue(directive)}; expected one of ${DIRECTIVES.join(', ')}`,
      );
    } catch (thrown) {
      this.report(address, 'decide threw; the actor is restarted', thrown);
    }
    return 'restart';
  }

  /** Says once that a bare call in a turn loses what the turn would give it. */
  warnOfBareCall(call: string): void {
    if (this.isWarned || !this.kernel.settings.isDevelopment) return;
    this.isWarned = true;
    this.report(
      this.agent.protocol.name,
      `ref.${call}() inside a turn is a call from outside; use ctx.${call}(ref, ...) to carry sender and deadline`,
    );
  }

  private report(address: string, text: string, error?: unknown): void {
    const fields = error === undefined ? undefined : { error };
    this.kernel.events.emit({ type: 'logged', level: 'warn', address, text, fields });
  }

  private definitionOf(entry: MessageEntry): MessageDefinition | undefined {
    const messages = entry.isInternal ? this.agent.internal : this.agent.protocol.messages;
    return (messages as Readonly<Record<string, MessageDefinition>>)[entry.name];
  }

  /** The agent with handlers of streams that are turns like any other. */
  private withProductions(agent: AnyAgentDefinition): AnyAgentDefinition {
    const messages = agent.protocol.messages as Readonly<Record<string, MessageDefinition>>;
    const names = Object.keys(messages).filter((name) => messages[name]?.kind === 'stream');
    if (names.length === 0) return agent;
    const { pace } = this.kernel;
    const ports = { pace, problemOf: (part: unknown, turn: Turn) => this.partProblem(part, turn) };
    const on: Record<string, MessageEntry['handler']> = Object.assign(Object.create(null), agent.options.on);
    for (const name of names) {
      const handler = on[name];
      if (handler !== undefined) on[name] = producing(handler, ports);
    }
    return Object.freeze({ ...agent, options: Object.freeze({ ...agent.options, on: Object.freeze(on) }) });
  }

  private addEntries(messages: Readonly<Record<string, MessageDefinition>>, isInternal: boolean): void {
    for (const [name, { kind }] of Object.entries(messages)) {
      const handler = this.agent.options.on[name];
      // Stryker disable next-line ConditionalExpression: for the compiler; agent(...) has seen to it.
      if (handler === undefined)
        // Stryker disable next-line StringLiteral: as above.
        throw new Error(`agent '${this.agent.protocol.name}' was defined without a handler for '${name}'`);
      const entries = isInternal ? this.internals : this.entriesOf(kind);
      entries.set(name, { name, kind, isInternal, handler });
    }
  }

  private entriesOf(kind: MessageKind): Map<string, MessageEntry> {
    switch (kind) {
      case 'tell':
        return this.tells;
      case 'ask':
        return this.asks;
      case 'stream':
        return this.streams;
    }
  }
}

/** The error of a message name that a protocol does not have for this verb. */
export function unknownMessage(
  protocol: AnyProtocol,
  name: unknown,
  kind: MessageKind,
): TroupeError<'ERR_MESSAGE_UNKNOWN'> {
  const messages = protocol.messages as Readonly<Record<string, MessageDefinition>>;
  const known = Object.entries(messages)
    .filter(([, definition]) => definition.kind === kind)
    .map(([each]) => each);
  return new TroupeError('ERR_MESSAGE_UNKNOWN', { protocol: protocol.name, message: shownName(name), known });
}

/** A name as an error repeats it. Whatever is no string is no name, and may not even have a string form. */
function shownName(name: unknown): string {
  return typeof name === 'string' && name.length <= NAME_CHARACTERS_MAX ? name : describeValue(name);
}

/**
 * What another node sent, as its schema lets it through. A schema that only types lets nothing through but `undefined`, for `type<void>()`,
 * unless it was told to trust.
 */
export function checkArriving(schema: Schema | undefined, value: unknown): Checked<unknown> {
  if (schema !== undefined && value !== undefined && !isFitForWire(schema))
    return { ok: false, issues: [ONLY_TYPED] };
  return checkPayload(schema, value);
}

function checkPayload(schema: Schema | undefined, payload: unknown): Checked<unknown> {
  if (schema !== undefined) return check(schema, payload);
  return payload === undefined
    ? { ok: true, value: payload }
    : { ok: false, issues: ['it carries no payload'] };
}
