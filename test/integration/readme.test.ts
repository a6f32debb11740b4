import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const BUS = 'examples/00-bus.ts';
const AGENT = 'examples/01-first-agent.ts';

function linesOf(example: string): string[] {
  const output = execFileSync('node_modules/.bin/tsx', [example], {
    cwd: ROOT,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  return output.trim().split('\n');
}

describe('the programs of the README', () => {
  it('are the first two examples, word for word', () => {
    const readme = readFileSync(`${ROOT}README.md`, 'utf8');
    const programs = [...readme.matchAll(/```ts\n([\s\S]*?)```/g)].map((match) => match[1]);
    expect(programs).toEqual([BUS, AGENT].map((example) => readFileSync(ROOT + example, 'utf8')));
  });

  it('show a bus that does what its comments say', () => {
    expect(linesOf(BUS)).toEqual([
      "agent.events { status: 'ready' } normal",
      "agent.alerts { disk: 'full' } critical",
      'agent.tasks divide by zero normal',
      '1 1 handler-failed',
      '42',
    ]);
  });

  it('show an agent that does what its comments say', () => {
    const [first, second, third] = linesOf(AGENT);
    expect([first, third]).toEqual(['1', '0']);
    expect(second).toContain("/root/judge#1 failed while it handled 'score'");
  });
});
