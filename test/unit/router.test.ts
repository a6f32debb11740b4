import { agent, ask, isTroupeError, protocol, tell, topic, type } from 'troupe';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { Router } from '../../runtime/routing/router.ts';
import { startSystem } from '../../runtime/system.ts';
import type { SubscribeOptions } from '../../src/protocol/subscription.ts';
import type { System } from '../../src/protocol/system.ts';
import { HandHost } from '../support/hand-host.ts';
import { testSystem } from '../support/test-system.ts';

/** What a promise has come to by now; `undefined` while it is open. */
interface Watched {
  readonly outcome: string | undefined;
}

function watch(promise: Promise<unknown>): Watched {
  const watched: { outcome: string | undefined } = { outcome: undefined };
  promise.then(
    () => {
      watched.outcome = 'resolved';
    },
    (error: unknown) => {
      watched.outcome = isTroupeError(error) ? error.code : String(error);
    },
  );
  return watched;
}

function routerOf(system: System): Router {
  return (system as unknown as { readonly topics: { readonly router: Router } }).topics.router; // the local system carries them
}

/** A handler that holds each message until it is let go. */
function gate(): {
  readonly seen: unknown[];
  readonly handle: (message: unknown) => Promise<void>;
  readonly open: () => void;
} {
  const seen: unknown[] = [];
  let isOpen = false;
  const held: (() => void)[] = [];
  return {
    seen,
    handle: (message) => {
      seen.push(message);
      return isOpen
        ? Promise.resolve()
        : new Promise((resolve) => {
            held.push(resolve);
          });
    },
    open: () => {
      isOpen = true;
      for (const release of held) release();
    },
  };
}

const Sink = protocol('sink', { take: tell(type<unknown>()), hold: tell() });

/** An agent that is fed `pattern` as `take` into a mailbox of `capacity`; `hold` keeps it busy until the gate opens. */
function fedAgent(
  feed: SubscribeOptions & { readonly on?: string },
  mailbox: {
    readonly capacity: number;
    readonly overflow?: 'reject' | 'drop-oldest';
    readonly waitersMax?: number;
  },
) {
  const seen: unknown[] = [];
  const hold = gate();
  const { on = 'news', ...options } = feed;
  const fed = agent(Sink, {
    mailbox,
    subscribe: [{ topic: topic(on, type<unknown>()), as: 'take', ...(options as { overflow?: 'latest' }) }],
    on: { take: (_ctx, message) => seen.push(message), hold: () => hold.handle('hold') },
  });
  return { fed, seen, open: hold.open };
}

