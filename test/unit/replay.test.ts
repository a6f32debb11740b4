import { agent, ask, protocol, supervisor, tell, topic, type } from 'troupe';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { entryWithoutHandler } from '../../runtime/actor/outcomes.ts';
import { Envelope, Extras } from '../../src/protocol/envelope.ts';
import { NORMAL_RANK } from '../../src/protocol/priority.ts';
import { deferred, endingOf, puppet } from '../support/puppet.ts';
import { testSystem } from '../support/test-system.ts';

const Job = protocol('job', {
  run: tell(type<string>()),
  price: ask(type<string>(), type<number>()),
});
const NOW = { minMs: 0, jitter: 0 };

/** A job whose turns fail while it is broken, and notes what its turns were told. */
function workshop(options: Partial<Parameters<typeof agent>[1]> = {}) {
  const seen: {
    payload: string;
    attempt: number;
    id: string;
    sender: string | undefined;
    headers: object;
    priority: string;
  }[] = [];
  const state = { isBroken: true };
  const job = agent(Job, {
    decide: () => 'resume',
    ...(options as object),
    on: {
      run: (ctx, payload) => {
        const { attempt, id, sender, headers, priority } = ctx.message;
        seen.push({ payload, attempt, id, sender, headers, priority });
        if (state.isBroken) throw new Error('broken');
      },
      price: (_ctx, payload) => {
        if (state.isBroken) throw new Error('broken');
        return payload.length;
      },
    },
  });
  return { job, seen, state };
}

