/**
 * Draws the demo's sample from the public SpamAssassin corpus and packs it under `data/`:
 *
 *     npx tsx examples/mailroom/prepare/prepare.ts
 *
 * Two runs write the same bytes. The corpus is needed here only; the demo and the tests read the packed sample.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { brotliCompressSync, constants } from 'node:zlib';
import { packSample, type SampleManifest } from '../sample.ts';
import { PACKAGE, PACKAGE_VERSION, readCorpus } from './corpus.ts';
import { drawSample } from './draw.ts';

const SEED = 20_020_822;
const MAILS = 1_200;
const DATA = new URL('../data/', import.meta.url);

const { mails, corpus, sample } = drawSample(readCorpus(), { mails: MAILS, seed: SEED });
const content = packSample(mails);
const packed = brotliCompressSync(content, {
  params: {
    [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
    // The widest window, 16 MiB: replies quote mails that lie far apart.
    [constants.BROTLI_PARAM_LGWIN]: constants.BROTLI_MAX_WINDOW_BITS,
    [constants.BROTLI_PARAM_SIZE_HINT]: content.length,
  },
});
const manifest: SampleManifest = {
  package: PACKAGE,
  packageVersion: PACKAGE_VERSION,
  licence:
    'Data: PDDL 1.0 (Open Data Commons Public Domain Dedication and License). Contents: CC0 1.0 Universal.',
  seed: SEED,
  corpus,
  sample,
  sha256: createHash('sha256').update(packed).digest('hex'),
};

mkdirSync(DATA, { recursive: true });
writeFileSync(new URL('sample.bin.br', DATA), packed);
writeFileSync(new URL('manifest.json', DATA), `${JSON.stringify(manifest, undefined, 2)}\n`);
console.log(
  JSON.stringify(
    { ...manifest, contentSizeBytes: content.length, packedSizeBytes: packed.length },
    undefined,
    2,
  ),
);