describe('publishing', () => {
  it('reaches every subscriber there at the call once, and none that comes later', async () => {
    const { system, settle } = await testSystem();
    const seen: string[] = [];
    const add = (name: string, pattern: string) =>
      system.subscribe(pattern, (message) => seen.push(`${name} ${String(message)}`));
    await add('exact', 'mail.new');
    await add('star', 'mail.*');
    await add('hash', '#');
    await add('other', 'mail.old');
    await add('twice', 'mail.new');
    const leaver = await add('leaver', 'mail.new');
    await leaver.unsubscribe();
    await system.publish('mail.new', 1);
    await add('later', 'mail.new');
    await settle();
    expect(seen.sort()).toEqual(['exact 1', 'hash 1', 'star 1', 'twice 1']);
  });

  it('does not reach a subscriber that enters while the message is handed out', async () => {
    const { system, settle } = await testSystem();
    const same = fedAgent({ on: 'news' }, { capacity: 10 });
    const wild = fedAgent({ on: '{any}' }, { capacity: 10 });
    await system.subscribe('news', gate().handle, { overflow: 'reject', capacity: 1 });
    for (let n = 0; n < 2; n++) {
      await system.publish('news', { n });
      await settle();
    }
    // The refusal by the full subscriber is told in the middle of the next publication; the listener adds subscribers.
    const spawned: Promise<unknown>[] = [];
    const stop = system.events.subscribe((event) => {
      if (event.type === 'message-refused') spawned.push(system.spawn(same.fed), system.spawn(wild.fed));
    });
    await system.publish('news', { n: 'during' });
    stop();
    await Promise.all(spawned);
    expect(spawned).toHaveLength(2);
    await system.publish('news', { n: 'after' });
    await settle();
    expect(same.seen).toEqual([{ n: 'after' }]);
    expect(wild.seen).toEqual([{ n: 'after', any: 'news' }]);
  });

  it('resolves without subscribers, and leaves no dead letter', async () => {
    const { system } = await testSystem();
    await expect(system.publish('nobody.listens', 1)).resolves.toBeUndefined();
    expect(system.deadLetters.stats().total).toBe(0);
  });

  it('gives all subscribers the same payload object, not copies', async () => {
    const { system, settle } = await testSystem();
    const seen: unknown[] = [];
    for (let n = 0; n < 3; n++) await system.subscribe('news', (message) => seen.push(message));
    const payload = { text: 'hello' };
    await system.publish('news', payload);
    await settle();
    expect(seen).toHaveLength(3);
    for (const each of seen) expect(each).toBe(payload);
  });

  it('delivers parameters and payload of a typed topic in one object, shared', async () => {
    const { system, settle } = await testSystem();
    const Verdict = topic('mail.verdict.{label}', z.object({ id: z.string() }));
    const all: unknown[] = [];
    const spam: unknown[] = [];
    const plain: unknown[] = [];
    await system.subscribe(Verdict, (message) => all.push(message));
    await system.subscribe(Verdict.where({ label: 'spam' }), (message) => spam.push(message));
    await system.subscribe('mail.verdict.*', (message) => plain.push(message));
    await system.publish(Verdict, { label: 'spam' }, { id: '1' });
    await system.publish(Verdict, { label: 'ham' }, { id: '2' });
    await settle();
    expect(all).toEqual([
      { id: '1', label: 'spam' },
      { id: '2', label: 'ham' },
    ]);
    expect(spam).toEqual([{ id: '1', label: 'spam' }]);
    expect(plain).toEqual(all);
    expect(spam[0]).toBe(all[0]);
    expect(plain[0]).toBe(all[0]);
  });

  it('tells topic, priority and headers beside the message, and takes the most urgent first', async () => {
    const { system, settle } = await testSystem();
    const seen: unknown[] = [];
    await system.subscribe('a.*', (message, { topic, priority, headers, sender }) =>
      seen.push([message, { topic, priority, headers, sender }]),
    );
    void system.publish('a.x', 1, { priority: 'background' });
    void system.publish('a.y', 2, { priority: 'critical', headers: { trace: 't1' } });
    await settle();
    expect(seen).toEqual([
      [2, { topic: 'a.y', priority: 'critical', headers: { trace: 't1' }, sender: undefined }],
      [1, { topic: 'a.x', priority: 'background', headers: {}, sender: undefined }],
    ]);
  });

  it('buries what is older than its ttlMs when its turn comes', async () => {
    const { system, settle, advance } = await testSystem();
    const busy = gate();
    await system.subscribe('news', busy.handle);
    await system.publish('news', 'first');
    await system.publish('news', 'short', { ttlMs: 10 });
    await system.publish('news', 'long', { ttlMs: 11 });
    await settle();
    await advance(11);
    busy.open();
    await settle();
    expect(busy.seen).toEqual(['first', 'long']);
    expect(system.deadLetters.stats().byReason).toEqual({ expired: 1 });
  });

  it('carries sender, headers and deadline of the turn it comes from', async () => {
    const { system, settle, advance } = await testSystem();
    const News = topic('news', z.string());
    const Reporter = protocol('reporter', { report: tell(), answer: ask(type<void>(), z.string()) });
    const reporter = agent(Reporter, {
      on: {
        report: (ctx) => ctx.publish(News, {}, 'told'),
        answer: async (ctx) => {
          await ctx.publish(News, {}, 'asked');
          await ctx.publish(News, {}, 'bounded', { ttlMs: 1_000 });
          await ctx.publish(News, {}, 'outlives', { ttlMs: Number.POSITIVE_INFINITY });
          return 'done';
        },
      },
    });
    const ref = await system.spawn(reporter, { name: 'reporter' });
    const Reader = protocol('reader', { read: tell(z.string()), wait: tell() });
    const seen: unknown[] = [];
    const hold = gate();
    const reader = agent(Reader, {
      subscribe: [{ topic: News, as: 'read' }],
      on: {
        read: (ctx, text) => seen.push([text, ctx.message.sender, ctx.message.deadline]),
        wait: () => hold.handle('wait'),
      },
    });
    const readerRef = await system.spawn(reader);
    ref.tell('report');
    await settle();
    expect(seen).toEqual([['told', ref.address, undefined]]);
    readerRef.tell('wait');
    await settle();
    const answer = ref.ask('answer', undefined, { timeoutMs: 50 });
    await settle();
    await expect(answer).resolves.toBe('done');
    await advance(51);
    hold.open();
    await settle();
    // The first two had the deadline of the ask, whatever their ttlMs, and were not read in time.
    expect(seen.slice(1)).toEqual([['outlives', ref.address, undefined]]);
    expect(system.deadLetters.list({ reason: 'expired' })).toMatchObject([
      { payload: 'asked', sender: ref.address },
      { payload: 'bounded', sender: ref.address },
    ]);
  });

  it('refuses parameters and topics outside the grammar at once', async () => {
    const { system, settle } = await testSystem();
    const seen: unknown[] = [];
    await system.subscribe('#', (message) => seen.push(message));
    const Verdict = topic('mail.{label}', z.object({}));
    for (const label of ['a.b', '*', '#', '', 'x'.repeat(65), 'ä', 5]) {
      expect(() => system.publish(Verdict, { label } as never, {})).toThrow(
        expect.objectContaining({ code: 'ERR_TOPIC_INVALID' }),
      );
    }
    const long = Array(4).fill('x'.repeat(60)).join('.');
    for (const text of ['', 'a.*', 'a.#', '*', 'a..b', 'a b', Array(9).fill('a').join('.'), long]) {
      expect(() => system.publish(text, 1)).toThrow(expect.objectContaining({ code: 'ERR_TOPIC_INVALID' }));
    }
    await system.publish(Array(8).fill('a').join('.'), 1);
    await system.publish(`${'x'.repeat(64)}.${'y'.repeat(64)}.${'z'.repeat(64)}.12345`, 2);
    await settle();
    expect(seen).toEqual([1, 2]);
  });

  it('is refused once the system shuts down', async () => {
    const { system } = await testSystem();
    await system.shutdown();
    await expect(system.publish('news', 1)).rejects.toMatchObject({ code: 'ERR_ACTOR_STOPPED' });
    await expect(system.subscribe('news', () => undefined)).rejects.toMatchObject({
      code: 'ERR_ACTOR_STOPPED',
    });
    expect(routerOf(system).size).toBe(0);
  });

  it('reaches nobody who subscribed at the last moment', async () => {
    const { system } = await testSystem();
    const seen: unknown[] = [];
    const subscribing = system.subscribe('news', (message) => seen.push(message));
    const ended = system.shutdown();
    await subscribing.catch(() => undefined);
    await ended;
    expect([seen, routerOf(system).size]).toEqual([[], 0]);
  });
});

