import fc from 'fast-check';
import { agent, protocol, supervisor, tell, type } from 'troupe';
import { describe, expect, it } from 'vitest';
import type { AnyRef } from '../../src/protocol/ref.ts';
import { testSystem } from '../support/test-system.ts';

const Idle = protocol('idle', { poke: tell(), fail: tell() });

/** Agents that do nothing, and end as slowly as they are let. */
function idle(onStop?: () => unknown) {
  return agent(Idle, {
    on: {
      poke: () => undefined,
      fail: () => {
        throw new Error('told to fail');
      },
    },
    onStop,
  });
}

const taken = (name: string, holder: string) => ({ code: 'ERR_NAME_TAKEN', details: { name, holder } });

describe('names', () => {
  it('P90: of many registrations of one name exactly one wins, and the others are told who', async () => {
    const { system } = await testSystem();
    const refs = await Promise.all(Array.from({ length: 5 }, () => system.spawn(idle())));
    const outcomes = refs.map((ref) => {
      try {
        system.register('judge', ref);
        return 'won';
      } catch (error) {
        return error;
      }
    });
    const winner = refs[0]?.address ?? '';
    expect(outcomes[0]).toBe('won');
    for (const outcome of outcomes.slice(1)) expect(outcome).toMatchObject(taken('judge', winner));
    expect(system.lookup(Idle, 'judge')?.address).toBe(winner);
  });

  it('P90: of many spawns of one name exactly one wins, also while they start', async () => {
    const { system } = await testSystem();
    const slow = agent(Idle, {
      state: () => Promise.resolve(1),
      on: { poke: () => undefined, fail: () => undefined },
    });
    const spawns = await Promise.allSettled(
      Array.from({ length: 4 }, () => system.spawn(slow, { name: 'only' })),
    );
    expect(spawns.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected', 'rejected']);
    for (const spawn of spawns.slice(1)) expect(spawn).toMatchObject({ reason: taken('only', '/user/only') });
  });

  it('P90: at no instant do two living actors hold one name, whatever is registered and stopped', async () => {
    const deed = fc.record({
      what: fc.constantFrom('register', 'stop', 'spawn'),
      name: fc.constantFrom('a', 'b'),
      who: fc.nat(5),
    });
    let refused = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(deed, { maxLength: 30, size: 'max' }), async (deeds) => {
        const { system } = await testSystem();
        const refs: AnyRef[] = [];
        const holders = new Map<string, AnyRef>();
        for (const { what, name, who } of deeds) {
          const ref = refs[who];
          if (what === 'spawn') refs.push(await system.spawn(idle()));
          else if (ref === undefined) continue;
          else if (what === 'stop') {
            await system.stop(ref);
            for (const [held, holder] of holders) if (holder === ref) holders.delete(held);
          } else {
            const holder = holders.get(name);
            let error: unknown;
            try {
              system.register(name, ref);
              holders.set(name, ref);
            } catch (thrown) {
              error = thrown;
              refused++;
            }
            const isAlive = system.inspect(ref)?.status !== 'stopped';
            if (holder === ref) expect(error).toBeUndefined();
            else if (holder !== undefined) expect(error).toMatchObject(taken(name, holder.address));
            else
              expect(error).toEqual(
                isAlive ? undefined : expect.objectContaining({ code: 'ERR_ACTOR_STOPPED' }),
              );
          }
          for (const each of ['a', 'b']) {
            expect(system.lookup(Idle, each)?.address).toBe(holders.get(each)?.address);
          }
        }
      }),
      { numRuns: 100 },
    );
    expect(refused).toBeGreaterThan(50);
  });

  it('may be several for one actor, all freed with it, and registering twice is harmless', async () => {
    const { system } = await testSystem();
    const ref = await system.spawn(idle());
    for (const name of ['a', 'b', 'a']) system.register(name, ref);
    expect([system.lookup(Idle, 'a'), system.lookup(Idle, 'b')]).toEqual([ref, ref]);
    await system.stop(ref);
    expect([system.lookup(Idle, 'a'), system.lookup(Idle, 'b')]).toEqual([undefined, undefined]);
    const next = await system.spawn(idle());
    system.register('b', next);
    expect(system.lookup(Idle, 'b')).toBe(next);
  });

  it('are held while the actor stops, and looked up no more', async () => {
    const { system, settle } = await testSystem();
    let finish = (): void => undefined;
    const slow = idle(
      () =>
        new Promise<void>((resolve) => {
          finish = resolve;
        }),
    );
    const ref = await system.spawn(slow, { name: 'desk' });
    system.register('judge', ref);
    const stopped = system.stop(ref);
    await settle();
    expect([system.lookup(Idle, 'judge'), system.lookup(Idle, 'desk')]).toEqual([undefined, undefined]);
    const other = await system.spawn(idle());
    expect(() => system.register('judge', other)).toThrow(
      expect.objectContaining(taken('judge', ref.address)),
    );
    await expect(system.spawn(idle(), { name: 'desk' })).rejects.toMatchObject(taken('desk', '/user/desk'));
    finish();
    await stopped;
    system.register('judge', other);
    await expect(system.spawn(idle(), { name: 'desk' })).resolves.toMatchObject({ protocol: Idle });
  });

  it('survive a restart with their actor', async () => {
    const { system, settle, advance } = await testSystem();
    const ref = await system.spawn(idle());
    system.register('judge', ref);
    ref.tell('fail');
    await settle();
    expect(system.inspect(ref)?.status).toBe('restarting');
    expect(system.lookup(Idle, 'judge')).toBe(ref);
    await advance(1_000);
    expect(system.inspect(ref)).toMatchObject({ status: 'running', generation: 1 });
    expect(system.lookup(Idle, 'judge')).toBe(ref);
  });

  it('P91: a ref of one incarnation never reaches the next one of that path', async () => {
    const { system, settle } = await testSystem();
    const first = await system.spawn(idle(), { name: 'judge' });
    const firstAgain = system.ref(Idle, first.address);
    const byName = system.ref(Idle, 'judge');
    expect(firstAgain.tell('poke')).toBe('accepted');
    await settle();
    await system.stop(first);
    const second = await system.spawn(idle(), { name: 'judge' });
    expect(second.address).not.toBe(first.address);
    expect([first.tell('poke'), firstAgain.tell('poke'), byName.tell('poke')]).toEqual([
      'stopped',
      'actor-unknown',
      'accepted',
    ]);
    await settle();
    expect(system.inspect(second)?.counts).toMatchObject({ accepted: 1, handled: 1 });
    expect(system.deadLetters.list().map(({ reason, address }) => [reason, address])).toEqual([
      ['stopped', first.address],
      ['stale-incarnation', first.address],
    ]);
  });

  it('P92: are free before the end of their actor is told', async () => {
    const { system, settle } = await testSystem();
    const Watcher = protocol('watcher', { watch: tell(type<AnyRef>()) });
    const found: unknown[] = [];
    const watcher = agent(Watcher, {
      on: { watch: (ctx, ref) => ctx.watch(ref) },
      onTerminated: async (ctx) => {
        found.push(ctx.system.lookup(Idle, 'judge'), ctx.system.lookup(Idle, 'desk'));
        const next = await ctx.system.spawn(idle(), { name: 'desk' });
        ctx.system.register('judge', next);
        found.push(ctx.system.lookup(Idle, 'judge')?.address === next.address);
      },
    });
    const ref = await system.spawn(idle(), { name: 'desk' });
    system.register('judge', ref);
    const watcherRef = await system.spawn(watcher);
    watcherRef.tell('watch', ref);
    await settle();
    await system.stop(ref);
    await settle();
    expect(found).toEqual([undefined, undefined, true]);
  });

  it('P93: are never looked up once onStop has settled, nor while it runs', async () => {
    const { system } = await testSystem();
    const seen: unknown[] = [];
    const looking = agent(Idle, {
      on: { poke: () => undefined, fail: () => undefined },
      onStop: async (ctx) => {
        seen.push(ctx.system.lookup(Idle, 'judge'));
        await Promise.resolve();
        seen.push(ctx.system.lookup(Idle, 'judge'));
      },
    });
    const ref = await system.spawn(looking);
    system.register('judge', ref);
    const stopped = system.stop(ref).then(() => seen.push(system.lookup(Idle, 'judge')));
    seen.push(system.lookup(Idle, 'judge'));
    await stopped;
    expect(seen).toEqual([undefined, undefined, undefined, undefined]);
  });

  it('of spawned and supervised actors are found too, registered ones first', async () => {
    const root = supervisor({
      children: { desk: idle().child(), inner: supervisor({ children: { lamp: idle().child() } }) },
    });
    const { system } = await testSystem({ root });
    const spawned = await system.spawn(idle(), { name: 'chair' });
    expect(system.lookup(Idle, 'desk')?.address).toBe(system.lookup(Idle, system.refs.desk.address)?.address);
    expect(system.lookup(Idle, 'inner/lamp')?.address).toMatch(/^.root.inner.lamp#\d+$/);
    expect(system.lookup(Idle, 'chair')).toBe(spawned);
    expect(system.lookup(Idle, 'nobody')).toBeUndefined();
    system.register('desk', spawned);
    expect(system.lookup(Idle, 'desk')).toBe(spawned);
  });
});
