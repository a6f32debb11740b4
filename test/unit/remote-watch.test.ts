import { describe, expect, it } from 'vitest';
import { farRef, farWatch, Watcher } from '../support/far-watch.ts';
import { Puppet, type PuppetRef, puppet } from '../support/puppet.ts';

const FAIL = (): never => {
  throw new Error('fail');
};
const QUICK = { minMs: 10, maxMs: 10, jitter: 0 };

describe('watch of an actor of another node', () => {
  it('P40 tells once of an end, however often it was asked for, with reason and the text of the cause', async () => {
    const { cluster, inWatcher, subject, notices } = await farWatch();
    const { here, far } = await subject();
    await inWatcher((ctx) => {
      ctx.watch(far);
      ctx.watch(far);
    });
    await inWatcher((ctx) => ctx.watch(far));
    expect(notices).toEqual([]);
    here.tell('act', FAIL);
    await cluster.advance(50);
    expect(notices).toHaveLength(1);
    expect(notices[0]).toMatchObject({
      reason: 'failed',
      existenceConfirmed: true,
      cause: { message: 'Error: fail' },
    });
    expect(notices[0]?.ref).toBe(far);
  });

  it('P44 says nothing of restarts', async () => {
    const { cluster, a, b, inWatcher, notices } = await farWatch();
    const here = await b.system.spawn(puppet(), { backoff: QUICK });
    const far = farRef(a.system, here);
    await inWatcher((ctx) => ctx.watch(far));
    here.tell('act', FAIL);
    await cluster.advance(100);
    expect(notices).toEqual([]);
    await cluster.during(b.system.stop(here));
    await cluster.advance(50);
    expect(notices.map(({ reason }) => reason)).toEqual(['shutdown']);
  });

  it('P41 tells of the dead and of those who never were as noproc, never inside the call', async () => {
    const { cluster, a, b, inWatcher, subject, notices } = await farWatch();
    const { here, far } = await subject();
    await cluster.during(b.system.stop(here));
    const during: number[] = [];
    await inWatcher((ctx) => {
      ctx.watch(far);
      ctx.watch(a.system.ref(Puppet, 'nobody', { node: 'b' }));
      ctx.watch(a.system.ref(Puppet, '/user/x', { node: 'c' }));
      during.push(notices.length);
    });
    expect(during).toEqual([0]);
    const told = notices.map(({ ref, reason, existenceConfirmed }) => [
      ref.address,
      reason,
      existenceConfirmed,
    ]);
    expect(told).toHaveLength(3);
    expect(told).toEqual(
      expect.arrayContaining([
        [far.address, 'noproc', false],
        ['//b:nobody', 'noproc', false],
        ['//c/user/x', 'nodedown', false],
      ]),
    );
    await inWatcher((ctx) => ctx.watch(far));
    expect(notices).toHaveLength(4);
  });

  it('watches by a name whoever holds it when the word arrives', async () => {
    const { cluster, a, b, inWatcher, subject, notices } = await farWatch();
    const { here } = await subject();
    b.system.register('judge', here);
    const byName = a.system.ref(Puppet, 'judge', { node: 'b' });
    await inWatcher((ctx) => ctx.watch(byName));
    await cluster.during(b.system.stop(here));
    await cluster.advance(50);
    expect(notices).toMatchObject([{ ref: byName, reason: 'shutdown', existenceConfirmed: true }]);
  });

  it('watches by a name of the cluster whoever holds it on another node', async () => {
    const { cluster, a, b, inWatcher, subject, notices } = await farWatch();
    const { here } = await subject();
    b.system.register('umpire', here);
    await cluster.advance(50);
    const byName = a.system.ref(Puppet, 'umpire');
    await inWatcher((ctx) => ctx.watch(byName));
    await cluster.during(b.system.stop(here));
    await cluster.advance(50);
    expect(notices).toMatchObject([{ ref: byName, reason: 'shutdown', existenceConfirmed: true }]);
  });

  it('P42 tells of an end after everything the dead actor had sent, in whatever lane', async () => {
    const { cluster, a, watcher, inWatcher, subject, says, seen } = await farWatch();
    const { here, far } = await subject();
    await inWatcher((ctx) => ctx.watch(far));
    a.system.suspend(watcher);
    says(
      here,
      [
        ['low', 'background'],
        ['high', 'critical'],
        ['mid', 'normal'],
      ],
      (ctx) => ctx.stopSelf(),
    );
    await cluster.advance(50);
    a.system.resume(watcher);
    await cluster.advance(50);
    expect(seen).toEqual(['high', 'mid', 'low', 'terminated']);
  });

  it('P42 waits for messages of the dead that have come to the node and find no room', async () => {
    const { cluster, a, watcher, inWatcher, subject, says, seen } = await farWatch({ capacity: 2 });
    const { here, far } = await subject();
    await inWatcher((ctx) => ctx.watch(far));
    a.system.suspend(watcher);
    const words = Array.from({ length: 6 }, (_, n) => [String(n), 'normal'] as const);
    says(here, words, (ctx) => ctx.stopSelf());
    await cluster.advance(50);
    a.system.resume(watcher);
    await cluster.advance(50);
    expect(seen).toEqual(['0', '1', '2', '3', '4', '5', 'terminated']);
  });

  it('P42 is not held back by a message of the dead that is taken back while it waits for room', async () => {
    const { cluster, a, watcher, inWatcher, subject, toWatcher, seen } = await farWatch({ capacity: 2 });
    const { here, far } = await subject();
    await inWatcher((ctx) => ctx.watch(far));
    a.system.suspend(watcher);
    here.tell('act', (ctx) => {
      for (const word of ['one', 'two']) ctx.tell(toWatcher, 'say', { word });
      ctx
        .send(toWatcher, 'say', { word: 'three' }, { receipt: true, timeoutMs: 1_000 })
        .catch(() => undefined);
      ctx.stopSelf();
    });
    await cluster.advance(500);
    await cluster.advance(1_000);
    expect(seen).toEqual([]);
    a.system.resume(watcher);
    await cluster.advance(50);
    expect(seen).toEqual(['one', 'two', 'terminated']);
  });

  it('P42 tells of each ref by which one actor is watched, after its last word', async () => {
    const { cluster, a, watcher, inWatcher, subject, says, seen } = await farWatch();
    const { here, far } = await subject('twice');
    await inWatcher((ctx) => {
      ctx.watch(far);
      ctx.watch(a.system.ref(Puppet, '/user/twice', { node: 'b' }));
    });
    a.system.suspend(watcher);
    says(here, [['word', 'background']], (ctx) => ctx.stopSelf());
    await cluster.advance(50);
    a.system.resume(watcher);
    await cluster.advance(50);
    expect(seen).toEqual(['word', 'terminated', 'terminated']);
  });

  it('P42 holds for words that a broker gives out again behind the news of the end', async () => {
    const { cluster, inWatcher, subject, says, seen } = await farWatch();
    const { here, far } = await subject();
    await inWatcher((ctx) => ctx.watch(far));
    cluster.hub.reorder({ share: 1, depth: 3 }, 'a');
    says(here, [['one', 'normal']]);
    await cluster.advance(1);
    cluster.hub.heal('a');
    says(here, [['two', 'normal']], (ctx) => ctx.stopSelf());
    await cluster.advance(60_000);
    expect([...seen].sort()).toEqual(['one', 'terminated', 'two']);
    expect(seen.at(-1)).toBe('terminated');
  });

  it('P43 says nothing after unwatch, not even what is queued already, and watches anew', async () => {
    const { cluster, a, b, watcher, inWatcher, subject, notices, counts } = await farWatch();
    const first = await subject();
    const second = await subject();
    await inWatcher((ctx) => {
      ctx.watch(first.far);
      ctx.watch(second.far);
    });
    expect(counts(b, first.here)).toEqual({ watchers: 1, watching: 0, links: 0 });
    expect(counts(a, watcher)).toEqual({ watchers: 0, watching: 2, links: 0 });
    await inWatcher((ctx) => ctx.unwatch(first.far));
    expect(counts(b, first.here).watchers).toBe(0);
    a.system.suspend(watcher);
    // In its queue, the turn that unwatches stands before the notice is handled: a continuation of the turn before.
    watcher.tell('act', (ctx) => ctx.unwatch(second.far), { priority: 'critical' });
    await cluster.advance(1);
    await cluster.during(b.system.stop(first.here));
    a.system.resume(watcher);
    await cluster.advance(50);
    await cluster.during(b.system.stop(second.here));
    await cluster.advance(50);
    expect(notices).toEqual([]);
    expect(counts(a, watcher).watching).toBe(0);
    await inWatcher((ctx) => ctx.watch(second.far));
    expect(notices).toHaveLength(1);
  });

  it('P43 unwatch takes back a notice that has come and waits behind a long turn', async () => {
    const { cluster, b, watcher, inWatcher, subject, notices } = await farWatch();
    const { here, far } = await subject();
    await inWatcher((ctx) => ctx.watch(far));
    let goOn: () => void = () => undefined;
    const until = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    watcher.tell('act', async (ctx) => {
      await until;
      ctx.unwatch(far);
    });
    await cluster.advance(50);
    await cluster.during(b.system.stop(here));
    await cluster.advance(50);
    goOn();
    await cluster.advance(50);
    expect(notices).toEqual([]);
  });

  it('P47 tells of each watched actor once when their node is lost, and of new watches at once', async () => {
    const { cluster, a, watcher, inWatcher, subject, notices, counts } = await farWatch();
    const subjects = await Promise.all([subject(), subject(), subject()]);
    await inWatcher((ctx) => {
      for (const { far } of subjects) ctx.watch(far);
    });
    cluster.kill('b');
    await cluster.advance(100_000);
    expect(notices.map(({ reason, existenceConfirmed }) => [reason, existenceConfirmed])).toEqual(
      subjects.map(() => ['nodedown', false]),
    );
    expect(new Set(notices.map(({ ref }) => ref)).size).toBe(3);
    expect(counts(a, watcher).watching).toBe(0);
    await inWatcher((ctx) => {
      for (const { far } of subjects) ctx.watch(far);
    });
    expect(notices).toHaveLength(6);
    expect(notices.slice(3).every(({ reason }) => reason === 'nodedown')).toBe(true);
  });

  it('P47 is final for a node that was silent for too long and comes back', async () => {
    const { cluster, a, inWatcher, subject, notices } = await farWatch();
    const { here, far } = await subject('x');
    await inWatcher((ctx) => ctx.watch(far));
    cluster.hub.cut('b');
    await cluster.advance(100_000);
    expect(notices.map(({ reason }) => reason)).toEqual(['nodedown']);
    cluster.hub.heal();
    await cluster.advance(10_000);
    expect(a.system.nodes.map(({ name }) => name).sort()).toEqual(['a', 'b']);
    expect(notices).toHaveLength(1);
    await inWatcher((ctx) => {
      ctx.watch(far);
      ctx.watch(a.system.ref(Puppet, '/user/x', { node: 'b' }));
    });
    expect(notices.map(({ reason }) => reason)).toEqual(['nodedown', 'nodedown']);
    here.tell('act', (ctx) => ctx.stopSelf());
    await cluster.advance(50);
    expect(notices.map(({ reason }) => reason)).toEqual(['nodedown', 'nodedown', 'normal']);
  });

  it('P47 holds on for those who watch from a node that was taken for dead: they hear of ends as before', async () => {
    const { cluster, b, inWatcher, subject, notices, counts } = await farWatch();
    const [one, two] = [await subject(), await subject()];
    await inWatcher((ctx) => {
      ctx.watch(one.far);
      ctx.watch(two.far);
    });
    cluster.hub.cut('a');
    await cluster.advance(100_000);
    expect(counts(b, one.here).watchers).toBe(0);
    await b.system.stop(two.here);
    cluster.hub.heal();
    await cluster.advance(10_000);
    expect(notices).toMatchObject([{ ref: two.far, reason: 'noproc' }]);
    expect(counts(b, one.here).watchers).toBe(1);
    await cluster.during(b.system.stop(one.here));
    await cluster.advance(50);
    expect(notices).toMatchObject([{ ref: two.far }, { ref: one.far, reason: 'shutdown' }]);
  });

  it('tells how the actors of a node that leaves have ended', async () => {
    const { cluster, b, inWatcher, subject, says, seen, notices } = await farWatch();
    const { here, far } = await subject();
    await inWatcher((ctx) => ctx.watch(far));
    says(here, [['last', 'background']]);
    const left = b.system.shutdown();
    await cluster.advance(10_000);
    await left;
    expect(seen).toEqual(['last', 'terminated']);
    expect(notices).toMatchObject([{ ref: far, reason: 'shutdown', existenceConfirmed: true }]);
  });

  it.each([
    [1_000, 'shutdown', true],
    [5_000, 'nodedown', false],
  ] as const)(
    'takes the last words of a node that has left: %d ms later %s',
    async (ms, reason, existenceConfirmed) => {
      const { cluster, a, b, inWatcher, subject, notices } = await farWatch();
      const { far } = await subject();
      await inWatcher((ctx) => ctx.watch(far));
      cluster.hub.partition(['a'], ['b']);
      const left = b.system.shutdown();
      while (a.system.nodes.length > 1) await cluster.advance(10);
      await left;
      await cluster.advance(ms);
      cluster.hub.partition();
      await cluster.advance(10_000);
      expect(notices).toMatchObject([{ ref: far, reason, existenceConfirmed }]);
    },
  );

  it('P111 kills nobody while the broker is away, and goes on when it is back', async () => {
    const { cluster, b, inWatcher, subject, notices, watcher } = await farWatch();
    const [one, two] = [await subject(), await subject()];
    await inWatcher((ctx) => ctx.watch(one.far));
    cluster.hub.cut();
    await cluster.advance(100_000);
    expect(notices).toEqual([]);
    watcher.tell('act', (ctx) => ctx.watch(two.far));
    await b.system.stop(one.here);
    await cluster.advance(10_000);
    expect(notices).toEqual([]);
    cluster.hub.heal();
    await cluster.advance(10_000);
    expect(notices).toMatchObject([{ ref: one.far, reason: 'shutdown' }]);
    await cluster.during(b.system.stop(two.here));
    await cluster.advance(50);
    expect(notices).toMatchObject([{ ref: one.far }, { ref: two.far, reason: 'shutdown' }]);
  });

  it('is not lost where the outbox is full', async () => {
    const { cluster, a, b, watcher, inWatcher, subject, notices } = await farWatch();
    const { here, far } = await subject();
    cluster.hub.cut('a');
    const nobody = a.system.ref(Watcher, 'nobody', { node: 'b' });
    while (nobody.tell('say', { word: 'x' }, { priority: 'critical' }) === 'accepted');
    await inWatcher((ctx) => ctx.watch(far));
    cluster.hub.heal();
    await cluster.advance(6_000);
    await cluster.during(b.system.stop(here));
    await cluster.advance(50);
    expect(notices).toMatchObject([{ ref: far, reason: 'shutdown' }]);
    expect(a.system.inspect(watcher)?.watching).toBe(0);
  });

  it('forgets watchers that end, and those on a node that is lost', async () => {
    const { cluster, a, b, watcher, inWatcher, subject, counts } = await farWatch();
    const { here, far } = await subject();
    const other = await a.system.spawn(puppet(), { restart: 'temporary' });
    other.tell('act', (ctx) => ctx.watch(far));
    await inWatcher((ctx) => ctx.watch(far));
    expect(counts(b, here).watchers).toBe(2);
    await cluster.during(a.system.stop(other));
    await cluster.advance(50);
    expect(counts(b, here).watchers).toBe(1);
    expect(counts(a, watcher).watching).toBe(1);
    cluster.kill('a');
    await cluster.advance(100_000);
    expect(counts(b, here).watchers).toBe(0);
  });

  it('keeps a watch through restarts of the watcher', async () => {
    const { cluster, b, watcher, inWatcher, subject, notices } = await farWatch();
    const { here, far } = await subject();
    await inWatcher((ctx) => ctx.watch(far));
    watcher.tell('act', FAIL);
    await cluster.advance(50);
    await cluster.during(b.system.stop(here));
    await cluster.advance(50);
    expect(notices).toHaveLength(1);
  });

  it('goes both ways between two nodes, and stays where it was asked for', async () => {
    const { cluster, b, watcher, subject, toWatcher } = await farWatch();
    const { here } = await subject();
    const notices: string[] = [];
    const mutual = await b.system.spawn(
      puppet({ onTerminated: (_ctx, { reason }) => void notices.push(reason) }),
    );
    const far: unknown = toWatcher;
    mutual.tell('act', (ctx) => ctx.watch(far as PuppetRef));
    await cluster.advance(50);
    expect(here).toBeDefined();
    watcher.tell('act', FAIL);
    await cluster.advance(50);
    expect(notices).toEqual([]); // it was restarted
    cluster.kill('a');
    await cluster.advance(100_000);
    expect(notices).toEqual(['nodedown']);
    expect(Watcher.name).toBe('watcher');
  });
});

