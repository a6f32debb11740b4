import { describe, expect, it, vi } from 'vitest';
import type { Turn } from '../../runtime/actor/turn.ts';
import { deferred, type Ending, endingOf, never, puppet } from '../support/puppet.ts';
import { testSystem } from '../support/test-system.ts';

const NOTHING = (): void => undefined;
const TIGHT = { capacity: 1, criticalReserve: 0, waitersMax: 1 };

/** A system with one suspended actor whose mailbox is full. */
async function full() {
  const test = await testSystem();
  const ref = await test.system.spawn(puppet({ mailbox: TIGHT }));
  test.system.suspend(ref);
  ref.tell('act', NOTHING);
  return { ...test, ref, tally: test.kernel.telemetry.tallyOf('puppet') };
}

describe('a call that waits', () => {
  it('says what it waited for and how long, when its time is up', async () => {
    const { ref, advance } = await full();
    const sent = endingOf(ref.send('act', NOTHING, { timeoutMs: 100 }));
    await advance(100);
    expect(sent.error).toMatchObject({
      code: 'ERR_SEND_TIMEOUT',
      details: { address: ref.address, timeoutMs: 100, capacity: 1 },
    });
    const asked = endingOf(ref.ask('answer', NOTHING as () => never, { timeoutMs: 50 }));
    await advance(50);
    expect(asked.error).toMatchObject({
      code: 'ERR_ASK_TIMEOUT',
      details: { address: ref.address, message: 'answer', timeoutMs: 50 },
    });
  });

  it('is refused where as many wait as may, by an error without a stack, and others keep theirs', async () => {
    const { ref, system, settle } = await full();
    const waits = endingOf(ref.send('act', NOTHING));
    for (const call of [() => ref.send('act', NOTHING), () => ref.ask('answer', () => 1)]) {
      const refused = endingOf(call());
      await settle();
      expect(refused.error).toMatchObject({
        code: 'ERR_MAILBOX_WAITERS_FULL',
        details: { address: ref.address, waitersMax: 1 },
      });
      expect((refused.error as Error).stack).not.toContain('\n    at ');
      expect(new Error('another').stack).toContain('\n    at ');
    }
    system.resume(ref);
    await settle();
    expect(waits.is).toBe('resolved');
  });

  it('is refused with the bound of the mailbox where nobody may wait for room', async () => {
    const { system, settle } = await testSystem();
    const ref = await system.spawn(puppet({ mailbox: { ...TIGHT, overflow: 'reject' } }));
    system.suspend(ref);
    ref.tell('act', NOTHING);
    const calls = [endingOf(ref.send('act', NOTHING)), endingOf(ref.ask('answer', () => 1))];
    await settle();
    for (const { error } of calls)
      expect(error).toMatchObject({
        code: 'ERR_MAILBOX_FULL',
        details: { address: ref.address, capacity: 1 },
      });
  });

  it('of an actor that is stopped says whose mailbox it was', async () => {
    const { ref, system, settle } = await full();
    await system.stop(ref);
    const calls = [endingOf(ref.ask('answer', () => 1)), endingOf(ref.send('act', NOTHING))];
    await settle();
    for (const { error } of calls)
      expect(error).toMatchObject({ code: 'ERR_ACTOR_STOPPED', details: { address: ref.address } });
  });

  it('lets go of the signal it was given, however it ends', async () => {
    const { ref, system, advance, settle } = await full();
    const { signal } = new AbortController();
    const added = vi.spyOn(signal, 'addEventListener');
    const removed = vi.spyOn(signal, 'removeEventListener');
    // One listener stands for all calls with this signal, and is added and removed as they come and go.
    const listeners = (): number => added.mock.calls.length - removed.mock.calls.length;
    const timed = endingOf(ref.ask('answer', () => 1, { timeoutMs: 10, signal }));
    expect(listeners()).toBe(1);
    await advance(10);
    expect([timed.is, listeners()]).toEqual(['ERR_ASK_TIMEOUT', 0]);
    const sent = endingOf(ref.send('act', NOTHING, { signal }));
    expect(listeners()).toBe(1);
    system.resume(ref);
    await settle();
    expect([sent.is, listeners()]).toEqual(['resolved', 0]);
  });
});

describe('a call that is made in a turn', () => {
  it('is let go by its turn when it ends, however it ends', async () => {
    const { ref: slow, system, advance, settle } = await full();
    const quick = await system.spawn(puppet());
    const caller = await system.spawn(puppet());
    const gate = deferred();
    const held = new Set<unknown>();
    const endings: Ending[] = [];
    caller.tell('act', (ctx) => {
      const turn = ctx as unknown as Turn; // what the engine has of it
      vi.spyOn(turn, 'addPending').mockImplementation((call) => void held.add(call));
      vi.spyOn(turn, 'removePending').mockImplementation((call) => void held.delete(call));
      endings.push(
        endingOf(ctx.ask(quick, 'answer', () => 1)),
        endingOf(ctx.ask(quick, 'answer', () => Promise.reject(new Error('fail')))),
        endingOf(ctx.send(slow, 'act', NOTHING, { timeoutMs: 100 })),
      );
      return gate.promise;
    });
    await settle();
    expect(endings.map(({ is }) => is)).toEqual(['resolved', 'ERR_ACTOR_FAILED', undefined]);
    expect(held.size).toBe(1);
    await advance(100);
    expect(endings[2]?.is).toBe('ERR_SEND_TIMEOUT');
    expect(held.size).toBe(0);
    gate.resolve();
  });
});

describe('the books of asks', () => {
  it('tell how many were answered, and how the others ended', async () => {
    const { system, kernel, advance, settle } = await testSystem();
    const ref = await system.spawn(puppet({ decide: () => 'resume' }));
    const { replied, unreplied } = kernel.telemetry.tallyOf('puppet');
    const tally = kernel.telemetry.tallyOf('puppet');
    expect([replied, [...unreplied.entries()]]).toEqual([0, []]);
    await ref.ask('answer', () => 1);
    expect(tally.replied).toBe(1);
    const cancel = new AbortController();
    const gate = deferred();
    for (let n = 0; n < 2; n++) endingOf(ref.ask('answer', () => Promise.reject(new Error('fail'))));
    await settle();
    endingOf(ref.ask('answer', () => gate.promise, { timeoutMs: 10 }));
    endingOf(ref.ask('answer', never, { signal: cancel.signal }));
    cancel.abort(new Error('enough'));
    await advance(10);
    gate.resolve();
    await settle();
    await system.stop(ref);
    endingOf(ref.ask('answer', () => 1));
    await settle();
    expect(tally.replied).toBe(1);
    expect(Object.fromEntries(tally.unreplied.entries())).toEqual({
      failed: 2,
      'timed-out': 1,
      cancelled: 1,
      refused: 1,
    });
  });
});
