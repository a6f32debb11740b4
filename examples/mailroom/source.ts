/**
 * One's own mail as an asynchronous stream: a folder of mails, an mbox file, or a single mail.
 *
 * What cannot be opened at all throws `SourceError`, with what to do about it. A single bad file among others does not end the
 * run: it is an item that says what is wrong. Memory is bounded whatever the input: one mail at a time, a mail over the limit
 * is counted and not kept, and an mbox is read in pieces. Labels are unknown: nothing is guessed from names.
 */
import { createReadStream, type Stats } from 'node:fs';
import { opendir, readFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { MAIL_LIMITS } from './mail-limits.ts';
import { mailsOfMbox } from './mbox.ts';

/** One thing found in a source. */
export type SourceItem =
  | { readonly type: 'mail'; readonly name: string; readonly bytes: Uint8Array }
  /** A mail over the size limit; its bytes are not kept. */
  | { readonly type: 'oversize'; readonly name: string; readonly sizeBytes: number }
  /** A file that is no mail, or that cannot be read. */
  | { readonly type: 'unreadable'; readonly name: string; readonly reason: string };

/** Why a source cannot be used. */
export type SourceFailure = 'missing' | 'empty' | 'not-mail' | 'not-permitted' | 'too-many-files';

/** A source that cannot be used at all; `message` says what to do. */
export class SourceError extends Error {
  override readonly name = 'SourceError';
  readonly failure: SourceFailure;
  readonly path: string;

  constructor(failure: SourceFailure, path: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.failure = failure;
    this.path = path;
  }
}

/** Options of `readSource`. */
export interface SourceOptions {
  /** Largest mail that is read; larger ones become `oversize`. */
  readonly mailSizeBytes?: number;
  /** Most files of a folder; a folder with more is refused, for its names are sorted in memory. */
  readonly filesMax?: number;
}

const FILES_MAX = 100_000;
/** Mail is text: a NUL byte in its first 4 KiB means an image, an archive, a database or UTF-16. */
const PROBE_BYTES = 4_096;

/**
 * Reads mails from a folder (its files in order of name, not those below it, hidden ones left out), an mbox or a single mail.
 * Throws `SourceError` when the path is missing, may not be read, holds no mail, or is no mail.
 */
export async function* readSource(path: string, options: SourceOptions = {}): AsyncGenerator<SourceItem> {
  const limits = {
    mailSizeBytes: options.mailSizeBytes ?? MAIL_LIMITS.mailSizeBytes,
    filesMax: options.filesMax ?? FILES_MAX,
  };
  const entry = await statSource(path);
  if (entry.isDirectory()) {
    yield* readFolder(path, limits);
  } else if (entry.isFile()) {
    yield* readOnlyFile(path, entry, limits.mailSizeBytes);
  } else {
    throw new SourceError(
      'not-mail',
      path,
      `${path} is neither a folder nor a file. Name a folder of mails or an mbox file.`,
    );
  }
}

async function statSource(path: string): Promise<Stats> {
  try {
    return await stat(path);
  } catch (cause) {
    throw unusable(path, cause);
  }
}

function unusable(path: string, cause: unknown): SourceError {
  const code = errorCode(cause);
  if (code === 'EACCES' || code === 'EPERM') {
    return new SourceError('not-permitted', path, `${path} may not be read. Check its permissions.`, {
      cause,
    });
  }
  const message = `${path} cannot be opened (${code}). Name a folder of mails or an mbox file that exists.`;
  return new SourceError('missing', path, message, { cause });
}

async function* readFolder(folder: string, limits: Required<SourceOptions>): AsyncGenerator<SourceItem> {
  const names = await listFiles(folder, limits.filesMax);
  if (names.length === 0) {
    throw new SourceError(
      'empty',
      folder,
      `${folder} holds no files. Name a folder of mails (.eml) or an mbox file.`,
    );
  }
  for (const name of names) {
    try {
      const entry = await stat(join(folder, name));
      if (entry.isFile()) yield* readFileItems(join(folder, name), entry, limits.mailSizeBytes);
    } catch (error) {
      yield { type: 'unreadable', name, reason: `cannot be read (${errorCode(error)})` };
    }
  }
}

/** Names of what may be files, sorted. A link is followed later, when its turn has come. */
async function listFiles(folder: string, filesMax: number): Promise<string[]> {
  const names: string[] = [];
  try {
    for await (const entry of await opendir(folder)) {
      if (entry.name.startsWith('.') || !(entry.isFile() || entry.isSymbolicLink())) continue;
      names.push(entry.name);
      if (names.length > filesMax) {
        throw new SourceError(
          'too-many-files',
          folder,
          `${folder} holds more than ${filesMax} files. Split it.`,
        );
      }
    }
  } catch (error) {
    throw error instanceof SourceError ? error : unusable(folder, error);
  }
  return names.sort();
}

/** A file that was named itself: if it is no mail, there is nothing else to go on with. */
async function* readOnlyFile(path: string, entry: Stats, mailSizeBytes: number): AsyncGenerator<SourceItem> {
  try {
    for await (const item of readFileItems(path, entry, mailSizeBytes)) {
      if (item.type === 'unreadable')
        throw new SourceError('not-mail', path, `${path} is no mail: ${item.reason}.`);
      yield item;
    }
  } catch (error) {
    throw error instanceof SourceError ? error : unusable(path, error);
  }
}

async function* readFileItems(path: string, entry: Stats, mailSizeBytes: number): AsyncGenerator<SourceItem> {
  const name = basename(path);
  const probe = await readStart(path, PROBE_BYTES);
  if (probe.length === 0) {
    yield { type: 'unreadable', name, reason: 'the file is empty' };
  } else if (probe.includes(0)) {
    yield { type: 'unreadable', name, reason: 'a NUL byte near its start says that it is binary' };
  } else if (isMbox(name, probe)) {
    for await (const mail of mailsOfMbox(createReadStream(path), mailSizeBytes)) {
      const numbered = `${name}#${mail.number}`;
      if (mail.bytes === undefined) yield { type: 'oversize', name: numbered, sizeBytes: mail.sizeBytes };
      else yield { type: 'mail', name: numbered, bytes: mail.bytes };
    }
  } else if (entry.size > mailSizeBytes) {
    yield { type: 'oversize', name, sizeBytes: entry.size };
  } else {
    yield { type: 'mail', name, bytes: await readFile(path) };
  }
}

/** An mbox begins with a separator line. One stored mail may too; then it is an mbox of one, unless its name says `.eml`. */
function isMbox(name: string, probe: Buffer): boolean {
  return !name.toLowerCase().endsWith('.eml') && probe.toString('latin1', 0, 5) === 'From ';
}

async function readStart(path: string, sizeBytes: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of createReadStream(path, { end: sizeBytes - 1 })) pieces.push(piece);
  return Buffer.concat(pieces);
}

function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
}
