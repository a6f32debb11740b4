import { agent, ask, createSystem, protocol, supervisor, tell, topic, type } from 'troupe';
import { describe, expect, it, vi } from 'vitest';
import { testSystem } from '../support/test-system.ts';

const Desk = protocol('desk', {
  note: tell(type<string>()),
  read: ask(type<void>(), type<readonly string[]>()),
});

const desk = agent(Desk, {
  state: (args?: { readonly first: string }): string[] => (args === undefined ? [] : [args.first]),
  on: { note: (ctx, text) => ctx.state.push(text), read: (ctx) => ctx.state },
});

describe('a system', () => {
  it('starts its tree and shows the refs by the names of the tree', async () => {
    const root = supervisor({
      children: {
        front: desk.child({ args: { first: 'hello' } }),
        back: supervisor({ children: { left: desk.child() } }),
        absent: false,
      },
    });
    const { system } = await testSystem({ root });
    expect(Object.keys(system.refs)).toEqual(['front', 'back']);
    expect(await system.refs.front.ask('read')).toEqual(['hello']);
    expect(await system.refs.back.left.ask('read')).toEqual([]);
    expect(system.refs.back.left.address).toMatch(/^.root.back.left$/);
    expect(system.tree()).toMatchObject({
      name: 'test',
      status: 'running',
      children: [
        {
          name: 'root',
          children: [
            { name: 'front', kind: 'agent' },
            { name: 'back', children: [{ name: 'left' }] },
          ],
        },
        { name: 'user', children: [] },
        { name: 'system', children: [] },
      ],
    });
  });

  it('rejects with the failure of the child that could not start, after ending those before it', async () => {
    const ended: string[] = [];
    const good = agent(Desk, {
      on: { note: () => undefined, read: () => [] },
      onStop: () => ended.push('good'),
    });
    const bad = agent(Desk, {
      state: () => Promise.reject(new Error('no ink')),
      on: { note: () => undefined, read: () => [] },
    });
    const root = supervisor({ children: { good: good.child(), bad: bad.child() } });
    await expect(createSystem({ name: 'test', root, log: false })).rejects.toMatchObject({
      code: 'ERR_START_FAILED',
      cause: new Error('no ink'),
    });
    expect(ended).toEqual(['good']);
  });

  it('gives an actor that is spawned without a name one of its own', async () => {
    const { system } = await testSystem();
    const refs = await Promise.all([
      system.spawn(desk),
      system.spawn(desk),
      system.spawn(desk, { name: 'desk' }),
    ]);
    expect(new Set(refs.map((ref) => ref.address)).size).toBe(3);
    for (const ref of refs) expect(await system.ref(Desk, ref.toJSON()).ask('read')).toEqual([]);
    expect(JSON.parse(JSON.stringify({ ref: refs[2] }))).toEqual({ ref: refs[2]?.address });
    const shown = refs[2] as unknown as { toString(): string }; // in a text, as untyped code and logs may do it
    expect(shown.toString()).toBe(refs[2]?.address);
  });

  it('finds actors that actors spawned, by their path, and ends them with their parent', async () => {
    const Parent = protocol('parent', { raise: ask(type<void>(), type<string>()) });
    const parent = agent(Parent, {
      on: { raise: async (ctx) => (await ctx.spawn(desk, { name: 'child' })).address },
    });
    const { system } = await testSystem();
    const ref = await system.spawn(parent, { name: 'parent' });
    const address = await ref.ask('raise');
    expect(address).toMatch(/^\/user\/parent\/child#\d+$/);
    expect(await system.ref(Desk, 'parent/child').ask('read')).toEqual([]);
    expect(await system.ref(Desk, '/user/parent/child').ask('read')).toEqual([]);
    await system.stop(ref);
    expect(system.ref(Desk, address).tell('note', 'late')).toBe('actor-unknown');
    expect(system.inspect(system.ref(Desk, 'parent/child'))).toBeUndefined();
  });

  it('suspends and resumes: as many resumes as suspends', async () => {
    const { system, settle } = await testSystem();
    const ref = await system.spawn(desk);
    system.suspend(ref);
    system.suspend(ref);
    ref.tell('note', 'a');
    system.resume(ref);
    await settle();
    expect(system.inspect(ref)).toMatchObject({ status: 'suspended', mailbox: { queued: 1 } });
    system.resume(ref);
    await settle();
    expect(system.inspect(ref)).toMatchObject({ status: 'running', counts: { accepted: 1, handled: 1 } });
    // One resume too many does not make the next suspend void.
    system.resume(ref);
    system.suspend(ref);
    expect(system.inspect(ref)?.status).toBe('suspended');
  });

  it('tells its log to the function it is given, and to the console unless told otherwise', async () => {
    const Talker = protocol('talker', { talk: tell() });
    const talker = agent(Talker, { on: { talk: (ctx) => ctx.log.warn('a word', { n: 1 }) } });
    const { system, logs, settle } = await testSystem();
    const ref = await system.spawn(talker);
    ref.tell('talk');
    await settle();
    expect(logs).toMatchObject([{ level: 'warn', address: ref.address, text: 'a word', fields: { n: 1 } }]);
    const written = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    const said = ['log', 'info', 'warn', 'error', 'debug'] as const;
    const consoles = said.map((name) => vi.spyOn(console, name).mockReturnValue(undefined));
    for (const [log, lines] of [
      [undefined, 1],
      [false, 0],
    ] as const) {
      const plain = await createSystem({ name: 'plain', log });
      (await plain.spawn(talker)).tell('talk');
      await plain.shutdown({ drainMs: 1_000 });
      const calls = [written, ...consoles].reduce((sum, spy) => sum + spy.mock.calls.length, 0);
      expect(calls).toBe(lines);
      for (const spy of [written, ...consoles]) spy.mockClear();
    }
  });

  it('writes one line to the console whatever was thrown, without what steers a terminal', async () => {
    const Talker = protocol('talker', { fail: tell(type<{ with: unknown }>()) });
    const talker = agent(Talker, {
      decide: () => 'resume',
      on: {
        fail: (_, { with: thrown }) => {
          throw thrown;
        },
      },
    });
    const lines = vi.spyOn(console, 'error').mockReturnValue(undefined);
    const unreadable = Object.defineProperty(new Error(), 'message', {
      get: () => {
        throw new Error('do not look');
      },
    });
    const system = await createSystem({ name: 'plain' });
    const ref = await system.spawn(talker, { name: 'talker' });
    for (const thrown of ['two\nlines \u001b[31mred', unreadable, Object.create(null)])
      ref.tell('fail', { with: thrown });
    await system.subscribe('mail.in', () => {
      throw new Error('spam');
    });
    await system.publish(topic('mail.in', type<number>()), {}, 1);
    await system.shutdown({ drainMs: 1_000 });
    const said = lines.mock.calls.map(([line]) => String(line));
    lines.mockRestore();
    expect(said.slice(0, 3).map((line) => line.replace(/.*handled 'fail' /, ''))).toEqual([
      'error=two\\nlines \\u001b[31mred',
      'error=a value that cannot be read',
      'error=a value that cannot be read',
    ]);
    expect(said[3]).toContain("failed while it handled a message of topic 'mail.in' error=Error: spam");
  });

  it('tells events to listeners until they leave; one that throws disturbs nobody', async () => {
    const { system, events } = await testSystem();
    const heard: string[] = [];
    system.events.subscribe(() => {
      throw new Error('a bad listener');
    });
    const leave = system.events.subscribe((event) => heard.push(event.type));
    await system.spawn(desk);
    leave();
    await system.spawn(desk);
    expect(heard).toEqual(['actor-started']);
    expect(events.map((event) => event.type)).toEqual(['actor-started', 'actor-started']);
  });
});

describe('dead letters', () => {
  it('are listed by reason, address and message, discarded by id, and counted', async () => {
    const { system } = await testSystem({ deadLettersMax: 3 });
    const nobody = system.ref(Desk, 'nobody');
    const gone = await system.spawn(desk);
    await system.stop(gone);
    nobody.tell('note', '1');
    nobody.tell('note', '2');
    gone.tell('note', '3');
    await expect(nobody.ask('read')).rejects.toMatchObject({ code: 'ERR_ACTOR_UNKNOWN' });
    const payloads = (filter?: object) => system.deadLetters.list(filter).map((letter) => letter.payload);
    expect(payloads()).toEqual(['2', '3', undefined]);
    expect(payloads({ reason: 'stopped' })).toEqual(['3']);
    expect(payloads({ address: 'nobody' })).toEqual(['2', undefined]);
    expect(payloads({ address: 'nobody', message: 'note' })).toEqual(['2']);
    const [first] = system.deadLetters.list();
    expect(system.deadLetters.discard(first?.id ?? '')).toBe(true);
    expect(system.deadLetters.discard(first?.id ?? '')).toBe(false);
    expect(system.deadLetters.stats()).toEqual({
      total: 4,
      kept: 2,
      evicted: 1,
      discarded: 1,
      replayed: 0,
      byReason: { 'actor-unknown': 3, stopped: 1 },
      byTopic: [],
      otherTopics: 0,
    });
  });

  it('are given to those who iterate, from now on, until the system ends', async () => {
    const { system } = await testSystem();
    const nobody = system.ref(Desk, 'nobody');
    nobody.tell('note', 'before');
    const read: unknown[] = [];
    const reading = (async () => {
      for await (const letter of system.deadLetters) read.push(letter.payload);
    })();
    nobody.tell('note', '1');
    await Promise.resolve();
    nobody.tell('note', '2');
    await system.shutdown();
    await reading;
    expect(read).toEqual(['1', '2']);
  });
});

describe('shutdown', () => {
  it('is one run for any number of calls, ends everything, and refuses what comes after', async () => {
    const ended: string[] = [];
    const ending = (name: string) =>
      agent(Desk, { on: { note: () => undefined, read: () => [] }, onStop: () => ended.push(name) });
    const root = supervisor({
      children: { first: ending('first').child(), second: ending('second').child() },
    });
    const { system } = await testSystem({ root });
    const spawned = await system.spawn(ending('spawned'));
    const once = system.shutdown();
    expect(system.shutdown({ drainMs: 5 })).toBe(once);
    await once;
    expect(ended).toEqual(['spawned', 'second', 'first']);
    expect([spawned.tell('note', 'late'), system.refs.first.tell('note', 'late')]).toEqual([
      'stopped',
      'stopped',
    ]);
    await expect(system.spawn(desk)).rejects.toMatchObject({ code: 'ERR_ACTOR_STOPPED' });
    await expect(system.publish('news', 1)).rejects.toMatchObject({ code: 'ERR_ACTOR_STOPPED' });
    expect(ended).toHaveLength(3);
  });

  it('lets mailboxes drain for drainMs, and no longer', async () => {
    const { system, advance, settle } = await testSystem();
    const Slow = protocol('slow', { work: tell(type<number>()) });
    const done: number[] = [];
    const held: (() => void)[] = [];
    const slow = agent(Slow, {
      on: {
        work: (_ctx, n) =>
          new Promise<void>((resolve) => {
            held.push(() => {
              done.push(n);
              resolve();
            });
          }),
      },
    });
    const ref = await system.spawn(slow);
    for (const n of [1, 2, 3]) ref.tell('work', n);
    await settle();
    const ended = system.shutdown({ drainMs: 100 });
    held.shift()?.();
    await advance(50);
    held.shift()?.();
    await advance(49);
    expect(done).toEqual([1, 2]);
    expect(system.inspect(ref)?.status).toBe('running');
    await advance(10);
    // The third turn runs; it may finish, and nothing after it begins.
    expect(system.inspect(ref)?.status).toBe('stopping');
    held.shift()?.();
    await ended;
    expect(done).toEqual([1, 2, 3]);
    expect(system.deadLetters.stats().total).toBe(0);
  });

  it('runs at the end of an await using', async () => {
    const ended: string[] = [];
    const ending = agent(Desk, {
      on: { note: () => undefined, read: () => [] },
      onStop: () => ended.push('ended'),
    });
    const system = await createSystem({ name: 'test', log: false });
    await system.spawn(ending);
    // What `await using` calls. (The syntax itself is beyond a tool of the gate.)
    await system[Symbol.asyncDispose]();
    expect(ended).toEqual(['ended']);
  });

  it('keeps nothing running', async () => {
    const { system, clock, kernel } = await testSystem({ order: 'engine' });
    const ref = await system.spawn(desk);
    const subscription = await system.subscribe('news', () => undefined);
    await ref.ask('read');
    await system.publish('news', 1);
    await subscription.unsubscribe();
    await system.shutdown();
    await new Promise<void>((resolve) => {
      setImmediate(resolve);
    });
    expect([clock.pending, kernel.timeouts.size, kernel.asksInFlight]).toEqual([0, 0, 0]);
  });
});
