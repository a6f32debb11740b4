import { dynamicSupervisor, supervisor, type TreeNode } from 'troupe';
import { describe, expect, it } from 'vitest';
import { type Act, deferred, endingOf, type PuppetRef, puppet } from '../support/puppet.ts';
import { type TestSystem, testSystem } from '../support/test-system.ts';

const NOTHING = (): void => undefined;
const QUICK = { minMs: 100, maxMs: 100, jitter: 0 };

interface Looked extends TestSystem<Record<never, never>> {
  readonly ref: PuppetRef;
  /** Does something in a turn of the actor. */
  readonly act: (act: Act) => Promise<void>;
  readonly look: () => ReturnType<TestSystem<Record<never, never>>['system']['inspect']>;
}

async function looked(options: Parameters<typeof puppet>[0] = {}): Promise<Looked> {
  const test = await testSystem();
  const ref = await test.system.spawn(puppet(options), { backoff: QUICK });
  return {
    ...test,
    ref,
    act: async (act) => {
      ref.tell('act', act);
      await test.settle();
    },
    look: () => test.system.inspect(ref),
  };
}

describe('inspection', () => {
  it('shows timers by key, in the order of their start, with the time that is left', async () => {
    const { act, look, advance } = await looked();
    expect(look()?.timers).toEqual([]);
    await act((ctx) => {
      ctx.timers.every('beat', 100, 'next', NOTHING, { fixedRate: true });
      ctx.timers.every('pulse', 70, 'next', NOTHING);
      ctx.timers.once('alarm', 250, 'next', NOTHING);
    });
    await advance(30);
    expect(look()?.timers).toEqual([
      { key: 'beat', message: 'next', kind: 'every', dueInMs: 70 },
      { key: 'pulse', message: 'next', kind: 'every', dueInMs: 40 },
      { key: 'alarm', message: 'next', kind: 'once', dueInMs: 220 },
    ]);
    await advance(100);
    expect(look()?.timers.map(({ dueInMs }) => dueInMs)).toEqual([70, 10, 120]);
    await act((ctx) => ctx.timers.cancel('beat'));
    await advance(200);
    expect(look()?.timers.map(({ key }) => key)).toEqual(['pulse']);
  });

  it('shows a timer as due while its tick waits for a turn, and while it has it', async () => {
    const { act, look, advance, settle } = await looked();
    const busy = deferred();
    const ticking = deferred();
    await advance(1);
    await act((ctx) => {
      ctx.timers.once('alarm', 50, 'next', () => ticking.promise);
      return busy.promise;
    });
    await advance(80);
    expect(look()).toMatchObject({
      timers: [{ key: 'alarm', dueInMs: 0 }],
      mailbox: { control: 1, queued: 0 },
      turn: { message: 'act', runningMs: 80 },
    });
    busy.resolve();
    await settle();
    expect(look()).toMatchObject({ timers: [{ key: 'alarm', dueInMs: 0 }], mailbox: { control: 0 } });
    ticking.resolve();
    await settle();
    expect(look()).toMatchObject({ timers: [], turn: undefined });
  });

  it('shows no timer of a generation that has ended', async () => {
    const { act, look, advance } = await looked({ onIdle: NOTHING });
    await act((ctx) => {
      ctx.timers.every('beat', 100, 'next', NOTHING);
      ctx.setIdleTimeout(500);
      throw new Error('fail');
    });
    expect(look()).toMatchObject({ status: 'restarting', timers: [], idleTimeout: undefined });
    await advance(100);
    expect(look()).toMatchObject({ generation: 1, timers: [], idleTimeout: undefined });
  });

  it('shows what is left of the idle timeout: all of it while a message has its turn', async () => {
    const { act, look, advance, settle } = await looked({ onIdle: NOTHING });
    expect(look()?.idleTimeout).toBeUndefined();
    await act((ctx) => ctx.setIdleTimeout(100));
    expect(look()?.idleTimeout).toEqual({ ms: 100, dueInMs: 100 });
    await advance(60);
    expect(look()?.idleTimeout).toEqual({ ms: 100, dueInMs: 40 });
    const busy = deferred();
    await act(() => busy.promise);
    await advance(80);
    expect(look()?.idleTimeout).toEqual({ ms: 100, dueInMs: 100 });
    busy.resolve();
    await settle();
    await advance(30);
    expect(look()?.idleTimeout).toEqual({ ms: 100, dueInMs: 70 });
    await act((ctx) => ctx.setIdleTimeout(undefined));
    expect(look()?.idleTimeout).toBeUndefined();
  });

  it('shows an idle timeout as due while a hook keeps it waiting', async () => {
    const { act, look, advance } = await looked({ onIdle: NOTHING });
    const busy = deferred();
    await act((ctx) => {
      ctx.setIdleTimeout(100);
      ctx.timers.once('alarm', 50, 'next', () => busy.promise);
    });
    await advance(120);
    expect(look()?.idleTimeout).toEqual({ ms: 100, dueInMs: 0 });
    busy.resolve();
  });

  it('shows all of the idle timeout while a message has its turn, also where it was due before', async () => {
    const { act, look, advance, settle } = await looked({ onIdle: NOTHING });
    await act((ctx) => ctx.setIdleTimeout(100));
    await advance(1);
    const busy = deferred();
    await act(() => busy.promise);
    await advance(500);
    expect(look()).toMatchObject({ idleTimeout: { ms: 100, dueInMs: 100 }, turn: { message: 'act' } });
    busy.resolve();
    await settle();
    expect(look()?.idleTimeout).toEqual({ ms: 100, dueInMs: 100 });
  });

  it('counts who will hear of its end, whose end it will hear of, and whose would fail it', async () => {
    const { system, act, look, settle } = await looked();
    const [watched, linked, both] = await Promise.all([
      system.spawn(puppet()),
      system.spawn(puppet()),
      system.spawn(puppet()),
    ]);
    expect(look()).toMatchObject({ watchers: 0, watching: 0, links: 0 });
    await act((ctx) => {
      ctx.watch(watched);
      ctx.link(linked);
      ctx.link(both);
      ctx.watch(both);
    });
    expect(look()).toMatchObject({ watchers: 0, watching: 2, links: 2 });
    for (const ref of [watched, linked, both])
      expect(system.inspect(ref)).toMatchObject({ watchers: 1, watching: 0, links: 0 });
    await act((ctx) => ctx.unwatch(both));
    expect(look()).toMatchObject({ watching: 1, links: 2 });
    await system.stop(watched);
    await settle();
    expect(look()).toMatchObject({ watching: 0, links: 2 });
    await act((ctx) => ctx.unlink(both));
    expect(system.inspect(both)?.watchers).toBe(0);
  });

  it('shows an actor that nothing has happened to, whole', async () => {
    const { ref, look } = await looked({ mailbox: { capacity: 7 } });
    expect(look()).toEqual({
      address: ref.address,
      protocol: 'puppet',
      status: 'running',
      generation: 0,
      mailbox: {
        capacity: 7,
        queued: 0,
        depths: { critical: 0, urgent: 0, high: 0, normal: 0, low: 0, background: 0 },
        stashed: 0,
        waiting: 0,
        control: 0,
      },
      turn: undefined,
      restarts: 0,
      restartsWithoutProgress: 0,
      lastError: undefined,
      zombies: 0,
      timers: [],
      idleTimeout: undefined,
      watchers: 0,
      watching: 0,
      links: 0,
      state: undefined,
      pool: undefined,
      counts: { accepted: 0, handled: 0, failed: 0, cancelled: 0, deadLettered: 0 },
    });
  });

  it('shows what waits in which place, what has its turn and how long, and how messages have ended', async () => {
    const { system, ref, act, look, advance, settle } = await looked({
      mailbox: { capacity: 3 },
      decide: () => 'resume',
    });
    await advance(5);
    const error = new Error('fail');
    let running: unknown;
    await act(() => {
      running = look()?.turn?.runningMs;
    });
    expect(running).toBe(0); // its time begins when it has to wait
    await act(() => Promise.reject(error));
    const asked = ref.ask(
      'answer',
      (ctx) =>
        new Promise((_, reject) => {
          ctx.signal.addEventListener('abort', () => reject(new Error('aborted')));
        }),
      { timeoutMs: 10 },
    );
    const waiting = endingOf(asked);
    await advance(10);
    expect(waiting.is).toBe('ERR_ASK_TIMEOUT');
    expect(look()).toMatchObject({
      lastError: error,
      counts: { accepted: 3, handled: 1, failed: 1, cancelled: 1, deadLettered: 0 },
    });
    await act((ctx) => ctx.stash());
    const busy = deferred();
    let id = '';
    await act((ctx) => {
      ({ id } = ctx.message);
      return busy.promise;
    });
    ref.tell('act', NOTHING, { priority: 'urgent' });
    ref.tell('act', NOTHING);
    const sent = endingOf(ref.send('act', NOTHING, { priority: 'low' }));
    await advance(30);
    expect(look()).toMatchObject({
      status: 'running',
      mailbox: {
        queued: 2,
        depths: { critical: 0, urgent: 1, high: 0, normal: 1, low: 0, background: 0 },
        stashed: 1,
        waiting: 1,
      },
      turn: { id, message: 'act', attempt: 1, runningMs: 30 },
      counts: { accepted: 7 },
    });
    system.suspend(ref);
    expect(look()?.status).toBe('suspended');
    busy.resolve();
    await settle();
    expect(look()).toMatchObject({ status: 'suspended', turn: undefined, counts: { handled: 2 } });
    system.resume(ref);
    await settle();
    expect([look()?.status, sent.is]).toEqual(['running', 'resolved']);
  });

  it('of an actor that is suspended and then ends tells the end, and what died of it', async () => {
    const { system, ref, look } = await looked();
    system.suspend(ref);
    ref.tell('act', NOTHING);
    expect(look()?.status).toBe('suspended');
    await system.stop(ref);
    expect(look()).toMatchObject({
      status: 'stopped',
      mailbox: { queued: 0 },
      counts: { accepted: 1, deadLettered: 1 },
    });
  });

  it('is a copy: changing it changes nothing, and what happens later does not change it', async () => {
    const { act, look, advance } = await looked();
    await act((ctx) => ctx.timers.every('beat', 100, 'next', NOTHING));
    const first = look();
    (first as unknown as { timers: unknown[] }).timers.length = 0; // what a user's own code might do to it
    expect(look()?.timers).toHaveLength(1);
    const second = look();
    await advance(30);
    expect(second?.timers[0]?.dueInMs).toBe(100);
  });

  it('says the same with and without having been looked at while a turn never settles', async () => {
    const { ref, act, look, advance } = await looked();
    await act((ctx) => {
      ctx.timers.every('beat', 10, 'next', NOTHING, { fixedRate: true });
      return new Promise(NOTHING);
    });
    const asked = endingOf(ref.ask('answer', () => 1, { timeoutMs: 50 }));
    for (let i = 0; i < 10; i++) {
      await advance(10);
      expect(look()).toMatchObject({ turn: { message: 'act' }, mailbox: { control: 1 } });
    }
    expect(asked.is).toBe('ERR_ASK_TIMEOUT');
    expect(look()?.counts).toMatchObject({ accepted: 2, handled: 0, cancelled: 1 });
  });
});

