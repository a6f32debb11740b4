import { agent, ask, isTroupeError, protocol, supervisor, tell, topic, type } from 'troupe';
import { describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { TURNS_PER_SLICE } from '../../src/protocol/limits.ts';
import {
  deferred,
  endingOf,
  never,
  Puppet,
  type PuppetAskContext,
  type PuppetContext,
  puppet,
} from '../support/puppet.ts';
import { unhandledDuring } from '../support/rejections.ts';
import { testSystem } from '../support/test-system.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const Counter = protocol('counter', {
  add: tell(type<number>()),
  fail: tell(),
  total: ask(type<void>(), type<number>()),
});

const counter = agent(Counter, {
  state: (args: { start: number }) => ({ total: args.start }),
  on: {
    add: (ctx, n) => {
      ctx.state.total += n;
    },
    fail: () => {
      throw new Error('told to fail');
    },
    total: (ctx) => ctx.state.total,
  },
});

const QUICK = { minMs: 100, maxMs: 100, jitter: 0 };

const THEN = Promise.prototype.then.name;

/** An object with this `then`: a handler may give anything. */
function withThen(then: unknown): object {
  return { [THEN]: then };
}

describe('an actor', () => {
  it('handles what it is told in order and answers what it is asked', async () => {
    const { system } = await testSystem();
    const ref = await system.spawn(counter, { args: { start: 1 } });
    expect(ref.tell('add', 2)).toBe('accepted');
    expect(await ref.ask('total')).toBe(3);
  });

  it('keeps its mailbox through a restart and starts with fresh state', async () => {
    const root = supervisor({
      children: { counter: counter.child({ args: { start: 10 }, backoff: { minMs: 50 } }) },
    });
    const { system, advance, settle } = await testSystem({ root });
    const ref = system.refs.counter;
    ref.tell('add', 1);
    ref.tell('fail');
    ref.tell('add', 5);
    await settle();
    expect(system.inspect(ref)?.status).toBe('restarting');
    await advance(49);
    expect(system.inspect(ref)?.status).toBe('restarting');
    await advance(1);
    expect(await ref.ask('total')).toBe(15);
    expect(system.deadLetters.stats().byReason).toEqual({ 'handler-failed': 1 });
  });
});

