import { describe, expect, it } from 'vitest';
import { MAIL_LIMITS } from '../../examples/mailroom/mail-limits.ts';
import { MAIL_RULES, MailRejected, type MailRule } from '../../examples/mailroom/mail-rules.ts';
import { type ParsedMail, parse, parseLenient } from '../../examples/mailroom/parse.ts';

/** Each character is one byte. */
function bytes(text: string): Uint8Array {
  return Buffer.from(text, 'latin1');
}

/** A mail with From and Date, the given fields and body. */
function mail(fields: string, body: string): Uint8Array {
  const separator = fields === '' ? '' : '\n';
  return bytes(
    `From: Ann <ann@example.org>\nDate: Thu, 22 Aug 2002 13:17:22 +0100\n${fields}${separator}\n${body}`,
  );
}

function refusal(input: Uint8Array): MailRejected {
  try {
    parse(input);
  } catch (error) {
    if (error instanceof MailRejected) return error;
    throw error;
  }
  throw new Error('The mail was accepted.');
}

const twoParts = '--b\n\none\n--b\n\ntwo\n--b--\n';
const mixed = 'Content-Type: multipart/mixed; boundary=b';
const base64 = 'Content-Transfer-Encoding: base64';
const quoted = 'Content-Transfer-Encoding: quoted-printable';

/** For each rule a mail that breaks it, and a twin that differs only in not doing so. */
const cases: readonly { rule: MailRule; bad: Uint8Array; good: Uint8Array }[] = [
  { rule: 'header-malformed', bad: mail('Subject hello', 'x'), good: mail('Subject: hello', 'x') },
  { rule: 'header-malformed', bad: mail('Sub ject: hello', 'x'), good: mail('Subject : hello', 'x') },
  {
    rule: 'header-malformed',
    bad: bytes(' fold\nFrom: a\nDate: b\n\n'),
    good: bytes('From: a\n fold\nDate: b\n\n'),
  },
  { rule: 'header-missing', bad: bytes('Date: now\n\nx'), good: bytes('Date: now\nFrom: a@b\n\nx') },
  { rule: 'header-missing', bad: bytes('From: a@b\n\nx'), good: bytes('From: a@b\nDate: now\n\nx') },
  {
    rule: 'boundary-missing',
    bad: mail('Content-Type: multipart/mixed', twoParts),
    good: mail(mixed, twoParts),
  },
  { rule: 'boundary-never-opened', bad: mail(mixed, '--c\n\none\n--c--\n'), good: mail(mixed, twoParts) },
  { rule: 'boundary-never-opened', bad: mail(mixed, 'text --b\n'), good: mail(mixed, 'text\n--b\n\n--b--') },
  { rule: 'boundary-never-opened', bad: mail(mixed, '--b--\n'), good: mail(mixed, '--b\n\n\n--b--\n') },
  { rule: 'boundary-unterminated', bad: mail(mixed, '--b\n\none\n'), good: mail(mixed, '--b\n\none\n--b--') },
  { rule: 'quoted-printable-malformed', bad: mail(quoted, 'a=4'), good: mail(quoted, 'a=41') },
  { rule: 'base64-truncated', bad: mail(base64, 'QUJD\nR'), good: mail(base64, 'QUJD\nRA==') },
  { rule: 'base64-truncated', bad: mail(base64, 'RA='), good: mail(base64, 'RA==') },
  {
    rule: 'eight-bit-in-ascii',
    bad: mail('', 'caf\xe9'),
    good: mail('Content-Type: text/plain; charset=iso-8859-1', 'caf\xe9'),
  },
  {
    rule: 'eight-bit-in-ascii',
    bad: mail('Content-Type: text/html; charset="US-ASCII"', 'caf\xe9'),
    good: mail('Content-Type: text/html; charset="US-ASCII"', 'cafe'),
  },
  {
    rule: 'charset-unknown',
    bad: mail('Content-Type: text/plain; charset=default', 'x'),
    good: mail('Content-Type: text/plain; charset=utf-8', 'x'),
  },
  {
    rule: 'charset-undecodable',
    bad: mail('Content-Type: text/plain; charset=utf-8', 'caf\xe9'),
    good: mail('Content-Type: text/plain; charset=utf-8', 'caf\xc3\xa9'),
  },
  {
    rule: 'limit-exceeded',
    bad: mail(`Subject: ${'x'.repeat(MAIL_LIMITS.headerSectionBytes)}`, ''),
    good: mail(`Subject: ${'x'.repeat(MAIL_LIMITS.headerSectionBytes - 100)}`, ''),
  },
  {
    rule: 'limit-exceeded',
    bad: mail('A: b\n'.repeat(MAIL_LIMITS.headersMax).trim(), ''),
    good: mail('A: b\n'.repeat(MAIL_LIMITS.headersMax - 10).trim(), ''),
  },
  {
    rule: 'limit-exceeded',
    bad: mail(mixed, `${'--b\n\n'.repeat(MAIL_LIMITS.partsMax)}--b--`),
    good: mail(mixed, `${'--b\n\n'.repeat(MAIL_LIMITS.partsMax - 1)}--b--`),
  },
  {
    rule: 'limit-exceeded',
    bad: mail(mixed, `${innerParts(400)}${innerParts(600)}--b--`),
    good: mail(mixed, `${innerParts(400)}${innerParts(590)}--b--`),
  },
  { rule: 'eight-bit-in-ascii', bad: mail('', '\x80'), good: mail('', '\x7f') },
  { rule: 'limit-exceeded', bad: nested(MAIL_LIMITS.depthMax + 1), good: nested(MAIL_LIMITS.depthMax) },
  {
    rule: 'limit-exceeded',
    bad: mail('', 'x'.repeat(MAIL_LIMITS.mailSizeBytes)),
    good: mail('', 'x'.repeat(MAIL_LIMITS.mailSizeBytes - 1_000)),
  },
];

