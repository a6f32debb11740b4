import { describe, expect, it } from 'vitest';
import { initialTransition, transition } from 'xstate';
import { LatencyHistogram } from '../../examples/mailroom/latency.ts';
import { AT_EASE, type QuarantineReport, quarantine } from '../../examples/mailroom/quarantine.ts';
import type { RunRecord } from '../../examples/mailroom/record.ts';
import { sumsOf } from '../../examples/mailroom/sums.ts';
import { urgencyOf } from '../../examples/mailroom/urgency.ts';

type Finding = 'alert' | 'clean';

/** What the governor would report after these findings. */
function stateAfter(findings: readonly Finding[]): QuarantineReport {
  let [snapshot] = initialTransition(quarantine);
  for (const type of findings) [snapshot] = transition(quarantine, snapshot, { type });
  return { mode: snapshot.value, ...snapshot.context };
}

function times(count: number, finding: Finding): Finding[] {
  return new Array<Finding>(count).fill(finding);
}

describe('the quarantine', () => {
  it('begins with the third alert within 40 mails and not with one later', () => {
    const soon: Finding[] = ['alert', 'alert', ...times(37, 'clean'), 'alert'];
    const late: Finding[] = ['alert', 'alert', ...times(38, 'clean'), 'alert'];
    expect(stateAfter(soon)).toMatchObject({ mode: 'quarantine', held: 1, mails: 40 });
    expect(stateAfter(late)).toMatchObject({ mode: 'normal', held: 0 });
  });

  it('goes over to review after 25 clean mails in a row, and to normal when nothing is held', () => {
    const held = times(5, 'alert');
    expect(stateAfter(held)).toMatchObject({ mode: 'quarantine', held: 3 });
    expect(stateAfter([...held, ...times(24, 'clean')]).mode).toBe('quarantine');
    const review = [...held, ...times(25, 'clean')];
    expect(stateAfter(review)).toMatchObject({ mode: 'review', held: 3 });
    expect(stateAfter([...review, ...times(2, 'clean')])).toMatchObject({ mode: 'review', held: 1 });
    expect(stateAfter([...review, ...times(3, 'clean')])).toMatchObject({
      mode: 'normal',
      held: 0,
      reviewed: 3,
    });
  });

  it('returns from review with an alert, which is held too', () => {
    const review: Finding[] = [...times(3, 'alert'), ...times(25, 'clean')];
    expect(stateAfter([...review, 'alert'])).toMatchObject({
      mode: 'quarantine',
      held: 2,
      alerts: 4,
      transitionsCount: 3,
    });
  });
});

describe('the latency histogram', () => {
  it('tells percentiles within 5 %', () => {
    const histogram = new LatencyHistogram();
    for (let ms = 1; ms <= 1_000; ms++) histogram.record(ms);
    expect(histogram.count).toBe(1_000);
    expect(histogram.percentileMs(0.5)).toBeGreaterThanOrEqual(500);
    expect(histogram.percentileMs(0.5)).toBeLessThan(525.1);
    expect(histogram.percentileMs(0.99)).toBeGreaterThanOrEqual(990);
    expect(histogram.percentileMs(0.99)).toBeLessThan(1_039.6);
  });

  it('counts what is too small or too large in its outermost buckets', () => {
    const histogram = new LatencyHistogram();
    expect(histogram.percentileMs(0.5)).toBe(0);
    for (const ms of [-1, 0, 1e12]) histogram.record(ms);
    expect(histogram.percentileMs(0.5)).toBeLessThan(0.002);
    expect(histogram.percentileMs(1)).toBeGreaterThan(3_600_000);
  });
});

describe('the urgency of a mail', () => {
  it.each([
    ['X-Priority: 1 (Highest)', 'urgent'],
    ['x-priority:2', 'urgent'],
    ['Importance: High', 'urgent'],
    ['X-Priority: 3', 'normal'],
    ['X-Priority: 10', 'normal'],
    ['Precedence: bulk', 'background'],
    ['Precedence: LIST', 'background'],
    ['Precedence: first-class', 'normal'],
    ['Precedence: junk\r\nImportance: high', 'urgent'],
    ['Subject: Precedence: bulk', 'normal'],
  ])('of %j is %s', (header, urgency) => {
    expect(urgencyOf(Buffer.from(`From: a@b.c\r\n${header}\r\n\r\ntext`))).toBe(urgency);
  });

  it('is not taken from the body, and any bytes have one', () => {
    expect(urgencyOf(Buffer.from('From: a@b.c\n\nX-Priority: 1\n'))).toBe('normal');
    expect(urgencyOf(new Uint8Array())).toBe('normal');
    expect(urgencyOf(new Uint8Array(200_000).fill(255))).toBe('normal');
  });
});

