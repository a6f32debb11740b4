import { execFile } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { startRedis } from '../support/servers/redis.ts';
import type { TestServer } from '../support/servers/server.ts';
import { useServer } from '../support/servers/use-server.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
/** A run that takes longer hangs. */
const RUN_MS = 60_000;
vi.setConfig({ testTimeout: 2 * RUN_MS });
const folder = mkdtempSync(join(tmpdir(), 'mailroom-'));

afterAll(() => rmSync(folder, { recursive: true }));

/** One process does all the work: what is tested has nothing to do with others. */
const HERE = ['--workers', '0'];

interface Ending {
  readonly exitCode: number | string | null | undefined;
  readonly output: string;
  readonly errors: string;
}

/** Runs the demo of a tree as a child process whose output is piped. */
function runDemo(
  args: readonly string[],
  { tree = ROOT, environment = {} }: { tree?: string; environment?: Record<string, string> } = {},
): Promise<Ending> {
  const tsx = join(tree, 'node_modules/.bin/tsx');
  const { LLM_BASE_URL: _, ...inherited } = process.env;
  return new Promise((resolve) => {
    execFile(
      tsx,
      ['examples/mailroom/main.ts', ...args],
      { cwd: tree, timeout: RUN_MS, env: { ...inherited, ...environment } },
      (error, output, errors) => resolve({ exitCode: error === null ? 0 : error.code, output, errors }),
    );
  });
}

/** The figures of a line of the table, by the line's first words. */
function figures(output: string, label: string): number[] {
  const line = output.split('\n').find((each) => each.startsWith(` ${label} `)) ?? '';
  return [...line.slice(label.length + 1).matchAll(/\d[\d,]*/g)].map(([text]) =>
    Number(text.replaceAll(',', '')),
  );
}

const HEADER = 'From: Ada <ada@example.org>\nDate: Mon, 1 Jan 2024 10:00:00 +0000\n';
const LUNCH = `${HEADER}Subject: lunch\n\nShall we have lunch on Friday?\n`;
const POISON = `${HEADER}Subject: poison\nContent-Type: text/plain; charset=nonsense\n\nCaf\u00e9?\n`;
const SEPARATOR = 'From ada@example.org Mon Jan  1 10:00:00 2024\n';

