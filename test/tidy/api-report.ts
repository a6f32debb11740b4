/**
 * Compares the public types of every entry in package.json with the committed report docs/api/<entry>.api.md.
 * A difference fails; with `--update` the reports are rewritten. Needs a build in dist/.
 */
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { Extractor, ExtractorConfig } from '@microsoft/api-extractor';
import { ROOT, read } from './tree.ts';

const REPORTS = 'docs/api';

/** Entries with types, as `[report name, path of the declarations]`. */
function entries(): [name: string, types: string][] {
  const { name, exports } = JSON.parse(read('package.json')) as {
    name: string;
    exports: Record<string, string | { types: string }>;
  };
  return Object.entries(exports).flatMap(([entry, target]) =>
    typeof target === 'string' ? [] : [[entry.replace('.', name).replaceAll('/', '-'), target.types]],
  );
}

function matches(name: string, types: string, update: boolean): boolean {
  const file = join(ROOT, 'api-extractor.json');
  const configObject = ExtractorConfig.loadFile(file);
  configObject.mainEntryPointFilePath = join(ROOT, types);
  configObject.apiReport = { enabled: true, ...configObject.apiReport, reportFileName: `${name}.api.md` };
  const config = ExtractorConfig.prepare({
    configObject,
    configObjectFullPath: file,
    packageJsonFullPath: join(ROOT, 'package.json'),
  });
  const result = Extractor.invoke(config, { localBuild: update });
  return result.succeeded;
}

const update = process.argv.includes('--update');
const listed = entries();
if (listed.length === 0) throw new Error('package.json exports no entry with types.');
mkdirSync(join(ROOT, REPORTS), { recursive: true });

const failed = listed.filter(([name, types]) => {
  if (!existsSync(join(ROOT, types))) throw new Error(`${types} is missing. Run "npm run build" first.`);
  return !matches(name, types, update);
});
const known = new Set(listed.map(([name]) => `${name}.api.md`));
const stale = readdirSync(join(ROOT, REPORTS)).filter((file) => !known.has(file));

for (const [name] of failed) {
  console.error(`The public types differ from ${REPORTS}/${name}.api.md.`);
  console.error('If the change is meant, run "npm run api:update" and name it in CHANGELOG.md.');
}
for (const file of stale) console.error(`${REPORTS}/${file} belongs to no entry of package.json.`);
console.log(`${listed.length} entries compared`);
process.exitCode = failed.length + stale.length === 0 ? 0 : 1;
