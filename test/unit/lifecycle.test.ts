import { agent, ask, protocol, supervisor, tell, topic, type } from 'troupe';
import { describe, expect, it } from 'vitest';
import { startSystem } from '../../runtime/system.ts';
import type { AgentDefinition } from '../../src/protocol/agent.ts';
import { HandHost } from '../support/hand-host.ts';
import type { PuppetContext, PuppetRef } from '../support/puppet.ts';
import { deferred, endingOf, never, Puppet, puppet } from '../support/puppet.ts';
import { unhandledDuring } from '../support/rejections.ts';
import { testSystem } from '../support/test-system.ts';

const QUICK = { minMs: 100, maxMs: 100, jitter: 0 };

describe('a start', () => {
  it('P7 that fails rejects spawn with the cause, frees the name and tells each watcher once', async () => {
    const { system, settle } = await testSystem();
    const gate = deferred();
    const cause = new Error('no state');
    const stops: string[] = [];
    const failing = puppet({
      state: () => gate.promise.then(() => Promise.reject(cause)),
      onStop: () => stops.push('x'),
    });
    const notices: unknown[] = [];
    const watcher = await system.spawn(puppet({ onTerminated: (_ctx, { reason }) => notices.push(reason) }));
    const spawned = endingOf(system.spawn(failing, { name: 'late' }));
    const ref = system.ref(Puppet, '/user/late');
    watcher.tell('act', (ctx) => ctx.watch(ref));
    expect(ref.tell('act', () => undefined)).toBe('accepted');
    const asked = endingOf(ref.ask('answer', () => 1));
    await settle();
    gate.resolve();
    await settle();
    const details = { address: expect.stringMatching(/^\/user\/late#/) };
    expect(spawned).toMatchObject({ is: 'ERR_START_FAILED', error: { cause, details } });
    expect(asked.is).toBe('ERR_ACTOR_STOPPED');
    expect(notices).toEqual(['failed']);
    expect(stops).toEqual([]);
    expect(system.deadLetters.list().map(({ reason }) => reason)).toEqual(['stopped', 'stopped']);
    expect(system.lookup(Puppet, 'late')).toBeUndefined();
    await system.spawn(puppet(), { name: 'late' });
  });

  it('P7 that fails after it has spawned children rejects only when they have ended and the name is free', async () => {
    const { system, settle } = await testSystem();
    const child = puppet({ onStop: () => Promise.resolve() });
    const parent = puppet({
      state: (_args, ctx) => {
        void ctx.spawn(child, { name: 'c' });
        throw new Error('no');
      },
    });
    const spawned = system.spawn(parent, { name: 'p' });
    await expect(spawned).rejects.toMatchObject({ code: 'ERR_START_FAILED' });
    await system.spawn(puppet(), { name: 'p' });
    await settle();
  });

  it('whose actor is killed or stopped meanwhile rejects spawn, although its state never comes', async () => {
    for (const end of ['kill', 'stop'] as const) {
      const { system, advance } = await testSystem();
      const slow = puppet({ state: never, startTimeoutMs: 1e6 });
      const spawned = endingOf(system.spawn(slow, { name: 'slow', shutdownMs: 10, restart: 'temporary' }));
      const ref = system.ref(Puppet, 'slow');
      await advance(1);
      const ended = endingOf(end === 'kill' ? system.kill(ref) : system.stop(ref));
      await advance(60_000);
      expect([end, ended.is, spawned.is]).toEqual([end, 'resolved', 'ERR_START_FAILED']);
    }
  });

  it('is over for the calls that come after it, also when it failed, and inside a turn', async () => {
    const { system, kernel, advance } = await testSystem();
    const during: unknown[] = [];
    const failing = puppet({
      state: () => {
        during.push(kernel.current);
        throw new Error('no start');
      },
    });
    await expect(system.spawn(failing)).rejects.toMatchObject({ code: 'ERR_START_FAILED' });
    expect([during[0] === undefined, kernel.current]).toEqual([false, undefined]);
    const outer = await system.spawn(puppet());
    expect(kernel.current).toBeUndefined();
    let around: unknown[] = [];
    outer.tell('act', async (ctx) => {
      const before = kernel.current;
      const spawned = ctx.spawn(puppet());
      around = [before === undefined, kernel.current === before];
      await spawned;
    });
    await advance(0);
    expect(around).toEqual([false, true]);
    expect(kernel.current).toBeUndefined();
  });

  it('takes no turn before its state is there, and is bounded in time', async () => {
    const { system, settle, advance } = await testSystem();
    const handled: number[] = [];
    const gate = deferred<unknown[]>();
    void system.spawn(puppet({ state: () => gate.promise }), { name: 'slow' });
    const ref = system.ref(Puppet, 'slow');
    ref.tell('act', () => handled.push(1));
    await settle();
    expect(handled).toEqual([]);
    gate.resolve([]);
    await settle();
    expect(handled).toEqual([1]);
    const stuck = endingOf(system.spawn(puppet({ state: never, startTimeoutMs: 500 })));
    await advance(499);
    expect(stuck.is).toBeUndefined();
    await advance(1);
    const details = { message: 'state', timeoutMs: 500 };
    const cause = { code: 'ERR_TURN_TIMEOUT', details };
    expect(stuck).toMatchObject({ is: 'ERR_START_FAILED', error: { cause } });
  });

  it.each(['sync', 'async'])(
    'that is stopped meanwhile (%s state) rejects spawn and leaves nothing',
    async (kind) => {
      const { system, settle, kernel } = await testSystem();
      const stopSelf = (ctx: { readonly self: PuppetRef }): void => {
        void system.stop(ctx.self);
      };
      const state =
        kind === 'sync'
          ? (_args: void, ctx: { readonly self: PuppetRef }) => {
              stopSelf(ctx);
              return [];
            }
          : async (_args: void, ctx: { readonly self: PuppetRef }) => {
              await Promise.resolve();
              stopSelf(ctx);
              return [];
            };
      const spawned = endingOf(system.spawn(puppet({ state }), { name: 'brief' }));
      await settle();
      expect(spawned).toMatchObject({
        is: 'ERR_START_FAILED',
        error: {
          cause: {
            code: 'ERR_ACTOR_STOPPED',
            details: { address: expect.stringMatching(/^\/user\/brief#/) },
          },
        },
      });
      expect(system.lookup(Puppet, 'brief')).toBeUndefined();
      expect(kernel.timeouts.size).toBe(0);
    },
  );

  it('of an agent without `state` is over at once, and leaves it undefined', async () => {
    const host = new HandHost();
    const system = await startSystem({ name: 'bare', log: false }, host);
    const Plain = protocol('plain', { state: ask(type<void>(), type<string>()) });
    const ref = await system.spawn(agent(Plain, { on: { state: (ctx) => typeof ctx.state } }));
    expect(system.inspect(ref)?.status).toBe('running');
    const asked = endingOf(ref.ask('state'));
    while (await host.turn());
    expect(asked.value).toBe('undefined');
  });

  it('is told to observers once, and each later one as a restart', async () => {
    const { system, advance, events } = await testSystem();
    const ref = await system.spawn(puppet(), { backoff: QUICK });
    for (let n = 0; n < 2; n++)
      ref.tell('act', () => {
        throw new Error('fail');
      });
    await advance(200);
    const { address } = ref;
    expect(
      events.filter((event) => event.type === 'actor-started' || event.type === 'actor-restarted'),
    ).toEqual([
      { type: 'actor-started', address },
      { type: 'actor-restarted', address, generation: 1 },
      { type: 'actor-restarted', address, generation: 2 },
    ]);
  });

  it('that spawns itself over and over fails as a whole, and the system goes on', async () => {
    const { system, settle, advance } = await testSystem();
    let depth = 0;
    const Loop = protocol('loop', { go: tell() });
    const loop: AgentDefinition<typeof Loop> = agent(Loop, {
      state: async (_args: void, ctx) => {
        if (++depth > 200) throw new Error('deep enough');
        await ctx.spawn(loop);
        return depth;
      },
      on: { go: () => undefined },
    });
    let spawned: ReturnType<typeof endingOf> | undefined;
    const unheard = await unhandledDuring(async () => {
      spawned = endingOf(system.spawn(loop));
      await settle();
      await advance(1_000_000);
    });
    expect(spawned?.is).toBe('ERR_START_FAILED');
    expect(unheard).toEqual([]);
    const ref = await system.spawn(puppet());
    expect(await ref.ask('answer', () => 'still here')).toBe('still here');
  });
});

describe('a restart', () => {
  it('P8 has the state that `state` returned, never the old object', async () => {
    const { system, advance } = await testSystem();
    const states: unknown[][] = [];
    const ref = await system.spawn(puppet(), { backoff: QUICK });
    ref.tell('act', (ctx) => {
      states.push(ctx.state);
      ctx.state.push('mark');
      throw new Error('once');
    });
    await advance(100);
    ref.tell('act', (ctx) => states.push(ctx.state));
    await advance(0);
    expect(states[1]).toEqual([]);
    expect(states[1]).not.toBe(states[0]);
  });

  it('P38 begins when the children of the old generation have ended, also those of a start that failed', async () => {
    const { system, advance, settle } = await testSystem();
    const seen: string[] = [];
    let starts = 0;
    const child = puppet({ onStop: () => Promise.resolve().then(() => seen.push('child ended')) });
    const parent = puppet({
      state: async (_args, ctx) => {
        starts++;
        seen.push(`start ${starts}`);
        await ctx.spawn(child, { name: 'only' });
        if (starts === 2) throw new Error('second start fails');
        return [];
      },
    });
    const ref = await system.spawn(parent, { name: 'p', backoff: QUICK });
    ref.tell('act', () => {
      throw new Error('fail');
    });
    await settle();
    await advance(100);
    await advance(100);
    expect(seen).toEqual(['start 1', 'child ended', 'start 2', 'child ended', 'start 3']);
    expect(system.inspect(ref)).toMatchObject({ status: 'running', restarts: 2 });
  });

  it('forgets what a failed start wanted to do next', async () => {
    const { system, advance } = await testSystem();
    const done: number[] = [];
    let starts = 0;
    const again = puppet({
      state: (_args, ctx) => {
        const n = ++starts;
        ctx.continue('next', () => done.push(n));
        if (n === 2) throw new Error('second start fails');
        return [];
      },
    });
    const ref = await system.spawn(again, { backoff: QUICK });
    await advance(0);
    ref.tell('act', () => {
      throw new Error('fail');
    });
    await advance(200);
    expect(done).toEqual([1, 3]);
  });

  it('runs onRestart on the old generation; what it throws is logged and changes nothing', async () => {
    const { system, advance, logs } = await testSystem();
    const seen: unknown[] = [];
    const error = new Error('in onRestart');
    const ref = await system.spawn(
      puppet({
        onRestart: (ctx, failure) => {
          seen.push([...ctx.state], failure.kind);
          throw error;
        },
      }),
      { backoff: QUICK },
    );
    ref.tell('act', (ctx) => {
      ctx.state.push('old');
      throw new Error('fail');
    });
    await advance(100);
    expect(seen).toEqual([['old'], 'failed']);
    expect(system.inspect(ref)?.status).toBe('running');
    expect(logs.filter(({ level }) => level === 'error')).toMatchObject([
      { address: ref.address, text: 'onRestart failed', fields: { error } },
    ]);
  });

  it.each([
    ['without children', false],
    ['with a child', true],
  ])('%s or hooks reports no hook that failed, nor does the stop after it', async (_kind, hasChild) => {
    const { system, advance, logs } = await testSystem();
    const ref = await system.spawn(puppet(), { backoff: QUICK });
    ref.tell('act', async (ctx) => {
      if (hasChild) await ctx.spawn(puppet());
      throw new Error('fail');
    });
    await advance(100);
    expect(system.inspect(ref)).toMatchObject({ status: 'running', generation: 1 });
    await system.stop(ref);
    expect(logs.filter(({ level }) => level === 'error')).toEqual([]);
  });

  it('needs no message to have come: one is killed, fails to start, starts, and is stopped or drained', async () => {
    const host = new HandHost();
    const system = await startSystem({ name: 'bare', log: false }, host);
    const settle = async (): Promise<void> => {
      while (await host.turn());
    };
    let starts = 0;
    const agent = puppet({
      state: () => {
        if (++starts === 2) throw new Error('second start fails');
        return [];
      },
    });
    const ref = await system.spawn(agent, { backoff: { minMs: 0, maxMs: 0 } });
    const killed = endingOf(system.kill(ref));
    await settle();
    expect([killed.is, starts]).toEqual(['resolved', 3]);
    expect(system.inspect(ref)).toMatchObject({ status: 'running', generation: 1, restarts: 2 });
    const stopped = endingOf(system.stop(ref));
    const drained = endingOf(system.drain(await system.spawn(puppet())));
    await settle();
    expect([stopped.is, drained.is]).toEqual(['resolved', 'resolved']);
    expect(system.inspect(ref)?.status).toBe('stopped');
  });

  it('waits without a timer for a hook that has for ever', async () => {
    const { system, kernel, advance } = await testSystem();
    const held = deferred();
    const ref = await system.spawn(puppet({ onRestart: () => held.promise }), {
      backoff: QUICK,
      shutdownMs: Infinity,
    });
    ref.tell('act', () => {
      throw new Error('fail');
    });
    await advance(1e9);
    expect([kernel.timeouts.size, system.inspect(ref)?.status]).toEqual([0, 'restarting']);
    held.resolve();
    await advance(100);
    expect(system.inspect(ref)).toMatchObject({ status: 'running', generation: 1, zombies: 0 });
  });

  it('killed in a hook leaves one zombie, which may end', async () => {
    const { system, advance, settle } = await testSystem();
    const held = deferred();
    const ref = await system.spawn(puppet({ onRestart: () => held.promise }), { backoff: QUICK });
    ref.tell('act', () => {
      throw new Error('fail');
    });
    await settle();
    const killed = endingOf(system.kill(ref));
    await advance(100);
    expect([killed.is, system.inspect(ref)?.zombies]).toEqual(['resolved', 1]);
    held.resolve();
    await settle();
    expect(system.inspect(ref)?.zombies).toBe(0);
  });

  it('gives up a hook that takes too long, and counts it as a zombie until it ends', async () => {
    for (const ending of ['resolve', 'reject'] as const) {
      const { system, advance, settle, events, logs } = await testSystem();
      const held = deferred();
      const signals: AbortSignal[] = [];
      const hooked = puppet({
        onRestart: (ctx) => {
          signals.push(ctx.signal);
          return held.promise;
        },
      });
      const ref = await system.spawn(hooked, { backoff: QUICK, shutdownMs: 50 });
      ref.tell('act', () => {
        throw new Error('fail');
      });
      await advance(49);
      expect([system.inspect(ref)?.zombies, signals[0]?.aborted]).toEqual([0, false]);
      await advance(1_000);
      expect(system.inspect(ref)).toMatchObject({ status: 'running', generation: 1, zombies: 1 });
      const details = { address: ref.address, message: 'onRestart', timeoutMs: 50 };
      expect(signals[0]?.reason).toMatchObject({ code: 'ERR_TURN_TIMEOUT', details });
      expect(logs).toContainEqual(
        expect.objectContaining({ text: 'onRestart failed', fields: { error: signals[0]?.reason } }),
      );
      expect(events.filter(({ type }) => type === 'turn-disowned')).toMatchObject([{ message: 'onRestart' }]);
      if (ending === 'resolve') held.resolve();
      else held.reject(new Error('too late'));
      await settle();
      expect(system.inspect(ref)).toMatchObject({ status: 'running', generation: 1, zombies: 0 });
      ref.tell('act', () => undefined);
      await settle();
      expect(system.inspect(ref)?.counts.handled).toBe(1);
    }
  });
});

describe('a stop', () => {
  it('P9 runs onStop once, last: nothing is handled after it began', async () => {
    const { system, settle } = await testSystem();
    const seen: string[] = [];
    const ref = await system.spawn(
      puppet({
        onStop: async (ctx, reason) => {
          seen.push(`stop ${reason}`);
          expect(ctx.tell(ctx.self, 'act', () => seen.push('after'))).toBe('stopped');
          await Promise.resolve();
          seen.push('stopped');
        },
      }),
    );
    ref.tell('act', () => seen.push('turn'));
    await settle();
    ref.tell('act', () => seen.push('never'));
    const first = system.stop(ref);
    const second = system.stop(ref);
    await Promise.all([first, second]);
    await system.stop(ref);
    expect(ref.tell('act', () => seen.push('never'))).toBe('stopped');
    await settle();
    expect(seen).toEqual(['turn', 'stop shutdown', 'stopped']);
  });

  it('P9 lets the running turn finish first and refuses what comes meanwhile', async () => {
    const { system, settle } = await testSystem();
    const seen: string[] = [];
    const gate = deferred();
    const ref = await system.spawn(puppet({ onStop: () => seen.push('onStop') }));
    ref.tell('act', async () => {
      await gate.promise;
      seen.push('turn');
    });
    ref.tell('act', () => seen.push('queued'));
    await settle();
    const stopped = endingOf(system.stop(ref));
    expect(ref.tell('act', () => undefined)).toBe('stopped');
    await settle();
    expect(stopped.is).toBeUndefined();
    gate.resolve();
    await settle();
    expect(stopped.is).toBe('resolved');
    expect(seen).toEqual(['turn', 'onStop']);
    expect(system.inspect(ref)?.counts).toEqual({
      accepted: 2,
      handled: 1,
      failed: 0,
      cancelled: 0,
      deadLettered: 1,
    });
  });

  it('P27 ends within shutdown and grace although its turn never settles and ignores its signal', async () => {
    const { system, settle, advance, kernel } = await testSystem();
    const aborted: unknown[] = [];
    const ref = await system.spawn(puppet({ turnTimeoutMs: Infinity }), { shutdownMs: 700 });
    const { address } = ref;
    const running = endingOf(
      ref.ask('answer', (ctx) => {
        ctx.signal.addEventListener('abort', () => aborted.push(ctx.signal.reason));
        return never();
      }),
    );
    const asked = endingOf(ref.ask('answer', () => 1));
    await settle();
    const stopped = endingOf(system.stop(ref));
    await settle();
    expect(asked.is).toBe('ERR_ACTOR_STOPPED');
    await advance(699);
    expect(aborted).toEqual([]);
    await advance(1);
    expect(aborted).toMatchObject([{ code: 'ERR_ACTOR_STOPPED', details: { address } }]);
    await advance(999);
    expect([stopped.is, running.is]).toEqual([undefined, undefined]);
    await advance(1);
    expect([stopped.is, running.is]).toEqual(['resolved', 'ERR_ACTOR_STOPPED']);
    expect(system.inspect(ref)).toMatchObject({
      status: 'stopped',
      zombies: 1,
      counts: { accepted: 2, cancelled: 1 },
    });
    expect(kernel.timeouts.size).toBe(0);
  });

  it('P27 waits without a timer for a turn that has for ever', async () => {
    const { system, advance, kernel } = await testSystem();
    const gate = deferred();
    const ref = await system.spawn(puppet({ turnTimeoutMs: Infinity }), { shutdownMs: Infinity });
    ref.tell('act', () => gate.promise);
    await advance(0);
    const stopped = endingOf(system.stop(ref));
    await advance(1e9);
    expect([stopped.is, kernel.timeouts.size]).toEqual([undefined, 0]);
    gate.resolve();
    await advance(0);
    expect(stopped.is).toBe('resolved');
    expect(system.inspect(ref)?.counts.handled).toBe(1);
  });

  it('P27 takes a turn that ends in the instant in which its time is up for one that has ended', async () => {
    const { system, advance } = await testSystem();
    const silent = await system.spawn(puppet());
    silent.tell('act', never);
    const ref = await system.spawn(puppet(), { shutdownMs: 700 });
    const asked = endingOf(ref.ask('answer', (ctx) => ctx.ask(silent, 'answer', never, { timeoutMs: 700 })));
    await advance(0);
    const stopped = endingOf(system.stop(ref));
    await advance(700);
    expect(asked).toMatchObject({ is: 'ERR_ACTOR_FAILED', error: { cause: { code: 'ERR_ASK_TIMEOUT' } } });
    expect(stopped.is).toBe('resolved');
    expect(system.inspect(ref)).toMatchObject({ zombies: 0, counts: { accepted: 1, failed: 1 } });
  });

  it('has ended timers and subscriptions before its onStop runs, and leaves no timer', async () => {
    const { system, advance, clock } = await testSystem();
    const News = topic('news', type<string>());
    const Reader = protocol('reader', { read: tell(type<string>()), start: tell() });
    const gate = deferred();
    const heard: string[] = [];
    const reader = agent(Reader, {
      subscribe: [{ topic: News, as: 'read' }],
      onIdle: () => heard.push('idle'),
      onStop: () => gate.promise,
      internal: { tick: tell() },
      on: {
        read: (_ctx, text) => heard.push(text),
        start: (ctx) => {
          ctx.setIdleTimeout(10);
          ctx.timers.every('key', 10, 'tick');
        },
        tick: () => heard.push('tick'),
      },
    });
    const ref = await system.spawn(reader, { shutdownMs: 1_000 });
    ref.tell('start');
    await advance(0);
    const stopped = endingOf(system.stop(ref));
    await system.publish(News, {}, 'late');
    await advance(100);
    gate.resolve();
    await advance(0);
    expect(stopped.is).toBe('resolved');
    expect([heard, system.deadLetters.list(), clock.pending]).toEqual([[], [], 0]);
  });

  it('P27 gives onStop only what is left of the time', async () => {
    const { system, settle, advance } = await testSystem();
    const ref = await system.spawn(puppet({ onStop: never }), { shutdownMs: 700 });
    ref.tell('act', never);
    await settle();
    const stopped = endingOf(system.stop(ref));
    await advance(1_700);
    expect(stopped.is).toBe('resolved');
    const idle = await system.spawn(puppet({ onStop: never }), { shutdownMs: 700 });
    const idleStopped = endingOf(system.stop(idle));
    await advance(699);
    expect(idleStopped.is).toBeUndefined();
    await advance(1);
    expect(idleStopped.is).toBe('resolved');
  });

  it('P27 settles the message of a turn that times out while its actor stops', async () => {
    const { system, settle, advance } = await testSystem();
    const ref = await system.spawn(puppet({ turnTimeoutMs: 50 }), { shutdownMs: 700 });
    const asked = endingOf(ref.ask('answer', never));
    await settle();
    const stopped = endingOf(system.stop(ref));
    await advance(50);
    expect(asked.is).toBe('ERR_ACTOR_FAILED');
    expect(stopped.is).toBe('resolved');
    expect(system.inspect(ref)?.counts).toMatchObject({ accepted: 1, failed: 1 });
  });

  it('gives an outcome to what its last turn put aside', async () => {
    const { system, settle } = await testSystem();
    const gate = deferred();
    const ref = await system.spawn(puppet());
    const asked = endingOf(
      ref.ask('answer', async (ctx) => {
        await gate.promise;
        return ctx.stash();
      }),
    );
    await settle();
    const stopped = system.stop(ref);
    gate.resolve();
    await stopped;
    await settle();
    expect(asked.is).toBe('ERR_ACTOR_STOPPED');
    expect(system.deadLetters.list().map(({ reason }) => reason)).toEqual(['stash-cleared']);
    expect(system.inspect(ref)?.counts).toMatchObject({ accepted: 1, deadLettered: 1 });
  });

  it('P29 during a backoff cancels the restart, and onStop has the last state', async () => {
    const { system, settle, advance, clock } = await testSystem();
    let starts = 0;
    const stops: unknown[] = [];
    const ref = await system.spawn(
      puppet({
        state: () => {
          starts++;
          return ['state'];
        },
        onStop: (ctx) => stops.push(ctx.state),
      }),
      { backoff: QUICK },
    );
    ref.tell('act', () => {
      throw new Error('fail');
    });
    await advance(50);
    expect(system.inspect(ref)?.status).toBe('restarting');
    const stopped = endingOf(system.stop(ref));
    await settle();
    expect(stopped.is).toBe('resolved');
    expect(clock.pending).toBe(0);
    await advance(10_000);
    expect(starts).toBe(1);
    expect(stops).toEqual([['state']]);
  });

  it('P29 while onRestart runs leaves no timer and no later start', async () => {
    const { system, settle, advance, clock } = await testSystem();
    let starts = 0;
    const stops: unknown[] = [];
    const gate = deferred();
    const ref = await system.spawn(
      puppet({
        state: () => {
          starts++;
          return ['state'];
        },
        onRestart: () => gate.promise,
        onStop: async (ctx) => {
          await Promise.resolve();
          await Promise.resolve();
          await Promise.resolve();
          stops.push(ctx.state);
        },
      }),
      { backoff: QUICK },
    );
    ref.tell('act', () => {
      throw new Error('fail');
    });
    await settle();
    const stopped = endingOf(system.stop(ref));
    gate.resolve();
    await settle();
    expect(stopped.is).toBe('resolved');
    expect(stops).toEqual([['state']]);
    expect(clock.pending).toBe(0);
    await advance(10_000);
    expect(starts).toBe(1);
  });

  it('refuses children once it has begun, so that none outlives its parent', async () => {
    const { system, settle } = await testSystem();
    const spawned: (string | undefined)[] = [];
    const started: string[] = [];
    const child = puppet({
      state: () => {
        started.push('child');
        return [];
      },
    });
    const ref = await system.spawn(
      puppet({
        onStop: async (ctx) => {
          const ending = endingOf(ctx.spawn(child));
          await Promise.resolve();
          await Promise.resolve();
          spawned.push(ending.is);
        },
      }),
    );
    await system.stop(ref);
    await settle();
    expect(spawned).toEqual(['ERR_ACTOR_STOPPED']);
    expect(started).toEqual([]);
  });

  it('through a ref of an old incarnation never reaches its successor', async () => {
    const own: PuppetRef[] = [];
    const branch = supervisor({
      intensity: { max: 0 },
      children: {
        a: puppet({
          state: (_args, ctx) => {
            own.push(ctx.self);
            return [];
          },
        }).child(),
      },
    });
    const { system, advance } = await testSystem({ root: supervisor({ children: { branch } }) });
    system.refs.branch.a.tell('act', () => {
      throw new Error('fail');
    });
    await advance(1_000);
    expect(own).toHaveLength(2);
    const [old] = own;
    if (old !== undefined) await system.stop(old);
    expect(system.inspect(system.refs.branch.a)?.status).toBe('running');
    expect(old?.tell('act', () => undefined)).toBe('stopped');
  });

  it.each<[string, (ctx: PuppetContext) => unknown]>([
    ['stopSelf', (ctx: PuppetContext) => ctx.stopSelf()],
    ['ctx.stop(ctx.self)', (ctx: PuppetContext) => ctx.stop(ctx.self)],
    ['ctx.system.stop(ctx.self)', (ctx: PuppetContext) => ctx.system.stop(ctx.self)],
  ])('by %s ends the actor after the present turn', async (_name, leave) => {
    const { system, settle } = await testSystem();
    const seen: string[] = [];
    const ref = await system.spawn(puppet({ onStop: (_ctx, reason) => seen.push(reason) }));
    ref.tell('act', async (ctx) => {
      leave(ctx);
      await Promise.resolve();
      seen.push('rest of the turn');
    });
    ref.tell('act', () => seen.push('never'));
    await settle();
    expect(seen).toHaveLength(2);
    expect(seen[0]).toBe('rest of the turn');
    expect(system.inspect(ref)?.status).toBe('stopped');
  });

  it('of itself by a turn that then throws is a failure like any other', async () => {
    const { system, advance } = await testSystem();
    const ref = await system.spawn(puppet(), { backoff: QUICK });
    ref.tell('act', (ctx) => {
      ctx.stopSelf();
      throw new Error('after all');
    });
    await advance(100);
    expect(system.inspect(ref)).toMatchObject({ status: 'running', generation: 1 });
  });

  it('of itself while suspended takes effect', async () => {
    const { system, settle } = await testSystem();
    const ref = await system.spawn(puppet());
    const gate = deferred();
    ref.tell('act', async (ctx) => {
      await gate.promise;
      ctx.stopSelf();
    });
    await settle();
    system.suspend(ref);
    gate.resolve();
    await settle();
    expect(system.inspect(ref)?.status).toBe('stopped');
  });

  it('of itself in `state` ends the actor once it has started', async () => {
    const { system, settle } = await testSystem();
    const ref = await system.spawn(
      puppet({
        state: (_args, ctx) => {
          ctx.stopSelf();
          return [];
        },
      }),
    );
    await settle();
    expect(system.inspect(ref)?.status).toBe('stopped');
  });

  it('by a turn that throws while its actor stops gives the message its outcome and no restart', async () => {
    const { system, settle, advance } = await testSystem();
    const gate = deferred();
    const stops: string[] = [];
    const ref = await system.spawn(puppet({ onStop: (_ctx, reason) => stops.push(reason) }), {
      backoff: QUICK,
    });
    const asked = endingOf(
      ref.ask('answer', async () => {
        await gate.promise;
        throw new Error('late');
      }),
    );
    await settle();
    const stopped = endingOf(system.stop(ref));
    gate.resolve();
    await advance(1_000);
    expect(asked.is).toBe('ERR_ACTOR_FAILED');
    expect(stopped.is).toBe('resolved');
    expect(stops).toEqual(['shutdown']);
    expect(system.inspect(ref)).toMatchObject({ status: 'stopped', generation: 0 });
  });

  it('survives an onStop that throws', async () => {
    const { system, logs } = await testSystem();
    const ref = await system.spawn(
      puppet({
        onStop: () => {
          throw new Error('in onStop');
        },
      }),
    );
    await system.stop(ref);
    expect(system.inspect(ref)?.status).toBe('stopped');
    expect(logs.map(({ text }) => text)).toContain('onStop failed');
  });
});

describe('what a life leaves behind', () => {
  it('P1 of a turn that put its message aside and never ends is one dead letter', async () => {
    const { system, advance, settle } = await testSystem();
    const ref = await system.spawn(puppet(), { shutdownMs: 100 });
    ref.tell('act', (ctx) => {
      ctx.stash();
      return never();
    });
    await settle();
    const stopped = endingOf(system.stop(ref));
    await advance(1_100);
    expect(stopped.is).toBe('resolved');
    expect(system.inspect(ref)?.counts).toMatchObject({ accepted: 1, deadLettered: 1, cancelled: 0 });
    expect(system.deadLetters.list()).toMatchObject([{ reason: 'stash-cleared' }]);
  });

  it('P36 P85 of onRestart and of starts that failed is stale for ever, and starts no tick', async () => {
    const late: (() => unknown)[] = [];
    const ticks: number[] = [];
    let starts = 0;
    const { system, advance } = await testSystem();
    const ref = await system.spawn(
      puppet({
        state: (_args, ctx) => {
          const start = ++starts;
          if (start > 1) late.push(() => ctx.watch(ctx.self));
          if (start !== 2) return [];
          ctx.timers.once('key', 500, 'next', () => ticks.push(start));
          throw new Error('no start');
        },
        onRestart: (ctx) => late.push(() => ctx.watch(ctx.self)),
      }),
      { backoff: QUICK },
    );
    const isStale = (call: () => unknown): boolean => {
      try {
        call();
        return false;
      } catch (error) {
        return (error as { code?: string }).code === 'ERR_GENERATION_STALE';
      }
    };
    ref.tell('act', () => {
      throw new Error('fail');
    });
    await advance(1_000);
    expect(starts).toBe(3);
    expect(ticks).toEqual([]);
    expect(late.map(isStale)).toEqual([true, true, false]); // the last start is the present life
    await system.stop(ref);
    expect(late.map(isStale)).toEqual([true, true, true]);
  });
});
