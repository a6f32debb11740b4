import { createTestSystem, type TestSystem } from 'troupe/testing';
import { afterEach, describe, expect, it } from 'vitest';
import {
  type DigestReport,
  type IncomingMail,
  type Post,
  Triage,
} from '../../examples/mailroom/agents/protocols.ts';
import { teacher } from '../../examples/mailroom/agents/teacher.ts';
import type { LanguageModel } from '../../examples/mailroom/llm.ts';
import { judges, mailroomTree } from '../../examples/mailroom/tree.ts';
import type { RefsOf, RuntimeEvent, TreeNode } from '../../src/index.ts';

const SEED = Number(process.env['TROUPE_SEED'] ?? 7);
const HEADER = 'From: Ada <ada@example.org>\nDate: Mon, 1 Jan 2024 10:00:00 +0000\n';
const GOOD = `${HEADER}Subject: lunch\n\nShall we have lunch on Friday?\n`;
const POISON = `${HEADER}Subject: poison\nContent-Type: text/plain; charset=nonsense\n\nCaf\n`;

type Mailroom = TestSystem<RefsOf<ReturnType<typeof mailroomTree>>>;

const SAYS_HAM: LanguageModel = { name: 'ham', judge: async () => ({ label: 'ham', score: 0 }) };
const systems: Mailroom[] = [];

/** The checker looks at every system when its test is over: each message with one outcome, and none lost. */
afterEach(async () => {
  for (const system of systems.splice(0)) await system[Symbol.asyncDispose]();
});

interface Opened {
  readonly system: Mailroom;
  readonly events: RuntimeEvent[];
  /** Has these mails read: `.` for a good one, `x` for one that no parser can read. */
  readonly read: (mails: string) => Promise<void>;
}

async function open(judge: LanguageModel = SAYS_HAM): Promise<Opened> {
  const display = { progress: () => undefined, end: () => undefined };
  const root = mailroomTree({ display, mailsExpected: undefined, patienceMs: 60_000 });
  const system = await createTestSystem({ root, seed: SEED });
  systems.push(system);
  const events: RuntimeEvent[] = [];
  system.events.subscribe((event) => events.push(event));
  const starting = system.supervisor('judging').startChild('triage', judges({ judge, patienceMs: 60_000 }));
  await system.settle();
  await starting;
  const read = async (mails: string): Promise<void> => {
    const reading = system.refs.intake.ask('read', postOf(mails));
    await system.advance(10_000);
    await reading;
  };
  return { system, events, read };
}

function postOf(mails: string): Post {
  const mailOf = (letter: string, index: number): IncomingMail => {
    const name = `${index}${letter}`;
    const bytes = Buffer.from(letter === '.' ? GOOD : POISON);
    return { name, kind: 'own', purpose: 'classify', item: { type: 'mail', name, bytes } };
  };
  return { mails: () => mails.split('').map(mailOf) };
}

function times(count: number, letter: string): string {
  return letter.repeat(count);
}

/** What the digest has counted, once its summary is read. */
async function counted({ refs }: Opened['system']): Promise<DigestReport> {
  const lines = refs.books.digest.stream('summarize');
  const summary: string[] = [];
  for await (const line of lines) summary.push(line);
  const { judged } = await lines.result;
  expect(summary[0]).toContain(`${judged.own} mails judged`);
  return lines.result;
}

/** Mails that the digest has, and those that died at a parser. */
async function outcomes({ system }: Opened): Promise<{ filed: number; dead: number }> {
  const asked = counted(system);
  await system.settle();
  const { judged } = await asked;
  return { filed: judged.own, dead: system.deadLetters.list({ message: 'parse' }).length };
}

