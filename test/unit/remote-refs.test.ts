import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { memory } from '../../adapters/memory/index.ts';
import { systemHost } from '../../runtime/host/system-clock.ts';
import { agent, ask, createSystem, protocol, supervisor, tell, type } from '../../src/index.ts';
import type { MailboxOptions } from '../../src/protocol/agent.ts';
import type { AskContext, Context } from '../../src/protocol/context.ts';
import { encodeFrame, encodeMessage, type WireMessage } from '../../src/protocol/frame.ts';
import { OUTBOX_WAITING_MAX, WAITERS_MAX } from '../../src/protocol/limits.ts';
import { encodePayload } from '../../src/protocol/payload.ts';
import { dateCodec } from '../support/date-codec.ts';
import { deferred, endingOf, never } from '../support/puppet.ts';
import { testCluster } from '../support/test-cluster.ts';
import { recordTraces } from '../support/traces.ts';

const Judge = protocol('judge', {
  learn: tell(z.object({ word: z.string() })),
  score: ask(z.object({ text: z.string() }), z.number()),
});
type JudgeProtocol = typeof Judge;

interface JudgeWork {
  readonly learn?: (ctx: Context<JudgeProtocol, object>, word: string) => unknown;
  readonly score?: (ctx: AskContext<JudgeProtocol, object, number>, text: string) => number | Promise<number>;
  readonly mailbox?: MailboxOptions;
}

/** A judge that keeps what it learns, and does with it what the test says. */
function judge({ learn = () => undefined, score = (_, text) => text.length, mailbox }: JudgeWork = {}) {
  const learned: string[] = [];
  const definition = agent(Judge, {
    state: (): object => ({}),
    mailbox: mailbox ?? {},
    on: {
      learn: (ctx, { word }) => {
        learned.push(word);
        return learn(ctx, word);
      },
      score: (ctx, { text }) => score(ctx, text),
    },
  });
  return { definition, learned, root: supervisor({ children: { judge: definition.child() } }) };
}

/** Node b with a judge, and node a with a ref to it. */
async function pair(work: JudgeWork = {}) {
  const cluster = testCluster();
  const judged = judge(work);
  const a = await cluster.start('a');
  const b = await cluster.start('b', { root: judged.root });
  return { ...cluster, ...judged, a, b, ref: a.system.ref(Judge, 'judge', { node: 'b' }) };
}

function reasonsOf({
  system,
}: {
  readonly system: { readonly deadLetters: { list(): readonly { reason: string }[] } };
}) {
  return system.deadLetters.list().map(({ reason }) => reason);
}

