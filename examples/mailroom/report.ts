/** The report at a run's end, as text: what happened, and the table that must add up. */
import { KINDS } from './agents/protocols.ts';
import type { Paint } from './paint.ts';
import { count, printable, quoted, shortName } from './plain-text.ts';
import type { RunRecord } from './record.ts';
import { handledMails, qualityOf, type Sum, total } from './sums.ts';

/** Dead letters' rules that are shown. */
const RULES_SHOWN = 12;
/** Changes of the governor's mind that are shown. */
const TRANSITIONS_SHOWN = 4;
const PRIORITIES = ['critical', 'urgent', 'high', 'normal', 'low', 'background'] as const;
const CONTINUED = ' '.repeat(13);

/** The whole report; ends with the sums. */
export function reportText(record: RunRecord, sums: readonly Sum[], paint: Paint): string {
  const sections = [
    mailTable(record, paint),
    flow(record, paint),
    deadMail(record, paint),
    latency(record, paint),
    judgement(record, paint),
    sumTable(sums, paint),
    [ending(record, sums, paint)],
  ];
  return `${sections.map((lines) => lines.join('\n')).join('\n\n')}\n`;
}

function mailTable(record: RunRecord, paint: Paint): string[] {
  const { intake, deadMail: dead } = record;
  const kinds = KINDS.filter((kind) => kind !== 'own' || record.delivery.isOwn);
  const shown = kinds.filter((kind) => kind === 'own' || record.delivery.sampleMails > 0);
  const handled = (kind: (typeof KINDS)[number]): number | undefined => handledMails(record, kind);
  const row = (label: string, cells: readonly string[]): string =>
    ` ${label.padEnd(24)}${cells.map((cell) => cell.padStart(9)).join('')}`;
  const line = (
    label: string,
    of: (kind: (typeof KINDS)[number]) => number | undefined,
    all: number | undefined,
  ): string => row(label, [...shown.map((kind) => count(of(kind))), count(all)]);
  const allHandled = record.digest && (total(record.digest.learnt) ?? 0) + (total(record.digest.judged) ?? 0);
  return [
    paint('bold', row('mails', [...shown, 'total'])),
    line('in', (kind) => intake?.mails[kind], total(intake?.mails)),
    line('handled', handled, allHandled),
    line('dead letters', (kind) => dead.mails[kind], total(dead.mails)),
    line(
      'handled + dead letters',
      (kind) => (handled(kind) ?? Number.NaN) + dead.mails[kind],
      (allHandled ?? Number.NaN) + (total(dead.mails) ?? 0),
    ),
  ];
}

function flow({ intake, reporter, away }: RunRecord, paint: Paint): string[] {
  const memory = reporter?.memoryBytes;
  const waited = `waited ${count(intake?.waits)} times for room, ${milliseconds(intake?.waitedMs)} in all, `;
  return [
    item('intake', `${waited}${milliseconds(intake?.longestWaitMs)} at the longest`, paint),
    ...workers(reporter, paint),
    ...processes(away, paint),
    item(
      'memory',
      `${mebibytes(memory?.first)} first, ${mebibytes(memory?.max)} at most, ${mebibytes(memory?.last)} last`,
      paint,
    ),
  ];
}

function workers(reporter: RunRecord['reporter'], paint: Paint): string[] {
  const { crashes, restarts, givenUp, begunAnew } = reporter ?? {};
  const lines = [
    item('workers', `${count(crashes)} crashes, ${count(restarts)} restarts after a pause`, paint),
  ];
  if (givenUp !== undefined && givenUp > 0)
    lines.push(
      `${CONTINUED} ${count(givenUp)} given up: too many crashes within a minute, the others went on`,
    );
  if (begunAnew !== undefined && begunAnew > 0)
    lines.push(
      `${CONTINUED} ${count(begunAnew)} times none was left: the pool began anew and kept its queue`,
    );
  return lines;
}

function processes(away: RunRecord['away'], paint: Paint): string[] {
  if (away === undefined) return [];
  const { handed, killed, again } = away;
  const lines = [
    item('processes', `${count(away.processes)} others were handed ${count(handed)} mails`, paint),
  ];
  if (killed !== undefined)
    lines.push(
      `${CONTINUED} kill -9 of ${killed.name} with ${count(killed.inHand)} in hand; ${count(again)} read again by others`,
    );
  return lines;
}

