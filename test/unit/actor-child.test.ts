import { supervisor } from 'troupe';
import { describe, expect, it } from 'vitest';
import type { RuntimeEvent } from '../../src/protocol/events.ts';
import { deferred, endingOf, never, type PuppetRef, puppet } from '../support/puppet.ts';
import { testSystem } from '../support/test-system.ts';

const AT_ONCE = { minMs: 0, maxMs: 0 };
const SECOND = { minMs: 1_000, maxMs: 1_000, jitter: 0 };
const FAIL = (): never => {
  throw new Error('fail');
};

function ofType<T extends RuntimeEvent['type']>(events: readonly RuntimeEvent[], type: T) {
  return events.filter((event): event is Extract<RuntimeEvent, { type: T }> => event.type === type);
}

/** An agent whose first start is well and whose later ones fail with what `failure` gives, until it gives nothing. */
function startingBadly(failure: (start: number) => unknown, options: Parameters<typeof puppet>[0] = {}) {
  let starts = 0;
  return puppet({
    ...options,
    state: () => {
      const error = ++starts === 1 ? undefined : failure(starts);
      if (error !== undefined) throw error;
      return [starts];
    },
  });
}

describe('an actor that ends', () => {
  it.each([
    ['by its supervisor', 'shutdown', undefined],
    ['because its supervisor gives up', 'failed', 'fail'],
    ['because its supervisor gives up on a killed one', 'killed', undefined],
    ['for an error that stops it', 'failed', 'stop'],
    ['as a temporary one that fails', 'failed', 'fail'],
  ] as const)('%s says why: %s', async (how, reason, message) => {
    const seen: unknown[] = [];
    const agent = puppet({
      decide: (error) => (error instanceof Error && error.message === 'stop' ? 'stop' : 'restart'),
      onStop: (_ctx, why) => seen.push(why),
    });
    const restart = how.startsWith('as') ? 'temporary' : 'transient';
    const { system, events, settle, advance } = await testSystem({
      root: supervisor({
        children: {
          branch: supervisor({ intensity: { max: 0 }, children: { a: agent.child({ restart }) } }),
        },
      }),
    });
    const { a } = system.refs.branch;
    if (reason === 'shutdown') await system.supervisor('branch').terminateChild('a');
    else if (reason === 'killed') await system.kill(a);
    else
      a.tell('act', () => {
        throw new Error(message);
      });
    await settle();
    const ended = ofType(events, 'actor-stopped')[0];
    expect(ended?.reason).toBe(reason);
    if (reason === 'killed') expect(ended?.error).toMatchObject({ code: 'ERR_ACTOR_KILLED' });
    else expect(ended?.error instanceof Error ? ended.error.message : undefined).toBe(message);
    expect(seen).toEqual(reason === 'killed' ? [] : [reason]);
    await advance(1_000);
  });

  it('P28 of its own will has the usual time for it also as a brutal-kill child', async () => {
    const { system, events, advance } = await testSystem({
      root: supervisor({
        children: { a: puppet({ onStop: never }).child({ shutdownMs: 'brutal-kill' }) },
      }),
    });
    system.refs.a.tell('act', (ctx) => ctx.stopSelf());
    await advance(29_999);
    expect(system.inspect(system.refs.a)?.status).toBe('stopping');
    await advance(1);
    expect(ofType(events, 'actor-stopped')).toMatchObject([{ reason: 'normal' }]);
  });

  it('P28 as a brutal-kill child by its supervisor was killed', async () => {
    const { system, events } = await testSystem({
      root: supervisor({ children: { a: puppet().child({ shutdownMs: 'brutal-kill' }) } }),
    });
    await system.supervisor('/root').terminateChild('a');
    expect(ofType(events, 'actor-stopped')).toMatchObject([{ reason: 'killed', error: undefined }]);
  });

  it('as a permanent one comes back and hears that it left, but not once it drains', async () => {
    const seen: unknown[] = [];
    const { system, advance, settle, events } = await testSystem();
    const agent = puppet({ onRestart: (_ctx, failure) => seen.push(failure) });
    const ref = await system.spawn(agent, { restart: 'permanent', backoff: AT_ONCE });
    ref.tell('act', (ctx) => ctx.stopSelf());
    await advance(0);
    expect(seen).toEqual([{ kind: 'left', cause: undefined }]);
    const gate = deferred();
    ref.tell('act', (ctx) => gate.promise.then(() => ctx.stopSelf()));
    await settle();
    const drained = endingOf(system.drain(ref));
    gate.resolve();
    await advance(0);
    expect(drained.is).toBe('resolved');
    expect(ofType(events, 'actor-restarting')).toHaveLength(1);
    expect(ofType(events, 'actor-stopped')).toMatchObject([{ reason: 'normal' }]);
  });

  it('escalates where it is told to, also as a temporary one', async () => {
    const { system, events, settle } = await testSystem({
      root: supervisor({
        children: {
          branch: supervisor({
            children: { a: puppet({ decide: () => 'escalate' }).child({ restart: 'temporary' }) },
          }),
        },
      }),
    });
    system.refs.branch.a.tell('act', FAIL);
    await settle();
    expect(ofType(events, 'supervisor-gave-up')).toMatchObject([{ address: '/root/branch' }]);
  });
});