describe('a subscriber with backpressure', () => {
  it('makes its publishers wait, and nobody else', async () => {
    const { system, settle } = await testSystem();
    const slow = gate();
    const quick: unknown[] = [];
    await system.subscribe('news', slow.handle, { capacity: 1 });
    await system.subscribe('#', (message) => quick.push(message));
    const results = [1, 2].map((n) => watch(system.publish('news', n)));
    await settle();
    const third = watch(system.publish('news', 3));
    const fourth = watch(system.publish('news', 4));
    const elsewhere = watch(system.publish('weather', 5));
    await settle();
    expect(results.map((each) => each.outcome)).toEqual(['resolved', 'resolved']);
    expect([third.outcome, fourth.outcome, elsewhere.outcome]).toEqual([undefined, undefined, 'resolved']);
    expect(quick).toEqual([1, 2, 3, 4, 5]);
    expect(slow.seen).toEqual([1]);
    slow.open();
    await settle();
    expect([third.outcome, fourth.outcome]).toEqual(['resolved', 'resolved']);
    expect(slow.seen).toEqual([1, 2, 3, 4]);
    expect(system.deadLetters.stats().total).toBe(0);
  });

  async function filled() {
    const made = await testSystem();
    const slow = gate();
    const subscription = await made.system.subscribe('news', slow.handle, { capacity: 1 });
    await made.system.publish('news', 1);
    await made.settle();
    await made.system.publish('news', 2);
    return { ...made, slow, subscription };
  }

  it('is waited for until timeoutMs, 30 s unless said, and then gets nothing of it', async () => {
    const { system, settle, advance, slow } = await filled();
    const short = watch(system.publish('news', 'short', { timeoutMs: 20 }));
    const usual = watch(system.publish('news', 'usual'));
    await advance(19);
    expect([short.outcome, usual.outcome]).toEqual([undefined, undefined]);
    await advance(1);
    expect([short.outcome, usual.outcome]).toEqual(['ERR_SEND_TIMEOUT', undefined]);
    await advance(29_980);
    expect(usual.outcome).toBe('ERR_SEND_TIMEOUT');
    slow.open();
    await settle();
    expect(slow.seen).toEqual([1, 2]);
  });

  it('is waited for until the signal aborts, with its reason, and not at all if it has', async () => {
    const { system, settle, slow } = await filled();
    const controller = new AbortController();
    const open = watch(system.publish('news', 'open', { signal: controller.signal }));
    await settle();
    expect(open.outcome).toBeUndefined();
    controller.abort(new Error('changed my mind'));
    await settle();
    expect(open.outcome).toBe('Error: changed my mind');
    const late = watch(system.publish('news', 'late', { signal: controller.signal }));
    slow.open();
    await settle();
    expect(late.outcome).toBe('Error: changed my mind');
    expect(slow.seen).toEqual([1, 2]);
  });

  it('is waited for no longer than the turn that publishes', async () => {
    const { system, advance } = await filled();
    const Publisher = protocol('publisher', { go: ask(type<void>(), z.string()) });
    const publisher = agent(Publisher, {
      on: {
        go: async (ctx) => {
          await ctx.publish('news', 'from a turn');
          return 'done';
        },
      },
    });
    const ref = await system.spawn(publisher);
    const asked = watch(ref.ask('go', undefined, { timeoutMs: 40 }));
    await advance(39);
    expect(asked.outcome).toBeUndefined();
    await advance(1);
    expect(asked.outcome).toMatch(/^ERR_/);
    expect(system.inspect(ref)).toMatchObject({ turn: undefined });
  });

  it('is waited for no longer than a message that is told is worth', async () => {
    const { system, advance } = await filled();
    const Publisher = protocol('publisher', { go: tell() });
    let outcome: Watched | undefined;
    const publisher = agent(Publisher, {
      on: {
        go: (ctx) => {
          outcome = watch(ctx.publish('news', 'from a turn', { timeoutMs: 1_000 }));
        },
      },
    });
    const ref = await system.spawn(publisher);
    ref.tell('go', undefined, { ttlMs: 40 });
    await advance(39);
    expect(outcome?.outcome).toBeUndefined();
    await advance(1);
    expect(outcome?.outcome).toBe('ERR_SEND_TIMEOUT');
  });

  it('is not waited for by a turn that was aborted, nor by a publisher that has to stop', async () => {
    const { system, settle, advance, slow } = await filled();
    const Publisher = protocol('publisher', { late: ask(type<void>(), type<void>()), stuck: tell() });
    const outcomes: Watched[] = [];
    const publisher = agent(Publisher, {
      on: {
        late: async (ctx) => {
          await new Promise((resolve) => {
            ctx.signal.addEventListener('abort', resolve);
          });
          outcomes.push(watch(ctx.publish('news', 'late')));
        },
        stuck: (ctx) => {
          const published = ctx.publish('news', 'stuck');
          outcomes.push(watch(published));
          return published;
        },
      },
    });
    const ref = await system.spawn(publisher, { shutdownMs: 10 });
    const controller = new AbortController();
    const asked = watch(ref.ask('late', undefined, { signal: controller.signal }));
    await settle();
    controller.abort(new Error('no use'));
    await settle();
    expect([asked.outcome, outcomes[0]?.outcome]).toEqual(['Error: no use', 'Error: no use']);
    ref.tell('stuck');
    await settle();
    const stopped = system.stop(ref);
    await advance(10);
    await stopped;
    // It is the publisher that stopped: the subscriber has lost nothing, and the publisher hears why it got no room.
    expect(outcomes[1]?.outcome).toBe('ERR_ACTOR_STOPPED');
    expect(system.deadLetters.list({ reason: 'stopped' })).toEqual([]);
    slow.open();
    await settle();
    expect(slow.seen).toEqual([1, 2]);
  });

  it('frees its publishers when it ends: what they published is a dead letter, and no failure of theirs', async () => {
    const { system, settle } = await testSystem();
    const { fed, seen, open } = fedAgent({}, { capacity: 1 });
    const ref = await system.spawn(fed);
    ref.tell('hold');
    await settle();
    await system.publish('news', 'queued');
    const waiting = watch(system.publish('news', 'waiting'));
    await settle();
    expect(waiting.outcome).toBeUndefined();
    const stopped = system.stop(ref);
    await settle();
    expect(waiting.outcome).toBe('resolved');
    open();
    await stopped;
    expect(seen).toEqual([]);
    expect(system.deadLetters.list({ reason: 'stopped' }).map((letter) => letter.payload)).toEqual([
      'queued',
      'waiting',
    ]);
    expect(routerOf(system).size).toBe(0);
  });

  it('refuses a publisher beyond waitersMax', async () => {
    const { system, settle } = await testSystem();
    const { fed, seen, open } = fedAgent({}, { capacity: 1, waitersMax: 1 });
    const ref = await system.spawn(fed);
    ref.tell('hold');
    await settle();
    await system.publish('news', 1);
    const waiting = watch(system.publish('news', 2));
    const refused = watch(system.publish('news', 3));
    await settle();
    expect([waiting.outcome, refused.outcome]).toEqual([undefined, 'ERR_MAILBOX_WAITERS_FULL']);
    open();
    await settle();
    expect([waiting.outcome, seen]).toEqual(['resolved', [1, 2]]);
  });

  it('that publishes to itself never waits for itself: beyond its reserve it is a dead letter', async () => {
    const { system, settle } = await testSystem();
    const News = topic('news', z.number());
    const Echo = protocol('echo', { start: tell(), hear: tell(z.number()) });
    const heard: number[] = [];
    const echo = agent(Echo, {
      mailbox: { capacity: 2, selfReserve: 1 },
      subscribe: [{ topic: News, as: 'hear' }],
      on: {
        start: async (ctx) => {
          for (let n = 1; n <= 5; n++) await ctx.publish(News, {}, n);
        },
        hear: (_ctx, n) => heard.push(n),
      },
    });
    const ref = await system.spawn(echo);
    ref.tell('start');
    await settle();
    expect(heard).toEqual([1, 2, 3]);
    expect(system.deadLetters.list({ reason: 'overflow-dropped' }).map((letter) => letter.payload)).toEqual([
      4, 5,
    ]);
  });
});

