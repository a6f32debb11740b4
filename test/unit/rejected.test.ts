import { agent, ask, protocol, rejected, supervisor, tell, type } from 'troupe';
import { describe, expect, it } from 'vitest';
import { kitSystem } from '../support/kit-system.ts';
import { deferred, endingOf, puppet } from '../support/puppet.ts';
import { testSystem } from '../support/test-system.ts';

const NO_CUSTOMER = new RangeError('no such customer');

/** A reason, as a handler gives it. */
function reject(reason: unknown = NO_CUSTOMER): never {
  throw rejected(reason);
}

describe('a rejected message', () => {
  it('is a dead letter with its reason; its actor has not failed, and goes on with its state', async () => {
    const decided: unknown[] = [];
    const { system, settle, events } = await testSystem();
    const ref = await system.spawn(
      puppet({
        onFailure: { retry: { attemptsMax: 5 } },
        decide: (error) => {
          decided.push(error);
          return 'stop';
        },
      }),
    );
    ref.tell('act', (ctx) => ctx.state.push('kept'));
    ref.tell('act', () => reject());
    ref.tell('act', () => Promise.reject(rejected('closed on Sundays')));
    let state: unknown;
    ref.tell('act', (ctx) => {
      state = ctx.state;
    });
    await settle();
    expect(state).toEqual(['kept']);
    const letters = system.deadLetters.list();
    expect(letters).toMatchObject([
      { reason: 'rejected', attempts: 1, error: NO_CUSTOMER, history: [{ attempt: 1, generation: 0 }] },
      {
        reason: 'rejected',
        attempts: 1,
        error: { message: 'closed on Sundays', stack: expect.stringContaining('rejected.test.ts') },
      },
    ]);
    expect(letters[0]?.error).toBe(NO_CUSTOMER);
    expect(decided).toEqual([]);
    expect(events.filter(({ type: is }) => is === 'actor-failed' || is === 'actor-restarting')).toEqual([]);
    expect(system.inspect(ref)).toMatchObject({
      status: 'running',
      generation: 0,
      lastError: undefined,
      counts: { accepted: 4, handled: 2, failed: 0, cancelled: 0, deadLettered: 2 },
    });
  });

  it('tells its asker at once, with the reason as the cause', async () => {
    const { system, settle } = await testSystem();
    const ref = await system.spawn(puppet());
    const asked = endingOf(ref.ask('answer', () => reject()));
    await settle();
    expect(asked.error).toMatchObject({
      code: 'ERR_MESSAGE_REJECTED',
      retryable: false,
      details: { address: ref.address, message: 'answer' },
    });
    expect((asked.error as Error).cause).toBe(NO_CUSTOMER);
  });

  it('is that of the turn that throws: an asker who throws the error on, or its cause, has failed', async () => {
    for (const again of [(error: unknown) => error, (error: unknown) => (error as Error).cause]) {
      const { system, settle } = await testSystem();
      const clerk = await system.spawn(puppet());
      const asker = await system.spawn(puppet());
      asker.tell('act', async (ctx) => {
        try {
          await ctx.ask(clerk, 'answer', () => reject('no'));
        } catch (error) {
          throw again(error);
        }
      });
      await settle();
      expect(system.deadLetters.list().map(({ address, reason }) => [address, reason])).toEqual([
        [clerk.address, 'rejected'],
        [asker.address, 'handler-failed'],
      ]);
    }
  });

  it('has one outcome, whatever its turn did before: stashed, unstashed, answered, left', async () => {
    const system = await kitSystem();
    const ref = await system.spawn(puppet(), { name: 'ref' });
    ref.tell('act', (ctx) => {
      ctx.stash();
      reject();
    });
    ref.tell('act', (ctx) => {
      ctx.stash();
      ctx.unstash();
      reject();
    });
    const asked = endingOf(
      ref.ask('answer', (ctx) => {
        ctx.reply('yes');
        return reject();
      }),
    );
    ref.tell('act', (ctx) => {
      ctx.stopSelf();
      reject();
    });
    await system.settle();
    expect(asked.value).toBe('yes');
    expect(system.deadLetters.list().map(({ reason }) => reason)).toEqual(Array(4).fill('rejected'));
    expect(system.inspect(ref)?.status).toBe('stopped');
  });

  it('whose asker has gone meanwhile is cancelled, as any aborted turn', async () => {
    const { system, settle } = await testSystem();
    const ref = await system.spawn(puppet());
    const held = deferred();
    const aborter = new AbortController();
    const asked = endingOf(
      ref.ask(
        'answer',
        async () => {
          await held.promise;
          return reject();
        },
        { signal: aborter.signal },
      ),
    );
    await settle();
    aborter.abort(new Error('enough'));
    held.resolve();
    await settle();
    expect(asked.error).toMatchObject({ message: 'enough' });
    expect(system.inspect(ref)?.counts).toMatchObject({ cancelled: 1, deadLettered: 0 });
    expect(system.deadLetters.list()).toEqual([]);
  });

  it('is progress: restarts without it are counted anew', async () => {
    const { system, settle, advance } = await testSystem();
    const ref = await system.spawn(puppet(), { backoff: { minMs: 1, maxMs: 1, jitter: 0 } });
    const fail = (): never => {
      throw new Error('fail');
    };
    for (let round = 0; round < 2; round++) {
      ref.tell('act', fail);
      await advance(60_000);
      expect(system.inspect(ref)?.restartsWithoutProgress).toBe(1);
      ref.tell('act', () => reject());
      await settle();
      expect(system.inspect(ref)?.restartsWithoutProgress).toBe(0);
    }
  });

  it('may be replayed by an operator, but for what the runtime itself had made', async () => {
    const { system, settle } = await testSystem();
    const ref = await system.spawn(puppet());
    let isClosed = true;
    ref.tell('act', (ctx) => {
      if (isClosed) reject();
      ctx.continue('next', () => reject());
    });
    await settle();
    isClosed = false;
    const [letter] = system.deadLetters.list();
    await system.deadLetters.replay(letter?.id ?? '');
    await settle();
    const [of, ...others] = system.deadLetters.list();
    expect([of?.reason, of?.message, others]).toEqual(['rejected', 'next', []]);
    await expect(system.deadLetters.replay(of?.id ?? '')).rejects.toMatchObject({
      code: 'ERR_REPLAY_REFUSED',
    });
    expect(system.inspect(ref)?.counts).toMatchObject({ handled: 1, deadLettered: 1 });
  });

  it('frees its worker and its key in a pool, and fails a scattered ask when all reject', async () => {
    const Job = protocol('job', { run: tell(type<string>()), price: ask(type<string>(), type<number>()) });
    const seen: string[] = [];
    const job = agent(Job, {
      on: {
        run: (_ctx, payload) => {
          seen.push(payload);
          if (payload === 'bad') reject();
        },
        price: () => reject(),
      },
    });
    const root = supervisor({
      children: {
        sticky: job.pool({ size: 2, routing: 'sticky', key: () => 'one' }),
        scattered: job.pool({ size: 3, routing: 'scatter-gather-first' }),
      },
    });
    const { system, settle } = await testSystem({ root });
    for (const payload of ['bad', 'good', 'bad', 'good']) system.refs.sticky.tell('run', payload);
    const asked = endingOf(system.refs.scattered.ask('price', 'x'));
    await settle();
    expect(seen).toEqual(['bad', 'good', 'bad', 'good']);
    expect(system.inspect(system.refs.sticky)?.counts).toEqual({
      accepted: 4,
      handled: 2,
      failed: 0,
      cancelled: 0,
      deadLettered: 2,
    });
    expect(asked.is).toBe('ERR_MESSAGE_REJECTED');
    expect(system.inspect(system.refs.scattered)?.counts).toMatchObject({ accepted: 3, deadLettered: 3 });
  });

  it('is none where there is no message: in state it fails the start', async () => {
    const { system } = await testSystem();
    await expect(system.spawn(puppet({ state: () => reject('not today') }))).rejects.toMatchObject({
      code: 'ERR_START_FAILED',
      cause: { name: 'Rejection', cause: { message: 'not today' } },
    });
    expect(system.deadLetters.list()).toEqual([]);
  });
});
