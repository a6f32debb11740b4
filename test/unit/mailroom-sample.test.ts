import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { classify, evaluate, type LabelledMail, splitHalves, train } from '../../examples/mailroom/bayes.ts';
import { MailRejected } from '../../examples/mailroom/mail-rules.ts';
import { parse, parseLenient } from '../../examples/mailroom/parse.ts';
import {
  packSample,
  readManifest,
  readSample,
  SampleDamaged,
  type SampleMail,
  unpackSample,
} from '../../examples/mailroom/sample.ts';
import { findAlerts } from '../../examples/mailroom/security.ts';

const manifest = readManifest();
const sample = readSample();
const { accepted, poison } = parseAll(sample);

function parseAll(mails: readonly SampleMail[]): { accepted: LabelledMail[]; poison: SampleMail[] } {
  const result: { accepted: LabelledMail[]; poison: SampleMail[] } = { accepted: [], poison: [] };
  for (const mail of mails) {
    try {
      result.accepted.push({ label: mail.label, mail: parse(mail.bytes) });
    } catch (error) {
      if (!(error instanceof MailRejected)) throw error;
      result.poison.push(mail);
    }
  }
  return result;
}

describe('mailroom sample', () => {
  it('holds 1,200 mails of distinct names in the strata its manifest counts', () => {
    expect(sample).toHaveLength(1_200);
    expect(new Set(sample.map(({ name }) => name)).size).toBe(1_200);
    expect(manifest.sample).toEqual({
      spam: accepted.filter(({ label }) => label === 'spam').length,
      ham: accepted.filter(({ label }) => label === 'ham').length,
      poison: poison.length,
    });
  });

  it('keeps the shares of the corpus, about 4 % of it poison', () => {
    const corpusSize = manifest.corpus.spam + manifest.corpus.ham + manifest.corpus.poison;
    expect(corpusSize).toBe(6_046);
    for (const stratum of ['spam', 'ham', 'poison'] as const) {
      const exact = (1_200 * manifest.corpus[stratum]) / corpusSize;
      expect(Math.abs(manifest.sample[stratum] - exact)).toBeLessThan(1);
    }
    expect(poison.length / sample.length).toBeGreaterThan(0.035);
    expect(poison.length / sample.length).toBeLessThan(0.05);
  });

  it('has poison in both labels, refused by at least four rules', () => {
    expect(new Set(poison.map(({ label }) => label))).toEqual(new Set(['spam', 'ham']));
    const rules = poison.map(({ bytes }) => parseLenient(bytes).warnings[0]?.rule);
    expect(new Set(rules).size).toBeGreaterThanOrEqual(4);
  });

  it('has no refusal left without the offending mails', () => {
    const offending = new Set(poison.map(({ name }) => name));
    expect(parseAll(sample.filter(({ name }) => !offending.has(name))).poison).toEqual([]);
  });

  it('can be read leniently to the last mail', () => {
    for (const { bytes } of poison) {
      const mail = parseLenient(bytes);
      expect(mail.warnings.length).toBeGreaterThan(0);
      expect(mail.from.address).not.toBe('');
    }
  });

  it('packs and unpacks bytes exactly', () => {
    const mails: SampleMail[] = [
      { name: 'a/1', label: 'spam', bytes: Uint8Array.of(0, 255, 10, 13, 128) },
      { name: 'a/é', label: 'ham', bytes: new Uint8Array() },
    ];
    const unpacked = unpackSample(packSample(mails));
    expect(unpacked.map((mail) => ({ ...mail, bytes: Uint8Array.from(mail.bytes) }))).toEqual(mails);
  });
});

