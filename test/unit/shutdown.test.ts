import { createSystem, supervisor } from 'troupe';
import { describe, expect, it } from 'vitest';
import { deferred, endingOf, never, type PuppetContext, puppet } from '../support/puppet.ts';
import { testSystem } from '../support/test-system.ts';

const NOTHING = (): void => undefined;
const NOW = { minMs: 0, jitter: 0 };
const FAIL = (): never => {
  throw new Error('fail');
};

describe('a shutdown', () => {
  it('goes through its phases: announced while open, drained while closed, the tree, then the dead letters', async () => {
    const { system, events, settle } = await testSystem();
    const ref = await system.spawn(puppet({ onStop: () => void log.push('onStop') }));
    const log: string[] = [];
    const held = deferred();
    const announced = deferred();
    ref.tell('act', () => held.promise.then(() => log.push('turn')));
    ref.tell('act', () => void log.push('queued'));
    const reading = (async () => {
      for await (const { reason } of system.deadLetters) log.push(`dead: ${reason}`);
      log.push('read');
    })();
    system.onShutdown('announce', 'leaving', () => announced.promise);
    system.onShutdown('stop-intake', 'said', () => void log.push(`intake: ${ref.tell('act', NOTHING)}`));
    system.onShutdown('checkpoint', 'said', () => void log.push('checkpoint'));
    system.onShutdown('flush', 'said', () => void log.push('flush'));
    await settle();
    const ending = endingOf(system.shutdown({ drainMs: 100 }));
    expect(ref.tell('act', () => void log.push('while announced'))).toBe('accepted');
    expect(system.tree().status).toBe('running');
    announced.resolve();
    await settle();
    expect(log).toEqual(['intake: stopped', 'dead: stopped']);
    held.resolve();
    await settle();
    expect(log.slice(2)).toEqual([
      'turn',
      'queued',
      'while announced',
      'checkpoint',
      'onStop',
      'flush',
      'read',
    ]);
    expect(ending.is).toBe('resolved');
    await reading;
    expect(events.flatMap((event) => (event.type === 'shutdown-phase-entered' ? [event.phase] : []))).toEqual(
      ['announce', 'stop-intake', 'drain', 'checkpoint', 'hand-off', 'stop-actors', 'flush', 'close', 'exit'],
    );
  });

  it('ends the drain as soon as nothing has work, without looking at the clock', async () => {
    const { system, settle, clock } = await testSystem();
    const [a, b] = [await system.spawn(puppet()), await system.spawn(puppet())];
    const held = deferred();
    const done: string[] = [];
    a.tell('act', async (ctx: PuppetContext) => {
      await held.promise;
      ctx.tell(b, 'act', (inner: PuppetContext) => {
        done.push('b');
        inner.continue('next', () => void done.push('next'));
      });
    });
    await settle();
    const ending = endingOf(system.shutdown({ drainMs: 1_000 }));
    await settle();
    expect(ending.is).toBeUndefined();
    held.resolve();
    await settle();
    expect([ending.is, clock.now(), clock.pending]).toEqual(['resolved', 0, 0]);
    expect(done).toEqual(['b', 'next']);
  });

  it('drains what a resumed actor, a cancelled ask or a stopped actor leaves behind', async () => {
    for (const leave of ['resume', 'abort', 'stop'] as const) {
      const { system, settle } = await testSystem();
      const ref = await system.spawn(puppet());
      system.suspend(ref);
      const controller = new AbortController();
      const asked = endingOf(ref.ask('answer', () => 1, { signal: controller.signal }));
      const ending = endingOf(system.shutdown({ drainMs: 1_000 }));
      await settle();
      expect([ending.is, asked.is]).toEqual([undefined, undefined]);
      if (leave === 'resume') system.resume(ref);
      if (leave === 'abort') controller.abort(new Error('no more'));
      if (leave === 'stop') void system.stop(ref);
      await settle();
      expect(ending.is).toBe('resolved');
      expect(asked.is).toBe({ resume: 'resolved', abort: 'rejected', stop: 'ERR_ACTOR_STOPPED' }[leave]);
    }
  });

  it('waits for a suspended actor: for its queue, and for what it wants to do next', async () => {
    for (const what of ['queue', 'continuation'] as const) {
      const { system, settle } = await testSystem();
      const ref = await system.spawn(puppet());
      const done: string[] = [];
      if (what === 'queue') {
        system.suspend(ref);
        ref.tell('act', () => void done.push(what));
      } else {
        ref.tell('act', (ctx) => {
          system.suspend(ref);
          ctx.continue('next', () => void done.push(what));
        });
        await settle();
      }
      const ending = endingOf(system.shutdown({ drainMs: 1_000 }));
      await settle();
      expect([ending.is, done]).toEqual([undefined, []]);
      system.resume(ref);
      await settle();
      expect([ending.is, done]).toEqual(['resolved', [what]]);
    }
  });

  it('restarts nobody: what fails or left, or waits for its restart, ends', async () => {
    const agent = puppet();
    const root = supervisor({
      children: {
        fails: agent.child({ backoff: NOW }),
        permanent: agent.child({ restart: 'permanent', backoff: NOW }),
        waits: agent.child({ backoff: { minMs: 50, jitter: 0 } }),
      },
    });
    const { system, events, advance, settle } = await testSystem({ root });
    const announced = deferred();
    system.onShutdown('announce', 'leaving', () => announced.promise, { timeoutMs: 1_000 });
    system.refs.waits.tell('act', FAIL);
    await settle();
    const ending = endingOf(system.shutdown({ drainMs: 500 }));
    system.refs.fails.tell('act', FAIL);
    system.refs.permanent.tell('act', (ctx) => ctx.stopSelf());
    await advance(100);
    const restarted = events.filter(({ type }) => type === 'actor-restarted');
    expect(restarted).toEqual([]);
    const reasons = events.flatMap((event) => (event.type === 'actor-stopped' ? [event.reason] : []));
    expect(reasons.sort((a, b) => a.localeCompare(b))).toEqual(['failed', 'failed', 'normal']);
    announced.resolve();
    await settle();
    expect(ending.is).toBe('resolved');
  });

  it('drains past an actor that waits for its restart, and past a group that was being restarted', async () => {
    for (const strategy of ['one-for-one', 'one-for-all'] as const) {
      const agent = puppet();
      const root = supervisor({
        strategy,
        children: { fails: agent.child({ backoff: { minMs: 200, jitter: 0 } }), other: agent.child() },
      });
      const { system, events, settle, advance, clock } = await testSystem({ root });
      const branchless = await system.spawn(agent);
      system.refs.fails.tell('act', FAIL);
      system.refs.fails.tell('act', NOTHING);
      await settle();
      const held = deferred();
      branchless.tell('act', () => held.promise);
      await settle();
      const ending = endingOf(system.shutdown({ drainMs: 1_000 }));
      await advance(50);
      expect(ending.is).toBeUndefined();
      held.resolve();
      await settle();
      expect([ending.is, clock.now()]).toEqual(['resolved', 50]);
      await advance(1_000);
      expect(events.filter(({ type }) => type === 'actor-restarted')).toEqual([]);
      expect(system.deadLetters.list({ reason: 'stopped' })).toHaveLength(1);
    }
  });

  it('brings back no group whose pause ends while it drains, and no branch that ends', async () => {
    const agent = puppet();
    const significant = agent.child({ restart: 'temporary', significant: true });
    const root = supervisor({
      children: {
        group: supervisor({
          strategy: 'one-for-all',
          children: { fails: agent.child({ backoff: { minMs: 20, jitter: 0 } }), other: agent.child() },
        }),
        branch: supervisor({
          restart: 'permanent',
          autoShutdown: 'any-significant',
          backoff: { minMs: 20, jitter: 0 },
          children: { significant },
        }),
      },
    });
    const { system, events, settle, advance } = await testSystem({ root });
    const busy = await system.spawn(agent);
    busy.tell('act', never);
    system.refs.group.fails.tell('act', FAIL);
    const held = deferred();
    system.refs.branch.significant.tell('act', (ctx) => held.promise.then(() => ctx.stopSelf()));
    await settle();
    const ended = system.shutdown({ drainMs: 500, deadlineMs: 1_000 });
    events.length = 0;
    held.resolve();
    await advance(400);
    expect(events).toContainEqual(expect.objectContaining({ type: 'supervisor-stopped' }));
    expect(events.filter(({ type }) => type === 'actor-restarted' || type === 'actor-started')).toEqual([]);
    await advance(600);
    await ended;
  });

  it('kills what has not ended nine tenths into its deadline, and still flushes and closes', async () => {
    const { system, events, advance, settle, clock } = await testSystem();
    let stops = 0;
    const stubborn = puppet({
      onStop: () => {
        stops++;
        return never();
      },
    });
    const hanging = await system.spawn(stubborn, { shutdownMs: 100_000 });
    await system.spawn(stubborn, { shutdownMs: 100_000 });
    const turn = { isAborted: false };
    const asked = endingOf(
      hanging.ask('answer', (ctx) => {
        ctx.signal.addEventListener('abort', () => {
          turn.isAborted = true;
        });
        return never();
      }),
    );
    hanging.tell('act', NOTHING);
    await settle();
    const flushed: number[] = [];
    system.onShutdown('flush', 'spans', () => void flushed.push(clock.now()));
    const ending = endingOf(system.shutdown({ deadlineMs: 1_000 }));
    await advance(899);
    expect([flushed, turn.isAborted, asked.is]).toEqual([[], false, undefined]);
    await advance(1);
    expect([flushed, turn.isAborted, asked.is]).toEqual([[900], true, 'ERR_ACTOR_FAILED']);
    await settle();
    expect(stops).toBe(1); // of the one that had no turn to finish
    expect(ending.is).toBe('resolved');
    expect(system.deadLetters.list()).toMatchObject([{ reason: 'stopped' }]);
    expect(events).toContainEqual(
      expect.objectContaining({ type: 'shutdown-task-failed', phase: 'stop-actors', task: 'actors' }),
    );
  });

  it('kills at its deadline also what had not been told to end, with what is queued there', async () => {
    const seen: string[] = [];
    const { system, events, advance, settle } = await testSystem({
      root: supervisor({
        children: {
          first: puppet({ onStop: () => seen.push('first stops') }).child(),
          last: puppet({ onStop: never }).child({ shutdownMs: 100_000 }),
        },
      }),
    });
    const { first } = system.refs;
    first.tell('act', never);
    first.tell('act', NOTHING);
    await settle();
    const ending = endingOf(system.shutdown({ deadlineMs: 1_000 }));
    await advance(1_000);
    expect(ending.is).toBe('resolved');
    expect(seen).toEqual([]);
    expect(system.deadLetters.list()).toMatchObject([{ message: 'act', reason: 'killed' }]);
    expect(events).toContainEqual(
      expect.objectContaining({
        type: 'actor-stopped',
        address: expect.stringMatching(/^\/root\/first#/),
        reason: 'killed',
      }),
    );
  });

  it('tells the log of a task that failed', async () => {
    const { system, logs } = await testSystem();
    const error = new Error('no disk');
    system.onShutdown('flush', 'spans', () => Promise.reject(error));
    await system.shutdown();
    expect(logs).toMatchObject([
      {
        level: 'error',
        address: '/',
        text: "the task 'spans' of the shutdown phase 'flush' failed",
        fields: { error },
      },
    ]);
  });

  it('takes its times from the system unless the call says otherwise', async () => {
    for (const [options, endsAtMs] of [
      [undefined, 300],
      [{ drainMs: 100 }, 100],
      [{ drainMs: undefined, deadlineMs: 200 }, 180],
    ] as const) {
      const { system, advance, clock } = await testSystem({ shutdown: { drainMs: 300, deadlineMs: 10_000 } });
      const ref = await system.spawn(puppet(), { shutdownMs: 1 });
      ref.tell(
        'act',
        (ctx) =>
          new Promise((_resolve, reject) => {
            ctx.signal.addEventListener('abort', () => reject(new Error('aborted')));
          }),
      );
      let stoppedAtMs = -1;
      system.onShutdown('stop-actors', 'time', () => {
        stoppedAtMs = clock.now();
      });
      const ended = system.shutdown(options);
      await advance(1_000);
      await ended;
      expect(stoppedAtMs).toBe(endsAtMs);
    }
  });

  it('refuses options that are none, and tasks once it has begun', async () => {
    const { system } = await testSystem();
    for (const options of [
      { drainMs: -1 },
      { deadlineMs: 0 },
      { deadlineMs: Infinity },
      { graceMs: 1 },
      5,
      null,
    ])
      expect(() => system.shutdown(options as object)).toThrow(
        expect.objectContaining({ code: 'ERR_OPTION_INVALID' }),
      );
    expect(system.tree().status).toBe('running');
    for (const shutdown of [{ drainMs: '1' }, 5, { signals: true }])
      await expect(createSystem({ name: 'test', shutdown: shutdown as object })).rejects.toMatchObject({
        code: 'ERR_OPTION_INVALID',
      });
    const ended = system.shutdown();
    expect(() => system.onShutdown('close', 'late', NOTHING)).toThrow(
      expect.objectContaining({ code: 'ERR_ACTOR_STOPPED' }),
    );
    await ended;
  });

  it('refuses calls from outside as a stopped actor does: each is counted, an event, and a dead letter of its priority', async () => {
    const { system, kernel, events, settle } = await testSystem();
    const ref = await system.spawn(puppet());
    const held = deferred();
    ref.tell('act', () => held.promise);
    await settle();
    const ending = system.shutdown({ drainMs: 100 });
    await settle();
    expect(system.inspect(ref)?.status).toBe('running'); // it drains
    const said = { priority: 'high' } as const;
    expect(ref.tell('act', NOTHING, said)).toBe('stopped');
    const sent = ref.send('act', NOTHING, said);
    const asked = ref.ask('answer', () => 1, said);
    const stopped = { code: 'ERR_ACTOR_STOPPED', details: { address: ref.address } };
    await expect(sent).rejects.toMatchObject(stopped);
    await expect(asked).rejects.toMatchObject(stopped);
    const { address } = ref;
    const letters = [{ message: 'act' }, { message: 'act' }, { message: 'answer' }];
    expect(system.deadLetters.list()).toMatchObject(
      letters.map((letter) => ({ ...letter, ...said, address, reason: 'stopped' })),
    );
    expect(events.filter(({ type }) => type === 'message-refused')).toMatchObject(
      letters.map((letter) => ({ ...letter, address, verdict: 'stopped', priority: 'high' })),
    );
    expect(kernel.telemetry.tallyOf('puppet').refused.of('stopped')).toBe(3);
    held.resolve();
    await ending;
  });

  it('leaves a system that refuses everything, and says why', async () => {
    const { system } = await testSystem();
    const ref = await system.spawn(puppet());
    ref.tell('act', FAIL);
    await system.shutdown();
    await system.shutdown();
    const [letter] = system.deadLetters.list();
    const stopped = { code: 'ERR_ACTOR_STOPPED' };
    expect(ref.tell('act', NOTHING)).toBe('stopped');
    await expect(ref.send('act', NOTHING)).rejects.toMatchObject(stopped);
    await expect(ref.ask('answer', () => 1)).rejects.toMatchObject(stopped);
    await expect(system.spawn(puppet())).rejects.toMatchObject(stopped);
    await expect(system.publish('news', 1)).rejects.toMatchObject(stopped);
    await expect(system.subscribe('news', NOTHING)).rejects.toMatchObject(stopped);
    await expect(system.deadLetters.replay(letter?.id ?? '')).rejects.toMatchObject(stopped);
    expect(() => system.onShutdown('close', 'late', NOTHING)).toThrow(expect.objectContaining(stopped));
    expect(() => system.register('name', ref)).toThrow(expect.objectContaining(stopped));
    await system.stop(ref);
    expect([system.inspect(ref)?.status, system.tree().children.flatMap(({ children }) => children)]).toEqual(
      ['stopped', []],
    );
  });
});
