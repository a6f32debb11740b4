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
    deadLetters: 3,
    alerts: 1,
    memoryBytes: 104_857_600,
    parsers: [
      {
        name: 'parser-1',
        capacity: 32,
        depths: { ...QUIET, urgent: 1, normal: 2, background: 3 },
        isWaitedFor: true,
        isRestarting: false,
      },
      { name: 'parser-2', capacity: 32, depths: QUIET, isWaitedFor: false, isRestarting: true },
    ],
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
      '200 of 1,200 mails | 7 waits | 3 crashes | 2 restarts | 3 dead letters | 1 alerts | 100 MiB',
      '400 of 1,200 mails | 7 waits | 3 crashes | 2 restarts | 3 dead letters | 1 alerts | 100 MiB',
      '450 of 1,200 mails | 7 waits | 3 crashes | 2 restarts | 3 dead letters | 1 alerts | 100 MiB',
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
    const last = written().slice(written().lastIndexOf('\u001b[7A'));
    expect(last).toContain('1,000 of 1,200');
    expect(last).toContain(`█▓▓▒▒▒${'·'.repeat(26)}   6 of 32  full, intake waits`);
    expect(last).toContain('restarting');
    expect(last.split('\n')).toHaveLength(8);
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

  it('fits 80 columns', () => {
    const { display, written } = shown({ isTTY: true, columns: 80 }, { NO_COLOR: '1' });
    display.end(snapshot(1_200));
    const lines = written()
      .split('\n')
      .map((line) => line.replace('\u001b[2K', ''));
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80);
  });
});
