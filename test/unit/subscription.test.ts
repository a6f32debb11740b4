import { protocol, type TopicFilter, topic, type } from 'troupe';
import { describe, expect, it } from 'vitest';
import type { MessageMeta, Subscription } from '../../src/protocol/subscription.ts';
import { Holding, settles } from '../support/handlers.ts';
import { kitSystem } from '../support/kit-system.ts';
import { testSystem } from '../support/test-system.ts';

const NO_DELAY = { minMs: 0, maxMs: 0 };

describe('a subscription with agingMs', () => {
  it.each([
    ['alone', {}],
    ['in a group', { group: 'g' }],
    ['with concurrency', { concurrency: 2 }],
  ])('handles what has waited long before what is more urgent: %s', async (_, options) => {
    const { system, settle, advance } = await testSystem();
    const handler = new Holding();
    await system.subscribe('jobs', handler.handle, { agingMs: 100, ...options });
    for (const place of [0, 1]) await system.publish('jobs', `in hand ${place}`, { priority: 'critical' });
    await system.publish('jobs', 'patient', { priority: 'background' });
    for (let step = 0; step < 12; step++) {
      await advance(50);
      await system.publish('jobs', `critical ${step}`, { priority: 'critical' });
    }
    await settle();
    while (handler.held.length > 0) {
      handler.finish();
      await settle();
    }
    // Five priorities of 100 ms: it goes before what came after 500 ms, which is the tenth; equals go in their order.
    const got = handler.got.slice(2);
    expect(got.indexOf('patient')).toBe(9);
    expect(got[8]).toBe('critical 8');
  });

  it('is checked, and is not there unless said', async () => {
    const { system, settle } = await testSystem();
    await expect(system.subscribe('jobs', () => undefined, { agingMs: -1 })).rejects.toMatchObject({
      code: 'ERR_OPTION_INVALID',
      details: { option: 'agingMs' },
    });
    const handler = new Holding();
    await system.subscribe('jobs', handler.handle);
    for (const priority of ['critical', 'background', 'critical'] as const)
      await system.publish('jobs', priority, { priority });
    await settle();
    handler.finish();
    await settle();
    expect(handler.got).toEqual(['critical', 'critical']);
  });
});

describe('a subscription with retry', () => {
  it('tries a message attemptsMax times with its backoff, then buries it with all causes, and keeps the order', async () => {
    const { system, settle, advance } = await testSystem();
    const seen: string[] = [];
    await system.subscribe(
      'jobs',
      (message, meta) => {
        seen.push(`${String(message)} ${meta.attempt}`);
        if (message === 'bad') throw new Error(`attempt ${meta.attempt}`);
      },
      { retry: { attemptsMax: 3, backoff: { minMs: 100, maxMs: 1_000, jitter: 0 } } },
    );
    await system.publish('jobs', 'bad');
    await system.publish('jobs', 'good');
    await settle();
    expect(seen).toEqual(['bad 1']);
    await advance(99);
    expect(seen).toEqual(['bad 1']);
    await advance(1);
    expect(seen).toEqual(['bad 1', 'bad 2']);
    await advance(200);
    expect(seen).toEqual(['bad 1', 'bad 2', 'bad 3', 'good 1']);
    const [letter, ...others] = system.deadLetters.list();
    expect(others).toEqual([]);
    expect(letter).toMatchObject({ reason: 'attempts-exhausted', attempts: 3 });
    expect(letter?.history.map(({ error }) => String(error))).toEqual([
      'Error: attempt 1',
      'Error: attempt 2',
      'Error: attempt 3',
    ]);
  });

  it('has two attempts unless it says otherwise, and survives any number of failures', async () => {
    const { system, settle, advance } = await testSystem();
    let attempts = 0;
    await system.subscribe(
      'jobs',
      () => {
        attempts++;
        throw new Error('always');
      },
      { retry: { backoff: { minMs: 1, maxMs: 1 } } },
    );
    for (let n = 0; n < 100; n++) await system.publish('jobs', n);
    await settle();
    await advance(1_000);
    expect(attempts).toBe(200);
    expect(system.deadLetters.stats().byReason).toEqual({ 'attempts-exhausted': 100 });
  });

  it('goes on without a delay after a message that has used up its attempts', async () => {
    const { system, settle, advance } = await testSystem();
    const seen: unknown[] = [];
    await system.subscribe(
      'jobs',
      (message) => {
        seen.push(message);
        throw new Error('always');
      },
      { retry: { attemptsMax: 1 } },
    );
    for (let n = 0; n < 5; n++) await system.publish('jobs', n);
    await settle();
    expect(seen).toEqual([0, 1, 2, 3, 4]);
    await advance(0);
  });

  it('does not try again what no attempt can mend, and goes on', async () => {
    const { system, settle, advance } = await testSystem();
    const seen: unknown[] = [];
    await system.subscribe(
      'jobs',
      (message) => {
        seen.push(message);
        if (message === 'refused') throw Object.assign(new Error('no key'), { status: 401 });
        if (message === 'aborted') throw Object.assign(new Error('enough'), { name: 'AbortError' });
      },
      { retry: { attemptsMax: 5, backoff: NO_DELAY } },
    );
    for (const each of ['refused', 'aborted', 'fine']) await system.publish('jobs', each);
    await settle();
    await advance(100_000);
    expect(seen).toEqual(['refused', 'aborted', 'fine']);
    expect(system.deadLetters.stats().byReason).toEqual({ 'handler-failed': 2 });
  });

  it('is over for what it was told to end: the message that waits for its next attempt is cancelled', async () => {
    const { system, settle, advance } = await testSystem();
    let attempts = 0;
    const subscription = await system.subscribe(
      'jobs',
      () => {
        attempts++;
        throw new Error('always');
      },
      { retry: { attemptsMax: 5, backoff: { minMs: 1_000 } } },
    );
    await system.publish('jobs', 1);
    await settle();
    await subscription.unsubscribe();
    await advance(100_000);
    expect(attempts).toBe(1);
    expect(system.deadLetters.stats().total).toBe(0);
  });
});