describe('a subscriber that never drains', () => {
  it.each([
    ['reject', [1, 2, 3]],
    ['drop-newest', [1, 2, 3]],
    ['drop-oldest', [1, 5, 6]],
    ['drop-lowest', [1, 2, 3]],
  ] as const)('keeps what %s says, each drop a dead letter', async (overflow, kept) => {
    const { system, settle } = await testSystem();
    const stuck = gate();
    await system.subscribe('news', stuck.handle, { overflow, capacity: 2 });
    for (let n = 1; n <= 6; n++) {
      await system.publish('news', n);
      await settle();
    }
    const dropped = system.deadLetters.list({ reason: 'overflow-dropped' }).map(({ payload }) => payload);
    const missing = [1, 2, 3, 4, 5, 6].filter((n) => !(kept as readonly number[]).includes(n));
    expect(dropped).toEqual(missing);
    expect(system.deadLetters.stats().total).toBe(3);
    stuck.open();
    await settle();
    expect(stuck.seen).toEqual(kept);
  });

  it('makes way for the more urgent under drop-lowest', async () => {
    const { system, settle } = await testSystem();
    const stuck = gate();
    await system.subscribe('news', stuck.handle, { overflow: 'drop-lowest', capacity: 1 });
    for (const [message, priority] of [
      ['a', 'normal'],
      ['b', 'low'],
      ['c', 'high'],
      ['d', 'normal'],
    ] as const) {
      await system.publish('news', message, { priority });
      await settle();
    }
    stuck.open();
    await settle();
    expect(stuck.seen).toEqual(['a', 'c']);
  });

  it('is refused under reject also where it is an agent whose mailbox lets others wait', async () => {
    const { system, settle } = await testSystem();
    const { fed, seen, open } = fedAgent({ overflow: 'reject' }, { capacity: 1 });
    const ref = await system.spawn(fed);
    ref.tell('hold');
    await settle();
    await system.publish('news', 1);
    await system.publish('news', 2);
    const waiting = watch(ref.send('take', 3));
    await settle();
    expect(waiting.outcome).toBeUndefined();
    open();
    await settle();
    expect(seen).toEqual([1, 3]);
    expect(system.deadLetters.list().map(({ reason, payload }) => [reason, payload])).toEqual([
      ['overflow-dropped', 2],
    ]);
  });

  it('tells of each refusal under reject', async () => {
    const { system, settle, events } = await testSystem();
    const stuck = gate();
    await system.subscribe('news', stuck.handle, { overflow: 'reject', capacity: 1 });
    for (let n = 1; n <= 4; n++) {
      await system.publish('news', n);
      await settle();
    }
    expect(events.filter(({ type: kind }) => kind === 'message-refused')).toHaveLength(2);
  });
});

