/**
 * Encoded words of RFC 2047: `=?charset?Q?text?=` and `=?charset?B?text?=` in header values.
 *
 * Nothing is refused here: RFC 2047 sections 6.2 and 6.3 tell a reader to show what it cannot decode as it stands.
 */
import { decodeBase64, decodeQuotedPrintable } from './transfer.ts';

const encodedWord = /=\?([^?\s]+)\?([bq])\?([^?\s]*)\?=/gi;

/** Decodes every encoded word of a header value; white space between two of them goes (RFC 2047 section 6.2). */
export function decodeEncodedWords(value: string): string {
  if (!value.includes('=?')) return value;
  let decoded = '';
  let position = 0;
  let isAfterWord = false;
  for (const match of value.matchAll(encodedWord)) {
    const [whole, charset = '', encoding = '', text = ''] = match;
    const between = value.slice(position, match.index);
    const word = decodeWord(charset, encoding, text);
    const isGap = isAfterWord && word !== undefined && between.trim() === '';
    if (!isGap) decoded += between;
    decoded += word ?? whole;
    isAfterWord = word !== undefined;
    position = match.index + whole.length;
  }
  return decoded + value.slice(position);
}

/** The word's text, or nothing when its charset is unknown. A language suffix (`utf-8*en`, RFC 2231) is left out. */
function decodeWord(charset: string, encoding: string, text: string): string | undefined {
  const isQ = encoding.toLowerCase() === 'q';
  const bytes = Buffer.from(isQ ? text.replaceAll('_', ' ') : text, 'latin1');
  const decoded = isQ ? decodeQuotedPrintable(bytes, ignore) : decodeBase64(bytes, ignore);
  try {
    return new TextDecoder(charset.split('*', 1)[0]).decode(decoded);
  } catch {
    return undefined;
  }
}

function ignore(): void {
  // RFC 2047 section 6.3: a badly formed encoded word is shown, not refused.
}