describe('a subscription with turnTimeoutMs', () => {
  it('aborts the signal of a handler that takes longer, disowns it, and goes on', async () => {
    const { system, settle, advance } = await testSystem();
    const seen: unknown[] = [];
    const signals: AbortSignal[] = [];
    await system.subscribe(
      'jobs',
      (message, meta) => {
        seen.push(message);
        signals.push(meta.signal);
        return message === 'long' ? new Promise(() => undefined) : undefined;
      },
      { turnTimeoutMs: 50 },
    );
    await system.publish('jobs', 'long');
    await system.publish('jobs', 'short');
    await settle();
    await advance(49);
    expect([seen, signals[0]?.aborted]).toEqual([['long'], false]);
    await advance(1);
    expect([seen, signals[0]?.aborted]).toEqual([['long', 'short'], true]);
    const [letter] = system.deadLetters.list({ reason: 'handler-failed' });
    expect(letter?.error).toMatchObject({ code: 'ERR_TURN_TIMEOUT', details: { timeoutMs: 50 } });
  });
});

describe('a subscription with concurrency', () => {
  it('handles so many at once, starts the most urgent first, and makes publishers wait beyond its capacity', async () => {
    const { system, settle } = await testSystem();
    const handler = new Holding();
    await system.subscribe('jobs', handler.handle, { concurrency: 3, capacity: 2 });
    const published = [];
    for (const n of [1, 2, 3]) published.push(system.publish('jobs', n));
    await settle();
    for (const n of [4, 5]) published.push(system.publish('jobs', n));
    const sixth = settles(system.publish('jobs', 6));
    const urgent = settles(system.publish('jobs', 'urgent', { priority: 'urgent' }));
    await Promise.all(published);
    await settle();
    expect(handler.got).toEqual([1, 2, 3]);
    expect([sixth.hasSettled, urgent.hasSettled]).toEqual([false, false]);
    handler.held[2]?.finish();
    await settle();
    expect([sixth.hasSettled, urgent.hasSettled]).toEqual([false, true]);
    handler.held[0]?.finish();
    await settle();
    expect([handler.got, sixth.hasSettled]).toEqual([[1, 2, 3, 4, 'urgent'], true]);
    for (let n = 0; n < 4; n++) {
      handler.finishAll();
      await settle();
    }
    expect(handler.got).toEqual([1, 2, 3, 4, 'urgent', 5, 6]);
    expect(handler.heldMax).toBe(3);
  });

  it('goes on while a message waits for its next attempt', async () => {
    const { system, settle, advance } = await testSystem();
    const seen: string[] = [];
    await system.subscribe(
      'jobs',
      (message, meta) => {
        seen.push(`${String(message)} ${meta.attempt}`);
        if (message === 'bad') throw new Error('bad');
      },
      { concurrency: 2, retry: { attemptsMax: 2, backoff: { minMs: 100, maxMs: 100, jitter: 0 } } },
    );
    for (const each of ['bad', 'a', 'b', 'c']) await system.publish('jobs', each);
    await settle();
    expect(seen).toEqual(['bad 1', 'a 1', 'b 1', 'c 1']);
    await advance(100);
    expect(seen.slice(4)).toEqual(['bad 2']);
    expect(system.deadLetters.stats().byReason).toEqual({ 'attempts-exhausted': 1 });
  });

  it('survives any number of failures of its workers', async () => {
    const { system, settle, advance } = await testSystem();
    let attempts = 0;
    const fail = (): never => {
      attempts++;
      throw new Error('always');
    };
    await system.subscribe('jobs', fail, { concurrency: 2, retry: { attemptsMax: 4, backoff: NO_DELAY } });
    for (let n = 0; n < 50; n++) await system.publish('jobs', n);
    await settle();
    await advance(1_000);
    expect(attempts).toBe(200);
    expect(system.deadLetters.stats().byReason).toEqual({ 'attempts-exhausted': 50 });
  });

  it('ends as one: what is queued and what waits for an attempt is cancelled, and what runs is waited for', async () => {
    const { system, settle, advance } = await testSystem();
    const handler = new Holding();
    const options = { concurrency: 3, retry: { attemptsMax: 2, backoff: { minMs: 1_000 } } };
    const subscription = await system.subscribe('jobs', handler.handle, options);
    for (let n = 1; n <= 6; n++) await system.publish('jobs', n);
    await settle();
    handler.fail(new Error('first'));
    await settle();
    const ended = settles(subscription.unsubscribe());
    await settle();
    expect(ended.hasSettled).toBe(false);
    handler.held[0]?.finish();
    await settle();
    expect(ended.hasSettled).toBe(false);
    handler.finishAll();
    await settle();
    expect(ended.hasSettled).toBe(true);
    await system.publish('jobs', 7);
    await advance(100_000);
    expect(handler.got).toEqual([1, 2, 3]);
    expect(system.deadLetters.stats().total).toBe(0);
  });

  it('keeps latest: a message that waits for its next attempt gives way to a newer one of its topic', async () => {
    const { system, settle, advance } = await testSystem();
    const seen: string[] = [];
    await system.subscribe(
      'state.*',
      (message, meta) => {
        seen.push(`${meta.topic} ${String(message)}`);
        if (message === 'old') throw new Error('not now');
      },
      { concurrency: 2, overflow: 'latest', retry: { attemptsMax: 2, backoff: { minMs: 1_000 } } },
    );
    await system.publish('state.a', 'old');
    await settle();
    await system.publish('state.a', 'new');
    await settle();
    await advance(100_000);
    expect(seen).toEqual(['state.a old', 'state.a new']);
    expect(system.deadLetters.stats().byReason).toEqual({ 'overflow-dropped': 1 });
  });
});