const RIGHT: RunRecord = {
  away: { processes: 2, handed: 12, again: 2, here: 0, killed: { name: 'worker-1', inHand: 2 } },
  delivery: {
    training: undefined,
    judged: { mails: () => [] },
    mailsExpected: 10,
    sampleMails: 10,
    isOwn: false,
  },
  languageModel: undefined,
  training: { mails: 2, features: 5, tookMs: 1 },
  intake: { mails: { spam: 4, ham: 6, own: 0 }, waits: 3, waitedMs: 1, longestWaitMs: 1 },
  security: { mails: { spam: 3, ham: 6, own: 0 }, alerts: 2, byRule: {} },
  governor: { mode: 'normal', ...AT_EASE, alerts: 2 },
  digest: {
    learnt: { spam: 1, ham: 1, own: 0 },
    judged: { spam: 2, ham: 5, own: 0 },
    calledSpam: { spam: 2, ham: 0, own: 0 },
    retries: 1,
  },
  summary: [],
  reporter: {
    taken: 10,
    alerts: 2,
    crashes: 3,
    restarts: 2,
    givenUp: 1,
    deserted: 1,
    begunAnew: 1,
    refusals: 3,
    latency: {},
    memoryBytes: { first: 1, max: 1, last: 1 },
  },
  deadMail: { mails: { spam: 1, ham: 0, own: 0 }, readable: 0, unexamined: 0, crashed: 2, byRule: [] },
  accounts: [{ address: '/root/a', accepted: 5, accounted: 5 }],
  replay: undefined,
  failures: [],
  tookMs: 1,
};

function off(change: Partial<RunRecord>): string[] {
  return sumsOf({ ...RIGHT, ...change })
    .filter((sum) => !sum.isRight)
    .map((sum) => sum.name);
}

describe('the sums', () => {
  it('agree where every count does', () => {
    expect(off({})).toEqual([]);
  });

  it('name a mail that was neither handled nor made a dead letter, by its kind', () => {
    const { deadMail } = RIGHT;
    expect(off({ deadMail: { ...deadMail, mails: { spam: 0, ham: 1, own: 0 } } })).toEqual([
      'mails in (spam) = handled + dead letters',
      'mails in (ham) = handled + dead letters',
    ]);
  });

  it('are off where a stage did not answer', () => {
    expect(off({ digest: undefined, failures: ['digest: late'] })).toEqual([
      'every stage answers',
      'mails in (spam) = handled + dead letters',
      'mails in (ham) = handled + dead letters',
      'mails in = handled + dead letters',
      'handled + dead after parsing = examined + not examined',
      'mails learnt from = filed as learnt',
      'crashes = attempts at dead letters + at retried mails',
      'spam is found',
    ]);
  });

  it('name the actor whose ledger does not balance', () => {
    expect(off({ accounts: [{ address: '/root/a', accepted: 5, accounted: 4 }] })).toEqual([
      'messages accepted = accounted for (/root/a)',
    ]);
  });

  it('follow every crash to its end: a restart or a worker given up, and an attempt that is accounted for', () => {
    const { reporter, deadMail } = RIGHT;
    if (reporter === undefined) throw new Error('incomplete');
    expect(off({ reporter: { ...reporter, restarts: 1 } })).toEqual(['crashes = restarts + given up']);
    expect(off({ reporter: { ...reporter, givenUp: 2 } })).toEqual(['crashes = restarts + given up']);
    expect(off({ reporter: { ...reporter, begunAnew: 0 } })).toEqual(['pools deserted = pools begun anew']);
    expect(off({ deadMail: { ...deadMail, crashed: 3 } })).toEqual([
      'crashes = attempts at dead letters + at retried mails',
    ]);
    expect(off({ reporter: { ...reporter, taken: 20 } })).toEqual([
      'mails in = taken by parsers',
      'taken by parsers + read again = handed over + read here',
    ]);
  });

  it('follow every mail to another process and back, and what a killed one had in hand to somebody else', () => {
    const { away } = RIGHT;
    if (away === undefined) throw new Error('incomplete');
    expect(off({ away: { ...away, handed: 11 } })).toEqual([
      'taken by parsers + read again = handed over + read here',
    ]);
    expect(off({ away: { ...away, killed: { name: 'worker-1', inHand: 1 } } })).toEqual([
      'in hand at kill -9 = read again by others',
    ]);
    expect(off({ away: { ...away, killed: undefined } })).toEqual(['a process was killed with mail in hand']);
    expect(off({ away: undefined })).toEqual([]);
  });

  it('ask a run on the sample for waits and crashes, and its filter for quality', () => {
    const { intake, reporter, digest, deadMail } = RIGHT;
    if (intake === undefined || reporter === undefined || digest === undefined) throw new Error('incomplete');
    expect(off({ intake: { ...intake, waits: 0 }, reporter: { ...reporter, refusals: 0 } })).toEqual([
      'the intake waited',
    ]);
    const uneventful = { ...reporter, crashes: 0, restarts: 0, givenUp: 0 };
    const calm = { deadMail: { ...deadMail, crashed: 0 }, digest: { ...digest, retries: 0 } };
    expect(off({ reporter: uneventful, ...calm })).toEqual(['a parser crashed', 'a parser was restarted']);
    const poor = { ...digest, calledSpam: { spam: 1, ham: 1, own: 0 } };
    expect(off({ digest: poor })).toEqual(['spam is found', 'ham is kept']);
    expect(off({ digest: poor, languageModel: 'small' })).toEqual([]);
  });
});