describe('a subscriber with latest', () => {
  it('keeps the newest of each topic, each one replaced a dead letter', async () => {
    const { system, settle } = await testSystem();
    const stuck = gate();
    await system.subscribe('price.*', stuck.handle, { overflow: 'latest', capacity: 10 });
    await system.publish('price.a', 'a1');
    await settle();
    for (const n of [2, 3, 4]) {
      await system.publish('price.a', `a${n}`);
      await system.publish('price.b', `b${n}`);
    }
    stuck.open();
    await settle();
    expect(stuck.seen).toEqual(['a1', 'a4', 'b4']);
    expect(system.deadLetters.list({ reason: 'overflow-dropped' })).toHaveLength(4);
    expect(system.deadLetters.stats().total).toBe(4);
  });

  it('holds at most its capacity of topics: the one published longest ago makes way', async () => {
    const { system, settle } = await testSystem();
    const stuck = gate();
    await system.subscribe('price.*', stuck.handle, { overflow: 'latest', capacity: 2 });
    await system.publish('price.first', 'first');
    await settle();
    for (const name of ['a', 'b', 'c', 'd']) await system.publish(`price.${name}`, name);
    stuck.open();
    await settle();
    expect(stuck.seen).toEqual(['first', 'c', 'd']);
    expect(system.deadLetters.list({ reason: 'overflow-dropped' })).toHaveLength(2);
  });

  async function fullAgent() {
    const made = await testSystem();
    const { fed, seen, open } = fedAgent({ overflow: 'latest' }, { capacity: 1 });
    const ref = await made.system.spawn(fed);
    ref.tell('hold');
    await made.settle();
    ref.tell('take', 'other');
    return { ...made, ref, seen, open };
  }

  it('keeps the newest also while an agent’s mailbox is full, for as long as that takes', async () => {
    const { system, settle, advance, seen, open } = await fullAgent();
    for (let n = 1; n <= 3; n++) await system.publish('news', n);
    await advance(100_000);
    expect(system.deadLetters.list().map((letter) => [letter.reason, letter.payload])).toEqual([
      ['overflow-dropped', 1],
      ['overflow-dropped', 2],
    ]);
    open();
    await settle();
    expect(seen).toEqual(['other', 3]);
    expect(system.deadLetters.stats().total).toBe(2);
  });

  it('replaces one that waited, got in, and had no turn yet', async () => {
    const { system, settle } = await testSystem();
    const turns = [gate(), gate()];
    const seen: unknown[] = [];
    const Two = protocol('two', { hold: tell(z.number()), take: tell(type<unknown>()) });
    const two = agent(Two, {
      mailbox: { capacity: 1 },
      subscribe: [{ topic: topic('news', type<unknown>()), as: 'take', overflow: 'latest' }],
      on: { hold: (_ctx, n) => turns[n]?.handle(n), take: (_ctx, message) => seen.push(message) },
    });
    const ref = await system.spawn(two);
    ref.tell('hold', 0);
    await settle();
    ref.tell('hold', 1);
    await system.publish('news', 'waited');
    turns[0]?.open();
    await settle();
    expect(system.inspect(ref)).toMatchObject({ mailbox: { queued: 1, waiting: 0 } });
    await system.publish('news', 'newer');
    turns[1]?.open();
    await settle();
    expect(seen).toEqual(['newer']);
    expect(system.deadLetters.list().map((letter) => letter.payload)).toEqual(['waited']);
  });

  it('lets no more topics wait than its capacity', async () => {
    const { system, settle } = await testSystem();
    const { fed, seen, open } = fedAgent(
      { on: 'n.{name}', overflow: 'latest', capacity: 2 },
      { capacity: 1 },
    );
    const ref = await system.spawn(fed);
    ref.tell('hold');
    await settle();
    ref.tell('take', 'own');
    for (const name of ['a', 'b', 'c', 'd']) await system.publish(`n.${name}`, {});
    expect(system.inspect(ref)).toMatchObject({ mailbox: { waiting: 2 } });
    expect(system.deadLetters.list({ reason: 'overflow-dropped' })).toHaveLength(2);
    open();
    await settle();
    expect(seen).toEqual(['own', { name: 'c' }, { name: 'd' }]);
  });

  it('forgets a topic beyond its capacity without dropping what has its place already', async () => {
    const { system, settle } = await testSystem();
    const { fed, seen, open } = fedAgent(
      { on: 'n.{name}', overflow: 'latest', capacity: 1 },
      { capacity: 10 },
    );
    const ref = await system.spawn(fed);
    ref.tell('hold');
    await settle();
    for (const name of ['a', 'b', 'c']) await system.publish(`n.${name}`, {});
    open();
    await settle();
    expect(seen).toEqual([{ name: 'a' }, { name: 'b' }, { name: 'c' }]);
    expect(system.deadLetters.stats().total).toBe(0);
  });

  it('leaves a dead letter where not even one may wait', async () => {
    const { system, settle } = await testSystem();
    const { fed, seen, open } = fedAgent({ overflow: 'latest' }, { capacity: 1, waitersMax: 0 });
    const ref = await system.spawn(fed);
    ref.tell('hold');
    await settle();
    ref.tell('take', 'other');
    await system.publish('news', 1);
    open();
    await settle();
    expect(seen).toEqual(['other']);
    expect(system.deadLetters.list().map(({ reason, payload }) => [reason, payload])).toEqual([
      ['overflow-dropped', 1],
    ]);
  });

  it('gets nothing of what still waits for room once it has unsubscribed', async () => {
    const { system, settle } = await testSystem();
    const hold = gate();
    const heard: unknown[] = [];
    const Any = topic('news', type<unknown>());
    const Reader = protocol('reader', { run: tell(), hear: tell(type<unknown>()) });
    const reader = agent(Reader, {
      mailbox: { capacity: 1 },
      on: {
        run: async (ctx) => {
          const subscription = await ctx.subscribe(Any, { as: 'hear', overflow: 'latest' });
          await hold.handle('run');
          await subscription.unsubscribe();
        },
        hear: (_ctx, message) => heard.push(message),
      },
    });
    const ref = await system.spawn(reader);
    ref.tell('run');
    await settle();
    ref.tell('hear', 'told');
    await system.publish('news', 'waits');
    expect(system.inspect(ref)).toMatchObject({ mailbox: { queued: 1, waiting: 1 } });
    hold.open();
    await settle();
    expect(heard).toEqual(['told']);
    expect(system.deadLetters.stats().total).toBe(0);
  });

  it('leaves a dead letter when it ends with the newest still waiting', async () => {
    const { system, settle, ref, open } = await fullAgent();
    await system.publish('news', 'waits');
    const stopped = system.stop(ref);
    await settle();
    open();
    await stopped;
    expect(system.deadLetters.list({ reason: 'stopped' }).map((letter) => letter.payload)).toEqual([
      'other',
      'waits',
    ]);
  });
});