describe('a group', () => {
  it('gives each message to one of its members; other groups, patterns and subscribers have their own', async () => {
    const { system, settle } = await testSystem();
    const seen: Record<string, unknown[]> = { a: [], b: [], other: [], wild: [], alone: [] };
    const into = (name: string) => (message: unknown) => seen[name]?.push(message);
    await system.subscribe('jobs', into('a'), { group: 'g' });
    await system.subscribe('jobs', into('b'), { group: 'g' });
    await system.subscribe('jobs', into('other'), { group: 'h' });
    await system.subscribe('*', into('wild'), { group: 'g' });
    await system.subscribe('jobs', into('alone'));
    for (let n = 0; n < 20; n++) await system.publish('jobs', n);
    await settle();
    const all = Array.from({ length: 20 }, (_, n) => n);
    const both = [...(seen['a'] ?? []), ...(seen['b'] ?? [])] as number[];
    expect(both.sort((x, y) => x - y)).toEqual(all);
    for (const name of ['other', 'wild', 'alone']) expect(seen[name]).toEqual(all);
  });

  it('is not held up by a slow member, and keeps priorities across all of them', async () => {
    const { system, settle } = await testSystem();
    const slow = new Holding();
    const quick = new Holding();
    await system.subscribe('jobs', slow.handle, { group: 'g' });
    await system.publish('jobs', 'long');
    await settle();
    await system.subscribe('jobs', quick.handle, { group: 'g' });
    const priorities = ['background', 'low', 'normal', 'critical'] as const;
    await system.publish('jobs', 'first');
    await settle();
    for (const priority of priorities) await system.publish('jobs', priority, { priority });
    for (let n = 0; n < 5; n++) {
      quick.finish();
      await settle();
    }
    expect(slow.got).toEqual(['long']);
    expect(quick.got).toEqual(['first', 'critical', 'normal', 'low', 'background']);
  });

  it('has capacity, overflow and agingMs of its first member, and refuses others by name', async () => {
    const { system } = await testSystem();
    const Jobs = topic('jobs', type<object>());
    const join = (filter: string | TopicFilter<object>, options: object): Promise<Subscription> =>
      system.subscribe(filter, () => undefined, { group: 'g', ...options });
    await join(Jobs, { capacity: 5 });
    await join(Jobs, {});
    await join(Jobs, { capacity: 5, overflow: 'backpressure' });
    await expect(join(Jobs, { capacity: 6 })).rejects.toMatchObject({
      code: 'ERR_OPTION_INVALID',
      details: {
        option: 'capacity',
        expected: expect.stringContaining("5, or nothing, as for the other members of group 'g' of 'jobs'"),
        given: '6',
      },
    });
    await expect(join(Jobs, { overflow: 'reject' })).rejects.toMatchObject({
      details: { option: 'overflow' },
    });
    await expect(join(Jobs, { agingMs: 5 })).rejects.toMatchObject({
      details: { option: 'agingMs', given: '5' },
    });
    await expect(join('jobs', {})).rejects.toMatchObject({ details: { option: 'topic' } });
    await expect(join(Jobs.where({}), {})).resolves.toBeDefined();
  });

  it('lets a member that leaves finish what it does, and gives it nothing more', async () => {
    const { system, settle, advance } = await testSystem();
    const leaver = new Holding();
    const stayer = new Holding();
    const leaving = await system.subscribe('jobs', leaver.handle, { group: 'g' });
    await system.publish('jobs', 1);
    await settle();
    await system.subscribe('jobs', stayer.handle, { group: 'g' });
    for (let n = 2; n <= 4; n++) await system.publish('jobs', n);
    const left = settles(leaving.unsubscribe());
    await settle();
    await advance(100_000); // however long it takes, within its turnTimeoutMs
    expect([left.hasSettled, leaver.held[0]?.meta.signal.aborted]).toEqual([false, false]);
    leaver.finish();
    await settle();
    expect(left.hasSettled).toBe(true);
    for (let n = 0; n < 4; n++) {
      stayer.finish();
      await settle();
    }
    expect([leaver.got, stayer.got]).toEqual([[1], [2, 3, 4]]);
    expect(system.deadLetters.stats().total).toBe(0);
  });

  it.each([0, 1_000])(
    'gives what a leaving member would have tried again after %i ms to the others, at its old place',
    async (minMs) => {
      const { system, settle } = await testSystem();
      const leaver = new Holding();
      const stayer = new Holding();
      const retry = { attemptsMax: 3, backoff: { minMs, maxMs: minMs } };
      const leaving = await system.subscribe('jobs', leaver.handle, { group: 'g', retry });
      await system.publish('jobs', 1);
      await settle();
      await system.subscribe('jobs', stayer.handle, { group: 'g' });
      for (let n = 2; n <= 4; n++) await system.publish('jobs', n);
      await settle();
      const left = leaving.unsubscribe();
      leaver.fail(new Error('once'));
      await left;
      for (let n = 0; n < 5; n++) {
        stayer.finish();
        await settle();
      }
      expect([leaver.got, stayer.got]).toEqual([[1], [2, 1, 3, 4]]);
    },
  );

  it('takes a message that waits for its next attempt from the member that leaves', async () => {
    const { system, settle } = await testSystem();
    const leaver = new Holding();
    const stayer = new Holding();
    const retry = { attemptsMax: 3, backoff: { minMs: 60_000 } };
    const leaving = await system.subscribe('jobs', leaver.handle, { group: 'g', retry });
    await system.publish('jobs', 'again');
    await settle();
    await system.subscribe('jobs', stayer.handle, { group: 'g' });
    leaver.fail(new Error('once'));
    await settle();
    expect(stayer.got).toEqual([]);
    await leaving.unsubscribe();
    await settle();
    expect(stayer.held.map(({ message, meta }) => [message, meta.attempt])).toEqual([['again', 2]]);
  });

  it('never starts a handler that left in the middle of its own, though its message is tried again at once', async () => {
    const { system, settle } = await testSystem();
    let runs = 0;
    const stayer = new Holding();
    const leave = (_message: unknown, meta: MessageMeta): void => {
      runs++;
      meta.unsubscribe();
      throw new Error('again');
    };
    await system.subscribe('jobs', stayer.handle, { group: 'g' });
    await system.publish('jobs', 'busy');
    await settle();
    await system.subscribe('jobs', leave, { group: 'g', retry: { attemptsMax: 9, backoff: NO_DELAY } });
    await system.publish('jobs', 'work');
    await settle();
    stayer.finish();
    await settle();
    expect([runs, stayer.held.map(({ message, meta }) => [message, meta.attempt])]).toEqual([
      1,
      [['work', 2]],
    ]);
  });

  it('ends with its last member: what is queued is a dead letter, who waits need not, and a new one begins afresh', async () => {
    const { system, settle } = await testSystem({ order: 'engine' });
    const first = new Holding();
    const second = new Holding();
    const one = await system.subscribe('jobs', first.handle, { group: 'g', capacity: 2 });
    const two = await system.subscribe('jobs', second.handle, { group: 'g' });
    for (let n = 1; n <= 2; n++) await system.publish('jobs', n);
    await settle();
    for (let n = 3; n <= 4; n++) await system.publish('jobs', n);
    const waiting = settles(system.publish('jobs', 5));
    await settle();
    const ended = [settles(one.unsubscribe()), settles(two.unsubscribe())];
    await settle();
    expect(waiting.hasSettled).toBe(true);
    expect(ended.map((each) => each.hasSettled)).toEqual([false, false]);
    const letters = system.deadLetters.list({ reason: 'stopped' });
    expect(letters.map(({ payload }) => payload)).toEqual([3, 4, 5]);
    await system.publish('jobs', 6);
    const third = new Holding();
    await system.subscribe('jobs', third.handle, { group: 'g', capacity: 7, overflow: 'reject' });
    await system.publish('jobs', 7);
    first.finish();
    second.finish();
    await settle();
    expect(ended.map((each) => each.hasSettled)).toEqual([true, true]);
    expect([first.got, second.got, third.got]).toEqual([[1], [2], [7]]);
    expect(system.deadLetters.stats().total).toBe(3);
  });

  it('gives a member that joins work at once, as much as its concurrency says', async () => {
    const { system, settle } = await testSystem();
    const first = new Holding();
    const second = new Holding();
    await system.subscribe('jobs', first.handle, { group: 'g' });
    for (let n = 1; n <= 5; n++) await system.publish('jobs', n);
    await settle();
    await system.subscribe('jobs', second.handle, { group: 'g', concurrency: 3 });
    await settle();
    expect([first.got, second.got]).toEqual([[1], [2, 3, 4]]);
  });

  it('lets each member have attempts and time of its own', async () => {
    const { system, settle, advance } = await testSystem();
    const patient = new Holding();
    const hasty = new Holding();
    await system.subscribe('jobs', patient.handle, { group: 'g', turnTimeoutMs: 1_000 });
    await system.publish('jobs', 'p');
    await settle();
    const retry = { attemptsMax: 2, backoff: NO_DELAY };
    await system.subscribe('jobs', hasty.handle, { group: 'g', turnTimeoutMs: 10, retry });
    await system.publish('jobs', 'h');
    await settle();
    await advance(20);
    expect([patient.got, hasty.got]).toEqual([['p'], ['h', 'h']]);
    await advance(980);
    expect(system.deadLetters.stats().byReason).toEqual({ 'attempts-exhausted': 1, 'handler-failed': 1 });
  });

  it('drains at shutdown as long as it may, and leaves nobody waiting', async () => {
    const { system, settle } = await testSystem();
    const handler = new Holding();
    await system.subscribe('jobs', handler.handle, { group: 'g', concurrency: 2 });
    for (let n = 0; n < 5; n++) await system.publish('jobs', n);
    await settle();
    const ended = settles(system.shutdown({ drainMs: 1_000 }));
    for (let n = 0; n < 5; n++) {
      await settle();
      handler.finishAll();
    }
    await settle();
    expect([handler.got.length, ended.hasSettled]).toEqual([5, true]);
    expect(system.deadLetters.stats().total).toBe(0);
  });

  it('is one pool in the tree, with its ledger, and none of its users can resize it', async () => {
    const { system } = await testSystem();
    const ends = [];
    ends.push(await system.subscribe('jobs', () => undefined, { group: 'g', concurrency: 2 }));
    ends.push(await system.subscribe('jobs', () => undefined, { group: 'g' }));
    const tops = () => system.tree().children.find((top) => top.name === 'system')?.children ?? [];
    const [group, ...others] = tops();
    expect([group?.kind, group?.children.length, others]).toEqual(['pool', 3, []]);
    for (const each of ends) await each.unsubscribe();
    expect(tops()).toEqual([]);
  });
});

