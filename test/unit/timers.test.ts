import { describe, expect, it } from 'vitest';
import type { Cell } from '../../runtime/actor/cell.ts';
import { TIMERS_MAX } from '../../src/protocol/limits.ts';
import {
  type Act,
  deferred,
  endingOf,
  type PuppetContext,
  type PuppetRef,
  puppet,
} from '../support/puppet.ts';
import { type TestSystem, testSystem } from '../support/test-system.ts';

const QUICK = { minMs: 100, maxMs: 100, jitter: 0 };
const NOTHING = (): void => undefined;
const FAIL = (): never => {
  throw new Error('fail');
};

interface Timed extends TestSystem<Record<never, never>> {
  readonly ref: PuppetRef;
  /** What the ticks said: their name and time, and what they missed. */
  readonly ticks: string[];
  /** A tick that says so. */
  readonly tick: (name: string, then?: Act) => Act;
  /** The promise of a turn that takes so long. */
  readonly wait: (ms: number) => Promise<void>;
  /** Does something in a turn of the actor. */
  readonly act: (act: Act) => Promise<void>;
}

async function timed(options: Parameters<typeof puppet>[0] = {}): Promise<Timed> {
  const test = await testSystem();
  const { system, clock, settle } = test;
  const ticks: string[] = [];
  const ref = await system.spawn(puppet(options), { backoff: QUICK });
  return {
    ...test,
    ref,
    ticks,
    tick: (name, then = NOTHING) => {
      return (ctx) => {
        const { missed } = ctx.message;
        ticks.push(`${name}@${clock.now()}${missed > 0 ? ` missed ${missed}` : ''}`);
        return then(ctx);
      };
    },
    wait: (ms) =>
      new Promise((resolve) => {
        clock.setTimer(ms, resolve);
      }),
    act: async (act) => {
      ref.tell('act', act);
      await settle();
    },
  };
}

/** Items in the control lane of the actor behind a ref. */
function controlsOf(ref: PuppetRef): number {
  return (ref as unknown as { target(): Cell }).target().mailbox?.controls ?? 0; // every local ref has it
}

