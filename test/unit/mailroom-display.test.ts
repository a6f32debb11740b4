import { describe, expect, it } from 'vitest';
import { type Display, displayFor, type Snapshot } from '../../examples/mailroom/display.ts';
import { paintFor } from '../../examples/mailroom/paint.ts';

const QUIET = { critical: 0, urgent: 0, high: 0, normal: 0, low: 0, background: 0 };

function snapshot(taken: number): Snapshot {
  return {
    taken,
    mailsExpected: 1_200,
    refusals: 7,
    crashes: 3,
    restarts: 2,
    givenUp: 1,
    deadLetters: 3,
    alerts: 1,
    memoryBytes: 104_857_600,
    parsers: {
      size: 4,
      alive: 2,
      restarting: 1,
      capacity: 32,
      depths: { ...QUIET, urgent: 1, normal: 2, background: 3 },
      isWaitedFor: true,
    },
  };
}

function shown(
  outlet: { isTTY?: boolean; columns?: number },
  environment: Record<string, string> = {},
): { display: Display; written: () => string } {
  let text = '';
  const whole = {
    ...outlet,
    write: (piece: string) => {
      text += piece;
    },
  };
  const display = displayFor(whole, environment, paintFor(whole, environment));
  return { display, written: () => text };
}

describe('the display of the mailroom', () => {
  it('writes a plain line for every 200 mails when piped, and one for the end', () => {
    const { display, written } = shown({});
    for (let mails = 1; mails <= 450; mails++) display.progress(mails, () => snapshot(mails));
    display.end(snapshot(450));
    expect(written().split('\n')).toEqual([
      '200 of 1,200 mails | 7 waits | 3 crashes | 2 restarts | 1 given up | 3 dead letters | 1 alerts | 100 MiB',
      '400 of 1,200 mails | 7 waits | 3 crashes | 2 restarts | 1 given up | 3 dead letters | 1 alerts | 100 MiB',
      '450 of 1,200 mails | 7 waits | 3 crashes | 2 restarts | 1 given up | 3 dead letters | 1 alerts | 100 MiB',
      '',
    ]);
  });

  it('redraws one area on a terminal, in place, and draws far less often than mails come', () => {
    const { display, written } = shown({ isTTY: true, columns: 100 }, { NO_COLOR: '1' });
    let drawn = 0;
    for (let mails = 1; mails <= 1_000; mails++) {
      display.progress(mails, () => {
        drawn++;
        return snapshot(mails);
      });
    }
    expect(drawn).toBeGreaterThan(0);
    expect(drawn).toBeLessThan(100);
    display.end(snapshot(1_000));
    const last = written().slice(written().lastIndexOf('\u001b[8A'));
    expect(last).toContain('1,000 of 1,200');
    expect(last).toContain(`█▓▓▒▒▒${'·'.repeat(26)}   6 of 32  full, intake waits`);
    expect(last).toContain('●●◌×   2 taking mails   1 restarting   1 given up');
    expect(last.split('\n')).toHaveLength(9);
  });

  it('colours only a terminal that does not say NO_COLOR', () => {
    const outlet = { isTTY: true, columns: 100 };
    const colour = '\u001b[31m';
    const text = (given: typeof outlet | object, environment: Record<string, string>): string => {
      const { display, written } = shown(given, environment);
      display.end(snapshot(1));
      return written();
    };
    expect(text(outlet, {})).toContain(colour);
    expect(text(outlet, { NO_COLOR: '' })).toContain(colour);
    expect(text(outlet, { NO_COLOR: '1' })).not.toContain(colour);
    expect(text({}, {})).not.toContain('\u001b');
  });

  it('falls back to plain lines on a dumb or narrow terminal', () => {
    for (const [outlet, environment] of [
      [{ isTTY: true, columns: 100 }, { TERM: 'dumb' }],
      [{ isTTY: true, columns: 60 }, { NO_COLOR: '1' }],
    ] as const) {
      const { display, written } = shown(outlet, { ...environment });
      display.end(snapshot(1));
      expect(written()).toMatch(/^1 of 1,200 mails \|.*\n$/);
    }
  });

  it('says nothing of parsers that restart or are missing when all of them take mails', () => {
    const { display, written } = shown({ isTTY: true, columns: 100 }, { NO_COLOR: '1' });
    const { parsers, ...rest } = snapshot(1);
    display.end({ ...rest, parsers: { ...parsers, alive: 4, restarting: 0, isWaitedFor: false } });
    expect(written()).toMatch(/parsers +●●●● {3}4 taking mails\n/);
    expect(written()).not.toContain('intake waits');
  });

  it('fits 80 columns, whatever the figures', () => {
    const { display, written } = shown({ isTTY: true, columns: 80 }, { NO_COLOR: '1' });
    const { parsers, ...rest } = snapshot(123_456);
    const many = {
      crashes: 12_345,
      restarts: 12_345,
      givenUp: 12_345,
      deadLetters: 12_345,
      refusals: 12_345,
    };
    const full = { critical: 0, urgent: 30, high: 0, normal: 1, low: 0, background: 1 };
    const large = { mailsExpected: 123_456, alerts: 12_345, memoryBytes: 2 ** 30 };
    display.end({ ...rest, ...many, ...large, parsers: { ...parsers, depths: full } });
    const lines = written()
      .split('\n')
      .map((line) => line.replace('\u001b[2K', ''));
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80);
  });
});