describe('what a handler is told', () => {
  it('is the id of its dead letter, the attempt, headers, and a signal', async () => {
    const { system, settle } = await testSystem();
    let id = '';
    let told: unknown;
    await system.subscribe('jobs', (_message, meta) => {
      id = meta.id;
      told = [meta.topic, meta.priority, meta.headers, meta.sender, meta.attempt, meta.signal.aborted];
      throw new Error('no');
    });
    await system.publish('jobs', 1, { priority: 'high', headers: { a: 'b' } });
    await settle();
    expect(told).toEqual(['jobs', 'high', { a: 'b' }, undefined, 1, false]);
    expect(system.deadLetters.list().map(({ messageId }) => messageId)).toEqual([id]);
  });

  it('includes reject: the message is a dead letter with that reason, and is not tried again', async () => {
    const { system, settle, advance } = await testSystem();
    const seen: unknown[] = [];
    await system.subscribe(
      'jobs',
      async (message, { reject }) => {
        seen.push(message);
        await Promise.resolve();
        if (message === 'bad') reject('no such customer');
        seen.push('after');
      },
      { retry: { attemptsMax: 5, backoff: NO_DELAY } },
    );
    await system.publish('jobs', 'bad');
    await system.publish('jobs', 'good');
    await settle();
    await advance(10_000);
    expect(seen).toEqual(['bad', 'good', 'after']);
    const [letter, ...others] = system.deadLetters.list();
    expect([letter?.reason, String(letter?.error), others]).toEqual([
      'rejected',
      'Error: no such customer',
      [],
    ]);
  });

  it.each([{}, { concurrency: 3 }, { group: 'g' }])(
    'includes unsubscribe: nothing more starts, and the handler goes on to its end (%j)',
    async (options) => {
      const { system, settle, advance } = await testSystem();
      const seen: unknown[] = [];
      await system.subscribe(
        'jobs',
        async (message, meta) => {
          seen.push(message);
          await Promise.resolve();
          meta.unsubscribe();
          meta.unsubscribe();
          await Promise.resolve();
          seen.push(`end ${String(message)}`);
        },
        options,
      );
      await system.publish('jobs', 1);
      await settle();
      await system.publish('jobs', 2);
      await settle();
      expect(seen).toEqual([1, 'end 1']);
      await advance(100_000);
      expect(system.tree().children.find((top) => top.name === 'system')?.children).toEqual([]);
      expect(system.deadLetters.stats().total).toBe(0);
    },
  );

  it('lets a handler await the end of its subscription where it begins: it does not wait for itself', async () => {
    const { system, settle } = await testSystem();
    const seen: unknown[] = [];
    const subscription = await system.subscribe('jobs', async (message) => {
      await subscription.unsubscribe();
      seen.push(message);
    });
    await system.publish('jobs', 1);
    await system.publish('jobs', 2);
    await settle();
    expect(seen).toEqual([1]);
  });

  it('says in the log when unsubscribe waits for a handler that may wait for it, and ends that by the signal', async () => {
    const { system, settle, advance, logs } = await testSystem();
    const ended: unknown[] = [];
    const subscription = await system.subscribe('jobs', async (_message, meta) => {
      await Promise.resolve();
      const waiting = subscription.unsubscribe();
      meta.signal.addEventListener('abort', () => ended.push('aborted'));
      await waiting;
      ended.push('awaited');
    });
    await system.publish('jobs', 1);
    await settle();
    await advance(999);
    expect(logs).toEqual([]);
    await advance(1);
    expect(logs).toMatchObject([{ level: 'warn', text: expect.stringContaining('meta.unsubscribe()') }]);
    await advance(28_999);
    expect(ended).toEqual([]);
    await advance(1);
    expect(ended).toEqual(['aborted']);
    await advance(1_000);
    expect(ended).toEqual(['aborted', 'awaited']);
  });

  it('lets a handler that awaits its own end in a group go on after 31 s where its turn has no limit: no deadlock', async () => {
    const { system, settle, advance, clock } = await testSystem();
    const stayer = new Holding();
    const seen: unknown[] = [];
    const options = { group: 'g', turnTimeoutMs: Infinity };
    await system.subscribe('jobs', stayer.handle, options);
    await system.publish('jobs', 1);
    await settle();
    const subscription = await system.subscribe(
      'jobs',
      async (message) => {
        await Promise.resolve();
        await subscription.unsubscribe();
        seen.push(message, clock.now());
      },
      options,
    );
    await system.publish('jobs', 2);
    await settle();
    await system.publish('jobs', 3);
    await advance(30_999);
    expect(seen).toEqual([]);
    await advance(1);
    expect(seen).toEqual([2, 31_000]);
    stayer.finish();
    await settle();
    expect(stayer.got).toEqual([1, 3]);
    expect(system.deadLetters.stats().total).toBe(0);
    await subscription.unsubscribe();
  });

  it('says nothing when unsubscribe is quick, and is one end however often it is called', async () => {
    const { system, settle, advance, logs, kernel } = await testSystem();
    const handler = new Holding();
    const subscription = await system.subscribe('jobs', handler.handle);
    await system.publish('jobs', 1);
    await settle();
    const all = Promise.all([subscription.unsubscribe(), subscription.unsubscribe()]);
    await advance(500);
    handler.finish();
    await all;
    await subscription.unsubscribe();
    await advance(10_000);
    expect([logs, kernel.timeouts.size]).toEqual([[], 0]);
  });
});

