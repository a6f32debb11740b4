import { describe, expect, it } from 'vitest';
import type { Terminated } from '../../src/protocol/context.ts';
import { deferred, Puppet, type PuppetRef, puppet } from '../support/puppet.ts';
import { type TestSystem, testSystem } from '../support/test-system.ts';

const QUICK = { minMs: 100, maxMs: 100, jitter: 0 };
const NOTHING = (): void => undefined;
const FAIL = (): never => {
  throw new Error('fail');
};

interface Watched extends TestSystem<Record<never, never>> {
  readonly notices: Terminated[];
  readonly seen: string[];
  readonly watcher: PuppetRef;
}

/** A system with an actor that keeps the notices it gets. */
async function watching(): Promise<Watched> {
  const test = await testSystem();
  const notices: Terminated[] = [];
  const seen: string[] = [];
  const watcher = await test.system.spawn(
    puppet({
      onTerminated: (_ctx, notice) => {
        notices.push(notice);
        seen.push('terminated');
      },
    }),
    { backoff: QUICK },
  );
  return { ...test, notices, seen, watcher };
}

describe('watch', () => {
  it('P40 tells once of an end, however often it was asked for, with reason and cause', async () => {
    const { system, settle, notices, watcher } = await watching();
    const ref = await system.spawn(puppet(), { restart: 'temporary' });
    watcher.tell('act', (ctx) => {
      ctx.watch(ref);
      ctx.watch(ref);
    });
    watcher.tell('act', (ctx) => ctx.watch(ref));
    await settle();
    expect(notices).toEqual([]);
    ref.tell('act', FAIL);
    await settle();
    await system.stop(ref);
    await settle();
    expect(notices).toHaveLength(1);
    expect(notices[0]).toMatchObject({
      reason: 'failed',
      existenceConfirmed: true,
      cause: { message: 'fail' },
    });
    expect(notices[0]?.ref).toBe(ref);
  });

  it('P41 tells of the dead and the unknown as noproc, never inside the call', async () => {
    const { system, settle, notices, watcher } = await watching();
    const ref = await system.spawn(puppet());
    await system.stop(ref);
    let during = -1;
    watcher.tell('act', (ctx) => {
      ctx.watch(ref);
      ctx.watch(system.ref(Puppet, 'nobody'));
      during = notices.length;
    });
    await settle();
    expect(during).toBe(0);
    expect(notices.map(({ reason, existenceConfirmed }) => [reason, existenceConfirmed])).toEqual([
      ['noproc', true],
      ['noproc', false],
    ]);
    watcher.tell('act', (ctx) => ctx.watch(ref));
    await settle();
    expect(notices).toHaveLength(3);
  });

  it('P42 tells of an end after everything the dead actor had sent', async () => {
    const { system, settle, seen, watcher } = await watching();
    const ref = await system.spawn(puppet());
    watcher.tell('act', (ctx) => ctx.watch(ref));
    await settle();
    system.suspend(watcher);
    ref.tell('act', (ctx) => {
      for (const priority of ['background', 'critical', 'normal'] as const)
        ctx.tell(watcher, 'act', () => seen.push(priority), { priority });
      ctx.stopSelf();
    });
    await settle();
    watcher.tell('act', () => seen.push('stranger'), { priority: 'background' });
    system.resume(watcher);
    await settle();
    expect(seen).toEqual(['critical', 'normal', 'background', 'terminated', 'stranger']);
  });

  it('P42 is not hurried by messages of the dead actor that come back from the stash or from a cancelled ask', async () => {
    const { system, settle, seen, watcher } = await watching();
    const ref = await system.spawn(puppet());
    const cancel = new AbortController();
    watcher.tell('act', (ctx) => ctx.watch(ref));
    ref.tell('act', (ctx) => {
      ctx.tell(watcher, 'act', (own) => {
        seen.push('first');
        if (own.state.push('x') < 3) own.stash();
      });
      void ctx.ask(watcher, 'answer', (own) => own.stash(), { signal: cancel.signal }).catch(NOTHING);
    });
    await settle();
    expect(seen).toEqual(['first']);
    system.suspend(watcher);
    ref.tell('act', (ctx) => {
      for (let i = 0; i < 3; i++)
        ctx.tell(watcher, 'act', () => seen.push('last'), { priority: 'background' });
      ctx.stopSelf();
    });
    await settle();
    expect(system.inspect(watcher)?.mailbox).toMatchObject({ queued: 3, stashed: 2 });
    cancel.abort();
    watcher.tell('act', (own) => own.unstash(), { priority: 'critical' });
    system.resume(watcher);
    await settle();
    expect(seen).toEqual(['first', 'first', 'last', 'last', 'last', 'terminated']);
  });

  it('P42 does not wait for a message that was cancelled or has expired', async () => {
    const { system, settle, advance, seen, watcher } = await watching();
    const ref = await system.spawn(puppet());
    const cancel = new AbortController();
    watcher.tell('act', (ctx) => ctx.watch(ref));
    await settle();
    system.suspend(watcher);
    ref.tell('act', (ctx) => {
      void ctx.ask(watcher, 'answer', () => 1, { signal: cancel.signal }).catch(NOTHING);
      ctx.tell(watcher, 'act', () => seen.push('expired'), { ttlMs: 10 });
      ctx.stopSelf();
    });
    await advance(20);
    cancel.abort();
    system.resume(watcher);
    await settle();
    expect(seen).toEqual(['terminated']);
  });

  it.each(['queued', 'held back'])(
    'P43 is over when unwatch returns, even with the notice %s',
    async (kind) => {
      const { system, settle, notices, watcher } = await watching();
      const ref = await system.spawn(puppet());
      const gate = deferred();
      watcher.tell('act', async (ctx) => {
        ctx.watch(ref);
        await gate.promise;
        ctx.unwatch(ref);
      });
      await settle();
      ref.tell('act', (ctx) => {
        if (kind === 'held back') ctx.tell(watcher, 'act', NOTHING);
        ctx.stopSelf();
      });
      await settle();
      gate.resolve();
      await settle();
      expect(notices).toEqual([]);
      watcher.tell('act', (ctx) => ctx.watch(ref));
      await settle();
      expect(notices.map(({ reason }) => reason)).toEqual(['noproc']);
    },
  );

  it('P43 is over when unwatch returns, also by a name that has been freed', async () => {
    const { system, settle, notices, watcher } = await watching();
    await system.spawn(puppet(), { name: 'named' });
    const byName = system.ref(Puppet, 'named');
    const gate = deferred();
    watcher.tell('act', async (ctx) => {
      ctx.watch(byName);
      await gate.promise;
      ctx.unwatch(byName);
    });
    await settle();
    await system.stop(byName);
    await settle();
    gate.resolve();
    await settle();
    expect(notices).toEqual([]);
  });

  it('P44 says nothing of restarts', async () => {
    const { system, settle, advance, notices, watcher } = await watching();
    const ref = await system.spawn(puppet(), { backoff: QUICK });
    watcher.tell('act', (ctx) => ctx.watch(ref));
    for (let i = 0; i < 2; i++) {
      ref.tell('act', FAIL);
      await advance(100);
    }
    expect(system.inspect(ref)?.generation).toBe(2);
    expect(notices).toEqual([]);
    await system.stop(ref);
    await settle();
    expect(notices.map(({ reason }) => reason)).toEqual(['shutdown']);
  });

  it('P44 outlives restarts of the watcher, and ends with it', async () => {
    const { system, settle, advance, notices, watcher } = await watching();
    const one = await system.spawn(puppet());
    const two = await system.spawn(puppet());
    watcher.tell('act', (ctx) => {
      ctx.watch(one);
      ctx.watch(two);
      throw new Error('fail');
    });
    await settle();
    await system.stop(one);
    await advance(100);
    expect(notices).toHaveLength(1);
    await system.stop(watcher);
    await system.stop(two);
    await settle();
    expect(notices).toHaveLength(1);
  });

  it('P45 tells of an end when the name is free again', async () => {
    const { system, settle } = await testSystem();
    let respawned: unknown;
    const child = puppet();
    const parent = await system.spawn(
      puppet({
        onTerminated: async (ctx) => {
          respawned = await ctx.spawn(child, { name: 'only' });
        },
      }),
    );
    parent.tell('act', async (ctx) => {
      const ref = await ctx.spawn(child, { name: 'only' });
      ctx.watch(ref);
      await expect(ctx.spawn(child, { name: 'only' })).rejects.toMatchObject({ code: 'ERR_NAME_TAKEN' });
      void ctx.stop(ref);
    });
    await settle();
    expect(respawned).toBeDefined();
  });

  it('P46 tells of an end past a full mailbox with senders waiting', async () => {
    const { system, settle, notices } = await watching();
    const heard: string[] = [];
    const full = await system.spawn(
      puppet({ mailbox: { capacity: 1, criticalReserve: 0 }, onTerminated: () => heard.push('terminated') }),
    );
    const ref = await system.spawn(puppet());
    const gate = deferred();
    full.tell('act', async (ctx) => {
      ctx.watch(ref);
      await gate.promise;
    });
    await settle();
    full.tell('act', () => heard.push('queued'));
    void full.send('act', () => heard.push('waiting'));
    await system.stop(ref);
    gate.resolve();
    await settle();
    expect(heard).toEqual(['terminated', 'queued', 'waiting']);
    expect(notices).toEqual([]);
  });

  it('P43 of one actor, or of nobody, is over alone: other notices and ticks that are queued stay', async () => {
    const { system, settle, advance, notices, seen, watcher } = await watching();
    const [a, b] = [await system.spawn(puppet(), { name: 'a' }), await system.spawn(puppet(), { name: 'b' })];
    const [byName, nobody] = [system.ref(Puppet, '/user/a'), system.ref(Puppet, '/user/nobody')];
    watcher.tell('act', (ctx) => {
      for (const ref of [byName, b, nobody]) ctx.watch(ref);
      ctx.unwatch(nobody);
      ctx.timers.once('key', 10, 'next', () => seen.push('tick'));
    });
    await settle();
    expect(system.inspect(watcher)).toMatchObject({ watching: 2, mailbox: { control: 0 } });
    const gate = deferred();
    watcher.tell('act', (ctx) => gate.promise.then(() => ctx.unwatch(byName)));
    await settle();
    await system.stop(a);
    await system.stop(b);
    await advance(10);
    expect(system.inspect(watcher)?.mailbox.control).toBe(3);
    gate.resolve();
    await settle();
    expect(notices.map(({ ref }) => ref)).toEqual([b]);
    expect(seen).toEqual(['terminated', 'tick']);
  });

  it('is forgotten on both sides by unwatch, and when the watcher ends', async () => {
    const { system, settle, watcher } = await watching();
    const ref = await system.spawn(puppet());
    const other = await system.spawn(puppet());
    watcher.tell('act', (ctx) => ctx.watch(ref));
    other.tell('act', (ctx) => ctx.watch(ref));
    await settle();
    expect(system.inspect(ref)?.watchers).toBe(2);
    watcher.tell('act', (ctx) => ctx.unwatch(ref));
    await settle();
    expect([system.inspect(ref)?.watchers, system.inspect(watcher)?.watching]).toEqual([1, 0]);
    await system.stop(other);
    expect(system.inspect(ref)?.watchers).toBe(0);
  });

  it('is over by another ref to the same actor too, and unwatch of one that is not watched does nothing', async () => {
    const { system, settle, notices, watcher } = await watching();
    const [a, b] = [await system.spawn(puppet(), { name: 'a' }), await system.spawn(puppet())];
    watcher.tell('act', (ctx) => {
      ctx.watch(a);
      ctx.unwatch(system.ref(Puppet, '/user/a'));
      ctx.unwatch(b);
    });
    await settle();
    expect(system.inspect(watcher)).toMatchObject({ watching: 0, generation: 0, counts: { handled: 1 } });
    await system.stop(a);
    await settle();
    expect(notices).toEqual([]);
  });

  it('of nobody does not hinder the end of the watcher', async () => {
    const { system, settle, watcher, notices } = await watching();
    const gate = deferred();
    watcher.tell('act', (ctx) => {
      ctx.watch(system.ref(Puppet, '/user/nobody'));
      return gate.promise;
    });
    await settle();
    const stopped = system.stop(watcher);
    gate.resolve();
    await stopped;
    expect(system.inspect(watcher)?.status).toBe('stopped');
    expect(notices).toEqual([]);
  });

  it('may begin and end in state, before there is a mailbox', async () => {
    const { system, settle } = await watching();
    const [a, b] = [await system.spawn(puppet()), await system.spawn(puppet())];
    const told: unknown[] = [];
    const early = puppet({
      state: (_args, ctx) => {
        ctx.watch(a);
        ctx.watch(b);
        ctx.unwatch(a);
        return [];
      },
      onTerminated: (_ctx, { ref }) => told.push(ref),
    });
    const ref = await system.spawn(early);
    expect(system.inspect(ref)).toMatchObject({ status: 'running', watching: 1 });
    await system.stop(a);
    await system.stop(b);
    await settle();
    expect(told).toEqual([b]);
  });

  it('of an agent without onTerminated is a line for debugging, and no failure', async () => {
    const { system, settle, logs } = await testSystem();
    const other = await system.spawn(puppet());
    const ref = await system.spawn(puppet());
    ref.tell('act', (ctx) => ctx.watch(other));
    await settle();
    await system.stop(other);
    await settle();
    expect(logs).toEqual([
      expect.objectContaining({
        level: 'debug',
        address: ref.address,
        text: 'a watched actor ended',
        fields: { ref: other.address, reason: 'shutdown' },
      }),
    ]);
    expect(system.inspect(ref)).toMatchObject({ status: 'running', generation: 0 });
  });

  it('of oneself is never told', async () => {
    const { system, settle, notices, watcher } = await watching();
    watcher.tell('act', (ctx) => ctx.watch(ctx.self));
    await settle();
    await system.stop(watcher);
    await settle();
    expect(notices).toEqual([]);
  });
});
