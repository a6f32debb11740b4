import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

describe('the example of a trace', () => {
  it('draws thought, message, tool call and error of four agents as one trace', () => {
    const output = execFileSync('node_modules/.bin/tsx', ['examples/05-trace-waterfall.ts'], {
      cwd: ROOT,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const lines = output.trim().split('\n');
    // Titles and errors; bars and times are those of the run.
    const rows = lines.map((line) => line.replace(/ +[█▒]+ +\d+ ms/, '').trimEnd());
    expect(rows).toEqual([
      '17 spans, 1 trace',
      'question',
      '  message: answer -> planner',
      '    planner: answer',
      '      thought: which place?',
      '      message: research -> researcher',
      '        researcher: research',
      '          message: open -> browser  ERR_ACTOR_FAILED',
      '            browser: open  404',
      '              tool call: fetch  404',
      '              error: dead letter open  404',
      '              restart browser',
      '          message: note -> scribe',
      '            scribe: note',
      '          message: open -> browser',
      '            browser: open',
      '              tool call: fetch',
      '      thought: put it into words',
      '',
      'In Oslo: rain, 11 degrees.',
    ]);
    const bars = lines.slice(1, -2).map((line) => /[█▒]+/.exec(line)?.index ?? -1);
    expect(Math.min(...bars)).toBe(49);
    expect(lines.filter((line) => line.includes('▒'))).toHaveLength(4);
  });
});
