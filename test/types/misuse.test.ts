/**
 * Misuse must not compile, and the compiler must say so shortly: on each marked line, on both compilers, the first line of
 * the message has at most 200 characters and the last one names the mistake. Unmarked lines, the right uses, have no error.
 */

import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';

const FIRST_LINE_CHARACTERS_MAX = 200;
const COMPILE_TIMEOUT_MS = 120_000;

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const COMPILERS = {
  '7.0.2': 'node_modules/typescript/bin/tsc',
  '5.9': 'node_modules/typescript-5.9/bin/tsc',
};

interface Mistake {
  readonly place: string;
  readonly code: string;
  readonly expected: string;
}

interface Complaint {
  readonly place: string;
  /** The message, from its first line to the last of its chain. */
  readonly lines: readonly string[];
}

/** The lines below a comment `error: text`. */
function mistakesIn(file: string): Mistake[] {
  const lines = readFileSync(`${ROOT}test/types/misuse/${file}`, 'utf8').split('\n');
  return lines.flatMap((line, index) => {
    const expected = /^\s*\/\/ error: (.+)$/.exec(line)?.[1];
    return expected === undefined
      ? []
      : [{ place: `${file}:${index + 2}`, code: lines[index + 1]?.trim() ?? '', expected }];
  });
}

function compile(compiler: string): Promise<readonly Complaint[]> {
  return new Promise((resolve, reject) => {
    const args = [compiler, '-p', 'test/types/misuse/tsconfig.json', '--pretty', 'false'];
    const child = spawn(process.execPath, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk;
    });
    child.on('error', reject).on('close', () => resolve(parse(output)));
  });
}

function parse(output: string): Complaint[] {
  const complaints: { place: string; lines: string[] }[] = [];
  for (const line of output.split('\n')) {
    const start = /^(?:.*\/)?([^/]+)\((\d+),\d+\): error TS\d+: (.*)$/.exec(line);
    if (start?.[3] !== undefined) complaints.push({ place: `${start[1]}:${start[2]}`, lines: [start[3]] });
    else if (line.trim() !== '') complaints.at(-1)?.lines.push(line.trim());
  }
  return complaints;
}

const files = readdirSync(`${ROOT}test/types/misuse`).filter((file) => file.endsWith('.ts'));
const mistakes = files.flatMap(mistakesIn);

describe.each(Object.entries(COMPILERS))('misuse, on TypeScript %s', (_version, compiler) => {
  let complaints: readonly Complaint[] = [];

  beforeAll(async () => {
    complaints = await compile(compiler);
  }, COMPILE_TIMEOUT_MS);

  it('is refused on the marked lines, and nothing else is', () => {
    const marked = new Set(mistakes.map((mistake) => mistake.place));
    expect(marked.size).toBeGreaterThanOrEqual(50);
    expect(complaints.filter(({ place }) => !marked.has(place))).toEqual([]);
  });

  it.each(mistakes)('is refused shortly and by its name at $place: $code', ({ place, expected }) => {
    const complaint = complaints.find((each) => each.place === place);
    expect(complaint?.lines.at(-1)).toContain(expected);
    expect(complaint?.lines[0]?.length).toBeLessThanOrEqual(FIRST_LINE_CHARACTERS_MAX);
  });
});