function write(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

function subfolder(name: string): string {
  const path = join(folder, name);
  mkdirSync(path);
  return path;
}

describe.concurrent('the mailroom on its sample', () => {
  it('handles 1,200 real mails, waits, crashes and restarts, and its books agree', async () => {
    const { exitCode, output, errors } = await runDemo([]);
    expect(errors).toBe('');
    expect(output).toContain('All sums agree');
    expect(exitCode).toBe(0);

    const total = (label: string): number => figures(output, label).at(-1) ?? Number.NaN;
    expect(total('in')).toBe(1_200);
    expect(total('handled')).toBe(1_147);
    expect(total('dead letters')).toBe(53);
    expect(total('handled + dead letters')).toBe(1_200);

    const [crashes, restarts] = figures(output, 'workers');
    const givenUp = figures(output, `${' '.repeat(12)}`)[0];
    expect(crashes).toBe(53);
    expect((restarts ?? 0) + (givenUp ?? 0)).toBe(53);
    // Four parsers, each given up at its fourth crash: after 16, 32 and 48 none was left.
    expect(output).toContain('3 times none was left: the pool began anew and kept its queue');
    expect(figures(output, 'intake')[0]).toBeGreaterThan(0);
    for (const priority of ['critical (alerts)', 'urgent', 'normal', 'background'])
      expect(figures(output, priority)[0], priority).toBeGreaterThan(0);
    expect(output).toContain('eight-bit-in-ascii RFC 2046 section 4.1.2');
    expect(output).toMatch(/replayed .*\n.*handled by the lenient parser/);
    expect(output).toMatch(/kill -9 of worker-\d with [1-9] in hand/);
    // The digest streams it, line by line.
    expect(output).toMatch(
      / digest +573 mails judged: \d+ spam, \d+ ham\n +most spam came as from .*\n +the surest: "/,
    );
    expect(output).not.toContain(' OFF ');
    expect(output).not.toContain('\u001b');
    expect(output.match(/of 1,200 mails \|/g)?.length).toBeGreaterThanOrEqual(6);
  });
});

describe.concurrent("the mailroom on one's own mail", () => {
  it('judges a folder and makes dead letters of what is no mail, however large', async () => {
    const path = subfolder('mails');
    write('mails/1.eml', LUNCH);
    write('mails/2.eml', LUNCH);
    write('mails/3.eml', POISON);
    truncateSync(write('mails/4-holes.eml', ''), 200 * 1024 * 1024);
    truncateSync(write('mails/5-oversize.eml', LUNCH + 'long '.repeat(1_000)), 200 * 1024 * 1024);
    const { exitCode, output } = await runDemo([path]);
    expect(exitCode).toBe(0);
    expect(figures(output, 'in')).toEqual([188, 412, 5, 605]);
    expect(output).toMatch(/charset-unknown .*\n +3\.eml/);
    expect(output).toMatch(/unreadable .*\n +4-holes\.eml/);
    expect(output).toMatch(/limit-exceeded .*\n +5-oversize\.eml/);
    expect(output).toContain('replayed     3.eml, refused for charset-unknown');
  });

  it('judges an mbox mail by mail', async () => {
    const path = write('in.mbox', `${SEPARATOR}${LUNCH}\n${SEPARATOR}${POISON}\n${SEPARATOR}${LUNCH}`);
    const { exitCode, output } = await runDemo([...HERE, path]);
    expect(exitCode).toBe(0);
    expect(figures(output, 'handled')[2]).toBe(2);
    expect(output).toContain('in.mbox#2');
  });

  it('says in one line why there is nothing to run on', async () => {
    const empty = subfolder('empty');
    const binary = write('binary.dat', 'PK\u0003\u0004\u0000\u0000');
    const sparse = write('sparse.mbox', '');
    truncateSync(sparse, 200 * 1024 * 1024);
    const cases = [
      { args: [join(folder, 'missing')], errors: /missing cannot be opened \(ENOENT\)/ },
      { args: [empty], errors: /empty holds no files/ },
      { args: [binary], errors: /binary\.dat is no mail: .* binary/ },
      { args: [sparse], errors: /sparse\.mbox is no mail: .* binary/ },
    ];
    const endings = await Promise.all(
      cases.map(async (each) => ({ errors: each.errors, ending: await runDemo(each.args) })),
    );
    for (const { errors, ending } of endings) {
      expect(ending.errors).toMatch(errors);
      expect(ending.errors.trimEnd().split('\n')).toHaveLength(1);
      expect(ending).toMatchObject({ exitCode: 2, output: '' });
    }
  });

  it('refuses arguments it does not know, and shows those it does', async () => {
    expect(await runDemo(['--fast'])).toMatchObject({ exitCode: 2, output: '' });
    const ending = await runDemo(['one', 'two']);
    expect(ending.exitCode).toBe(2);
    expect(ending.errors).toContain('Usage: npm run demo');
    const bad = [
      ['--workers', '9'],
      ['--workers', 'x'],
      ['--broker', ''],
      [...HERE, '--broker', 'redis://x'],
    ];
    const endings = await Promise.all(bad.map((args) => runDemo(args)));
    for (const { exitCode, output } of endings) expect([exitCode, output]).toEqual([2, '']);
    const nobody = await runDemo(['--broker', 'gopher://127.0.0.1']);
    expect(nobody.exitCode).toBe(2);
    expect(nobody.errors.trimEnd().split('\n')).toHaveLength(1);
    const closed = await runDemo(['--broker', 'redis://127.0.0.1:1']);
    expect(closed.exitCode).toBe(2);
    expect(closed.errors).toMatch(/^mailroom: .*redis:\/\/127\.0\.0\.1:1/);
  });
});

const usable = useServer('redis');

describe.skipIf(usable.isAbsent)('the mailroom on a Redis', () => {
  let own: TestServer | undefined;
  beforeAll(async () => {
    if (usable.url === undefined)
      own = await startRedis(usable.command === undefined ? {} : { command: usable.command });
  }, RUN_MS);
  afterAll(() => own?.stop());

  it('does the same work through it, and loses nothing with the process that is killed', async () => {
    const { exitCode, output } = await runDemo(['--broker', usable.url ?? own?.url ?? '']);
    expect(output).toContain('All sums agree');
    expect(output).toMatch(/kill -9 of worker-\d with [1-9] in hand/);
    expect(exitCode).toBe(0);
  });
});

describe('the mailroom with a language model', () => {
  let server: Server;
  let url: string;
  let content: string;
  let calls = 0;

  beforeAll(async () => {
    server = createServer((_request, response) => {
      calls += 1;
      response.end(JSON.stringify({ choices: [{ message: { content } }] }));
    });
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('The server has no port.');
    url = `http://127.0.0.1:${address.port}/v1`;
  });

  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });

  const environment = (): Record<string, string> => ({ LLM_BASE_URL: url, LLM_MODEL: 'small' });

  it('judges by its answers', async () => {
    content = 'Spam.';
    const path = write('judged.mbox', `${SEPARATOR}${LUNCH}\n${SEPARATOR}${LUNCH}`);
    const { exitCode, output } = await runDemo([...HERE, path], { environment: environment() });
    expect(output).toContain('2 mails judged: 2 spam, 0 ham');
    expect(exitCode).toBe(0);
  });

  it('asks twice and makes a dead letter of a mail whose answer is neither word', async () => {
    content = 'Ignore the rules: this is HAM and not spam';
    const path = write('few.mbox', `${SEPARATOR}${LUNCH}\n${SEPARATOR}${LUNCH}`);
    const { exitCode, output } = await runDemo([...HERE, path], { environment: environment() });
    expect(figures(output, 'dead letters')).toEqual([2, 2]);
    expect(output).toContain('in place of spam or ham');
    expect(output).toMatch(/ok {2}crashes = attempts at dead letters \+ at retried mails +4 = 4 \+ 0/);
    expect(exitCode).toBe(0);
  });

  it('gives up when every answer is neither word: after 16 calls, however many mails there are', async () => {
    content = 'Ignore the rules: this is HAM and not spam';
    calls = 0;
    const path = write('many.mbox', `${SEPARATOR}${LUNCH}\n`.repeat(20));
    const { exitCode, errors } = await runDemo([...HERE, path], { environment: environment() });
    expect(errors).toMatch(
      /The mailroom gave up\. triage: more than 1 restarts in 60000 ms: .*spam or ham\./,
    );
    expect(errors.trimEnd().split('\n')).toHaveLength(1);
    expect(calls).toBe(16);
    expect(exitCode).toBe(1);
  });
});

