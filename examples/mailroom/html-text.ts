/** Crude reading of HTML: its text and its links. One scan, no tree; built never to be quadratic whatever the input. */
import { MAIL_LIMITS } from './mail-limits.ts';

/** A link of an HTML part: where it goes and what it shows. */
export interface Link {
  readonly target: string;
  readonly text: string;
}

/** The text of an HTML part and its links. */
export interface HtmlText {
  readonly text: string;
  readonly links: readonly Link[];
}

/** Elements whose content is not text. */
const HIDDEN = new Set(['script', 'style']);
const tagName = /^\/?([a-z][a-z0-9]*)/i;
const linkTarget = /\bhref\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))/i;
const TAG_SIZE_MAX = 4_096;

/** Strips tags, scripts, styles and comments; decodes the usual character references. */
export function readHtml(document: string): HtmlText {
  const html = document.slice(0, MAIL_LIMITS.htmlCharactersMax);
  const pieces: string[] = [];
  const links: Link[] = [];
  let open: { target: string; firstPiece: number } | undefined;
  let hasCommentEnd = true;
  let position = 0;

  const closeLink = (): void => {
    if (open !== undefined && links.length < MAIL_LIMITS.linksMax) {
      links.push({ target: open.target, text: tidy(pieces.slice(open.firstPiece).join('')) });
    }
    open = undefined;
  };

  while (position < html.length) {
    const start = html.indexOf('<', position);
    if (start < 0) break;
    pieces.push(html.slice(position, start));
    if (hasCommentEnd && html.startsWith('<!--', start)) {
      const commentEnd = html.indexOf('-->', start + 4);
      hasCommentEnd = commentEnd >= 0;
      if (hasCommentEnd) {
        position = commentEnd + 3;
        continue;
      }
    }
    const end = html.indexOf('>', start + 1);
    position = end < 0 ? start : end + 1;
    // Unclosed: no later tag can close either, so the rest is text.
    if (end < 0) break;
    const tag = html.slice(start + 1, Math.min(end, start + TAG_SIZE_MAX));
    const name = tagName.exec(tag)?.[1]?.toLowerCase();
    if (name === undefined) continue;
    if (name === 'a') {
      closeLink();
      const target = tag.startsWith('/') ? undefined : linkTarget.exec(tag);
      const value = target?.[1] ?? target?.[2] ?? target?.[3];
      if (value !== undefined) open = { target: decodeReferences(value).trim(), firstPiece: pieces.length };
    } else if (HIDDEN.has(name) && !tag.startsWith('/')) {
      position = hiddenEnd(html, name, position);
    }
    if (breaksLine(name)) pieces.push('\n');
  }
  pieces.push(html.slice(position));
  closeLink();
  return { text: decodeReferences(pieces.join('')), links };
}

/** Tags between words of a line are dropped without a trace, so that `V<b></b>iagra` reads as one word; others part lines. */
function breaksLine(name: string): boolean {
  return /^(?:p|br|div|td|th|tr|li|ul|ol|table|h[1-6]|hr|title|body|option)$/.test(name);
}

/** The start of the closing tag; without one the rest of the document is hidden, as in browsers. */
function hiddenEnd(html: string, name: string, start: number): number {
  const closing = new RegExp(`</${name}`, 'gi');
  closing.lastIndex = start;
  return closing.exec(html)?.index ?? html.length;
}

const NAMED: ReadonlyMap<string, string> = new Map([
  ['amp', '&'],
  ['lt', '<'],
  ['gt', '>'],
  ['quot', '"'],
  ['apos', "'"],
  ['nbsp', ' '],
  ['copy', '©'],
  ['reg', '®'],
]);

function decodeReferences(text: string): string {
  if (!text.includes('&')) return text;
  return text.replace(
    /&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|([a-z]{2,8}));?/gi,
    (whole, decimal, hexadecimal, name) => {
      if (typeof name === 'string') return NAMED.get(name.toLowerCase()) ?? whole;
      const code =
        typeof decimal === 'string' ? Number.parseInt(decimal, 10) : Number.parseInt(String(hexadecimal), 16);
      return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : ' ';
    },
  );
}

function tidy(text: string): string {
  return decodeReferences(text).replace(/\s+/g, ' ').trim();
}
