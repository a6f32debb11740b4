import { describe, expect, it, vi } from 'vitest';
import type { TurnContext } from '../../runtime/actor/context.ts';
import type { ReplyTo } from '../../src/protocol/context.ts';
import {
  deferred,
  endingOf,
  Puppet,
  type PuppetAskContext,
  type PuppetContext,
  type PuppetRef,
  puppet,
} from '../support/puppet.ts';
import { testSystem } from '../support/test-system.ts';

const QUICK = { minMs: 100, maxMs: 100, jitter: 0 };
const NOTHING = (): void => undefined;

/** An actor with a turn that has been aborted by its asker and still runs. */
async function aborted() {
  const test = await testSystem();
  const ref = await test.system.spawn(puppet(), { shutdownMs: 50 });
  const cancel = new AbortController();
  const gate = deferred();
  const kept: PuppetAskContext[] = [];
  const enough = new Error('enough');
  endingOf(
    ref.ask(
      'answer',
      async (ctx) => {
        kept.push(ctx);
        await gate.promise;
      },
      { signal: cancel.signal },
    ),
  );
  await test.settle();
  cancel.abort(enough);
  const [ctx] = kept;
  if (ctx === undefined) throw new Error('no context');
  return { ...test, ref, ctx, enough, gate };
}

describe('the signal of a turn', () => {
  it('is one, however often it is read, and is aborted by the end of what the turn works for', async () => {
    const { system, settle } = await testSystem();
    const ref = await system.spawn(puppet());
    const cancel = new AbortController();
    const signals: AbortSignal[] = [];
    const asked = endingOf(
      ref.ask(
        'answer',
        (ctx) => {
          signals.push(ctx.signal, ctx.signal);
          return new Promise((resolve) => ctx.signal.addEventListener('abort', () => resolve(1)));
        },
        { signal: cancel.signal },
      ),
    );
    await settle();
    const [first, second] = signals;
    expect(first?.aborted).toBe(false);
    expect(second).toBe(first);
    cancel.abort(new Error('enough'));
    await settle();
    expect(first?.reason).toEqual(new Error('enough'));
    expect(asked.is).toBe('rejected');
  });

  it('that is read for the first time after the abort is aborted, with the reason of that', async () => {
    const { ctx, enough, gate } = await aborted();
    expect([ctx.signal.aborted, ctx.signal.reason]).toEqual([true, enough]);
    gate.resolve();
  });

  it('keeps the first reason when the turn is aborted again', async () => {
    const { system, advance, ref, ctx, enough, gate } = await aborted();
    const stopped = endingOf(system.stop(ref));
    await advance(50); // the actor has given its turn the time it has, and aborts it
    expect(stopped.is).toBeUndefined();
    expect(ctx.signal.reason).toBe(enough);
    gate.resolve();
    await advance(0);
    expect(stopped.is).toBe('resolved');
  });

  it('of a turn that had ended before its generation did is aborted as stale', async () => {
    const { system, settle } = await testSystem();
    const kept: PuppetContext[] = [];
    const ref = await system.spawn(puppet());
    ref.tell('act', (ctx) => kept.push(ctx));
    await settle();
    await system.stop(ref);
    expect(kept[0]?.signal.reason).toMatchObject({
      code: 'ERR_GENERATION_STALE',
      details: { address: ref.address, call: 'signal' },
    });
  });
});

describe('a turn that is aborted', () => {
  it('takes back what it waits for, once, and nothing that has come to its end before', async () => {
    const { system, settle } = await testSystem();
    const ref = await system.spawn(puppet());
    const waits = { withdraw: vi.fn() };
    const over = { withdraw: vi.fn() };
    ref.tell('act', (ctx) => {
      const turn = ctx as unknown as TurnContext; // what the engine has of it
      for (const call of [waits, over]) turn.addPending(call);
      turn.removePending(over);
      turn.abort('enough');
      turn.removePending(waits);
      turn.abort('more than enough');
    });
    await settle();
    expect(waits.withdraw.mock.calls).toEqual([['enough']]);
    expect(over.withdraw).not.toHaveBeenCalled();
  });

  it('gives the reason to what it asks and sends afterwards', async () => {
    const { system, settle, ctx, enough, gate } = await aborted();
    const full = await system.spawn(puppet({ mailbox: { capacity: 1, criticalReserve: 0 } }));
    system.suspend(full);
    full.tell('act', NOTHING);
    const calls = [endingOf(ctx.ask(full, 'answer', () => 1)), endingOf(ctx.send(full, 'act', NOTHING))];
    await settle();
    expect(calls.map(({ error }) => error)).toEqual([enough, enough]);
    gate.resolve();
  });
});

