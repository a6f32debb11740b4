/** What the core benchmark prints: a table for people, JSON for programs. */

import type { RowResult, Summary } from './measurement.ts';
import type { Row } from './rows.ts';

const HEADINGS = ['row', 'limit (min-max)', 'Troupe (min-max)', 'ratio', 'target', ''] as const;

/** The table, one line for each row. */
export function table(results: readonly RowResult[]): string {
  const lines = [HEADINGS, ...results.map(cells)];
  const widths = HEADINGS.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  return lines
    .map((line) => line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  '))
    .map((line) => line.trimEnd())
    .join('\n');
}

/** `{ "tell": { "troupe": n, "limit": n, "ratio": n }, ... }` in one line. */
export function json(results: readonly RowResult[]): string {
  const entries = results.map(({ row, troupe, limit, ratio }) => [
    row.name,
    { troupe: round(troupe.median, 1), limit: round(limit.median, 1), ratio: round(ratio, 3) },
  ]);
  return JSON.stringify(Object.fromEntries(entries));
}

function cells({ row, limit, troupe, ratio, isMet }: RowResult): readonly string[] {
  const verdict = isMet === undefined ? '' : isMet ? 'met' : 'missed';
  return [row.title, range(limit), range(troupe), ratio.toFixed(2), target(row), verdict];
}

function target({ target }: Row): string {
  switch (target.type) {
    case 'ratio-at-least':
      return `ratio >= ${target.ratio}`;
    case 'bytes-at-most':
      return `<= ${target.bytes} bytes`;
    case 'none':
      return '';
  }
}

function range({ median, min, max }: Summary): string {
  return `${amount(median)} (${amount(min)}-${amount(max)})`;
}

function amount(value: number): string {
  if (value >= 1_000_000) return `${(value / 1_000_000).toFixed(2)} M`;
  if (value >= 10_000) return `${(value / 1_000).toFixed(0)} k`;
  return value.toFixed(0);
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