/** What lives in the tree, by its path. */
function living(node: TreeNode): string[] {
  const own = node.status === 'running' ? [node.address.replace(/#\d+$/, '')] : [];
  return [...own, ...node.children.flatMap(living)];
}

function ended(events: readonly RuntimeEvent[], reason: string): string[] {
  return events.flatMap((event) =>
    event.type === 'actor-stopped' && event.reason === reason ? [event.address] : [],
  );
}

describe("the mailroom's tree", () => {
  it('starts who receives before who sends, and stops in reverse', async () => {
    const { system, events } = await open();
    expect(living(system.tree()).filter((path) => path.startsWith('/root/'))).toEqual([
      '/root/books',
      '/root/books/reporter',
      '/root/books/digest',
      '/root/books/governor',
      '/root/books/security',
      '/root/judging',
      '/root/judging/triage',
      '/root/judging/triage/worker-5',
      '/root/judging/triage/worker-6',
      '/root/parsing',
      '/root/parsing/parsers',
      ...[1, 2, 3, 4].map((worker) => `/root/parsing/parsers/worker-${worker}`),
      '/root/intake',
    ]);
    await system.shutdown();
    const stopped = ended(events, 'shutdown').map((address) => address.replace(/#\d+$/, ''));
    const order = stopped.filter((path) => !path.includes('worker'));
    expect(order).toEqual([
      '/root/intake',
      '/root/parsing/parsers',
      '/root/judging/triage',
      '/root/books/security',
      '/root/books/governor',
      '/root/books/digest',
      '/root/books/reporter',
    ]);
  });

  it('restarts a parser after its backoff while the others go on, and loses no mail', async () => {
    const opened = await open();
    const { system, events, read } = opened;
    await read(`${times(10, '.')}x${times(30, '.')}`);
    expect(await outcomes(opened)).toEqual({ filed: 40, dead: 1 });
    const pauses = events.flatMap((event) => (event.type === 'actor-restarting' ? [event.delayMs] : []));
    expect(pauses).toHaveLength(1);
    expect(pauses[0]).toBeGreaterThanOrEqual(4); // 5 ms, a fifth of it random
    expect(pauses[0]).toBeLessThanOrEqual(5);
    expect(ended(events, 'failed')).toEqual([]);
    expect(system.inspect(system.refs.parsing.parsers)?.generation).toBe(0);
  });

  it('goes on with three parsers when one is given up for good, and loses no mail', async () => {
    const opened = await open();
    const { system, events, read } = opened;
    const { parsers } = system.refs.parsing;
    const [first] = system.inspect(parsers)?.pool?.workers ?? [];
    if (first === undefined) throw new Error('The pool has no workers.');
    // Only this one works, until it has crashed four times.
    const others = (system.inspect(parsers)?.pool?.workers ?? []).slice(1);
    for (const { address } of others) system.suspend(system.ref(parsers.protocol, address));
    await read('x.x.xx');
    expect(ended(events, 'failed')).toEqual([first.address]);
    for (const { address } of others) system.resume(system.ref(parsers.protocol, address));
    await read(times(50, '.'));
    expect(await outcomes(opened)).toEqual({ filed: 52, dead: 4 });
    expect(system.inspect(parsers)).toMatchObject({
      generation: 0,
      status: 'running',
      pool: { size: 4, workers: others.map(({ address }) => ({ address })) },
    });
  });

  it('begins the pool anew with its queue when every parser was given up, however often', async () => {
    const opened = await open();
    const { system, events, read } = opened;
    await read(times(100, 'x'));
    await read(times(20, '.'));
    expect(await outcomes(opened)).toEqual({ filed: 20, dead: 100 });
    expect(ended(events, 'failed')).toHaveLength(4 * 6);
    expect(system.inspect(system.refs.parsing.parsers)).toMatchObject({ generation: 6, status: 'running' });
    const counts = system.inspect(system.refs.parsing.parsers)?.counts;
    expect(counts).toMatchObject({ accepted: 120, handled: 20, failed: 100 });
    expect(system.inspect(system.refs.books.digest)?.generation).toBe(0);
  });

  it('begins a new page in every book when one loses its own', async () => {
    const { system, read } = await open();
    const { books, intake } = system.refs;
    await read(times(5, '.'));
    await expect(settled(system, system.kill(books.digest))).resolves.toBeUndefined();
    await read(times(3, '.'));
    for (const ref of Object.values(books)) expect(system.inspect(ref)?.generation).toBe(1);
    expect(system.inspect(intake)?.generation).toBe(0);
    const [digest, reporter, security] = await settled(
      system,
      Promise.all([counted(system), books.reporter.ask('report'), books.security.ask('report')]),
    );
    expect([digest.judged.own, reporter.taken, security.mails.own]).toEqual([3, 3, 3]);
  });

  it('tries a verdict again, and gives the run up when the judge never answers', async () => {
    let calls = 0;
    const deaf: LanguageModel = {
      name: 'deaf',
      judge: async () => {
        calls += 1;
        throw new Error('no answer');
      },
    };
    const { system, events, read } = await open(deaf);
    await read(times(7, '.'));
    expect(calls).toBe(14);
    expect(system.deadLetters.list({ reason: 'attempts-exhausted' })).toHaveLength(7);
    await read('.').catch(() => undefined);
    await system.advance(60_000);
    expect(calls).toBe(16);
    const ends = events.filter(({ type }) => type === 'supervisor-stopped');
    expect(ends).toMatchObject([
      { address: '/root/judging', reason: 'escalated' },
      { address: '/root', reason: 'escalated' },
    ]);
    expect(living(system.tree()).filter((path) => path.startsWith('/root/'))).toEqual([]);
  });

  it('judges what a second attempt can judge, and counts the first', async () => {
    const asked = new Set<unknown>();
    const moody: LanguageModel = {
      name: 'moody',
      judge: async (mail) => {
        if (asked.has(mail)) return { label: 'ham', score: 0 };
        asked.add(mail);
        throw new Error('not now');
      },
    };
    const { system, read } = await open(moody);
    await read(times(3, '.'));
    const report = await settled(system, counted(system));
    expect(report).toMatchObject({ judged: { own: 3 }, retries: 3 });
    expect(system.deadLetters.list()).toEqual([]);
  });

  it('forgets a teacher that has failed, and does not start an intake again', async () => {
    const { system } = await open();
    const judging = system.supervisor('judging');
    const child = teacher.child({ args: { patienceMs: 1_000 }, restart: 'temporary' });
    const ref = await settled(system, judging.startChild('teacher', child));
    await settled(system, system.kill(ref));
    expect(judging.children().map(({ name }) => name)).toEqual(['triage']);
    await settled(system, system.kill(system.refs.intake));
    await system.advance(60_000);
    expect(system.inspect(system.refs.intake)?.status).toBe('stopped');
    expect(system.inspect(system.ref(Triage, 'judging/triage'))?.status).toBe('running');
  });

  it('ends of its own will when the reporter has closed', async () => {
    const { system, events, read } = await open();
    await read(times(3, '.'));
    await settled(system, system.refs.books.reporter.ask('close'));
    await system.advance(10_000);
    expect(events.filter(({ type }) => type === 'supervisor-stopped')).toMatchObject([
      { address: '/root/books', reason: 'shutdown' },
      { address: '/root', reason: 'shutdown' },
    ]);
    expect(events.filter(({ type }) => type === 'shutdown-phase-entered')).not.toEqual([]);
    expect(events.filter(({ type }) => type === 'supervisor-gave-up')).toEqual([]);
  });
});

/** What a promise gives once everything that needs little time has happened. */
async function settled<T>(system: Mailroom, promise: Promise<T>): Promise<T> {
  await system.advance(1_000);
  return promise;
}