describe('the turns of an actor', () => {
  it('P5 never overlap, hooks included', async () => {
    const { system, advance, settle } = await testSystem();
    let inside = 0;
    let most = 0;
    const busy = async (): Promise<void> => {
      most = Math.max(most, ++inside);
      await Promise.resolve();
      await Promise.resolve();
      inside--;
    };
    const ref = await system.spawn(
      puppet({
        state: async () => {
          await busy();
          return [];
        },
        onRestart: busy,
        onStop: busy,
        onTerminated: busy,
      }),
      { backoff: QUICK },
    );
    const other = await system.spawn(puppet());
    for (let i = 0; i < 20; i++) {
      ref.tell('act', async (ctx) => {
        ctx.watch(other);
        ctx.continue('next', busy);
        await busy();
        if (i === 7) throw new Error('fail');
      });
    }
    await settle();
    await system.stop(other);
    await advance(100);
    await system.stop(ref);
    expect(most).toBe(1);
    expect(inside).toBe(0);
    expect(system.inspect(ref)?.counts).toMatchObject({ handled: 19, failed: 1 });
  });

  it('P6 continue first, whatever is queued', async () => {
    const { system, settle } = await testSystem();
    const seen: string[] = [];
    const other = await system.spawn(puppet());
    const ref = await system.spawn(puppet({ onTerminated: () => seen.push('terminated') }));
    ref.tell('act', (ctx) => {
      ctx.watch(system.ref(Puppet, 'nobody'));
      ctx.tell(ctx.self, 'act', () => seen.push('critical'), { priority: 'critical' });
      ctx.continue('next', () => seen.push('continue 1'));
      ctx.continue('next', (later) => {
        seen.push('continue 2');
        later.continue('next', () => seen.push('continue 3'));
      });
    });
    await settle();
    expect(seen).toEqual(['continue 1', 'continue 2', 'continue 3', 'terminated', 'critical']);
    await system.stop(other);
  });

  it('P6 refuse the 65th pending continuation', async () => {
    const { system, settle } = await testSystem();
    const ref = await system.spawn(puppet(), { backoff: QUICK });
    let made = 0;
    ref.tell('act', (ctx) => {
      for (; ; made++) ctx.continue('next', () => undefined);
    });
    await settle();
    expect(made).toBe(64);
    expect(system.inspect(ref)?.lastError).toMatchObject({
      code: 'ERR_MAILBOX_FULL',
      details: { address: `${ref.address} (continue)`, capacity: 64 },
    });
  });

  it('P59 take a control item before any message', async () => {
    const { system, settle } = await testSystem();
    const seen: string[] = [];
    const gate = deferred();
    const other = await system.spawn(puppet());
    const ref = await system.spawn(puppet({ onTerminated: () => seen.push('notice') }));
    ref.tell('act', async (ctx) => {
      ctx.watch(other);
      await gate.promise;
    });
    await settle();
    ref.tell('act', () => seen.push('critical'), { priority: 'critical' });
    await system.stop(other);
    gate.resolve();
    await settle();
    expect(seen).toEqual(['notice', 'critical']);
  });

  it('P66 do not begin while it is suspended; as many resumes as suspends set it going', async () => {
    const { system, settle } = await testSystem();
    const seen: number[] = [];
    const ref = await system.spawn(puppet());
    system.suspend(ref);
    system.suspend(ref);
    ref.tell('act', (ctx) => {
      seen.push(1);
      ctx.continue('next', () => seen.push(2));
    });
    await settle();
    system.resume(ref);
    await settle();
    expect(seen).toEqual([]);
    expect(system.inspect(ref)).toMatchObject({ status: 'suspended', mailbox: { queued: 1 } });
    system.resume(ref);
    await settle();
    expect(seen).toEqual([1, 2]);
    system.resume(ref); // one too many counts for nothing
    system.suspend(ref);
    ref.tell('act', () => seen.push(3));
    await settle();
    expect(seen).toEqual([1, 2]);
  });

  it('P66 stop at the end of the present one when it is suspended meanwhile', async () => {
    const { system, settle } = await testSystem();
    const gate = deferred();
    const seen: number[] = [];
    const ref = await system.spawn(puppet());
    ref.tell('act', () => gate.promise);
    ref.tell('act', () => seen.push(1));
    await settle();
    system.suspend(ref);
    gate.resolve();
    await settle();
    expect(seen).toEqual([]);
    system.resume(ref);
    await settle();
    expect(seen).toEqual([1]);
  });
});

describe('a place in the run queue', () => {
  it('is taken once for all that is there to do, and only where a turn could start', async () => {
    const { system, settle, kernel } = await testSystem({ order: 'engine' });
    const add = vi.spyOn(kernel.scheduler, 'add');
    const taken = async (): Promise<number> => {
      await settle();
      const { length } = add.mock.calls;
      add.mockClear();
      return length;
    };
    const ref = await system.spawn(puppet());
    expect(await taken()).toBe(0);
    for (let n = 0; n < TURNS_PER_SLICE; n++) ref.tell('act', () => undefined);
    expect(await taken()).toBe(1);
    const gate = deferred();
    ref.tell('act', () => gate.promise);
    expect(await taken()).toBe(1);
    ref.tell('act', () => undefined);
    ref.tell('act', () => undefined);
    expect(await taken()).toBe(0);
    gate.resolve();
    expect(await taken()).toBe(1);
    system.suspend(ref);
    ref.tell('act', () => undefined);
    expect(await taken()).toBe(0);
    system.resume(ref);
    expect(await taken()).toBe(1);
    system.suspend(ref);
    system.resume(ref);
    expect(await taken()).toBe(0);
    for (let n = 0; n <= TURNS_PER_SLICE; n++) ref.tell('act', () => undefined);
    expect(await taken()).toBe(2);
  });
});

