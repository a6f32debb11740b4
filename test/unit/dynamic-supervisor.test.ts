import { dynamicSupervisor, supervisor } from 'troupe';
import { describe, expect, it } from 'vitest';
import { endingOf, never, puppet } from '../support/puppet.ts';
import { testSystem } from '../support/test-system.ts';

const AT_ONCE = { minMs: 0, maxMs: 0 };
const FAIL = (): never => {
  throw new Error('fail');
};

describe('a dynamic supervisor', () => {
  it('P20 has at most childrenMax children, those that wait for a restart included', async () => {
    const { system, advance } = await testSystem({
      root: supervisor({ children: { pool: dynamicSupervisor({ childrenMax: 2 }) } }),
    });
    const control = system.supervisor('pool');
    const a = await control.startChild('a', puppet().child());
    await control.startChild('b', puppet().child());
    a.tell('act', FAIL);
    await advance(0);
    expect(control.children()).toMatchObject([{ status: 'restarting' }, { status: 'running' }]);
    await expect(control.startChild('c', puppet().child())).rejects.toMatchObject({
      code: 'ERR_CHILDREN_FULL',
      details: { address: '/root/pool', childrenMax: 2 },
    });
    expect(await control.terminateChild('b')).toBe('ok');
    await control.startChild('c', puppet().child());
    expect(control.children().map(({ name }) => name)).toEqual(['a', 'c']);
  });

  it('forgets a child that has ended, and one that failed to start', async () => {
    const { system, advance } = await testSystem({
      root: supervisor({ children: { pool: dynamicSupervisor() } }),
    });
    const control = system.supervisor('pool');
    const a = await control.startChild('a', puppet().child());
    await expect(control.startChild('a', puppet().child())).rejects.toMatchObject({
      code: 'ERR_NAME_TAKEN',
      details: { name: 'a', holder: '/root/pool/a' },
    });
    await expect(control.startChild('bad', puppet({ state: FAIL }).child())).rejects.toMatchObject({
      code: 'ERR_START_FAILED',
    });
    a.tell('act', (ctx) => ctx.stopSelf());
    await advance(0);
    expect(control.children()).toEqual([]);
    expect(await control.restartChild('a')).toBe('not-found');
  });

  it('P27 stops its children at once, under one deadline', async () => {
    const { system, advance, clock, events } = await testSystem({
      root: supervisor({ children: { pool: dynamicSupervisor() } }),
    });
    const control = system.supervisor('pool');
    for (const name of ['a', 'b', 'c']) {
      const ref = await control.startChild(name, puppet().child({ shutdownMs: 500 }));
      ref.tell('act', never);
    }
    await advance(0);
    const startedAt = clock.now();
    const stopped = endingOf(system.supervisor('/root').terminateChild('pool'));
    await advance(1_499);
    expect(stopped.is).toBeUndefined();
    await advance(1);
    expect(stopped.is).toBe('resolved');
    expect(clock.now() - startedAt).toBe(1_500);
    const reasons = events.flatMap((event) => (event.type === 'actor-stopped' ? [event.reason] : []));
    expect(reasons).toEqual(['shutdown', 'shutdown', 'shutdown']);
  });
});

