import { describe, expect, it } from 'vitest';
import { parse } from '../../examples/mailroom/parse.ts';
import { findAlerts, type SecurityRule } from '../../examples/mailroom/security.ts';

function html(body: string): Uint8Array {
  return Buffer.from(`From: a@b.example\nDate: now\nContent-Type: text/html\n\n${body}`, 'latin1');
}

function from(value: string): Uint8Array {
  return Buffer.from(`From: ${value}\nDate: now\n\nx`, 'latin1');
}

function attached(name: string): Uint8Array {
  return Buffer.from(
    `From: a@b\nDate: now\nContent-Disposition: attachment; filename="${name}"\n\nx`,
    'latin1',
  );
}

const cases: readonly { rule: SecurityRule; bad: Uint8Array; good: Uint8Array }[] = [
  {
    rule: 'link-host-mismatch',
    bad: html('<a href="http://evil.example/">http://www.bank.com/login</a>'),
    good: html('<a href="http://click.bank.com/">http://www.bank.com/login</a>'),
  },
  {
    rule: 'link-host-mismatch',
    bad: html('<a href="http://www.evil.co.uk/">https://www.bank.co.uk</a>'),
    good: html('<a href="http://track.example/">our offer</a>'),
  },
  {
    rule: 'link-raw-ip',
    bad: html('<a href="http://192.0.2.7:8080/x">here</a>'),
    good: html('<a href="http://192.example/x">here</a>'),
  },
  {
    rule: 'link-raw-ip',
    bad: html('<a href="HTTP://3221226000/">here</a>'),
    good: html('<a href="mailto:1@192.0.2.7">here</a>'),
  },
  {
    rule: 'link-userinfo',
    bad: html('<a href="http://www.bank.com@evil.example/">here</a>'),
    good: html('<a href="http://www.bank.com/@evil.example">here</a>'),
  },
  { rule: 'executable-attachment', bad: attached('invoice.pdf.exe'), good: attached('invoice.exe.pdf') },
  { rule: 'executable-attachment', bad: attached('A.SCR '), good: attached('scr') },
  {
    rule: 'sender-name-mismatch',
    bad: from('"service@bank.com" <x@evil.example>'),
    good: from('"service@bank.com" <bounce@mail.bank.com>'),
  },
  {
    rule: 'sender-name-mismatch',
    bad: from('help@bank.com via <x@evil.org>'),
    good: from('Ann <x@evil.org>'),
  },
];

describe('security rules', () => {
  it.each(cases)('raise $rule, and nothing on its twin', ({ rule, bad, good }) => {
    expect(findAlerts(parse(bad)).map((alert) => alert.rule)).toEqual([rule]);
    expect(findAlerts(parse(good))).toEqual([]);
  });

  it('raise each rule at most once for a mail', () => {
    expect(findAlerts(parse(html('<a href="http://192.0.2.7/">x</a>'.repeat(300))))).toHaveLength(1);
  });

  it('tell what they found in printable ASCII of bounded length', () => {
    const [alert] = findAlerts(parse(html(`<a href="http://b\x07nk${'x'.repeat(500)}@evil.example/">x</a>`)));
    expect(alert?.detail).toMatch(/^[\x20-\x7e]{1,200}$/);
  });
});
