// Whatever a user can get wrong at run time has one defined result: an error at once that names the mistake, a verdict, or a
// dead letter. The options of agent(...), child(...) and supervisor(...) have tests beside their own files.

import {
  agent,
  ask,
  createSystem,
  isTroupeError,
  protocol,
  supervisor,
  TroupeError,
  tell,
  topic,
  type,
} from 'troupe';
import { afterEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { System } from '../../src/protocol/system.ts';
import { testSystem } from '../support/test-system.ts';

const Desk = protocol('desk', {
  note: tell(z.object({ text: z.string(), tag: z.string().default('none') })),
  clear: tell(),
  read: ask(z.object({ from: z.number() }), z.array(z.string())),
});
const News = topic('news.{place}', z.object({ text: z.string() }));

function deskAgent(validate: 'boundary' | 'always' = 'boundary') {
  const taken: unknown[] = [];
  const desk = agent(Desk, {
    validate,
    on: { note: (_ctx, note) => taken.push(note), clear: () => taken.push('clear'), read: () => [] },
  });
  return { desk, taken };
}

/** What untyped code may hand over: every call takes anything. */
type Loose = { readonly [name: string]: (...parameters: unknown[]) => unknown };
const loose = (value: unknown): Loose => value as Loose;

/** What a call throws or rejects with; the test fails if it does neither. */
async function refusal(run: () => unknown): Promise<TroupeError> {
  let given: unknown;
  try {
    given = await run();
  } catch (error) {
    if (error instanceof TroupeError) return error;
    throw error;
  }
  throw new Error(`it was accepted and gave ${String(given)}`);
}

/** `option: given` of an `ERR_OPTION_INVALID`, after a look at its message. */
async function refusedOption(run: () => unknown): Promise<string> {
  const error = await refusal(run);
  if (!isTroupeError(error, 'ERR_OPTION_INVALID')) throw error;
  const { option, expected, given } = error.details;
  expect(error.message).toBe(`Option ${option} must be ${expected}; it was given ${given}.`);
  expect(expected.length).toBeGreaterThan(3);
  expect(error.message.length).toBeLessThan(400);
  return `${option}: ${given}`;
}

const extra: System[] = [];
afterEach(async () => {
  for (const system of extra.splice(0)) await system.shutdown();
});

describe('options of createSystem', () => {
  it.each([
    [undefined, 'system options: null'],
    [null, 'system options: null'],
    ['mailroom', "system options: 'mailroom'"],
    [{}, 'name: undefined'],
    [{ name: '' }, "name: ''"],
    [{ name: 'a b' }, "name: 'a b'"],
    [{ name: 'a/b' }, "name: 'a/b'"],
    [{ name: 'x'.repeat(129) }, `name: '${'x'.repeat(60)}...' (129 characters)`],
    [{ name: 5 }, 'name: 5'],
    [{ name: 'a', root: {} }, 'root: an object'],
    [{ name: 'a', root: 5 }, 'root: 5'],
    [{ name: 'a', root: { kind: 'supervisor', children: {} } }, 'root: an object'],
    [{ name: 'a', root: deskAgent().desk }, 'root: an object'],
    [{ name: 'a', deadLettersMax: 0 }, 'deadLettersMax: 0'],
    [{ name: 'a', replaysMax: -1 }, 'replaysMax: -1'],
    [{ name: 'a', asksInFlightMax: 1.5 }, 'asksInFlightMax: 1.5'],
    [{ name: 'a', asksInFlightMax: '5' }, "asksInFlightMax: '5'"],
    [{ name: 'a', log: true }, 'log: true'],
    [{ name: 'a', log: null }, 'log: null'],
    [{ name: 'a', brokers: 'redis://' }, "system options.brokers: 'redis://'"],
    [{ name: 'a', broker: 'redis://' }, "broker: 'redis://'"],
    [{ name: 'a', node: 'b' }, "node: 'b'"],
  ])('refuses %j', async (options, refused) => {
    expect(await refusedOption(() => createSystem(options as never))).toBe(refused);
  });
});

describe('options of tell, send and ask', () => {
  const cases: readonly (readonly [object | null | number | string, string])[] = [
    [null, ' options: null'],
    [5, ' options: 5'],
    ['high', " options: 'high'"],
    [[], ' options: an array of 0'],
    [{ priorty: 'high' }, " options.priorty: 'high'"],
    [{ priority: 'hihg' }, "priority: 'hihg'"],
    [{ priority: null }, 'priority: null'],
    [{ priority: ['high'] }, 'priority: an array of 1'],
    [{ priority: 10n }, 'priority: 10'],
    [{ priority: 'constructor' }, "priority: 'constructor'"],
    [{ headers: 5 }, 'headers: 5'],
    [{ headers: null }, 'headers: null'],
    [{ headers: ['a'] }, 'headers: an array of 1'],
    [{ headers: { a: 5 } }, 'headers.a: 5'],
    [{ headers: { a: undefined } }, 'headers.a: undefined'],
    [{ headers: new Map([['a', 'b']]) }, 'headers: an object'],
    [
      { headers: Object.fromEntries(Array.from({ length: 65 }, (_, n) => [`h${n}`, 'x'])) },
      'headers: an array of 65',
    ],
    [{ headers: { a: 'x'.repeat(8_192) } }, 'headers: 8193'],
  ];
  const ttl: typeof cases = [
    [{ ttlMs: -1 }, 'ttlMs: -1'],
    [{ ttlMs: Number.NaN }, 'ttlMs: NaN'],
    [{ ttlMs: '5' }, "ttlMs: '5'"],
    [{ ttlMs: 2 ** 31 }, 'ttlMs: 2147483648'],
  ];
  const waiting: typeof cases = [
    [{ timeoutMs: 0 }, 'timeoutMs: 0'],
    [{ timeoutMs: -1 }, 'timeoutMs: -1'],
    [{ timeoutMs: Number.POSITIVE_INFINITY }, 'timeoutMs: Infinity'],
    [{ timeoutMs: '5s' }, "timeoutMs: '5s'"],
    [{ timeoutMs: null }, 'timeoutMs: null'],
    [{ signal: {} }, 'signal: an object'],
    [{ signal: new AbortController() }, 'signal: an object'],
    [{ signal: null }, 'signal: null'],
  ];
  const refuses = (refused: string, verb: string): string =>
    refused.startsWith(' ') ? `${verb}${refused}` : refused;

  it.each([
    [
      'tell',
      'note',
      [
        ...cases,
        ...ttl,
        [{ timeoutMs: 5 }, ' options.timeoutMs: 5'],
        [{ signal: undefined }, ' options.signal: undefined'],
      ],
    ],
    ['send', 'note', [...cases, ...ttl, ...waiting]],
    ['ask', 'read', [...cases, ...waiting, [{ ttlMs: 5 }, ' options.ttlMs: 5']]],
  ] as const)(
    'are refused by %s, and nothing is delivered, from outside and in a turn, to a live actor and to none',
    async (verb, name, rows) => {
      const { system, settle } = await testSystem();
      const { desk, taken } = deskAgent();
      const ref = await system.spawn(desk);
      const Caller = protocol('caller', { run: ask(type<(call: Loose) => unknown>(), type<string>()) });
      const caller = await system.spawn(
        agent(Caller, { on: { run: (ctx, use) => refusedOption(() => use(loose(ctx))) } }),
      );
      const payload = { text: 'x', from: 1 };
      for (const [options, refused] of rows) {
        const expected = refuses(refused, verb);
        expect(await refusedOption(() => loose(ref)[verb]?.(name, payload, options))).toBe(expected);
        expect(
          await refusedOption(() => loose(system.ref(Desk, 'nobody'))[verb]?.(name, payload, options)),
        ).toBe(expected);
        expect(await caller.ask('run', (ctx) => ctx[verb]?.(ref, name, payload, options))).toBe(expected);
      }
      await settle();
      expect(taken).toEqual([]);
      expect(system.inspect(ref)?.counts.accepted).toBe(0);
      expect(system.deadLetters.stats().total).toBe(0);
    },
  );

  it('are taken at their bounds, and headers are a copy', async () => {
    const { system, settle } = await testSystem();
    const seen: unknown[] = [];
    const Echo = protocol('echo', { hear: tell(), answer: ask(type<void>(), type<number>()) });
    const ref = await system.spawn(
      agent(Echo, { on: { hear: (ctx) => seen.push(ctx.message.headers), answer: () => 1 } }),
    );
    const headers: Record<string, string> = { a: 'x'.repeat(8_191) };
    expect(ref.tell('hear', undefined, { headers, ttlMs: 0, priority: 'background' })).toBe('accepted');
    headers['a'] = 'changed';
    await settle();
    const many = Object.fromEntries(Array.from({ length: 64 }, (_, n) => [`h${n}`, 'x']));
    await ref.send('hear', undefined, {
      headers: many,
      ttlMs: Number.POSITIVE_INFINITY,
      timeoutMs: 2 ** 31 - 1,
    });
    const nothing = { priority: undefined, headers: undefined, signal: undefined, timeoutMs: undefined };
    await ref.send('hear', undefined, nothing);
    expect(await ref.ask('answer', undefined, { timeoutMs: 0.5 })).toBe(1);
    expect(seen.map((given) => Object.values(given as object).join('').length)).toEqual([8_191, 64, 0]);
    expect(seen[0]).not.toHaveProperty('a', 'changed');
    expect(seen[0]).not.toBe(headers);
  });
});

describe('options of publish and subscribe', () => {
  it('are refused by publish, plain and typed, and nobody gets anything', async () => {
    const { system, settle } = await testSystem();
    const seen: unknown[] = [];
    await system.subscribe('#', (message) => seen.push(message));
    const rows: readonly (readonly [unknown, string])[] = [
      [null, 'publish options: null'],
      ['critical', "publish options: 'critical'"],
      [{ confirm: 'handled' }, "publish options.confirm: 'handled'"],
      [{ priority: 1 }, 'priority: 1'],
      [{ ttlMs: -1 }, 'ttlMs: -1'],
      [{ headers: { a: 1 } }, 'headers.a: 1'],
      [{ timeoutMs: 0 }, 'timeoutMs: 0'],
      [{ signal: 'x' }, "signal: 'x'"],
    ];
    for (const [options, refused] of rows) {
      expect(await refusedOption(() => loose(system)['publish']?.('news.here', {}, options))).toBe(refused);
      expect(
        await refusedOption(() => loose(system)['publish']?.(News, { place: 'here' }, {}, options)),
      ).toBe(refused);
    }
    for (const [given, refused] of [
      [5, 'topic: 5'],
      [undefined, 'topic: undefined'],
      [{ template: 'news.{place}' }, 'topic: an object'],
      [{ ...News }, 'topic: an object'],
      [News.where({ place: 'here' }), 'topic: an object'],
    ] as const) {
      expect(await refusedOption(() => loose(system)['publish']?.(given, {}, {}))).toBe(refused);
    }
    expect(await refusedOption(() => loose(system)['publish']?.(News, 'here', {}))).toBe(
      "publish: params: 'here'",
    );
    await settle();
    expect(seen).toEqual([]);
  });

  it.each<[unknown[], string]>([
    [['news.#', undefined], 'subscribe: handler: null'],
    [['news.#', 'print'], "subscribe: handler: 'print'"],
    [[5, () => undefined], 'topic: 5'],
    [[{ ...News }, () => undefined], 'topic: an object'],
    [[{ pattern: 'a', topic: {} }, () => undefined], 'topic: an object'],
    [['news.#', () => undefined, null], 'subscribe options: null'],
    [['news.#', () => undefined, { groups: 'g' }], "subscribe options.groups: 'g'"],
    [['news.#', () => undefined, { group: 'a b' }], "group: 'a b'"],
    [['news.#', () => undefined, { group: '' }], "group: ''"],
    [['news.#', () => undefined, { concurrency: 0 }], 'concurrency: 0'],
    [['news.#', () => undefined, { concurrency: 10_001 }], 'concurrency: 10001'],
    [['news.#', () => undefined, { retry: 3 }], 'retry: 3'],
    [['news.#', () => undefined, { retry: { max: 3 } }], 'retry.max: 3'],
    [['news.#', () => undefined, { retry: { attemptsMax: 0 } }], 'retry.attemptsMax: 0'],
    [['news.#', () => undefined, { retry: { backoff: { minMs: -1 } } }], 'retry.backoff.minMs: -1'],
    [['news.#', () => undefined, { turnTimeoutMs: 0 }], 'turnTimeoutMs: 0'],
    [['news.#', () => undefined, { overflow: 'dropOldest' }], "overflow: 'dropOldest'"],
    [['news.#', () => undefined, { capacity: 0 }], 'capacity: 0'],
    [['news.#', () => undefined, { capacity: Number.POSITIVE_INFINITY }], 'capacity: Infinity'],
  ])('are refused by subscribe: %j', async (parameters, refused) => {
    const { system } = await testSystem();
    expect(await refusedOption(() => loose(system)['subscribe']?.(...parameters))).toBe(refused);
    expect(system.tree().children.find((top) => top.name === 'system')?.children).toEqual([]);
  });

  it.each<[unknown[], string]>([
    [[5], 'topic: 5'],
    [['news.#', null], 'messages options: null'],
    [['news.#', { windows: 1 }], 'messages options.windows: 1'],
    [['news.#', { window: 0 }], 'window: 0'],
    [['news.#', { overflow: 'drop' }], "overflow: 'drop'"],
    [['news.#', { signal: {} }], 'signal: an object'],
  ])('are refused by messages: %j', async (parameters, refused) => {
    const { system } = await testSystem();
    expect(await refusedOption(() => loose(system)['messages']?.(...parameters))).toBe(refused);
  });

  it('are refused by ctx.subscribe', async () => {
    const { system } = await testSystem();
    const Caller = protocol('caller', {
      run: ask(type<readonly unknown[]>(), type<string>()),
      hear: tell(type<object>()),
    });
    const caller = await system.spawn(
      agent(Caller, {
        on: {
          run: (ctx, parameters) => refusedOption(() => loose(ctx)['subscribe']?.(...parameters)),
          hear: () => undefined,
        },
      }),
    );
    for (const [parameters, refused] of [
      [[News], 'subscribe options: null'],
      [[News, {}], 'subscribe: as: undefined'],
      [[News, { as: 'run' }], "subscribe: as: 'run'"],
      [[News, { as: 'constructor' }], "subscribe: as: 'constructor'"],
      [[News, { as: 'hear', overflow: 'drop-oldest' }], "overflow: 'drop-oldest'"],
      [[News, { as: 'hear', capacity: -1 }], 'capacity: -1'],
      [[News, { as: 'hear', priority: 'high' }], "subscribe options.priority: 'high'"],
      [[{ ...News }, { as: 'hear' }], 'topic: an object'],
    ] as const) {
      expect(await caller.ask('run', parameters)).toBe(refused);
    }
  });

  it('name a pattern that is none', async () => {
    const { system } = await testSystem();
    for (const pattern of [
      '',
      'a..b',
      '#.a',
      'a b',
      Array(9).fill('*').join('.'),
      `${'x'.repeat(60)}.`.repeat(4),
    ]) {
      const error = await refusal(() => system.subscribe(pattern, () => undefined));
      expect(error).toMatchObject({ code: 'ERR_TOPIC_INVALID' });
      expect(error.message.length).toBeLessThan(400);
    }
  });
});

describe('options of spawn', () => {
  it.each([
    [['desk'], "spawn: agent: 'desk'"],
    [[{ kind: 'agent' }], 'spawn: agent: an object'],
    [[Desk], 'spawn: agent: an object'],
    [[undefined], 'spawn: agent: undefined'],
    [[deskAgent().desk, null], 'spawn options: null'],
    [[deskAgent().desk, { name: '' }], "spawn: name: ''"],
    [[deskAgent().desk, { name: '$1' }], "spawn: name: '$1'"],
    [[deskAgent().desk, { name: 'a/b' }], "spawn: name: 'a/b'"],
    [[deskAgent().desk, { name: 5 }], 'spawn: name: 5'],
    [[deskAgent().desk, { restart: 'always' }], "spawn.restart: 'always'"],
    [[deskAgent().desk, { shutdownMs: -1 }], 'spawn.shutdownMs: -1'],
    [[deskAgent().desk, { backoff: { minMs: -1 } }], 'spawn.backoff.minMs: -1'],
    [[deskAgent().desk, { arguments: [] }], 'spawn options.arguments: an array of 0'],
  ])('refuses %j, and starts nothing', async (parameters, refused) => {
    const { system } = await testSystem();
    expect(await refusedOption(() => loose(system)['spawn']?.(...parameters))).toBe(refused);
    expect(system.tree().children.find((top) => top.name === 'user')?.children).toEqual([]);
    const Parent = protocol('parent', { raise: ask(type<void>(), type<string>()) });
    const parent = agent(Parent, {
      on: { raise: (ctx): Promise<string> => refusedOption(() => loose(ctx)['spawn']?.(...parameters)) },
    });
    const ref = await system.spawn(parent);
    expect(await ref.ask('raise')).toBe(refused);
  });
});

describe('options of the other calls of a system', () => {
  it.each([
    ['shutdown', [null], 'shutdown options: null'],
    ['shutdown', [5_000], 'shutdown options: 5000'],
    ['shutdown', [{ drainMs: -1 }], 'drainMs: -1'],
    ['shutdown', [{ drainMs: Number.POSITIVE_INFINITY }], 'drainMs: Infinity'],
    ['shutdown', [{ timeoutMs: 5 }], 'shutdown options.timeoutMs: 5'],
    ['ref', [undefined, 'desk'], 'ref: protocol: undefined'],
    ['ref', ['desk', 'desk'], "ref: protocol: 'desk'"],
    ['ref', [Desk], 'ref: name: undefined'],
    ['ref', [Desk, 5], 'ref: name: 5'],
    ['ref', [Desk, ''], "ref: name: ''"],
    ['ref', [Desk, 'a b'], "ref: name: 'a b'"],
    ['ref', [Desk, '/'], "ref: name: '/'"],
    ['ref', [Desk, '/user/../desk'], "ref: name: '/user/../desk'"],
    ['ref', [Desk, '/user/desk#x'], "ref: name: '/user/desk#x'"],
    ['ref', [Desk, 'desk#3'], "ref: name: 'desk#3'"],
    ['ref', [Desk, 'x'.repeat(5_000)], `ref: name: '${'x'.repeat(60)}...' (5000 characters)`],
    ['lookup', [Desk, undefined], 'lookup: name: undefined'],
    ['lookup', [Desk, 'a.b'], "lookup: name: 'a.b'"],
    ['lookup', [{}, 'desk'], 'lookup: protocol: an object'],
    ['stop', [{ address: '/user/desk#1', protocol: Desk }], 'ref: an object'],
    ['stop', ['/user/desk'], "ref: '/user/desk'"],
    ['suspend', [undefined], 'ref: undefined'],
    ['resume', [null], 'ref: null'],
    ['inspect', [{}], 'ref: an object'],
    ['register', ['desk', {}], 'ref: an object'],
    ['register', ['', undefined], "register: name: ''"],
    ['register', ['a/b', undefined], "register: name: 'a/b'"],
    ['register', ['x'.repeat(129), undefined], `register: name: '${'x'.repeat(60)}...' (129 characters)`],
  ])('%s refuses %j', async (call, parameters, refused) => {
    const { system } = await testSystem();
    expect(await refusedOption(() => loose(system)[call]?.(...parameters))).toBe(refused);
    expect(system.tree().status).toBe('running');
  });

  it('stop refuses a reason that is not the user’s to give', async () => {
    const { system } = await testSystem();
    const ref = await system.spawn(deskAgent().desk);
    for (const reason of ['killed', 'failed', 5, null, {}]) {
      expect(await refusedOption(() => loose(system)['stop']?.(ref, reason))).toMatch(/^stop: reason: /);
    }
    expect(system.inspect(ref)?.status).toBe('running');
  });

  it('deadLetters.list and events.subscribe refuse what they do not know', async () => {
    const { system } = await testSystem();
    expect(await refusedOption(() => loose(system.deadLetters)['list']?.('stopped'))).toBe(
      "filter: 'stopped'",
    );
    expect(await refusedOption(() => loose(system.deadLetters)['list']?.({ from: 1 }))).toBe(
      'filter.from: 1',
    );
    expect(await refusedOption(() => loose(system.events)['subscribe']?.())).toBe('events: listener: null');
    expect(await refusedOption(() => loose(system.events)['subscribe']?.({}))).toBe(
      'events: listener: an object',
    );
  });
});

describe('a message name that the protocol does not have for this verb', () => {
  const names: readonly unknown[] = [
    'nope',
    '',
    'constructor',
    '__proto__',
    'toString',
    'hasOwnProperty',
    'x'.repeat(10_000),
    Symbol('note'),
    Symbol.iterator,
    5,
    undefined,
    null,
    {},
    Object.create(null),
    ['note'],
  ];

  it('is refused at once, whatever it is, by every verb, and leaves nothing behind', async () => {
    const { system, settle } = await testSystem();
    const { desk, taken } = deskAgent();
    const live = await system.spawn(desk);
    const nowhere = system.ref(Desk, 'nobody');
    for (const ref of [live, nowhere]) {
      for (const verb of ['tell', 'send', 'ask'] as const) {
        for (const name of names) {
          // Not awaited: it must throw, not reject.
          expect(() => loose(ref)[verb]?.(name, {})).toThrow(
            expect.objectContaining({ code: 'ERR_MESSAGE_UNKNOWN' }),
          );
        }
      }
    }
    await settle();
    expect(taken).toEqual([]);
    expect(system.deadLetters.stats().total).toBe(0);
  });

  it('is refused where it belongs to the other verb, and the error names those that fit', async () => {
    const { system } = await testSystem();
    const ref = await system.spawn(deskAgent().desk);
    for (const verb of ['tell', 'send']) {
      expect(await refusal(() => loose(ref)[verb]?.('read', { from: 1 }))).toMatchObject({
        code: 'ERR_MESSAGE_UNKNOWN',
        details: { protocol: 'desk', message: 'read', known: ['note', 'clear'] },
      });
    }
    const error = await refusal(() => loose(ref)['ask']?.('note', {}));
    expect(error).toMatchObject({
      code: 'ERR_MESSAGE_UNKNOWN',
      details: { message: 'note', known: ['read'] },
    });
    expect(error.message).toMatch(/It has: read\.$/);
  });

  it('is refused where it is an internal one, which only its agent may send', async () => {
    const { system } = await testSystem();
    const Clock = protocol('clock', { start: ask(type<unknown>(), type<string>()) });
    const clock = agent(Clock, {
      internal: { tick: tell() },
      on: {
        start: async (ctx, name) => (await refusal(() => loose(ctx)['continue']?.(name))).code,
        tick: () => undefined,
      },
    });
    const ref = await system.spawn(clock);
    expect(await refusal(() => loose(ref)['tell']?.('tick'))).toMatchObject({ code: 'ERR_MESSAGE_UNKNOWN' });
    for (const name of ['start', 'nope', Symbol('tick'), Object.create(null)]) {
      expect(await ref.ask('start', name)).toBe('ERR_MESSAGE_UNKNOWN');
    }
  });
});

describe('a payload under validate: always', () => {
  it('that fails its schema is refused with its path at once, and nothing is delivered', async () => {
    const { system, settle } = await testSystem();
    const { desk, taken } = deskAgent('always');
    const ref = await system.spawn(desk);
    for (const [verb, name, payload, issue] of [
      ['tell', 'note', { text: 5 }, /^text: /],
      ['send', 'note', undefined, /./],
      ['ask', 'read', { from: 'x' }, /^from: /],
      ['tell', 'clear', { sure: true }, /^it carries no payload$/],
    ] as const) {
      expect(() => loose(ref)[verb]?.(name, payload)).toThrow(
        expect.objectContaining({
          code: 'ERR_MESSAGE_INVALID',
          details: {
            subject: `the payload of '${name}' of protocol 'desk'`,
            issues: [expect.stringMatching(issue)],
          },
        }),
      );
    }
    await settle();
    expect(taken).toEqual([]);
    expect(system.inspect(ref)?.counts.accepted).toBe(0);
    expect(system.deadLetters.stats().total).toBe(0);
  });

  it('arrives as its schema makes it, defaults and all; without it, as it is', async () => {
    const { system, settle } = await testSystem();
    const checked = deskAgent('always');
    const unchecked = deskAgent('boundary');
    const payload = { text: 'x', more: 1 } as never;
    for (const { desk } of [checked, unchecked]) {
      const ref = await system.spawn(desk);
      ref.tell('note', payload);
      await ref.send('note', payload);
      ref.tell('clear');
    }
    await settle();
    expect(checked.taken).toEqual([{ text: 'x', tag: 'none' }, { text: 'x', tag: 'none' }, 'clear']);
    expect(unchecked.taken).toEqual([payload, payload, 'clear']);
  });

  it('is checked for replies as well', async () => {
    const { system } = await testSystem();
    const wrong = agent(Desk, {
      validate: 'always',
      on: { note: () => undefined, clear: () => undefined, read: () => [5] as never },
    });
    const error = await refusal(async () => (await system.spawn(wrong)).ask('read', { from: 1 }));
    expect(error).toMatchObject({ code: 'ERR_ACTOR_FAILED', cause: { code: 'ERR_REPLY_INVALID' } });
  });

  it('goes as it is without that, and so does a reply, and a dead letter that is replayed', async () => {
    const { system, settle } = await testSystem();
    const { desk, taken } = deskAgent();
    const ref = await system.spawn(
      agent(Desk, {
        on: {
          note: (ctx) => ctx.stopSelf(),
          clear: () => undefined,
          read: (_ctx, wrong) => [wrong] as never,
        },
      }),
      { name: 'desk' },
    );
    const wrong = { text: 5 } as never;
    expect(await ref.ask('read', wrong)).toEqual([wrong]);
    ref.tell('note', wrong);
    ref.tell('note', wrong); // it finds an actor that ends, or has ended
    await settle();
    await system.spawn(desk, { name: 'desk' });
    const [letter] = system.deadLetters.list();
    await system.deadLetters.replay(letter?.id ?? '');
    await settle();
    expect(taken).toEqual([wrong]);
  });
});

describe('a ref', () => {
  it('of a stopped actor says stopped, rejects, and leaves one dead letter for each message', async () => {
    const { system } = await testSystem();
    const ref = await system.spawn(deskAgent().desk);
    await system.stop(ref);
    expect(ref.tell('clear')).toBe('stopped');
    expect(system.deadLetters.list()).toMatchObject([
      { reason: 'stopped', message: 'clear', address: ref.address },
    ]);
    expect(await refusal(() => ref.send('clear'))).toMatchObject({ code: 'ERR_ACTOR_STOPPED' });
    expect(await refusal(() => ref.ask('read', { from: 1 }))).toMatchObject({ code: 'ERR_ACTOR_STOPPED' });
    expect(system.deadLetters.stats().byReason).toEqual({ stopped: 3 });
  });

  it('that leads nowhere says actor-unknown, rejects, and leaves one dead letter for each message', async () => {
    const { system, events } = await testSystem();
    const ref = system.ref(Desk, 'nobody');
    expect(ref.tell('clear')).toBe('actor-unknown');
    expect(system.deadLetters.list()).toMatchObject([
      { reason: 'actor-unknown', message: 'clear', address: 'nobody' },
    ]);
    expect(events).toMatchObject([
      { type: 'message-dead', reason: 'actor-unknown' },
      { type: 'message-refused', verdict: 'actor-unknown', address: 'nobody' },
    ]);
    const unknown = { code: 'ERR_ACTOR_UNKNOWN', details: { address: 'nobody' } };
    expect(await refusal(() => ref.send('clear'))).toMatchObject(unknown);
    expect(await refusal(() => ref.ask('read', { from: 1 }))).toMatchObject(unknown);
    expect(system.deadLetters.stats().byReason).toEqual({ 'actor-unknown': 3 });
    expect(await refusal(() => system.register('name', ref))).toMatchObject(unknown);
    expect(system.inspect(ref)).toBeUndefined();
    await system.stop(ref);
  });

  it('of another system, or that only looks like one, is refused wherever one is handed over', async () => {
    const { system } = await testSystem();
    const other = await createSystem({ name: 'other', log: false });
    extra.push(other);
    const { desk, taken } = deskAgent();
    const foreign = await other.spawn(desk);
    const own = await system.spawn(deskAgent().desk);
    const forged = { ...own, address: own.address, protocol: own.protocol, tell: () => 'accepted' };
    const Caller = protocol('caller', { run: ask(type<readonly [string, ...unknown[]]>(), type<string>()) });
    const caller = await system.spawn(
      agent(Caller, {
        on: { run: (ctx, [call, ...parameters]) => refusedOption(() => loose(ctx)[call]?.(...parameters)) },
      }),
    );
    for (const [given, shown] of [
      [foreign, `ref: ${foreign.address} of another system`],
      [forged, 'ref: an object'],
      [own.address, `ref: '${own.address}'`],
    ] as const) {
      for (const call of ['stop', 'suspend', 'resume', 'inspect']) {
        expect(await refusedOption(() => loose(system)[call]?.(given))).toBe(shown);
      }
      expect(await refusedOption(() => loose(system)['register']?.('name', given))).toBe(shown);
      for (const call of ['tell', 'send'])
        expect(await caller.ask('run', [call, given, 'clear'])).toBe(shown);
      expect(await caller.ask('run', ['ask', given, 'read', { from: 1 }])).toBe(shown);
      for (const call of ['watch', 'unwatch', 'stop'])
        expect(await caller.ask('run', [call, given])).toBe(shown);
    }
    expect(taken).toEqual([]);
    expect([other.inspect(foreign)?.status, system.inspect(own)?.status]).toEqual(['running', 'running']);
    // The ref itself still works: it belongs to its own system.
    expect(foreign.tell('clear')).toBe('accepted');
  });
});

describe('a full mailbox', () => {
  const Inbox = protocol('inbox', { take: tell(type<unknown>()), look: ask(type<void>(), type<number>()) });

  async function full(mailbox: {
    readonly overflow?: 'reject' | 'drop-oldest';
    readonly waitersMax?: number;
  }) {
    const { system } = await testSystem();
    const inbox = agent(Inbox, {
      mailbox: { capacity: 1, ...mailbox },
      on: { take: () => undefined, look: () => 1 },
    });
    const ref = await system.spawn(inbox);
    system.suspend(ref);
    return { system, ref };
  }

  it('answers full to tell, and refuses send and ask with ERR_MAILBOX_FULL where nobody may wait', async () => {
    const { system, ref } = await full({ overflow: 'reject' });
    expect([ref.tell('take', 1), ref.tell('take', 2)]).toEqual(['accepted', 'full']);
    const refused = {
      code: 'ERR_MAILBOX_FULL',
      details: { address: ref.address, capacity: 1 },
      retryable: true,
    };
    expect(await refusal(() => ref.send('take', 3))).toMatchObject(refused);
    expect(await refusal(() => ref.ask('look'))).toMatchObject(refused);
    expect(system.deadLetters.stats().total).toBe(0);
  });

  it('refuses a send and an ask beyond waitersMax with ERR_MAILBOX_WAITERS_FULL', async () => {
    const { ref } = await full({ waitersMax: 1 });
    ref.tell('take', 1);
    const waiting = ref.send('take', 2, { timeoutMs: 10 });
    waiting.catch(() => undefined);
    const refused = { code: 'ERR_MAILBOX_WAITERS_FULL', details: { address: ref.address, waitersMax: 1 } };
    expect(await refusal(() => ref.send('take', 3))).toMatchObject(refused);
    expect(await refusal(() => ref.ask('look'))).toMatchObject(refused);
  });

  it('that drops an ask says so at once, with ERR_MESSAGE_DROPPED', async () => {
    const { system, ref } = await full({ overflow: 'drop-oldest' });
    const asked = refusal(() => ref.ask('look'));
    expect(ref.tell('take', 1)).toBe('accepted');
    expect(await asked).toMatchObject({
      code: 'ERR_MESSAGE_DROPPED',
      details: { address: ref.address, message: 'look', reason: 'overflow-dropped' },
    });
    expect(system.deadLetters.list()).toMatchObject([{ reason: 'overflow-dropped', message: 'look' }]);
  });
});

describe('a name that is taken', () => {
  it('rejects the second spawn with the holder, and harms nobody', async () => {
    const { system } = await testSystem();
    const first = await system.spawn(deskAgent().desk, { name: 'desk' });
    expect(await refusal(() => system.spawn(deskAgent().desk, { name: 'desk' }))).toMatchObject({
      code: 'ERR_NAME_TAKEN',
      details: { name: 'desk', holder: '/user/desk' },
      retryable: true,
    });
    expect(await first.ask('read', { from: 1 })).toEqual([]);
  });
});

describe('a handler', () => {
  const Odd = protocol('odd', {
    run: tell(type<() => unknown>()),
    answer: ask(type<() => unknown>(), z.number()),
  });
  const odd = agent(Odd, { on: { run: (_ctx, go) => go(), answer: (_ctx, go) => go() as number } });
  const thrown: readonly unknown[] = [
    'a string',
    undefined,
    null,
    0,
    Symbol('s'),
    Object.create(null),
    { message: 5 },
  ];

  it('that throws what is no Error fails like any other, and the cause is what it threw', async () => {
    const root = supervisor({
      intensity: { max: Number.POSITIVE_INFINITY },
      restartsWithoutProgressMax: Number.POSITIVE_INFINITY,
      children: { odd: odd.child({ backoff: { maxMs: 0 } }) },
    });
    const { system, settle } = await testSystem({ root });
    for (const what of thrown) {
      const throwIt = (): never => {
        throw what;
      };
      for (const go of [throwIt, () => Promise.reject(what)]) {
        const error = await refusal(() => system.refs.odd.ask('answer', go));
        expect(error.code).toBe('ERR_ACTOR_FAILED');
        expect(error.cause).toBe(what);
        await settle();
      }
    }
    expect(system.inspect(system.refs.odd)?.status).toBe('running');
    expect(system.deadLetters.stats().byReason).toEqual({ 'handler-failed': 2 * thrown.length });
  });

  it('that forgets its reply fails the ask with ERR_REPLY_MISSING as cause', async () => {
    const { system } = await testSystem();
    const ref = await system.spawn(odd);
    expect(await refusal(() => ref.ask('answer', () => undefined))).toMatchObject({
      code: 'ERR_ACTOR_FAILED',
      cause: { code: 'ERR_REPLY_MISSING', details: { address: ref.address, message: 'answer' } },
    });
  });

  it('that never settles is disowned after turnTimeoutMs, and its actor restarts', async () => {
    const { system, settle, advance } = await testSystem();
    const slow = agent(Odd, {
      turnTimeoutMs: 100,
      on: { run: (_ctx, go) => go(), answer: () => 1 },
    });
    const ref = await system.spawn(slow);
    ref.tell('run', () => new Promise(() => undefined));
    await settle();
    await advance(99);
    expect(system.inspect(ref)).toMatchObject({ zombies: 0, turn: { message: 'run' } });
    await advance(1);
    expect(system.inspect(ref)).toMatchObject({ status: 'restarting', zombies: 1, turn: undefined });
    const [letter] = system.deadLetters.list({ reason: 'handler-failed' });
    expect(letter?.error).toMatchObject({ code: 'ERR_TURN_TIMEOUT', details: { timeoutMs: 100 } });
    await advance(1_000);
    expect(await ref.ask('answer', () => 1)).toBe(1);
  });

  it('that throws while its actor stops has one outcome, and the actor ends', async () => {
    const { system, settle } = await testSystem();
    const ref = await system.spawn(odd);
    let fail = (): void => undefined;
    ref.tell(
      'run',
      () =>
        new Promise((_resolve, reject) => {
          fail = () => reject(new Error('too late'));
        }),
    );
    await settle();
    const stopped = system.stop(ref);
    await settle();
    fail();
    await stopped;
    const counts = system.inspect(ref)?.counts ?? {
      accepted: 0,
      handled: 0,
      failed: 0,
      cancelled: 0,
      deadLettered: 0,
    };
    expect(counts.accepted).toBe(1);
    expect(counts.handled + counts.failed + counts.cancelled + counts.deadLettered).toBe(1);
    expect(system.inspect(ref)?.restarts).toBe(0);
    expect(ref.tell('run', () => 1)).toBe('stopped');
  });
});
