import { describe, expect, it } from 'vitest';
import { endingOf, puppet } from '../support/puppet.ts';
import { testSystem } from '../support/test-system.ts';

const QUICK = { minMs: 100, maxMs: 100, jitter: 0 };

describe('the stash', () => {
  it('P63 gives messages back in their old order, before those with worse keys', async () => {
    const { system, settle } = await testSystem();
    const seen: string[] = [];
    let isOpen = false;
    const ref = await system.spawn(puppet());
    const put = (name: string, priority: 'normal' | 'high' | 'low'): void => {
      ref.tell('act', (ctx) => (isOpen ? seen.push(name) : ctx.stash()), { priority });
    };
    put('n1', 'normal');
    put('l1', 'low');
    put('h1', 'high');
    put('n2', 'normal');
    await settle();
    expect(system.inspect(ref)?.mailbox).toMatchObject({ queued: 0, stashed: 4 });
    system.suspend(ref);
    put('n3', 'normal');
    put('h2', 'high');
    ref.tell(
      'act',
      (ctx) => {
        isOpen = true;
        ctx.unstash();
      },
      { priority: 'critical' },
    );
    system.resume(ref);
    await settle();
    expect(seen).toEqual(['h1', 'h2', 'n1', 'n2', 'n3', 'l1']);
    expect(system.inspect(ref)?.counts).toMatchObject({ accepted: 7, handled: 7 });
  });

  it('P63 goes back to the queue at a restart', async () => {
    const { system, settle, advance } = await testSystem();
    const seen: string[] = [];
    const ref = await system.spawn(puppet(), { backoff: QUICK });
    for (const name of ['a', 'b'])
      ref.tell('act', (ctx) => (ctx.generation === 0 ? ctx.stash() : seen.push(name)));
    ref.tell('act', () => {
      throw new Error('fail');
    });
    ref.tell('act', () => seen.push('c'));
    await settle();
    expect(system.inspect(ref)?.mailbox.queued).toBe(3);
    await advance(100);
    expect(seen).toEqual(['a', 'b', 'c']);
  });

  it('P64 that is full throws in the turn that adds to it, and the message fails', async () => {
    const { system, settle, advance } = await testSystem();
    const ref = await system.spawn(puppet({ mailbox: { stashMax: 2 } }), { backoff: QUICK });
    const asks = [1, 2, 3].map(() =>
      endingOf(ref.ask('answer', (ctx) => (ctx.generation === 0 ? ctx.stash() : 'later'))),
    );
    await settle();
    const details = { address: ref.address, stashMax: 2 };
    const cause = { code: 'ERR_STASH_FULL', details };
    expect(asks[2]).toMatchObject({ is: 'ERR_ACTOR_FAILED', error: { cause } });
    expect(system.inspect(ref)?.counts).toMatchObject({ accepted: 3, failed: 1 });
    await advance(100);
    expect(asks.map(({ is }) => is)).toEqual(['resolved', 'resolved', 'ERR_ACTOR_FAILED']);
  });

  it('takes a message once, however often its turn puts it aside', async () => {
    const { system, settle } = await testSystem();
    const seen: string[] = [];
    let isOpen = false;
    const ref = await system.spawn(puppet());
    ref.tell('act', (ctx) => {
      if (isOpen) seen.push('handled');
      else for (let n = 0; n < 3; n++) ctx.stash();
    });
    await settle();
    expect(system.inspect(ref)?.mailbox.stashed).toBe(1);
    isOpen = true;
    ref.tell('act', (ctx) => ctx.unstash());
    await settle();
    expect(seen).toEqual(['handled']);
    expect(system.inspect(ref)?.counts).toMatchObject({ accepted: 2, handled: 2 });
  });

  it('counts against the capacity', async () => {
    const { system, settle } = await testSystem();
    const ref = await system.spawn(puppet({ mailbox: { capacity: 2, criticalReserve: 0 } }));
    for (let i = 0; i < 2; i++) ref.tell('act', (ctx) => ctx.stash());
    await settle();
    expect(ref.tell('act', () => undefined)).toBe('full');
  });

  it('P64 is full at the capacity, where that is less than stashMax', async () => {
    const { system, settle } = await testSystem();
    const ref = await system.spawn(puppet({ mailbox: { capacity: 1, criticalReserve: 2, stashMax: 9 } }), {
      backoff: QUICK,
    });
    const asks = [1, 2].map(() =>
      endingOf(ref.ask('answer', (ctx) => ctx.stash(), { priority: 'critical' })),
    );
    await settle();
    expect(asks[0]?.is).toBeUndefined();
    const details = { address: ref.address, stashMax: 1 };
    expect(asks[1]).toMatchObject({ is: 'ERR_ACTOR_FAILED', error: { cause: { details } } });
  });

  it('takes a continuation, which is a message like any other from then on', async () => {
    const { system, settle } = await testSystem();
    const seen: string[] = [];
    const ref = await system.spawn(puppet());
    ref.tell('act', (ctx) => {
      for (const name of ['x', 'y'])
        ctx.continue('next', (own) => {
          if (own.state.push(name) <= 2) own.stash();
          else seen.push(name);
        });
    });
    await settle();
    const stashed = system.inspect(ref);
    expect(stashed?.mailbox.stashed).toBe(2);
    expect(stashed?.counts).toMatchObject({ accepted: 3, handled: 1 });
    ref.tell('act', (ctx) => ctx.unstash());
    await settle();
    expect(seen).toEqual(['x', 'y']);
    expect(system.inspect(ref)?.counts).toEqual({
      accepted: 4,
      handled: 4,
      failed: 0,
      cancelled: 0,
      deadLettered: 0,
    });
  });

  it('keeps an ask pending until its message is handled, cancelled or cleared', async () => {
    const { system, settle, advance } = await testSystem();
    const ref = await system.spawn(puppet());
    const cancel = new AbortController();
    const handled = endingOf(ref.ask('answer', (ctx) => (ctx.state.push('x') < 4 ? ctx.stash() : 'at last')));
    const cancelled = endingOf(ref.ask('answer', (ctx) => ctx.stash(), { signal: cancel.signal }));
    const late = endingOf(ref.ask('answer', (ctx) => ctx.stash(), { timeoutMs: 500 }));
    await settle();
    cancel.abort(new Error('never mind'));
    await advance(500);
    expect([handled.is, cancelled.is, late.is]).toEqual([undefined, 'rejected', 'ERR_ASK_TIMEOUT']);
    expect(system.inspect(ref)).toMatchObject({
      mailbox: { stashed: 1 },
      counts: { accepted: 3, cancelled: 2 },
    });
    ref.tell('act', (ctx) => {
      ctx.state.push('x', 'y', 'z');
      ctx.unstash();
    });
    await settle();
    expect(handled).toMatchObject({ is: 'resolved', value: 'at last' });
  });
});
