/**
 * What must compile, on both compilers, with `exactOptionalPropertyTypes`: each part is a claim of the documentation on types.
 */

import type { StandardSchemaV1 } from '@standard-schema/spec';
import {
  type Admission,
  type Ask,
  agent,
  ask,
  type Context,
  createSystem,
  type Handlers,
  type PartStream,
  type Protocol,
  protocol,
  type Ref,
  type ReplyTo,
  type Stream,
  stream,
  supervisor,
  type Tell,
  tell,
  topic,
  type,
} from 'troupe';
import * as v from 'valibot';
import { z } from 'zod';

/** Compiles only if both types are the same. */
function same<A, B>(
  ..._proof: (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? [] : [never]
): void {}

// Every schema library, and none.
declare const foreign: StandardSchemaV1<{ a?: number }, { a: number }>;
export const Library = protocol('library', {
  zod: tell(z.object({ name: z.string() })),
  valibot: tell(v.object({ name: v.string() })),
  foreign: tell(foreign),
  typed: tell(type<{ name: string }>()),
  pair: ask(v.object({ left: v.number() }), z.object({ right: z.number() })),
});
same<(typeof Library)['messages']['valibot'], Tell<{ name: string }>>();
same<(typeof Library)['messages']['foreign'], Tell<{ a: number }>>();
same<(typeof Library)['messages']['pair'], Ask<{ left: number }, { right: number }>>();

// The output type is what everybody sees; defaults, coercions and brands accept their own output.
const Branded = z.string().brand<'OrderId'>();
export const Outputs = protocol('outputs', {
  defaulted: tell(z.object({ retries: z.number().default(3) })),
  coerced: tell(z.coerce.number()),
  branded: tell(Branded),
  trimmed: tell(z.string().trim()),
});
same<(typeof Outputs)['messages']['defaulted'], Tell<{ retries: number }>>();

// No payload: `tell()`, `type<void>()`, and nothing else.
export const Counter = protocol('counter', {
  reset: tell(),
  clear: tell(type<void>()),
  total: ask(type<void>(), z.number()),
  add: tell(z.number()),
  anything: tell(z.any()),
  something: tell(z.unknown()),
});

export async function callsOf(ref: Ref<typeof Counter>): Promise<number> {
  ref.tell('reset');
  ref.tell('reset', undefined, { priority: 'critical', ttlMs: 5, headers: { tenant: 'a' } });
  ref.tell('clear');
  const admission: Admission = ref.tell('anything', 1);
  ref.tell('something', { admission });
  await ref.send('add', 1, { timeoutMs: 10, signal: AbortSignal.timeout(5) });
  same<typeof admission, Admission>();
  return ref.ask('total');
}

// Users with `exactOptionalPropertyTypes` may pass `undefined` for every option.
export function withUndefined(
  ref: Ref<typeof Counter>,
  timeoutMs: number | undefined,
  signal: AbortSignal | undefined,
): void {
  ref.tell('add', 1, { priority: undefined, ttlMs: undefined, headers: undefined });
  void ref.send('add', 1, { timeoutMs, signal });
  void ref.ask('total', undefined, { timeoutMs, signal, priority: undefined });
  agent(protocol('empty', {}), {
    state: undefined,
    internal: undefined,
    mailbox: { capacity: undefined, overflow: undefined },
    turnTimeoutMs: timeoutMs,
    onFailure: undefined,
    decide: undefined,
    subscribe: undefined,
    onStop: undefined,
    onIdle: undefined,
    on: {},
  });
}

// Zero annotations in handlers; internal messages; every kind of reply.
interface CounterState {
  total: number;
  waiting: ReplyTo<number>[];
}
export const counter = agent(Counter, {
  state: (args: { start?: number } | undefined, ctx): CounterState => {
    ctx.log.info('starting', { generation: ctx.generation });
    return { total: args?.start ?? 0, waiting: [] };
  },
  internal: { tick: tell(), step: tell(z.object({ by: z.number() })) },
  turnTimeoutMs: Number.POSITIVE_INFINITY,
  decide: (error) => (error instanceof RangeError ? 'resume' : 'restart'),
  onRestart: (ctx, failure) => ctx.log.warn('again', { kind: failure.kind, total: ctx.state.total }),
  onStop: (ctx, reason) => ctx.log.info(reason),
  onTerminated: (ctx, terminated) => ctx.unwatch(terminated.ref),
  onIdle: (ctx) => {
    ctx.timers.once('tick', 5, 'tick');
    ctx.stopSelf();
  },
  on: {
    reset: (ctx) => {
      ctx.timers.once('once', 1_000, 'tick');
      ctx.timers.once('step', 1_000, 'step', { by: 1 });
      ctx.timers.every('every', 1_000, 'tick', undefined, { fixedRate: true });
      ctx.timers.every('steps', 1_000, 'step', { by: 1 }, { fixedRate: undefined });
      ctx.timers.cancel('every');
      ctx.setIdleTimeout(60_000);
      ctx.setIdleTimeout(undefined);
      ctx.link(ctx.self);
      ctx.unlink(ctx.self);
      same<typeof ctx.message.missed, number>();
      ctx.state = { ...ctx.state, total: 0 };
      ctx.continue('tick');
      ctx.continue('step', { by: 2 });
    },
    clear: (ctx) => ctx.tell(ctx.self, 'reset'),
    total(ctx) {
      if (ctx.state.total < 0) return ctx.stash();
      if (ctx.state.total === 0) {
        ctx.state.waiting.push(ctx.replyTo);
        return ctx.replyTo;
      }
      if (ctx.message.attempt > 1) return ctx.reply(ctx.state.total);
      return ctx.state.total;
    },
    add: (ctx, n) => {
      ctx.state.total += n;
      same<typeof n, number>();
    },
    anything() {},
    something: async (ctx, value) => {
      same<typeof value, unknown>();
      const total = await ctx.ask(ctx.self, 'total');
      same<typeof total, number>();
    },
    tick: (ctx) => {
      for (const waiting of ctx.state.waiting) waiting.reply(ctx.state.total);
    },
    step: (ctx, { by }) => {
      ctx.state.total += by;
    },
  },
});

// Handlers and contexts on their own.
export const Greeter = protocol('greeter', { greet: ask(z.string(), z.string()), wave: tell() });
type Greeted = { names: string[] };
export function remember(ctx: Context<typeof Greeter, Greeted>, name: string): void {
  ctx.state.names.push(name);
}
export const greeterHandlers: Handlers<typeof Greeter, Greeted> = {
  greet(ctx, name) {
    remember(ctx, name);
    return `hello ${name}`;
  },
  wave: (ctx) => ctx.stopSelf(),
};
export const greeter = agent(Greeter, { state: (): Greeted => ({ names: [] }), on: greeterHandlers });
export const quiet = agent(Greeter, {
  on: { greet: async (ctx, name) => `${name} by ${ctx.self.address}`, wave() {} },
});

// The annotated form, for exports with `isolatedDeclarations` or short messages.
export interface NotesMessages {
  readonly add: Tell<{ text: string }>;
  readonly read: Ask<{ line: number }, string>;
}
export const Notes: Protocol<NotesMessages> = protocol('notes', {
  add: tell(z.object({ text: z.string() })),
  read: ask(z.object({ line: z.number() }), z.string()),
});

// A ref of a larger protocol fits a smaller one, and any ref is a `Ref`.
const Waving = protocol('waving', { wave: tell() });
export function narrow(ref: Ref<typeof Greeter>): Ref<typeof Waving> {
  const any: Ref = ref;
  return any.address === '' ? ref : ref;
}

// Topics.
export const Alerts = topic('alert.{level}.{node}', z.object({ text: z.string() }));
export const Heartbeat = topic('heartbeat', z.number());
const Watchman = protocol('watchman', {
  alert: tell(z.object({ level: z.literal('red'), node: z.string(), text: z.string() })),
  beat: tell(z.number()),
});
export const watchman = agent(Watchman, {
  subscribe: [
    { topic: Alerts.where({ level: 'red' }), as: 'alert', overflow: 'latest', capacity: 10 },
    { topic: Heartbeat, as: 'beat' },
  ],
  on: {
    alert: async (ctx, alert) => {
      await ctx.subscribe(Heartbeat, { as: 'beat' });
      await ctx.publish(Alerts, { level: 'red', node: alert.node }, { text: alert.text });
      await ctx.publish('plain.topic', { anything: 1 }, { priority: 'low' });
      const child = await ctx.spawn(counter, { name: 'inner', args: { start: 2 }, restart: 'temporary' });
      ctx.watch(child);
      await ctx.stop(child);
    },
    beat() {},
  },
});

// The tree: arguments that may be left out, conditional children, branches.
export async function treeOf(isLoud: boolean): Promise<void> {
  const root = supervisor({
    children: {
      counter: counter.child(),
      started: counter.child({
        args: { start: 1 },
        restart: 'permanent',
        shutdownMs: Number.POSITIVE_INFINITY,
      }),
      maybe: isLoud ? greeter.child() : undefined,
      perhaps: isLoud && quiet.child({}),
      branch: supervisor({
        intensity: { max: Number.POSITIVE_INFINITY },
        children: { watchman: watchman.child() },
      }),
    },
  });
  await using system = await createSystem({ name: 'tree', root });
  same<typeof system.refs.counter, Ref<typeof Counter>>();
  same<typeof system.refs.maybe, Ref<typeof Greeter> | undefined>();
  same<typeof system.refs.perhaps, Ref<typeof Greeter> | undefined>();
  same<typeof system.refs.branch.watchman, Ref<typeof Watchman>>();
  await system.subscribe(Alerts, (message) => same<typeof message.level, string>());
  await system.subscribe(Alerts.where({ level: 'red' }), (message, meta) => {
    same<typeof message.level, 'red'>();
    same<typeof message.node, string>();
    same<typeof meta.topic, string>();
  });
  await system.subscribe('alert.*.#', (message) => same<typeof message, unknown>(), {
    overflow: 'drop-oldest',
    capacity: 5,
  });
  await system.publish('alert.red.a', { text: 'x' });
  await system.publish(Heartbeat, {}, 1);
  const spawned = await system.spawn(greeter);
  same<typeof spawned, Ref<typeof Greeter>>();
  const back = system.ref(Greeter, JSON.parse(JSON.stringify(spawned)) as string);
  same<typeof back, Ref<typeof Greeter>>();
  const found = system.lookup(Greeter, 'greeter');
  same<typeof found, Ref<typeof Greeter> | undefined>();
  for await (const letter of system.deadLetters) system.deadLetters.discard(letter.id);
}

// A system without a tree.
export async function bare(): Promise<void> {
  const system = await createSystem({ name: 'bare' });
  await system.spawn(counter, { name: 'one' });
  await system.shutdown();
}

// Streams: parts and result have the types of their schemas; a result that nobody described is nothing.
export const Words = protocol('words', {
  spell: stream(z.object({ text: z.string() }), z.string()),
  sum: stream(z.number(), z.number(), z.object({ total: z.number() })),
  all: stream(type<void>(), type<'a' | 'b'>()),
});
same<(typeof Words)['messages']['spell'], Stream<{ text: string }, string>>();
same<(typeof Words)['messages']['sum'], Stream<number, number, { total: number }>>();
export const words = agent(Words, {
  state: (): { seen: number } => ({ seen: 0 }),
  on: {
    async *spell(ctx, { text }) {
      ctx.state.seen++;
      for (const letter of text) {
        ctx.signal.throwIfAborted();
        yield letter;
      }
    },
    async *sum(ctx, most) {
      let total = 0;
      for await (const part of ctx.stream(ctx.self, 'sum', most - 1, { window: 1 })) total += part;
      yield total;
      if (total < 0) return ctx.stash();
      return { total };
    },
    async *all(ctx) {
      yield 'a';
      yield* ctx.state.seen > 0 ? (['a', 'b'] as const) : [];
    },
  },
});
export async function partsOf(ref: Ref<typeof Words>, signal: AbortSignal | undefined): Promise<number> {
  for await (const part of ref.stream('spell', { text: 'a' }, { signal, window: undefined }))
    same<typeof part, string>();
  for await (const part of ref.stream('all')) same<typeof part, 'a' | 'b'>();
  const parts: PartStream<number, { total: number }> = ref.stream('sum', 3, {
    timeoutMs: 5,
    priority: 'low',
  });
  const step = await parts.next();
  if (step.done !== true) return step.value;
  const nothing: void = await ref.stream('spell', { text: 'a' }).result;
  same<typeof nothing, void>();
  const asked: AsyncIterable<number> = parts;
  for await (const part of asked) same<typeof part, number>();
  const { total } = await parts.result;
  return total;
}