function deadMail({ deadMail: { byRule }, replay }: RunRecord, paint: Paint): string[] {
  if (byRule.length === 0) return [item('dead letters', 'none', paint)];
  const lines = [item('dead letters', 'by the rule that was broken', paint)];
  for (const { rule, why, count: times, names } of byRule.slice(0, RULES_SHOWN)) {
    const more = times > names.length ? `, and ${times - names.length} more` : '';
    lines.push(`${String(times).padStart(12)}  ${paint('yellow', rule)} ${paint('dim', printable(why))}`);
    lines.push(`${CONTINUED} ${paint('dim', `${names.map(shortName).join(', ')}${more}`)}`);
  }
  if (byRule.length > RULES_SHOWN) lines.push(`${CONTINUED} and ${byRule.length - RULES_SHOWN} more rules`);
  if (replay !== undefined) {
    const { name, rule, reading } = replay;
    lines.push(item('replayed', `${shortName(name)}, refused for ${rule}`, paint));
    lines.push(
      `${CONTINUED} handled by the lenient parser: ${quoted(reading.subject)}, called ${reading.verdict.label}`,
    );
  }
  return lines;
}

function latency({ reporter }: RunRecord, paint: Paint): string[] {
  const columns = ['mails', 'p50', 'p99'].map((text) => text.padStart(12)).join('');
  const lines = [paint('bold', ` ${'latency under the flood'.padEnd(24)}${columns}`)];
  for (const priority of PRIORITIES) {
    const measured = reporter?.latency[priority];
    if (measured === undefined) continue;
    const label = priority === 'critical' ? 'critical (alerts)' : priority;
    const cells = [count(measured.count), milliseconds(measured.p50Ms), milliseconds(measured.p99Ms)];
    lines.push(` ${label.padEnd(24)}${cells.map((cell) => cell.padStart(12)).join('')}`);
  }
  return lines;
}

function judgement(record: RunRecord, paint: Paint): string[] {
  const { training, languageModel, governor } = record;
  const lines: string[] = [];
  if (languageModel !== undefined)
    lines.push(item('filter', `language model ${quoted(languageModel)}`, paint));
  else if (training !== undefined) {
    const learnt = `learnt from ${count(training.mails)} mails in ${milliseconds(training.tookMs)}`;
    lines.push(item('filter', `${learnt}, weighs ${count(training.features)} features`, paint));
  }
  const quality = qualityOf(record);
  if (quality !== undefined) {
    const { spamFound, spam, hamLost, ham } = quality;
    const found = `found ${spamFound} of ${spam} spam (${percent(quality.recall)})`;
    lines.push(`${CONTINUED} on mails it had not seen: ${found},`);
    lines.push(
      `${CONTINUED} took ${hamLost} of ${ham} ham for spam (${percent(quality.falsePositiveRate)});`,
    );
    const baseline = `${percent(quality.baselineAccuracy)} for calling all of it ${spam > ham ? 'spam' : 'ham'}`;
    lines.push(`${CONTINUED} ${percent(quality.accuracy)} right, against ${baseline}`);
  }
  if (governor !== undefined) {
    const shown = governor.transitions.slice(0, TRANSITIONS_SHOWN);
    const steps = shown.map(({ to, atMail }) => `${to} (${atMail})`).join(' > ');
    const more = governor.transitionsCount - shown.length;
    const path =
      shown.length === 0 ? 'stayed normal' : `normal > ${steps}${more > 0 ? `, ${more} more` : ''}`;
    lines.push(item('governor', path, paint));
    lines.push(
      `${CONTINUED} ${governor.alerts} alerts; ${governor.reviewed} mails reviewed, ${governor.held} held at the end`,
    );
  }
  const [first, ...others] = record.summary.map(printable);
  if (first !== undefined) lines.push(item('digest', first, paint));
  lines.push(...others.map((line) => `${CONTINUED} ${line}`));
  return lines;
}

function sumTable(sums: readonly Sum[], paint: Paint): string[] {
  return [
    paint('bold', ' sums'),
    ...sums.map(({ name, isRight, text }) => {
      const mark = isRight ? paint('green', ' ok ') : paint('red', 'OFF ');
      return ` ${mark} ${name.padEnd(56)} ${text}`;
    }),
  ];
}

function ending({ tookMs }: RunRecord, sums: readonly Sum[], paint: Paint): string {
  const off = sums.filter((sum) => !sum.isRight);
  const took = `${(tookMs / 1_000).toFixed(1)} s`;
  if (off.length === 0) return paint('green', ` All sums agree (${took}).`);
  return paint(
    'red',
    ` ${off.length} of ${sums.length} sums are off (${took}): ${[...new Set(off.map(({ name }) => name))].join('; ')}.`,
  );
}

function item(label: string, text: string, paint: Paint): string {
  return ` ${paint('bold', label.padEnd(12))} ${text}`;
}

/** Two digits where they matter, whole milliseconds from ten on. */
function milliseconds(value: number | undefined): string {
  if (value === undefined) return 'unknown';
  const format = value < 10 ? { maximumSignificantDigits: 2 } : { maximumFractionDigits: 0 };
  return `${value.toLocaleString('en', format)} ms`;
}

function mebibytes(bytes: number | undefined): string {
  return bytes === undefined ? 'unknown' : `${count(Math.round(bytes / 1_048_576))} MiB`;
}

function percent(part: number): string {
  return `${(100 * part).toFixed(1)} %`;
}