describe('a supervisor at run time', () => {
  it('starts, ends, starts again and forgets children, and says so', async () => {
    const { system } = await testSystem({ root: supervisor({ children: { a: puppet().child() } }) });
    const control = system.supervisor('/root');
    const b = await control.startChild('b', puppet().child());
    expect(await b.ask('answer', () => 1)).toBe(1);
    expect(await control.deleteChild('b')).toBe('running');
    expect(await control.restartChild('b')).toBe('running');
    expect(await control.terminateChild('b')).toBe('ok');
    expect(control.children()).toMatchObject([
      { name: 'a' },
      { name: 'b', status: 'stopped', restart: 'transient' },
    ]);
    expect(await control.restartChild('b')).toBe('ok');
    expect(await b.ask('answer', () => 2)).toBe(2);
    await control.terminateChild('b');
    expect(await control.deleteChild('b')).toBe('ok');
    expect(await control.terminateChild('b')).toBe('not-found');
    expect(() => system.supervisor('nobody')).toThrow(expect.objectContaining({ code: 'ERR_ACTOR_UNKNOWN' }));
    const refusal = (option: string, expected?: string) => ({
      code: 'ERR_OPTION_INVALID',
      details: expected === undefined ? { option } : { option, expected },
    });
    await expect(control.startChild('c', {} as never)).rejects.toMatchObject(
      refusal('startChild: child', 'agent.child(...) or supervisor(...)'),
    );
    const significant = puppet().child({ significant: true });
    await expect(control.startChild('c', significant)).rejects.toMatchObject(
      refusal('startChild: child.significant'),
    );
    await expect(control.startChild('c.d', puppet().child())).rejects.toMatchObject(
      refusal('startChild: name'),
    );
  });

  it('leaves a name to whoever has taken it when a start has failed', async () => {
    const { system } = await testSystem({
      root: supervisor({ children: { pool: dynamicSupervisor(), fixed: supervisor({ children: {} }) } }),
    });
    const control = system.supervisor('pool');
    let second: Promise<unknown> | undefined;
    system.events.subscribe(({ type }) => {
      if (type === 'actor-stopped') second ??= control.startChild('a', puppet().child());
    });
    const failing = puppet({ state: FAIL }).child();
    await expect(control.startChild('a', failing)).rejects.toMatchObject({ code: 'ERR_START_FAILED' });
    await second;
    expect(control.children()).toMatchObject([{ name: 'a', status: 'running' }]);
    const fixed = system.supervisor('fixed');
    await expect(fixed.startChild('a', failing)).rejects.toMatchObject({ code: 'ERR_START_FAILED' });
    expect(fixed.children()).toEqual([]);
  });

  it('P18 a branch that gives up ends its children, then its parent decides; siblings are untouched', async () => {
    const { system, advance, events } = await testSystem({
      root: supervisor({
        children: {
          branch: supervisor({
            intensity: { max: 0 },
            backoff: { minMs: 200, maxMs: 200, jitter: 0 },
            children: { a: puppet().child(), b: puppet().child() },
          }),
          other: puppet().child(),
        },
      }),
    });
    const { branch, other } = system.refs;
    branch.a.tell('act', FAIL);
    await advance(0);
    expect(system.inspect(branch.b)?.status).toBe('stopped');
    expect(events.filter(({ type }) => type === 'supervisor-stopped')).toMatchObject([
      { address: '/root/branch', reason: 'escalated', error: { code: 'ERR_RESTART_INTENSITY' } },
    ]);
    await advance(200);
    expect(system.inspect(branch.b)?.status).toBe('running');
    expect(system.inspect(other)).toMatchObject({ status: 'running', generation: 0 });
  });

  it.each([
    ['any-significant', [false, true]],
    ['all-significant', [true, true, false]],
  ] as const)('P19 with %s ends when its significant children have', async (autoShutdown, running) => {
    const child = () => puppet().child({ significant: true, backoff: AT_ONCE });
    const { system, advance } = await testSystem({
      root: supervisor({
        children: {
          branch: supervisor({ autoShutdown, children: { a: child(), b: child(), c: puppet().child() } }),
        },
      }),
    });
    const control = system.supervisor('branch');
    const { a, b, c } = system.refs.branch;
    const status = (): boolean => control.status === 'running';
    const seen: boolean[] = [];
    if (autoShutdown === 'all-significant') {
      a.tell('act', FAIL); // it comes back
      await advance(0);
      seen.push(status());
    } else {
      await control.terminateChild('b'); // not of its own will
      seen.push(!status());
    }
    c.tell('act', (ctx) => ctx.stopSelf());
    a.tell('act', (ctx) => ctx.stopSelf());
    await advance(0);
    seen.push(autoShutdown === 'all-significant' ? status() : !status());
    if (autoShutdown === 'all-significant') {
      b.tell('act', (ctx) => ctx.stopSelf());
      await advance(0);
      seen.push(status());
    }
    expect(seen).toEqual(running);
    expect(system.supervisor('/root').children()).toMatchObject([{ name: 'branch', status: 'stopped' }]);
  });
});
