import { agent, ask, protocol, stream, tell, type } from 'troupe';
import { describe, expect, it } from 'vitest';
import { fits, shown } from '../../runtime/testing/matcher.ts';
import { kitSystem } from '../support/kit-system.ts';

const Desk = protocol('desk', {
  note: tell(type<{ id: number; text: string }>()),
  bell: tell(),
  price: ask(type<{ item: string }>(), type<number>()),
});

/** Tells the desk `n` notes, one every 100 ms by its ask timeouts, and asks it for prices. */
const Clerk = protocol('clerk', {
  start: tell(type<number>()),
  buy: ask(type<string>(), type<string>()),
});

async function start() {
  const system = await kitSystem({ seed: 1 });
  const desk = await system.probe(Desk, { name: 'desk' });
  const clerk = await system.spawn(
    agent(Clerk, {
      on: {
        start: async (ctx, n) => {
          for (let id = 1; id <= n; id++) {
            await ctx
              .ask(desk.ref, 'price', { item: `slow ${id}` }, { timeoutMs: 100 })
              .catch(() => undefined);
            ctx.tell(desk.ref, 'note', { id, text: `note ${id}` }, { priority: 'high' });
          }
        },
        buy: async (ctx, item) => `${item} for ${await ctx.ask(desk.ref, 'price', { item })}`,
      },
    }),
    { name: 'clerk' },
  );
  return { system, desk, clerk };
}

describe('a probe', () => {
  it('waits in virtual time for what it expects, no longer than it must, and takes each message once', async () => {
    const test = await start();
    const { system, desk, clerk } = test;
    clerk.tell('start', 2);
    const first = await desk.expect('note');
    expect(first).toMatchObject({ name: 'note', payload: { id: 1 }, priority: 'high', atMs: 100 });
    expect(first.sender).toBe(clerk.address);
    expect(system.now).toBe(100);
    expect((await desk.expect('note', { id: 2 })).payload.text).toBe('note 2');
    await expect(desk.expect('note', undefined, { withinMs: 500 })).rejects.toThrow(
      'Received 2 (and 2 taken',
    );
    expect(system.now).toBe(700);
    expect(desk.messages.map(({ name }) => name)).toEqual(['price', 'note', 'price', 'note']);
  });

  it('answers streams from the moment it is told how, by a list or by a generator, and rejects those before', async () => {
    const Teller = protocol('teller', {
      tell: stream(type<number>(), type<string>(), type<number>()),
      bell: tell(),
    });
    const system = await kitSystem({ seed: 1 });
    const teller = await system.probe(Teller);
    const readAll = async (): Promise<unknown[]> => {
      const parts = teller.ref.stream('tell', 3);
      const got: unknown[] = [];
      for await (const part of parts) got.push(part);
      return [...got, await parts.result];
    };
    await expect(readAll()).rejects.toMatchObject({
      code: 'ERR_MESSAGE_REJECTED',
      cause: { message: expect.stringContaining('streamTo') as string },
    });
    teller.streamTo('tell', ['a', 'b'], 2);
    expect([await readAll(), await readAll()]).toEqual([
      ['a', 'b', 2],
      ['a', 'b', 2],
    ]);
    teller.streamTo('tell', async function* (count) {
      yield `${count} of them`;
      return count;
    });
    expect(await readAll()).toEqual(['3 of them', 3]);
    teller.ref.tell('bell');
    await teller.expect('bell');
    expect(teller.messages.map(({ name }) => name)).toEqual(['tell', 'tell', 'tell', 'tell', 'bell']);
    const loose = teller as unknown as { streamTo(name: string, parts: unknown): void };
    expect(() => loose.streamTo('bell', [])).toThrow('one of tell');
    expect(() => loose.streamTo('tell', 'a')).toThrow('a list, or an async * function');
  });

  it('says what it received instead', async () => {
    const test = await start();
    const { desk } = test;
    desk.ref.tell('note', { id: 3, text: 'three' });
    desk.ref.tell('bell');
    const failing = desk.expect('note', { id: 4 }, { withinMs: 0 });
    await expect(failing).rejects.toThrow(
      /Expected 'note' that fits \{"id":4\} within 0 ms. Received 2:\n {2}note \{"id":3,"text":"three"\} from outside at 0 ms\n {2}bell from outside/,
    );
    await expect(failing).rejects.toMatchObject({ code: 'ERR_TEST_FAILED', details: { seed: 1 } });
  });

  it('leaves what does not fit for later', async () => {
    const test = await start();
    const { desk } = test;
    for (const id of [1, 2, 3]) desk.ref.tell('note', { id, text: 'x' });
    expect((await desk.expect('note', ({ id }) => id > 1)).payload.id).toBe(2);
    expect((await desk.expect('note', { text: expect.any(String) })).payload.id).toBe(1);
    expect((await desk.expect('note')).payload.id).toBe(3);
    await desk.expectNone();
  });

  it('lets virtual time pass while nothing must come', async () => {
    const test = await start();
    const { system, desk, clerk } = test;
    desk.alwaysReplyTo('price', 1);
    await desk.expectNone({ forMs: 60_000 });
    expect(system.now).toBe(60_000);
    clerk.tell('start', 1);
    await desk.expectNone({ name: 'bell' });
    await expect(desk.expectNone()).rejects.toThrow('Expected no message for 0 ms. Received 2');
  });

  it('answers asks: the one that waits, the next one, every one', async () => {
    const test = await start();
    const { desk, clerk } = test;
    const waiting = clerk.ask('buy', 'tea');
    await desk.expect('price', { item: 'tea' });
    desk.replyTo('price', 3);
    expect(await waiting).toBe('tea for 3');
    desk.replyTo('price', ({ item }) => item.length);
    desk.alwaysReplyTo('price', 7);
    expect(await clerk.ask('buy', 'coffee')).toBe('coffee for 6');
    expect(await clerk.ask('buy', 'milk')).toBe('milk for 7');
  });

  it('lets asks fail: as told, and when its answer throws', async () => {
    const test = await start();
    const { desk } = test;
    desk.rejectTo('price', new Error('sold out'));
    await expect(desk.ref.ask('price', { item: 'tea' })).rejects.toMatchObject({
      code: 'ERR_ACTOR_FAILED',
      cause: { message: 'sold out' },
    });
    const answer = (): number => {
      throw new Error('no price');
    };
    desk.replyTo('price', answer);
    await expect(desk.ref.ask('price', { item: 'tea' })).rejects.toMatchObject({
      cause: { message: 'no price' },
    });
  });

  it('hears of the end of whom it watches', async () => {
    const test = await start();
    const { system, desk, clerk } = test;
    desk.watch(clerk);
    await expect(desk.expectTerminated(clerk, { withinMs: 10 })).rejects.toThrow('Word came of nobody');
    await system.stop(clerk, 'normal');
    expect(await desk.expectTerminated(clerk)).toMatchObject({ reason: 'normal', existenceConfirmed: true });
  });

  it('waits together with others: their expectations may be awaited at once', async () => {
    const test = await start();
    const { system, desk, clerk } = test;
    const other = await system.probe(Desk);
    clerk.tell('start', 3);
    const [one, two, none] = await Promise.all([
      desk.expect('note', { id: 1 }),
      desk.expect('note', { id: 3 }),
      other.expect('bell', undefined, { withinMs: 250 }).catch((error: unknown) => String(error)),
    ]);
    expect([one.atMs, two.atMs]).toEqual([100, 300]);
    expect(none).toContain('Received nothing.');
  });

  it('stands where its name says', async () => {
    const test = await start();
    test.system.ref(Desk, 'desk').tell('bell');
    await test.desk.expect('bell');
  });

  it('refuses names that its protocol does not have, and options that there are not', async () => {
    const test = await start();
    const { system, desk } = test;
    const refused = { code: 'ERR_OPTION_INVALID' };
    await expect(desk.expect('bill' as 'bell')).rejects.toMatchObject(refused);
    await expect(desk.expectNone({ name: 'bill' })).rejects.toMatchObject(refused);
    await expect(desk.expect('bell', undefined, { within: 1 } as never)).rejects.toMatchObject(refused);
    await expect(desk.expect('bell', undefined, { withinMs: -1 })).rejects.toMatchObject(refused);
    expect(() => desk.replyTo('bell' as 'price', 1)).toThrow('one of price');
    expect(() => desk.alwaysReplyTo('x' as 'price', 1)).toThrow('one of price');
    expect(() => desk.rejectTo('x' as 'price', 1)).toThrow('one of price');
    expect(() => desk.watch({} as never)).toThrow('a ref of this system');
    await expect(system.probe({} as never)).rejects.toMatchObject(refused);
    await expect(system.probe(Desk, { names: 'x' } as never)).rejects.toMatchObject(refused);
  });
});

