/**
 * What the spam filter looks at: a bounded set of words and traits of a parsed mail.
 *
 * Only what a mail of any other collection has too: words, subject, sender's host, links, parts. Not the trace fields
 * (Received, Delivered-To and the like): they tell by which archive a mail came, and would flatter the figures.
 */
import { addressHost } from './address.ts';
import type { ParsedMail } from './parse.ts';
import type { Part } from './part.ts';

/** 64 Ki characters of text are looked at: what makes a mail spam stands at its beginning. */
const TEXT_CHARACTERS_MAX = 64 * 1024;
/** 4,000 features a mail; the real ones have a few hundred. */
const FEATURES_MAX = 4_000;
const wordPattern = /[\p{L}\p{N}$£€][\p{L}\p{N}$£€'!-]{1,23}/gu;
const urlPattern = /\bhttps?:\/\/([a-z0-9.-]{1,80})/gi;

/** The mail's features, each once. */
export function featuresOf(mail: ParsedMail): ReadonlySet<string> {
  const features = new Set<string>();
  const add = (feature: string): void => {
    if (features.size < FEATURES_MAX) features.add(feature);
  };
  const text = mail.text.slice(0, TEXT_CHARACTERS_MAX);

  for (const word of wordsOf(mail.subject)) add(`subject:${word}`);
  if (isShouting(mail.subject)) add('trait:subject-in-capitals');
  add(`from:${addressHost(mail.from.address)}`);
  if (mail.from.name === '') add('trait:from-without-name');
  for (const name of mail.headers.map((header) => header.name)) {
    if (/^(?:reply-to|sender|in-reply-to|references|x-priority|importance)$/.test(name)) add(`field:${name}`);
  }
  for (const part of partsOf(mail.root)) {
    add(`media:${part.mediaType}`);
    add(`charset:${part.charset?.toLowerCase() ?? 'none'}`);
  }
  for (const link of mail.links) add(`link:${hostOf(link.target)}`);
  for (const match of text.matchAll(urlPattern)) add(`url:${match[1]?.toLowerCase() ?? ''}`);
  for (const word of wordsOf(text)) add(word);
  return features;
}

function wordsOf(text: string): string[] {
  return (text.match(wordPattern) ?? []).map((word) => word.toLowerCase());
}

function isShouting(subject: string): boolean {
  return subject.length >= 8 && /[A-Z]/.test(subject) && subject === subject.toUpperCase();
}

function partsOf(part: Part): Part[] {
  return [part, ...part.parts.flatMap(partsOf)];
}

function hostOf(target: string): string {
  return (
    /^[a-z]+:\/\/(?:[^/?#]*@)?([^/?#:]{1,80})/i.exec(target)?.[1]?.toLowerCase() ??
    target.slice(0, 7).toLowerCase()
  );
}