describe('damaged mailroom sample', () => {
  const folders: string[] = [];
  afterEach(() => {
    for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
  });

  function copy(): { folder: string; url: URL } {
    const folder = mkdtempSync(join(tmpdir(), 'mailroom-sample-'));
    folders.push(folder);
    cpSync(new URL('../../examples/mailroom/data/', import.meta.url), folder, { recursive: true });
    return { folder, url: pathToFileURL(`${folder}/`) };
  }

  it('is refused with both checksums when a byte differs', () => {
    const { folder, url } = copy();
    writeFileSync(join(folder, 'sample.bin.br'), 'x', { flag: 'r+' });
    expect(() => readSample(url)).toThrow(SampleDamaged);
    expect(() => readSample(url)).toThrow(manifest.sha256);
  });

  it('is refused when the file or the manifest is missing, or the manifest is something else', () => {
    const { folder, url } = copy();
    rmSync(join(folder, 'sample.bin.br'));
    expect(() => readSample(url)).toThrow(SampleDamaged);
    for (const content of ['{}', 'null', 'no JSON', '{"sha256":"x","sample":{},"corpus":null}']) {
      writeFileSync(join(folder, 'manifest.json'), content);
      expect(() => readManifest(url)).toThrow(SampleDamaged);
    }
    rmSync(join(folder, 'manifest.json'));
    expect(() => readManifest(url)).toThrow(SampleDamaged);
  });

  it('is refused when index and content disagree', () => {
    const whole = packSample([{ name: 'a', label: 'ham', bytes: Uint8Array.of(1, 2, 3) }]);
    for (const content of [
      whole.subarray(0, -1),
      Buffer.concat([whole, whole]),
      Buffer.from('[{}]\n'),
      Buffer.from('x'),
    ]) {
      expect(() => unpackSample(content)).toThrow(SampleDamaged);
    }
  });
});

describe('spam filter', () => {
  const { training, heldOut } = splitHalves(accepted, manifest.seed);
  const model = train(training);
  const result = evaluate(model, heldOut);

  it('finds at least 90 % of the held-out spam and loses at most 2 % of the ham', () => {
    expect(result.recall).toBeGreaterThanOrEqual(0.9);
    expect(result.falsePositiveRate).toBeLessThanOrEqual(0.02);
    expect(result.accuracy).toBeGreaterThan(result.baselineAccuracy);
  });

  it('counts the majority as its baseline', () => {
    expect(result.spamMails + result.hamMails).toBe(heldOut.length);
    expect(result.baselineAccuracy).toBe(result.hamMails / heldOut.length);
  });

  it('splits into halves that share no mail and hold the same share of each label', () => {
    expect(new Set([...training, ...heldOut]).size).toBe(accepted.length);
    expect(Math.abs(training.length - heldOut.length)).toBeLessThanOrEqual(1);
    const spamIn = (mails: readonly LabelledMail[]): number =>
      mails.filter(({ label }) => label === 'spam').length;
    expect(Math.abs(spamIn(training) - spamIn(heldOut))).toBeLessThanOrEqual(1);
  });

  it('splits and learns the same from the same seed, and otherwise from another', () => {
    expect(splitHalves(accepted, manifest.seed).training).toEqual(training);
    expect(splitHalves(accepted, manifest.seed + 1).training).not.toEqual(training);
    expect(train(training)).toEqual(model);
  });

  it('decides nothing and throws nothing when it has learnt nothing', () => {
    const [first] = heldOut;
    if (first === undefined) throw new Error('The sample is empty.');
    expect(classify(train([]), first.mail)).toEqual({ label: 'ham', score: 0 });
    expect(evaluate(train([]), [])).toMatchObject({ recall: 0, falsePositiveRate: 0, accuracy: 0 });
    expect(Number.isFinite(classify(train([{ label: 'spam', mail: first.mail }]), first.mail).score)).toBe(
      true,
    );
  });
});

describe('security rules on the sample', () => {
  it('fire on at least 5 % of the spam and at most 1 % of the ham', () => {
    const share = (label: string): number => {
      const mails = sample.filter((mail) => mail.label === label);
      return mails.filter(({ bytes }) => findAlerts(parseLenient(bytes)).length > 0).length / mails.length;
    };
    expect(share('spam')).toBeGreaterThanOrEqual(0.05);
    expect(share('ham')).toBeLessThanOrEqual(0.01);
  });
});