describe('an ask handler', () => {
  it.each<[string, (ctx: PuppetAskContext) => unknown]>([
    ['ctx.reply', (ctx) => ctx.reply('said')],
    ['its token', (ctx) => ctx.replyTo.reply('said')],
  ])('that has replied by %s may return what it likes: that is no second reply', async (_, reply) => {
    const { system, settle } = await testSystem();
    const ref = await system.spawn(puppet());
    const asked = endingOf(
      ref.ask('answer', (ctx) => {
        reply(ctx);
        return 'returned';
      }),
    );
    await settle();
    expect(asked.value).toBe('said');
    expect(system.deadLetters.list()).toEqual([]);
  });

  it('may reply with null', async () => {
    const { system } = await testSystem();
    const ref = await system.spawn(puppet());
    expect(await ref.ask('answer', () => null)).toBeNull();
  });

  it.each<[string, (ctx: PuppetAskContext) => unknown]>([
    ['ctx.replyTo', (ctx) => ctx.replyTo],
    ['ctx.reply', (ctx) => ctx.reply('to the first')],
    ['ctx.stash', (ctx) => ctx.stash()],
  ])('that returns what another turn got of %s has not replied: ERR_REPLY_MISSING', async (_, take) => {
    const { system, advance } = await testSystem();
    const ref = await system.spawn(puppet(), { backoff: QUICK });
    let taken: unknown;
    endingOf(
      ref.ask('answer', (ctx) => {
        taken = take(ctx);
        return taken as ReplyTo<unknown>;
      }),
    );
    const asked = endingOf(ref.ask('answer', () => taken));
    await advance(0);
    expect(asked).toMatchObject({
      is: 'ERR_ACTOR_FAILED',
      error: { cause: { code: 'ERR_REPLY_MISSING', details: { address: ref.address, message: 'answer' } } },
    });
  });
});

describe('a turn', () => {
  it('ends another actor and waits for its end, or its own after itself, and of nobody nothing', async () => {
    const { system, events, settle } = await testSystem();
    const ref = await system.spawn(puppet());
    const other = await system.spawn(puppet());
    const seen: (string | undefined)[] = [];
    ref.tell('act', async (ctx) => {
      await ctx.stop(system.ref(Puppet, 'nobody'));
      await ctx.stop(other);
      seen.push(system.inspect(other)?.status);
      await ctx.stop(ctx.self);
      seen.push(system.inspect(ref)?.status);
    });
    await settle();
    expect(seen).toEqual(['stopped', 'running']);
    expect(events.filter(({ type }) => type === 'actor-stopped')).toMatchObject([
      { address: other.address, reason: 'shutdown' },
      { address: ref.address, reason: 'shutdown' },
    ]);
  });

  it('may break a bond with nobody: that is nothing', async () => {
    const { system, settle } = await testSystem();
    const ref = await system.spawn(puppet());
    const nobody = system.ref(Puppet, 'nobody');
    ref.tell('act', (ctx) => {
      ctx.unwatch(nobody);
      ctx.unlink(nobody);
    });
    await settle();
    expect(system.inspect(ref)?.counts).toMatchObject({ handled: 1, failed: 0 });
  });
});

