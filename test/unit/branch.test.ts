import { supervisor } from 'troupe';
import { describe, expect, it } from 'vitest';
import { deferred, endingOf, never, Puppet, puppet } from '../support/puppet.ts';
import { testSystem } from '../support/test-system.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const AT_ONCE = { minMs: 0, maxMs: 0 };
const SECOND = { minMs: 1_000, maxMs: 1_000, jitter: 0 };
const FAIL = (): never => {
  throw new Error('fail');
};

describe('a branch', () => {
  it('has stopped children until it has come to them, and is the place of what it is called', async () => {
    const gate = deferred<unknown[]>();
    const { system, settle } = await testSystem({ root: supervisor({ children: {} }) });
    const outer = supervisor({
      children: {
        slow: puppet({ state: () => gate.promise }).child(),
        inner: supervisor({ restart: 'permanent', children: { leaf: puppet().child() } }),
        late: puppet().child({ restart: 'temporary' }),
      },
    });
    const starting = endingOf(system.supervisor('/root').startChild('outer', outer));
    await settle();
    const control = system.supervisor('outer');
    expect([control.path, control.status]).toEqual(['/root/outer', 'starting']);
    expect(system.inspect(system.ref(Puppet, '/root/outer/late/below'))).toBeUndefined();
    expect(control.children()).toEqual([
      { name: 'slow', kind: 'agent', status: 'starting', restart: 'transient', significant: false },
      { name: 'inner', kind: 'supervisor', status: 'stopped', restart: 'permanent', significant: false },
      { name: 'late', kind: 'agent', status: 'stopped', restart: 'temporary', significant: false },
    ]);
    expect(system.tree().children[0]?.children).toMatchObject([
      { name: 'outer', status: 'starting', children: [{ name: 'slow' }, { name: 'inner', children: [] }] },
    ]);
    gate.resolve([]);
    await settle();
    expect(starting.is).toBe('resolved');
    expect(control.children().map(({ status }) => status)).toEqual(['running', 'running', 'running']);
  });

  it('can be stopped before it has come to all of its children', async () => {
    const { system, settle } = await testSystem({ root: supervisor({ children: {} }) });
    const root = system.supervisor('/root');
    const gate = deferred<unknown[]>();
    const outer = supervisor({
      children: { slow: puppet({ state: () => gate.promise }).child(), late: puppet().child() },
    });
    const starting = endingOf(root.startChild('outer', outer));
    await settle();
    const stopped = endingOf(root.terminateChild('outer'));
    gate.resolve([]);
    await settle();
    expect(stopped).toMatchObject({ is: 'resolved', value: 'ok' });
    expect(starting.is).toBe('ERR_START_FAILED');
    expect(root.children()).toEqual([]);
  });

  it('can be shut down before it has come to all of its children', async () => {
    const { system, settle, advance, events } = await testSystem({ root: supervisor({ children: {} }) });
    const outer = supervisor({
      children: { slow: puppet({ state: never }).child({ shutdownMs: Infinity }), late: puppet().child() },
    });
    const starting = endingOf(system.supervisor('/root').startChild('outer', outer));
    await settle();
    const ended = endingOf(system.shutdown({ drainMs: 10, deadlineMs: 1_000 }));
    await advance(1_000); // what has not ended by then is killed
    expect([ended.is, starting.is]).toEqual(['resolved', 'ERR_START_FAILED']);
    expect(events.filter(({ type }) => type === 'turn-disowned')).toHaveLength(1);
  });

  it('P31 that is stopped while it gives up is no failure', async () => {
    const gate = deferred();
    const { system, settle, advance, events } = await testSystem({
      root: supervisor({
        intensity: { max: 0 },
        children: {
          branch: supervisor({
            intensity: { max: 0 },
            children: { x: puppet({ onStop: () => gate.promise }).child() },
          }),
        },
      }),
    });
    system.refs.branch.x.tell('act', FAIL);
    await settle();
    const stopped = endingOf(system.supervisor('/root').terminateChild('branch'));
    gate.resolve();
    await advance(0);
    expect(stopped).toMatchObject({ is: 'resolved', value: 'ok' });
    const gaveUp = events.flatMap((event) => (event.type === 'supervisor-gave-up' ? [event.address] : []));
    expect(gaveUp).toEqual(['/root/branch']);
  });

  it('says that it stops, and only once that it has stopped', async () => {
    const gate = deferred();
    const { system } = await testSystem({
      root: supervisor({
        children: { branch: supervisor({ children: { a: puppet({ onStop: () => gate.promise }).child() } }) },
      }),
    });
    const root = system.supervisor('/root');
    const status = (): string | undefined => root.children()[0]?.status;
    const stopped = root.terminateChild('branch');
    expect(status()).toBe('stopping');
    gate.resolve();
    await stopped;
    expect(status()).toBe('stopped');
    const again = root.terminateChild('branch');
    expect(status()).toBe('stopped');
    await again;
  });

  it('P21 comes back after a delay that doubles, and is forgotten after a quiet window', async () => {
    const starts: number[] = [];
    const clock = new VirtualClock();
    const { system, advance } = await testSystem({
      clock,
      root: supervisor({
        intensity: { max: 10, withinMs: 10_000 },
        children: {
          branch: supervisor({
            intensity: { max: 0 },
            backoff: { minMs: 100, maxMs: 10_000, jitter: 0 },
            children: {
              a: puppet({
                state: () => {
                  starts.push(clock.now());
                  return [];
                },
              }).child(),
            },
          }),
        },
      }),
    });
    const delays: number[] = [];
    /** Fails so many milliseconds after the failure before. */
    let failedAt = 0;
    const failAfter = async (ms: number): Promise<void> => {
      await advance(failedAt + ms - clock.now());
      failedAt = clock.now();
      system.refs.branch.a.tell('act', FAIL);
      await advance(2_000);
      delays.push((starts.at(-1) ?? 0) - failedAt);
    };
    await failAfter(50_000);
    await failAfter(2_000);
    await failAfter(10_000);
    await failAfter(10_001);
    await failAfter(2_000);
    expect(delays).toEqual([100, 200, 400, 100, 200]);
  });

  it('P29 stays away when it is stopped while it waits for its restart', async () => {
    let starts = 0;
    const { system, advance, settle } = await testSystem({
      root: supervisor({
        children: {
          branch: supervisor({
            intensity: { max: 0 },
            backoff: SECOND,
            children: { a: puppet({ state: () => [++starts] }).child() },
          }),
        },
      }),
    });
    const root = system.supervisor('/root');
    system.refs.branch.a.tell('act', FAIL);
    await settle();
    expect(root.children()[0]?.status).toBe('restarting');
    expect(await root.terminateChild('branch')).toBe('ok');
    await advance(10_000);
    expect([starts, root.children()[0]?.status]).toEqual([1, 'stopped']);
  });

  it('P14 restarts with its siblings; one that had ended starts, a temporary one ends', async () => {
    const seen: string[] = [];
    const branch = (name: string, restart: 'permanent' | 'temporary' = 'permanent') =>
      supervisor({
        restart,
        children: {
          x: puppet({
            state: () => {
              seen.push(`${name} starts`);
              return [];
            },
          }).child(),
        },
      });
    const { system, advance, settle } = await testSystem({
      root: supervisor({
        strategy: 'one-for-all',
        children: {
          a: puppet().child({ backoff: SECOND }),
          lives: branch('lives'),
          ended: branch('ended'),
          brief: branch('brief', 'temporary'),
        },
      }),
    });
    const root = system.supervisor('/root');
    await root.terminateChild('ended');
    seen.length = 0;
    system.refs.a.tell('act', FAIL);
    await settle();
    const states = (): string[] => root.children().map(({ name, status }) => `${name} ${status}`);
    expect(states()).toEqual(['a restarting', 'lives restarting', 'ended stopped']);
    await advance(1_000);
    expect(states()).toEqual(['a running', 'lives running', 'ended running']);
    expect(seen).toEqual(['lives starts', 'ended starts']);
  });

  it('P30 that has been started by hand while its group waits is left as it is', async () => {
    let starts = 0;
    const child = () => puppet({ state: () => [++starts] }).child();
    const { system, advance, settle } = await testSystem({
      root: supervisor({
        strategy: 'one-for-all',
        children: {
          a: puppet().child({ backoff: SECOND }),
          b: child(),
          branch: supervisor({ children: { x: child() } }),
        },
      }),
    });
    const root = system.supervisor('/root');
    for (const name of ['b', 'branch']) await root.terminateChild(name);
    system.refs.a.tell('act', FAIL);
    await settle();
    starts = 0;
    for (const name of ['b', 'branch']) expect(await root.restartChild(name)).toBe('ok');
    await advance(1_000);
    expect(starts).toBe(2);
    expect(root.children().map(({ status }) => status)).toEqual(['running', 'running', 'running']);
  });

  it('P30 that gives up while its group leaves is restarted with it, for one unit', async () => {
    const gate = deferred();
    const { system, advance, settle } = await testSystem({
      root: supervisor({
        strategy: 'one-for-all',
        intensity: { max: 1 },
        children: {
          a: puppet().child({ backoff: AT_ONCE }),
          branch: supervisor({
            intensity: { max: 0 },
            backoff: AT_ONCE,
            children: { x: puppet({ onStop: () => gate.promise }).child() },
          }),
        },
      }),
    });
    const { a, branch } = system.refs;
    branch.x.tell('act', FAIL);
    await settle();
    a.tell('act', FAIL);
    await settle();
    gate.resolve();
    await advance(0);
    expect(system.inspect(a)).toMatchObject({ status: 'running', generation: 1 });
    expect(system.inspect(branch.x)?.status).toBe('running');
  });

  it('P30 outside the group comes back when the group is up', async () => {
    const gate = deferred();
    const { system, advance, settle } = await testSystem({
      root: supervisor({
        strategy: 'rest-for-one',
        children: {
          branch: supervisor({
            intensity: { max: 0 },
            backoff: AT_ONCE,
            children: { x: puppet().child() },
          }),
          a: puppet({ onRestart: () => gate.promise }).child({ backoff: AT_ONCE }),
        },
      }),
    });
    const { a, branch } = system.refs;
    a.tell('act', FAIL);
    await settle();
    branch.x.tell('act', FAIL);
    await settle();
    expect(system.supervisor('branch').status).toBe('restarting');
    gate.resolve();
    await advance(0);
    expect(system.supervisor('branch').status).toBe('running');
    expect(system.inspect(branch.x)?.status).toBe('running');
  });

  it('takes no requests unless it runs', async () => {
    const gate = deferred();
    const { system, settle, advance } = await testSystem({
      root: supervisor({
        children: {
          branch: supervisor({
            intensity: { max: 0 },
            backoff: SECOND,
            children: { x: puppet({ onStop: () => gate.promise }).child() },
          }),
        },
      }),
    });
    const control = system.supervisor('branch');
    const refused = { code: 'ERR_ACTOR_STOPPED', details: { address: '/root/branch' } };
    system.refs.branch.x.tell('act', FAIL);
    await settle();
    expect(control.status).toBe('running'); // it gives up, and has not ended
    await expect(control.startChild('y', puppet().child())).rejects.toMatchObject(refused);
    gate.resolve();
    await settle();
    expect(control.status).toBe('restarting');
    await expect(control.startChild('y', puppet().child())).rejects.toMatchObject(refused);
    await advance(1_000);
    await control.startChild('y', puppet().child());
    expect(await system.supervisor('/root').deleteChild('branch')).toBe('running');
    expect(await control.deleteChild('nobody')).toBe('not-found');
    await system.supervisor('/root').terminateChild('branch');
    await expect(control.restartChild('x')).rejects.toMatchObject(refused);
    await expect(control.terminateChild('x')).rejects.toMatchObject(refused);
    await expect(control.deleteChild('x')).rejects.toMatchObject(refused);
  });
});

