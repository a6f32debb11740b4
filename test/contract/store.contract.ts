/**
 * Goal: every store keeps the port's promises, and all keep them alike.
 * Method: one suite, run for each store; the last test compares random sequences of calls with a plain list.
 */

import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { PRIORITIES } from '../../src/protocol/priority.ts';
import {
  MESSAGE_STATUSES,
  type MessageRange,
  type MessageStatus,
  type MessageStore,
  type NewMessage,
  type StoredMessage,
  type StoreOptions,
  type Trimmed,
} from '../../src/protocol/store.ts';
import { ListStore } from '../support/list-store.ts';

const RUNS = Number(process.env['FC_RUNS'] ?? 100);
const RUNS_TIMEOUT_MS = 30_000 + RUNS * 300;

let messagesMade = 0;

/** A message that a store takes, with an id of its own. */
export function newMessage(fields: Partial<NewMessage> = {}): NewMessage {
  const id = `message-${++messagesMade}`;
  return {
    id,
    topic: 'orders.new',
    payload: { n: messagesMade },
    priority: 'normal',
    headers: {},
    publishedAtMs: 1_000,
    ...fields,
  };
}

/** All that a range gives. */
export async function collect(messages: AsyncIterable<StoredMessage>): Promise<StoredMessage[]> {
  const all: StoredMessage[] = [];
  for await (const message of messages) all.push(message);
  return all;
}

