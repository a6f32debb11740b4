/**
 * The progress display: on a terminal one live area, redrawn a few times a second; elsewhere a plain line now and then. Progress
 * drives it, no timer: a mailroom that stands still shows a picture that stands still.
 */
import type { Priority } from 'troupe';
import { isLive, type Outlet, type Paint, type Style } from './paint.ts';

/** The parsers and their queue at an instant. */
export interface PoolView {
  /** Parsers that there should be. */
  readonly size: number;
  /** Those that take mails. */
  readonly alive: number;
  readonly restarting: number;
  readonly capacity: number;
  /** Queued mails of each priority. */
  readonly depths: Readonly<Record<Priority, number>> | undefined;
  /** Whether the intake waits for room there. */
  readonly isWaitedFor: boolean;
}

/** The mailroom at an instant. */
export interface Snapshot {
  /** Mails whose turn at a parser began. */
  readonly taken: number;
  readonly mailsExpected: number | undefined;
  /** How often the intake found the queue full. */
  readonly refusals: number;
  readonly crashes: number;
  readonly restarts: number;
  /** Workers that crashed too often. */
  readonly givenUp: number;
  readonly deadLetters: number;
  readonly alerts: number;
  readonly memoryBytes: number;
  readonly parsers: PoolView;
}

/** Shows a run. */
export interface Display {
  /** Something has moved. `read` is called only when it is time to show it. */
  progress(mails: number, read: () => Snapshot): void;
  /** The last picture. */
  end(last: Snapshot): void;
}

const FRAME_MS = 80;
const MAILS_PER_LINE = 200;
/** A narrower terminal gets plain lines: wrapped ones cannot be redrawn. */
const COLUMNS_MIN = 80;
const BAR_CELLS = 40;

/** The display for an outlet. */
export function displayFor(
  outlet: Outlet,
  environment: Readonly<Record<string, string | undefined>>,
  paint: Paint,
): Display {
  const isWide = (outlet.columns ?? 0) >= COLUMNS_MIN;
  return isLive(outlet, environment) && isWide ? liveDisplay(outlet, paint) : plainDisplay(outlet);
}

function plainDisplay(outlet: Outlet): Display {
  let shown = 0;
  const show = (snapshot: Snapshot): void => {
    shown = snapshot.taken;
    outlet.write(`${plainLine(snapshot)}\n`);
  };
  return {
    progress(mails, read) {
      if (mails >= shown + MAILS_PER_LINE) show(read());
    },
    end(last) {
      if (last.taken !== shown) show(last);
    },
  };
}

function liveDisplay(outlet: Outlet, paint: Paint): Display {
  let drawnAtMs = Number.NEGATIVE_INFINITY;
  let drawnLines = 0;
  const draw = (snapshot: Snapshot): void => {
    const lines = area(snapshot, paint);
    const up = drawnLines === 0 ? '' : `\u001b[${drawnLines}A`;
    outlet.write(`${up}${lines.map((line) => `\u001b[2K${line}\n`).join('')}`);
    drawnLines = lines.length;
    drawnAtMs = performance.now();
  };
  return {
    progress(_mails, read) {
      if (performance.now() - drawnAtMs >= FRAME_MS) draw(read());
    },
    end: draw,
  };
}

function plainLine(snapshot: Snapshot): string {
  const of = snapshot.mailsExpected === undefined ? '' : ` of ${number(snapshot.mailsExpected)}`;
  return [
    `${number(snapshot.taken)}${of} mails`,
    `${number(snapshot.refusals)} waits`,
    `${snapshot.crashes} crashes`,
    `${snapshot.restarts} restarts`,
    `${snapshot.givenUp} given up`,
    `${snapshot.deadLetters} dead letters`,
    `${snapshot.alerts} alerts`,
    megabytes(snapshot.memoryBytes),
  ].join(' | ');
}

function area(snapshot: Snapshot, paint: Paint): string[] {
  const { taken, mailsExpected, refusals } = snapshot;
  const label = (text: string): string => ` ${paint('dim', text.padEnd(10))} `;
  const known = mailsExpected === undefined ? '' : `${progressBar(taken / (mailsExpected || 1), paint)}  `;
  const of = mailsExpected === undefined ? '' : ` of ${number(mailsExpected)}`;
  const figure = (style: Style, count: number, text: string): string =>
    `${paint(count === 0 ? 'dim' : style, number(count))} ${paint('dim', text)}`;
  return [
    '',
    `${label('mails')}${known}${paint('bold', number(taken))}${of}`,
    `${label('queue')}${queueLine(snapshot.parsers, paint)}`,
    `${label('')}${legend(paint)}`,
    `${label('parsers')}${parsersLine(snapshot.parsers, paint)}`,
    `${label('intake')}${figure('yellow', refusals, 'waits for room')}`,
    `${label('failures')}${[
      figure('red', snapshot.crashes, 'crashes'),
      figure('green', snapshot.restarts, 'restarts'),
      figure('yellow', snapshot.givenUp, 'given up'),
    ].join('   ')}`,
    `${label('so far')}${[
      figure('yellow', snapshot.deadLetters, 'dead letters'),
      figure('cyan', snapshot.alerts, 'alerts'),
      paint('dim', megabytes(snapshot.memoryBytes)),
    ].join('   ')}`,
  ];
}

function progressBar(share: number, paint: Paint): string {
  const full = Math.round(BAR_CELLS * Math.min(1, share));
  return paint('green', '█'.repeat(full)) + paint('dim', '░'.repeat(BAR_CELLS - full));
}

/** A cell for each place in the queue, the most urgent mail first. */
function queueLine({ depths, capacity, isWaitedFor }: PoolView, paint: Paint): string {
  const urgent = depths === undefined ? 0 : depths.critical + depths.urgent + depths.high;
  const normal = depths?.normal ?? 0;
  const patient = depths === undefined ? 0 : depths.low + depths.background;
  const free = Math.max(0, capacity - urgent - normal - patient);
  const cells = [
    paint('red', '█'.repeat(urgent)),
    paint('cyan', '▓'.repeat(normal)),
    paint('blue', '▒'.repeat(patient)),
    paint('dim', '·'.repeat(free)),
  ].join('');
  const depth = `${String(urgent + normal + patient).padStart(3)} of ${capacity}`;
  return `${cells} ${depth}  ${isWaitedFor ? paint('yellow', 'full, intake waits') : ''}`;
}

function legend(paint: Paint): string {
  return `${paint('red', '█')} urgent   ${paint('cyan', '▓')} normal   ${paint('blue', '▒')} background`;
}

/** A parser that was given up is missing until the pool begins anew. */
function parsersLine({ size, alive, restarting }: PoolView, paint: Paint): string {
  const missing = Math.max(0, size - alive - restarting);
  return [
    `${paint('green', '●'.repeat(alive))}${paint('yellow', '◌'.repeat(restarting))}${paint('red', '×'.repeat(missing))}`,
    `${alive} taking mails`,
    ...(restarting > 0 ? [paint('yellow', `${restarting} restarting`)] : []),
    ...(missing > 0 ? [paint('red', `${missing} given up`)] : []),
  ].join('   ');
}

function number(count: number): string {
  return count.toLocaleString('en');
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1_048_576)} MiB`;
}
