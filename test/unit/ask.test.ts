import { isTroupeError, supervisor } from 'troupe';
import { describe, expect, it } from 'vitest';
import type { PuppetAskContext, PuppetRef } from '../support/puppet.ts';
import { deferred, endingOf, never, Puppet, puppet } from '../support/puppet.ts';
import { unhandledDuring } from '../support/rejections.ts';
import { RUNS } from '../support/runs.ts';
import { testSystem } from '../support/test-system.ts';

const QUICK = { minMs: 100, maxMs: 100, jitter: 0 };
const FAIL = (): never => {
  throw new Error('fail');
};

/** Answers when its turn is aborted, with what aborted it. */
function untilAborted(ctx: PuppetAskContext): Promise<never> {
  return new Promise((_resolve, reject) => {
    ctx.signal.addEventListener('abort', () => reject(ctx.signal.reason));
  });
}

describe('an ask', () => {
  it('P75 is rejected in the same macrotask when its turn fails, with the cause', async () => {
    const { system, settle } = await testSystem();
    const ref = await system.spawn(puppet());
    const asked = endingOf(ref.ask('answer', FAIL));
    await new Promise<void>((resolve) => {
      setImmediate(resolve);
    });
    expect(asked).toMatchObject({ is: 'ERR_ACTOR_FAILED', error: { cause: { message: 'fail' } } });
    await settle();
  });

  it.each(['queued', 'waiting for room', 'stashed'])(
    'P75 that is %s is rejected at once when its target stops',
    async (where) => {
      const { system, settle } = await testSystem();
      const ref = await system.spawn(puppet({ mailbox: { capacity: 1, criticalReserve: 0 } }));
      if (where !== 'stashed') system.suspend(ref);
      if (where === 'waiting for room') ref.tell('act', () => undefined);
      const asked = endingOf(ref.ask('answer', (ctx) => ctx.stash()));
      await settle();
      expect(asked.is).toBeUndefined();
      void system.stop(ref);
      await new Promise<void>((resolve) => {
        setImmediate(resolve);
      });
      expect(asked.is).toBe('ERR_ACTOR_STOPPED');
    },
  );

  it('P37 that is queued survives a restart; the one in flight is rejected before the new start', async () => {
    const { system, advance } = await testSystem();
    const seen: string[] = [];
    const ref = await system.spawn(
      puppet({
        state: () => {
          seen.push('start');
          return [];
        },
      }),
      { backoff: QUICK },
    );
    ref.ask('answer', FAIL).catch(() => seen.push('rejected'));
    const queued = endingOf(ref.ask('answer', (ctx) => ctx.generation));
    await advance(100);
    expect(seen).toEqual(['start', 'rejected', 'start']);
    expect(queued).toMatchObject({ is: 'resolved', value: 1 });
  });

  it('P74 settles at its timeout and is taken back: queued it is removed, in flight its turn is aborted', async () => {
    const { system, advance, settle, kernel, clock } = await testSystem();
    const ref = await system.spawn(puppet());
    const first = endingOf(ref.ask('answer', untilAborted, { timeoutMs: 500 }));
    const second = endingOf(ref.ask('answer', () => 1, { timeoutMs: 400 }));
    await advance(399);
    expect([first.is, second.is]).toEqual([undefined, undefined]);
    await advance(1);
    expect([first.is, second.is]).toEqual([undefined, 'ERR_ASK_TIMEOUT']);
    await advance(100);
    expect(first.is).toBe('ERR_ASK_TIMEOUT');
    await settle();
    expect(system.inspect(ref)).toMatchObject({
      status: 'running',
      generation: 0,
      counts: { accepted: 2, cancelled: 2, handled: 0, failed: 0 },
    });
    expect([kernel.asksInFlight, kernel.timeouts.size, clock.pending]).toEqual([0, 0, 0]);
  });

  it('P26 whose turn rejects because it was aborted is no failure', async () => {
    const { system, settle, events } = await testSystem();
    const cancel = new AbortController();
    const ref = await system.spawn(puppet());
    const asked = endingOf(ref.ask('answer', untilAborted, { signal: cancel.signal }));
    await settle();
    cancel.abort(new Error('enough'));
    await settle();
    expect(asked).toMatchObject({ is: 'rejected', error: { message: 'enough' } });
    expect(system.inspect(ref)).toMatchObject({
      status: 'running',
      restarts: 0,
      counts: { cancelled: 1, failed: 0 },
    });
    expect(events.filter(({ type }) => type === 'actor-failed')).toEqual([]);
  });

  it('P76 that has settled takes no reply: each late or second one is one dead letter', async () => {
    const { system, advance, settle } = await testSystem();
    const gate = deferred();
    const ref = await system.spawn(puppet());
    const late = endingOf(ref.ask('answer', () => gate.promise.then(() => 'late'), { timeoutMs: 500 }));
    await advance(500);
    gate.resolve();
    await settle();
    const twice = await ref.ask('answer', (ctx) => {
      ctx.reply('first');
      return ctx.reply('second');
    });
    expect([late.is, twice]).toEqual(['ERR_ASK_TIMEOUT', 'first']);
    expect(
      system.deadLetters
        .list()
        .map(({ reason, payload, message, attempts }) => [reason, payload, message, attempts]),
    ).toEqual([
      ['late-reply', 'late', 'answer (reply)', 0],
      ['duplicate-reply', 'second', 'answer (reply)', 0],
    ]);
  });

  it('P77 gets its own reply, whatever the order of replies', async () => {
    const { system, settle } = await testSystem();
    const ref = await system.spawn(puppet());
    const tokens: { reply(value: unknown): void }[] = [];
    const asks = [0, 1, 2, 3, 4].map((n) =>
      endingOf(
        ref.ask('answer', (ctx) => {
          const { replyTo } = ctx;
          tokens[n] = replyTo;
          return replyTo;
        }),
      ),
    );
    await settle();
    for (const n of [3, 0, 4, 1, 2]) tokens[n]?.reply(`answer ${n}`);
    await settle();
    expect(asks.map(({ value }) => value)).toEqual([0, 1, 2, 3, 4].map((n) => `answer ${n}`));
  });

  it('P78 of one asker resolves in the order of the replies', async () => {
    const { system, settle } = await testSystem();
    const order: number[] = [];
    const ref = await system.spawn(puppet());
    for (const n of [1, 2, 3, 4]) {
      void ref.ask('answer', () => (n % 2 === 0 ? n : Promise.resolve(n))).then(() => order.push(n));
    }
    await settle();
    expect(order).toEqual([1, 2, 3, 4]);
  });

  it('P79 gives its deadline to what its turn asks: along a chain it never grows', async () => {
    const { system, advance } = await testSystem();
    const deadlines: (number | undefined)[] = [];
    const refs: PuppetRef[] = [];
    for (let i = 0; i < 4; i++) refs.push(await system.spawn(puppet()));
    const hop =
      (i: number) =>
      async (ctx: PuppetAskContext): Promise<unknown> => {
        deadlines.push(ctx.message.deadline);
        const next = refs[i + 1];
        if (next === undefined) return never();
        return await ctx.ask(next, 'answer', hop(i + 1), { timeoutMs: i === 1 ? 300 : 90_000 });
      };
    const asked = endingOf(refs[0]?.ask('answer', hop(0), { timeoutMs: 1_000 }) ?? never());
    await advance(300);
    expect(asked).toMatchObject({ is: 'ERR_ACTOR_FAILED' });
    const [first = 0, second = 0, third = 0, fourth = 0] = deadlines;
    expect(second).toBeLessThanOrEqual(first);
    expect(third).toBe(first - 700);
    expect(fourth).toBeLessThanOrEqual(third);
  });

  it('P80 that is aborted aborts every turn that works for it, and removes what is queued', async () => {
    const { system, settle } = await testSystem();
    const [a, b, c] = [
      await system.spawn(puppet()),
      await system.spawn(puppet()),
      await system.spawn(puppet()),
    ];
    const aborted: string[] = [];
    const cancel = new AbortController();
    system.suspend(c);
    const asked = endingOf(
      a.ask(
        'answer',
        async (ctx) => {
          ctx.signal.addEventListener('abort', () => aborted.push('a'));
          return await ctx.ask(b, 'answer', async (inner) => {
            inner.signal.addEventListener('abort', () => aborted.push('b'));
            return await inner.ask(c, 'answer', () => 1);
          });
        },
        { signal: cancel.signal },
      ),
    );
    await settle();
    expect(system.inspect(c)?.mailbox.queued).toBe(1);
    cancel.abort(new Error('enough'));
    expect(aborted.sort()).toEqual(['a', 'b']);
    await settle();
    expect(asked).toMatchObject({ is: 'rejected', error: { message: 'enough' } });
    for (const ref of [a, b, c])
      expect(system.inspect(ref)?.counts).toMatchObject({ accepted: 1, cancelled: 1 });
  });

  it('P80 from a turn that was aborted is rejected at once, and so is a send that would wait', async () => {
    const { system, settle } = await testSystem();
    const other = await system.spawn(puppet({ mailbox: { capacity: 1, criticalReserve: 0 } }));
    const ref = await system.spawn(puppet());
    system.suspend(other);
    other.tell('act', () => undefined);
    const cancel = new AbortController();
    const after: (string | undefined)[] = [];
    const asked = endingOf(
      ref.ask(
        'answer',
        async (ctx) => {
          await untilAborted(ctx).catch(() => undefined);
          const late = endingOf(ctx.ask(other, 'answer', () => 1));
          const send = endingOf(ctx.send(other, 'act', () => 1));
          await Promise.resolve();
          await Promise.resolve();
          after.push(late.is, send.is);
          return 1;
        },
        { signal: cancel.signal },
      ),
    );
    await settle();
    cancel.abort(new Error('enough'));
    await settle();
    expect(asked.is).toBe('rejected');
    expect(after).toEqual(['rejected', 'rejected']);
    expect(system.inspect(other)?.mailbox.waiting).toBe(0);
  });

  it('P76 that the turn has answered or put aside is not answered by what the handler returns then', async () => {
    const { system, settle } = await testSystem();
    const ref = await system.spawn(puppet());
    const answered = endingOf(
      ref.ask('answer', (ctx) => {
        ctx.reply('first');
        return 'second';
      }),
    );
    const stashed = endingOf(
      ref.ask('answer', (ctx) => {
        ctx.stash();
        return 'too early';
      }),
    );
    await settle();
    expect(answered).toMatchObject({ is: 'resolved', value: 'first' });
    expect(stashed.is).toBeUndefined();
    expect(system.deadLetters.list()).toEqual([]);
  });

  it('P81 to oneself is rejected without waiting, naming the path', async () => {
    const { system } = await testSystem();
    const ref = await system.spawn(puppet(), { name: 'self' });
    const path = await ref.ask('answer', async (ctx) => {
      const ending = endingOf(ctx.ask(ctx.self, 'answer', () => 1));
      await Promise.resolve();
      await Promise.resolve();
      return ending;
    });
    expect(path).toMatchObject({
      is: 'ERR_ASK_CYCLE',
      error: {
        details: { path: [expect.stringContaining('/user/self'), expect.stringContaining('/user/self')] },
      },
    });
  });

  it('P81 around A, B and C is rejected without waiting, naming the path', async () => {
    const { system, settle, clock } = await testSystem();
    const [a, b, c] = await Promise.all(['a', 'b', 'c'].map((name) => system.spawn(puppet(), { name })));
    if (a === undefined || b === undefined || c === undefined) throw new Error('not spawned');
    const asked = endingOf(
      a.ask('answer', (one) =>
        one.ask(b, 'answer', (two) => two.ask(c, 'answer', (three) => three.ask(a, 'answer', () => 'round'))),
      ),
    );
    await settle();
    expect(clock.now()).toBe(0);
    let innermost: unknown = asked.error;
    while (innermost instanceof Error && innermost.cause !== undefined) innermost = innermost.cause;
    expect(innermost).toMatchObject({
      code: 'ERR_ASK_CYCLE',
      details: { path: ['a', 'b', 'c', 'a'].map((name) => expect.stringContaining(`/user/${name}`)) },
    });
  });

  it('P81 is no cycle when the first turn has ended and answers later', async () => {
    const { system, settle } = await testSystem();
    const a = await system.spawn(puppet());
    const b = await system.spawn(puppet());
    const gate = deferred();
    const asked = endingOf(
      a.ask('answer', (ctx) => {
        const { replyTo } = ctx;
        void ctx
          .ask(b, 'answer', async (inner) => {
            await gate.promise;
            return await inner.ask(a, 'answer', () => 'from a');
          })
          .then((value) => replyTo.reply(value));
        return replyTo;
      }),
    );
    await settle();
    gate.resolve();
    await settle();
    expect(asked).toMatchObject({ is: 'resolved', value: 'from a' });
  });

  it('by a token may be rejected, once', async () => {
    const { system, settle } = await testSystem();
    const ref = await system.spawn(puppet());
    const asked = endingOf(
      ref.ask('answer', (ctx) => {
        const { replyTo } = ctx;
        queueMicrotask(() => {
          replyTo.reject(new Error('no'));
          replyTo.reply('yes');
        });
        return replyTo;
      }),
    );
    await settle();
    expect(asked).toMatchObject({ is: 'ERR_ACTOR_FAILED', error: { cause: { message: 'no' } } });
    expect(system.deadLetters.stats().byReason).toEqual({ 'late-reply': 1 });
  });

  it.each(['restarts', 'stops'] as const)(
    'P76 by a token handed to another actor is answered there, once, though the first one %s meanwhile',
    async (end) => {
      const { system, settle, advance, kernel } = await testSystem();
      const first = await system.spawn(puppet(), { backoff: QUICK });
      const other = await system.spawn(puppet());
      const gate = deferred();
      const asked = endingOf(
        first.ask('answer', (ctx) => {
          const { replyTo } = ctx;
          ctx.tell(other, 'act', async () => {
            await gate.promise;
            replyTo.reply('from the other');
            replyTo.reply('again');
            replyTo.reject(new Error('and again'));
          });
          return replyTo;
        }),
      );
      await settle();
      if (end === 'restarts') first.tell('act', FAIL);
      else await system.stop(first);
      await advance(100);
      expect([system.inspect(first)?.generation, asked.is]).toEqual([end === 'restarts' ? 1 : 0, undefined]);
      gate.resolve();
      await settle();
      expect(asked).toMatchObject({ is: 'resolved', value: 'from the other' });
      expect(system.deadLetters.stats().byReason).toMatchObject({ 'duplicate-reply': 2 });
      expect(kernel.asksInFlight).toBe(0);
    },
  );

  it('P75 whose turn fails after it took its token is rejected at once; P76 the token comes too late, as after the deadline', async () => {
    const { system, settle, advance } = await testSystem();
    const ref = await system.spawn(puppet(), { backoff: QUICK });
    const replies: (() => void)[] = [];
    const failed = endingOf(
      ref.ask('answer', (ctx) => {
        const { replyTo } = ctx;
        replies.push(() => replyTo.reply('late'));
        return FAIL();
      }),
    );
    await advance(100);
    const expired = endingOf(
      ref.ask(
        'answer',
        (ctx) => {
          const { replyTo } = ctx;
          replies.push(() => replyTo.reply('late'));
          return replyTo;
        },
        { timeoutMs: 50 },
      ),
    );
    await advance(50);
    for (const reply of replies) reply();
    await settle();
    expect([failed.is, expired.is]).toEqual(['ERR_ACTOR_FAILED', 'ERR_ASK_TIMEOUT']);
    expect(system.deadLetters.stats().byReason).toMatchObject({ 'late-reply': 2 });
  });

  it('P81 of a tick to its own actor is rejected without waiting', async () => {
    const { system, advance } = await testSystem();
    const ref = await system.spawn(puppet());
    let asked: { is: string | undefined } | undefined;
    ref.tell('act', (ctx) =>
      ctx.timers.once('key', 10, 'next', async (own) => {
        const ending = endingOf(own.ask(own.self, 'answer', () => 1));
        asked = ending;
        await Promise.resolve();
        await Promise.resolve();
      }),
    );
    await advance(10);
    expect(asked?.is).toBe('ERR_ASK_CYCLE');
  });

  it('is refused beyond asksInFlightMax, and admitted again when one has settled', async () => {
    const { system, settle, kernel } = await testSystem({ asksInFlightMax: 2 });
    const ref = await system.spawn(puppet());
    const gate = deferred();
    const asks = [0, 1, 2].map(() => endingOf(ref.ask('answer', () => gate.promise)));
    await settle();
    expect(asks.map(({ is }) => is)).toEqual([undefined, undefined, 'ERR_ASKS_IN_FLIGHT_FULL']);
    expect(asks[2]?.error).toMatchObject({ details: { max: 2 } });
    gate.resolve();
    await settle();
    expect(kernel.asksInFlight).toBe(0);
    expect(await ref.ask('answer', () => 1)).toBe(1);
  });

  it('P82 leaves nothing behind: 100,000 of them, settled in every way', async () => {
    const stopped = puppet();
    const root = supervisor({
      intensity: { max: Infinity },
      restartsWithoutProgressMax: Infinity,
      children: {
        ref: puppet({ mailbox: { capacity: 50, waitersMax: 200 }, turnTimeoutMs: 700 }).child({
          backoff: { minMs: 0 },
        }),
      },
    });
    const { system, settle, advance, kernel, clock } = await testSystem({ root, deadLettersMax: 10 });
    const { ref } = system.refs;
    let listeners = 0;
    // Several, each for thousands of asks: what is left on any of them shows.
    const signals = Array.from({ length: 40 }, () => {
      const { signal } = new AbortController();
      const add = signal.addEventListener.bind(signal);
      const remove = signal.removeEventListener.bind(signal);
      signal.addEventListener = (...given: Parameters<typeof add>): void => {
        listeners++;
        add(...given);
      };
      signal.removeEventListener = (...given: Parameters<typeof remove>): void => {
        listeners--;
        remove(...given);
      };
      return signal;
    });
    const codes = new Set<string>();
    let settled = 0;
    const count = (): void => {
      settled++;
    };
    const failed = (error: unknown): void => {
      count();
      codes.add(isTroupeError(error) ? error.code : 'aborted');
    };
    const nobody = system.ref(Puppet, 'nobody');
    const full = await system.spawn(puppet({ mailbox: { capacity: 1, overflow: 'reject' } }));
    system.suspend(full);
    full.tell('act', () => undefined);
    const ROUNDS = Math.ceil(Math.min(RUNS, 1_000) / 4); // fewer where fewer runs are asked for
    const unheard = await unhandledDuring(async () => {
      for (let round = 0; round < ROUNDS; round++) {
        const dying = await system.spawn(stopped, { shutdownMs: 0 });
        const controllers: AbortController[] = [];
        for (let i = 0; i < 400; i++) {
          const own = new AbortController();
          const signal = signals[i % signals.length];
          let asked: Promise<unknown>;
          if (i % 8 === 0) asked = ref.ask('answer', () => i, { signal });
          else if (i % 8 === 1) asked = ref.ask('answer', () => Promise.resolve(i), { signal });
          else if (i % 80 === 2) asked = ref.ask('answer', FAIL, { signal });
          else if (i % 80 === 3) asked = ref.ask('answer', untilAborted, { timeoutMs: 5, signal });
          else if (i % 8 === 4) asked = ref.ask('answer', () => i, { timeoutMs: 1 + (i % 3), signal });
          else if (i % 8 === 5) asked = dying.ask('answer', (ctx) => ctx.replyTo, { signal });
          else if (i % 80 === 6) asked = dying.ask('answer', (ctx) => ctx.stash(), { signal });
          else if (i % 80 === 14) asked = nobody.ask('answer', () => i, { signal });
          else if (i % 80 === 22)
            asked = ref.ask('answer', (ctx) => ctx.ask(ctx.self, 'answer', () => i), { signal });
          else if (i % 80 === 30)
            asked = ref.ask('answer', (ctx) => ctx.ask(dying, 'answer', never, { timeoutMs: 3 }), { signal });
          else if (i % 80 === 38) asked = ref.ask('answer', () => i, { signal: AbortSignal.abort() });
          else if (i % 80 === 46) asked = full.ask('answer', () => i, { signal });
          else {
            asked = ref.ask('answer', () => i, { signal: own.signal });
            if (i % 2 === 0) controllers.push(own);
          }
          asked.then(count, failed);
        }
        for (const controller of controllers) controller.abort();
        if (round % 10 === 0) void system.kill(ref); // it comes back, and the one in flight is cancelled
        await settle();
        void system.stop(dying);
        await advance(10);
      }
      await advance(100_000);
    });
    expect(settled).toBe(ROUNDS * 400);
    expect([...codes].sort()).toEqual([
      'ERR_ACTOR_FAILED',
      'ERR_ACTOR_STOPPED',
      'ERR_ACTOR_UNKNOWN',
      'ERR_ASK_TIMEOUT',
      'ERR_MAILBOX_FULL',
      'ERR_MAILBOX_WAITERS_FULL',
      'aborted',
    ]);
    expect(unheard).toEqual([]);
    expect(listeners).toBe(0);
    expect(kernel.asksInFlight).toBe(0);
    await settle();
    expect(kernel.timeouts.size).toBe(0);
    expect(clock.pending).toBe(0);
    const counts = system.inspect(ref)?.counts;
    expect(counts?.accepted).toBe(
      (counts?.handled ?? 0) + (counts?.failed ?? 0) + (counts?.cancelled ?? 0) + (counts?.deadLettered ?? 0),
    );
  });
});

