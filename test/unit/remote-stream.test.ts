import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { memory } from '../../adapters/memory/index.ts';
import { systemHost } from '../../runtime/host/system-clock.ts';
import { agent, ask, protocol, stream, supervisor, tell, type } from '../../src/index.ts';
import type { MailboxOptions } from '../../src/protocol/agent.ts';
import type { Context } from '../../src/protocol/context.ts';
import { decodeFrame, encodeFrame, encodeMessage, type WireMessage } from '../../src/protocol/frame.ts';
import { LANE_WINDOWS, OUTBOX_WAITING_MAX } from '../../src/protocol/limits.ts';
import type { PartStream } from '../../src/protocol/part-stream.ts';
import { encodePayload } from '../../src/protocol/payload.ts';
import { dateCodec } from '../support/date-codec.ts';
import { deferred, endingOf } from '../support/puppet.ts';
import { testCluster } from '../support/test-cluster.ts';
import { recordTraces } from '../support/traces.ts';

const Teller = protocol('teller', {
  tale: stream(z.number(), z.string(), z.object({ words: z.number() })),
  busy: ask(z.number(), z.number()),
});

type Ctx = Context<typeof Teller, object>;
type Tale = AsyncGenerator<string, { words: number }, void>;

interface Work {
  readonly tale?: (ctx: Ctx, words: number) => Tale;
  readonly mailbox?: MailboxOptions;
  readonly turnTimeoutMs?: number;
}

const DONE = { done: true, value: undefined };

/** A teller of so many words, and how far it is. */
function teller({ tale, mailbox, turnTimeoutMs }: Work = {}) {
  const seen = { made: 0, ended: 0, reasons: [] as unknown[] };
  const gate = deferred();
  const definition = agent(Teller, {
    state: (): object => ({}),
    mailbox: mailbox ?? {},
    turnTimeoutMs,
    on: {
      tale:
        tale ??
        async function* (ctx, words): Tale {
          ctx.signal.addEventListener('abort', () => seen.reasons.push(ctx.signal.reason));
          try {
            for (let n = 0; n < words; n++) {
              seen.made++;
              yield `w${n}`;
            }
            return { words };
          } finally {
            seen.ended++;
          }
        },
      busy: async (_, n) => {
        await gate.promise;
        return n;
      },
    },
  });
  return {
    definition,
    seen,
    gate,
    root: supervisor({ children: { teller: definition.child({ shutdownMs: 100 }) } }),
  };
}

/** Node b with a teller, and node a with a ref to it. */
async function pair(work: Work = {}) {
  const cluster = testCluster();
  const told = teller(work);
  const a = await cluster.start('a');
  const b = await cluster.start('b', { root: told.root });
  return { ...cluster, ...told, a, b, ref: a.system.ref(Teller, 'teller', { node: 'b' }) };
}

type Pair = Awaited<ReturnType<typeof pair>>;

async function readAll(
  { during }: Pair,
  parts: PartStream<string, unknown>,
  most = Infinity,
): Promise<string[]> {
  const got: string[] = [];
  while (got.length < most) {
    const { done, value } = await during(parts.next());
    if (done === true) break;
    got.push(String(value));
  }
  return got;
}

const words = (count: number, from = 0): string[] => Array.from({ length: count }, (_, n) => `w${from + n}`);

