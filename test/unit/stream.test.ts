import { agent, ask, isTroupeError, protocol, stream, supervisor, tell, type } from 'troupe';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { PartStream } from '../../src/protocol/part-stream.ts';
import { deferred, endingOf, never, type PuppetContext, puppet } from '../support/puppet.ts';
import { unhandledDuring } from '../support/rejections.ts';
import { testSystem } from '../support/test-system.ts';

type Flow = (ctx: PuppetContext) => AsyncGenerator<unknown, unknown, void>;

/** Endless: counts from 0, and says how far it is and that it has ended. */
function counting(): {
  readonly flow: Flow;
  readonly seen: { made: number; ended: number; signal?: AbortSignal };
} {
  const seen: { made: number; ended: number; signal?: AbortSignal } = { made: 0, ended: 0 };
  return {
    seen,
    flow: async function* (ctx) {
      seen.signal = ctx.signal;
      try {
        for (;;) yield seen.made++;
      } finally {
        seen.ended++;
      }
    },
  };
}

/** Reads so many parts. */
async function read(parts: PartStream<unknown, unknown>, count: number): Promise<unknown[]> {
  const got: unknown[] = [];
  while (got.length < count) got.push((await parts.next()).value);
  return got;
}

const DONE = { done: true, value: undefined };

