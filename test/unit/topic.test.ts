import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { TroupeError } from '../../src/protocol/errors.ts';
import { checkPattern, checkTopic, topic } from '../../src/protocol/topic.ts';

const Verdict = topic('mail.verdict.{label}', z.object({ id: z.string() }));
const Alert = topic('alert.{level}.{node}', z.object({ text: z.string() }));
const Plain = topic('heartbeat', z.number());

function problem(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (!(error instanceof TroupeError) || error.code !== 'ERR_TOPIC_INVALID') throw error;
    return (error.details as { problem: string }).problem;
  }
  return 'accepted';
}

const segment = fc.stringMatching(/^[A-Za-z0-9_-]{1,20}$/);

describe('topic', () => {
  it('has a pattern, and is its own filter', () => {
    expect([Verdict.pattern, Alert.pattern, Plain.pattern]).toEqual([
      'mail.verdict.*',
      'alert.*.*',
      'heartbeat',
    ]);
    expect(Verdict.topic.template).toBe('mail.verdict.{label}');
    expect(Object.isFrozen(Verdict)).toBe(true);
  });

  it('is narrowed by where, one parameter or all', () => {
    expect(Verdict.where({ label: 'spam' }).pattern).toBe('mail.verdict.spam');
    expect(Alert.where({ node: 'a' }).pattern).toBe('alert.*.a');
    expect(Alert.where({}).pattern).toBe('alert.*.*');
    expect(Alert.where({ node: 'a' }).topic).toBe(Alert.topic);
  });

  it('formats parameters into a topic that gives them back', () => {
    fc.assert(
      fc.property(segment, segment, (level, node) => {
        const text = Alert.format({ level, node });
        expect(checkTopic(text)).toBe(text);
        expect(Alert.paramsOf(text)).toEqual({ level, node });
        expect(Alert.where({ level, node }).pattern).toBe(text);
      }),
    );
  });

  it('never makes a topic of a value that is not one segment', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (label) => {
        fc.pre(!/^[A-Za-z0-9_-]{1,64}$/.test(label));
        expect(problem(() => Verdict.format({ label }))).toMatch(
          /^the value of \{label\} must be one segment/,
        );
      }),
    );
    for (const label of ['a.b', '#', '*', '', 'a\n', 'x'.repeat(65), '{label}']) {
      expect(problem(() => Verdict.where({ label }))).not.toBe('accepted');
    }
  });

  it('refuses parameters that are absent, unknown or no text', () => {
    expect(problem(() => Alert.format({ level: 'red' }))).toBe('the parameter {node} was not given');
    expect(problem(() => Verdict.format({ lable: 'x' }))).toBe('it has no parameter {lable}');
    expect(problem(() => Verdict.format({ label: 5 } as never))).toMatch(/must be one segment/);
    expect(problem(() => Verdict.format(undefined as never))).toBe('its parameters must be an object');
    expect(problem(() => topic('{constructor}', z.object({})).format({}))).toMatch(/was not given/);
  });

  it('refuses a topic that parameters make too long', () => {
    const Long = topic('{a}.{b}.{c}.{d}', z.object({}));
    const value = 'x'.repeat(60);
    expect(problem(() => Long.format({ a: value, b: value, c: value, d: value }))).toMatch(/200 bytes/);
  });

  it('knows the topics that are its own', () => {
    expect(Verdict.paramsOf('mail.verdict.spam')).toEqual({ label: 'spam' });
    for (const other of [
      'mail.verdict',
      'mail.verdict.spam.x',
      'mail.verdicts.spam',
      'mail.verdict.',
      'mail.verdict.*',
    ]) {
      expect(Verdict.paramsOf(other)).toBeUndefined();
    }
    expect(Plain.paramsOf('heartbeat')).toEqual({});
  });

  it('delivers parameters and payload in one object, or the payload itself', () => {
    expect(Verdict.delivered('mail.verdict.spam', { id: '1' })).toEqual({ id: '1', label: 'spam' });
    expect(Plain.delivered('heartbeat', 5)).toBe(5);
  });

  it('refuses templates outside the grammar', () => {
    const schema = z.object({});
    for (const template of [
      '',
      'a..b',
      'a.b{c}',
      'a.{}',
      'a.{b',
      'a.*',
      'a.#',
      'a b',
      'a.{b.c}',
      '{a}.{a}',
      '{1}',
    ]) {
      expect(problem(() => topic(template, schema))).not.toBe('accepted');
    }
    expect(problem(() => topic('{a}.b.{a}', schema))).toBe('the parameter {a} stands in it twice');
    expect(() => topic('a', {} as never)).toThrow(TroupeError);
  });
});

describe('checkTopic and checkPattern', () => {
  it('hold the grammar: 8 segments, 64 bytes each, 200 in all', () => {
    const good = ['a', 'a.b', '_-9.Z', Array(8).fill('a').join('.'), 'x'.repeat(64)];
    for (const text of good) expect([checkTopic(text), checkPattern(text)]).toEqual([text, text]);
    const bad = ['', '.', 'a.', '.a', 'a b', 'é', Array(9).fill('a').join('.'), 'x'.repeat(65), 'a/b', 'a\n'];
    for (const text of [...bad, `${'x'.repeat(60)}.`.repeat(4), 'x'.repeat(1_000_000), 5, null, undefined]) {
      expect(problem(() => checkTopic(text))).not.toBe('accepted');
      expect(problem(() => checkPattern(text))).not.toBe('accepted');
    }
  });

  it('take wildcards in patterns only, # only at the end', () => {
    for (const pattern of ['*', '#', 'a.*', '*.a', 'a.#', '*.*.#']) {
      expect(checkPattern(pattern)).toBe(pattern);
      expect(problem(() => checkTopic(pattern))).not.toBe('accepted');
    }
    expect(problem(() => checkPattern('#.a'))).toBe("'#' may only be the last segment");
    for (const pattern of ['a*', '**', '##', 'a.b#', 'a.*b']) {
      expect(problem(() => checkPattern(pattern))).not.toBe('accepted');
    }
  });

  it('say what is wrong in a message of bounded length', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 5_000 }), (text) => {
        const said = problem(() => checkTopic(text));
        expect(said.length).toBeLessThan(200);
      }),
    );
  });
});