describe('a stream of an actor of another node', () => {
  it('P131 gives its parts in order, then its result once, and leaves nothing on either node', async () => {
    const both = await pair();
    const parts = both.ref.stream('tale', 40);
    expect(both.seen.made).toBe(0);
    expect(await readAll(both, parts)).toEqual(words(40));
    expect([await parts.result, await parts.next()]).toEqual([{ words: 40 }, DONE]);
    await both.advance(10);
    for (const { kernel } of [both.a, both.b])
      expect([kernel.asksInFlight, kernel.timeouts.size]).toEqual([0, 0]);
    expect(both.seen).toMatchObject({ made: 40, ended: 1, reasons: [] });
    expect([both.a, both.b].flatMap(({ system }) => system.deadLetters.list())).toEqual([]);
  });

  it('P131 suspends its producer: window parts are in flight at the most', async () => {
    const both = await pair();
    for (const window of [1, 2, 5, 16]) {
      const before = both.seen.made;
      const parts = both.ref.stream('tale', 1_000, { window });
      expect(await readAll(both, parts, 1)).toEqual(['w0']);
      await both.advance(1_000);
      expect(both.seen.made - before).toBeLessThanOrEqual(1 + window);
      expect(both.seen.made - before).toBeGreaterThanOrEqual(window);
      for (let read = 2; read <= 40; read++) {
        await both.during(parts.next());
        expect(both.seen.made - before).toBeLessThanOrEqual(read + window);
      }
      await parts.return();
      await both.advance(10);
    }
    expect(both.seen.ended).toBe(4);
  });

  it('P131 that is broken off, or whose signal is aborted, ends the work over there', async () => {
    const both = await pair();
    const first = both.ref.stream('tale', 1_000);
    expect(await readAll(both, first, 3)).toEqual(words(3));
    expect(await first.return()).toEqual(DONE);
    await both.advance(10);
    expect(both.seen.ended).toBe(1);
    expect(both.seen.reasons).toMatchObject([
      { code: 'ERR_MESSAGE_DROPPED', details: { reason: 'cancelled' } },
    ]);

    const cancel = new AbortController();
    const second = both.ref.stream('tale', 1_000, { signal: cancel.signal });
    await readAll(both, second, 3);
    await both.advance(10);
    cancel.abort(new Error('enough'));
    await expect(second.next()).rejects.toThrow('enough');
    expect(await second.next()).toEqual(DONE);
    await both.advance(10);
    expect([both.seen.ended, both.a.kernel.asksInFlight]).toEqual([2, 0]);
    const queued = both.ref.stream('tale', 1_000);
    both.b.system.suspend(both.b.system.ref(Teller, 'teller'));
    const waiting = endingOf(queued.next());
    await both.advance(10);
    await queued.return();
    await both.advance(10);
    expect([
      waiting.value,
      both.b.system.inspect(both.b.system.ref(Teller, 'teller'))?.mailbox.queued,
    ]).toEqual([DONE, 0]);
    expect([both.a, both.b].flatMap(({ system }) => system.deadLetters.list())).toEqual([]);
  });

  it('P131 gives what was sent before a failure, then the error with its code', async () => {
    const both = await pair({
      tale: async function* () {
        yield 'one';
        yield 'two';
        throw new Error('fail');
      },
    });
    const parts = both.ref.stream('tale', 2);
    expect(await readAll(both, parts, 2)).toEqual(['one', 'two']);
    await expect(both.during(parts.next())).rejects.toMatchObject({
      code: 'ERR_ACTOR_FAILED',
      details: { message: 'tale' },
      cause: { message: expect.stringContaining('fail') as string },
    });
    expect(await parts.next()).toEqual(DONE);
  });

  it.each(['lost', 'stopped'])(
    'P131 keeps what had come when its producer is %s, and then fails at once',
    async (how) => {
      const both = await pair();
      const parts = both.ref.stream('tale', 1_000, { window: 4, timeoutMs: 10_000_000 });
      expect(await readAll(both, parts, 1)).toEqual(['w0']);
      await both.advance(10);
      const { made } = both.seen;
      if (how === 'lost') both.kill('b');
      else void both.b.system.stop(both.b.system.ref(Teller, 'teller'));
      await both.advance(30_000);
      expect(await readAll(both, parts, made - 1)).toEqual(words(made - 1, 1));
      await expect(parts.next()).rejects.toMatchObject({
        code: how === 'lost' ? 'ERR_NODE_DOWN' : 'ERR_ACTOR_STOPPED',
      });
    },
  );

  it('P131 goes on where it was after a cut of either node', async () => {
    const both = await pair();
    const parts = both.ref.stream('tale', 60, { window: 4 });
    const got = await readAll(both, parts, 10);
    for (const node of ['a', 'b']) {
      both.hub.cut(node);
      const ending = endingOf(
        (async () => {
          for (let n = 0; n < 10; n++) got.push(((await parts.next()) as { value: string }).value);
        })(),
      );
      await both.advance(2_000);
      expect([ending.is, got.length <= 10 + 4 + (node === 'b' ? 10 : 0)]).toEqual([undefined, true]);
      both.hub.heal(node);
      await both.advance(10_000);
      expect(ending.is).toBe('resolved');
    }
    got.push(...(await readAll(both, parts)));
    expect([got, both.seen.made, both.seen.ended]).toEqual([words(60), 60, 1]);
  });

  it('P131 ends the work of a node for a reader whose node is lost', async () => {
    const both = await pair();
    const parts = both.ref.stream('tale', 1_000, { window: 4, timeoutMs: 10_000_000 });
    await readAll(both, parts, 1);
    both.kill('a');
    await both.advance(30_000);
    expect(both.seen).toMatchObject({ ended: 1, reasons: [{ code: 'ERR_NODE_DOWN' }] });
    expect(both.b.kernel.timeouts.size).toBe(0);
  });

  it('P131 waits with a part, and with its end, where the outbox is full', async () => {
    const gate = deferred();
    const both = await pair({
      tale: async function* () {
        yield 'first';
        await gate.promise;
        yield 'second';
        return { words: 2 };
      },
    });
    const Sink = protocol('sink', { fill: tell(z.number()) });
    let filled = 0;
    await both.a.system.spawn(agent(Sink, { on: { fill: () => filled++ } }), { name: 'sink' });
    const parts = both.ref.stream('tale', 2);
    expect(await readAll(both, parts, 1)).toEqual(['first']);
    both.hub.cut('b');
    const sink = both.b.system.ref(Sink, '/user/sink', { node: 'a' });
    let told = 0;
    while (sink.tell('fill', told) === 'accepted') told++;
    gate.resolve();
    await both.advance(1_000);
    both.hub.heal('b');
    await both.advance(20_000);
    expect([await readAll(both, parts), await parts.result]).toEqual([['second'], { words: 2 }]);
    expect([told, filled]).toEqual([OUTBOX_WAITING_MAX, OUTBOX_WAITING_MAX]);
  });

  it('P131 ends the work of a node that the others have given up, and that goes on as another life', async () => {
    const both = await pair();
    const parts = both.ref.stream('tale', 1_000, { window: 2, timeoutMs: 10_000_000 });
    await readAll(both, parts, 1);
    both.hub.silence('both', 'b');
    await both.advance(60_000);
    expect(both.seen.ended).toBe(0);
    both.hub.heal();
    await both.advance(60_000);
    expect(both.seen).toMatchObject({
      ended: 1,
      reasons: [{ code: 'ERR_NODE_DOWN', details: { node: 'b' } }],
    });
    await expect(readAll(both, parts)).rejects.toMatchObject({ code: 'ERR_NODE_DOWN' });
  });

  it('P131 ends by its time on both nodes, also where they do not hear each other', async () => {
    const both = await pair();
    const parts = both.ref.stream('tale', 1_000, { window: 2, timeoutMs: 2_000 });
    await readAll(both, parts, 1);
    await both.advance(10);
    const { made } = both.seen;
    both.hub.silence('both', 'a');
    await both.advance(2_100);
    expect(both.seen.ended).toBe(1);
    expect(await readAll(both, parts, made - 1)).toEqual(words(made - 1, 1));
    await expect(parts.next()).rejects.toMatchObject({
      code: 'ERR_STREAM_TIMEOUT',
      details: { message: 'tale', timeoutMs: 2_000, parts: made },
    });
  });

  it('lets the time of its turn stand still while it waits for the other node', async () => {
    const both = await pair({ turnTimeoutMs: 100 });
    const parts = both.ref.stream('tale', 4, { window: 1 });
    await readAll(both, parts, 1);
    await both.advance(5_000);
    expect(await readAll(both, parts)).toEqual(words(3, 1));
  });

  it('is admitted as an ask is: held where there is no room, refused under another policy, unknown, or misaddressed', async () => {
    const full = { capacity: 1, criticalReserve: 0 } as const;
    const both = await pair({ mailbox: full });
    const busy = [1, 2].map((n) => endingOf(both.ref.ask('busy', n)));
    const held = endingOf(both.ref.stream('tale', 1).next());
    await both.advance(10);
    expect([held.is, both.b.system.inspect(both.b.system.ref(Teller, 'teller'))?.mailbox.waiting]).toEqual([
      undefined,
      1,
    ]);
    both.gate.resolve();
    await both.advance(10);
    expect([held.value, busy.map(({ is }) => is)]).toEqual([
      { done: false, value: 'w0' },
      ['resolved', 'resolved'],
    ]);

    const strict = await pair({ mailbox: { ...full, overflow: 'reject' } });
    for (const n of [1, 2]) {
      endingOf(strict.ref.ask('busy', n));
      await strict.advance(10); // the first has its turn, the second takes the place
    }
    await expect(strict.during(strict.ref.stream('tale', 1).next())).rejects.toMatchObject({
      code: 'ERR_MAILBOX_FULL',
    });
    strict.gate.resolve();
    const { system } = strict.a;
    const nobody = system.ref(Teller, 'nobody', { node: 'b' }).stream('tale', 1);
    await expect(strict.during(nobody.next())).rejects.toMatchObject({ code: 'ERR_ACTOR_UNKNOWN' });
    await expect(system.ref(Teller, 'teller', { node: 'c' }).stream('tale', 1).next()).rejects.toMatchObject({
      code: 'ERR_NODE_DOWN',
    });
  });

  it('is refused where the nodes know different versions of its protocol, whichever knows the stream', async () => {
    const Asked = protocol('teller', {
      tale: ask(z.number(), z.string()),
      busy: ask(z.number(), z.number()),
    });
    const cluster = testCluster();
    const asked = agent(Asked, { on: { tale: () => 'all at once', busy: (_, n) => n } });
    const { definition } = teller();
    const a = await cluster.start('a');
    await cluster.start('b', {
      root: supervisor({ children: { old: asked.child(), teller: definition.child() } }),
    });
    const { during } = cluster;
    const there = a.system.ref(Teller, 'old', { node: 'b' }).stream('tale', 1);
    await expect(during(there.next())).rejects.toMatchObject({
      code: 'ERR_PROTOCOL_MISMATCH',
      details: { message: 'tale', protocol: 'teller' },
    });
    await expect(during(a.system.ref(Asked, 'teller', { node: 'b' }).ask('tale', 1))).rejects.toMatchObject({
      code: 'ERR_PROTOCOL_MISMATCH',
    });
  });

  it('is not asked of a pool over nodes, here or from another one', async () => {
    const cluster = testCluster();
    const { definition } = teller();
    const agents = [definition];
    const a = await cluster.start('a', { agents });
    const b = await cluster.start('b', { agents });
    await cluster.advance(10);
    const spawned = a.system.spawn(definition.pool({ size: 2, nodes: 'all' }), { name: 'tellers' });
    const ref = await cluster.during(spawned, 1_000);
    const there = b.system.ref(Teller, '/user/tellers', { node: 'a' });
    for (const each of [ref, there])
      await expect(cluster.during(each.stream('tale', 1).next(), 1_000)).rejects.toMatchObject({
        code: 'ERR_OPTION_INVALID',
        details: { option: 'stream: ref' },
      });
    const stopped = a.system.stop(ref);
    await cluster.advance(60_000);
    await stopped;
  });

  it('checks what comes: a part or a result that does not fit ends it, and the work for it', async () => {
    const returns: readonly ((seen: { ended: number }) => Tale)[] = [
      async function* (seen) {
        try {
          yield 'fits';
          yield 7 as unknown as string;
          for (;;) yield 'more';
        } finally {
          seen.ended++;
        }
      },
      async function* (seen) {
        try {
          yield 'fits';
          return { words: 'many' } as unknown as { words: number };
        } finally {
          seen.ended++;
        }
      },
      async function* (seen) {
        try {
          yield 'fits';
          yield new Map() as unknown as string;
          for (;;) yield 'more';
        } finally {
          seen.ended++;
        }
      },
    ];
    for (const [n, code] of [
      'ERR_REPLY_INVALID',
      'ERR_REPLY_INVALID',
      'ERR_PAYLOAD_UNSERIALIZABLE',
    ].entries()) {
      const seen = { ended: 0 };
      const both = await pair({ tale: () => returns[n]?.(seen) as Tale });
      const parts = both.ref.stream('tale', 1);
      expect(await readAll(both, parts, 1)).toEqual(['fits']);
      await expect(both.during(parts.next())).rejects.toMatchObject({ code });
      await both.advance(10);
      expect([seen.ended, both.b.system.inspect(both.b.system.ref(Teller, 'teller'))]).toMatchObject([
        1,
        { generation: 0, turn: undefined },
      ]);
    }
  });

  it('sends nothing that only types describe', async () => {
    const Loose = protocol('loose', {
      all: stream(type<number>(), type<string>()),
      some: stream(z.number(), type<string>()),
    });
    const loose = agent(Loose, {
      on: {
        async *all() {
          yield 'a';
        },
        async *some() {
          yield 'a';
        },
      },
    });
    const cluster = testCluster();
    const a = await cluster.start('a');
    await cluster.start('b', { root: supervisor({ children: { loose: loose.child() } }) });
    const ref = a.system.ref(Loose, 'loose', { node: 'b' });
    await expect(cluster.during(ref.stream('all', 1).next())).rejects.toMatchObject({
      code: 'ERR_MESSAGE_INVALID',
    });
    await expect(cluster.during(ref.stream('some', 1).next())).rejects.toMatchObject({
      code: 'ERR_REPLY_INVALID',
    });
  });

  it('travels by the codec of the node that asked, and fails where a part cannot be read', async () => {
    const Dates = protocol('dates', { days: stream(z.number(), z.date(), z.date()) });
    const day = new Date(86_400_000);
    const dates = agent(Dates, {
      on: {
        async *days(_, count) {
          for (let n = 0; n < count; n++) yield day;
          return day;
        },
      },
    });
    const cluster = testCluster();
    const codec = dateCodec();
    const a = await cluster.start('a', { codec });
    await cluster.start('b', { codec, root: supervisor({ children: { dates: dates.child() } }) });
    const parts = a.system.ref(Dates, 'dates', { node: 'b' }).stream('days', 2);
    const got: unknown[] = [];
    for (let step = await cluster.during(parts.next()); ; step = await cluster.during(parts.next())) {
      got.push(step.value);
      if (step.done === true) break;
    }
    expect(got).toEqual([day, day, day]);
  });

  it('carries the chain of those that wait: one that would wait for itself is refused', async () => {
    const cluster = testCluster();
    let there: ReturnType<typeof b.system.ref<typeof Teller>> | undefined;
    const looping = agent(Teller, {
      on: {
        async *tale(ctx, count) {
          if (there !== undefined) for await (const word of ctx.stream(there, 'tale', count)) yield word;
          return { words: count };
        },
        busy: (_, n) => n,
      },
    });
    const a = await cluster.start('a', { root: supervisor({ children: { teller: looping.child() } }) });
    const b = await cluster.start('b', {
      root: supervisor({
        children: {
          teller: agent(Teller, {
            on: {
              async *tale(ctx, count) {
                const back = ctx.system.ref(Teller, 'teller', { node: 'a' });
                for await (const word of ctx.stream(back, 'tale', count)) yield word;
                return { words: count };
              },
              busy: (_, n) => n,
            },
          }).child(),
        },
      }),
    });
    there = a.system.ref(Teller, 'teller', { node: 'b' });
    const parts = a.system.ref(Teller, 'teller').stream('tale', 1);
    await expect(cluster.during(parts.next(), 1_000)).rejects.toMatchObject({
      code: 'ERR_ACTOR_FAILED',
      cause: {
        code: 'ERR_ACTOR_FAILED',
        cause: { message: expect.stringContaining('wait for itself') as string },
      },
    });
  });

  it('is one trace over both nodes, with its parts on the call', async () => {
    const traces = recordTraces();
    const both = await pair();
    await readAll(both, both.ref.stream('tale', 5));
    await both.advance(10);
    const [call, turn] = ['send teller', 'process teller'].map((name) => traces.named(name)[0]);
    expect(call?.attributes).toMatchObject({
      'troupe.call': 'stream',
      'troupe.stream.parts': 5,
      'troupe.admission': 'accepted',
    });
    expect(call?.events.map(({ name }) => name)).toEqual(['troupe.stream.first_part']);
    expect(turn?.parentSpanContext?.spanId).toBe(call?.spanContext().spanId);
  });

  it('ends when either system is shut down', async () => {
    for (const ending of ['a', 'b'] as const) {
      const both = await pair();
      const parts = both.ref.stream('tale', 1_000, { window: 2 });
      await readAll(both, parts, 1);
      const over = both[ending].system.shutdown({ drainMs: 100 });
      await both.advance(10_000);
      await over;
      both.forget(ending);
      await both.advance(30_000);
      await readAll(both, parts, both.seen.made - 1).catch(() => undefined);
      await parts.next().catch(() => undefined);
      expect(both.seen.ended).toBe(1);
      expect(await parts.next().catch(() => DONE)).toEqual(DONE);
    }
  });
});

