/**
 * A reader: the strict parser in another process. It is not defensive either: a mail that breaks a rule is a crash here, which whoever
 * asked is told as the failure of his ask.
 */
import { agent } from 'troupe';
import { type ParsedMail, parse } from '../parse.ts';
import { Reader } from './protocols.ts';

/** Reads mails; it knows nothing of where they come from. */
export const reader = agent(Reader, {
  state: (): object => ({}),
  on: {
    // What travels is data: parts that are absent are left out.
    read: (_ctx, bytes): ParsedMail => JSON.parse(JSON.stringify(parse(bytes))) as ParsedMail,
  },
});