describe('an actor that is killed', () => {
  it('says in whose turn, and by whom', async () => {
    const { system, events, settle, advance } = await testSystem();
    const ref = await system.spawn(puppet(), { backoff: AT_ONCE });
    ref.tell('act', never);
    await settle();
    await system.kill(ref);
    await advance(0);
    await system.kill(ref);
    await advance(0);
    const { address } = ref;
    const error = { code: 'ERR_ACTOR_KILLED', details: { address } };
    expect(ofType(events, 'actor-failed')).toMatchObject([
      { address, generation: 0, message: 'act', error },
      { address, generation: 1, message: 'kill', error },
    ]);
  });

  it('while it stops is not restarted', async () => {
    const { system, events, settle, advance } = await testSystem();
    const ref = await system.spawn(puppet(), { backoff: AT_ONCE, shutdownMs: Infinity });
    ref.tell('act', never);
    await settle();
    void system.stop(ref);
    await system.kill(ref);
    await advance(0);
    expect(system.inspect(ref)).toMatchObject({ status: 'stopped', restarts: 0 });
    expect(ofType(events, 'actor-failed')).toEqual([]);
    expect(ofType(events, 'actor-restarting')).toEqual([]);
  });

  it.each(['kill', 'a group restart'])(
    'by %s and stopped by whoever hears its abort has stopped',
    async (by) => {
      const { system, events, settle, advance } = await testSystem({
        root: supervisor({
          strategy: 'one-for-all',
          children: {
            a: puppet().child({ backoff: AT_ONCE, shutdownMs: 'brutal-kill' }),
            b: puppet().child({ backoff: AT_ONCE }),
          },
        }),
      });
      const { a, b } = system.refs;
      a.tell('act', (ctx) => {
        ctx.signal.addEventListener('abort', () => void system.stop(a));
        return never();
      });
      await settle();
      if (by === 'kill') await system.kill(a);
      else b.tell('act', FAIL);
      await advance(1_000);
      expect(system.inspect(a)).toMatchObject({ status: 'stopped', restarts: 0 });
      expect(ofType(events, 'actor-stopped')).toHaveLength(1);
    },
  );

  it('P91 by a ref of an earlier incarnation leaves the present one alone, as do stop and drain', async () => {
    const { system, settle } = await testSystem({ root: supervisor({ children: { a: puppet().child() } }) });
    const { a } = system.refs;
    const control = system.supervisor('/root');
    const old = (await a.ask('answer', (ctx) => [ctx.self])) as readonly PuppetRef[]; // what it was asked for
    await control.terminateChild('a');
    await control.restartChild('a');
    for (const ref of old) {
      await system.kill(ref);
      await system.drain(ref);
      await system.stop(ref);
    }
    await settle();
    expect(system.inspect(a)).toMatchObject({ status: 'running', generation: 0 });
    expect(await a.ask('answer', () => 1)).toBe(1);
  });
});