describe('a group whose members come to grief', () => {
  it('ends when all of them have ended in another way than by leaving; who joins then begins a new one', async () => {
    const { system, settle, advance } = await testSystem();
    const first = new Holding();
    await system.subscribe('jobs', first.handle, { group: 'g', concurrency: 2, capacity: 3 });
    const top = system.tree().children.find(({ name }) => name === 'system');
    const workers = top?.children[0]?.children ?? [];
    expect(workers).toHaveLength(2);
    for (const { address } of workers) void system.stop(system.ref(protocol('any', {}), address));
    await advance(100);
    const second = new Holding();
    await system.subscribe('jobs', second.handle, { group: 'g', capacity: 5 }); // 3 is no rule any more
    await system.publish('jobs', 1);
    await settle();
    expect([first.got, second.got]).toEqual([[], [1]]);
  });

  it('takes no part of a member that cannot start as a whole', async () => {
    const system = await kitSystem();
    const whole = new Holding();
    await system.subscribe('jobs', whole.handle, { group: 'g' });
    const fault = system.fault({ at: 'start', nth: 2 });
    const partial = new Holding();
    await expect(
      system.subscribe('jobs', partial.handle, { group: 'g', concurrency: 3 }),
    ).rejects.toMatchObject({ code: 'ERR_START_FAILED' });
    expect(fault.hits).toBe(1);
    for (let n = 1; n <= 3; n++) await system.publish('jobs', n);
    await system.settle();
    expect([whole.got, partial.got]).toEqual([[1], []]);
    whole.finish();
    await system.settle();
    whole.finish();
    await system.settle();
    whole.finish();
    expect(whole.got).toEqual([1, 2, 3]);
  });
});