describe('a subscriber that fails', () => {
  it('loses only the message it threw at, and goes on', async () => {
    const { system, settle } = await testSystem();
    const seen: unknown[] = [];
    const other: unknown[] = [];
    await system.subscribe('news', async (message) => {
      seen.push(message);
      if (message === 2) throw new Error('two');
      if (message === 3) await Promise.reject('three');
    });
    await system.subscribe('news', (message) => other.push(message));
    for (let n = 1; n <= 4; n++) await system.publish('news', n);
    await settle();
    expect([seen, other]).toEqual([
      [1, 2, 3, 4],
      [1, 2, 3, 4],
    ]);
    const failed = system.deadLetters.list({ reason: 'handler-failed' });
    expect(failed.map(({ payload, error }) => [payload, error])).toEqual([
      [2, new Error('two')],
      [3, 'three'],
    ]);
    expect(system.deadLetters.stats().total).toBe(2);
  });

  it('keeps its subscription through a restart, once', async () => {
    const { system, settle, advance } = await testSystem();
    const News = topic('news', z.number());
    const Weak = protocol('weak', { hear: tell(z.number()) });
    const heard: number[] = [];
    const weak = agent(Weak, {
      subscribe: [{ topic: News, as: 'hear' }],
      on: {
        hear: (_ctx, n) => {
          heard.push(n);
          if (n === 1) throw new Error('once');
        },
      },
    });
    const ref = await system.spawn(weak);
    await system.publish(News, {}, 1);
    await system.publish(News, {}, 2);
    await settle();
    await advance(1_000);
    await system.publish(News, {}, 3);
    await settle();
    expect(heard).toEqual([1, 2, 3]);
    expect(system.inspect(ref)?.restarts).toBe(1);
    expect(routerOf(system).size).toBe(1);
  });
});

