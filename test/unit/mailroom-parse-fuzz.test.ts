// Goal: on any bytes the strict parser returns or throws MailRejected, the lenient one returns; neither is ever slow.
// Method: random bytes, mails put together from telling fragments, real mails with bytes changed, and 20 MB of the worst.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MailRejected } from '../../examples/mailroom/mail-rules.ts';
import { parse, parseLenient } from '../../examples/mailroom/parse.ts';
import { readSample } from '../../examples/mailroom/sample.ts';

function check(input: Uint8Array): void {
  const lenient = parseLenient(input);
  try {
    const strict = parse(input);
    expect(lenient).toEqual(strict);
  } catch (error) {
    if (!(error instanceof MailRejected)) throw error;
    // The strict parser stops at the first rule that the lenient one writes down.
    expect(lenient.warnings[0]).toEqual({ rule: error.rule, rfc: error.rfc, detail: error.detail });
  }
}

const fragments = [
  'From: a@b\n',
  'Date: now\n',
  'From x\n',
  '\n',
  '\r\n',
  '\r',
  ' ',
  '\t',
  ':',
  ';',
  '"',
  '\\',
  '=',
  '=?',
  '?=',
  '=?utf-8?q?',
  '=?x?b?',
  '=E9',
  '=4',
  '=\n',
  'QUJD',
  'QQ==',
  '\xe9',
  '\x80',
  '\x00',
  'Subject: ',
  'Content-Type: ',
  'multipart/mixed; ',
  'multipart/digest; ',
  'message/rfc822',
  'text/html',
  'text/plain; ',
  'charset=',
  'us-ascii',
  'utf-8',
  'gb2312',
  'utf-16',
  'iso-2022-jp',
  'x',
  'boundary=b',
  'boundary="',
  '--b',
  '--b\n',
  '--b--',
  '--',
  'b',
  "filename*0*=utf-8'",
  'Content-Disposition: ',
  'filename="a.exe"',
  'Content-Transfer-Encoding: ',
  'base64',
  'quoted-printable',
  '8bit',
  '<a href="',
  '<',
  '>',
  '</a>',
  '<!--',
  '-->',
  '<script',
  '&#',
  '&#x110000;',
  '&#99999999;',
  '&amp;',
  '(',
  ')',
  '*',
  '%',
  "'",
];

describe('mail parsers on any bytes', () => {
  it('agree, or the strict one refuses by a rule, on random bytes', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), check), { numRuns: 500 });
  });

  it('agree, or the strict one refuses by a rule, on fragments of mail', () => {
    const assembled = fc.array(fc.constantFrom(...fragments), { maxLength: 60, size: 'max' });
    const property = fc.property(assembled, (pieces) => check(Buffer.from(pieces.join(''), 'latin1')));
    fc.assert(property, { numRuns: 3_000 });
  });

  it('agree, or the strict one refuses by a rule, on real mails with bytes changed', () => {
    const mails = readSample().filter(({ bytes }) => bytes.length < 8_000);
    const change = fc.record({ at: fc.nat(8_000), byte: fc.nat(255) });
    const property = fc.property(
      fc.constantFrom(...mails),
      fc.array(change, { maxLength: 20 }),
      (mail, changes) => {
        const bytes = Uint8Array.from(mail.bytes);
        for (const { at, byte } of changes) bytes[at % bytes.length] = byte;
        check(bytes);
      },
    );
    fc.assert(property, { numRuns: 500 });
  });

  const size = 20 * 1024 * 1024;
  const head = 'From: a@b\nDate: now\n';
  const html = `${head}Content-Type: text/html\n\n`;
  const quoted = `${head}Content-Transfer-Encoding: quoted-printable\n\n`;
  const multipart = `${head}Content-Type: multipart/mixed; boundary=-\n\n`;
  const hostile: readonly { name: string; start: string; repeated: string }[] = [
    { name: 'one line', start: '', repeated: 'x' },
    { name: 'one field', start: 'Subject: ', repeated: 'x' },
    { name: 'fields', start: '', repeated: 'A: b\n' },
    { name: 'folds', start: 'Subject: a\n', repeated: ' b\n' },
    { name: 'unended encoded words', start: 'Subject: ', repeated: '=?a?q?' },
    { name: 'one body line', start: `${head}\n`, repeated: 'x' },
    { name: 'line ends', start: head, repeated: '\n' },
    { name: 'parameters', start: `${head}Content-Type: text/plain`, repeated: ';a=b' },
    { name: 'tags', start: html, repeated: '<b>' },
    { name: 'unclosed tags', start: html, repeated: '<' },
    { name: 'unclosed comments', start: html, repeated: '<!--' },
    { name: 'unclosed scripts', start: html, repeated: '<script>' },
    { name: 'unclosed links', start: html, repeated: '<a href="x">' },
    { name: 'unended references', start: html, repeated: '&#1' },
    { name: 'false soft breaks', start: quoted, repeated: '=     ' },
    { name: 'delimiters inside a line', start: multipart, repeated: '-' },
    { name: 'delimiters', start: multipart, repeated: '---\n' },
    { name: 'delimiters and spaces', start: multipart, repeated: '---        ' },
    { name: 'enclosed mails', start: head, repeated: 'Content-Type: message/rfc822\n\n' },
  ];

  it.each(hostile)('take 20 MB of $name in linear time', ({ start, repeated }) => {
    const input = Buffer.concat([Buffer.from(start), Buffer.alloc(size, repeated)]);
    const began = process.hrtime.bigint();
    parseLenient(input);
    // Linear takes well under a second; anything quadratic over 20 MB would take hours.
    expect(Number(process.hrtime.bigint() - began) / 1e6).toBeLessThan(5_000);
  });
});
