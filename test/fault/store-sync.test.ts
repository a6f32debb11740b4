/**
 * Goal: nothing is acknowledged before the disk has it.
 * Method: `strace` shows the system calls of a program that appends; between two acknowledgements there must be a sync of the
 * data, and after it the synced write that makes the transaction valid. A store whose syncs are switched off must not pass.
 */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { runProgram } from '../support/run-program.ts';
import { callsOf, IS_REQUIRED, type SystemCall, straceProblem } from '../support/strace.ts';
import { temporaryFolders } from '../support/temporary-folder.ts';

vi.setConfig({ testTimeout: 120_000 });

const problem = straceProblem();
const newFolder = temporaryFolders();

/** What a trace says about the acknowledgements in it. */
interface Verdict {
  /** Writes of the program that acknowledge appends: one for each batch. */
  acknowledgements: number;
  appends: number;
  syncs: number;
  /** Acknowledgements without a sync since the one before. */
  unsynced: number;
  /** Acknowledgements without a write, synced by itself, of the page that makes a transaction valid, after that sync. */
  unmarked: number;
}

/** Reads a trace. */
function judge(calls: readonly SystemCall[]): Verdict {
  const verdict: Verdict = { acknowledgements: 0, appends: 0, syncs: 0, unsynced: 0, unmarked: 0 };
  let isSynced = false;
  let isMarked = false;
  let head = 'none';
  for (const { name, text } of calls) {
    const descriptor = text.split(/[,)]/)[0];
    if (name === 'openat' && text.includes('data.mdb') && text.includes('O_DSYNC')) {
      head = text.split(' = ').at(-1) ?? head;
    } else if (isSync(name, text)) {
      verdict.syncs++;
      isSynced = true;
    } else if (name === 'pwrite64' && descriptor === head && isSynced) {
      isMarked = true;
    } else if (name === 'write' && text.startsWith('1, "append')) {
      verdict.acknowledgements++;
      verdict.appends += text.split('append ').length - 1;
      if (!isSynced) verdict.unsynced++;
      if (!isMarked) verdict.unmarked++;
      isSynced = false;
      isMarked = false;
    } else if (name === 'write' && text.startsWith('1, "open')) {
      // What was synced so far belongs to the opening.
      verdict.syncs = 0;
      isSynced = false;
      isMarked = false;
    }
  }
  return verdict;
}

function isSync(name: string, text: string): boolean {
  if (!text.trimEnd().endsWith('= 0')) return false;
  return name === 'fsync' || name === 'fdatasync' || (name === 'msync' && text.includes('MS_SYNC'));
}

async function traced(options: readonly string[]): Promise<Verdict> {
  const folder = await newFolder();
  const trace = join(await newFolder(), 'trace');
  const watched = 'trace=openat,write,pwrite64,fsync,fdatasync,msync';
  const strace = ['strace', '-f', '-s', '100000', '-e', watched, '-o', trace];
  const program = runProgram('store-program', [folder, 'traced', ...options], undefined, strace);
  const { code, errors, lines } = await program.ended;
  expect({ code, errors, last: lines.at(-1) }).toEqual({ code: 0, errors: '', last: 'closed' });
  return judge(callsOf(await readFile(trace, 'utf8')));
}

describe('strace', () => {
  const trouble = problem === undefined ? '' : `: ${problem}`;
  it.skipIf(problem !== undefined && !IS_REQUIRED)(`can count the syncs of a store here${trouble}`, () => {
    expect(problem).toBeUndefined();
  });
});

describe.skipIf(problem !== undefined)('the syncs of a store, counted', () => {
  it.each([
    ['one append at a time', ['--appends', '100', '--publishers', '1'], 100],
    ['many at once', ['--appends', '3000', '--publishers', '100'], 3_000],
  ])('are at least one for each acknowledged batch, before it: %s', async (_, options, appends) => {
    const verdict = await traced(options);
    expect(verdict).toMatchObject({ appends, unsynced: 0, unmarked: 0 });
    expect(verdict.syncs).toBeGreaterThanOrEqual(verdict.acknowledgements);
    // Batches share a sync; a lone append has one of its own.
    if (appends === 100) expect(verdict.acknowledgements).toBe(100);
    else expect(verdict.acknowledgements).toBeLessThan(appends / 10);
  });

  it('are missed when they are switched off', async () => {
    const { appends, acknowledgements, syncs, unsynced } = await traced([
      '--appends',
      '500',
      '--publishers',
      '20',
      '--unsynced',
    ]);
    expect({ appends, syncs }).toEqual({ appends: 500, syncs: 0 });
    expect(unsynced).toBe(acknowledgements);
  });
});
