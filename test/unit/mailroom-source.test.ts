import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { mailsOfMbox } from '../../examples/mailroom/mbox.ts';
import {
  readSource,
  SourceError,
  type SourceItem,
  type SourceOptions,
} from '../../examples/mailroom/source.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mailroom-source-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

function write(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

async function read(path: string, options?: SourceOptions): Promise<SourceItem[]> {
  const items: SourceItem[] = [];
  for await (const item of readSource(path, options)) items.push(item);
  return items;
}

/** Items with their bytes as text. */
async function readText(path: string, options?: SourceOptions): Promise<unknown[]> {
  const items = await read(path, options);
  return items.map((item) =>
    item.type === 'mail' ? [item.name, Buffer.from(item.bytes).toString('latin1')] : item,
  );
}

async function failure(path: string, options?: SourceOptions): Promise<SourceError> {
  const outcome: unknown = await read(path, options).catch((error: unknown) => error);
  if (outcome instanceof SourceError) return outcome;
  throw new Error('The source was read.');
}

const mail = 'From: a@b\nDate: now\n\nhello\n';

describe('mail source', () => {
  it('refuses a missing path by its name', async () => {
    const error = await failure(join(folder, 'nowhere'));
    expect(error.failure).toBe('missing');
    expect(error.message).toContain(join(folder, 'nowhere'));
  });

  it('refuses an empty folder, and one that holds only folders and hidden files', async () => {
    expect((await failure(folder)).failure).toBe('empty');
    mkdirSync(join(folder, 'below'));
    write('.hidden', mail);
    expect((await failure(folder)).failure).toBe('empty');
  });

  it('refuses a folder of too many files', async () => {
    write('a.eml', mail);
    write('b.eml', mail);
    expect((await failure(folder, { filesMax: 1 })).failure).toBe('too-many-files');
    expect(await read(folder, { filesMax: 2 })).toHaveLength(2);
  });

  it('refuses a binary or empty file that was named itself', async () => {
    const picture = write('picture.png', Uint8Array.of(137, 80, 78, 71, 0, 0, 0, 13));
    expect((await failure(picture)).message).toContain('binary');
    expect((await failure(write('nothing.eml', ''))).message).toContain('empty');
  });

  it.skipIf(process.platform === 'win32')('refuses what is neither folder nor file', async () => {
    expect((await failure('/dev/null')).failure).toBe('not-mail');
  });

  it('reads the files of a folder in order of name, bytes unchanged', async () => {
    write('b.eml', `${mail}\xe9`);
    write('a.eml', Buffer.from('From: \xff\r\n', 'latin1'));
    expect((await read(folder)).map(({ name, type }) => [name, type])).toEqual([
      ['a.eml', 'mail'],
      ['b.eml', 'mail'],
    ]);
    expect((await readText(folder))[0]).toEqual(['a.eml', 'From: \xff\r\n']);
  });

  it('goes on after a file that cannot be read', async () => {
    write('a.bin', Uint8Array.of(0, 1, 2));
    write('b.eml', '');
    symlinkSync(join(folder, 'gone'), join(folder, 'c.eml'));
    write('d.eml', mail);
    expect((await read(folder)).map(({ type }) => type)).toEqual([
      'unreadable',
      'unreadable',
      'unreadable',
      'mail',
    ]);
  });

  it('names an oversize file and its size instead of reading it', async () => {
    write('a.eml', 'x'.repeat(101));
    write('b.eml', 'x'.repeat(100));
    const [first, second] = await read(folder, { mailSizeBytes: 100 });
    expect(first).toEqual({ type: 'oversize', name: 'a.eml', sizeBytes: 101 });
    expect(second?.type).toBe('mail');
  });

  it('reads a single mail, also one stored with its separator line', async () => {
    expect(await readText(write('a.txt', mail))).toEqual([['a.txt', mail]]);
    expect(await readText(write('b.eml', `From a now\n${mail}`))).toEqual([['b.eml', `From a now\n${mail}`]]);
  });

  it('reads an mbox mail by mail, alone and in a folder', async () => {
    const path = write('inbox', `From a now\n${mail}\nFrom b now\nFrom: c@d\n\n>From here\nFrom here\n`);
    const mails = [
      ['inbox#1', `${mail}\n`],
      ['inbox#2', 'From: c@d\n\nFrom here\nFrom here\n'],
    ];
    expect(await readText(path)).toEqual(mails);
    expect(await readText(folder)).toEqual(mails);
  });

  it('counts an oversize mail of an mbox and goes on with the next', async () => {
    const path = write('inbox', `From a now\n${'x'.repeat(300)}\n\nFrom b now\n${mail}`);
    expect(await readText(path, { mailSizeBytes: 100 })).toEqual([
      { type: 'oversize', name: 'inbox#1', sizeBytes: 302 },
      ['inbox#2', mail],
    ]);
  });
});

describe('mbox reader', () => {
  async function split(text: string, chunkBytes: number, mailSizeBytes = 1_000_000): Promise<string[]> {
    async function* chunks(): AsyncGenerator<Buffer> {
      for (let at = 0; at < text.length; at += chunkBytes)
        yield Buffer.from(text.slice(at, at + chunkBytes), 'latin1');
    }
    const mails: string[] = [];
    for await (const { bytes } of mailsOfMbox(chunks(), mailSizeBytes)) {
      mails.push(bytes === undefined ? 'oversize' : Buffer.from(bytes).toString('latin1'));
    }
    return mails;
  }

  it('takes a separator only after an empty line', async () => {
    const mbox = 'From a\none\nFrom b\n\r\nFrom c\r\n\nFrom d';
    expect(await split(mbox, 100)).toEqual(['one\nFrom b\n\r\n', '\n', '']);
  });

  it('takes one > off a quoted separator and leaves other lines', async () => {
    expect(await split('From a\n>From x\n>>From y\n> From z\n>Fromage\n', 100)).toEqual([
      'From x\n>From y\n> From z\n>Fromage\n',
    ]);
  });

  it('passes a line of any length on, and finds no separator inside it', async () => {
    const long = `${'x'.repeat(200_000)}From b\n`;
    expect(await split(`From a\n\n${long}`, 65_536)).toEqual([`\n${long}`]);
    const cut = `${'x'.repeat(2 * 65_536 - 8)}>From b\n`;
    expect(await split(`From a\n\n${cut}`, 65_536)).toEqual([`\n${cut}`]);
    expect(await split(`From a\n\n${long}\nFrom c\ny`, 65_536, 1_000)).toEqual(['oversize', 'y']);
  });

  it('gives back every mail that was quoted as mboxrd, however the stream is cut', async () => {
    const line = fc.constantFrom('', 'From x', '>From x', '>>From', 'text', '\r', ' From ');
    const mails = fc.array(fc.array(line, { maxLength: 6 }), { minLength: 1, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(mails, fc.integer({ min: 1, max: 20 }), async (written, chunkBytes) => {
        const bodies = written.map((lines) => `${lines.join('\n')}\n\n`);
        const mbox = bodies.map((body) => `From a\n${body.replace(/^(>*From )/gm, '>$1')}`).join('');
        expect(await split(mbox, chunkBytes)).toEqual(bodies);
      }),
      { numRuns: 300 },
    );
  });
});
