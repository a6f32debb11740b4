/**
 * The sample of real mails that the demo runs on, as the prepare script packs it and as everyone else reads it.
 *
 * `sample.bin.br` is brotli over: one line of JSON (an entry for each mail: name, label, size), then the mails' raw bytes one
 * after the other. `manifest.json` beside it says where the mails come from and holds the file's SHA-256.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { brotliDecompressSync } from 'node:zlib';
import type { Label } from './bayes.ts';

/** One mail of the sample. */
export interface SampleMail {
  /** Folder and file name in the corpus, such as `spam-1/00001.7848dde101aa985090474a91ec93fcf0.txt`. */
  readonly name: string;
  /** By the folder the mail lies in. */
  readonly label: Label;
  /** Exactly as in the corpus. */
  readonly bytes: Uint8Array;
}

/** What is known about the sample; see `prepare/prepare.ts` for how it was drawn. */
export interface SampleManifest {
  readonly package: string;
  readonly packageVersion: string;
  readonly licence: string;
  readonly seed: number;
  /** Mails in the corpus and in the sample, by stratum; poison is what the strict parser refuses, whatever its label. */
  readonly corpus: StrataCounts;
  readonly sample: StrataCounts;
  /** Of the packed file, in hexadecimal. */
  readonly sha256: string;
}

/** Mails by stratum. */
export interface StrataCounts {
  readonly spam: number;
  readonly ham: number;
  readonly poison: number;
}

/** The sample cannot be used: missing, damaged, or not the file its manifest describes. */
export class SampleDamaged extends Error {
  override readonly name = 'SampleDamaged';
}

const DATA = new URL('./data/', import.meta.url);

/** Reads the manifest. Throws `SampleDamaged` when it is missing or no manifest. `folder` is a URL that ends in `/`. */
export function readManifest(folder: URL = DATA): SampleManifest {
  try {
    const manifest: unknown = JSON.parse(readFileSync(new URL('manifest.json', folder), 'utf8'));
    if (isManifest(manifest)) return manifest;
  } catch (cause) {
    throw new SampleDamaged(`The sample's manifest cannot be read. ${REMEDY}`, { cause });
  }
  throw new SampleDamaged(`The sample's manifest lacks its counts or its sha256. ${REMEDY}`);
}

/** Reads the sample, in the seeded order it was packed in. Throws `SampleDamaged` unless every byte is as the manifest says. */
export function readSample(folder: URL = DATA): SampleMail[] {
  const manifest = readManifest(folder);
  const packed = readPacked(folder);
  const sha256 = createHash('sha256').update(packed).digest('hex');
  if (sha256 !== manifest.sha256) {
    throw new SampleDamaged(
      `The sample's SHA-256 is ${sha256}; its manifest says ${manifest.sha256}. ${REMEDY}`,
    );
  }
  return unpackSample(brotliDecompressSync(packed));
}

/** The bytes that are compressed into `sample.bin.br`. */
export function packSample(mails: readonly SampleMail[]): Buffer {
  const index = mails.map(({ name, label, bytes }) => ({ name, label, sizeBytes: bytes.length }));
  return Buffer.concat([Buffer.from(`${JSON.stringify(index)}\n`), ...mails.map(({ bytes }) => bytes)]);
}

/** The reverse of `packSample`. Throws `SampleDamaged` when index and bytes disagree. */
export function unpackSample(content: Buffer): SampleMail[] {
  const mails: SampleMail[] = [];
  let position = content.indexOf('\n') + 1;
  for (const { name, label, sizeBytes } of readIndex(content.toString('utf8', 0, position))) {
    mails.push({ name, label, bytes: content.subarray(position, position + sizeBytes) });
    position += sizeBytes;
  }
  if (position !== content.length) {
    throw new SampleDamaged(
      `The sample's index counts ${position} bytes; it has ${content.length}. ${REMEDY}`,
    );
  }
  return mails;
}

const REMEDY =
  'Restore examples/mailroom/data from the repository, or run examples/mailroom/prepare/prepare.ts.';

function readPacked(folder: URL): Buffer {
  try {
    return readFileSync(new URL('sample.bin.br', folder));
  } catch (cause) {
    throw new SampleDamaged(`The sample cannot be read. ${REMEDY}`, { cause });
  }
}

interface IndexEntry {
  readonly name: string;
  readonly label: Label;
  readonly sizeBytes: number;
}

function readIndex(line: string): IndexEntry[] {
  let index: unknown;
  try {
    index = JSON.parse(line);
  } catch (cause) {
    throw new SampleDamaged(`The sample's index is no JSON. ${REMEDY}`, { cause });
  }
  if (Array.isArray(index) && index.every(isIndexEntry)) return index;
  throw new SampleDamaged(`The sample's index is malformed. ${REMEDY}`);
}

function isIndexEntry(entry: unknown): entry is IndexEntry {
  if (typeof entry !== 'object' || entry === null) return false;
  const { name, label, sizeBytes } = entry as Partial<IndexEntry>; // Each property is checked below.
  const isLabel = label === 'spam' || label === 'ham';
  return typeof name === 'string' && isLabel && Number.isSafeInteger(sizeBytes) && Number(sizeBytes) >= 0;
}

function isManifest(value: unknown): value is SampleManifest {
  if (typeof value !== 'object' || value === null) return false;
  const { sha256, sample, corpus } = value as Partial<SampleManifest>; // Each property is checked below.
  return typeof sha256 === 'string' && isStrata(sample) && isStrata(corpus);
}

function isStrata(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { spam, ham, poison } = value as Partial<StrataCounts>; // Each property is checked here.
  return [spam, ham, poison].every((count) => Number.isSafeInteger(count));
}