describe('a replay', () => {
  it('sends the message again as it was, counts its attempts on, and takes it out of the list', async () => {
    const { job, seen, state } = workshop();
    const { system, settle } = await testSystem();
    const ref = await system.spawn(job);
    const sender = await system.spawn(puppet());
    const headers = { tenant: 'a' };
    sender.tell('act', (ctx) => ctx.tell(ref, 'run', 'x', { priority: 'urgent', ttlMs: 10, headers }));
    await settle();
    const [letter] = system.deadLetters.list();
    expect(letter).toMatchObject({ attempts: 1, replays: 0, priority: 'urgent' });
    state.isBroken = false;
    await system.deadLetters.replay(letter?.id ?? '');
    await settle();
    expect(seen).toEqual([
      {
        payload: 'x',
        attempt: 1,
        id: letter?.messageId,
        sender: sender.address,
        headers,
        priority: 'urgent',
      },
      {
        payload: 'x',
        attempt: 2,
        id: expect.any(String),
        sender: sender.address,
        headers,
        priority: 'urgent',
      },
    ]);
    expect(seen[1]?.id).not.toBe(letter?.messageId);
    expect(system.deadLetters.list()).toEqual([]);
    expect(system.deadLetters.stats()).toMatchObject({ total: 1, kept: 0, replayed: 1, evicted: 0 });
    expect(system.inspect(ref)?.counts).toMatchObject({ accepted: 2, handled: 1, failed: 1 });
    await expect(system.deadLetters.replay(letter?.id ?? '')).rejects.toMatchObject({
      code: 'ERR_DEAD_LETTER_UNKNOWN',
      details: { id: letter?.id },
    });
  });

  it('is made of one message three times at most, however often it dies', async () => {
    const { job, seen } = workshop();
    const { system, settle } = await testSystem();
    const ref = await system.spawn(job);
    ref.tell('run', 'x');
    await settle();
    for (const replays of [0, 1, 2]) {
      const [letter, ...others] = system.deadLetters.list();
      expect(letter).toMatchObject({ replays, attempts: replays + 1, payload: 'x' });
      expect(letter?.history.map(({ attempt }) => attempt)).toEqual(
        Array.from({ length: replays + 1 }, (_, earlier) => earlier + 1),
      );
      expect(others).toEqual([]);
      await system.deadLetters.replay(letter?.id ?? '');
      await settle();
    }
    const [letter] = system.deadLetters.list();
    expect(letter).toMatchObject({ replays: 3, attempts: 4 });
    await expect(system.deadLetters.replay(letter?.id ?? '')).rejects.toMatchObject({
      code: 'ERR_REPLAYS_EXHAUSTED',
      details: { id: letter?.id, message: 'run', replaysMax: 3 },
    });
    expect(seen.map(({ attempt }) => attempt)).toEqual([1, 2, 3, 4]);
    expect(system.deadLetters.list()).toEqual([letter]);
    expect(system.deadLetters.stats()).toMatchObject({ total: 4, kept: 1, replayed: 3 });
  });

  it.each([0, 1, 5])('is made replaysMax times at most, when that is %i', async (replaysMax) => {
    const { job, seen } = workshop();
    const { system, settle } = await testSystem({ replaysMax });
    const ref = await system.spawn(job);
    ref.tell('run', 'x');
    await settle();
    const all = { replayed: 1, refused: [] };
    for (let n = 0; n < replaysMax; n++) {
      expect(await system.deadLetters.replayAll()).toEqual(all);
      await settle();
    }
    const [letter] = system.deadLetters.list();
    const exhausted = { code: 'ERR_REPLAYS_EXHAUSTED', details: { replaysMax } };
    await expect(system.deadLetters.replay(letter?.id ?? '')).rejects.toMatchObject(exhausted);
    expect(await system.deadLetters.replayAll()).toMatchObject({
      replayed: 0,
      refused: [{ id: letter?.id, error: exhausted }],
    });
    expect(seen).toHaveLength(1 + replaysMax);
  });

  it('is counted for a message and not for a letter: the copies of a broadcast do not begin anew', async () => {
    const { job } = workshop();
    const pool = job.pool({ size: 2, routing: 'broadcast' });
    const { system, settle } = await testSystem({ replaysMax: 2 });
    await system.stop(await system.spawn(pool, { name: 'all' }));
    system.ref(Job, '/user/all').tell('run', 'x');
    await system.spawn(pool, { name: 'all' });
    for (const replays of [1, 2]) {
      expect(await system.deadLetters.replayAll()).toMatchObject({ refused: [] });
      await settle();
      const letters = system.deadLetters.list();
      expect(letters.length).toBeGreaterThan(1);
      for (const letter of letters) expect(letter).toMatchObject({ replays, attempts: replays });
    }
    const { replayed, refused } = await system.deadLetters.replayAll();
    expect(replayed).toBe(0);
    for (const { error } of refused) expect(error).toMatchObject({ code: 'ERR_REPLAYS_EXHAUSTED' });
  });

  it('keeps topic and history: what was published is found by its topic, however often it dies', async () => {
    const { system, settle, kernel } = await testSystem();
    const ref = await system.spawn(puppet({ decide: () => 'resume' }));
    const errors = [1, 2, 3].map((n) => new Error(`attempt ${n}`));
    const entry = entryWithoutHandler('act', 'tell');
    const extras = new Extras();
    extras.topic = 'mail.in';
    const act = (ctx: { readonly message: { readonly attempt: number } }): never => {
      throw errors[ctx.message.attempt - 1];
    };
    const never = new Envelope(entry, act, NORMAL_RANK, undefined, undefined, extras);
    kernel.deadLetters.add(never, ref.address, 'overflow-dropped');
    for (const attempts of [0, 1, 2]) {
      const [letter] = system.deadLetters.list({ topic: 'mail.*' });
      expect(letter).toMatchObject({ topic: 'mail.in', attempts, replays: attempts });
      expect(letter?.history.map(({ error }) => error)).toEqual(errors.slice(0, attempts));
      expect(letter?.error).toBe(attempts === 0 ? undefined : errors[attempts - 1]);
      await system.deadLetters.replay(letter?.id ?? '');
      await settle();
    }
    const [letter] = system.deadLetters.list();
    expect(letter).toMatchObject({ attempts: 3, replays: 3, history: [{}, {}, {}] });
  });

  it('counts on through other deaths: attempts used up, a stop', async () => {
    const { job, state } = workshop({
      onFailure: { retry: { attemptsMax: 2, backoff: NOW } },
      decide: undefined,
    });
    const { system, advance, settle } = await testSystem();
    const ref = await system.spawn(job, { name: 'job', backoff: NOW });
    ref.tell('run', 'x');
    await advance(10);
    expect(system.deadLetters.list()).toMatchObject([
      { reason: 'attempts-exhausted', attempts: 2, replays: 0 },
    ]);
    await system.deadLetters.replay(system.deadLetters.list()[0]?.id ?? '');
    await advance(10);
    // A replay is one more attempt, and the limit is behind it.
    expect(system.deadLetters.list()).toMatchObject([
      { reason: 'attempts-exhausted', attempts: 3, replays: 1 },
    ]);
    system.suspend(ref);
    await system.deadLetters.replay(system.deadLetters.list()[0]?.id ?? '');
    await system.stop(ref);
    // A death without an attempt adds nothing to what went wrong before.
    expect(system.deadLetters.list()).toMatchObject([
      { reason: 'stopped', attempts: 3, replays: 2, error: undefined, history: [{}, {}, { attempt: 3 }] },
    ]);
    state.isBroken = false;
    const again = await system.spawn(job, { name: 'job' });
    await system.deadLetters.replay(system.deadLetters.list()[0]?.id ?? '');
    await settle();
    expect(system.inspect(again)?.counts.handled).toBe(1);
    expect(system.deadLetters.stats()).toMatchObject({ total: 3, kept: 0, replayed: 3 });
  });

  it('goes to whoever lives there now; where nobody does, it rejects and the letter stays', async () => {
    const { job, seen, state } = workshop();
    state.isBroken = false;
    const { system, settle } = await testSystem({ order: 'engine' });
    const first = await system.spawn(job, { name: 'job' });
    await system.stop(first);
    first.tell('run', 'to one incarnation');
    system.ref(Job, 'named').tell('run', 'to a name', { headers: { kept: 'yes' } });
    const letters = system.deadLetters.list();
    for (const [place, address] of ['/user/job', 'named'].entries())
      await expect(system.deadLetters.replay(letters[place]?.id ?? '')).rejects.toMatchObject({
        code: 'ERR_ACTOR_UNKNOWN',
        details: { address },
      });
    expect(system.deadLetters.list()).toEqual(letters);
    expect(system.deadLetters.stats()).toMatchObject({ total: 2, replayed: 0 });
    const other = await system.spawn(puppet(), { name: 'job' });
    await expect(system.deadLetters.replay(letters[0]?.id ?? '')).rejects.toMatchObject({
      code: 'ERR_MESSAGE_UNKNOWN',
    });
    await system.stop(other);
    await system.spawn(job, { name: 'job' });
    system.register('named', await system.spawn(job));
    for (const { id } of letters) await system.deadLetters.replay(id);
    await settle();
    expect(seen.map(({ payload, headers }) => [payload, headers])).toEqual([
      ['to one incarnation', {}],
      ['to a name', { kept: 'yes' }],
    ]);
  });

  it('to an actor that is ending rejects, and makes no second letter', async () => {
    const { system, settle } = await testSystem();
    const ref = await system.spawn(puppet());
    const held = deferred();
    ref.tell('act', () => held.promise);
    ref.tell('act', () => undefined);
    await settle();
    const ended = system.stop(ref);
    const letters = system.deadLetters.list();
    expect(letters).toMatchObject([{ reason: 'stopped' }]);
    await expect(system.deadLetters.replay(letters[0]?.id ?? '')).rejects.toMatchObject({
      code: 'ERR_ACTOR_STOPPED',
      details: { address: ref.address },
    });
    expect(system.deadLetters.list()).toEqual(letters);
    expect(system.deadLetters.stats().total).toBe(1);
    held.resolve();
    await ended;
  });

  it('of an ask is handled without a reply too: nobody waits for one', async () => {
    const Till = protocol('till', { price: ask(type<string>(), z.number()) });
    const forgets = (() => undefined) as unknown as () => number; // what untyped code may write
    const till = agent(Till, { decide: () => 'resume', on: { price: forgets } });
    const { system, settle } = await testSystem();
    const ref = await system.spawn(till);
    const asked = endingOf(ref.ask('price', 'abc'));
    await settle();
    expect(asked).toMatchObject({ is: 'ERR_ACTOR_FAILED', error: { cause: { code: 'ERR_REPLY_MISSING' } } });
    await system.deadLetters.replay(system.deadLetters.list()[0]?.id ?? '');
    await settle();
    expect(system.inspect(ref)?.counts).toMatchObject({ failed: 1, handled: 1 });
    expect(system.deadLetters.list()).toEqual([]);
  });

  it('of an ask is handled, and its reply goes nowhere', async () => {
    const { job, state } = workshop();
    const { system, settle } = await testSystem();
    const ref = await system.spawn(job);
    const asked = endingOf(ref.ask('price', 'abc'));
    await settle();
    expect(asked.is).toBe('ERR_ACTOR_FAILED');
    state.isBroken = false;
    await system.deadLetters.replay(system.deadLetters.list()[0]?.id ?? '');
    await settle();
    expect(system.inspect(ref)?.counts).toMatchObject({ failed: 1, handled: 1 });
    expect(system.deadLetters.stats()).toMatchObject({ total: 1, kept: 0 });
    // Whichever way the handler answers.
    const ways = await system.spawn(puppet({ decide: () => 'resume' }));
    let isBroken = true;
    for (const way of ['reply', 'replyTo'] as const) {
      endingOf(
        ways.ask('answer', (ctx) => {
          if (isBroken) throw new Error('broken');
          if (way === 'reply') return ctx.reply(1);
          const token = ctx.replyTo;
          token.reply(1);
          return token;
        }),
      );
    }
    await settle();
    isBroken = false;
    expect(await system.deadLetters.replayAll({ message: 'answer' })).toEqual({ replayed: 2, refused: [] });
    await settle();
    expect(system.inspect(ways)?.counts).toMatchObject({ failed: 2, handled: 2 });
    expect(system.deadLetters.list()).toEqual([]);
  });

  it('waits for room as a send does; the letter stays meanwhile, and is sent once', async () => {
    const { job, seen, state } = workshop({ mailbox: { capacity: 1 } });
    const { system, settle, advance } = await testSystem();
    const ref = await system.spawn(job);
    ref.tell('run', 'x');
    await settle();
    state.isBroken = false;
    system.suspend(ref);
    ref.tell('run', 'fills');
    const [letter] = system.deadLetters.list();
    const id = letter?.id ?? '';
    const late = endingOf(system.deadLetters.replay(id));
    await advance(1);
    await expect(system.deadLetters.replay(id)).rejects.toMatchObject({
      code: 'ERR_REPLAY_REFUSED',
      details: { id, message: 'run', problem: 'it is being replayed, and waits for room' },
    });
    await advance(30_000);
    expect(late.is).toBe('ERR_SEND_TIMEOUT');
    expect(system.deadLetters.list()).toEqual([letter]);
    const waits = endingOf(system.deadLetters.replay(id));
    await settle();
    system.resume(ref);
    await settle();
    expect(waits.is).toBe('resolved');
    expect(seen.map(({ payload }) => payload)).toEqual(['x', 'fills', 'x']);
    expect(system.deadLetters.list()).toEqual([]);
  });

  it('that is discarded while it waits is sent all the same, and counted once', async () => {
    const { job, seen } = workshop({ mailbox: { capacity: 1 } });
    const { system, settle } = await testSystem();
    const ref = await system.spawn(job);
    ref.tell('run', 'x');
    await settle();
    system.suspend(ref);
    ref.tell('run', 'fills');
    const id = system.deadLetters.list()[0]?.id ?? '';
    const waits = endingOf(system.deadLetters.replay(id));
    await settle();
    expect(system.deadLetters.discard(id)).toBe(true);
    system.resume(ref);
    await settle();
    expect([waits.is, seen.length]).toEqual(['resolved', 3]);
    expect(system.deadLetters.stats()).toMatchObject({
      total: 3,
      kept: 2,
      discarded: 1,
      replayed: 0,
      evicted: 0,
    });
  });

  it('is refused for replies, for what failed its schema, and for what the runtime had made', async () => {
    const Strict = protocol('strict', { note: tell(type<{ readonly n: number }>()) });
    const strict = agent(Strict, {
      subscribe: [{ topic: topic('notes', z.object({ n: z.number() })), as: 'note' }],
      on: { note: () => undefined },
    });
    const { system, settle, advance } = await testSystem();
    const ref = await system.spawn(puppet({ decide: () => 'resume' }));
    await system.spawn(strict);
    ref
      .ask('answer', (ctx) => {
        ctx.reply(1);
        return ctx.reply(2);
      })
      .catch(() => undefined);
    ref.tell('act', (ctx) =>
      ctx.continue('next', () => {
        throw new Error('in a continuation');
      }),
    );
    let late = (): void => undefined;
    ref
      .ask(
        'answer',
        (ctx) => {
          const token = ctx.replyTo;
          late = () => token.reply(1);
          return token;
        },
        { timeoutMs: 5 },
      )
      .catch(() => undefined);
    await system.publish('notes', 5);
    await advance(5);
    late();
    await settle();
    const letters = system.deadLetters.list();
    expect(letters.map(({ reason }) => reason).sort()).toEqual([
      'duplicate-reply',
      'handler-failed',
      'late-reply',
      'validation',
    ]);
    const report = await system.deadLetters.replayAll();
    expect(report.replayed).toBe(0);
    expect(report.refused.map(({ id }) => id)).toEqual(letters.map(({ id }) => id));
    const problems = {
      'duplicate-reply': 'it is a reply, and nobody waits for it',
      'handler-failed': 'the runtime itself had made it',
      'late-reply': 'it is a reply, and nobody waits for it',
      validation: 'it does not fit the schema of its receiver',
    };
    for (const [place, { id, reason, message }] of letters.entries()) {
      const problem = Object.entries(problems).find(([each]) => each === reason)?.[1];
      expect(report.refused[place]?.error).toMatchObject({
        code: 'ERR_REPLAY_REFUSED',
        details: { id, message, problem },
      });
    }
    expect(system.deadLetters.list()).toEqual(letters);
  });

  it('of all that match takes the oldest first, and a full mailbox holds up only its own', async () => {
    const { job, seen, state } = workshop({ mailbox: { capacity: 2 } });
    const root = supervisor({ children: { open: job.child(), full: job.child() } });
    const { system, settle, advance } = await testSystem({ root });
    const { open, full } = system.refs;
    for (const payload of ['1', '2', '3']) {
      open.tell('run', `open ${payload}`);
      full.tell('run', `full ${payload}`);
      await settle();
    }
    state.isBroken = false;
    seen.length = 0;
    system.suspend(full);
    const report = system.deadLetters.replayAll({ message: 'run' });
    await advance(30_000);
    const { replayed, refused } = await report;
    expect(seen.map(({ payload }) => payload)).toEqual(['open 1', 'open 2', 'open 3']);
    expect(replayed).toBe(5);
    expect(refused).toMatchObject([{ error: { code: 'ERR_SEND_TIMEOUT' } }]);
    expect(system.deadLetters.list()).toMatchObject([{ payload: 'full 3' }]);
    system.resume(full);
    await settle();
    expect(seen.slice(3).map(({ payload }) => payload)).toEqual(['full 1', 'full 2']);
    expect(await system.deadLetters.replayAll({ reason: 'expired' })).toEqual({ replayed: 0, refused: [] });
  });

  it('is refused for an id that is none, and a filter that is none', async () => {
    const { system } = await testSystem();
    for (const [id, told] of [
      ['m0', 'm0'],
      ['', ''],
      [undefined, 'undefined'],
      [5, '5'],
      [{}, 'an object'],
    ])
      await expect(system.deadLetters.replay(id as string)).rejects.toMatchObject({
        code: 'ERR_DEAD_LETTER_UNKNOWN',
        details: { id: told },
      });
    await expect(system.deadLetters.replayAll({ name: 'x' } as object)).rejects.toMatchObject({
      code: 'ERR_OPTION_INVALID',
    });
  });

  it('in a system that has ended is refused in its name, and the letter stays', async () => {
    const { system } = await testSystem();
    system.ref(Job, 'nobody').tell('run', 'x');
    await system.shutdown();
    const letters = system.deadLetters.list();
    expect(letters).toMatchObject([{ reason: 'actor-unknown', payload: 'x' }]);
    await expect(system.deadLetters.replay('d1')).rejects.toMatchObject({
      code: 'ERR_ACTOR_STOPPED',
      details: { address: '/' },
    });
    expect(system.deadLetters.list()).toEqual(letters);
  });

  it('in flight at a shutdown rejects, and its letter stays', async () => {
    const { job } = workshop({ mailbox: { capacity: 1 } });
    const { system, settle } = await testSystem();
    const ref = await system.spawn(job);
    ref.tell('run', 'x');
    await settle();
    system.suspend(ref);
    ref.tell('run', 'fills');
    const held = deferred();
    system.onShutdown('flush', 'held', () => held.promise);
    const replay = endingOf(system.deadLetters.replay(system.deadLetters.list()[0]?.id ?? ''));
    const ended = system.shutdown();
    await settle();
    expect(replay.is).toBe('ERR_ACTOR_STOPPED');
    expect(system.deadLetters.list().map(({ payload }) => payload)).toEqual(['x', 'fills']);
    held.resolve();
    await ended;
  });
});