describe('link with an actor of another node', () => {
  it.each([
    ['failed', FAIL, true],
    ['normal', (ctx: { stopSelf(): void }) => ctx.stopSelf(), false],
  ] as const)('fails its owner when the end was abnormal: %s', async (_reason, act, isAbnormal) => {
    const { cluster, a, subject, counts } = await farWatch();
    const { here, far } = await subject();
    const owner = await a.system.spawn(puppet(), { restart: 'temporary' });
    owner.tell('act', (ctx) => ctx.link(far));
    await cluster.advance(50);
    expect(counts(a, owner)).toEqual({ watchers: 0, watching: 0, links: 1 });
    here.tell('act', act);
    await cluster.advance(50);
    const died = a.events.find((event) => event.type === 'actor-failed');
    if (!isAbnormal) expect(died).toBeUndefined();
    else
      expect(died).toMatchObject({
        error: {
          code: 'ERR_LINK_DIED',
          details: { linked: far.address, reason: 'failed' },
          cause: { message: 'Error: fail' },
        },
      });
  });

  it('fails its owner when the node is lost, unless it was taken back', async () => {
    const { cluster, a, subject, counts } = await farWatch();
    const { far } = await subject();
    const owner = await a.system.spawn(puppet(), { restart: 'temporary' });
    const free = await a.system.spawn(puppet(), { restart: 'temporary' });
    owner.tell('act', (ctx) => ctx.link(far));
    free.tell('act', (ctx) => ctx.link(far));
    await cluster.advance(50);
    free.tell('act', (ctx) => ctx.unlink(far));
    await cluster.advance(50);
    cluster.kill('b');
    await cluster.advance(100_000);
    expect(a.system.inspect(owner)?.status).toBe('stopped');
    expect(a.system.inspect(free)?.status).toBe('running');
    expect(counts(a, free).links).toBe(0);
    expect(a.events).toContainEqual(
      expect.objectContaining({
        type: 'actor-failed',
        error: expect.objectContaining({ code: 'ERR_LINK_DIED' }),
      }),
    );
  });
});