describe('a restart of an actor', () => {
  it('P5 starts the next life when onRestart has ended, and each life has its own', async () => {
    const seen: string[] = [];
    const gates = [deferred(), deferred()];
    const { system, advance } = await testSystem();
    const agent = puppet({
      state: async () => {
        await Promise.resolve();
        seen.push('state');
        return [];
      },
      onRestart: () => {
        seen.push('onRestart');
        return gates[seen.filter((line) => line === 'onRestart').length - 1]?.promise;
      },
    });
    const ref = await system.spawn(agent, { backoff: AT_ONCE });
    for (const gate of gates) {
      ref.tell('act', () => 'progress');
      ref.tell('act', FAIL);
      await advance(0);
      expect(seen.at(-1)).toBe('onRestart');
      gate.resolve();
      await advance(0);
      expect(seen.at(-1)).toBe('state');
    }
    expect(seen).toEqual(['state', 'onRestart', 'state', 'onRestart', 'state']);
  });

  it('P29 never happens when the actor is stopped while it waits, alone or with its group', async () => {
    for (const strategy of ['one-for-one', 'one-for-all'] as const) {
      let starts = 0;
      const agent = puppet({ state: () => [++starts] });
      const { system, advance, settle } = await testSystem({
        root: supervisor({
          strategy,
          children: { a: puppet().child({ backoff: SECOND }), b: agent.child({ backoff: SECOND }) },
        }),
      });
      const { a, b } = system.refs;
      (strategy === 'one-for-one' ? b : a).tell('act', FAIL);
      await settle();
      expect(system.inspect(b)?.status).toBe('restarting');
      await system.stop(b);
      await advance(10_000);
      expect([starts, system.inspect(b)?.status]).toEqual([1, 'stopped']);
      expect(system.inspect(a)?.status).toBe('running');
    }
  });

  it('P30 in a group waits for a sibling that ends just then, and starts it too', async () => {
    const gate = deferred();
    const seen: string[] = [];
    const slow = puppet({
      state: () => {
        seen.push('starts');
        return [];
      },
      onStop: () => gate.promise.then(() => seen.push('has ended')),
    });
    const { system, advance, settle } = await testSystem({
      root: supervisor({
        strategy: 'one-for-all',
        children: { a: puppet().child({ backoff: AT_ONCE }), slow: slow.child() },
      }),
    });
    const { a } = system.refs;
    system.refs.slow.tell('act', (ctx) => ctx.stopSelf());
    await settle();
    a.tell('act', FAIL);
    await settle();
    expect(system.inspect(a)?.status).toBe('restarting');
    gate.resolve();
    await advance(0);
    expect(seen).toEqual(['starts', 'has ended', 'starts']);
    expect(system.inspect(a)?.status).toBe('running');
  });

  it('P34 of a retried message waits as the message says, and after its last attempt as the child says', async () => {
    const { system, advance, events } = await testSystem();
    const retry = { attemptsMax: 3, backoff: { minMs: 7, maxMs: 1_000, jitter: 0 } };
    const agent = puppet({ onFailure: { retry } });
    const ref = await system.spawn(agent, { backoff: { minMs: 100, maxMs: 1_000, jitter: 0 } });
    ref.tell('act', FAIL);
    await advance(10_000);
    expect(ofType(events, 'actor-restarting').map(({ delayMs }) => delayMs)).toEqual([7, 14, 100]);
  });
});

