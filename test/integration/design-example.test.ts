import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const EXAMPLE = `${ROOT}test/types/misuse/example.ts`;

/** What the example takes from its surroundings, and a look at what came of it. */
const SURROUNDINGS: readonly (readonly [declared: string, defined: string])[] = [
  [
    'declare function judge(body: string, signal: AbortSignal): Promise<number>;',
    "const judge = async (body: string, _signal: AbortSignal) => (body.includes('offer') ? 0.9 : 0.1);",
  ],
  ['declare const mail: { id: string; body: string };', "const mail = { id: '7', body: 'an offer' };"],
  ['declare const signal: AbortSignal;', 'const signal = new AbortController().signal;'],
  ['process.stdout.write(part)', 'console.log(part)'],
  [
    'await spam.unsubscribe();',
    'console.log(JSON.stringify(verdict), JSON.stringify(system.inspect(ref)?.counts), system.deadLetters.stats().total);\nawait spam.unsubscribe();',
  ],
];

describe('the example of the documentation', () => {
  it('runs as it stands there, and answers', () => {
    const folder = mkdtempSync(join(tmpdir(), 'troupe-example-'));
    try {
      let program = readFileSync(EXAMPLE, 'utf8');
      for (const [declared, defined] of SURROUNDINGS) {
        expect(program).toContain(declared);
        program = program.replace(declared, defined);
      }
      writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
      symlinkSync(`${ROOT}node_modules`, join(folder, 'node_modules'), 'junction');
      writeFileSync(join(folder, 'example.ts'), program);
      const tsx = `${ROOT}node_modules/.bin/tsx`;
      const output = execFileSync(tsx, ['--tsconfig', `${ROOT}tsconfig.json`, join(folder, 'example.ts')], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      const [first, second, last = ''] = output.trim().split('\n');
      expect([first, second]).toEqual(['mail 1 looks like ', 'bulk advertising']);
      const [verdict = '', counts = '', dead] = last.split(' ');
      expect(JSON.parse(verdict)).toEqual({ label: 'spam', score: 0.9 });
      // Told, sent, asked, streamed, and its own verdict that came back as `learn`; the ham verdict was not for it.
      expect(JSON.parse(counts)).toMatchObject({ accepted: 5, failed: 0 });
      expect(dead).toBe('0');
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
