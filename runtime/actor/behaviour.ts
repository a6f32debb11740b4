/**
 * An agent definition as cells use it: its messages resolved once to entries, so that sending looks a name up once and
 * a turn looks up nothing.
 */

import type { AnyAgentDefinition, Directive } from '../../src/protocol/agent.ts';
import type { MessageEntry } from '../../src/protocol/envelope.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import { describeValue, invalidOption } from '../../src/protocol/options.ts';
import type { AnyProtocol, MessageDefinition } from '../../src/protocol/protocol.ts';
import { check, isTypeOnly } from '../../src/protocol/schema.ts';
import type { Kernel } from './kernel.ts';

const DIRECTIVES: readonly Directive[] = ['restart', 'resume', 'stop', 'escalate'];

/** One kind of agent in one system. */
export class Behaviour {
  readonly kernel: Kernel;
  readonly agent: AnyAgentDefinition;
  /** Whether payloads and replies of local sends are checked too. */
  readonly isValidating: boolean;
  private isWarned = false;
  private readonly entries = new Map<string, MessageEntry>();

  constructor(kernel: Kernel, agent: AnyAgentDefinition) {
    this.kernel = kernel;
    this.agent = agent;
    this.isValidating = agent.options.validate === 'always';
    this.addEntries(agent.protocol.messages as Readonly<Record<string, MessageDefinition>>, false);
    this.addEntries(agent.internal, true);
  }

  /** The entry of a message of the protocol. Throws `ERR_MESSAGE_UNKNOWN` for a name that this verb does not take. */
  entry(name: string, kind: 'tell' | 'ask'): MessageEntry {
    const entry = this.entries.get(name);
    if (entry === undefined || entry.kind !== kind || entry.isInternal)
      throw unknownMessage(this.agent.protocol, name, kind);
    return entry;
  }

  /** The entry of a message that only the agent itself sends. Throws `ERR_MESSAGE_UNKNOWN`. */
  internalEntry(name: string): MessageEntry {
    const entry = this.entries.get(name);
    if (entry?.isInternal === true) return entry;
    throw new TroupeError('ERR_MESSAGE_UNKNOWN', {
      protocol: `${this.agent.protocol.name} (internal)`,
      message: String(name),
      known: Object.keys(this.agent.internal),
    });
  }

  /** The entry that a topic feeds: any message that is told, internal ones too. Throws `ERR_OPTION_INVALID`. */
  feedEntry(name: unknown): MessageEntry {
    const entry = typeof name === 'string' ? this.entries.get(name) : undefined;
    if (entry?.kind === 'tell') return entry;
    throw invalidOption('subscribe: as', 'the name of a message made by tell(...)', name);
  }

  /** The payload as it may be delivered: as it is, or checked. Throws `ERR_MESSAGE_INVALID`. */
  admissible(entry: MessageEntry, payload: unknown): unknown {
    const schema = this.isValidating ? this.definitionOf(entry)?.payload : undefined;
    if (schema === undefined) return payload;
    const checked = check(schema, payload);
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
  replyProblem(entry: MessageEntry, reply: unknown, address: string): TroupeError | undefined {
    if (reply !== undefined && !this.isValidating) return undefined;
    const schema = this.definitionOf(entry)?.reply;
    if (schema === undefined || isTypeOnly(schema)) return undefined;
    const checked = check(schema, reply);
    if (checked.ok) return undefined;
    if (reply === undefined) return new TroupeError('ERR_REPLY_MISSING', { address, message: entry.name });
    return new TroupeError('ERR_REPLY_INVALID', { address, message: entry.name, issues: checked.issues });
  }

  /** What is to be done about a failure. A `decide` that throws or answers something else is reported and restarts. */
  decide(error: unknown, address: string): Directive {
    const { decide } = this.agent.options;
    if (decide === undefined) return 'restart';
    try {
      const directive = decide(error);
      for (const known of DIRECTIVES) if (known === directive) return known;
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
  warnOfBareCall(call: string, address: string): void {
    if (this.isWarned || !this.kernel.settings.isDevelopment) return;
    this.isWarned = true;
    this.report(
      address,
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

  private addEntries(messages: Readonly<Record<string, MessageDefinition>>, isInternal: boolean): void {
    for (const [name, { kind }] of Object.entries(messages)) {
      const handler = this.agent.options.on[name];
      if (handler === undefined)
        throw new Error(`agent '${this.agent.protocol.name}' was defined without a handler for '${name}'`);
      this.entries.set(name, { name, kind, isInternal, handler });
    }
  }
}

/** The error of a message name that a protocol does not have for this verb. */
export function unknownMessage(
  protocol: AnyProtocol,
  name: unknown,
  kind: 'tell' | 'ask',
): TroupeError<'ERR_MESSAGE_UNKNOWN'> {
  const messages = protocol.messages as Readonly<Record<string, MessageDefinition>>;
  const known = Object.keys(messages).filter((each) => messages[each]?.kind === kind);
  return new TroupeError('ERR_MESSAGE_UNKNOWN', { protocol: protocol.name, message: String(name), known });
}