describe('signals', () => {
  it('P58 act within one macrotask beside a full mailbox and a turn that never settles', async () => {
    const { system, settle } = await testSystem();
    const ref = await system.spawn(puppet({ mailbox: { capacity: 2 }, turnTimeoutMs: Infinity }), {
      shutdownMs: 0,
    });
    const notices: unknown[] = [];
    const watcher = await system.spawn(puppet({ onTerminated: (_ctx, { reason }) => notices.push(reason) }));
    ref.tell('act', never);
    await settle();
    const cancel = new AbortController();
    const asked = endingOf(ref.ask('answer', () => 1, { signal: cancel.signal }));
    ref.tell('act', () => undefined);
    const sent = endingOf(ref.send('act', () => undefined));
    expect(ref.tell('act', () => undefined)).toBe('full');
    const macrotask = (): Promise<void> =>
      new Promise((resolve) => {
        setImmediate(resolve);
      });

    expect(system.inspect(ref)).toMatchObject({
      status: 'running',
      mailbox: { queued: 2, waiting: 1 },
      turn: { message: 'act' },
    });
    cancel.abort(new Error('never mind'));
    await macrotask();
    expect(asked.is).toBe('rejected');
    expect(sent.is).toBe('resolved');
    expect(system.inspect(ref)).toMatchObject({
      counts: { cancelled: 1 },
      mailbox: { queued: 2, waiting: 0 },
    });
    watcher.tell('act', (ctx) => ctx.watch(ref));
    await macrotask();
    const waiting = endingOf(ref.send('act', () => undefined));
    void system.stop(ref);
    await macrotask();
    expect(system.inspect(ref)).toMatchObject({ status: 'stopping', mailbox: { queued: 0, waiting: 0 } });
    expect(waiting.is).toBe('ERR_ACTOR_STOPPED');
    expect(ref.tell('act', () => undefined)).toBe('stopped');
  });

  it.each([
    ['before a more urgent one, once it has waited long enough', { agingMs: 100 }, ['patient', 'urgent']],
    ['behind a more urgent one, however long it waits, without agingMs', {}, ['urgent', 'patient']],
  ])('take a message %s', async (_, mailbox, order) => {
    const { system, advance, settle } = await testSystem();
    const seen: string[] = [];
    const ref = await system.spawn(puppet({ mailbox }));
    system.suspend(ref);
    ref.tell('act', () => seen.push('patient'), { priority: 'low' });
    await advance(1_000);
    ref.tell('act', () => seen.push('urgent'), { priority: 'urgent' });
    system.resume(ref);
    await settle();
    expect(seen).toEqual(order);
  });

  it('P61 cancel a queued message: its slot is free at once and the order of the others unchanged', async () => {
    const { system, settle } = await testSystem();
    const seen: string[] = [];
    const ref = await system.spawn(puppet({ mailbox: { capacity: 3, criticalReserve: 0 } }));
    system.suspend(ref);
    const cancel = new AbortController();
    ref.tell('act', () => seen.push('a'));
    const asked = endingOf(ref.ask('answer', () => seen.push('b'), { signal: cancel.signal }));
    ref.tell('act', () => seen.push('c'));
    const sent = endingOf(ref.send('act', () => seen.push('d')));
    cancel.abort();
    expect(system.inspect(ref)).toMatchObject({
      counts: { cancelled: 1, accepted: 4 },
      mailbox: { queued: 3, waiting: 0 },
    });
    system.resume(ref);
    await settle();
    expect(seen).toEqual(['a', 'c', 'd']);
    expect(asked.is).toBe('rejected');
    expect(sent.is).toBe('resolved');
  });
});

