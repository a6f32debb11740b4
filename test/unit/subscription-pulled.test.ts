import { type PulledMessage, type System, topic, type } from 'troupe';
import { describe, expect, it } from 'vitest';
import { settles } from '../support/handlers.ts';
import { testSystem } from '../support/test-system.ts';

type Pull = AsyncIterator<PulledMessage<unknown>, undefined>;

function pull(system: System, options?: Parameters<System['messages']>[1], pattern = 'news'): Pull {
  return system.messages(pattern, options)[Symbol.asyncIterator]() as Pull; // an async iterable's iterator
}

/** What each answer carried; `done` for the end. */
async function contents(
  answers: readonly Promise<IteratorResult<PulledMessage<unknown>>>[],
): Promise<unknown[]> {
  return (await Promise.all(answers)).map(({ done, value }) => (done === true ? 'done' : value.message));
}

function countsOf(system: System) {
  const [consumer] = system.tree().children.find((top) => top.name === 'system')?.children ?? [];
  return consumer === undefined
    ? undefined
    : system.inspect(system.ref({ name: 'x', messages: {} } as never, consumer.address));
}

describe('pulled messages', () => {
  it('come by for await, with what is known of each, until the loop is left', async () => {
    const { system, settle } = await testSystem();
    const News = topic('news.{subject}', type<{ readonly n: number }>());
    const seen: unknown[] = [];
    const loop = (async (): Promise<string> => {
      for await (const { message, topic: from, priority, headers, attempt, sender } of system.messages(
        News,
      )) {
        seen.push([message, from, priority, headers, attempt, sender]);
        if (message.n === 2) break;
      }
      return 'left';
    })();
    await system.publish(News, { subject: 'a' }, { n: 1 }, { headers: { h: '1' } });
    await settle();
    await system.publish(News, { subject: 'b' }, { n: 2 }, { priority: 'high' });
    await system.publish(News, { subject: 'b' }, { n: 3 });
    await expect(loop).resolves.toBe('left');
    expect(seen).toEqual([
      [{ subject: 'a', n: 1 }, 'news.a', 'normal', { h: '1' }, 1, undefined],
      [{ subject: 'b', n: 2 }, 'news.b', 'high', {}, 1, undefined],
    ]);
    expect(countsOf(system)).toBeUndefined();
    expect(system.deadLetters.stats().total).toBe(0);
  });

  it.each([1, 2, 3])(
    'hold at most %i unsettled messages; the next publisher waits for one to be settled',
    async (window) => {
      const { system, settle } = await testSystem();
      const iterator = pull(system, { window });
      const first = iterator.next();
      const published = Array.from({ length: window + 2 }, (_, n) => settles(system.publish('news', n)));
      await settle();
      const open = (): number => published.filter((each) => !each.hasSettled).length;
      // One is in hand, and is not settled by that.
      expect([open(), (await first).value?.message]).toEqual([2, 0]);
      const second = iterator.next();
      await settle();
      expect([open(), (await second).value?.message]).toEqual([1, 1]);
      await iterator.return?.();
      await settle();
      expect(open()).toBe(0);
    },
  );

  it('hold no more for critical ones', async () => {
    const { system, settle } = await testSystem();
    const iterator = pull(system, { window: 1 });
    const published = ['a', 'b'].map((each) =>
      settles(system.publish('news', each, { priority: 'critical' })),
    );
    await settle();
    expect(published.map(({ hasSettled }) => hasSettled)).toEqual([true, false]);
    await iterator.return?.();
  });

  it('are chosen when they are asked for: the most urgent of the window', async () => {
    const { system, settle } = await testSystem();
    const iterator = pull(system);
    await system.publish('news', 'low', { priority: 'low' });
    await settle();
    await system.publish('news', 'critical', { priority: 'critical' });
    await system.publish('news', 'normal');
    await settle();
    expect(await contents([iterator.next()])).toEqual(['critical']);
    await system.publish('news', 'urgent', { priority: 'urgent' });
    expect(await contents([iterator.next(), iterator.next(), iterator.next()])).toEqual([
      'urgent',
      'normal',
      'low',
    ]);
  });

  it('answer calls that come all at once in their order, and each but the last is settled by the next', async () => {
    const { system, settle } = await testSystem();
    const iterator = pull(system, { window: 1 });
    const answers = [iterator.next(), iterator.next(), iterator.next()];
    const published = Array.from({ length: 5 }, (_, n) => settles(system.publish('news', n)));
    await settle();
    expect(await contents(answers)).toEqual([0, 1, 2]);
    expect(published.map(({ hasSettled }) => hasSettled)).toEqual([true, true, true, false, false]);
    expect(countsOf(system)?.counts).toMatchObject({ accepted: 3, handled: 2 });
  });

  it('are never more than asked for: without demand no turn begins', async () => {
    const { system, settle } = await testSystem();
    pull(system);
    await system.publish('news', 1);
    await settle();
    expect(countsOf(system)).toMatchObject({
      turn: undefined,
      mailbox: { queued: 1 },
      counts: { handled: 0 },
    });
  });

  it('are handled when the loop is left by break, by return, or by an error; the rest is cancelled', async () => {
    const { system, settle } = await testSystem();
    const ends: unknown[] = [];
    const consume = async (how: 'break' | 'throw' | 'return'): Promise<unknown> => {
      for await (const { message } of system.messages('news')) {
        ends.push(message);
        if (how === 'break') break;
        if (how === 'return') return how;
        throw new Error(how);
      }
      return how;
    };
    const consumers = (['break', 'return', 'throw'] as const).map((how) => consume(how));
    const outcomes = Promise.allSettled(consumers);
    const published = [system.publish('news', 1), system.publish('news', 2)];
    expect((await outcomes).map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected']);
    await Promise.all(published);
    await settle();
    expect(ends).toEqual([1, 1, 1]);
    expect(system.deadLetters.stats().total).toBe(0);
    expect(countsOf(system)).toBeUndefined();
  });

  it('end by throw: the one in hand is a dead letter, and the error comes back', async () => {
    const { system } = await testSystem();
    const iterator = pull(system);
    const first = iterator.next();
    await system.publish('news', 1);
    await first;
    const error = new Error('enough');
    await expect(iterator.throw?.(error)).rejects.toBe(error);
    expect(await contents([iterator.next(), iterator.next()])).toEqual(['done', 'done']);
    expect(system.deadLetters.list()).toMatchObject([{ reason: 'handler-failed', error }]);
  });

  it('can be rejected, each for itself, and the iteration goes on', async () => {
    const { system, settle } = await testSystem();
    const seen: unknown[] = [];
    const loop = (async (): Promise<void> => {
      for await (const { message, reject } of system.messages('news')) {
        seen.push(message);
        if (message === 'bad') reject('not ours');
        if (message === 'last') break;
      }
    })();
    for (const each of ['good', 'bad', 'fine', 'last']) await system.publish('news', each);
    await loop;
    await settle();
    expect(seen).toEqual(['good', 'bad', 'fine', 'last']);
    expect(system.deadLetters.list()).toMatchObject([{ reason: 'rejected', payload: 'bad' }]);
  });

  it('have one end, after which nothing comes: each further call is done, however it ended', async () => {
    const { system, settle } = await testSystem();
    const iterator = pull(system);
    const asked = [iterator.next(), iterator.next()];
    await iterator.return?.();
    await iterator.return?.();
    await system.publish('news', 1);
    await settle();
    expect(await contents([...asked, iterator.next(), iterator.next()])).toEqual([
      'done',
      'done',
      'done',
      'done',
    ]);
  });

  it('end by their signal, and leave no listener on it', async () => {
    const { system, settle, advance } = await testSystem();
    const control = new AbortController();
    const iterator = pull(system, { signal: control.signal });
    const first = iterator.next();
    await system.publish('news', 1);
    await system.publish('news', 2);
    expect(await contents([first])).toEqual([1]);
    control.abort(new Error('stop'));
    expect(await contents([iterator.next()])).toEqual(['done']);
    await settle();
    expect(countsOf(system)).toBeUndefined();
    expect(await contents([pull(system, { signal: control.signal }).next()])).toEqual(['done']);
    const other = new AbortController();
    let listeners = 0;
    const { signal } = other;
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    signal.addEventListener = (...given: Parameters<typeof add>) => {
      listeners++;
      add(...given);
    };
    signal.removeEventListener = (...given: Parameters<typeof remove>) => {
      listeners--;
      remove(...given);
    };
    const ended = pull(system, { signal });
    expect(listeners).toBe(1);
    await ended.return?.();
    expect(listeners).toBe(0);
    await advance(0);
  });

  it('are done when the system shuts down, once the one in hand is settled', async () => {
    const { system, settle } = await testSystem();
    const idle = pull(system);
    const busy = pull(system);
    const waiting = idle.next();
    const first = busy.next();
    await system.publish('news', 1);
    expect(await contents([waiting, first])).toEqual([1, 1]);
    const more = idle.next();
    await settle();
    const ended = settles(system.shutdown());
    await settle();
    expect([await contents([more]), ended.hasSettled]).toEqual([['done'], false]);
    expect(await contents([busy.next()])).toEqual(['done']);
    await settle();
    expect(ended.hasSettled).toBe(true);
    expect(() => pull(system)).toThrow(expect.objectContaining({ code: 'ERR_ACTOR_STOPPED' }));
  });

  it('are drained by a consumer that goes on while the system shuts down', async () => {
    const { system } = await testSystem();
    const seen: unknown[] = [];
    const iterable = system.messages('news');
    const loop = (async (): Promise<void> => {
      for await (const { message } of iterable) seen.push(message);
    })();
    for (let n = 0; n < 10; n++) await system.publish('news', n);
    await system.shutdown({ drainMs: 1_000 });
    await loop;
    expect(seen).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(system.deadLetters.stats().total).toBe(0);
  });

  it('that are too old when they are asked for are dead letters, and their slots are free', async () => {
    const { system, settle, advance } = await testSystem();
    const iterator = pull(system, { window: 1 });
    await system.publish('news', 'old', { ttlMs: 10 });
    const waiting = settles(system.publish('news', 'fresh'));
    await advance(11);
    expect(waiting.hasSettled).toBe(false);
    expect(await contents([iterator.next()])).toEqual(['fresh']);
    await settle();
    expect([waiting.hasSettled, system.deadLetters.stats().byReason]).toEqual([true, { expired: 1 }]);
  });

  it.each([
    ['reject', ['a', 'b']],
    ['drop-newest', ['a', 'b']],
    ['drop-oldest', ['b', 'c']],
    ['latest', ['c']],
  ] as const)('obey %s when the window is full', async (overflow, kept) => {
    const { system, settle } = await testSystem();
    const iterator = pull(system, { window: 2, overflow });
    for (const each of ['a', 'b', 'c']) await system.publish('news', each);
    await settle();
    expect(await contents(kept.map(() => iterator.next()))).toEqual(kept);
    expect(system.deadLetters.stats().byReason).toEqual({ 'overflow-dropped': 3 - kept.length });
  });

  it('are subscribed to by each iteration for itself, from its beginning to its end', async () => {
    const { system, settle } = await testSystem();
    const iterable = system.messages('news');
    await system.publish('news', 'nobody yet');
    const one = iterable[Symbol.asyncIterator]();
    await system.publish('news', 'first');
    const two = iterable[Symbol.asyncIterator]();
    await system.publish('news', 'second');
    await settle();
    expect((await one.next()).value.message).toBe('first');
    expect((await two.next()).value.message).toBe('second');
  });

  it('are asked for by at most 1,000 calls at once', async () => {
    const { system } = await testSystem();
    const iterator = pull(system);
    const asked = Array.from({ length: 1_000 }, () => iterator.next());
    await expect(iterator.next()).rejects.toMatchObject({
      code: 'ERR_PULLS_FULL',
      details: { pattern: 'news', pullsMax: 1_000 },
    });
    await iterator.return?.();
    expect(new Set(await contents(asked))).toEqual(new Set(['done']));
  });

  it('may be kept in hand for any time; when the system ends they are aborted after 30 s', async () => {
    const { system, settle, advance } = await testSystem();
    const iterator = pull(system);
    const first = iterator.next();
    await system.publish('news', 1);
    const pulled = (await first).value;
    await advance(10_000_000);
    expect(pulled?.signal.aborted).toBe(false);
    const ended = settles(system.shutdown());
    await advance(29_999);
    expect([pulled?.signal.aborted, ended.hasSettled]).toEqual([false, false]);
    await advance(1);
    expect(pulled?.signal.aborted).toBe(true);
    await advance(1_000);
    await settle();
    expect(ended.hasSettled).toBe(true);
  });
});
