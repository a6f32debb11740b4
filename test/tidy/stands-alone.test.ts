import { isUtf8 } from 'node:buffer';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { files, ROOT } from './tree.ts';

// Put together from parts, so that this file does not find itself.
// /root is not among them: it is where a system's own tree begins.
const FOLDERS = ['work', 'home', 'Users'];
const MACHINE_PATH = new RegExp(`(?<![\\w.\\-/:*{}$)\\]])/(${FOLDERS.join('|')})/\\w`);
const REGISTRY_HOST = new RegExp(
  `registry${'\\.'}(npmjs|yarnpkg)|https?://[^/\\s"']*(registry|artifactory|nexus)\\b`,
);

function problemsIn(text: string): string[] {
  return text
    .split('\n')
    .flatMap((line, index) =>
      MACHINE_PATH.test(line) || REGISTRY_HOST.test(line) ? [`line ${index + 1}`] : [],
    );
}

describe('the tree stands alone', () => {
  it('names no path of a machine and no registry host', () => {
    const found: string[] = [];
    let looked = 0;
    for (const path of files()) {
      const bytes = readFileSync(join(ROOT, path));
      if (!isUtf8(bytes)) continue;
      looked++;
      found.push(...problemsIn(bytes.toString('utf8')).map((line) => `${path} ${line}`));
    }
    expect(looked).toBeGreaterThan(20);
    expect(found).toEqual([]);
  });

  it('tells a path of a machine from an address, a URL and a relative path', () => {
    for (const folder of FOLDERS) {
      expect(problemsIn(`see /${folder}/somebody/file`), folder).toHaveLength(1);
      expect(problemsIn(`https://example.org/${folder}/file ./${folder}/file a/${folder}/b`), folder).toEqual(
        [],
      );
    }
    expect(problemsIn(`https://${['registry', 'npmjs', 'org'].join('.')}/x`)).toHaveLength(1);
    expect(problemsIn('registry.lookup(name)')).toEqual([]);
  });
});