describe('a start of an actor that fails', () => {
  it('the first time ends it as failed, and takes its place away', async () => {
    const { system, events } = await testSystem({ root: supervisor({ children: {} }) });
    const control = system.supervisor('/root');
    const error = { code: 'ERR_START_FAILED', cause: { message: 'fail' } };
    for (const state of [FAIL, () => Promise.reject(new Error('fail'))])
      await expect(control.startChild('a', puppet({ state }).child())).rejects.toMatchObject(error);
    expect(control.children()).toEqual([]);
    expect(ofType(events, 'actor-stopped')).toMatchObject([
      { reason: 'failed', error },
      { reason: 'failed', error },
    ]);
  });

  it('P37 is put to decide by its cause, which also says how long to wait', async () => {
    const told: unknown[] = [];
    const busy = Object.assign(new Error('busy'), { retryAfterMs: 700 });
    const agent = startingBadly((start) => (start === 2 ? busy : undefined), {
      decide: (error) => {
        told.push(error);
        return 'resume'; // of a start that failed nothing can be kept
      },
    });
    const { system, events, advance, settle } = await testSystem();
    const ref = await system.spawn(agent, { backoff: AT_ONCE, restart: 'permanent' });
    ref.tell('act', (ctx) => ctx.stopSelf());
    await advance(0);
    const { address } = ref;
    const error = { code: 'ERR_START_FAILED', cause: busy };
    expect(told).toEqual([busy]);
    expect(ofType(events, 'actor-failed')).toMatchObject([
      { address, generation: 1, error, message: undefined },
    ]);
    expect(ofType(events, 'actor-restarting')).toMatchObject([
      { delayMs: 0, error: undefined },
      { delayMs: 700, error },
    ]);
    expect(system.inspect(ref)?.lastError).toMatchObject(error);
    await advance(700);
    await settle();
    expect(system.inspect(ref)).toMatchObject({ status: 'running', restarts: 2 });
  });

  it.each(['one-for-one', 'one-for-all'] as const)(
    'P37 and is not to be tried again ends that child alone under %s',
    async (strategy) => {
      const refused = Object.assign(new Error('no key'), { status: 401 });
      const { system, advance } = await testSystem({
        root: supervisor({
          strategy,
          children: {
            a: startingBadly(() => refused).child({ backoff: AT_ONCE }),
            b: puppet().child({ backoff: AT_ONCE }),
          },
        }),
      });
      const { a, b } = system.refs;
      a.tell('act', FAIL);
      await advance(1_000);
      expect(system.inspect(a)?.status).toBe('stopped');
      expect(system.inspect(b)?.status).toBe('running');
    },
  );

  it('P17 also where it is asynchronous', async () => {
    let starts = 0;
    const agent = puppet({ state: () => (++starts === 1 ? [] : Promise.reject(new Error('no start'))) });
    const { system, advance } = await testSystem();
    const ref = await system.spawn(agent, { backoff: AT_ONCE });
    ref.tell('act', FAIL);
    await advance(1_000);
    expect(starts).toBe(4);
    expect(system.inspect(ref)?.status).toBe('stopped');
  });
});

describe('spawned actors', () => {
  it('P16 each have a window of their own, and one that uses it up ends alone', async () => {
    const { system, events, advance } = await testSystem();
    const [a, b] = [
      await system.spawn(puppet(), { backoff: AT_ONCE }),
      await system.spawn(puppet(), { backoff: AT_ONCE }),
    ];
    const fail = async (ref: PuppetRef): Promise<void> => {
      ref.tell('act', () => 'progress');
      ref.tell('act', FAIL);
      await advance(1);
    };
    for (let i = 0; i < 3; i++) {
      await fail(a);
      await fail(b);
    }
    expect([system.inspect(a)?.status, system.inspect(b)?.status]).toEqual(['running', 'running']);
    await fail(a);
    expect([system.inspect(a)?.status, system.inspect(b)?.status]).toEqual(['stopped', 'running']);
    expect(ofType(events, 'actor-stopped')).toMatchObject([{ reason: 'failed', error: { message: 'fail' } }]);
  });
});