/** A part that is a multipart of so many parts. */
function innerParts(count: number): string {
  return `--b\nContent-Type: multipart/mixed; boundary=c\n\n${'--c\n\n'.repeat(count)}--c--\n`;
}

/** Mails enclosed in mails, `depth` of them around the innermost. */
function nested(depth: number): Uint8Array {
  return mail(`${'Content-Type: message/rfc822\n\n'.repeat(depth)}Content-Type: text/plain`, 'x');
}

describe('strict mail parser', () => {
  it.each(cases)('refuses $rule and accepts its twin', ({ rule, bad, good }) => {
    const error = refusal(bad);
    expect({ rule: error.rule, rfc: error.rfc }).toEqual({ rule, rfc: MAIL_RULES[rule] });
    expect(error.message).toContain(error.detail);
    expect(parse(good).warnings).toEqual([]);
  });

  it('has a case for every rule', () => {
    expect(new Set(cases.map(({ rule }) => rule))).toEqual(new Set(Object.keys(MAIL_RULES)));
  });

  it('does not look at what the mail is called', () => {
    expect(parse(mail('Subject: spam-1/00001 poison', 'x')).subject).toBe('spam-1/00001 poison');
  });

  it('accepts what real mail does and stays readable', () => {
    const accepted = [
      mail('Subject: caf\xe9', 'x'),
      mail('Content-Type: text', 'x'),
      mail('Content-Type: text/plain; charset=iso-8859-1', '\xe9'),
      mail(`${mixed}\nContent-Transfer-Encoding: quoted-printable`, twoParts),
      mail('Content-Type: multipart/mixed; boundary="#b#"', '--#b#\n\nx\n--#b#--'),
      mail('Cc: a@b\nCc: c@d', 'x'),
      mail('Content-Transfer-Encoding: x-uue', '\xe9'),
      mail('', `${'x'.repeat(2_000)}\n`),
    ];
    for (const input of accepted) expect(parse(input).warnings).toEqual([]);
  });

  it('takes the mbox separator line for no part of the message', () => {
    const stored = Buffer.concat([bytes('From ann Thu Aug 22 13:17:22 2002\n'), mail('Subject: hi', 'x')]);
    expect(parse(stored).subject).toBe('hi');
  });
});

describe('lenient mail parser', () => {
  it.each(cases)('reads a mail with $rule and says so', ({ rule, bad }) => {
    expect(parseLenient(bad).warnings.map((warning) => warning.rule)).toContain(rule);
  });

  it('agrees with the strict parser on mails that break no rule', () => {
    for (const { good } of cases) expect(parseLenient(good)).toEqual(parse(good));
  });

  it('keeps the text that can be read', () => {
    expect(parseLenient(mail('', 'caf\xe9')).text).toBe('café');
    expect(parseLenient(mail('Content-Type: text/plain; charset=default', 'caf\xe9')).text).toBe('café');
    expect(parseLenient(mail(mixed, '--b\n\none\n--b\n\ntwo\n')).text.trim().split(/\s+/)).toEqual([
      'one',
      'two',
    ]);
    expect(parseLenient(mail(quoted, 'a=4 b=42')).text).toBe('a=4 bB');
    expect(parseLenient(mail(base64, 'QUJD\nREV')).text).toBe('ABCDE');
    expect(parseLenient(bytes('no header at all')).text).toBe('no header at all');
  });

  it('remembers a bounded number of warnings', () => {
    const noisy = mail('bad line\n'.repeat(500).trim(), '');
    expect(parseLenient(noisy).warnings).toHaveLength(MAIL_LIMITS.warningsMax);
  });
});