describe('a message', () => {
  it('P60 whose time is up never gets a turn; at its last millisecond it does', async () => {
    const { system, settle, advance } = await testSystem();
    const seen: string[] = [];
    const ref = await system.spawn(puppet());
    system.suspend(ref);
    ref.tell('act', () => seen.push('100'), { ttlMs: 100 });
    ref.tell('act', () => seen.push('99'), { ttlMs: 99 });
    ref.tell('act', () => seen.push('0'), { ttlMs: 0 });
    ref.tell('act', () => seen.push('forever'));
    await advance(100);
    system.resume(ref);
    await settle();
    expect(seen).toEqual(['100', 'forever']);
    expect(system.deadLetters.list().map(({ reason, attempts }) => ({ reason, attempts }))).toEqual([
      { reason: 'expired', attempts: 0 },
      { reason: 'expired', attempts: 0 },
    ]);
  });

  it('P60 that is asked and whose time is up gets no turn either, although its timer is late', async () => {
    class LateClock extends VirtualClock {
      lateMs = 0;

      override now(): number {
        return super.now() + this.lateMs;
      }
    }
    const clock = new LateClock();
    const { system, settle, events } = await testSystem({ clock });
    const seen: string[] = [];
    const ref = await system.spawn(puppet());
    ref.tell('act', () => {
      clock.lateMs = 51; // it keeps the event loop to itself
    });
    const asked = endingOf(ref.ask('answer', () => seen.push('late'), { timeoutMs: 50 }));
    await settle();
    expect(asked.is).toBe('ERR_MESSAGE_DROPPED');
    expect(seen).toEqual([]);
    expect(events).toContainEqual(expect.objectContaining({ type: 'message-dead', reason: 'expired' }));
  });

  it('P51 that has waited for agingMs for each rank between goes before a more urgent one', async () => {
    const { system, settle, advance } = await testSystem();
    const seen: string[] = [];
    const ref = await system.spawn(puppet({ mailbox: { agingMs: 10 } }));
    system.suspend(ref);
    ref.tell('act', () => seen.push('low'), { priority: 'low' });
    await advance(39);
    ref.tell('act', () => seen.push('in time'), { priority: 'critical' });
    await advance(1);
    ref.tell('act', () => seen.push('too late'), { priority: 'critical' });
    system.resume(ref);
    await settle();
    expect(seen).toEqual(['in time', 'low', 'too late']);
  });

  it('that is refused is told to observers, with why and how urgent it was', async () => {
    const { system, events } = await testSystem();
    const ref = await system.spawn(puppet({ mailbox: { capacity: 1, criticalReserve: 0 } }));
    system.suspend(ref);
    ref.tell('act', () => undefined);
    ref.tell('act', () => undefined, { priority: 'urgent' });
    await system.stop(ref);
    ref.tell('act', () => undefined);
    const refused = { type: 'message-refused', address: ref.address, message: 'act' };
    expect(events.filter(({ type }) => type === 'message-refused')).toEqual([
      { ...refused, verdict: 'full', priority: 'urgent' },
      { ...refused, verdict: 'stopped', priority: 'normal' },
    ]);
  });

  it.each([
    ['where nobody may wait', { capacity: 1, criticalReserve: 0, overflow: 'reject' } as const],
    ['where as many wait as may', { capacity: 1, criticalReserve: 0, waitersMax: 0 }],
  ])('that is refused by a full mailbox is counted and told, whatever the verb, %s', async (_, mailbox) => {
    const { system, kernel, events, settle } = await testSystem();
    const sender = await system.spawn(puppet());
    const ref = await system.spawn(puppet({ mailbox }));
    system.suspend(ref);
    const told = (): unknown[] => events.filter(({ type }) => type === 'message-refused');
    ref.tell('act', () => undefined);
    expect(told()).toEqual([]);
    const calls = [endingOf(ref.send('act', () => undefined, { priority: 'high' }))];
    calls.push(endingOf(ref.ask('answer', () => 1, { priority: 'low' })));
    ref.tell('act', () => undefined);
    sender.tell('act', (ctx) => {
      calls.push(endingOf(ctx.send(ref, 'act', () => undefined)));
      calls.push(endingOf(ctx.ask(ref, 'answer', () => 1)));
    });
    await settle();
    expect(calls.map(({ is }) => is)).not.toContain(undefined);
    const refused = { type: 'message-refused', address: ref.address, verdict: 'full', priority: 'normal' };
    expect(told()).toEqual([
      { ...refused, message: 'act', priority: 'high' },
      { ...refused, message: 'answer', priority: 'low' },
      { ...refused, message: 'act' },
      { ...refused, message: 'act' },
      { ...refused, message: 'answer' },
    ]);
    expect(kernel.telemetry.tallyOf('puppet').refused.of('full')).toBe(5);
  });

  it('P62 to oneself never waits: beyond capacity and reserve it is refused, and the actor goes on', async () => {
    const { system, settle } = await testSystem();
    const seen: number[] = [];
    let ending: ReturnType<typeof endingOf> | undefined;
    let accepted = 0;
    const ref = await system.spawn(puppet({ mailbox: { capacity: 4, selfReserve: 3 } }));
    ref.tell('act', async (ctx) => {
      for (;;) {
        const sent = endingOf(ctx.send(ctx.self, 'act', () => seen.push(accepted)));
        await Promise.resolve();
        await Promise.resolve();
        if (sent.is !== 'resolved') {
          ending = sent;
          return;
        }
        accepted++;
      }
    });
    await settle();
    expect(accepted).toBe(7);
    expect(ending?.is).toBe('ERR_MAILBOX_FULL');
    expect(seen).toHaveLength(7);
  });
});