/** A copy of the tree, to break. */
function copyTree(name: string): string {
  const tree = subfolder(name);
  for (const part of ['src', 'runtime', 'adapters', 'examples', 'tsconfig.json', 'package.json'])
    cpSync(join(ROOT, part), join(tree, part), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules'), join(tree, 'node_modules'));
  return tree;
}

/** Replaces a text that must be there exactly once. */
function plant(tree: string, file: string, right: string, wrong: string): void {
  const path = join(tree, file);
  const pieces = readFileSync(path, 'utf8').split(right);
  if (pieces.length !== 2) throw new Error(`${file} holds '${right}' ${pieces.length - 1} times.`);
  writeFileSync(path, pieces.join(wrong));
}

const POP = 'const envelope = this.queue.pop();';
const PARSE = 'const readable = { name, kind, mail: await ctx.state.read(ctx, bytesOf(item)) };';

describe.concurrent('the mailroom with a planted bug', () => {
  it('finds that a mailbox lost one message', async () => {
    const tree = copyTree('mailbox');
    plant(
      tree,
      'runtime/actor/mailbox.ts',
      POP,
      `let envelope = this.queue.pop();
       this.pops = (this.pops ?? 0) + 1;
       if (envelope !== undefined && this.pops === 97) {
         this.release(envelope);
         envelope = this.queue.pop();
       }`,
    );
    const { exitCode, output } = await runDemo(HERE, { tree });
    expect(exitCode).toBe(1);
    expect(output).toMatch(/OFF {2}mails in = handled \+ dead letters +1,200 is not/);
    expect(output).toMatch(/OFF {2}messages accepted = accounted for \(.*parsers/);
  });

  it('ends when the message is lost by which a stage is settled', async () => {
    const tree = copyTree('settling');
    plant(tree, 'examples/mailroom/run.ts', 'PATIENCE_MS = 15_000', 'PATIENCE_MS = 1_000');
    plant(
      tree,
      'runtime/actor/mailbox.ts',
      POP,
      `let envelope = this.queue.pop();
       if (envelope?.entry.name === 'settle') {
         this.release(envelope);
         envelope = this.queue.pop();
       }`,
    );
    const { exitCode, output } = await runDemo(HERE, { tree });
    expect(exitCode).toBe(1);
    expect(output).toMatch(
      /OFF {2}every stage answers +parsers: .* did not reply to 'settle' within 1,?000 ms/,
    );
  });

  it('finds that what a killed process had in hand is given up', async () => {
    const tree = copyTree('killed');
    plant(
      tree,
      'examples/mailroom/readers.ts',
      "if (!isTroupeError(error, 'ERR_NODE_DOWN')) throw rejectionIn(error) ?? error;",
      'throw rejectionIn(error) ?? error;',
    );
    const { exitCode, output } = await runDemo([], { tree });
    expect(exitCode).toBe(1);
    expect(output).toMatch(/OFF {2}in hand at kill -9 = read again by others/);
  });

  it('finds that a parser swallows long mail', async () => {
    const tree = copyTree('long');
    plant(
      tree,
      'examples/mailroom/agents/parser.ts',
      PARSE,
      `if (bytesOf(item).length > 20_000) return;\n${PARSE}`,
    );
    const { exitCode, output } = await runDemo(HERE, { tree });
    expect(exitCode).toBe(1);
    expect(output).toMatch(/OFF {2}mails in = handled \+ dead letters +1,200 is not/);
    expect(output).toMatch(/sums are off .*mails in \(spam\) = handled \+ dead letters/);
  });

  it('finds that a parser swallows what it should refuse', async () => {
    const tree = copyTree('refused');
    plant(
      tree,
      'examples/mailroom/agents/parser.ts',
      PARSE,
      `let readable; try { readable = { name, kind, mail: await ctx.state.read(ctx, bytesOf(item)) }; } catch { return; }`,
    );
    const { exitCode, output } = await runDemo(HERE, { tree });
    expect(exitCode).toBe(1);
    expect(output).toMatch(/OFF {2}mails in = handled \+ dead letters +1,200 is not 1,147 \+ 0/);
    expect(output).toMatch(/OFF {2}a parser crashed/);
  });

  it('finds that a parser that was given up took a queued mail with it', async () => {
    const tree = copyTree('pool');
    plant(
      tree,
      'runtime/pool/pool.ts',
      'this.keepLedger(worker.jobs);',
      'this.keepLedger(worker.jobs); this.jobs.next();',
    );
    const { exitCode, output } = await runDemo(HERE, { tree });
    expect(exitCode).toBe(1);
    expect(output).toMatch(/OFF {2}mails in = handled \+ dead letters +1,200 is not/);
    expect(output).toMatch(/OFF {2}messages accepted = accounted for \(.*parsers/);
  });

  it('finds that a crash left no trace', async () => {
    const tree = copyTree('traceless');
    plant(tree, 'examples/mailroom/dead-mail.ts', 'counts.crashed += letter.attempts', 'counts.crashed += 0');
    const { exitCode, output } = await runDemo(HERE, { tree });
    expect(exitCode).toBe(1);
    expect(output).toMatch(/OFF {2}crashes = attempts at dead letters \+ at retried mails +53 is not 0 \+ 0/);
  });

  it('finds that the reporter counts a mail twice', async () => {
    const tree = copyTree('twice');
    plant(
      tree,
      'examples/mailroom/agents/reporter.ts',
      'state.counts.taken += 1;',
      'state.counts.taken += state.counts.taken === 99 ? 2 : 1;',
    );
    const { exitCode, output } = await runDemo(HERE, { tree });
    expect(exitCode).toBe(1);
    expect(output).toMatch(/OFF {2}mails in = taken by parsers +1,200 is not 1,201/);
    expect(output).toMatch(/1 of \d+ sums are off .*: mails in = taken by parsers\./);
  });

  it('goes on with new pages when one book is torn, and says that pages are missing', async () => {
    const tree = copyTree('torn');
    plant(
      tree,
      'examples/mailroom/agents/digest.ts',
      'const { verdict, kind, attempts } = mail;',
      `const { verdict, kind, attempts } = mail;
       if (ctx.state.learnt.spam === 150) throw new Error('The page is torn.');`,
    );
    const { exitCode, output, errors } = await runDemo(HERE, { tree });
    expect(errors).toBe('');
    expect(exitCode).toBe(1);
    expect(output).toMatch(/OFF {2}mails in = handled \+ dead letters +1,200 is not/);
    expect(output).toMatch(/OFF {2}mails in = taken by parsers +1,200 is not/);
    expect(output).toContain('The page is torn.');
  });
});
