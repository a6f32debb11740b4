import { agent, protocol, tell, type } from 'troupe';
import { createTestSystem, type TestSystem } from 'troupe/testing';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Cell } from '../../runtime/actor/cell.ts';
import { PriorityHeap } from '../../runtime/actor/heap.ts';
import { Mailbox, Waiter } from '../../runtime/actor/mailbox.ts';
import type { Envelope } from '../../src/protocol/envelope.ts';
import { kitSystem } from '../support/kit-system.ts';

const Clerk = protocol('clerk', { work: tell(type<number>()), fail: tell() });

const clerk = agent(Clerk, {
  mailbox: { capacity: 10 },
  on: {
    work: async () => {
      await Promise.resolve();
    },
    fail: () => {
      throw new Error('told to fail');
    },
  },
});

/** Runs an ordinary program on an engine that was broken beforehand, and gives back what the checker says. */
async function verdict(body?: (system: TestSystem) => Promise<unknown>): Promise<string> {
  const system = await createTestSystem({ seed: 3 });
  try {
    const ref = await system.spawn(clerk, { name: 'clerk' });
    for (let i = 0; i < 4; i++) ref.tell('work', i);
    ref.tell('fail');
    ref.tell('work', 5, { priority: 'critical' });
    const sends = Array.from({ length: 12 }, (_, i) => ref.send('work', 10 + i));
    await body?.(system);
    await system.advance(1_000);
    await Promise.race([Promise.all(sends), system.settle()]);
    await system.check();
    return 'nothing';
  } catch (error) {
    return String(error);
  } finally {
    vi.restoreAllMocks();
    await system[Symbol.asyncDispose]().catch(() => undefined);
  }
}

afterEach(() => {
  vi.restoreAllMocks();
});

/** Puts `broken` in the place of a method; it is given the whole one, to be called on `this`. */
function plant<Self extends object>(
  prototype: Self,
  method: string,
  broken: (self: Self, whole: (...given: unknown[]) => unknown, given: unknown[]) => unknown,
): void {
  const whole: unknown = Reflect.get(prototype, method);
  if (typeof whole !== 'function') throw new Error(`no method ${method}`);
  vi.spyOn(prototype as Record<string, (...given: unknown[]) => unknown>, method).mockImplementation(
    function (this: Self, ...given: unknown[]) {
      return broken(this, (...again) => Reflect.apply(whole, this, again), given);
    },
  );
}