describe('a turn that misbehaves', () => {
  const frozen = Object.freeze({ any: 'thing' });
  it.each([
    ['undefined', undefined],
    ['null', null],
    ['a string', 'text'],
    ['a number', 0],
    ['a frozen object', frozen],
    ['a symbol', Symbol('s')],
    ['a function', () => undefined],
  ])('by throwing %s fails with exactly that as its cause', async (_name, thrown) => {
    const { system, advance } = await testSystem();
    const ref = await system.spawn(puppet(), { backoff: QUICK });
    const asked = endingOf(
      ref.ask('answer', () => {
        throw thrown;
      }),
    );
    const asyncAsked = endingOf(ref.ask('answer', () => Promise.reject(thrown)));
    await advance(300);
    expect(asked.is).toBe('ERR_ACTOR_FAILED');
    expect((asked.error as Error).cause).toBe(thrown);
    expect((asyncAsked.error as Error).cause).toBe(thrown);
    expect(system.inspect(ref)).toMatchObject({ status: 'running', restarts: 2 });
    expect(system.inspect(ref)?.lastError).toBe(thrown);
  });

  const throwing = (): never => {
    throw new Error('in then');
  };
  const revoked = (): object => {
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    return proxy;
  };
  it.each<[string, () => unknown]>([
    ['whose then throws', () => withThen(throwing)],
    ['whose then cannot be read', () => Object.defineProperty({}, THEN, { get: throwing })],
    ['that is a promise whose own then throws', () => Object.assign(Promise.resolve(1), withThen(throwing))],
    ['that is a revoked proxy', revoked],
  ])('by returning a thing %s fails, and the run queue goes on', async (_name, make) => {
    const { system, advance } = await testSystem();
    const ref = await system.spawn(puppet(), { backoff: QUICK });
    const asked = endingOf(ref.ask('answer', make));
    ref.tell('act', make);
    await advance(300);
    expect(asked.is).toBe('ERR_ACTOR_FAILED');
    expect(system.inspect(ref)?.counts).toMatchObject({ accepted: 2, failed: 2 });
    expect(await ref.ask('answer', () => 'alive')).toBe('alive');
  });

  it('by returning a promise that settles twice has one outcome', async () => {
    const { system, settle } = await testSystem();
    const twice = withThen((fulfil: (value: unknown) => void, fail: (error: unknown) => void) => {
      fulfil('first');
      fulfil('second');
      fail(new Error('third'));
    });
    const ref = await system.spawn(puppet());
    expect(await ref.ask('answer', () => twice)).toBe('first');
    expect(await ref.ask('answer', () => Object.assign(Promise.resolve('x'), twice))).toBe('first');
    await settle();
    expect(system.inspect(ref)?.counts).toEqual({
      accepted: 2,
      handled: 2,
      failed: 0,
      cancelled: 0,
      deadLettered: 0,
    });
  });

  it('by never settling is disowned at turnTimeoutMs, fails with ERR_TURN_TIMEOUT and is counted as a zombie', async () => {
    const { system, advance, events } = await testSystem();
    const ref = await system.spawn(puppet({ turnTimeoutMs: 500 }), { backoff: QUICK });
    let signal: AbortSignal | undefined;
    const asked = endingOf(
      ref.ask('answer', (ctx) => {
        ({ signal } = ctx);
        return never();
      }),
    );
    await advance(499);
    expect(asked.is).toBeUndefined();
    await advance(1);
    const details = { address: ref.address, message: 'answer', timeoutMs: 500 };
    expect(asked).toMatchObject({
      is: 'ERR_ACTOR_FAILED',
      error: { cause: { code: 'ERR_TURN_TIMEOUT', details } },
    });
    expect(signal?.reason).toMatchObject({ code: 'ERR_TURN_TIMEOUT' });
    expect(system.inspect(ref)).toMatchObject({ status: 'restarting', zombies: 1, turn: undefined });
    await advance(100);
    expect(system.inspect(ref)?.status).toBe('running');
    expect(events.filter((event) => event.type === 'turn-disowned')).toHaveLength(1);
  });

  it('by rejecting or returning after it was disowned changes nothing but the count of zombies', async () => {
    const { system, advance, settle } = await testSystem();
    const gate = deferred();
    const ref = await system.spawn(puppet({ turnTimeoutMs: 500 }), { backoff: QUICK });
    const unheard = await unhandledDuring(async () => {
      const asked = endingOf(
        ref.ask('answer', () => gate.promise.then(() => Promise.reject(new Error('late')))),
      );
      await advance(600);
      const other = endingOf(ref.ask('answer', () => gate.promise.then(() => 'late')));
      await advance(600);
      expect([asked.is, other.is]).toEqual(['ERR_ACTOR_FAILED', 'ERR_ACTOR_FAILED']);
      expect(system.inspect(ref)?.zombies).toBe(2);
      gate.resolve();
      await settle();
    });
    expect(unheard).toEqual([]);
    expect(system.inspect(ref)).toMatchObject({
      zombies: 0,
      status: 'running',
      restarts: 2,
      counts: { accepted: 2, failed: 2 },
    });
  });

  it('by a reply of the wrong type under validate always is ERR_REPLY_INVALID, by none at all ERR_REPLY_MISSING', async () => {
    const Strict = protocol('strict', { get: ask(type<unknown>(), z.number()) });
    const strict = agent(Strict, { validate: 'always', on: { get: (_ctx, value) => value as number } });
    const { system, advance } = await testSystem();
    const ref = await system.spawn(strict, { backoff: QUICK });
    const wrong = endingOf(ref.ask('get', 'text'));
    const none = endingOf(ref.ask('get', undefined));
    const right = endingOf(ref.ask('get', 7));
    await advance(300);
    expect(wrong).toMatchObject({ is: 'ERR_ACTOR_FAILED', error: { cause: { code: 'ERR_REPLY_INVALID' } } });
    expect(none).toMatchObject({ is: 'ERR_ACTOR_FAILED', error: { cause: { code: 'ERR_REPLY_MISSING' } } });
    expect(right).toMatchObject({ is: 'resolved', value: 7 });
  });

  it('by a reply that its schema cannot judge fails, and the run queue goes on', async () => {
    const schema = z.number();
    const broken = Object.assign(Object.create(schema) as typeof schema, {
      '~standard': { ...schema['~standard'], validate: () => null },
    });
    const Odd = protocol('odd', { get: ask(type<number>(), broken) });
    const odd = agent(Odd, { validate: 'always', on: { get: (_ctx, value) => value } });
    const { system, settle } = await testSystem();
    const ref = await system.spawn(odd);
    const asked = endingOf(ref.ask('get', 1));
    await settle();
    expect(asked).toMatchObject({ is: 'ERR_ACTOR_FAILED', error: { cause: { code: 'ERR_REPLY_INVALID' } } });
    const other = await system.spawn(puppet());
    expect(await other.ask('answer', () => 'alive')).toBe('alive');
  });

  it('by throwing in decide, or by a decide that answers nonsense, is restarted and reported', async () => {
    const { system, advance, logs } = await testSystem();
    const decides: (() => unknown)[] = [
      () => {
        throw new Error('in decide');
      },
      () => 'explode',
    ];
    for (const decide of decides) {
      const ref = await system.spawn(puppet({ decide: decide as () => 'restart' }), { backoff: QUICK });
      ref.tell('act', () => {
        throw new Error('fail');
      });
      await advance(100);
      expect(system.inspect(ref)).toMatchObject({ status: 'running', generation: 1 });
    }
    expect(logs.filter(({ text }) => text.startsWith('decide'))).toHaveLength(2);
  });

  it('by throwing in onTerminated fails and is restarted; the notice is not given again', async () => {
    const { system, advance, settle } = await testSystem();
    let heard = 0;
    const other = await system.spawn(puppet());
    const ref = await system.spawn(
      puppet({
        onTerminated: () => {
          heard++;
          throw new Error('in onTerminated');
        },
      }),
      { backoff: QUICK },
    );
    ref.tell('act', (ctx) => ctx.watch(other));
    await settle();
    await system.stop(other);
    await advance(1_000);
    expect(heard).toBe(1);
    expect(system.inspect(ref)).toMatchObject({ status: 'running', generation: 1 });
  });

  it('is told to observers, with the message and the topic that it came from', async () => {
    const News = topic('news', type<string>());
    const Reader = protocol('reader', { read: tell(type<string>()) });
    const error = new Error('bad news');
    const reader = agent(Reader, {
      subscribe: [{ topic: News, as: 'read' }],
      on: {
        read: () => {
          throw error;
        },
      },
    });
    const { system, advance, events } = await testSystem();
    const { address } = await system.spawn(reader, { backoff: QUICK });
    await system.publish(News, {}, 'text');
    await advance(100);
    expect(events.filter(({ type }) => type === 'actor-failed')).toEqual([
      { type: 'actor-failed', address, generation: 0, error, message: 'read', topic: 'news' },
    ]);
  });

  it('P39 leaves no unhandled rejection, and an observer or log that throws disturbs nothing', async () => {
    const { system, advance, kernel } = await testSystem({
      log: () => {
        throw new Error('in log');
      },
    });
    const unheard = await unhandledDuring(async () => {
      const stop = system.events.subscribe(() => {
        throw new Error('in a listener');
      });
      const ref = await system.spawn(puppet({ turnTimeoutMs: 50 }), { backoff: QUICK });
      ref.tell('act', (ctx) => ctx.log.info('hello'));
      ref.tell('act', () => Promise.reject(new Error('fail')));
      ref.tell('act', never);
      await advance(1_000);
      expect(await ref.ask('answer', () => 'alive')).toBe('alive');
      await system.stop(ref);
      stop();
      expect(kernel.events.isObserved).toBe(true); // the test's own listener
    });
    expect(unheard).toEqual([]);
  });
});

