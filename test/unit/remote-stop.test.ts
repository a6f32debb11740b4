import { describe, expect, it } from 'vitest';
import { farRef, farWatch } from '../support/far-watch.ts';
import { deferred, endingOf, Puppet, puppet } from '../support/puppet.ts';
import { testCluster } from '../support/test-cluster.ts';

describe('stop of an actor of another node', () => {
  it('lets its turn end, runs its last hook, and resolves when it has ended', async () => {
    const { cluster, a, b, inWatcher, notices } = await farWatch();
    const reasons: unknown[] = [];
    const here = await b.system.spawn(puppet({ onStop: (_ctx, reason) => void reasons.push(reason) }));
    const far = farRef(a.system, here);
    await inWatcher((ctx) => ctx.watch(far));
    const turn = deferred();
    here.tell('act', () => turn.promise);
    await cluster.advance(10);
    const stopped = endingOf(a.system.stop(far, 'normal'));
    await cluster.advance(5_000);
    expect([stopped.is, reasons, notices]).toEqual([undefined, [], []]);
    turn.resolve();
    await cluster.advance(50);
    expect([stopped.is, reasons, notices.map(({ reason }) => reason)]).toEqual([
      'resolved',
      ['normal'],
      ['normal'],
    ]);
    const told = b.logs.find(({ text }) => text === 'it is stopped by node a');
    expect(told).toMatchObject({ level: 'info', address: here.address });
  });

  it('resolves for an actor that is not there, as it does here', async () => {
    const { cluster, a, b, subject } = await farWatch();
    const { here, far } = await subject();
    await cluster.during(b.system.stop(here));
    await cluster.during(a.system.stop(far));
    await cluster.during(a.system.stop(a.system.ref(Puppet, 'nobody', { node: 'b' })));
  });

  it('ends one incarnation and not the next of its name', async () => {
    const { cluster, a, b } = await farWatch();
    const first = await b.system.spawn(puppet(), { name: 'x' });
    const far = farRef(a.system, first);
    await cluster.during(b.system.stop(first));
    const second = await b.system.spawn(puppet(), { name: 'x' });
    await cluster.during(a.system.stop(far));
    expect(b.system.inspect(second)?.status).toBe('running');
    await cluster.during(a.system.stop(a.system.ref(Puppet, '/user/x', { node: 'b' })));
    expect(b.system.lookup(Puppet, 'x')).toBeUndefined();
  });

  it('goes to whoever holds a name that is used on this node', async () => {
    const { cluster, a, b, subject } = await farWatch();
    const { here } = await subject();
    b.system.register('judge', here);
    await cluster.advance(50);
    await cluster.during(a.system.stop(a.system.ref(Puppet, 'judge')));
    expect(b.system.inspect(here)?.status).toBe('stopped');
  });

  it('is what ctx.stop does as well', async () => {
    const { cluster, b, inWatcher, subject } = await farWatch();
    const { here, far } = await subject();
    let isOver = false;
    await inWatcher(async (ctx) => {
      await ctx.stop(far);
      isOver = true;
    });
    await cluster.advance(50);
    expect([isOver, b.system.inspect(here)?.status]).toEqual([true, 'stopped']);
  });

  it('rejects where the node is not there, or is lost before the actor has ended', async () => {
    const { cluster, a, b } = await farWatch();
    const nowhere = a.system.ref(Puppet, 'x', { node: 'c' });
    await expect(a.system.stop(nowhere)).rejects.toMatchObject({
      code: 'ERR_NODE_DOWN',
      details: { node: 'c' },
    });
    const here = await b.system.spawn(puppet());
    here.tell('act', () => new Promise(() => undefined));
    const stopped = endingOf(a.system.stop(farRef(a.system, here)));
    await cluster.advance(50);
    expect(stopped.is).toBeUndefined();
    cluster.kill('b');
    await cluster.advance(20_000);
    expect(stopped.is).toBe('ERR_NODE_DOWN');
  });

  it('waits for a broker that is away, and settles when its own system ends', async () => {
    const { cluster, a, subject } = await farWatch();
    const { far } = await subject();
    cluster.hub.cut('a');
    const stopped = endingOf(a.system.stop(far));
    await cluster.advance(5_000);
    expect(stopped.is).toBeUndefined();
    const ended = a.system.shutdown({ deadlineMs: 1_000 });
    await cluster.advance(5_000);
    await ended;
    expect(stopped.is).toBe('ERR_ACTOR_STOPPED');
  });

  it('is asked for again when its node was taken for dead meanwhile', async () => {
    const { cluster, a, b } = await farWatch();
    const here = await b.system.spawn(puppet());
    const turn = deferred();
    here.tell('act', () => turn.promise);
    const stopped = endingOf(a.system.stop(farRef(a.system, here)));
    await cluster.advance(50);
    cluster.hub.cut('a');
    await cluster.advance(20_000);
    cluster.hub.heal();
    await cluster.advance(2_000);
    turn.resolve();
    await cluster.advance(2_000);
    expect(stopped.is).toBe('resolved');
  });

  it('is refused without a reason that means something, and for what has no one actor', async () => {
    const cluster = testCluster();
    const a = await cluster.start('a');
    const keyed = a.system.keyed(puppet(), { shards: 2 });
    await expect(a.system.stop(keyed.forKey('x'))).rejects.toMatchObject({ code: 'ERR_OPTION_INVALID' });
    const ref = a.system.ref(Puppet, 'x', { node: 'b' });
    const wrong = a.system.stop(ref, 'killed' as 'normal');
    await expect(wrong).rejects.toMatchObject({ code: 'ERR_OPTION_INVALID' });
    for (const call of ['drain', 'kill'] as const)
      await expect(a.system[call](ref)).rejects.toMatchObject({
        code: 'ERR_OPTION_INVALID',
        details: { expected: 'a ref to an actor of this process' },
      });
  });
});