describe('a ref to an actor of another node', () => {
  it('tells, sends and asks as a ref to one of this process does', async () => {
    const { ref, during, learned } = await pair();
    expect(ref.tell('learn', { word: 'one' })).toBe('accepted');
    await during(ref.send('learn', { word: 'two' }));
    await during(ref.send('learn', { word: 'three' }, { receipt: true }));
    expect(learned).toEqual(['one', 'two', 'three']);
    expect(await during(ref.ask('score', { text: 'four' }))).toBe(4);
  });

  it('P107: leads back to its actor from wherever it was written down', async () => {
    const { start, advance } = testCluster();
    const { definition, learned } = judge();
    const a = await start('a');
    const b = await start('b');
    const here = await b.system.spawn(definition, { name: 'x' });
    const { ref: address } = JSON.parse(JSON.stringify({ ref: here })) as { ref: string };
    expect(address).toMatch(/^\/\/b@[a-z0-9]+\/user\/x#\d+$/);
    const there = a.system.ref(Judge, address);
    expect([there.address, JSON.parse(JSON.stringify(there)), `${here.toJSON()}`]).toEqual([
      address,
      address,
      address,
    ]);
    there.tell('learn', { word: 'far' });
    b.system.ref(Judge, address).tell('learn', { word: 'near' });
    await advance(50);
    expect(learned).toEqual(['near', 'far']);
  });

  it('is one by name, which leads to whoever holds it when the message arrives', async () => {
    const { start, during, advance } = testCluster();
    const { definition, learned } = judge();
    const a = await start('a');
    const b = await start('b');
    const ref = a.system.ref(Judge, 'expert', { node: 'b' });
    expect(ref.address).toBe('//b:expert');
    const early = endingOf(ref.ask('score', { text: 'x' }));
    await advance(50);
    expect(early.is).toBe('ERR_ACTOR_UNKNOWN');
    b.system.register('expert', await b.system.spawn(definition));
    await during(ref.send('learn', { word: 'now' }, { receipt: true }));
    expect(learned).toEqual(['now']);
  });

  it('carries priority, deadline, headers and sender, and the sender can be answered', async () => {
    const { start, advance } = testCluster();
    const answered: string[] = [];
    const Asker = protocol('asker', { go: tell(), answer: tell(z.string()) });
    const seen: unknown[] = [];
    const { root } = judge({
      learn: (ctx) => {
        const { priority, deadline, headers, sender } = ctx.message;
        seen.push({ priority, hasDeadline: deadline !== undefined, headers });
        ctx.tell(ctx.system.ref(Asker, String(sender)), 'answer', 'hello');
      },
    });
    const asker = agent(Asker, {
      state: (): object => ({}),
      on: {
        go: (ctx) =>
          ctx.tell(
            ctx.system.ref(Judge, 'judge', { node: 'b' }),
            'learn',
            { word: 'w' },
            { priority: 'urgent', ttlMs: 5_000, headers: { tenant: 'acme' } },
          ),
        answer: (_, text) => answered.push(text),
      },
    });
    const a = await start('a');
    await start('b', { root });
    (await a.system.spawn(asker)).tell('go');
    await advance(100);
    expect(seen).toEqual([{ priority: 'urgent', hasDeadline: true, headers: { tenant: 'acme' } }]);
    expect(answered).toEqual(['hello']);
  });

  it('refuses at the call what cannot travel, and sends nothing', async () => {
    const { a, b, advance } = await pair();
    const Odd = protocol('odd', {
      typed: tell(type<{ n: number }>()),
      plain: tell(z.any()),
      none: ask(type<void>(), z.number()),
    });
    const odd = a.system.ref(Odd, 'judge', { node: 'b' });
    expect(() => odd.tell('typed', { n: 1 })).toThrow(/only types and checks nothing/);
    expect(() => odd.send('plain', { at: new Date(0) })).toThrow(
      expect.objectContaining({ code: 'ERR_PAYLOAD_UNSERIALIZABLE' }),
    );
    expect(() => odd.tell('plain', 'x'.repeat(2_000_000))).toThrow(
      expect.objectContaining({ code: 'ERR_PAYLOAD_TOO_LARGE' }),
    );
    expect(() => odd.ask('missing' as 'none')).toThrow(
      expect.objectContaining({ code: 'ERR_MESSAGE_UNKNOWN' }),
    );
    await advance(50);
    expect(reasonsOf(b)).toEqual([]);
    expect(a.kernel.asksInFlight).toBe(0);
  });
});

describe('what another node sends', () => {
  it('is checked by its schema, whatever validate says, and what fails is a dead letter there', async () => {
    const { start, during, advance } = testCluster();
    const { root, learned } = judge();
    const a = await start('a');
    const b = await start('b', { root });
    const Loose = protocol('judge', { learn: tell(z.any()), score: ask(z.any(), z.any()) });
    const ref = a.system.ref(Loose, 'judge', { node: 'b' });
    ref.tell('learn', { word: 7 });
    const asked = endingOf(ref.ask('score', { text: false }));
    await advance(50);
    expect(asked.error).toMatchObject({ code: 'ERR_MESSAGE_INVALID' });
    expect(reasonsOf(b)).toEqual(['validation', 'validation']);
    expect(b.system.deadLetters.list()[0]).toMatchObject({ message: 'learn', payload: { word: 7 } });
    await during(ref.send('learn', { word: 'fine' }, { receipt: true }));
    expect(learned).toEqual(['fine']);
  });

  it('is refused by a schema that only types, unless that trusts', async () => {
    const { start, during, advance } = testCluster();
    const Strict = protocol('typed', { put: tell(z.number()) });
    const Typed = protocol('typed', { put: tell(type<number>()) });
    const Trusting = protocol('trusting', { put: tell(type<number>({ trust: true })) });
    const got: number[] = [];
    const a = await start('a');
    const b = await start('b');
    const on = { put: (_: unknown, n: number) => got.push(n) };
    await b.system.spawn(agent(Typed, { state: () => 0, on }), { name: 'typed' });
    await b.system.spawn(agent(Trusting, { state: () => 0, on }), { name: 'trusting' });
    a.system.ref(Strict, '/user/typed', { node: 'b' }).tell('put', 1);
    await advance(50);
    expect(b.system.deadLetters.list()).toMatchObject([
      { reason: 'validation', error: { code: 'ERR_MESSAGE_INVALID' } },
    ]);
    await during(a.system.ref(Trusting, '/user/trusting', { node: 'b' }).send('put', 2, { receipt: true }));
    expect(got).toEqual([2]);
  });

  it('and is of another version of the protocol is an error on both nodes, told once', async () => {
    const { start, advance } = testCluster();
    const { root } = judge();
    const a = await start('a');
    const b = await start('b', { root });
    const Newer = protocol('judge', { learn: tell(z.any()), forget: tell(), rank: ask(z.any(), z.any()) });
    const ref = a.system.ref(Newer, 'judge', { node: 'b' });
    const asked = endingOf(ref.ask('rank', {}));
    ref.tell('forget');
    ref.tell('forget');
    const Other = protocol('jury', { learn: tell(z.any()) });
    const other = endingOf(a.system.ref(Other, 'judge', { node: 'b' }).send('learn', {}, { receipt: true }));
    await advance(50);
    expect(asked.error).toMatchObject({
      code: 'ERR_PROTOCOL_MISMATCH',
      details: { message: 'rank', protocol: 'judge', found: "'score'" },
    });
    expect(other.error).toMatchObject({
      code: 'ERR_PROTOCOL_MISMATCH',
      details: { protocol: 'jury', found: "protocol 'judge'" },
    });
    const told = (node: typeof a) =>
      node.logs.filter(({ level, text }) => level === 'error' && text.includes("'forget'"));
    expect(told(a)).toHaveLength(1);
    expect(told(b)).toHaveLength(1);
    expect(reasonsOf(b)).toEqual(['validation', 'validation', 'validation', 'validation']);
  });

  it('to nobody is a dead letter there, and rejects who waits', async () => {
    const { a, b, ref, advance, during } = await pair();
    const nobody = a.system.ref(Judge, '/user/nobody', { node: 'b' });
    nobody.tell('learn', { word: 'x' });
    const asked = endingOf(nobody.ask('score', { text: 'x' }));
    const receipt = endingOf(nobody.send('learn', { word: 'y' }, { receipt: true }));
    await advance(50);
    expect([asked.is, receipt.is]).toEqual(['ERR_ACTOR_UNKNOWN', 'ERR_ACTOR_UNKNOWN']);
    expect(reasonsOf(b)).toEqual(['actor-unknown', 'actor-unknown', 'actor-unknown']);
    const gone = await b.system.spawn(judge().definition, { name: 'gone' });
    const stale = a.system.ref(Judge, JSON.parse(JSON.stringify(gone)) as string);
    await during(b.system.stop(gone));
    const late = endingOf(stale.ask('score', { text: 'x' }));
    await advance(50);
    expect(late.is).toBe('ERR_ACTOR_UNKNOWN');
    expect(reasonsOf(b).at(-1)).toBe('stale-incarnation');
    expect(await during(ref.ask('score', { text: 'abc' }))).toBe(3);
  });

  it('P109: waits for room where its mailbox is full, and holds up nobody else', async () => {
    const gate = deferred();
    const { a, b, ref, learned, during, advance } = await pair({
      mailbox: { capacity: 1, waitersMax: 0 },
      learn: () => gate.promise,
    });
    const free = judge();
    await b.system.spawn(free.definition, { name: 'free' });
    for (let n = 0; n < 100; n++) ref.tell('learn', { word: `w${n}` });
    await advance(50);
    expect(learned).toEqual(['w0']);
    expect(b.system.inspect(b.system.ref(Judge, 'judge'))?.mailbox).toMatchObject({ queued: 1, waiting: 98 });
    const other = a.system.ref(Judge, '/user/free', { node: 'b' });
    expect(await during(other.ask('score', { text: 'abc' }))).toBe(3);
    gate.resolve();
    await advance(50);
    expect(learned).toEqual(Array.from({ length: 100 }, (_, n) => `w${n}`));
    expect(reasonsOf(b)).toEqual([]);
  });

  it('may expire while it waits for room, and is told of', async () => {
    const { b, ref, learned, advance } = await pair({
      mailbox: { capacity: 1 },
      learn: (_, word) => (word === 'first' ? never() : undefined),
    });
    ref.tell('learn', { word: 'first' });
    ref.tell('learn', { word: 'queued' });
    ref.tell('learn', { word: 'held' }, { ttlMs: 1_000 });
    await advance(2_000);
    expect(learned).toEqual(['first']);
    expect(b.system.deadLetters.list()).toMatchObject([{ reason: 'expired', payload: { word: 'held' } }]);
  });

  it('obeys another policy of the mailbox at once', async () => {
    const { b, ref, advance } = await pair({
      mailbox: { capacity: 1, overflow: 'reject' },
      learn: () => never(),
    });
    ref.tell('learn', { word: 'first' });
    await advance(20);
    for (const word of ['queued', 'told']) ref.tell('learn', { word });
    const asked = endingOf(ref.ask('score', { text: 'x' }));
    const receipt = endingOf(ref.send('learn', { word: 'sent' }, { receipt: true }));
    await advance(50);
    expect([asked.is, receipt.is]).toEqual(['ERR_MAILBOX_FULL', 'ERR_MAILBOX_FULL']);
    expect(reasonsOf(b)).toEqual(['overflow-dropped', 'overflow-dropped', 'overflow-dropped']);
    expect(b.events.filter(({ type: kind }) => kind === 'message-refused')).toMatchObject([
      { message: 'learn', verdict: 'full' },
      { message: 'score', verdict: 'full' },
      { message: 'learn', verdict: 'full' },
    ]);
  });

  it('is refused, counted and told, whatever the verb, where no more may wait for the broker', async () => {
    const { a, hub, ref, advance } = await pair();
    hub.cut('a');
    for (let n = 0; n < OUTBOX_WAITING_MAX; n++) ref.tell('learn', { word: 'x' });
    for (let n = 0; n < WAITERS_MAX; n++) endingOf(ref.send('learn', { word: 'x' }));
    const told = (): unknown[] => a.events.filter(({ type: kind }) => kind === 'message-refused');
    expect(told()).toEqual([]);
    expect(ref.tell('learn', { word: 'x' })).toBe('full');
    const calls = [endingOf(ref.send('learn', { word: 'x' })), endingOf(ref.ask('score', { text: 'x' }))];
    calls.push(endingOf(ref.send('learn', { word: 'x' }, { receipt: true })));
    await advance(0);
    expect(calls.map(({ is }) => is)).toEqual(['ERR_OUTBOX_FULL', 'ERR_OUTBOX_FULL', 'ERR_OUTBOX_FULL']);
    const refused = { type: 'message-refused', address: ref.address, verdict: 'full', priority: 'normal' };
    expect(told()).toEqual(['learn', 'learn', 'score', 'learn'].map((message) => ({ ...refused, message })));
    expect(a.kernel.telemetry.tallyOf('judge').refused.of('full')).toBe(4);
    hub.heal();
  });

  it('comes by priority: critical gets past a backlog that waits', async () => {
    const gate = deferred();
    const { ref, learned, advance } = await pair({
      mailbox: { capacity: 10 },
      learn: (_, word) => (word === 'first' ? gate.promise : undefined),
    });
    ref.tell('learn', { word: 'first' });
    for (let n = 0; n < 500; n++) ref.tell('learn', { word: `b${n}` }, { priority: 'background' });
    await advance(50);
    ref.tell('learn', { word: 'alarm' }, { priority: 'critical' });
    await advance(50);
    gate.resolve();
    await advance(100);
    expect(learned.slice(0, 3)).toEqual(['first', 'alarm', 'b0']);
    expect(learned).toHaveLength(502);
  });
});

describe('a codec', () => {
  it('carries what JSON does not, and the answer to it', async () => {
    const { start, during } = testCluster();
    const Dated = protocol('dated', { shift: ask(z.object({ at: z.date() }), z.date()) });
    const shift = agent(Dated, {
      state: () => 0,
      on: { shift: (_, { at }) => new Date(at.getTime() + 1_000) },
    });
    const a = await start('a', { codec: dateCodec() });
    await start('b', { codecs: [dateCodec()], root: supervisor({ children: { shift: shift.child() } }) });
    const ref = a.system.ref(Dated, 'shift', { node: 'b' });
    expect(await during(ref.ask('shift', { at: new Date(0) }))).toEqual(new Date(1_000));
  });

  it('that a node does not know is an error for who asks, and kept by the broker', async () => {
    const { start, advance, hub } = testCluster();
    const { root } = judge();
    const a = await start('a', { codec: dateCodec() });
    await start('b', { root });
    const ref = a.system.ref(Judge, 'judge', { node: 'b' });
    ref.tell('learn', { word: 'x' });
    const asked = endingOf(ref.ask('score', { text: 'x' }));
    await advance(50);
    expect(asked.error).toMatchObject({ code: 'ERR_CODEC_UNKNOWN', details: { codec: 'dates' } });
    expect(hub.deadFrames().map(({ reason }) => reason)).toEqual(['serialization']); // both, in one frame
  });

  it('is refused in a system without a broker', async () => {
    const bad = expect.objectContaining({ code: 'ERR_OPTION_INVALID' });
    await expect(createSystem({ name: 'x', codec: dateCodec() })).rejects.toThrow(bad);
    await expect(createSystem({ name: 'x', codecs: [] })).rejects.toThrow(bad);
    await expect(createSystem({ name: 'x', node: 'a' })).rejects.toThrow(bad);
  });
});

describe('frames that no node of ours writes', () => {
  it('harm nobody: what they say of actors, lives, chains and ends is looked at', async () => {
    const { b, hub, advance, learned, during, ref } = await pair();
    const stranger = memory({ hub });
    const identity = { name: 'stranger', incarnation: 's1' };
    await during(stranger.open(identity, { ...systemHost, clock: b.kernel.host.clock }));
    const life = b.system.nodes.find(({ isSelf }) => isSelf)?.incarnation ?? '';
    let sequence = 0;
    const say = async (message: Partial<WireMessage> & Pick<WireMessage, 'type'>): Promise<void> => {
      const none = undefined;
      const labels = {
        id: `s-${sequence}`,
        sentAtMs: 0,
        expiresAtMs: none,
        correlationId: none,
        headers: none,
      };
      const payload = encodePayload({ word: 'forged' }, 1_000);
      const bytes = encodeMessage({ sender: none, ...labels, payload, ...message });
      const frame = encodeFrame({ node: 'stranger', incarnation: 's1', stream: 1, sequence: ++sequence }, [
        bytes,
      ]);
      await during(stranger.publish([{ to: { kind: 'node', node: 'b' }, lane: 3, bytes: frame }]));
    };
    const target = { address: `//b@${life}:judge`, protocol: 'judge', message: 'learn' };
    await say({ type: 'tell', target: { ...target, address: `//c@${life}:judge` } });
    await say({ type: 'tell', target: { ...target, address: '../../etc' } });
    await say({ type: 'tell', target: { ...target, address: '//b@old:judge' } });
    await say({ type: 'tell', target: { ...target, message: '__proto__' } });
    await say({ type: 'reply', id: 'nobody-asked' });
    await say({ type: 'refusal', id: 'nobody-asked' });
    await say({ type: 'cancel', id: 'nobody-works' });
    await say({ type: 'message' });
    await say({ type: 'tell', target, sender: '//a@x/user/somebody-else#1' });
    await advance(100);
    expect(learned).toEqual(['forged']);
    expect(reasonsOf(b)).toEqual(['stale-incarnation', 'validation', 'late-reply']);
    expect(hub.deadFrames().map(({ reason }) => reason)).toEqual(['validation', 'validation', 'validation']);
    expect(await during(ref.ask('score', { text: 'abc' }))).toBe(3);
    await during(stranger.close());
  });
});

describe('an ask of another node', () => {
  it('is rejected with the failure of its turn, and with what the actor said when it ends', async () => {
    const { b, ref, advance } = await pair({
      score: (_, text) => {
        if (text === 'bad') throw new Error('it broke');
        return never();
      },
    });
    const failed = endingOf(ref.ask('score', { text: 'bad' }));
    await advance(200);
    expect(failed.error).toMatchObject({
      code: 'ERR_ACTOR_FAILED',
      details: { message: 'score' },
      cause: { message: expect.stringContaining('it broke') },
    });
    const waiting = endingOf(ref.ask('score', { text: 'x' }));
    await advance(50);
    const stopping = b.system.stop(b.system.ref(Judge, 'judge'));
    await advance(60_000);
    await stopping;
    expect(waiting.is).toBe('ERR_ACTOR_STOPPED');
  });

  it('checks the reply by the schema of the asker', async () => {
    const { a, b, advance } = await pair();
    const Odd = protocol('odd', { score: ask(z.any(), type<unknown>({ trust: true })) });
    const Exact = protocol('odd', { score: ask(z.any(), z.number()) });
    await b.system.spawn(agent(Odd, { state: () => 0, on: { score: () => 'three' } }), { name: 'odd' });
    const asked = endingOf(a.system.ref(Exact, '/user/odd', { node: 'b' }).ask('score', {}));
    await advance(50);
    expect(asked.is).toBe('ERR_REPLY_INVALID');
  });

  it('is rejected where its reply cannot travel', async () => {
    const { a, b, advance } = await pair();
    const Big = protocol('big', { get: ask(type<void>(), z.any()) });
    const replies: unknown[] = [new Date(0), 'x'.repeat(2_000_000)];
    await b.system.spawn(agent(Big, { state: () => 0, on: { get: () => replies.shift() } }), { name: 'big' });
    const ref = a.system.ref(Big, '/user/big', { node: 'b' });
    const asked = [endingOf(ref.ask('get')), endingOf(ref.ask('get'))];
    await advance(50);
    expect(asked.map(({ is }) => is)).toEqual(['ERR_PAYLOAD_UNSERIALIZABLE', 'ERR_PAYLOAD_TOO_LARGE']);
  });

  it('aborts the turn it paid for when its time is up, its signal says so, or its own turn ends', async () => {
    const aborted: unknown[] = [];
    const { a, b, ref, advance, during } = await pair({
      score: (ctx, text) =>
        new Promise((_, fail) => {
          ctx.signal.addEventListener('abort', () => {
            aborted.push(text);
            fail(ctx.signal.reason);
          });
        }),
    });
    const timed = endingOf(ref.ask('score', { text: 'timed' }, { timeoutMs: 1_000 }));
    await advance(1_050);
    expect([timed.is, aborted]).toEqual(['ERR_ASK_TIMEOUT', ['timed']]);
    const controller = new AbortController();
    const signalled = endingOf(ref.ask('score', { text: 'signalled' }, { signal: controller.signal }));
    await advance(50);
    controller.abort(new Error('enough'));
    await advance(50);
    expect([signalled.error, aborted]).toEqual([new Error('enough'), ['timed', 'signalled']]);
    const Asker = protocol('asker', { go: tell() });
    const asker = agent(Asker, {
      state: () => 0,
      on: { go: (ctx) => ctx.ask(ctx.system.ref(Judge, 'judge', { node: 'b' }), 'score', { text: 'turn' }) },
    });
    const actor = await a.system.spawn(asker);
    actor.tell('go');
    await advance(50);
    await during(a.system.kill(actor));
    await advance(50);
    expect(aborted).toEqual(['timed', 'signalled', 'turn']);
    expect(a.kernel.asksInFlight + b.kernel.asksInFlight).toBe(0);
  });

  it('is taken out of the queue, and out of the wait for room, when nobody waits for it any more', async () => {
    const gate = deferred();
    const { b, ref, advance } = await pair({
      mailbox: { capacity: 1 },
      learn: () => gate.promise,
      score: (_, text) => text.length,
    });
    ref.tell('learn', { word: 'busy' });
    await advance(20);
    const controller = new AbortController();
    const { signal } = controller;
    const asked = [1, 2, 3].map(() => endingOf(ref.ask('score', { text: 'x' }, { signal })));
    await advance(20);
    const inspect = () => b.system.inspect(b.system.ref(Judge, 'judge'));
    expect(inspect()?.mailbox).toMatchObject({ queued: 1, waiting: 2 });
    controller.abort(new Error('enough'));
    await advance(20);
    expect(inspect()?.mailbox).toMatchObject({ queued: 0, waiting: 0 });
    expect(asked.map(({ is }) => is)).toEqual(['rejected', 'rejected', 'rejected']);
    gate.resolve();
    await advance(20);
    expect(inspect()?.counts).toMatchObject({ handled: 1, cancelled: 3 });
  });

  it('whose reply comes too late leaves a dead letter where it is noticed', async () => {
    const gate = deferred<number>();
    const { a, b, ref, hub, advance } = await pair({ score: () => gate.promise });
    const asked = endingOf(ref.ask('score', { text: 'x' }, { timeoutMs: 1_000 }));
    await advance(990);
    hub.delay({ minMs: 50, maxMs: 50 });
    gate.resolve(1);
    await advance(200);
    expect(asked.is).toBe('ERR_ASK_TIMEOUT');
    expect([...reasonsOf(a), ...reasonsOf(b)]).toEqual(['late-reply']);
  });

  it('counts its chain: two actors that ask each other across nodes are told of the cycle', async () => {
    const { start, advance } = testCluster();
    const Side = protocol('side', { ping: ask(z.string(), z.string()) });
    const side = (node: string) =>
      agent(Side, {
        state: () => 0,
        on: { ping: (ctx, text) => ctx.ask(ctx.system.ref(Side, 'side', { node }), 'ping', text) },
      });
    const a = await start('a', { root: supervisor({ children: { side: side('b').child() } }) });
    await start('b', { root: supervisor({ children: { side: side('a').child() } }) });
    const asked = endingOf(a.system.refs.side.ask('ping', 'x', { timeoutMs: 5_000 }));
    await advance(100);
    expect(asked.is).toBe('ERR_ACTOR_FAILED');
    const causes = [asked.error];
    for (let error = asked.error; error instanceof Error; error = error.cause) causes.push(error);
    expect(String((causes.at(-1) as Error).message)).toContain('would wait for itself');
  });
});

describe('a node', () => {
  it('is known to the others from its start to its end', async () => {
    const { start, during, advance, kill } = testCluster();
    const a = await start('a');
    const b = await start('b');
    await start('c');
    const names = () => a.system.nodes.map(({ name, isSelf }) => (isSelf ? `${name}!` : name)).sort();
    expect(names()).toEqual(['a!', 'b', 'c']);
    kill('c');
    await advance(20);
    expect(names()).toEqual(['a!', 'b']);
    await during(b.system.shutdown());
    await advance(20);
    expect(names()).toEqual(['a!']);
    const told = a.events.flatMap((event) =>
      event.type.startsWith('node-') && 'node' in event ? [`${event.type} ${event.node}`] : [],
    );
    expect(told).toEqual(['node-up b', 'node-up c', 'node-down c', 'node-left b']);
  });

  it('that is not there refuses at once', async () => {
    const { start, advance } = testCluster();
    const a = await start('a');
    const ref = a.system.ref(Judge, 'judge', { node: 'nowhere' });
    expect(ref.tell('learn', { word: 'x' })).toBe('actor-unknown');
    const sent = endingOf(ref.send('learn', { word: 'y' }));
    const asked = endingOf(ref.ask('score', { text: 'z' }));
    await advance(0);
    expect([sent.is, asked.is]).toEqual(['ERR_NODE_DOWN', 'ERR_NODE_DOWN']);
    expect(reasonsOf(a)).toEqual(['actor-unknown', 'actor-unknown', 'actor-unknown']);
  });

  it('that is lost ends every call that waits for it, and gives what it had been sent an outcome', async () => {
    const { a, ref, hub, kill, advance } = await pair({ score: () => never() });
    const asked = endingOf(ref.ask('score', { text: 'x' }));
    await advance(50);
    hub.lose('publishes', 'a');
    const sent = endingOf(ref.send('learn', { word: 'x' }));
    const receipt = endingOf(ref.send('learn', { word: 'x' }, { receipt: true }));
    ref.tell('learn', { word: 'told' });
    await advance(5);
    kill('b');
    await advance(50);
    expect([asked.is, sent.is, receipt.is]).toEqual(['ERR_NODE_DOWN', 'ERR_NODE_DOWN', 'ERR_NODE_DOWN']);
    expect(a.system.deadLetters.list()).toMatchObject([
      { reason: 'actor-unknown', payload: { word: 'told' }, error: { code: 'ERR_NODE_DOWN' } },
    ]);
  });

  it('that is lost with asks of its own frees those who work for it', async () => {
    const aborted: string[] = [];
    const { ref, kill, advance } = await pair({
      score: (ctx, text) =>
        new Promise((_, fail) => {
          ctx.signal.addEventListener('abort', () => {
            aborted.push(text);
            fail(ctx.signal.reason);
          });
        }),
    });
    const asked = endingOf(ref.ask('score', { text: 'x' }));
    await advance(50);
    kill('a');
    await advance(50);
    expect(aborted).toEqual(['x']);
    expect(asked.is).toBeUndefined();
  });

  it('comes back as another life: refs by name go on, refs to the earlier life do not', async () => {
    const { a, b, ref, start, kill, advance, during } = await pair();
    const old = a.system.ref(Judge, JSON.parse(JSON.stringify(b.system.ref(Judge, 'judge'))) as string);
    expect(await during(old.ask('score', { text: 'abc' }))).toBe(3);
    expect(await during(ref.ask('score', { text: 'ab' }))).toBe(2);
    kill('b');
    await advance(50);
    const again = judge();
    await start('b', { root: again.root });
    expect(await during(ref.ask('score', { text: 'abcd' }))).toBe(4);
    expect(old.tell('learn', { word: 'x' })).toBe('actor-unknown');
    expect(reasonsOf(a)).toEqual(['actor-unknown']);
  });

  it('that was taken for dead goes on as another life, and nothing of the earlier one is handled', async () => {
    const { a, b, ref, hub, learned, advance, during } = await pair();
    const [before] = a.system.nodes.filter(({ isSelf }) => isSelf);
    const pinned = b.system.ref(Judge, JSON.stringify(a.system.ref(Judge, '/user/x')).slice(1, -1));
    hub.silence('to-hub', 'a');
    ref.tell('learn', { word: 'waits' });
    await advance(20_000);
    hub.heal();
    await advance(20_000);
    const [after] = a.system.nodes.filter(({ isSelf }) => isSelf);
    expect(after?.incarnation).toBe(`${before?.incarnation}.2`);
    await during(ref.send('learn', { word: 'new' }, { receipt: true }));
    // Nobody could say whether it had arrived: it stays of the life that was lost.
    expect([learned, reasonsOf(b)]).toEqual([['new'], ['quarantined']]);
    expect(await during(ref.ask('score', { text: 'abc' }))).toBe(3);
    expect(pinned.tell('learn', { word: 'x' })).toBe('actor-unknown');
  });

  it('P67 answers what others have sent to its next life before it has heard of that itself', async () => {
    const { start, hub, advance } = testCluster();
    const heard: (() => void)[] = [];
    const { root, learned } = judge();
    const a = await start('a');
    const b = await start('b', {
      root,
      // Kafka tells everybody by one log, and each reads it at a pace of its own.
      prepare: ({ members }) => {
        const onChange = members?.onChange.bind(members);
        if (members === undefined || onChange === undefined) return;
        const late: typeof onChange = (listener) =>
          onChange((change) => {
            const { kind, member } = change;
            if (kind === 'up' && member.incarnation.endsWith('.2')) heard.push(() => listener(change));
            else listener(change);
          });
        Object.assign(members, { onChange: late });
      },
    });
    hub.cut('b');
    await advance(20_000);
    hub.heal();
    await advance(20_000);
    const ref = a.system.ref(Judge, 'judge', { node: 'b' });
    const asked = endingOf(ref.ask('score', { text: 'abc' }));
    ref.tell('learn', { word: 'one' });
    const sent = endingOf(ref.send('learn', { word: 'two' }, { receipt: true }));
    await advance(1_000);
    expect([heard.length, learned, asked.is, sent.is]).toEqual([1, [], undefined, undefined]);
    for (const listen of heard) listen();
    await advance(1_000);
    expect([learned, asked.value, sent.is]).toEqual([['one', 'two'], 3, 'resolved']);
    expect([reasonsOf(a), reasonsOf(b)]).toEqual([[], []]);
  });

  it('hears nothing of a life that was lost, though it is still on its way', async () => {
    const { b, ref, learned, hub, kill, advance } = await pair();
    hub.lose('deliveries', 'b');
    ref.tell('learn', { word: 'late' });
    await advance(50);
    kill('a');
    await advance(50);
    hub.heal();
    await advance(100);
    expect(learned).toEqual([]);
    expect(reasonsOf(b)).toEqual(['quarantined']);
  });

  it('P111: loses nobody when the broker is away, and goes on when it is back', async () => {
    const { a, b, ref, hub, learned, advance, during } = await pair();
    hub.cut();
    await advance(1_000);
    const words = Array.from({ length: 50 }, (_, n) => `w${n}`);
    for (const word of words) expect(ref.tell('learn', { word })).toBe('accepted');
    await advance(300_000);
    expect([...a.events, ...b.events].filter(({ type: kind }) => kind === 'node-down')).toEqual([]);
    hub.heal();
    await advance(20_000);
    expect(learned).toEqual(words);
    expect(await during(ref.ask('score', { text: 'abc' }))).toBe(3);
  });

  it('that is shut down gives what it was sent an outcome, and is no destination meanwhile', async () => {
    const gate = deferred();
    const { a, b, ref, learned, advance } = await pair({ learn: () => gate.promise });
    ref.tell('learn', { word: 'in hand' });
    ref.tell('learn', { word: 'queued' });
    await advance(20);
    const ended = b.system.shutdown({ drainMs: 10_000 });
    await advance(20);
    expect(a.system.nodes.find(({ name }) => name === 'b')?.isLeaving).toBe(true);
    expect(ref.tell('learn', { word: 'too late' })).toBe('actor-unknown');
    gate.resolve();
    await advance(1_000);
    await ended;
    expect(learned).toEqual(['in hand', 'queued']);
    expect(reasonsOf(a)).toEqual(['actor-unknown']);
  });

  it('ends its own asks when it is shut down', async () => {
    const { a, ref, advance } = await pair({ score: () => never() });
    const asked = endingOf(ref.ask('score', { text: 'x' }));
    await advance(20);
    const ended = a.system.shutdown();
    await advance(1_000);
    await ended;
    expect(asked.error).toMatchObject({ code: 'ERR_ACTOR_STOPPED', details: { address: '/' } });
    const after = endingOf(ref.ask('score', { text: 'x' }));
    await advance(0);
    expect(after.is).toBe('ERR_ACTOR_STOPPED');
  });

  it('carries one trace from the call to the turn on the other node, and to what that sends', async () => {
    const { named, inside } = recordTraces();
    const { ref, during } = await pair();
    await inside('user', () => during(ref.ask('score', { text: 'abc' })));
    const [user] = named('user');
    const [sent] = named('send judge');
    const [processed] = named('process judge');
    const traceId = user?.spanContext().traceId;
    expect([sent, processed].map((span) => span?.spanContext().traceId)).toEqual([traceId, traceId]);
    expect(processed?.parentSpanContext?.spanId).toBe(sent?.spanContext().spanId);
  });
});

describe('bad input', () => {
  it('is refused where a node is named', async () => {
    const { a, ref, start } = await pair();
    const bad = expect.objectContaining({ code: 'ERR_OPTION_INVALID' });
    const { system } = a;
    for (const name of [
      '//',
      '//b',
      '//b/',
      '//b:',
      '//-b/x',
      '//b@A/x',
      '//b/x#0',
      '//b:x#1',
      `//b:${'x'.repeat(5_000)}`,
    ])
      expect(() => system.ref(Judge, name)).toThrow(bad);
    expect(() => system.ref(Judge, 'x', { node: 'no dots.' })).toThrow(bad);
    expect(() => system.ref(Judge, '//b:x', { node: 'c' })).toThrow(bad);
    expect(() => system.ref(Judge, 'x', { nodes: 'b' } as object)).toThrow(bad);
    expect(() => system.register('x', ref)).toThrow(bad);
    expect(() => system.inspect(ref)).toThrow(bad);
    expect(() => system.suspend(ref)).toThrow(bad);
    expect(() => system.resume(ref)).toThrow(bad);
    await expect(system.stop(ref, 'killed' as 'normal')).rejects.toThrow(bad);
    await expect(system.drain(ref)).rejects.toThrow(bad);
    await expect(system.kill(ref)).rejects.toThrow(bad);
    expect(() => ref.send('learn', { word: 'x' }, { receipt: 1 } as object)).toThrow(bad);
    expect(() => type({ trust: 1 } as object)).toThrow(bad);
    await expect(start('no dots.')).rejects.toThrow(bad);
    await expect(start('c', { broker: {} as never })).rejects.toThrow(bad);
  });
});