/** Describes what every store must do. `open` makes a new one, which is closed after its test. */
export function storeContract(name: string, open: (options?: StoreOptions) => Promise<MessageStore>): void {
  describe(name, () => {
    const opened: MessageStore[] = [];
    const newStore = async (options?: StoreOptions): Promise<MessageStore> => {
      const store = await open(options);
      opened.push(store);
      return store;
    };
    afterEach(async () => {
      for (const store of opened.splice(0)) await store.close();
    });
    const positionsOf = async (store: MessageStore, range?: MessageRange): Promise<number[]> =>
      (await collect(store.range(range))).map(({ position }) => position);
    const appendAll = async (store: MessageStore, fields: readonly Partial<NewMessage>[]): Promise<void> => {
      await Promise.all(fields.map((each) => store.append(newMessage(each))));
    };

    describe('appending', () => {
      it('gives positions from 1, in the order of the calls', async () => {
        const store = await newStore();
        const messages = Array.from({ length: 1_500 }, () => newMessage());
        const positions = await Promise.all(messages.map((message) => store.append(message)));
        expect(positions).toEqual(messages.map((_, index) => index + 1));
        const ids = (await collect(store.range())).map(({ id }) => id);
        expect(ids).toEqual(messages.map(({ id }) => id));
      });

      it(
        'gives a message back as it was when append was called, whatever it carries',
        async () => {
          const store = await newStore();
          const text = fc.string({ unit: 'binary', maxLength: 40 });
          const fields = fc.record(
            {
              payload: fc.jsonValue({ maxDepth: 4, stringUnit: 'binary' }),
              priority: fc.constantFrom(...PRIORITIES),
              headers: fc.dictionary(text, text, { maxKeys: 4 }),
              sender: text,
              correlationId: text,
              publishedAtMs: fc.double({ noNaN: true, noDefaultInfinity: true }).map((ms) => ms + 0),
              expiresAtMs: fc.integer(),
            },
            { requiredKeys: ['payload', 'priority', 'headers', 'publishedAtMs'] },
          );
          const property = fc.asyncProperty(fields, async (given) => {
            const message = newMessage(given);
            const before = structuredClone(message);
            const appended = store.append(message);
            if (typeof message.payload === 'object' && message.payload !== null)
              Object.assign(message.payload, { changed: 'later' });
            const position = await appended;
            // JSON knows one zero.
            const expected = JSON.parse(JSON.stringify(before)) as NewMessage;
            expect(await store.get(message.id)).toEqual({
              ...expected,
              position,
              status: 'pending',
              attempts: 0,
            });
          });
          await fc.assert(property, { numRuns: RUNS });
        },
        RUNS_TIMEOUT_MS,
      );

      it('takes a message without a payload, and leaves out fields without a value', async () => {
        const store = await newStore();
        await store.append(newMessage({ id: 'none', payload: undefined }));
        await store.append(
          newMessage({ id: 'field', payload: { here: 1, gone: undefined }, sender: undefined }),
        );
        expect((await store.get('none'))?.payload).toBeUndefined();
        expect((await store.get('field'))?.payload).toStrictEqual({ here: 1 });
      });

      it('gives every reader a copy of its own', async () => {
        const store = await newStore();
        await store.append(newMessage({ id: 'one', payload: { list: [1] } }));
        const [first] = await collect(store.range());
        // The payload is the one appended above.
        (first as { payload: { list: number[] } }).payload.list.push(2);
        expect((await store.get('one'))?.payload).toEqual({ list: [1] });
      });

      const cycle: unknown[] = [];
      cycle.push({ cycle });
      const deep = (levels: number): unknown => (levels === 0 ? 1 : [deep(levels - 1)]);
      it.each<[string, unknown, string]>([
        ['a BigInt', { n: 1n }, 'payload.n'],
        ['a function', [() => 1], 'payload[0]'],
        ['a symbol', { s: Symbol('s') }, 'payload.s'],
        ['NaN', { a: [0, Number.NaN] }, 'payload.a[1]'],
        ['Infinity', Number.POSITIVE_INFINITY, 'payload'],
        ['a Date', { at: new Date(0) }, 'payload.at'],
        ['a Map', { map: new Map([[1, 2]]) }, 'payload.map'],
        ['bytes', { bytes: new Uint8Array(2) }, 'payload.bytes'],
        ['undefined in a list', { list: [undefined] }, 'payload.list[0]'],
        ['a hole in a list', { list: new Array(1) }, 'payload.list[0]'],
        ['an object with toJSON', { toJSON: () => 1 }, 'payload.toJSON'],
        ['a cycle', { cycle }, 'payload.cycle[0].cycle'],
        ['257 levels', deep(257), `payload${'[0]'.repeat(61)}`],
      ])('refuses a payload with %s, naming the part, and keeps nothing', async (_, payload, path) => {
        const store = await newStore();
        const error = await rejectionOf(store.append(newMessage({ payload })));
        expect(error).toMatchObject({ code: 'ERR_PAYLOAD_UNSERIALIZABLE' });
        expect((error as { details: { path: string } }).details.path.startsWith(path)).toBe(true);
        expect(await store.append(newMessage({ payload: deep(256) }))).toBe(1);
      });

      it('refuses a payload beyond payloadBytesMax, and takes one that just fits', async () => {
        const store = await newStore({ payloadBytesMax: 10 });
        // Two characters of four bytes each, and two quotation marks.
        await store.append(newMessage({ payload: '😀😀' }));
        await expect(store.append(newMessage({ payload: '😀😀!' }))).rejects.toMatchObject({
          code: 'ERR_PAYLOAD_TOO_LARGE',
          details: { sizeBytes: 11, sizeBytesMax: 10 },
        });
        expect(await store.stats()).toMatchObject({ messages: 1, payloadBytes: 10 });
      });

      it('refuses a small value that would be a huge text, without making it', async () => {
        const store = await newStore();
        let payload: unknown = 'x';
        for (let level = 0; level < 60; level++) payload = [payload, payload];
        await expect(store.append(newMessage({ payload }))).rejects.toMatchObject({
          code: 'ERR_PAYLOAD_TOO_LARGE',
        });
      });

      it('refuses an id that it holds, and nothing else of the same moment', async () => {
        const store = await newStore();
        const appended = await Promise.allSettled([
          store.append(newMessage({ id: 'a' })),
          store.append(newMessage({ id: 'a' })),
          store.append(newMessage({ id: 'b' })),
        ]);
        expect(appended).toMatchObject([
          { status: 'fulfilled', value: 1 },
          { status: 'rejected', reason: { code: 'ERR_MESSAGE_STORED', details: { id: 'a' } } },
          { status: 'fulfilled', value: 2 },
        ]);
        await store.remove(1);
        expect(await store.append(newMessage({ id: 'a' }))).toBe(3);
      });

      it.each<[string, Partial<Record<keyof NewMessage | 'extra', unknown>>]>([
        ['ERR_OPTION_INVALID', { id: '' }],
        ['ERR_OPTION_INVALID', { id: 'x'.repeat(201) }],
        ['ERR_OPTION_INVALID', { id: 'two words' }],
        ['ERR_OPTION_INVALID', { id: 7 }],
        ['ERR_OPTION_INVALID', { priority: 'huge' }],
        ['ERR_OPTION_INVALID', { headers: { a: 1 } }],
        ['ERR_OPTION_INVALID', { sender: 'x'.repeat(1_001) }],
        ['ERR_OPTION_INVALID', { publishedAtMs: undefined }],
        ['ERR_OPTION_INVALID', { publishedAtMs: Number.NaN }],
        ['ERR_OPTION_INVALID', { expiresAtMs: 'soon' }],
        ['ERR_OPTION_INVALID', { extra: 1 }],
        ['ERR_TOPIC_INVALID', { topic: '../escaped' }],
        ['ERR_TOPIC_INVALID', { topic: 'a/b' }],
        ['ERR_TOPIC_INVALID', { topic: 'a\0b' }],
        ['ERR_TOPIC_INVALID', { topic: 'a.*' }],
        ['ERR_TOPIC_INVALID', { topic: '' }],
      ])('rejects with %s for %j, and keeps nothing', async (code, fields) => {
        const store = await newStore();
        // What a caller without a compiler may give.
        const message = { ...newMessage(), ...fields } as NewMessage;
        await expect(store.append(message)).rejects.toMatchObject({ code });
        expect(await store.stats()).toMatchObject({ messages: 0, lastPosition: 0 });
      });
    });

    describe('marking', () => {
      it('writes what is named and keeps the rest; the last call wins', async () => {
        const store = await newStore();
        const position = await store.append(newMessage({ id: 'one' }));
        await Promise.all([
          store.mark(position, { status: 'delivered', attempts: 1 }),
          store.mark(position, { status: 'failed', lastError: 'e'.repeat(1_500) }),
        ]);
        expect(await store.get('one')).toMatchObject({
          status: 'failed',
          attempts: 1,
          lastError: 'e'.repeat(1_000),
        });
        expect(await store.mark(position, { status: 'handled', attempts: 2 })).toBe(true);
        expect(await store.get('one')).toMatchObject({
          status: 'handled',
          attempts: 2,
          lastError: 'e'.repeat(1_000),
        });
      });

      it('says whether the message is held, also for one appended at the same moment', async () => {
        const store = await newStore();
        const [, isMarked, isUnknown] = await Promise.all([
          store.append(newMessage()),
          store.mark(1, { status: 'handled' }),
          store.mark(2, { status: 'handled' }),
        ]);
        expect([isMarked, isUnknown]).toEqual([true, false]);
      });

      it.each<[unknown, unknown]>([
        [0, { status: 'handled' }],
        [1.5, { status: 'handled' }],
        [undefined, { status: 'handled' }],
        [1, {}],
        [1, { status: 'acknowledged' }],
        [1, { status: 'failed', attempts: -1 }],
        [1, { status: 'failed', lastError: new Error('x') }],
        [1, { status: 'failed', extra: 1 }],
      ])('rejects with ERR_OPTION_INVALID for position %j and %j', async (position, change) => {
        const store = await newStore();
        await store.append(newMessage());
        // What a caller without a compiler may give.
        const marked = store.mark(position as number, change as { status: MessageStatus });
        await expect(marked).rejects.toMatchObject({ code: 'ERR_OPTION_INVALID' });
        expect((await store.stats()).byStatus.pending).toBe(1);
      });
    });

    describe('a range', () => {
      it('is of one topic, or of all topics of a pattern', async () => {
        const store = await newStore();
        const topics = ['a', 'a.b', 'a.b.c', 'ab', 'a.c', 'a'];
        await appendAll(
          store,
          topics.map((topic) => ({ topic })),
        );
        expect(await positionsOf(store, { topic: 'a' })).toEqual([1, 6]);
        expect(await positionsOf(store, { topic: 'a.b' })).toEqual([2]);
        expect(await positionsOf(store, { topic: 'a.*' })).toEqual([2, 5]);
        expect(await positionsOf(store, { topic: 'a.#' })).toEqual([1, 2, 3, 5, 6]);
        expect(await positionsOf(store, { topic: '#' })).toEqual([1, 2, 3, 4, 5, 6]);
        expect(await positionsOf(store, { topic: 'c' })).toEqual([]);
      });

      it('is from a time on and ends before a time, in the order of appending, also when the clock ran backwards', async () => {
        const store = await newStore();
        await appendAll(
          store,
          [30, 10, 20, 10, 40].map((publishedAtMs) => ({ publishedAtMs })),
        );
        expect(await positionsOf(store, { fromMs: 10, toMs: 30 })).toEqual([2, 3, 4]);
        expect(await positionsOf(store, { fromMs: 30 })).toEqual([1, 5]);
        expect(await positionsOf(store, { toMs: 10 })).toEqual([]);
      });

      it('finds every span of a long log, and spans that touch share no message', async () => {
        const store = await newStore();
        const count = 3_000;
        // Mostly forward, with steps back of up to 50.
        const times = Array.from({ length: count }, (_, index) => index * 10 - ((index * 7_919) % 50));
        const topics = ['even', 'odd'];
        const expected = times.map((publishedAtMs, index) => ({
          publishedAtMs,
          topic: topics[index % 2] ?? '',
          position: index + 1,
        }));
        await appendAll(
          store,
          expected.map(({ publishedAtMs, topic }) => ({ publishedAtMs, topic })),
        );
        const cuts = [-100, 0, 5, 2_560, 9_999, 15_000, 29_990, 40_000];
        for (const topic of [undefined, 'odd', '*']) {
          const seen: number[] = [];
          for (const [index, fromMs] of cuts.slice(0, -1).entries()) {
            const toMs = cuts[index + 1] ?? 0;
            const found = await positionsOf(store, { topic, fromMs, toMs });
            const wanted = expected.filter(
              (each) =>
                each.publishedAtMs >= fromMs &&
                each.publishedAtMs < toMs &&
                (topic === undefined || topic === '*' || each.topic === topic),
            );
            expect(found).toEqual(wanted.map(({ position }) => position));
            seen.push(...found);
          }
          expect(new Set(seen).size).toBe(topic === 'odd' ? count / 2 : count);
        }
      });

      it('goes on after a position and stops at its limit', async () => {
        const store = await newStore();
        await appendAll(
          store,
          Array.from({ length: 10 }, () => ({})),
        );
        expect(await positionsOf(store, { after: 4, limit: 3 })).toEqual([5, 6, 7]);
        expect(await positionsOf(store, { after: 10 })).toEqual([]);
        expect(await positionsOf(store, { limit: 0 })).toEqual([]);
      });

      it('ends where the log ended when it was called, though more is appended while it is read', async () => {
        const store = await newStore();
        await appendAll(
          store,
          Array.from({ length: 700 }, () => ({})),
        );
        const range = store.range();
        await appendAll(store, [{}, {}]);
        const seen: number[] = [];
        for await (const { position } of range) {
          seen.push(position);
          if (position % 100 === 0) await store.append(newMessage());
        }
        expect(seen).toEqual(Array.from({ length: 700 }, (_, index) => index + 1));
        // Read again it is the same range.
        expect((await collect(range)).length).toBe(700);
      });

      it('gives nothing twice and stays in order while messages are removed, marked and trimmed', async () => {
        const store = await newStore();
        await appendAll(
          store,
          Array.from({ length: 1_200 }, () => ({})),
        );
        const seen: number[] = [];
        for await (const { position } of store.range({ status: 'pending' })) {
          seen.push(position);
          await store.mark(position, { status: 'handled' });
          if (position === 300) await store.remove(900);
          if (position === 600) await store.trim({ messagesMax: 800 });
        }
        const expected = Array.from({ length: 1_200 }, (_, index) => index + 1).filter(
          (each) => each !== 900,
        );
        expect(seen).toEqual(expected);
      });

      it('can be left early', async () => {
        const store = await newStore();
        await appendAll(
          store,
          Array.from({ length: 600 }, () => ({})),
        );
        for (let round = 0; round < 50; round++) for await (const _ of store.range()) break;
        expect((await positionsOf(store)).length).toBe(600);
      });

      it.each<[string, unknown]>([
        ['ERR_TOPIC_INVALID', { topic: 'a.#.b' }],
        ['ERR_OPTION_INVALID', { fromMs: '1' }],
        ['ERR_OPTION_INVALID', { status: 'done' }],
        ['ERR_OPTION_INVALID', { after: -1 }],
        ['ERR_OPTION_INVALID', { limit: 1.5 }],
        ['ERR_OPTION_INVALID', { from: 1 }],
      ])('throws %s for %j', async (code, range) => {
        const store = await newStore();
        // What a caller without a compiler may give.
        expect(() => store.range(range as MessageRange)).toThrow(expect.objectContaining({ code }));
      });
    });

    describe('trimming', () => {
      it('takes away what was published before a time, wherever it stands, and what is beyond the bound', async () => {
        const store = await newStore();
        await appendAll(
          store,
          [50, 10, 60, 20, 70].map((publishedAtMs) => ({ publishedAtMs })),
        );
        await store.mark(2, { status: 'handled' });
        expect(await store.trim({ beforeMs: 30 })).toEqual({ messages: 2, unfinished: 1 });
        expect(await positionsOf(store)).toEqual([1, 3, 5]);
        expect(await store.trim({ messagesMax: 1 })).toEqual({ messages: 2, unfinished: 2 });
        expect(await positionsOf(store)).toEqual([5]);
        expect(await store.trim({ beforeMs: 0, messagesMax: 1 })).toEqual({ messages: 0, unfinished: 0 });
        expect((await store.stats()).trimmed).toEqual({ messages: 4, unfinished: 3 });
      });

      it('takes away thousands, and nothing that was appended after the call', async () => {
        const store = await newStore();
        const old = Array.from({ length: 2_500 }, () => ({ publishedAtMs: 1 }));
        await appendAll(store, old);
        const [trimmed] = await Promise.all([
          store.trim({ beforeMs: 5 }),
          appendAll(store, [...old, { publishedAtMs: 9 }]),
        ]);
        expect(trimmed.messages).toBe(2_500);
        expect((await positionsOf(store))[0]).toBe(2_501);
        expect(await store.trim({ messagesMax: 0 })).toMatchObject({ messages: 2_501 });
        expect(await store.stats()).toMatchObject({
          messages: 0,
          payloadBytes: 0,
          topics: 0,
          firstPosition: 0,
        });
      });

      it('keeps messagesMax: the oldest fall off, are counted, and are told to onTrimmed', async () => {
        const told: Trimmed[] = [];
        const store = await newStore({ messagesMax: 100, onTrimmed: (trimmed) => told.push({ ...trimmed }) });
        await appendAll(
          store,
          Array.from({ length: 90 }, () => ({})),
        );
        await store.mark(1, { status: 'handled' });
        expect(told).toEqual([]);
        await appendAll(
          store,
          Array.from({ length: 1_000 }, () => ({})),
        );
        expect(await store.stats()).toMatchObject({
          messages: 100,
          firstPosition: 991,
          lastPosition: 1_090,
          trimmed: { messages: 990, unfinished: 989 },
        });
        expect(told.reduce((sum, { messages }) => sum + messages, 0)).toBe(990);
        expect(told.reduce((sum, { unfinished }) => sum + unfinished, 0)).toBe(989);
      });

      it.each([{}, { beforeMs: Number.NaN }, { messagesMax: -1 }, { olderThan: 1 }])(
        'rejects with ERR_OPTION_INVALID for %j',
        async (options) => {
          const store = await newStore();
          await expect(store.trim(options)).rejects.toMatchObject({ code: 'ERR_OPTION_INVALID' });
        },
      );
    });

    describe('closing', () => {
      it('lets what was called for become safe, and can be done again', async () => {
        const store = await newStore();
        const appended = Array.from({ length: 50 }, () => store.append(newMessage()));
        await Promise.all([store.close(), store.close()]);
        expect((await Promise.all(appended)).length).toBe(50);
        await store.close();
      });

      it('ends every method with ERR_STORE_CLOSED, and a range in the middle', async () => {
        const store = await newStore();
        await appendAll(store, [{}, {}]);
        const reading = store.range()[Symbol.asyncIterator]();
        await reading.next();
        await store.close();
        const calls = [
          store.append(newMessage()),
          store.mark(1, { status: 'handled' }),
          store.get('x'),
          store.remove(1),
          store.trim({ messagesMax: 1 }),
          store.stats(),
          reading.next(),
          collect(store.range()),
        ];
        for (const call of calls) await expect(call).rejects.toMatchObject({ code: 'ERR_STORE_CLOSED' });
      });

      it('is what await using does', async () => {
        const store = await open();
        await store.append(newMessage());
        await store[Symbol.asyncDispose]();
        await expect(store.stats()).rejects.toMatchObject({ code: 'ERR_STORE_CLOSED' });
      });
    });

    it(
      'does what a plain list does, after any sequence of calls',
      async () => {
        const property = fc.asyncProperty(sequences, async ({ messagesMax, calls }) => {
          const store = await open({ messagesMax });
          const list = new ListStore(messagesMax);
          try {
            for (const call of calls) await expectAlike(call, store, list);
            expect(await store.stats()).toEqual(list.stats());
            for (const range of RANGES) expect(await collect(store.range(range))).toEqual(list.range(range));
          } finally {
            await store.close();
          }
        });
        await fc.assert(property, { numRuns: RUNS });
      },
      RUNS_TIMEOUT_MS,
    );
  });
}