describe('timers', () => {
  it('tick once after a delay, or again and again, as internal messages with their payload', async () => {
    const { advance, act, tick, ticks, clock, kernel, settle } = await timed();
    let seen: unknown;
    await act((ctx) => {
      ctx.timers.once(
        'one',
        50,
        'next',
        tick('once', (own) => {
          const { name, sender, attempt, missed } = own.message;
          seen = { name, sender, attempt, missed };
        }),
      );
      ctx.timers.once('now', 0, 'next', tick('zero'));
      ctx.timers.every(
        'many',
        40,
        'next',
        tick('every', (own) => {
          if (clock.now() === 120) own.timers.cancel('many');
        }),
      );
    });
    await advance(1_000);
    expect(ticks).toEqual(['zero@0', 'every@40', 'once@50', 'every@80', 'every@120']);
    expect(seen).toEqual({ name: 'next', sender: undefined, attempt: 1, missed: 0 });
    await settle();
    expect([kernel.timeouts.size, clock.pending]).toEqual([0, 0]);
  });

  it('with a fixed delay begin the next period when the turn of a tick ends', async () => {
    const { advance, act, tick, ticks, wait } = await timed();
    await act((ctx) =>
      ctx.timers.every(
        'slow',
        10,
        'next',
        tick('tick', () => wait(25)),
      ),
    );
    await advance(100);
    expect(ticks).toEqual(['tick@10', 'tick@45', 'tick@80']);
  });

  it('P84 at a fixed rate stay on their grid and tell what they missed', async () => {
    const { advance, act, tick, ticks, wait } = await timed();
    await advance(3);
    await act((ctx) =>
      ctx.timers.every(
        'rate',
        10,
        'next',
        tick('tick', () => wait(25)),
        { fixedRate: true },
      ),
    );
    await advance(100);
    expect(ticks).toEqual(['tick@13', 'tick@43 missed 2', 'tick@73 missed 2', 'tick@103 missed 2']);
  });

  it('P84 keep one tick queued behind a long turn, and tell it what fell due meanwhile', async () => {
    const { advance, act, tick, ticks, wait, ref } = await timed();
    await act(async (ctx) => {
      ctx.timers.every('rate', 10, 'next', tick('rate'), { fixedRate: true });
      ctx.timers.every('delay', 10, 'next', tick('delay'));
      await wait(95);
    });
    await advance(94);
    expect(controlsOf(ref)).toBe(2);
    await advance(6);
    expect(ticks).toEqual(['rate@95 missed 8', 'delay@95', 'rate@100']);
  });

  it('P84 count what fell due while the event loop stood still', async () => {
    const { advance, act, tick, ticks, clock } = await timed();
    await act((ctx) => {
      ctx.timers.every('rate', 10, 'next', tick('rate'), { fixedRate: true });
      ctx.timers.every('delay', 10, 'next', tick('delay'));
    });
    (clock as unknown as { nowMs: number }).nowMs += 35; // time goes on, and no timer fires
    await advance(15);
    expect(ticks).toEqual(['rate@35 missed 2', 'delay@35', 'rate@40', 'delay@45', 'rate@50']);
  });

  it('slower than their rate leave room for user messages', async () => {
    const { advance, act, tick, ticks, wait, ref } = await timed();
    await act((ctx) =>
      ctx.timers.every(
        'rate',
        10,
        'next',
        tick('tick', () => wait(15)),
        { fixedRate: true },
      ),
    );
    await advance(12);
    ref.tell('act', tick('message'));
    await advance(30);
    expect(ticks).toEqual(['tick@10', 'message@25', 'tick@30 missed 1']);
  });

  it('P83 are silent once cancelled, even with a tick queued', async () => {
    const { advance, act, tick, ticks, wait } = await timed();
    await act(async (ctx) => {
      ctx.timers.once('once', 10, 'next', tick('once'));
      ctx.timers.every('every', 10, 'next', tick('every'));
      ctx.timers.once('other', 10, 'next', tick('other'));
      await wait(50);
      ctx.timers.cancel('once');
      ctx.timers.cancel('every');
      ctx.timers.cancel('unknown');
    });
    await advance(1_000);
    expect(ticks).toEqual(['other@50']);
  });

  it('P83 are replaced by key, even with a tick queued, and by their own tick', async () => {
    const { advance, act, tick, ticks, wait } = await timed();
    await act(async (ctx) => {
      ctx.timers.every('key', 10, 'next', tick('old'));
      await wait(50);
      ctx.timers.every(
        'key',
        30,
        'next',
        tick('new', (own) => {
          own.timers.once('key', 15, 'next', tick('last'));
        }),
      );
    });
    await advance(1_000);
    expect(ticks).toEqual(['new@80', 'last@95']);
  });

  it('P83 cancelled by their own tick tick no more, whatever its turn does then', async () => {
    const { advance, act, tick, ticks, wait } = await timed();
    await act((ctx) => {
      ctx.timers.every(
        'key',
        10,
        'next',
        tick('tick', async (own) => {
          own.timers.cancel('key');
          await wait(30);
        }),
      );
    });
    await advance(1_000);
    expect(ticks).toEqual(['tick@10']);
  });

  it('P85 end with their generation: nothing queued or running out is handled after a restart', async () => {
    const { advance, act, tick, ticks, wait, system, ref } = await timed();
    await act(async (ctx) => {
      ctx.timers.every('queued', 10, 'next', tick('queued'));
      ctx.timers.every('pending', 60, 'next', tick('pending'), { fixedRate: true });
      await wait(50);
      throw new Error('fail');
    });
    await advance(1_000);
    expect(system.inspect(ref)).toMatchObject({ generation: 1, status: 'running' });
    expect(ticks).toEqual([]);
  });

  it('P85 may start in state, and go on only if it starts them again', async () => {
    const seen: number[] = [];
    const { advance, act, ref, system } = await timed({
      state: (_args, ctx) => {
        const { generation } = ctx;
        ctx.timers.every('poll', 100, 'next', () => seen.push(generation));
        return [];
      },
    });
    await advance(250);
    await act(FAIL);
    await advance(350);
    expect(seen).toEqual([0, 0, 1, 1]);
    await system.stop(ref);
    await advance(1_000);
    expect(seen).toEqual([0, 0, 1, 1]);
  });

  it('P85 end with a start that fails, and with the actor; one that stops starts none', async () => {
    const { advance, act, tick, ticks, wait, system, kernel, settle, clock } = await timed({
      onStop: (ctx) => ctx.timers.once('late', 100_000, 'next', tick('late')),
    });
    const failing = puppet({
      state: (_args, ctx) => {
        ctx.timers.every('poll', 10, 'next', tick('failed'));
        throw new Error('fail');
      },
    });
    await expect(system.spawn(failing)).rejects.toMatchObject({ code: 'ERR_START_FAILED' });
    await act(async (ctx) => {
      ctx.timers.every('key', 10, 'next', tick('tick'));
      await wait(35);
      ctx.stopSelf();
    });
    await advance(1_000);
    await settle();
    expect(ticks).toEqual([]);
    expect([kernel.timeouts.size, clock.pending]).toEqual([0, 0]);
  });

  it('go on when a failed tick is resumed', async () => {
    const { advance, act, tick, ticks } = await timed({ decide: () => 'resume' });
    await act((ctx) => ctx.timers.every('key', 10, 'next', tick('tick', FAIL)));
    await advance(25);
    expect(ticks).toEqual(['tick@10', 'tick@20']);
  });

  it('P36 of a zombie are fenced; of a turn that has ended they are not', async () => {
    const { advance, act, tick, ticks, ref } = await timed({ turnTimeoutMs: 50, decide: () => 'resume' });
    const gate = deferred();
    const kept: PuppetContext[] = [];
    let late: unknown;
    await act(async (ctx) => {
      kept.push(ctx);
      await gate.promise;
      for (const call of ['once', 'every', 'cancel'] as const) {
        try {
          if (call === 'cancel') ctx.timers.cancel('key');
          else ctx.timers[call]('key', 10, 'next', tick('zombie'));
        } catch (error) {
          late = error;
        }
        expect(late).toMatchObject({ code: 'ERR_GENERATION_STALE', details: { call: `timers.${call}` } });
      }
      expect(() => ctx.setIdleTimeout(10)).toThrow(/setIdleTimeout/);
      expect(() => ctx.link(ref)).toThrow(/link/);
      expect(() => ctx.unlink(ref)).toThrow(/unlink/);
      late = 'checked';
    });
    await act((ctx) => kept.push(ctx));
    await advance(50);
    gate.resolve();
    await advance(0);
    expect(late).toBe('checked');
    kept[1]?.timers.once('key', 10, 'next', tick('after its turn'));
    await advance(100);
    expect(ticks).toEqual(['after its turn@60']);
  });

  it('P83 with a tick put aside hold it back, and cancel takes it out of the stash', async () => {
    const { advance, act, tick, ticks, system, ref } = await timed();
    let isStashing = true;
    const stashed = tick('tick', (ctx) => (isStashing ? ctx.stash() : undefined));
    await act((ctx) => {
      ctx.timers.every('one', 10, 'next', stashed, { fixedRate: true });
      ctx.timers.every('two', 10, 'next', stashed);
    });
    await advance(55);
    expect(ticks).toEqual(['tick@10', 'tick@10']);
    isStashing = false;
    await act((ctx) => {
      ctx.timers.cancel('two');
      ctx.unstash();
    });
    await advance(10);
    expect(ticks).toEqual(['tick@10', 'tick@10', 'tick@55 missed 4', 'tick@60']);
    expect(system.inspect(ref)).toMatchObject({ counts: { accepted: 4, cancelled: 1, handled: 3 } });
  });

  it('P85 with a tick put aside take it with their generation, also where failed messages are tried again', async () => {
    const { advance, act, tick, ticks, system, ref } = await timed({
      onFailure: { retry: { attemptsMax: 5, backoff: { minMs: 1, maxMs: 1 } } },
    });
    let turns = 0;
    await act((ctx) =>
      ctx.timers.once(
        'one',
        10,
        'next',
        tick('tick', (own) => {
          if (++turns > 1) FAIL();
          own.stash();
          own.unstash();
        }),
      ),
    );
    await advance(500);
    expect(ticks).toEqual(['tick@10', 'tick@10']);
    await act((ctx) =>
      ctx.timers.once(
        'one',
        10,
        'next',
        tick('two', (own) => own.stash()),
      ),
    );
    await advance(10);
    await act((ctx) => {
      if (ctx.generation === 1) FAIL();
    });
    await advance(500);
    expect(ticks).toEqual(['tick@10', 'tick@10', 'two@510']);
    expect(system.inspect(ref)).toMatchObject({ generation: 2, counts: { failed: 1, cancelled: 1 } });
  });

  it('P83 cancelled in the turn that puts its tick aside never see it again', async () => {
    const { advance, act, tick, ticks, system, ref } = await timed();
    await act((ctx) =>
      ctx.timers.every(
        'one',
        10,
        'next',
        tick('tick', (own) => {
          own.stash();
          own.timers.cancel('one');
        }),
      ),
    );
    await advance(50);
    await act((ctx) => ctx.unstash());
    await advance(50);
    expect(ticks).toEqual(['tick@10']);
    expect(system.inspect(ref)).toMatchObject({ counts: { cancelled: 1, handled: 2 } });
  });

  it('P83 cancelled in the turn of a tick that had been put aside do not abort that turn', async () => {
    const { advance, act, tick, ticks, system, ref } = await timed();
    let turns = 0;
    let isAborted: boolean | undefined;
    await act((ctx) =>
      ctx.timers.every(
        'one',
        10,
        'next',
        tick('tick', (own) => {
          if (++turns === 1) return own.stash();
          own.timers.cancel('one');
          isAborted = own.signal.aborted;
          return undefined;
        }),
      ),
    );
    await advance(20);
    await act((ctx) => ctx.unstash());
    await advance(50);
    expect([ticks, isAborted]).toEqual([['tick@10', 'tick@20'], false]);
    expect(system.inspect(ref)).toMatchObject({ counts: { cancelled: 0, handled: 3 } });
  });

  it('P83 P84 queued in a row are each handled once, though the first of them cancels the last', async () => {
    const { advance, act, tick, ticks, wait } = await timed();
    await act(async (ctx) => {
      ctx.timers.once(
        't0',
        10,
        'next',
        tick('t0', (own) => own.timers.cancel('t9')),
      );
      for (let i = 1; i < 10; i++) ctx.timers.once(`t${i}`, 10, 'next', tick(`t${i}`));
      await wait(20);
    });
    await advance(50);
    expect(ticks).toEqual(Array.from({ length: 9 }, (_, i) => `t${i}@20`));
  });

  it('go on when the mailbox drops a tick that was put aside', async () => {
    const { advance, act, tick, ticks, system } = await timed({
      mailbox: { capacity: 2, overflow: 'drop-oldest', criticalReserve: 0, selfReserve: 0 },
    });
    let turns = 0;
    await act((ctx) =>
      ctx.timers.every(
        'one',
        10,
        'next',
        tick('tick', (own) => (++turns === 1 ? own.stash() : undefined)),
      ),
    );
    await advance(15);
    await act((ctx) => {
      ctx.unstash();
      for (let i = 0; i < 2; i++) ctx.tell(ctx.self, 'act', NOTHING);
    });
    await advance(15);
    expect(system.deadLetters.list().map(({ message, reason }) => [message, reason])).toEqual([
      ['next', 'overflow-dropped'],
    ]);
    expect(ticks).toEqual(['tick@10', 'tick@25']);
  });

  it('are refused with ERR_TIMERS_FULL beyond the bound; replacing and ended ones make room', async () => {
    const { advance, act, ref } = await timed();
    let isReplaced = false;
    const asked = endingOf(
      ref.ask('answer', (ctx) => {
        for (let i = 0; i < TIMERS_MAX; i++) ctx.timers.once(`t${i}`, 10, 'next', NOTHING);
        ctx.timers.once('t0', 20, 'next', NOTHING);
        isReplaced = true;
        ctx.timers.once('one more', 10, 'next', NOTHING);
      }),
    );
    await advance(0);
    expect(asked).toMatchObject({
      is: 'ERR_ACTOR_FAILED',
      error: { cause: { code: 'ERR_TIMERS_FULL', details: { timersMax: TIMERS_MAX } } },
    });
    expect(isReplaced).toBe(true);
    await advance(100);
    let room = 0;
    await act((ctx) => {
      for (; room < TIMERS_MAX; room++) ctx.timers.once(`t${room}`, 10, 'next', NOTHING);
    });
    await advance(10);
    await act((ctx) => ctx.timers.once('again', 10, 'next', () => room++));
    await advance(10);
    expect(room).toBe(TIMERS_MAX + 1);
  });

  it.each([
    ['once', ['', 10, 'next'], 'timers: key'],
    ['once', [5, 10, 'next'], 'timers: key'],
    ['once', ['k'.repeat(129), 10, 'next'], 'timers: key'],
    ['once', ['key', -1, 'next'], 'timers.once: delayMs'],
    ['once', ['key', undefined, 'next'], 'timers.once: delayMs'],
    ['once', ['key', Number.NaN, 'next'], 'timers.once: delayMs'],
    ['once', ['key', Infinity, 'next'], 'timers.once: delayMs'],
    ['every', ['key', 0, 'next'], 'timers.every: periodMs'],
    ['every', ['key', 2 ** 31, 'next'], 'timers.every: periodMs'],
    ['every', ['key', 10, 'next', NOTHING, { fixedRate: 'yes' }], 'timers.every: fixedRate'],
    ['every', ['key', 10, 'next', NOTHING, { fixed: true }], 'timers.every.fixed'],
    ['cancel', [undefined], 'timers.cancel: key'],
  ] as const)('refuse at once what is out of range: %s %j', async (call, parameters, option) => {
    const { advance, act, clock, kernel, settle } = await timed({ decide: () => 'resume' });
    let thrown: unknown;
    await act((ctx) => {
      try {
        (ctx.timers[call] as (...given: unknown[]) => void)(...parameters); // what the compiler would refuse
      } catch (error) {
        thrown = error;
      }
    });
    expect(thrown).toMatchObject({ code: 'ERR_OPTION_INVALID', details: { option } });
    if (option === 'timers.every: fixedRate')
      expect(thrown).toMatchObject({ details: { expected: 'true or false' } });
    await advance(0);
    await settle();
    expect([kernel.timeouts.size, clock.pending]).toEqual([0, 0]);
  });

  it('take a key of 128 characters, and refuse one more, saying what a key is', async () => {
    const { system, settle } = await testSystem();
    const ref = await system.spawn(puppet());
    const thrown: unknown[] = [];
    for (const length of [128, 129]) {
      ref.tell('act', (ctx) => {
        try {
          ctx.timers.once('k'.repeat(length), 10, 'next', () => undefined);
        } catch (error) {
          thrown.push(error);
        }
      });
    }
    await settle();
    expect(system.inspect(ref)?.timers).toHaveLength(1);
    expect(thrown).toMatchObject([{ details: { expected: 'a string of 1 to 128 characters' } }]);
  });

  it('refuse a name that is no internal message with ERR_MESSAGE_UNKNOWN, and keep the timer they had', async () => {
    const { advance, act, tick, ticks } = await timed();
    let thrown: unknown;
    await act((ctx) => {
      ctx.timers.once('key', 10, 'next', tick('kept'));
      try {
        ctx.timers.once('key', 10, 'act' as 'next', tick('refused'));
      } catch (error) {
        thrown = error;
      }
    });
    expect(thrown).toMatchObject({ code: 'ERR_MESSAGE_UNKNOWN', details: { known: ['next'] } });
    await advance(20);
    expect(ticks).toEqual(['kept@10']);
  });
});