describe('the checker', () => {
  it('finds nothing in an engine that is whole', async () => {
    expect(await verdict()).toBe('nothing');
  });

  it('finds a message that the mailbox loses', async () => {
    let calls = 0;
    plant(Mailbox.prototype, 'next', (_, next) => {
      if (++calls === 3) next();
      return next();
    });
    expect(await verdict()).toContain(
      "no message is lost (P1): /user/clerk#1: 'work' from outside was accepted and is not in the queue",
    );
  });

  it('finds a message that is no longer in the queue', async () => {
    let calls = 0;
    plant(PriorityHeap.prototype, 'push', (_, push, given) => (++calls === 3 ? undefined : push(...given)));
    expect(await verdict()).toContain('was accepted and is not in the queue');
  });

  it('finds a message that was taken and is never heard of again', async () => {
    let calls = 0;
    plant(Cell.prototype, 'take', (_, take) => {
      if (++calls === 3) take();
      return take();
    });
    expect(await verdict()).toContain('was taken and has no outcome');
  });

  it('finds two outcomes of one message', async () => {
    let calls = 0;
    plant(Cell.prototype, 'handled', (_, handled, given) => {
      handled(...given);
      if (++calls === 2) handled(...given);
    });
    expect(await verdict()).toContain('one outcome for each message (P2)');
  });

  it('finds a dead letter of a message that was handled', async () => {
    const text = await verdict(async (system) => {
      const { kernel } = system as unknown as { readonly kernel: Cell['kernel'] }; // the kit carries its system's kernel
      let kept: Envelope | undefined;
      plant(Mailbox.prototype, 'next', (_, next) => {
        const envelope = next() as Envelope | undefined;
        kept ??= envelope;
        return envelope;
      });
      await system.settle();
      if (kept !== undefined) kernel.deadLetters.add(kept, '/user/clerk#1', 'expired');
    });
    expect(text).toContain("'work' from outside is dead after it was handled");
  });

  it('finds an outcome that the engine does not count', async () => {
    let calls = 0;
    plant(Cell.prototype, 'handled', (_, handled, given) => (++calls === 2 ? undefined : handled(...given)));
    expect(await verdict()).toContain('no message is lost (P1)');
  });

  it('finds turns that overlap', async () => {
    plant(Cell.prototype, 'begin', (cell, begin, given) => {
      begin(...given);
      cell.turn = undefined;
    });
    expect(await verdict()).toContain('one turn at a time (P5): /user/clerk#1: work began while work ran');
  });

  it('finds messages of one sender that change places', async () => {
    let calls = 0;
    plant(PriorityHeap.prototype, 'push', (_, push, given) => {
      if (++calls === 2) Object.assign(given[0] as Envelope, { seq: 100 });
      push(...given);
    });
    expect(await verdict()).toContain('order of a sender is kept (P50)');
  });

  it('finds a place in the order that is taken at admission and not at the call', async () => {
    let seq = 100;
    plant(Mailbox.prototype, 'admit', (_, admit, [waiters, waiter]) => {
      if (waiter instanceof Waiter) Object.assign(waiter.envelope, { seq: seq-- });
      admit(waiters, waiter);
    });
    expect(await verdict()).toContain('order of a sender is kept (P50)');
  });

  it('finds a promise that was rejected unheard', async () => {
    // The runner listens as well; this once it is not told.
    const others = process.listeners('unhandledRejection');
    let text = '';
    {
      const system = await createTestSystem();
      const ours = process.listeners('unhandledRejection').filter((each) => !others.includes(each));
      process.removeAllListeners('unhandledRejection');
      for (const each of ours) process.on('unhandledRejection', each);
      void Promise.reject(new Error('nobody listens'));
      await system.check().catch((error: unknown) => {
        text = String(error);
      });
      await system[Symbol.asyncDispose]().catch(() => undefined);
      for (const each of others) process.on('unhandledRejection', each);
    }
    expect(text).toContain('no promise is rejected unheard: Error: nobody listens');
    expect(process.listeners('unhandledRejection')).toEqual(others);
  });

  it('fails at the end of the block, with the seed, and shuts down all the same', async () => {
    plant(Cell.prototype, 'handled', () => undefined);
    const addresses: string[] = [];
    const run = async (): Promise<void> => {
      const system = await createTestSystem({ seed: 12 });
      system.events.subscribe((event) => {
        if (event.type === 'actor-stopped') addresses.push(event.address);
      });
      (await system.spawn(clerk)).tell('work', 1);
      await system[Symbol.asyncDispose]();
    };
    await expect(run()).rejects.toMatchObject({ code: 'ERR_TEST_FAILED', details: { seed: 12 } });
    expect(addresses).toEqual(['/user/$1#1']);
  });

  it('is not fooled by what is right: retries, the stash, drops, expiry, aborts, restarts, an end', async () => {
    const Busy = protocol('busy', {
      act: tell(type<(ctx: { stash(): unknown; unstash(): void }) => unknown>()),
    });
    const busy = agent(Busy, {
      mailbox: { capacity: 2, criticalReserve: 0 },
      onFailure: { retry: { attemptsMax: 2 } },
      turnTimeoutMs: 1_000,
      on: { act: (ctx, act) => act(ctx) },
    });
    const dropping = agent(Busy, {
      mailbox: { capacity: 2, overflow: 'drop-oldest' },
      on: { act: (ctx, act) => act(ctx) },
    });
    const system = await kitSystem({ seed: 5 });
    const ref = await system.spawn(busy, { backoff: { minMs: 1, maxMs: 1 } });
    const drops = await system.spawn(dropping);
    let isFirst = true;
    ref.tell('act', (ctx) => {
      if (isFirst) ctx.stash();
      isFirst = false;
    });
    ref.tell('act', () => {
      throw new Error('always');
    });
    const sends = [
      ref.send('act', (ctx) => ctx.unstash()),
      ref.send('act', () => new Promise(() => undefined)),
      ref.send('act', () => undefined, { ttlMs: 1 }),
    ];
    for (let i = 0; i < 5; i++) drops.tell('act', () => undefined);
    const aborting = new AbortController();
    const aborted = ref.send('act', () => undefined, { signal: aborting.signal });
    aborting.abort(new Error('not wanted'));
    await expect(aborted).rejects.toThrow('not wanted');
    await system.advance(5_000);
    await Promise.all(sends);
    ref.tell('act', () => undefined);
    await system.stop(drops);
    await system.check();
  });
});