describe('mail content', () => {
  function text(input: Uint8Array): string {
    return parse(input).text;
  }

  it('unfolds fields and keeps their order', () => {
    const { headers }: ParsedMail = parse(mail('Subject: one\r\n two\nX-A:b', ''));
    expect(headers.map(({ name, value }) => [name, value]).slice(2)).toEqual([
      ['subject', 'one two'],
      ['x-a', 'b'],
    ]);
  });

  it.each([
    ['=?iso-8859-1?Q?caf=E9_au_lait?=', 'café au lait'],
    ['=?UTF-8?B?Y2Fmw6k=?=', 'café'],
    ['=?utf-8?q?one?= =?utf-8?q?_two?= three', 'one two three'],
    ['=?utf-8*en?q?one?=', 'one'],
    ['=?nonsense?q?one?= two', '=?nonsense?q?one?= two'],
    ['=?utf-8?x?one?=', '=?utf-8?x?one?='],
    ['a =?', 'a =?'],
  ])('decodes the encoded words of %s', (raw, decoded) => {
    expect(parse(mail(`Subject: ${raw}`, '')).subject).toBe(decoded);
  });

  it.each([
    ['a=20=\nb', 'a b'],
    ['a  \r\nb\t\n', 'a\r\nb\n'],
    ['a=  \nb', 'ab'],
    ['=e2=82=AC', '€'],
    ['end=', 'end'],
  ])('decodes quoted-printable %j', (body, decoded) => {
    expect(text(mail(`Content-Type: text/plain; charset=utf-8\n${quoted}`, body))).toBe(decoded);
  });

  it.each([
    ['QUJD', 'ABC'],
    ['QU\nJDRA==', 'ABCD'],
    ['QUJDREU=', 'ABCDE'],
    ['Q!U-J_D', 'ABC'],
    ['QQ==\nfooter text', 'A'],
    ['', ''],
  ])('decodes base64 %j', (body, decoded) => {
    expect(text(mail(base64, body))).toBe(decoded);
  });

  it('reads us-ascii as ASCII although the platform takes that label for windows-1252', () => {
    expect(refusal(mail('Content-Type: text/plain; charset=ascii', '\x93')).rule).toBe('eight-bit-in-ascii');
  });

  it('tells a nested boundary that begins like the outer one from it', () => {
    const inner = 'Content-Type: multipart/alternative; boundary=b2\n\n--b2\n\none\n--b2--\n';
    const { root } = parse(mail(mixed, `preamble\n--b\n${inner}--b \n\ntwo\n--b-- \nepilogue`));
    expect(root.parts.map((part) => part.mediaType)).toEqual(['multipart/alternative', 'text/plain']);
    expect(root.parts[0]?.parts.map((part) => part.text)).toEqual(['one']);
    expect(root.parts[1]?.text).toBe('two');
  });

  it('reads the mails of a digest and what is attached to them', () => {
    const enclosed = 'Subject: inner\nContent-Type: text/plain; name="a;b.txt"\n\nhello';
    const { root, attachments } = parse(
      mail('Content-Type: multipart/digest; boundary=b', `--b\n\n${enclosed}\n--b--`),
    );
    expect(root.parts[0]?.mediaType).toBe('message/rfc822');
    expect(root.parts[0]?.parts[0]?.text).toBe('hello');
    expect(attachments.map((part) => part.fileName)).toEqual(['a;b.txt']);
  });

  it.each([
    ['filename=a.txt', 'a.txt'],
    ['filename="a \\"b\\".txt"', 'a "b".txt'],
    ["filename*=utf-8'en'caf%C3%A9.txt", 'café.txt'],
    ['filename*0="a."; filename*1=txt', 'a.txt'],
  ])('reads the file name in %s', (parameter, name) => {
    expect(parse(mail(`Content-Disposition: attachment; ${parameter}`, '')).attachments[0]?.fileName).toBe(
      name,
    );
  });

  it('strips HTML to its text and keeps the links', () => {
    const html =
      '<style>p{}</style><p>V<b></b>iagra &amp; more<br>now<!-- > hidden --></p><script>x</script>' +
      '<a class=x href="http://a.example/?q=1&amp;r=2">see <b>here</b></a> 1 < 2';
    const { text: read, links } = parse(mail('Content-Type: text/html', html));
    expect(read.replace(/\s+/g, ' ').trim()).toBe('Viagra & more now see here 1 < 2');
    expect(links).toEqual([{ target: 'http://a.example/?q=1&r=2', text: 'see here' }]);
  });

  it.each([
    ['a<!-- never closed <b>c</b> d', 'ac d'],
    ['a<script>never closed', 'a'],
    ['&eacute; &nope; &#233; &#xe9; &#x110000; &#0;', '&eacute; &nope; é é    '],
    ['a<>b< c>d', 'abd'],
  ])('reads the broken HTML %j as far as it goes', (html, read) => {
    expect(parse(mail('Content-Type: text/html', html)).text).toBe(read);
  });

  it.each([
    ['Ann <Ann@Example.org>', { name: 'Ann', address: 'ann@example.org' }],
    ['"Ann, B." <a@b>', { name: 'Ann, B.', address: 'a@b' }],
    ['a@b (Ann)', { name: 'Ann', address: 'a@b' }],
    ['a@b', { name: '', address: 'a@b' }],
  ])('reads the sender %s', (from, expected) => {
    expect(parse(bytes(`From: ${from}\nDate: now\n\n`)).from).toEqual(expected);
  });
});