describe('a matcher', () => {
  it.each([
    [1, 1, true],
    [Number.NaN, Number.NaN, true],
    [1, '1', false],
    [{ a: 1 }, { a: 1, b: 2 }, true],
    [{ a: { b: 1 } }, { a: { b: 1, c: 2 } }, true],
    [{ a: undefined }, {}, false],
    [{ a: 1 }, undefined, false],
    [[1, 2], [1, 2], true],
    [[1], [1, 2], false],
    [[{ a: 1 }], [{ a: 1, b: 2 }], true],
    [{ length: 1 }, [1], true],
    [null, null, true],
    [null, {}, false],
    [new Date(1), new Date(1), true],
    [new Date(1), new Date(2), false],
    [expect.stringContaining('b'), 'abc', true],
    [{ a: expect.any(Number) }, { a: 'x' }, false],
    [(value: number) => value > 1, 2, true],
    [() => 'truthy', 2, false],
  ])('%j against %j: %s', (matcher, value, answer) => {
    expect(fits(matcher, value)).toBe(answer);
  });

  it('shows any value shortly', () => {
    const circle: Record<string, unknown> = {};
    circle['self'] = circle;
    expect([shown(circle), shown('x'), shown({ a: 1n, f: shown })]).toEqual([
      'an object',
      "'x'",
      '{"a":"1","f":"a function"}',
    ]);
    expect(shown({ text: 'x'.repeat(1_000) })).toHaveLength(123);
  });
});