describe('a call whose signal is aborted already', () => {
  it('P56 P80 is rejected with the reason of that, and its message gets nowhere', async () => {
    const { system, settle } = await testSystem();
    const ref = await system.spawn(puppet());
    const seen: string[] = [];
    const enough = new Error('enough');
    const signal = AbortSignal.abort(enough);
    const sent = endingOf(ref.send('act', () => seen.push('sent'), { signal }));
    const asked = endingOf(ref.ask('answer', () => seen.push('asked'), { signal }));
    await settle();
    expect([sent.error, asked.error]).toEqual([enough, enough]);
    expect(seen).toEqual([]);
    expect(system.inspect(ref)?.counts.accepted).toBe(0);
    expect(system.deadLetters.stats().total).toBe(0);
  });
});

describe('a send', () => {
  it('P55 settles at its timeout, at its abort, and when the actor stops', async () => {
    const { system, settle, advance, kernel, clock } = await testSystem();
    const ref = await system.spawn(puppet({ mailbox: { capacity: 1, criticalReserve: 0 } }));
    system.suspend(ref);
    ref.tell('act', () => undefined);
    const cancel = new AbortController();
    const timed = endingOf(ref.send('act', () => undefined, { timeoutMs: 100 }));
    const aborted = endingOf(ref.send('act', () => undefined, { signal: cancel.signal }));
    const stopped = endingOf(ref.send('act', () => undefined));
    await advance(99);
    expect([timed.is, aborted.is, stopped.is]).toEqual([undefined, undefined, undefined]);
    await advance(1);
    expect(timed.is).toBe('ERR_SEND_TIMEOUT');
    cancel.abort(new Error('enough'));
    await settle();
    expect(aborted).toMatchObject({ is: 'rejected', error: { message: 'enough' } });
    await system.stop(ref);
    await settle();
    const { address } = ref;
    expect(stopped).toMatchObject({ is: 'ERR_ACTOR_STOPPED', error: { details: { address } } });
    expect([kernel.timeouts.size, clock.pending]).toEqual([0, 0]);
  });

  it('P56 that is aborted while it waits never gets in and holds no slot', async () => {
    const { system, settle } = await testSystem();
    const seen: string[] = [];
    const ref = await system.spawn(puppet({ mailbox: { capacity: 1, criticalReserve: 0 } }));
    system.suspend(ref);
    ref.tell('act', () => seen.push('first'));
    const cancel = new AbortController();
    const aborted = endingOf(
      ref.send('act', () => seen.push('aborted'), { signal: cancel.signal, priority: 'urgent' }),
    );
    const next = endingOf(ref.send('act', () => seen.push('next')));
    cancel.abort();
    system.resume(ref);
    await settle();
    expect(seen).toEqual(['first', 'next']);
    expect([aborted.is, next.is]).toEqual(['rejected', 'resolved']);
    expect(system.inspect(ref)?.counts).toMatchObject({ accepted: 2, handled: 2 });
  });

  it('P54 that resolved is handled: backpressure loses nothing', async () => {
    const { system, settle } = await testSystem();
    const ref = await system.spawn(puppet({ mailbox: { capacity: 8 } }));
    let handled = 0;
    const senders = [0, 1, 2, 3].map(async (n) => {
      for (let i = 0; i < 500; i++)
        await ref.send('act', () => (n === 0 ? Promise.resolve(handled++) : handled++));
    });
    await Promise.all(senders);
    await settle();
    expect(handled).toBe(2_000);
    expect(system.inspect(ref)?.counts).toEqual({
      accepted: 2_000,
      handled: 2_000,
      failed: 0,
      cancelled: 0,
      deadLettered: 0,
    });
    expect(system.deadLetters.stats().total).toBe(0);
  });

  it('that waits for a turn ends with that turn', async () => {
    const { system, settle, advance } = await testSystem();
    const full = await system.spawn(puppet({ mailbox: { capacity: 1, criticalReserve: 0 } }));
    const seen: string[] = [];
    system.suspend(full);
    full.tell('act', () => undefined);
    const ref = await system.spawn(puppet({ turnTimeoutMs: 500 }), { backoff: QUICK });
    ref.tell('act', (ctx) => ctx.send(full, 'act', () => seen.push('from a zombie')));
    await advance(500);
    expect(system.inspect(full)?.mailbox.waiting).toBe(0);
    system.resume(full);
    await settle();
    expect(seen).toEqual([]);
  });
});
