import { agent, ask, protocol, supervisor, tell, type } from 'troupe';
import type { FaultOptions } from 'troupe/testing';
import { describe, expect, it } from 'vitest';
import { kitSystem } from '../support/kit-system.ts';

const Till = protocol('till', {
  pay: tell(type<number>()),
  sum: ask(type<void>(), type<number>()),
});

/** Counts what was paid in a ledger that outlives restarts. */
function till(paid: number[]) {
  return agent(Till, {
    state: () => ({ starts: 1 }),
    turnTimeoutMs: 5_000,
    on: {
      pay: (_, amount) => paid.push(amount),
      sum: () => paid.reduce((sum, amount) => sum + amount, 0),
    },
    onRestart: () => undefined,
    onStop: () => undefined,
  });
}

const QUICK = { minMs: 10, maxMs: 10, jitter: 0 };

async function start(faults: readonly FaultOptions[]) {
  const paid: number[] = [];
  const system = await kitSystem({ faults });
  const ref = await system.spawn(till(paid), { name: 'till', backoff: QUICK });
  return { system, ref, paid };
}

describe('a planned fault', () => {
  it('lets the nth start fail, and no other', async () => {
    await expect(start([{ at: 'start' }])).rejects.toMatchObject({
      code: 'ERR_START_FAILED',
      cause: { message: 'planned fault: start of /user/till' },
    });
    const test = await start([
      { at: 'start', nth: 2 },
      { at: 'turn-start', message: 'pay' },
    ]);
    const { system, ref, paid } = test;
    ref.tell('pay', 1);
    ref.tell('pay', 2);
    await system.advance(100);
    expect(system.inspect(ref)).toMatchObject({ status: 'running', restarts: 2 });
    expect(paid).toEqual([2]);
  });

  it('lets the nth turn of a message throw before it does anything', async () => {
    const test = await start([
      { at: 'turn-start', message: 'pay', nth: 2, error: new RangeError('planned') },
    ]);
    const { system, ref, paid } = test;
    for (const amount of [1, 2, 3]) ref.tell('pay', amount);
    await system.advance(100);
    expect(paid).toEqual([1, 3]);
    expect(system.inspect(ref)?.lastError).toBeInstanceOf(RangeError);
    expect(system.deadLetters.list()).toMatchObject([{ payload: 2, reason: 'handler-failed' }]);
  });

  it('lets a turn fail after its work is done: the effect is there, and the message failed', async () => {
    const test = await start([{ at: 'turn-end', message: 'pay' }]);
    const { system, ref, paid } = test;
    ref.tell('pay', 1);
    await system.advance(100);
    expect(paid).toEqual([1]);
    expect(system.inspect(ref)?.counts).toMatchObject({ accepted: 1, failed: 1, handled: 0 });
  });

  it('hangs until the signal aborts, or ignores that as well', async () => {
    for (const does of ['hang', 'ignore-abort'] as const) {
      const test = await start([{ at: 'turn-start', does }]);
      const { system, ref, paid } = test;
      ref.tell('pay', 1);
      await system.advance(4_999);
      expect(system.inspect(ref)?.turn).toMatchObject({ message: 'pay', runningMs: 4_999 });
      await system.advance(100);
      expect(system.inspect(ref)).toMatchObject({
        lastError: { code: 'ERR_TURN_TIMEOUT' },
        zombies: does === 'hang' ? 0 : 1,
      });
      expect(paid).toEqual([]);
    }
  });

  it('crashes the actor before a message gets in, and after: either way it is handled once', async () => {
    for (const at of ['before-accept', 'after-accept'] as const) {
      const test = await start([{ at, message: 'pay', nth: 2 }]);
      const { system, ref, paid } = test;
      for (const amount of [1, 2, 3]) expect(ref.tell('pay', amount)).toBe('accepted');
      await system.advance(100);
      expect(paid).toEqual([1, 2, 3]);
      expect(system.inspect(ref)?.restarts).toBe(1);
    }
  });

  it('crashes an actor that is then gone: who comes before is refused, who came is a dead letter', async () => {
    for (const at of ['before-accept', 'after-accept'] as const) {
      const system = await kitSystem({ faults: [{ at }] });
      const ref = await system.spawn(till([]), { restart: 'temporary' });
      expect(ref.tell('pay', 1)).toBe(at === 'before-accept' ? 'stopped' : 'accepted');
      await system.settle();
      expect(system.deadLetters.list()).toMatchObject([{ reason: 'stopped', payload: 1 }]);
    }
  });

  it('strikes in hooks that are there', async () => {
    const test = await start([{ at: 'restart' }, { at: 'stop' }, { at: 'turn-start', message: 'sum' }]);
    const { system, ref } = test;
    await expect(ref.ask('sum')).rejects.toMatchObject({
      cause: { message: "planned fault: turn-start of 'sum' at /user/till" },
    });
    await system.advance(100);
    await system.stop(ref);
    const told = system.trace.filter((line) => line.includes('fault') || line.includes('logged'));
    expect(told).toEqual([
      '0 ms /user/till#1 fault turn-start sum',
      '0 ms /user/till#1 fault restart onRestart',
      '0 ms /user/till#1 logged error onRestart failed',
      '100 ms /user/till#1 fault stop onStop',
      '100 ms /user/till#1 logged error onStop failed',
    ]);
  });

  it('strikes whom it was planned for', async () => {
    const root = supervisor({
      children: { one: till([]).child({ backoff: QUICK }), two: till([]).child({ backoff: QUICK }) },
    });
    const Other = protocol('other', { pay: tell(type<number>()) });
    const system = await kitSystem({ root });
    const { one, two } = system.refs;
    const never = system.fault({ at: 'turn-start', protocol: Other });
    const first = system.fault({ at: 'turn-start', actor: '/root/one', times: 2 });
    const second = system.fault({ at: 'turn-start', actor: two, protocol: Till, nth: 3 });
    for (let i = 0; i < 3; i++) {
      one.tell('pay', i);
      two.tell('pay', i);
    }
    await system.advance(1_000);
    expect([never.hits, first.hits, second.hits]).toEqual([0, 2, 1]);
    expect(
      system.deadLetters
        .list()
        .map(({ address, payload }) => `${address.slice(0, 9)} ${String(payload)}`)
        .sort(),
    ).toEqual(['/root/one 0', '/root/one 1', '/root/two 2']);
  });

  it('is gone when it is removed, and never strikes a probe', async () => {
    const test = await start([]);
    const { system, ref, paid } = test;
    const fault = system.fault({ at: 'turn-start', times: Number.POSITIVE_INFINITY });
    const probe = await system.probe(Till);
    probe.ref.tell('pay', 1);
    await probe.expect('pay');
    expect(fault.hits).toBe(0);
    fault.remove();
    ref.tell('pay', 1);
    await system.settle();
    expect(paid).toEqual([1]);
  });

  it.each([
    [{}],
    [{ at: 'lunch' }],
    [{ at: 'start', nth: 0 }],
    [{ at: 'start', times: 0.5 }],
    [{ at: 'start', message: 'pay' }],
    [{ at: 'turn-start', message: 1 }],
    [{ at: 'turn-start', does: 'explode' }],
    [{ at: 'after-accept', does: 'hang' }],
    [{ at: 'start', actor: 'till' }],
    [{ at: 'start', protocol: 'till' }],
    [{ at: 'start', when: 1 }],
    [undefined],
  ])('refuses %j', async (options) => {
    const test = await start([]);
    expect(() => test.system.fault(options as never)).toThrow(
      expect.objectContaining({ code: 'ERR_OPTION_INVALID' }),
    );
  });
});