describe('the context', () => {
  it('of a turn that has ended still sends, but cannot reply, stash or continue: ERR_TURN_ENDED', async () => {
    const { system, settle } = await testSystem();
    const kept: PuppetAskContext[] = [];
    const seen: string[] = [];
    const ref = await system.spawn(puppet());
    await ref.ask('answer', (own) => kept.push(own));
    const [ctx] = kept;
    if (ctx === undefined) throw new Error('no context');
    const refused: Record<string, () => unknown> = {
      stash: () => ctx.stash(),
      continue: () => ctx.continue('next', () => undefined),
      reply: () => ctx.reply(1),
      replyTo: () => ctx.replyTo,
    };
    for (const [call, run] of Object.entries(refused))
      expect(run).toThrow(
        expect.objectContaining({ code: 'ERR_TURN_ENDED', details: { address: ref.address, call } }),
      );
    expect(ctx.tell(ref, 'act', () => seen.push('told'))).toBe('accepted');
    await settle();
    expect(seen).toEqual(['told']);
  });

  it('P36 of a zombie is fenced: nothing it calls is seen', async () => {
    const { system, advance, settle, kernel } = await testSystem();
    const gate = deferred();
    const threw: Record<string, unknown> = {};
    const touched: string[] = [];
    const other = await system.spawn(puppet());
    const child = puppet({
      state: () => {
        touched.push('spawned');
        return [];
      },
    });
    const ref = await system.spawn(puppet({ turnTimeoutMs: 500 }), { name: 'z', backoff: QUICK });
    const asked = endingOf(
      ref.ask('answer', async (ctx) => {
        const token = ctx.replyTo;
        await gate.promise;
        const calls: Record<string, () => unknown> = {
          state: () => ctx.state.push('mark'),
          'set state': () => {
            ctx.state = ['set'];
          },
          tell: () => ctx.tell(other, 'act', () => touched.push('tell')),
          send: () => ctx.send(other, 'act', () => touched.push('send')),
          ask: () => ctx.ask(other, 'answer', () => touched.push('ask')),
          publish: () => ctx.publish('a.b', 1),
          subscribe: () => ctx.subscribe('a.b' as never, { as: 'act' } as never),
          spawn: () => ctx.spawn(child),
          stop: () => ctx.stop(other),
          stopSelf: () => ctx.stopSelf(),
          watch: () => ctx.watch(other),
          unwatch: () => ctx.unwatch(other),
          link: () => ctx.link(other),
          unlink: () => ctx.unlink(other),
          setIdleTimeout: () => ctx.setIdleTimeout(10),
          'timers.once': () => ctx.timers.once('key', 1, 'next', () => touched.push('once')),
          'timers.every': () => ctx.timers.every('key', 1, 'next', () => touched.push('every')),
          'timers.cancel': () => ctx.timers.cancel('key'),
          stash: () => ctx.stash(),
          unstash: () => ctx.unstash(),
          continue: () => ctx.continue('next', () => touched.push('continue')),
          reply: () => ctx.reply('late'),
          replyTo: () => ctx.replyTo,
        };
        for (const [name, call] of Object.entries(calls)) {
          try {
            await call();
            touched.push(`${name} did not throw`);
          } catch (error) {
            if (isTroupeError(error, 'ERR_GENERATION_STALE')) threw[name] = error.details;
          }
        }
        expect(ctx.signal.aborted).toBe(true);
        token.reply('late by token');
        return 'late by return';
      }),
    );
    await advance(600);
    expect(asked.is).toBe('ERR_ACTOR_FAILED');
    const before = system.inspect(ref);
    gate.resolve();
    await settle();
    expect(touched).toEqual([]);
    expect(Object.keys(threw)).toHaveLength(23);
    for (const [name, details] of Object.entries(threw)) {
      const call = name === 'set state' ? 'state' : name;
      expect(details).toEqual({ address: ref.address, call });
    }
    expect(system.inspect(ref)).toMatchObject({ ...before, zombies: 0 });
    expect(system.inspect(other)?.counts.accepted).toBe(0);
    expect(system.deadLetters.stats().byReason).toEqual({
      'handler-failed': 1,
      'stale-incarnation': 3,
      'late-reply': 1,
    });
    expect(kernel.asksInFlight).toBe(0);
  });

  it('P36 of an ended turn is fenced when its generation has ended', async () => {
    const { system, advance, settle } = await testSystem();
    const kept: PuppetContext[] = [];
    const ref = await system.spawn(puppet(), { backoff: QUICK });
    ref.tell('act', (ctx) => kept.push(ctx));
    ref.tell('act', () => {
      throw new Error('fail');
    });
    await settle();
    const stale = expect.objectContaining({ code: 'ERR_GENERATION_STALE' });
    for (const step of ['restarting', 'running', 'stopped']) {
      expect(system.inspect(ref)?.status).toBe(step);
      const [ctx] = kept;
      expect(() => ctx?.tell(ref, 'act', () => undefined)).toThrow(stale);
      expect(() => ctx?.state).toThrow(stale);
      if (step === 'restarting') await advance(100);
      else await system.stop(ref);
    }
  });

  it('unstash after its turn sets the actor going', async () => {
    const { system, settle } = await testSystem();
    const kept: PuppetContext[] = [];
    const seen: string[] = [];
    const ref = await system.spawn(puppet());
    ref.tell('act', (ctx) => {
      if (ctx.state.push('x') === 1) ctx.stash();
      else seen.push('again');
      kept.push(ctx);
    });
    await settle();
    kept[0]?.unstash();
    await settle();
    expect(seen).toEqual(['again']);
  });
});