describe('a token', () => {
  it('that untyped code takes in a turn nobody asked for answers nobody, and harms nothing', async () => {
    const { system, settle } = await testSystem();
    const ref = await system.spawn(puppet());
    ref.tell('act', (ctx) => {
      const { replyTo } = ctx as unknown as PuppetAskContext;
      for (const reply of ['to nobody', undefined]) replyTo.reply(reply);
      replyTo.reject(new Error('to nobody'));
    });
    await settle();
    expect(system.inspect(ref)?.counts).toMatchObject({ handled: 1, failed: 0 });
    expect(system.deadLetters.list()).toEqual([]);
  });
});

describe('what a turn knows of its message', () => {
  it('is when nobody waits for it any more, by the clock on the wall, if there is such a time', async () => {
    const { system, clock, advance, settle } = await testSystem();
    const ref = await system.spawn(puppet());
    const seen: (number | undefined)[] = [];
    const see = (ctx: PuppetContext): unknown => seen.push(ctx.message.deadline);
    await advance(500);
    ref.tell('act', see);
    ref.tell('act', see, { ttlMs: 70 });
    ref.tell('act', see, { ttlMs: Infinity });
    await settle();
    expect(seen).toEqual([undefined, clock.wallNow() + 70, undefined]);
  });
});

describe('what is told in a turn', () => {
  it.each<[string, (ref: PuppetRef, act: (ctx: PuppetContext) => unknown) => unknown, number]>([
    [
      'expires with the ask that the turn works for',
      (ref, act) => endingOf(ref.ask('answer', act as never, { timeoutMs: 100 })),
      0,
    ],
    ['expires with the message that has the turn', (ref, act) => ref.tell('act', act, { ttlMs: 100 }), 0],
    ['waits where the message of the turn had no end', (ref, act) => ref.tell('act', act), 1],
  ])('%s', async (_, give, handled) => {
    const { system, advance, settle } = await testSystem();
    const ref = await system.spawn(puppet());
    const slow = await system.spawn(puppet());
    system.suspend(slow);
    give(ref, (ctx) => ctx.tell(slow, 'act', NOTHING));
    await advance(101);
    system.resume(slow);
    await settle();
    expect(system.inspect(slow)?.counts).toMatchObject({ accepted: 1, handled, deadLettered: 1 - handled });
    if (handled === 0)
      expect(system.deadLetters.list()).toMatchObject([{ reason: 'expired', address: slow.address }]);
  });
});

describe('the log of a turn', () => {
  it('has four levels, and says whose turn it is', async () => {
    const { system, logs, settle } = await testSystem();
    const ref = await system.spawn(puppet());
    ref.tell('act', ({ log }) => {
      log.debug('d');
      log.info('i', { n: 1 });
      log.warn('w');
      log.error('e');
    });
    await settle();
    const { address } = ref;
    expect(logs).toMatchObject([
      { level: 'debug', address, text: 'd', fields: undefined },
      { level: 'info', address, text: 'i', fields: { n: 1 } },
      { level: 'warn', address, text: 'w', fields: undefined },
      { level: 'error', address, text: 'e', fields: undefined },
    ]);
  });
});

describe('what a zombie tried to send', () => {
  it('is a dead letter that can be replayed, by the verb it was meant for', async () => {
    const { system, advance, settle } = await testSystem();
    const gate = deferred();
    const seen: string[] = [];
    const other = await system.spawn(puppet());
    const ref = await system.spawn(puppet({ turnTimeoutMs: 100 }), { backoff: QUICK });
    ref.tell('act', async (ctx) => {
      await gate.promise;
      for (const call of [
        () => ctx.tell(other, 'act', () => seen.push('told')),
        () => ctx.send(other, 'act', () => seen.push('sent')),
        () => ctx.ask(other, 'answer', () => seen.push('asked')),
      ])
        expect(call).toThrow(expect.objectContaining({ code: 'ERR_GENERATION_STALE' }));
    });
    await advance(100);
    gate.resolve();
    await settle();
    for (const { id } of system.deadLetters.list({ reason: 'stale-incarnation' }))
      await system.deadLetters.replay(id);
    await settle();
    expect(seen).toEqual(['told', 'sent', 'asked']);
  });
});