describe('the end of a subscription', () => {
  it('is a barrier: nothing is handled after unsubscribe, what was queued is cancelled', async () => {
    const { system, settle } = await testSystem();
    const slow = gate();
    const subscription = await system.subscribe('news', slow.handle, { capacity: 1 });
    await system.publish('news', 1);
    await settle();
    await system.publish('news', 2);
    const waiting = watch(system.publish('news', 3));
    const ended = watch(subscription.unsubscribe());
    await system.publish('news', 4);
    await settle();
    // It waits for the turn that runs, and its publishers do not wait for it.
    expect([waiting.outcome, ended.outcome]).toEqual(['resolved', undefined]);
    slow.open();
    await settle();
    expect(ended.outcome).toBe('resolved');
    await subscription.unsubscribe();
    expect(slow.seen).toEqual([1]);
    expect(system.deadLetters.stats().total).toBe(0);
    expect(routerOf(system).size).toBe(0);
  });

  it('is a barrier for an agent too, and cancels only what that subscription brought', async () => {
    const { system, settle } = await testSystem();
    const News = topic('news', z.string());
    const hold = gate();
    const heard: string[] = [];
    const Reader = protocol('reader', { hear: tell(z.string()), open: tell(), close: tell(), hold: tell() });
    const reader = agent(Reader, {
      mailbox: { capacity: 3 },
      state: () => ({ end: (): Promise<void> => Promise.resolve() }),
      on: {
        open: async (ctx) => {
          const subscription = await ctx.subscribe(News, { as: 'hear' });
          ctx.state.end = () => subscription.unsubscribe();
        },
        close: (ctx) => ctx.state.end(),
        hold: () => hold.handle(0),
        hear: (_ctx, text) => heard.push(text),
      },
    });
    const ref = await system.spawn(reader);
    ref.tell('open');
    await settle();
    await system.publish(News, {}, 'in time');
    await settle();
    ref.tell('hold');
    await settle();
    await system.publish(News, {}, 'queued');
    ref.tell('hear', 'told');
    ref.tell('close', undefined, { priority: 'urgent' });
    const waiting = watch(system.publish(News, {}, 'waiting'));
    await settle();
    expect(waiting.outcome).toBeUndefined();
    hold.open();
    await settle();
    expect(waiting.outcome).toBe('resolved');
    expect(heard).toEqual(['in time', 'told']);
    // The freed slot had let 'waiting' in before 'close' ran: both were queued, and both are cancelled.
    expect(system.inspect(ref)?.counts).toMatchObject({
      accepted: 7,
      handled: 5,
      cancelled: 2,
      deadLettered: 0,
    });
    expect(routerOf(system).size).toBe(0);
  });

  it('may come before any message', async () => {
    const host = new HandHost();
    const system = await startSystem({ name: 'bare', log: false }, host);
    const News = topic('news', z.string());
    const Reader = protocol('reader', { hear: tell(z.string()) });
    const reader = agent(Reader, {
      state: async (_args: void, ctx) => {
        const subscription = await ctx.subscribe(News, { as: 'hear' });
        await subscription.unsubscribe();
      },
      on: { hear: () => undefined },
    });
    const ref = await system.spawn(reader);
    expect(system.inspect(ref)?.status).toBe('running');
    await system.publish(News, {}, 'nobody');
    expect(system.inspect(ref)?.counts.accepted).toBe(0);
  });

  it('comes with the end of an actor, whether it was fed or subscribed itself', async () => {
    const { system, settle } = await testSystem();
    const News = topic('news', z.string());
    const Reader = protocol('reader', { hear: tell(z.string()), open: tell() });
    const reader = agent(Reader, {
      subscribe: [{ topic: News, as: 'hear' }],
      on: { hear: () => undefined, open: (ctx) => ctx.subscribe(News, { as: 'hear' }) },
    });
    const ref = await system.spawn(reader);
    ref.tell('open');
    await settle();
    expect(routerOf(system).size).toBe(2);
    await system.stop(ref);
    expect(routerOf(system).size).toBe(0);
    await system.publish(News, {}, 'nobody');
    expect(system.deadLetters.stats().total).toBe(0);
  });

  it('comes with a restart for what a turn subscribed, and not for what the agent is defined with', async () => {
    const { system, settle, advance } = await testSystem();
    const News = topic('news', z.string());
    const Reader = protocol('reader', { hear: tell(z.string()), fail: tell() });
    const heard: string[] = [];
    const reader = agent(Reader, {
      state: async (_args: void, ctx): Promise<void> => {
        await ctx.subscribe(News, { as: 'hear' });
      },
      subscribe: [{ topic: News, as: 'hear' }],
      on: {
        hear: (_ctx, text) => heard.push(text),
        fail: () => {
          throw new Error('told to fail');
        },
      },
    });
    const ref = await system.spawn(reader);
    ref.tell('fail');
    await settle();
    await advance(100);
    expect(system.inspect(ref)).toMatchObject({ status: 'running', generation: 1 });
    expect(routerOf(system).size).toBe(2);
    await system.publish(News, {}, 'once each');
    await settle();
    expect(heard).toEqual(['once each', 'once each']);
  });

  it('comes with a start that fails', async () => {
    const { system } = await testSystem();
    const News = topic('news', z.string());
    const Reader = protocol('reader', { hear: tell(z.string()) });
    const reader = agent(Reader, {
      state: () => {
        throw new Error('no state');
      },
      subscribe: [{ topic: News, as: 'hear' }],
      on: { hear: () => undefined },
    });
    await expect(system.spawn(reader)).rejects.toMatchObject({ code: 'ERR_START_FAILED' });
    expect(routerOf(system).size).toBe(0);
  });

  it('cannot be missed: an actor that is ending can subscribe no more', async () => {
    const { system } = await testSystem();
    const News = topic('news', z.string());
    const Reader = protocol('reader', { hear: tell(z.string()) });
    let refused: unknown;
    const reader = agent(Reader, {
      on: { hear: () => undefined },
      onStop: async (ctx) => {
        refused = await ctx.subscribe(News, { as: 'hear' }).catch((error: unknown) => error);
      },
    });
    await system.stop(await system.spawn(reader));
    expect(refused).toMatchObject({ code: 'ERR_ACTOR_STOPPED' });
    expect(routerOf(system).size).toBe(0);
  });
});