describe('words about streams of a node of another make', () => {
  /** A node that speaks the wire by hand, and keeps what it is sent. */
  async function hand({ hub, clock, during }: Pick<Pair, 'hub' | 'clock' | 'during'>) {
    const broker = memory({ hub });
    await during(broker.open({ name: 'hand', incarnation: 'h1' }, { ...systemHost, clock }));
    const heard: WireMessage[] = [];
    const consumption = await during(
      broker.consume(
        { kind: 'inbox' },
        {
          windows: LANE_WINDOWS,
          receive: (deliveries) => {
            for (const delivery of deliveries) {
              // What it is told of names is none of this.
              heard.push(
                ...decodeFrame(delivery.bytes).messages.filter(({ type: kind }) => kind !== 'names'),
              );
              consumption.acknowledge([delivery]);
            }
          },
        },
      ),
    );
    let sequence = 0;
    const say = (
      to: string,
      message: Partial<WireMessage> & Pick<WireMessage, 'type' | 'id'>,
      value?: unknown,
    ) => {
      const none = undefined;
      const labels = { sentAtMs: 0, expiresAtMs: none, sender: none, correlationId: none, headers: none };
      const payload = encodePayload(value, 10_000);
      const bytes = encodeFrame({ node: 'hand', incarnation: 'h1', stream: 1, sequence: ++sequence }, [
        encodeMessage({ ...labels, payload, ...message }),
      ]);
      return during(broker.publish([{ to: { kind: 'node', node: to }, lane: 3, bytes }]));
    };
    return { broker, heard, say, close: () => during(broker.close()) };
  }

  it('P131 are read by their numbers, and what was never asked for is given up', async () => {
    const cluster = testCluster();
    const a = await cluster.start('a');
    const there = await hand(cluster);
    await cluster.advance(10);
    const parts = a.system.ref(Teller, 'teller', { node: 'hand' }).stream('tale', 5, { window: 4 });
    const got: unknown[] = [];
    const reading = (async () => {
      for await (const part of parts) got.push(part);
    })();
    await cluster.advance(10);
    const asked = there.heard.find(({ type: kind }) => kind === 'ask');
    const id = asked?.id ?? '';
    expect(asked).toMatchObject({ correlationId: '4', target: { message: 'tale' } });
    const part = (number: string, word: unknown) =>
      there.say('a', { type: 'part', id, correlationId: number }, word);
    await part('2', 'two');
    await part('3', 'three');
    await part('3', 'another three');
    await cluster.advance(10);
    expect(got).toEqual([]);
    await there.say('a', { type: 'reply', id, correlationId: '5' }, { words: 5 });
    await part('1', 'one');
    await part('1', 'another one');
    await cluster.advance(10);
    expect(got).toEqual(['one', 'two', 'three']);
    await part('5', 'five');
    await part('4', 'four');
    await there.say('a', { type: 'reply', id, correlationId: '0' }, { words: 0 });
    await cluster.advance(10);
    await reading;
    expect(got).toEqual(['one', 'two', 'three', 'four', 'five']);
    expect(await parts.result).toEqual({ words: 5 });
    // Three were read when two were demanded anew, of four.
    expect(
      there.heard.filter(({ type: kind }) => kind === 'demand').map(({ correlationId }) => correlationId),
    ).toEqual(['6', '8']);
    expect(cluster.hub.deadFrames()).toEqual([]);

    const second = a.system.ref(Teller, 'teller', { node: 'hand' }).stream('tale', 5, { window: 2 });
    const next = endingOf(second.next());
    await cluster.advance(10);
    const { id: other = '' } = there.heard.findLast(({ type: kind }) => kind === 'ask') ?? {};
    for (const number of ['4', '-1', '1.5', '01', 'x', undefined])
      await there.say('a', { type: 'part', id: other, correlationId: number }, 'forged');
    await there.say('a', { type: 'part', id: 'nobody-asked', correlationId: '1' }, 'forged');
    await there.say('a', { type: 'demand', id: 'nobody-works', correlationId: '7' });
    await there.say('a', { type: 'demand', id: 'nobody-works' });
    await cluster.advance(10);
    expect([next.is, cluster.hub.deadFrames().map(({ reason }) => reason)]).toEqual([
      undefined,
      Array.from({ length: 7 }, () => 'validation'),
    ]);
    await there.say('a', { type: 'reply', id: other }, 'all at once');
    await cluster.advance(10);
    expect(next).toMatchObject({ is: 'ERR_PROTOCOL_MISMATCH', error: { details: { message: 'tale' } } });
    await there.close();
  });

  it('P131 end a stream whose part cannot be read, and the work for it', async () => {
    const cluster = testCluster();
    const a = await cluster.start('a');
    const there = await hand(cluster);
    await cluster.advance(10);
    const next = endingOf(a.system.ref(Teller, 'teller', { node: 'hand' }).stream('tale', 5).next());
    await cluster.advance(10);
    const { id = '' } = there.heard.find(({ type: kind }) => kind === 'ask') ?? {};
    const payload = { codec: 'named', name: 'nobody-has-it', bytes: new Uint8Array(2) } as const;
    await there.say('a', { type: 'part', id, correlationId: '1', payload });
    await cluster.advance(10);
    expect(next.is).toBe('ERR_CODEC_UNKNOWN');
    expect(there.heard.map(({ type: kind }) => kind)).toEqual(['ask', 'cancel']);
    expect(cluster.hub.deadFrames().map(({ reason }) => reason)).toEqual(['serialization']);
    await there.close();
  });

  it.each([
    ['none', 1],
    ['0', 1],
    ['3', 3],
    ['9999', 1_024],
  ])('P131 that ask with a window of %s are sent %i parts', async (window, most) => {
    const both = await pair();
    const there = await hand(both);
    const life = both.b.system.nodes.find(({ isSelf }) => isSelf)?.incarnation ?? '';
    const target = { address: `//b@${life}:teller`, protocol: 'teller', message: 'tale' };
    await there.say('b', { type: 'ask', id: 'h-1', correlationId: window, target }, 10_000);
    await both.advance(100);
    expect(there.heard.map(({ type: kind, correlationId }) => [kind, correlationId])).toEqual(
      Array.from({ length: most }, (_, n) => ['part', String(n + 1)]),
    );
    await there.say('b', { type: 'demand', id: 'h-1', correlationId: String(most + 2) });
    await there.say('b', { type: 'demand', id: 'h-1', correlationId: String(most + 1) });
    await both.advance(100);
    expect(there.heard.length).toBe(most + 2);
    await there.say('b', { type: 'cancel', id: 'h-1' });
    await both.advance(100);
    expect([both.seen.ended, there.heard.length]).toEqual([1, most + 2]);
    await there.close();
  });

  it('P131 that demand less than one before them, since they come late, take nothing back', async () => {
    const gate = deferred();
    const both = await pair({
      tale: async function* () {
        yield 'first';
        await gate.promise;
        for (;;) yield 'next';
      },
    });
    const there = await hand(both);
    const life = both.b.system.nodes.find(({ isSelf }) => isSelf)?.incarnation ?? '';
    const target = { address: `//b@${life}:teller`, protocol: 'teller', message: 'tale' };
    await there.say('b', { type: 'ask', id: 'h-1', correlationId: '1', target }, 10);
    for (const parts of ['5', '3']) await there.say('b', { type: 'demand', id: 'h-1', correlationId: parts });
    await both.advance(100);
    gate.resolve();
    await both.advance(100);
    expect(there.heard.length).toBe(5);
    await there.say('b', { type: 'cancel', id: 'h-1' });
    await both.advance(100);
    await there.close();
  });
});