const RANGES: readonly MessageRange[] = [
  {},
  { topic: 'b.x' },
  { topic: 'b.*', status: 'pending' },
  { fromMs: 3, toMs: 7 },
  { topic: 'a', fromMs: 2, after: 3, limit: 4 },
];

const position = fc.integer({ min: 1, max: 40 });
const call = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      append: fc.array(
        fc.record({
          id: fc.integer({ min: 1, max: 60 }).map((n) => `id-${n}`),
          topic: fc.constantFrom('a', 'b.x', 'b.y'),
          publishedAtMs: fc.integer({ min: 0, max: 9 }),
        }),
        { minLength: 1, maxLength: 8 },
      ),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      mark: position,
      status: fc.constantFrom(...MESSAGE_STATUSES),
      attempts: fc.option(fc.nat(3), { nil: undefined }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ remove: position }) },
  {
    weight: 1,
    arbitrary: fc.record({
      beforeMs: fc.integer({ min: 0, max: 9 }),
      messagesMax: fc.option(fc.integer({ min: 0, max: 12 }), { nil: undefined }),
    }),
  },
);
type Call = typeof call extends fc.Arbitrary<infer T> ? T : never;

const sequences = fc.record({
  messagesMax: fc.constantFrom(5, 20, Number.POSITIVE_INFINITY),
  calls: fc.array(call, { size: 'max', maxLength: 30 }),
});

async function expectAlike(call: Call, store: MessageStore, list: ListStore): Promise<void> {
  if ('append' in call) {
    const messages = call.append.map((fields) => newMessage(fields));
    // At one moment; one after the other where there is a bound: when it frees an id of the same moment is left open.
    const groups = list.messagesMax === Infinity ? [messages] : messages.map((message) => [message]);
    for (const group of groups) {
      const appended = await Promise.allSettled(group.map((message) => store.append(message)));
      const positions = appended.map((each) => (each.status === 'fulfilled' ? each.value : undefined));
      expect(positions).toEqual(group.map((message) => list.append(message)));
    }
  } else if ('mark' in call) {
    const change = { status: call.status, attempts: call.attempts };
    expect(await store.mark(call.mark, change)).toBe(list.mark(call.mark, change));
  } else if ('remove' in call) {
    expect(await store.remove(call.remove)).toBe(list.remove(call.remove));
  } else {
    expect(await store.trim(call)).toEqual(list.trim(call));
  }
}

async function rejectionOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => undefined,
    (error: unknown) => error,
  );
}