describe('the tree', () => {
  it('tells supervisors, agents and pools apart, wherever they stand', async () => {
    const root = supervisor({
      children: { branch: dynamicSupervisor(), pool: puppet().pool({ size: 1 }), alone: puppet().child() },
    });
    const { system, settle } = await testSystem({ root });
    await system.supervisor('branch').startChild('pool', puppet().pool({ size: 1 }));
    await system.spawn(puppet().pool({ size: 1 }), { name: 'spawned' });
    system.refs.alone.tell('act', async (ctx) => {
      await ctx.spawn(puppet().pool({ size: 1 }), { name: 'below' });
    });
    await settle();
    const kinds: Record<string, string> = {};
    const visit = (node: TreeNode): void => {
      kinds[node.address.replaceAll(/#\d+/g, '')] = node.kind;
      for (const child of node.children) visit(child);
    };
    visit(system.tree());
    const paths = Object.entries(kinds).map(([path, kind]) => [
      path.replaceAll(/worker-\d+/g, 'worker'),
      kind,
    ]);
    expect(Object.fromEntries(paths)).toEqual({
      '/': 'supervisor',
      '/root': 'supervisor',
      '/root/branch': 'supervisor',
      '/root/branch/pool': 'pool',
      '/root/branch/pool/worker': 'agent',
      '/root/pool': 'pool',
      '/root/pool/worker': 'agent',
      '/root/alone': 'agent',
      '/root/alone/below': 'pool',
      '/root/alone/below/worker': 'agent',
      '/user': 'supervisor',
      '/user/spawned': 'pool',
      '/user/spawned/worker': 'agent',
      '/system': 'supervisor',
    });
  });
});
