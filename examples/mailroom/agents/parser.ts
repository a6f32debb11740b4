/**
 * A parser: strict, and not defensive. A mail that breaks a rule throws through the handler, which is a crash: the message becomes
 * a dead letter and the parser is restarted after its backoff; meanwhile the others of its pool take the mails that are queued.
 * There is no second attempt: a mail that breaks a rule breaks it every time.
 */
import { agent, type Ref } from 'troupe';
import { MAIL_LIMITS } from '../mail-limits.ts';
import { MailRejected } from '../mail-rules.ts';
import { type ParsedMail, parse, parseLenient } from '../parse.ts';
import type { Asking, Readers } from '../readers.ts';
import type { SourceItem } from '../source.ts';
import { Parser, PLACES, Reporter, Security, Teacher, Triage } from './protocols.ts';

/** A file among the mails that is no mail at all. */
export class MailUnreadable extends Error {
  override readonly name = 'MailUnreadable';
}

/** Options of a parser. */
export interface ParserArgs {
  /** How long it waits for room before it takes the mailroom for broken. */
  readonly patienceMs: number;
  /** Who reads mails in other processes; without them a parser reads by itself. */
  readonly readers?: Readers | undefined;
}

interface ParserState {
  readonly read: (ctx: Asking, bytes: Uint8Array) => ParsedMail | Promise<ParsedMail>;
  readonly patience: { readonly timeoutMs: number };
  readonly teacher: Ref<typeof Teacher>;
  readonly triage: Ref<typeof Triage>;
  readonly security: Ref<typeof Security>;
  readonly reporter: Ref<typeof Reporter>;
}

/** Parses mails and hands them on to security and triage. */
export const parser = agent(Parser, {
  state: ({ patienceMs, readers }: ParserArgs, ctx): ParserState => ({
    read: (turn, bytes) => readers?.read(turn, bytes, patienceMs) ?? parse(bytes),
    patience: { timeoutMs: patienceMs },
    teacher: ctx.system.ref(Teacher, PLACES.teacher),
    triage: ctx.system.ref(Triage, PLACES.triage),
    security: ctx.system.ref(Security, PLACES.security),
    reporter: ctx.system.ref(Reporter, PLACES.reporter),
  }),
  turnTimeoutMs: Number.POSITIVE_INFINITY,
  on: {
    async parse(ctx, { name, kind, purpose, item, sentAtMs }) {
      const { teacher, triage, security, reporter, patience } = ctx.state;
      const { priority } = ctx.message;
      await ctx.send(reporter, 'taken', { priority, waitedMs: performance.now() - sentAtMs });
      const readable = { name, kind, mail: await ctx.state.read(ctx, bytesOf(item)) };
      const options = { priority, ...patience };
      await ctx.send(security, 'examine', readable, options);
      // Last: once the next has the mail, nothing here may fail any more, or the mail would be counted twice.
      if (purpose === 'learn') await ctx.send(teacher, 'learn', readable, options);
      else await ctx.send(triage, 'classify', readable, options);
    },
    async parseLeniently(ctx, bytes) {
      const mail = parseLenient(bytes);
      const verdict = await ctx.ask(ctx.state.triage, 'judge', mail);
      const rules = [...new Set(mail.warnings.map((warning) => warning.rule))];
      return { rules, subject: mail.subject, verdict };
    },
    settle: () => undefined,
  },
});

/** Throws `MailRejected` or `MailUnreadable`. */
function bytesOf(item: SourceItem): Uint8Array {
  switch (item.type) {
    case 'mail':
      return item.bytes;
    case 'oversize':
      throw new MailRejected(
        'limit-exceeded',
        `${item.sizeBytes} bytes; the limit is ${MAIL_LIMITS.mailSizeBytes}`,
      );
    case 'unreadable':
      throw new MailUnreadable(item.reason);
  }
}
