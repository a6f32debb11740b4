/**
 * Readers on other nodes, as the parsers use them: whoever has least in hand gets the next mail. A mail whose node is lost is handed to another one: reading
 * it twice does no harm. Where nobody is left, or a mail is too large to travel, it is read here.
 */
import { type Context, isTroupeError } from 'troupe';
import { type Parser, READERS_PLACE, Reader } from './agents/protocols.ts';
import { MAIL_RULES, MailRejected, type MailRule } from './mail-rules.ts';
import { type ParsedMail, parse } from './parse.ts';

/** Called when a mail was handed to a node, with what that node has in hand by then and all that were ever handed over. */
export type Handed = (node: string, inHand: number, handed: number) => void;

/** What is counted of them. */
export interface ReadersReport {
  /** Mails handed to another process. */
  readonly handed: number;
  /** Those that were handed over again because their process was lost. */
  readonly again: number;
  /** Mails that were read in this process. */
  readonly here: number;
}

/** What they need of a parser's turn. */
export type Asking = Pick<Context<typeof Parser>, 'ask' | 'system'>;

/** The readers of a run. */
export class Readers {
  readonly #nodes: readonly string[];
  readonly #onHanded: Handed;
  readonly #inHand = new Map<string, number>();
  #counts = { handed: 0, again: 0, here: 0 };

  constructor(nodes: readonly string[], onHanded: Handed) {
    this.#nodes = nodes;
    this.#onHanded = onHanded;
  }

  get report(): ReadersReport {
    return { ...this.#counts };
  }

  /** Mails that a node has not answered yet. */
  inHandOf(node: string): number {
    return this.#inHand.get(node) ?? 0;
  }

  /** Reads a mail. Throws `MailRejected`, wherever it was read. */
  async read(ctx: Asking, bytes: Uint8Array, timeoutMs: number): Promise<ParsedMail> {
    for (;;) {
      const node = this.#leastBusy(ctx.system.nodes.map(({ name }) => name));
      if (node === undefined) break;
      try {
        return await this.#readAt(ctx, node, bytes, timeoutMs);
      } catch (error) {
        if (isTroupeError(error, 'ERR_PAYLOAD_TOO_LARGE')) break;
        if (!isTroupeError(error, 'ERR_NODE_DOWN')) throw rejectionIn(error) ?? error;
        this.#counts.again += 1;
      }
    }
    this.#counts.here += 1;
    return parse(bytes);
  }

  async #readAt(ctx: Asking, node: string, bytes: Uint8Array, timeoutMs: number): Promise<ParsedMail> {
    const asked = ctx.ask(ctx.system.ref(Reader, READERS_PLACE, { node }), 'read', bytes, { timeoutMs });
    this.#counts.handed += 1;
    this.#inHand.set(node, this.inHandOf(node) + 1);
    this.#onHanded(node, this.inHandOf(node), this.#counts.handed);
    try {
      return await asked;
    } finally {
      this.#inHand.set(node, this.inHandOf(node) - 1);
    }
  }

  #leastBusy(living: readonly string[]): string | undefined {
    const [first] = this.#nodes
      .filter((node) => living.includes(node))
      .toSorted((left, right) => this.inHandOf(left) - this.inHandOf(right));
    return first;
  }
}

/** The refusal of the strict parser, which came as the text of a failure. */
function rejectionIn(error: unknown): MailRejected | undefined {
  const text = error instanceof Error && error.cause instanceof Error ? error.cause.message : '';
  const [, rule = '', detail = ''] = /^MailRejected: ([a-z0-9-]+): (.*)$/s.exec(text) ?? [];
  return isRule(rule) ? new MailRejected(rule, detail.replace(` (${MAIL_RULES[rule]})`, '')) : undefined;
}

function isRule(text: string): text is MailRule {
  return Object.hasOwn(MAIL_RULES, text);
}
