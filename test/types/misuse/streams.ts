import { z } from 'zod';
import { agent, ask, protocol, type Ref, stream, tell } from 'troupe';

const Words = protocol('words', {
  spell: stream(z.object({ text: z.string() }), z.string()),
  sum: stream(z.number(), z.number(), z.object({ total: z.number() })),
  count: ask(z.object({ text: z.string() }), z.number()),
  note: tell(z.string()),
});
declare const words: Ref<typeof Words>;

// error: Expected 2-3 arguments, but got 1
stream(z.string());
// error: the schema does not accept its own output
stream(z.string(), z.string().transform(Number));
// error: the schema does not accept its own output
stream(z.string(), z.string(), z.string().transform(Number));

words.stream('spell', { text: 'a' }, { window: 4 });
// error: '"count"' is not assignable
words.stream('count', { text: 'a' });
// error: '"note"' is not assignable
words.stream('note', 'a');
// error: '"spell"' is not assignable
words.ask('spell', { text: 'a' });
// error: '"spell"' is not assignable
words.tell('spell', { text: 'a' });
// error: 'number' is not assignable to type 'string'
words.stream('spell', { text: 1 });
// error: Expected 2-3 arguments, but got 1
words.stream('spell');
// error: 'ttlMs' does not exist
words.stream('spell', { text: 'a' }, { ttlMs: 5 });
// error: Property 'then' does not exist
words.stream('spell', { text: 'a' }).then(() => undefined);

const on = { count: () => 1, note: () => undefined };
agent(Words, {
  on: {
    ...on,
    async *spell(ctx, { text }) {
      yield text;
    },
    async *sum() {
      yield 1;
      return { total: 1 };
    },
  },
});
agent(Words, {
  on: {
    ...on,
    async *spell(ctx, { text }) {
      yield text;
    },
    // error: 'void' is not assignable to type
    async *sum() {
      yield 1;
    },
  },
});
agent(Words, {
  on: {
    ...on,
    // error: 'number' is not assignable to type 'string'
    async *spell() {
      yield 1;
    },
    async *sum() {
      yield 1;
      return { total: 1 };
    },
  },
});
agent(Words, {
  on: {
    ...on,
    // error: is missing the following properties from type
    spell: async (ctx, { text }) => text,
    async *sum() {
      yield 1;
      return { total: 1 };
    },
  },
});