describe('a stream', () => {
  it('P126 gives its parts in order, then its result once', async () => {
    const { system } = await testSystem();
    const ref = await system.spawn(puppet());
    const parts = ref.stream('flow', async function* () {
      yield 1;
      yield 2;
      return 'sum';
    });
    const got: unknown[] = [];
    for await (const part of parts) got.push(part);
    expect([got, await parts.result, await parts.next()]).toEqual([[1, 2], 'sum', DONE]);
    expect(await ref.stream('flow', async function* () {}).next()).toEqual(DONE);
  });

  it('asks with the first next() and not before: one that nobody reads costs nothing', async () => {
    const { system, settle, kernel, clock } = await testSystem();
    const ref = await system.spawn(puppet());
    const { flow, seen } = counting();
    const parts = ref.stream('flow', flow);
    const unread = parts.result;
    await settle();
    expect([system.inspect(ref)?.counts.accepted, seen.made, kernel.asksInFlight, clock.pending]).toEqual([
      0, 0, 0, 0,
    ]);
    expect(await parts.return()).toEqual(DONE);
    expect([await parts.next(), (await endingOfNow(unread)).is]).toEqual([DONE, 'ERR_STREAM_BROKEN_OFF']);
    expect(system.inspect(ref)?.counts.accepted).toBe(0);
  });

  it('P125 suspends its producer: window parts are in flight at the most', async () => {
    const { system, settle } = await testSystem();
    for (const [window, most] of [
      [1, 1],
      [3, 3],
      [undefined, 16],
    ] as const) {
      const { flow, seen } = counting();
      const ref = await system.spawn(puppet());
      const parts = ref.stream('flow', flow, { window });
      expect(await parts.next()).toEqual({ done: false, value: 0 });
      await settle();
      expect(seen.made).toBe(1 + most);
      expect(system.inspect(ref)?.turn).toMatchObject({
        message: 'flow',
        stream: { parts: 1 + most, isHeld: true },
      });
      expect(await read(parts, 2)).toEqual([1, 2]);
      await settle();
      expect(seen.made).toBe(3 + most);
      await parts.return();
    }
  });

  it('P126 answers calls of next() in their order, also those that came before the parts, and refuses too many', async () => {
    const { system, settle } = await testSystem();
    const ref = await system.spawn(puppet());
    const gate = deferred();
    const parts = ref.stream('flow', async function* () {
      await gate.promise;
      yield 'a';
      yield 'b';
      return 'end';
    });
    const calls = Array.from({ length: 1_000 }, () => parts.next());
    await expect(parts.next()).rejects.toMatchObject({
      code: 'ERR_PULLS_FULL',
      details: { pattern: 'flow', pullsMax: 1_000 },
    });
    gate.resolve();
    await settle();
    const [a, b, end, ...others] = await Promise.all(calls);
    expect([a, b, end]).toEqual([
      { done: false, value: 'a' },
      { done: false, value: 'b' },
      { done: true, value: 'end' },
    ]);
    expect(new Set(others.map((each) => JSON.stringify(each)))).toEqual(new Set([JSON.stringify(DONE)]));
  });

  it('P128 that is broken off aborts the signal, runs finally, is cancelled and no failure', async () => {
    const { system, settle, kernel, clock, events } = await testSystem();
    const ref = await system.spawn(puppet());
    const { flow, seen } = counting();
    const parts = ref.stream('flow', flow);
    const unread = endingOf(parts.result);
    for await (const part of parts) if (part === 2) break;
    await settle();
    expect([seen.ended, seen.signal?.aborted]).toEqual([1, true]);
    expect(seen.signal?.reason).toMatchObject({
      code: 'ERR_STREAM_BROKEN_OFF',
      details: { message: 'flow' },
    });
    expect([unread.is, await parts.next(), await parts.return()]).toEqual([
      'ERR_STREAM_BROKEN_OFF',
      DONE,
      DONE,
    ]);
    expect(system.inspect(ref)).toMatchObject({
      generation: 0,
      turn: undefined,
      counts: { accepted: 1, cancelled: 1, failed: 0 },
    });
    expect(events.filter(({ type: kind }) => kind === 'actor-failed')).toEqual([]);
    expect([kernel.asksInFlight, kernel.timeouts.size, clock.pending]).toEqual([0, 0, 0]);
    expect(await ref.ask('answer', () => 'next')).toBe('next');
  });

  it('P128 whose producer waits for something else runs finally when that ends, with the signal aborted', async () => {
    const { system, settle } = await testSystem();
    const ref = await system.spawn(puppet());
    const order: string[] = [];
    const parts = ref.stream('flow', async function* (ctx) {
      try {
        yield 1;
        await new Promise((_, reject) => {
          ctx.signal.addEventListener('abort', () => reject(ctx.signal.reason));
        });
      } finally {
        order.push(`finally ${ctx.signal.aborted}`);
        await Promise.resolve();
        order.push('end of finally');
      }
    });
    await parts.next();
    ref.tell('act', () => order.push('next turn'));
    await settle();
    await parts.return();
    await settle();
    expect(order).toEqual(['finally true', 'end of finally', 'next turn']);
  });

  it('P128 has the next turn of its actor wait for finally', async () => {
    const { system, settle } = await testSystem();
    const ref = await system.spawn(puppet());
    const gate = deferred();
    const order: string[] = [];
    const parts = ref.stream('flow', async function* () {
      try {
        for (;;) yield 1;
      } finally {
        await gate.promise;
        order.push('finally');
      }
    });
    await parts.next();
    ref.tell('act', () => order.push('next turn'));
    await parts.return();
    await settle();
    expect(order).toEqual([]);
    gate.resolve();
    await settle();
    expect(order).toEqual(['finally', 'next turn']);
  });

  it.each(['throws', 'yields'])(
    'P128 whose finally %s when it is broken off ends all the same',
    async (how) => {
      const { system, settle, events } = await testSystem();
      const ref = await system.spawn(puppet());
      const unheard = await unhandledDuring(async () => {
        const parts = ref.stream('flow', async function* () {
          try {
            for (;;) yield 1;
          } finally {
            if (how === 'throws') await Promise.reject(new Error('in finally'));
            yield 2;
          }
        });
        await parts.next();
        await parts.return();
        await settle();
      });
      expect([unheard, events.filter(({ type: kind }) => kind === 'actor-failed')]).toEqual([[], []]);
      expect(system.inspect(ref)).toMatchObject({ turn: undefined, counts: { cancelled: 1 } });
    },
  );

  it('P127 P128 whose signal is aborted rejects with its reason at once, and gives nothing that had arrived', async () => {
    const { system, settle } = await testSystem();
    const ref = await system.spawn(puppet());
    const cancel = new AbortController();
    const { flow, seen } = counting();
    const parts = ref.stream('flow', flow, { signal: cancel.signal });
    await parts.next();
    await settle();
    const enough = new Error('enough');
    cancel.abort(enough);
    await expect(parts.next()).rejects.toBe(enough);
    await expect(parts.result).rejects.toBe(enough);
    expect(await parts.next()).toEqual(DONE);
    await settle();
    expect([seen.ended, seen.signal?.reason]).toEqual([1, enough]);
    const late = ref.stream('flow', flow, { signal: cancel.signal });
    await expect(late.next()).rejects.toBe(enough);
    expect(system.inspect(ref)?.counts.accepted).toBe(1);
  });

  it('P129 that fails gives what was sent, then the error with its cause, and its actor restarts', async () => {
    const { system, settle } = await testSystem();
    const ref = await system.spawn(puppet());
    const parts = ref.stream('flow', async function* () {
      yield 1;
      yield 2;
      throw new Error('fail');
    });
    await parts.next();
    await settle();
    expect(await parts.next()).toEqual({ done: false, value: 2 });
    await expect(parts.next()).rejects.toMatchObject({
      code: 'ERR_ACTOR_FAILED',
      details: { message: 'flow' },
      cause: { message: 'fail' },
    });
    expect(await parts.next()).toEqual(DONE);
    expect(system.inspect(ref)).toMatchObject({ status: 'restarting', counts: { failed: 1 } });
  });

  it.each([
    ['killed', 'ERR_ACTOR_FAILED'],
    ['stopped', 'ERR_ACTOR_STOPPED'],
  ] as const)(
    'P129 whose actor is %s in the middle ends with an error, and finally runs',
    async (how, code) => {
      const { system, advance, settle } = await testSystem();
      const ref = await system.spawn(puppet(), { shutdownMs: 100 });
      const { flow, seen } = counting();
      const parts = ref.stream('flow', flow, { window: 2 });
      await parts.next();
      await settle();
      void (how === 'killed' ? system.kill(ref) : system.stop(ref));
      await advance(100);
      expect(await read(parts, 2)).toEqual([1, 2]);
      await expect(parts.next()).rejects.toMatchObject({ code });
      expect([seen.ended, seen.made]).toEqual([1, 3]);
    },
  );

  it('P129 that has given a part is not tried again, as one that has given none is', async () => {
    const { system, advance } = await testSystem();
    const retry = { attemptsMax: 3, backoff: { minMs: 10, maxMs: 10, jitter: 0 } };
    const ref = await system.spawn(puppet({ onFailure: { retry } }), { backoff: { minMs: 10, jitter: 0 } });
    const attempts = [0, 0];
    const early = ref.stream('flow', async function* (ctx) {
      attempts[0] = ctx.message.attempt;
      if (ctx.message.attempt < 3) throw new Error('too early');
      yield 'at last';
    });
    const got = early.next();
    await advance(1_000);
    expect([await got, attempts[0]]).toEqual([{ done: false, value: 'at last' }, 3]);
    const late = ref.stream('flow', async function* (ctx) {
      attempts[1] = ctx.message.attempt;
      yield 'seen';
      throw new Error('too late');
    });
    expect((await late.next()).value).toBe('seen');
    const end = endingOf(late.next());
    await advance(1_000);
    expect([end.is, attempts[1]]).toEqual(['ERR_ACTOR_FAILED', 1]);
    expect(system.deadLetters.list().map(({ reason, attempts: n }) => [reason, n])).toEqual([
      ['handler-failed', 1],
    ]);
  });

  it('P130 ends at its timeout: what came in time may still be read, finally runs, and nothing is left', async () => {
    const { system, advance, kernel, clock } = await testSystem();
    const ref = await system.spawn(puppet());
    const { flow, seen } = counting();
    const parts = ref.stream('flow', flow, { timeoutMs: 500, window: 2 });
    await parts.next();
    await advance(499);
    expect(seen.ended).toBe(0);
    await advance(1);
    expect(seen.ended).toBe(1);
    expect(await read(parts, 2)).toEqual([1, 2]);
    await expect(parts.next()).rejects.toMatchObject({
      code: 'ERR_STREAM_TIMEOUT',
      details: { message: 'flow', timeoutMs: 500, parts: 3 },
    });
    expect([kernel.asksInFlight, kernel.timeouts.size, clock.pending]).toEqual([0, 0, 0]);
  });

  it('lets the time of its turn stand still while it waits for its reader, and no longer', async () => {
    const { system, advance } = await testSystem();
    const ref = await system.spawn(puppet({ turnTimeoutMs: 100 }));
    const gate = deferred();
    const parts = ref.stream(
      'flow',
      async function* () {
        yield 1;
        yield 2;
        yield 3;
        await gate.promise;
      },
      { window: 1 },
    );
    await parts.next();
    await advance(10_000);
    expect(system.inspect(ref)?.turn).toMatchObject({ stream: { parts: 2, isHeld: true } });
    await read(parts, 2);
    const end = endingOf(parts.next());
    await advance(99);
    expect([end.is, system.inspect(ref)?.turn?.stream]).toEqual([undefined, { parts: 3, isHeld: false }]);
    await advance(1);
    expect(end).toMatchObject({ is: 'ERR_ACTOR_FAILED', error: { cause: { code: 'ERR_TURN_TIMEOUT' } } });
  });

  it('counts all that its turn works, between the waits for its reader too', async () => {
    const { system, advance, clock } = await testSystem();
    const ref = await system.spawn(puppet({ turnTimeoutMs: 100 }));
    const work = (ms: number) =>
      new Promise<void>((resolve) => {
        clock.setTimer(ms, resolve);
      });
    const parts = ref.stream(
      'flow',
      async function* () {
        for (let n = 0; ; n++) {
          await work(30);
          yield n;
        }
      },
      { window: 1 },
    );
    const codes: (string | undefined)[] = [];
    for (let n = 0; n < 4; n++) {
      const next = endingOf(parts.next());
      await advance(1_000);
      codes.push(next.is);
    }
    const last = endingOf(parts.next());
    await advance(1_000);
    // Three parts, of which each has taken 30 ms; the fourth was in the making for 10 more.
    expect([codes, last.is]).toEqual([['resolved', 'resolved', 'resolved', 'ERR_ACTOR_FAILED'], 'resolved']);
  });

  it('P129 that has given a part in an earlier turn is not tried again', async () => {
    const { system, advance, settle } = await testSystem();
    const retry = { attemptsMax: 3, backoff: { minMs: 10, maxMs: 10, jitter: 0 } };
    const ref = await system.spawn(puppet({ onFailure: { retry } }), {
      backoff: { minMs: 10, jitter: 0 },
    });
    let turns = 0;
    const parts = ref.stream(
      'flow',
      async function* (ctx) {
        if (++turns === 2) throw new Error('fail');
        yield 1;
        yield 2;
        return ctx.stash();
      },
      { window: 1 },
    );
    await parts.next();
    await settle();
    expect((await parts.next()).value).toBe(2);
    await settle();
    // The second turn begins with credit, and fails: what was read stays read.
    ref.tell('act', (ctx) => ctx.unstash());
    const end = endingOf(parts.next());
    await advance(1_000);
    expect([end.is, turns]).toEqual(['ERR_ACTOR_FAILED', 2]);
  });

  it('is admitted as an ask is: waits for room, or is refused', async () => {
    const { system, settle } = await testSystem({ asksInFlightMax: 2 });
    const small = { capacity: 1, criticalReserve: 0 };
    const patient = await system.spawn(puppet({ mailbox: small }));
    const strict = await system.spawn(puppet({ mailbox: { ...small, overflow: 'reject' } }));
    for (const ref of [patient, strict]) {
      system.suspend(ref);
      ref.tell('act', () => undefined);
    }
    const one = async function* () {
      yield 1;
    };
    await expect(strict.stream('flow', one).next()).rejects.toMatchObject({ code: 'ERR_MAILBOX_FULL' });
    const waits = endingOf(patient.stream('flow', one).next());
    const withdrawn = patient.stream('flow', one);
    const given = endingOf(withdrawn.next());
    await settle();
    expect(system.inspect(patient)?.mailbox).toMatchObject({ queued: 1, waiting: 2 });
    await expect(patient.stream('flow', one).next()).rejects.toMatchObject({
      code: 'ERR_ASKS_IN_FLIGHT_FULL',
    });
    await withdrawn.return();
    await settle();
    expect([given, system.inspect(patient)?.mailbox.waiting]).toMatchObject([{ value: DONE }, 1]);
    system.resume(patient);
    await settle();
    expect(waits.value).toEqual({ done: false, value: 1 });
  });

  it('is refused by its first next() where nobody is there, and throws at once for misuse', async () => {
    const { system, settle } = await testSystem();
    const ref = await system.spawn(puppet());
    const { flow } = counting();
    await system.stop(ref);
    for (const [gone, code] of [
      [ref, 'ERR_ACTOR_STOPPED'],
      [system.ref(ref.protocol, 'nobody'), 'ERR_ACTOR_UNKNOWN'],
    ] as const)
      await expect(gone.stream('flow', flow).next()).rejects.toMatchObject({ code });
    expect(system.deadLetters.list().map(({ reason, message }) => [reason, message])).toEqual([
      ['stopped', 'flow'],
      ['actor-unknown', 'flow'],
    ]);
    const bad = ref as unknown as { stream(name: unknown, payload?: unknown, options?: unknown): unknown };
    for (const [given, code] of [
      [['act'], 'ERR_MESSAGE_UNKNOWN'],
      [['answer'], 'ERR_MESSAGE_UNKNOWN'],
      [[7], 'ERR_MESSAGE_UNKNOWN'],
      [['flow', flow, { window: 0 }], 'ERR_OPTION_INVALID'],
      [['flow', flow, { window: 1_025 }], 'ERR_OPTION_INVALID'],
      [['flow', flow, { timeoutMs: Infinity }], 'ERR_OPTION_INVALID'],
      [['flow', flow, { ttlMs: 5 }], 'ERR_OPTION_INVALID'],
    ] as const)
      expect(codeOf(() => bad.stream(given[0], given[1], given[2]))).toBe(code);
    await settle();
    expect(() => (ref as unknown as { ask(name: string): unknown }).ask('flow')).toThrow(/flow/);
  });

  it('is refused once the system shuts down, and dies with it', async () => {
    const { system, settle, advance } = await testSystem();
    const ref = await system.spawn(puppet(), { shutdownMs: 100 });
    const { flow, seen } = counting();
    const parts = ref.stream('flow', flow);
    const late = ref.stream('flow', flow);
    await parts.next();
    const over = system.shutdown({ drainMs: 100 });
    await settle();
    await expect(late.next()).rejects.toMatchObject({ code: 'ERR_ACTOR_STOPPED' });
    await advance(5_000);
    await over;
    expect(seen.ended).toBe(1);
    await read(parts, 16);
    await expect(parts.next()).rejects.toMatchObject({ code: 'ERR_ACTOR_STOPPED' });
  });

  it('belongs to the turn that reads it: its abort, its deadline and its chain', async () => {
    const { system, settle, advance } = await testSystem();
    const source = await system.spawn(puppet());
    const reader = await system.spawn(puppet());
    const first = counting();
    const cancel = new AbortController();
    const asked = endingOf(
      reader.ask(
        'answer',
        async (ctx) => {
          const got: unknown[] = [];
          for await (const part of ctx.stream(source, 'flow', first.flow, { window: 1 })) {
            got.push(part);
            await new Promise((resolve) => {
              ctx.signal.addEventListener('abort', resolve);
            });
          }
          return got;
        },
        { signal: cancel.signal },
      ),
    );
    await settle();
    cancel.abort(new Error('enough'));
    await settle();
    expect([asked.is, first.seen.ended]).toEqual(['rejected', 1]);
    expect(first.seen.signal?.reason).toMatchObject({ message: 'enough' });

    const second = counting();
    const timed = endingOf(
      reader.ask(
        'answer',
        (ctx) => ctx.stream(source, 'flow', second.flow, { window: 1 }).next().then(never),
        {
          timeoutMs: 200,
        },
      ),
    );
    await advance(200);
    expect([timed.is, second.seen.ended]).toEqual(['ERR_ASK_TIMEOUT', 1]);
    const round = await source.ask('answer', (ctx) =>
      endingOfNow(ctx.stream(ctx.self, 'flow', first.flow).next()),
    );
    expect(round).toMatchObject({ is: 'ERR_ASK_CYCLE' });
  });

  it('P36 is not asked for by a turn of an older generation, also where it was made before', async () => {
    const { system, settle } = await testSystem();
    const source = await system.spawn(puppet());
    const reader = await system.spawn(puppet(), { backoff: { minMs: 0 } });
    const { flow, seen } = counting();
    const gate = deferred();
    const codes: unknown[] = [];
    reader.tell('act', async (ctx) => {
      const parts = ctx.stream(source, 'flow', flow);
      await gate.promise;
      codes.push(
        (await endingOfNow(parts.next())).is,
        codeOf(() => ctx.stream(source, 'flow', flow)),
      );
    });
    await settle();
    await system.kill(reader);
    gate.resolve();
    await settle();
    expect([codes, seen.made]).toEqual([['ERR_GENERATION_STALE', 'ERR_GENERATION_STALE'], 0]);
    expect(system.deadLetters.list().map(({ reason }) => reason)).toEqual([
      'stale-incarnation',
      'stale-incarnation',
    ]);
  });

  it('goes on with the same reader when its message comes back from the stash', async () => {
    const { system, settle } = await testSystem();
    const ref = await system.spawn(puppet());
    let turns = 0;
    const parts = ref.stream('flow', async function* (ctx) {
      yield ++turns;
      if (turns === 1) return ctx.stash();
      return 'end';
    });
    expect((await parts.next()).value).toBe(1);
    await settle();
    ref.tell('act', (ctx) => ctx.unstash());
    expect([await parts.next(), await parts.next()]).toEqual([
      { done: false, value: 2 },
      { done: true, value: 'end' },
    ]);
  });

  it('checks parts and result where the agent says so, and what is no generator everywhere', async () => {
    const Strict = protocol('strict', {
      words: stream(z.number(), z.string(), z.object({ count: z.number() })),
    });
    const returns: Record<number, () => AsyncGenerator<string, { count: number }, void>> = {
      0: async function* () {
        yield 'one';
        return { count: 1 };
      },
      1: async function* () {
        yield 'one';
        yield 2 as unknown as string;
        return { count: 2 };
      },
      2: async function* () {
        yield 'one';
        return { count: 'none' } as unknown as { count: number };
      },
      3: async function* () {
        yield 'one';
        return undefined as unknown as { count: number };
      },
      4: (() => Promise.reject(new Error('no generator'))) as never,
      5: (() => ['one']) as never,
    };
    const make = agent(Strict, {
      validate: 'always',
      on: { words: (_, n) => returns[n]?.() ?? (undefined as never) },
    });
    const { system, settle } = await testSystem();
    const issues: unknown[] = [];
    for (const n of [0, 1, 2, 3, 4, 5, 6]) {
      const ref = await system.spawn(make);
      const parts = ref.stream('words', n);
      let step = await endingOfNow(parts.next());
      while (step.is === 'resolved' && !(step.value as { done: boolean }).done)
        step = await endingOfNow(parts.next());
      const cause = step.error instanceof Error ? step.error.cause : undefined;
      issues.push(
        isTroupeError(cause)
          ? [cause.code, 'issues' in cause.details ? cause.details.issues[0] : '']
          : step.value,
      );
    }
    await settle();
    expect(issues).toEqual([
      { done: true, value: { count: 1 } },
      ['ERR_REPLY_INVALID', expect.stringMatching(/^a part: .*string/i)],
      ['ERR_REPLY_INVALID', expect.stringMatching(/count/)],
      ['ERR_REPLY_MISSING', ''],
      ['ERR_REPLY_INVALID', expect.stringMatching(/async generator/)],
      ['ERR_REPLY_INVALID', expect.stringMatching(/async generator/)],
      ['ERR_REPLY_INVALID', expect.stringMatching(/got undefined/)],
    ]);
    const ref = await system.spawn(make);
    await expect(ref.stream('words', 'none' as never).next()).rejects.toMatchObject({
      code: 'ERR_MESSAGE_INVALID',
    });
  });

  it('goes to one worker of a pool, beside the streams of the others', async () => {
    const { system, settle } = await testSystem();
    const ref = await system.spawn(puppet().pool({ size: 2 }));
    const flows = [counting(), counting()];
    const all = flows.map(({ flow }) => ref.stream('flow', flow, { window: 1 }));
    expect(await Promise.all(all.map((parts) => read(parts, 3)))).toEqual([
      [0, 1, 2],
      [0, 1, 2],
    ]);
    await all[0]?.return();
    await settle();
    expect(flows.map(({ seen }) => seen.ended)).toEqual([1, 0]);
    await all[1]?.return();
  });

  it.each(['broadcast', 'scatter-gather-first'] as const)(
    'is not asked of a pool with routing %s',
    async (routing) => {
      const { system } = await testSystem();
      const ref = await system.spawn(puppet().pool({ size: 2, routing }));
      await expect(ref.stream('flow', counting().flow).next()).rejects.toMatchObject({
        code: 'ERR_ROUTING_MISMATCH',
        details: { message: 'flow', routing },
      });
    },
  );

  it('that is a dead letter is made again for nobody when it is replayed', async () => {
    const { system, settle } = await testSystem();
    const ref = await system.spawn(puppet(), { backoff: { minMs: 0 } });
    let fails = true;
    let made = 0;
    const parts = ref.stream('flow', async function* () {
      if (fails) throw new Error('fail');
      for (; made < 40; made++) yield made;
    });
    await expect(parts.next()).rejects.toMatchObject({ code: 'ERR_ACTOR_FAILED' });
    await settle();
    fails = false;
    await system.deadLetters.replayAll();
    await settle();
    expect([made, system.inspect(ref)?.counts.handled]).toEqual([40, 1]);
  });

  it('lets timers have their go beside any number of streams that never wait', async () => {
    const { system, settle } = await testSystem({ order: 'engine' });
    const flows = [counting(), counting(), counting()];
    const streams = await Promise.all(
      flows.map(async ({ flow }) => (await system.spawn(puppet())).stream('flow', flow)),
    );
    let isOver = false;
    const reading = streams.map(async (parts) => {
      for await (const part of parts) if (isOver || Number(part) > 20_000) break;
    });
    await new Promise<void>((resolve) => {
      setTimeout(resolve, 0);
    });
    isOver = true;
    const made = flows.reduce((sum, { seen }) => sum + seen.made, 0);
    await Promise.all(reading);
    await settle();
    expect(made).toBeGreaterThan(48);
    expect(made).toBeLessThan(20_000);
    expect(flows.map(({ seen }) => seen.ended)).toEqual([1, 1, 1]);
  });

  it('P30 ends when another child of a group fails, and its actor goes on', async () => {
    const root = supervisor({
      strategy: 'one-for-all',
      children: {
        source: puppet().child({ shutdownMs: 50, backoff: { minMs: 0 } }),
        other: puppet().child({ backoff: { minMs: 0 } }),
      },
    });
    const { system, advance, settle } = await testSystem({ root });
    const { flow, seen } = counting();
    const parts = system.refs.source.stream('flow', flow, { window: 1 });
    await parts.next();
    await settle();
    system.refs.other.tell('act', () => {
      throw new Error('fail');
    });
    await advance(50);
    expect((await parts.next()).value).toBe(1);
    await expect(parts.next()).rejects.toMatchObject({
      code: 'ERR_ACTOR_FAILED',
      cause: { message: 'fail' },
    });
    await advance(1_000);
    expect([seen.ended, await system.refs.source.ask('answer', (ctx) => ctx.generation)]).toEqual([1, 1]);
  });
});

describe('a protocol with a stream', () => {
  it('is defined by schemas, and an agent has a handler for it', () => {
    const bad = stream as (...given: unknown[]) => unknown;
    for (const given of [[], [type(), 1], [z.string()], [type(), type(), null]])
      expect(codeOf(() => bad(...given))).toBe('ERR_OPTION_INVALID');
    const words = protocol('words', { all: stream(type<void>(), type<string>()) });
    expect(words.messages.all).toMatchObject({ kind: 'stream', reply: undefined });
    expect(codeOf(() => agent(words, { on: {} as never }))).toBe('ERR_OPTION_INVALID');
    expect(protocol('mixed', { a: tell(), b: ask(type<void>(), type<void>()) }).messages.b.kind).toBe('ask');
  });
});

async function endingOfNow(promise: Promise<unknown>): Promise<ReturnType<typeof endingOf>> {
  const ending = endingOf(promise);
  await promise.catch(() => undefined);
  return ending;
}

function codeOf(body: () => unknown): string | undefined {
  try {
    body();
    return undefined;
  } catch (error) {
    return isTroupeError(error) ? error.code : 'no code';
  }
}