describe('what is published without its type', () => {
  const Order = topic('order.{id}', z.object({ item: z.string(), amount: z.number().default(1) }));

  it('reaches a typed subscriber as its schema makes it', async () => {
    const { system, settle } = await testSystem();
    const typed: unknown[] = [];
    const plain: unknown[] = [];
    await system.subscribe(Order, (message) => typed.push(message));
    await system.subscribe('order.*', (message) => plain.push(message));
    await system.publish('order.7', { item: 'tea' });
    await settle();
    expect(typed).toEqual([{ item: 'tea', amount: 1, id: '7' }]);
    expect(plain).toEqual([{ item: 'tea' }]);
  });

  it('is a dead letter of each typed subscriber whose schema refuses it, and of no other', async () => {
    const { system, settle } = await testSystem();
    const typed: unknown[] = [];
    const plain: unknown[] = [];
    await system.subscribe(Order, (message) => typed.push(message));
    await system.subscribe('order.*', (message) => plain.push(message));
    await expect(system.publish('order.7', { item: 5 })).resolves.toBeUndefined();
    await settle();
    expect([typed, plain]).toEqual([[], [{ item: 5 }]]);
    const [letter] = system.deadLetters.list({ reason: 'validation' });
    expect(letter?.payload).toEqual({ item: 5 });
    expect(letter?.error).toMatchObject({
      code: 'ERR_MESSAGE_INVALID',
      details: { issues: [expect.stringMatching(/^item: /)] },
    });
    expect(system.deadLetters.stats().total).toBe(1);
  });

  it('is checked against the subscriber’s schema also when it comes through another typed topic', async () => {
    const { system, settle } = await testSystem();
    const Same = topic('order.{number}', z.strictObject({ item: z.string() }));
    const seen: unknown[] = [];
    await system.subscribe(Same, (message) => seen.push(message));
    await system.publish(Order, { id: '7' }, { item: 'tea', amount: 2 });
    await system.publish(topic('order.{x}', z.object({ item: z.string() })), { x: '8' }, { item: 'tea' });
    await settle();
    expect(seen).toEqual([{ item: 'tea', number: '8' }]);
    expect(system.deadLetters.stats().byReason).toEqual({ validation: 1 });
  });

  it('is checked by an agent that validates always, typed or not', async () => {
    const { system, settle } = await testSystem();
    const Reader = protocol('reader', {
      hear: tell(z.object({ item: z.string(), note: z.string().default('-') })),
    });
    const Loose = topic('loose', type<{ item: string; note: string }>());
    const heard: unknown[] = [];
    const reader = agent(Reader, {
      validate: 'always',
      subscribe: [{ topic: Loose, as: 'hear' }],
      on: { hear: (_ctx, message) => heard.push(message) },
    });
    await system.spawn(reader);
    await system.publish(Loose, {}, { item: 'a' } as never);
    await system.publish(Loose, {}, { item: 1 } as never);
    await system.publish('loose', { item: 'b' });
    await settle();
    expect(heard).toEqual([
      { item: 'a', note: '-' },
      { item: 'b', note: '-' },
    ]);
    expect(system.deadLetters.list().map((letter) => [letter.reason, letter.payload])).toEqual([
      ['validation', { item: 1 }],
    ]);
  });
});