describe('a place in the tree', () => {
  it('is found below branches and below actors, and nowhere else', async () => {
    const { system, settle } = await testSystem({
      root: supervisor({ children: { branch: supervisor({ children: { x: puppet().child() } }) } }),
    });
    const { x } = system.refs.branch;
    x.tell('act', async (ctx) => {
      await ctx.spawn(puppet(), { name: 'below' });
    });
    await system.spawn(puppet(), { name: 'plain' });
    await settle();
    const statusAt = (path: string): string | undefined => system.inspect(system.ref(Puppet, path))?.status;
    expect(statusAt('/root/branch/x')).toBe('running');
    expect(statusAt('branch/x/below')).toBe('running');
    for (const path of [
      '/root',
      '/root/branch',
      '/root/branch/x/y',
      '/user/plain/y',
      '/user/none/y',
      '/root/none',
    ])
      expect(statusAt(path)).toBeUndefined();
    await system.supervisor('branch').terminateChild('x');
    expect(statusAt('/root/branch/x/below')).toBeUndefined();
  });

  it('P116 of every actor is waited for before the tree stops', async () => {
    const gate = deferred();
    const { system, settle } = await testSystem({
      root: supervisor({ children: { branch: supervisor({ children: { x: puppet().child() } }) } }),
    });
    const seen: string[] = [];
    const { x } = system.refs.branch;
    const below = await x.ask('answer', async (ctx) => [await ctx.spawn(puppet())]);
    const [child] = below as readonly (typeof x)[]; // what it was asked for
    child?.tell('act', () => gate.promise.then(() => seen.push('below finishes')));
    await settle();
    const ended = endingOf(system.shutdown({ drainMs: 10_000 }));
    await settle();
    expect(ended.is).toBeUndefined();
    expect(system.inspect(x)?.status).toBe('running');
    gate.resolve();
    await settle();
    expect(ended.is).toBe('resolved');
    expect(seen).toEqual(['below finishes']);
  });
});
