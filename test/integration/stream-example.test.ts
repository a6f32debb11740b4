import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const EXAMPLE = 'examples/09-stream.ts';

describe('the example of a stream', () => {
  it('reads to the end, breaks off and aborts, and each time the writer hears of it', () => {
    const output = execFileSync('node_modules/.bin/tsx', [EXAMPLE], {
      cwd: ROOT,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    expect(output.trim().split('\n')).toEqual([
      'all',
      'there',
      'is',
      'to',
      'say',
      'about',
      'actors',
      'wrote 7 words',
      '{ words: 7 }',
      'stopped after 4 words',
      'Error: that is enough',
      'stopped after 5 words',
    ]);
  });

  it('is on the page about streams, word for word', () => {
    expect(readFileSync(`${ROOT}docs/streams.md`, 'utf8')).toContain(
      `\`\`\`ts\n${readFileSync(ROOT + EXAMPLE, 'utf8')}\`\`\``,
    );
  });
});
