import { describe, expect, it } from 'vitest';
import { Phases } from '../../runtime/host/phases.ts';
import type { ShutdownPhase } from '../../src/protocol/shutdown.ts';
import { HandHost } from '../support/hand-host.ts';
import { deferred, endingOf, never } from '../support/puppet.ts';

const ORDER: readonly ShutdownPhase[] = [
  'announce',
  'stop-intake',
  'drain',
  'checkpoint',
  'hand-off',
  'stop-actors',
  'flush',
  'close',
  'exit',
];

function newPhases(times = { cutOffAt: 900, deadlineAt: 1_000 }) {
  const host = new HandHost();
  const entered: ShutdownPhase[] = [];
  const failed: { phase: ShutdownPhase; task: string; error: unknown; atMs: number }[] = [];
  const phases = new Phases(host, {
    entered: (phase) => entered.push(phase),
    failed: (phase, task, error) => failed.push({ phase, task, error, atMs: host.clock.now() }),
  });
  const settle = async (): Promise<void> => {
    while (await host.turn());
  };
  const advance = (ms: number): Promise<void> => host.clock.advance(ms, settle);
  return { host, phases, entered, failed, settle, advance, run: () => endingOf(phases.run(times)) };
}

describe('the phases of a shutdown', () => {
  it('are entered in their order, each after the tasks of the one before have settled', async () => {
    const { phases, entered, settle, run } = newPhases();
    const held = deferred();
    const log: string[] = [];
    for (const phase of [...ORDER].reverse()) phases.add(phase, 'task', () => log.push(phase));
    phases.add('drain', 'slow', () => held.promise);
    phases.add('drain', 'beside', () => log.push('beside'));
    const ending = run();
    expect(log).toEqual(['announce', 'stop-intake', 'drain', 'beside']);
    await settle();
    expect(log).toHaveLength(4);
    held.resolve();
    await settle();
    expect(log).toEqual([...ORDER.slice(0, 3), 'beside', ...ORDER.slice(3)]);
    expect(entered).toEqual(ORDER);
    expect(ending.is).toBe('resolved');
  });

  it('go on past tasks that throw, reject, hang or are late, and tell of each once', async () => {
    const { host, phases, failed, settle, advance, run } = newPhases();
    const late = deferred();
    const signals: AbortSignal[] = [];
    phases.add('flush', 'throws', () => {
      throw new Error('thrown');
    });
    phases.add('flush', 'rejects', () => Promise.reject(new Error('rejected')));
    const get = (): never => {
      throw new Error('poisoned');
    };
    phases.add('flush', 'poisoned', () => new Proxy({}, { has: () => true, get }));
    phases.add(
      'flush',
      'hangs',
      (signal: AbortSignal) => {
        signals.push(signal);
        return never();
      },
      { timeoutMs: 50 },
    );
    phases.add('flush', 'late', () => late.promise, { timeoutMs: 70 });
    let closedAtMs = -1;
    phases.add('close', 'then', () => {
      closedAtMs = host.clock.now();
    });
    const ending = run();
    await settle();
    expect(signals[0]?.aborted).toBe(false);
    await advance(60);
    expect(signals[0]?.reason).toMatchObject({ code: 'ERR_SHUTDOWN_TIMEOUT' });
    await advance(40);
    late.reject(new Error('nobody waits for it'));
    await settle();
    expect(closedAtMs).toBe(70);
    expect(ending.is).toBe('resolved');
    expect(failed).toMatchObject([
      { phase: 'flush', task: 'throws', error: { message: 'thrown' }, atMs: 0 },
      { task: 'poisoned', error: { message: 'poisoned' }, atMs: 0 },
      { task: 'rejects', error: { message: 'rejected' }, atMs: 0 },
      { task: 'hangs', atMs: 50 },
      {
        task: 'late',
        error: { code: 'ERR_SHUTDOWN_TIMEOUT', details: { phase: 'flush', task: 'late', timeoutMs: 70 } },
        atMs: 70,
      },
    ]);
    expect(host.clock.pending).toBe(0);
  });

  it('give a task 5,000 ms unless it says otherwise, and none more than is left', async () => {
    const { phases, failed, advance, run } = newPhases({ cutOffAt: 9_000, deadlineAt: 10_000 });
    phases.add('announce', 'default', never);
    phases.add('hand-off', 'what is left'.replaceAll(' ', '-'), never, { timeoutMs: Infinity });
    phases.add('stop-actors', 'nothing-left', never);
    phases.add('close', 'tail', never);
    phases.add('exit', 'started-all-the-same', never);
    const ending = run();
    await advance(10_000);
    expect(failed.map(({ task, atMs }) => [task, atMs])).toEqual([
      ['default', 5_000],
      ['what-is-left', 9_000],
      ['nothing-left', 9_000],
      ['tail', 10_000],
      ['started-all-the-same', 10_000],
    ]);
    expect(ending.is).toBe('resolved');
  });

  it('start a task after those of its phase that it names, whether they are there or not', async () => {
    const { phases, settle, run } = newPhases();
    const first = deferred();
    const log: string[] = [];
    const task = (name: string) => () => log.push(name);
    phases.add('close', 'last', task('last'), { after: ['middle', 'absent'] });
    phases.add('close', 'middle', task('middle'), { after: ['first'] });
    phases.add('close', 'first', () => first.promise);
    phases.add('close', 'free', task('free'));
    phases.add('flush', 'absent', task('another phase'), { after: ['last'] });
    run();
    await settle();
    expect(log).toEqual(['another phase', 'free']);
    first.resolve();
    await settle();
    expect(log).toEqual(['another phase', 'free', 'middle', 'last']);
  });

  it('refuse a circle when it would close, naming it', () => {
    const { phases } = newPhases();
    const nothing = (): void => undefined;
    phases.add('close', 'a', nothing, { after: ['b'] });
    phases.add('close', 'b', nothing, { after: ['c', 'd'] });
    phases.add('close', 'd', nothing);
    expect(() => phases.add('close', 'c', nothing, { after: ['d', 'a'] })).toThrow(/c -> a -> b -> c/);
    expect(() => phases.add('close', 'own', nothing, { after: ['own'] })).toThrow(/own -> own/);
    // The same names in another phase are other tasks, and what was refused is not there.
    phases.add('flush', 'c', nothing, { after: ['a'] });
    phases.add('close', 'c', nothing, { after: ['d'] });
  });

  it('take a task out again, and refuse a second one of its name', async () => {
    const { phases, run, settle } = newPhases();
    const log: string[] = [];
    const leave = phases.add('exit', 'task', () => log.push('first'));
    expect(() => phases.add('exit', 'task', () => undefined)).toThrow(
      expect.objectContaining({ code: 'ERR_NAME_TAKEN' }),
    );
    leave();
    phases.add('exit', 'task', () => log.push('second'));
    leave(); // of the first: no more
    run();
    await settle();
    expect(log).toEqual(['second']);
  });

  it.each([
    ['a phase that is none', ['then', 'name', () => undefined]],
    ['no phase', [undefined, 'name', () => undefined]],
    ['a name that is none', ['exit', 'a name', () => undefined]],
    ['no task', ['exit', 'name', undefined]],
    ['an option that is none', ['exit', 'name', () => undefined, { before: [] }]],
    ['a time that is none', ['exit', 'name', () => undefined, { timeoutMs: 0 }]],
    ['names that are no array', ['exit', 'name', () => undefined, { after: 'name' }]],
    ['names that are none', ['exit', 'name', () => undefined, { after: [1] }]],
  ])('refuse %s', (_what, parameters) => {
    const { phases } = newPhases();
    const [phase, name, task, options] = parameters;
    expect(() => phases.add(phase, name, task, options)).toThrow(
      expect.objectContaining({ code: 'ERR_OPTION_INVALID' }),
    );
  });
});
