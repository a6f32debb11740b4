import { context, propagation, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { BatchSpanProcessor, InMemorySpanExporter, NodeTracerProvider } from '@opentelemetry/sdk-trace-node';
import { agent, ask, protocol, rejected, supervisor, tell, topic, type } from 'troupe';
import { memoryStore } from 'troupe/store';
import { describe, expect, it, vi } from 'vitest';
import { recordMetrics } from '../support/metrics.ts';
import { deferred, endingOf, type PuppetContext, type PuppetRef, puppet } from '../support/puppet.ts';
import { busBench } from '../support/test-bus.ts';
import { testSystem } from '../support/test-system.ts';
import { recordTraces } from '../support/traces.ts';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const SPAN = '00f067aa0ba902b7';
const traceparent = `00-${TRACE}-${SPAN}-01`;

/** Two puppets in a system that is traced; `act` is what the first does, inside a span of the user's. */
async function actedOn(act: (ctx: PuppetContext, next: PuppetRef) => unknown) {
  const traces = recordTraces();
  const test = await testSystem();
  const first = await test.system.spawn(puppet());
  const next = await test.system.spawn(puppet());
  traces.inside('user', () => first.tell('act', (ctx) => act(ctx, next)));
  await test.settle();
  return { ...test, traces };
}

describe('the spans of a message', () => {
  it('have kinds, names and attributes of the messaging conventions: a producer for the call, a consumer for the turn', async () => {
    const traces = recordTraces();
    const { system, clock, settle } = await testSystem();
    const worker = await system.spawn(puppet(), { name: 'worker' });
    system.suspend(worker);
    worker.tell('act', () => undefined, { priority: 'high' });
    await clock.advance(250, settle);
    system.resume(worker);
    await settle();

    const [send] = traces.named('send puppet');
    const [turn] = traces.named('process puppet');
    const id = send?.attributes['messaging.message.id'];
    expect(send?.kind).toBe(SpanKind.PRODUCER);
    expect(id).toMatch(/^m\d+$/);
    expect(send?.attributes).toEqual({
      'messaging.system': 'troupe',
      'messaging.operation.name': 'send',
      'messaging.operation.type': 'send',
      'messaging.destination.name': 'puppet',
      'messaging.message.id': id,
      'troupe.call': 'tell',
      'troupe.message': 'act',
      'troupe.priority': 'high',
      'troupe.admission': 'accepted',
    });
    expect(turn?.kind).toBe(SpanKind.CONSUMER);
    expect(turn?.attributes).toEqual({
      'messaging.system': 'troupe',
      'messaging.operation.name': 'process',
      'messaging.operation.type': 'process',
      'messaging.destination.name': 'puppet',
      'messaging.message.id': id,
      'troupe.agent': 'puppet',
      'troupe.address': worker.address,
      'troupe.generation': 0,
      'troupe.message': 'act',
      'troupe.priority': 'high',
      'troupe.attempt': 1,
      'troupe.queue.wait_ms': 250,
      'troupe.turn.outcome': 'handled',
    });
    expect(turn?.parentSpanContext?.spanId).toBe(send?.spanContext().spanId);
    expect([send?.status.code, turn?.status.code]).toEqual([SpanStatusCode.UNSET, SpanStatusCode.UNSET]);
  });

  it('are one call and one turn for a stream, with its first part, how many there were, and what its generator calls below', async () => {
    const traces = recordTraces();
    const { system, clock, settle } = await testSystem();
    const source = await system.spawn(puppet(), { name: 'source' });
    const reader = await system.spawn(puppet(), { name: 'reader' });
    const active: unknown[] = [];
    const read = reader.ask('answer', async (ctx) => {
      const parts = ctx.stream(source, 'flow', async function* (inner) {
        await clock.advance(40, settle);
        for (const part of [1, 2, 3]) {
          active.push(trace.getActiveSpan()?.spanContext().spanId);
          yield part;
        }
        inner.tell(reader, 'act', () => undefined);
      });
      let last: unknown;
      for await (const part of parts) last = part;
      return last;
    });
    await settle();
    expect(await read).toBe(3);
    await settle();
    const call = traces.spans.find(({ attributes }) => attributes['troupe.call'] === 'stream');
    const turn = traces.spans.find(
      ({ parentSpanContext }) => parentSpanContext?.spanId === call?.spanContext().spanId,
    );
    expect(call?.attributes).toMatchObject({
      'troupe.message': 'flow',
      'troupe.stream.parts': 3,
      'troupe.admission': 'accepted',
    });
    expect(call?.events.map(({ name }) => name)).toEqual(['troupe.stream.first_part']);
    expect(turn?.attributes).toMatchObject({ 'troupe.message': 'flow', 'troupe.turn.outcome': 'handled' });
    expect(new Set(active)).toEqual(new Set([turn?.spanContext().spanId]));
    expect(traces.tree(({ attributes }) => String(attributes['troupe.call'] ?? 'turn'))).toEqual([
      'ask',
      '  turn',
      '    stream',
      '      turn',
      '        tell',
      '          turn',
    ]);
  });

  it('of a stream that is broken off are no error, and of one that fails they are', async () => {
    const traces = recordTraces();
    const { system, settle } = await testSystem();
    const ref = await system.spawn(puppet(), { name: 'source' });
    for await (const _ of ref.stream('flow', async function* () {
      for (;;) yield 1;
    }))
      break;
    await settle();
    const failing = ref.stream('flow', async function* () {
      yield 1;
      throw new Error('fail');
    });
    await failing.next();
    await expect(failing.next()).rejects.toMatchObject({ code: 'ERR_ACTOR_FAILED' });
    const calls = traces.named('send puppet');
    expect(calls.map(({ status, attributes }) => [status.code, attributes['error.type']])).toEqual([
      [SpanStatusCode.UNSET, undefined],
      [SpanStatusCode.ERROR, 'ERR_ACTOR_FAILED'],
    ]);
    expect(traces.named('process puppet').map(({ attributes }) => attributes['troupe.turn.outcome'])).toEqual(
      ['cancelled', 'failed'],
    );
  });

  it('are as long as a send waits for room, and say whether it got in', async () => {
    const traces = recordTraces();
    const { system, advance, settle } = await testSystem();
    const ref = await system.spawn(puppet({ mailbox: { capacity: 1, criticalReserve: 0 } }));
    system.suspend(ref);
    ref.tell('act', () => undefined);
    const sends = [
      endingOf(ref.send('act', () => undefined, { timeoutMs: 100 })),
      endingOf(ref.send('act', () => undefined)),
    ];
    await settle();
    expect(traces.named('send puppet')).toHaveLength(1);
    await advance(100);
    system.resume(ref);
    await settle();
    expect(sends.map(({ is }) => is)).toEqual(['ERR_SEND_TIMEOUT', 'resolved']);
    const said = traces
      .named('send puppet')
      .map(({ attributes }) => [attributes['troupe.admission'], attributes['error.type']]);
    expect(said).toEqual([
      ['accepted', undefined],
      [undefined, 'ERR_SEND_TIMEOUT'],
      ['accepted', undefined],
    ]);
  });

  it.each(['traces', 'measures', 'nothing'] as const)(
    'of a call that a function of the user’s throws at have that error, and so has the caller (recorded: %s)',
    async (recorded) => {
      const traces = recorded === 'traces' ? recordTraces() : undefined;
      if (recorded === 'measures') recordMetrics();
      const { system } = await testSystem();
      const error = new RangeError('no key');
      const key = (): never => {
        throw error;
      };
      const pool = await system.spawn(puppet().pool({ size: 1, routing: 'sticky', key }));
      expect(() => pool.tell('act', () => undefined)).toThrow(error);
      expect(() => pool.send('act', () => undefined)).toThrow(error);
      await expect(pool.ask('answer', () => 1)).rejects.toBe(error);
      const sends = traces?.named('send puppet').map(({ attributes }) => attributes['error.type']);
      expect(sends ?? []).toEqual(traces === undefined ? [] : ['RangeError', 'RangeError', 'RangeError']);
      expect(system.inspect(pool)?.counts.accepted).toBe(0);
    },
  );

  it('are named by the template of a typed topic, and say the topic beside it', async () => {
    const traces = recordTraces();
    const verdicts = topic('mail.verdict.{label}', type<{ score: number }>());
    const { system, settle } = await testSystem();
    await system.subscribe(verdicts, () => undefined);
    await system.publish(verdicts, { label: 'spam' }, { score: 1 });
    await settle();
    expect(traces.tree()).toEqual(['send mail.verdict.{label}', '  process mail.verdict.{label}']);
    for (const { attributes } of traces.spans) {
      expect(attributes['messaging.destination.name']).toBe('mail.verdict.spam');
      expect(attributes['messaging.destination.template']).toBe('mail.verdict.{label}');
    }
  });

  it('hold nothing of what it carries: no payload, no header, and not what a schema quotes of it', async () => {
    const secret = 'hunter2';
    const traces = recordTraces();
    const schema = {
      '~standard': {
        version: 1 as const,
        vendor: 'test',
        validate: (value: unknown) =>
          value === 'good' ? { value: 'good' } : { issues: [{ message: `not '${String(value)}'` }] },
      },
    };
    const Strict = protocol('strict', { take: tell(schema), question: ask(schema, schema) });
    const strict = agent(Strict, {
      validate: 'always',
      on: { take: () => undefined, question: () => secret as 'good' },
    });
    const typed = topic('typed', schema);
    const { system, settle } = await testSystem();
    const ref = await system.spawn(strict);
    await system.subscribe(typed, () => undefined);
    const headers = { authorization: secret, baggage: `token=${secret}` };
    ref.tell('take', 'good', { headers });
    const asked = endingOf(ref.ask('question', 'good'));
    await system.publish('typed', secret);
    await settle();
    expect(asked.is).toBe('ERR_ACTOR_FAILED');
    expect(system.deadLetters.list().map(({ reason }) => reason)).toContain('validation');
    const texts = traces.spans.map(({ name, attributes, status, events, links }) =>
      JSON.stringify({ name, attributes, status, events, links }),
    );
    expect(texts.length).toBeGreaterThan(4);
    expect(texts.filter((text) => text.includes(secret))).toEqual([]);
  });
});

describe('a turn', () => {
  it.each<[string, (ctx: PuppetContext, next: PuppetRef) => unknown, string]>([
    ['tells', (ctx, next) => ctx.tell(next, 'act', () => undefined), 'tell'],
    ['sends', (ctx, next) => ctx.send(next, 'act', () => undefined), 'send'],
    ['asks', (ctx, next) => ctx.ask(next, 'answer', () => 1), 'ask'],
  ])('is the parent of what it %s, and that of the turn that comes of it', async (_, act, call) => {
    const { traces } = await actedOn(act);
    expect(traces.tree()).toEqual([
      'user',
      '  send puppet',
      '    process puppet',
      '      send puppet',
      '        process puppet',
    ]);
    expect(traces.named('send puppet').map(({ attributes }) => attributes['troupe.call'])).toContain(call);
  });

  it('is the parent of its continuation, which nobody sent', async () => {
    const { traces } = await actedOn((ctx) => ctx.continue('next', () => undefined));
    expect(traces.tree()).toEqual(['user', '  send puppet', '    process puppet', '      process puppet']);
    const kinds = traces.named('process puppet').map(({ kind }) => kind);
    expect(new Set(kinds)).toEqual(new Set([SpanKind.INTERNAL, SpanKind.CONSUMER]));
  });

  it.each(['once', 'every'] as const)(
    'is linked, and no more, by the ticks of a timer that it starts with %s: each begins a trace',
    async (kind) => {
      const { traces, advance } = await actedOn((ctx) =>
        ctx.timers[kind]('t', 1_000, 'next', () => undefined),
      );
      await advance(3_000);
      const [starter, ...ticks] = traces.named('process puppet');
      expect(ticks).toHaveLength(kind === 'once' ? 1 : 3);
      for (const tick of ticks) {
        expect(tick.parentSpanContext).toBeUndefined();
        expect(tick.links.map((link) => link.context.spanId)).toEqual([starter?.spanContext().spanId]);
      }
      const ids = new Set(traces.spans.map((span) => span.spanContext().traceId));
      expect(ids.size).toBe(1 + ticks.length);
    },
  );

  it('is where spans of the user’s own belong, before and after a wait, and what is sent inside them is theirs', async () => {
    const gate = deferred();
    const { traces, settle } = await actedOn(async (ctx, next) => {
      await gate.promise;
      trace.getTracer('user').startActiveSpan('thinking', (span) => {
        ctx.tell(next, 'act', () => undefined);
        span.end();
      });
    });
    gate.resolve();
    await settle();
    expect(traces.tree()).toEqual([
      'user',
      '  send puppet',
      '    process puppet',
      '      thinking',
      '        send puppet',
      '          process puppet',
    ]);
  });

  it('has each attempt of a message below its one call', async () => {
    const traces = recordTraces();
    const { system, advance } = await testSystem();
    const retrying = puppet({ onFailure: { retry: { attemptsMax: 3 } } });
    const ref = await system.spawn(retrying, { restart: 'permanent' });
    ref.tell('act', (ctx) => {
      if (ctx.message.attempt < 3) throw new Error('not yet');
    });
    await advance(60_000);
    const [send] = traces.named('send puppet');
    const turns = traces.named('process puppet');
    expect(turns.map(({ attributes }) => attributes['troupe.attempt'])).toEqual([1, 2, 3]);
    expect(turns.map((turn) => turn.parentSpanContext?.spanId)).toEqual(
      turns.map(() => send?.spanContext().spanId),
    );
  });
});

describe('the end of a turn', () => {
  it('that fails is an error with type and stack, below it the restart, and no error of the call', async () => {
    const traces = recordTraces();
    const { system, advance } = await testSystem({
      root: supervisor({ children: { a: puppet().child({ restart: 'permanent' }) } }),
    });
    system.refs.a.tell('act', () => {
      throw new RangeError('too far');
    });
    await advance(60_000);
    const [turn] = traces.named('process puppet');
    expect(turn?.status).toEqual({ code: SpanStatusCode.ERROR, message: 'too far' });
    expect(turn?.attributes).toMatchObject({ 'error.type': 'RangeError', 'troupe.turn.outcome': 'failed' });
    expect(turn?.events.map(({ name, attributes }) => [name, attributes?.['exception.type']])).toEqual([
      ['exception', 'RangeError'],
    ]);
    expect(traces.tree()).toEqual([
      'send puppet',
      '  process puppet',
      '    dead-letter act',
      '    restart puppet',
    ]);
    const [restart] = traces.named('restart puppet');
    expect(restart?.attributes).toMatchObject({ 'troupe.restart.reason': 'failed', 'troupe.generation': 1 });
    expect(traces.named('send puppet')[0]?.status.code).toBe(SpanStatusCode.UNSET);
  });

  it('that a schema of the message is to blame for is rejected: an error without a stack', async () => {
    const { traces } = await actedOn(() => {
      throw rejected(new Error('not for me'));
    });
    const [turn] = traces.named('process puppet');
    expect(turn?.attributes['troupe.turn.outcome']).toBe('rejected');
    expect(turn?.status).toEqual({ code: SpanStatusCode.ERROR, message: 'not for me' });
    expect(turn?.events).toEqual([]);
  });

  it('that was aborted and obeyed is cancelled, and the ask that was withdrawn is the error', async () => {
    const traces = recordTraces();
    const { system, settle } = await testSystem();
    const ref = await system.spawn(puppet());
    const controller = new AbortController();
    const asked = endingOf(
      ref.ask(
        'answer',
        (ctx) =>
          new Promise((_, reject) => ctx.signal.addEventListener('abort', () => reject(ctx.signal.reason))),
        { signal: controller.signal },
      ),
    );
    await settle();
    controller.abort(new Error('enough'));
    await settle();
    expect(asked.is).toBe('rejected');
    const [turn] = traces.named('process puppet');
    expect(turn?.attributes['troupe.turn.outcome']).toBe('cancelled');
    expect(turn?.status.code).toBe(SpanStatusCode.UNSET);
    expect(traces.named('send puppet')[0]?.status).toEqual({
      code: SpanStatusCode.ERROR,
      message: 'enough',
    });
  });

  it('that was disowned comes when the engine gives up, although the handler never settles', async () => {
    const traces = recordTraces();
    const { system, advance } = await testSystem();
    const ref = await system.spawn(puppet({ turnTimeoutMs: 100 }));
    ref.tell('act', () => new Promise(() => undefined));
    await advance(1_000);
    const [turn] = traces.named('process puppet');
    expect(turn?.attributes).toMatchObject({
      'troupe.turn.outcome': 'disowned',
      'error.type': 'ERR_TURN_TIMEOUT',
    });
  });

  it('that failed has below it a restart that is an error where the actor is stopped before it comes back', async () => {
    const traces = recordTraces();
    const { system, settle } = await testSystem();
    const ref = await system.spawn(puppet(), { backoff: { minMs: 1_000 } });
    ref.tell('act', () => {
      throw new Error('fail');
    });
    await settle();
    await system.stop(ref);
    const [restart] = traces.named('restart puppet');
    expect(restart?.attributes).toMatchObject({ 'error.type': 'ERR_ACTOR_STOPPED' });
    expect(restart?.status).toEqual({
      code: SpanStatusCode.ERROR,
      message: expect.stringContaining(ref.address),
    });
  });

  it('with `resume` is no cause of a later restart', async () => {
    const traces = recordTraces();
    const { system, settle, advance } = await testSystem({
      root: supervisor({
        children: { a: puppet({ decide: () => 'resume' }).child({ restart: 'permanent' }) },
      }),
    });
    system.refs.a.tell('act', () => {
      throw new Error('never mind');
    });
    await settle();
    const killed = system.kill(system.refs.a);
    await advance(60_000);
    await killed;
    const [restart] = traces.named('restart puppet');
    expect(restart?.attributes['troupe.restart.reason']).toBe('killed');
    expect(restart?.parentSpanContext).toBeUndefined();
  });
});

describe('a restart', () => {
  it('is the parent of what its hooks do, before and after a wait: of their own spans, and of what they send', async () => {
    const traces = recordTraces();
    const { system, advance } = await testSystem();
    const next = await system.spawn(puppet());
    const think = (name: string): void => trace.getTracer('user').startActiveSpan(name, (span) => span.end());
    const ref = await system.spawn(
      puppet({
        state: (_args, ctx) => {
          if (ctx.generation === 0) return [];
          think('starting');
          return [];
        },
        onRestart: async (ctx) => {
          think('leaving');
          await Promise.resolve();
          ctx.tell(next, 'act', () => undefined);
        },
      }),
      { restart: 'permanent' },
    );
    ref.tell('act', () => {
      throw new Error('fail');
    });
    await advance(60_000);
    expect(traces.tree()).toEqual([
      'send puppet',
      '  process puppet',
      '    dead-letter act',
      '    restart puppet',
      '      leaving',
      '      send puppet',
      '        process puppet',
      '      starting',
    ]);
  });
});

describe('a dead letter', () => {
  it.each(['tell', 'send', 'ask'] as const)(
    'of a message that nobody takes is in the trace of its call: %s to a stopped actor',
    async (call) => {
      const traces = recordTraces();
      const { system, settle } = await testSystem();
      const ref = await system.spawn(puppet());
      await system.stop(ref);
      await traces.inside('user', async () => {
        if (call === 'tell') ref.tell('act', () => undefined);
        else if (call === 'send') await ref.send('act', () => undefined).catch(() => undefined);
        else await ref.ask('answer', () => 1).catch(() => undefined);
      });
      await settle();
      const message = call === 'ask' ? 'answer' : 'act';
      expect(traces.tree()).toEqual(['user', '  send puppet', `    dead-letter ${message}`]);
      const [letter] = traces.named(`dead-letter ${message}`);
      expect(letter?.attributes['troupe.dead_letter.reason']).toBe('stopped');
      expect(letter?.status.code).toBe(SpanStatusCode.ERROR);
    },
  );

  it.each(['tell', 'send', 'ask'] as const)('is one of a name that nobody holds: %s', async (call) => {
    const traces = recordTraces();
    const { system, settle } = await testSystem();
    const ref = system.ref(puppet().protocol, 'nobody');
    if (call === 'tell') expect(ref.tell('act', () => undefined)).toBe('actor-unknown');
    else if (call === 'send') await ref.send('act', () => undefined).catch(() => undefined);
    else await ref.ask('answer', () => 1).catch(() => undefined);
    await settle();
    expect(traces.tree()).toHaveLength(2);
    const [send] = traces.named('send puppet');
    expect(send?.attributes['troupe.call']).toBe(call);
    if (call === 'tell') expect(send?.attributes['troupe.admission']).toBe('actor-unknown');
    else expect(send?.attributes['error.type']).toBe('ERR_ACTOR_UNKNOWN');
  });

  it.each(['tell', 'send', 'ask'] as const)(
    'of a call while the system shuts down is in the trace of that call: %s',
    async (call) => {
      const traces = recordTraces();
      const { system } = await testSystem();
      const ref = await system.spawn(puppet());
      await system.shutdown();
      if (call === 'tell') ref.tell('act', () => undefined, { headers: { traceparent } });
      else if (call === 'send')
        await ref.send('act', () => undefined, { headers: { traceparent } }).catch(() => undefined);
      else await ref.ask('answer', () => 1, { headers: { traceparent } }).catch(() => undefined);
      const message = call === 'ask' ? 'answer' : 'act';
      expect(traces.tree()).toEqual(['send puppet', `  dead-letter ${message}`]);
      const [send] = traces.named('send puppet');
      expect(send?.spanContext().traceId).toBe(TRACE);
      expect(send?.attributes['troupe.call']).toBe(call);
      if (call === 'tell') expect(send?.attributes['troupe.admission']).toBe('stopped');
      else expect(send?.attributes['error.type']).toBe('ERR_ACTOR_STOPPED');
    },
  );

  it('of a zombie is in the trace of the turn that was given up', async () => {
    const gate = deferred();
    const traces = recordTraces();
    const { system, advance, settle } = await testSystem();
    const ref = await system.spawn(puppet({ turnTimeoutMs: 100 }));
    const next = await system.spawn(puppet());
    ref.tell('act', async (ctx) => {
      await gate.promise;
      ctx.tell(next, 'act', () => undefined);
    });
    await advance(1_000);
    gate.resolve();
    await settle();
    expect(system.deadLetters.list({ reason: 'stale-incarnation' })).toHaveLength(1);
    expect(traces.tree()).toEqual([
      'send puppet',
      '  process puppet',
      '    dead-letter act',
      '    restart puppet',
      '    send puppet',
      '      dead-letter act',
    ]);
  });

  it('that is replayed goes on in its old trace, with a link to whoever replays it', async () => {
    const traces = recordTraces();
    const { system, settle } = await testSystem();
    const ref = await system.spawn(puppet(), { restart: 'permanent' });
    let isMended = false;
    ref.tell('act', () => {
      if (!isMended) throw new Error('broken');
    });
    await settle();
    isMended = true;
    const [letter] = system.deadLetters.list();
    await traces.inside('operator', () => system.deadLetters.replay(letter?.id ?? ''));
    await settle();
    const [operator] = traces.named('operator');
    const replay = traces.spans.find(({ attributes }) => attributes['troupe.call'] === 'replay');
    expect(replay?.spanContext().traceId).toBe(traces.named('send puppet')[0]?.spanContext().traceId);
    expect(replay?.links.map((link) => link.context.spanId)).toEqual([operator?.spanContext().spanId]);
  });
});

describe('what is published', () => {
  it('is one call with a turn below it for each subscriber, that of the publisher', async () => {
    const traces = recordTraces();
    const { system, settle } = await testSystem();
    for (let i = 0; i < 3; i++) await system.subscribe('news', () => undefined);
    await traces.inside('user', () => system.publish('news', 1));
    await settle();
    expect(traces.tree()).toEqual([
      'user',
      '  send news',
      '    process news',
      '    process news',
      '    process news',
    ]);
  });

  it('to a group is one turn, and the span of its call lasts until the last copy is accepted', async () => {
    const traces = recordTraces();
    const { system, settle } = await testSystem();
    const gates = [deferred(), deferred()];
    let turns = 0;
    for (let i = 0; i < 2; i++)
      await system.subscribe('news', () => gates[turns++]?.promise, {
        group: 'readers',
        capacity: 1,
        overflow: 'backpressure',
      });
    for (let i = 0; i < 5; i++) system.publish('news', i).catch(() => undefined);
    await settle();
    const sentBefore = traces.named('send news').length;
    for (const gate of gates) gate.resolve();
    await settle();
    expect(sentBefore).toBeLessThan(5);
    expect(traces.named('send news')).toHaveLength(5);
    const parents = traces.named('process news').map((turn) => turn.parentSpanContext?.spanId);
    expect(new Set(parents)).toEqual(
      new Set(traces.named('send news').map((send) => send.spanContext().spanId)),
    );
  });
});

describe('a pool', () => {
  const Work = protocol('work', { job: tell(type<void>()), question: ask(type<void>(), type<number>()) });
  const worker = agent(Work, { on: { job: () => undefined, question: () => 1 } });

  it.each([
    ['work-pulling', 1],
    ['round-robin', 1],
    ['broadcast', 3],
  ] as const)('with %s has the turns of its workers below the call: %i', async (routing, turns) => {
    const traces = recordTraces();
    const { system, settle } = await testSystem();
    const ref = await system.spawn(worker.pool({ size: 3, routing }));
    ref.tell('job');
    await settle();
    expect(traces.tree()).toEqual(['send work', ...Array.from({ length: turns }, () => '  process work')]);
  });

  it('that is asked for the first answer ends the span of the ask once', async () => {
    const traces = recordTraces();
    const { system, settle } = await testSystem();
    const ref = await system.spawn(worker.pool({ size: 3, routing: 'scatter-gather-first' }));
    const asked = endingOf(ref.ask('question'));
    await settle();
    expect(asked.value).toBe(1);
    expect(traces.named('send work')).toHaveLength(1);
    expect(traces.tree()[1]).toBe('  process work');
  });
});

describe('a message bus', () => {
  it('has the turn of its handler below the call that published, and the message says the trace', async () => {
    const traces = recordTraces();
    const { connect, settle } = busBench();
    const bus = await connect();
    const seen: (string | undefined)[] = [];
    await bus.subscribe('mail.*', async (message) => {
      seen.push(message.headers['traceparent']);
      await bus.publish('digest', 1);
    });
    await bus.subscribe('digest', () => undefined);
    await traces.inside('user', () => bus.publish('mail.in', 'x', { correlationId: 'c7' }));
    await settle();
    expect(traces.tree()).toEqual([
      'user',
      '  send mail.in',
      '    process mail.in',
      '      send digest',
      '        process digest',
    ]);
    const [turn] = traces.named('process mail.in');
    expect(seen[0]).toContain(turn?.spanContext().spanId);
    const [send] = traces.named('send mail.in');
    expect(send?.attributes).toMatchObject({
      'messaging.message.conversation_id': 'c7',
      'messaging.message.id': turn?.attributes['messaging.message.id'],
    });
  });

  it('ends the call of a request with its reply; a later one is a dead letter in the same trace', async () => {
    const traces = recordTraces();
    const { connect, settle } = busBench();
    const bus = await connect();
    const gate = deferred();
    const late = deferred();
    await bus.subscribe('price', async (message) => {
      await gate.promise;
      message.reply(1);
      await late.promise.then(() => message.reply(2));
    });
    const asked = endingOf(traces.inside('user', () => bus.request('price', {})));
    await settle();
    expect(traces.named('send price')).toEqual([]);
    gate.resolve();
    await settle();
    expect(asked.value).toBe(1);
    const [send] = traces.named('send price');
    expect(send?.attributes['troupe.call']).toBe('request');
    late.resolve();
    await settle();
    expect(traces.tree()).toEqual([
      'user',
      '  send price',
      '    process price',
      '      dead-letter deliver (reply)',
    ]);
  });

  it('marks the call of a request that nobody answers as failed', async () => {
    const traces = recordTraces();
    const { connect, settle } = busBench();
    const bus = await connect();
    const asked = endingOf(bus.request('nobody', {}));
    await settle();
    expect(asked.is).toBe('ERR_SUBSCRIBER_MISSING');
    expect(traces.named('send nobody')[0]?.attributes['error.type']).toBe('ERR_SUBSCRIBER_MISSING');
  });

  it('P124 confirms what was handled and what failed as it does without traces', async () => {
    const confirmed = async (): Promise<unknown> => {
      const { connect, advance } = busBench();
      const bus = await connect();
      await bus.subscribe('mail', () => undefined);
      await bus.subscribe('mail', () => Promise.reject(new Error('no')));
      const published = endingOf(bus.publish('mail', 1, { confirm: 'handled' }));
      await advance(60_000);
      return { is: published.is, ...(published.value as object), id: undefined };
    };
    const plain = await confirmed();
    const traces = recordTraces();
    expect(await confirmed()).toEqual(plain);
    expect(plain).toMatchObject({ delivered: 2, handled: 1, failed: 1 });
    expect(traces.named('process mail')).toHaveLength(2);
  });

  it('marks the call of a message that the store refuses as failed', async () => {
    const traces = recordTraces();
    const { connect, settle } = busBench();
    const store = memoryStore();
    store.append = () => Promise.reject(new Error('disk full'));
    const bus = await connect({ store });
    const published = endingOf(bus.publish('mail', 1));
    await settle();
    expect(published.is).toBe('rejected');
    expect(traces.named('send mail')[0]?.status).toEqual({
      code: SpanStatusCode.ERROR,
      message: 'disk full',
    });
  });

  it('keeps the trace with what it stores: a replay goes on in it', async () => {
    const traces = recordTraces();
    const { connect, settle } = busBench();
    const bus = await connect({ store: memoryStore() });
    await traces.inside('user', () => bus.publish('mail', 1));
    await settle();
    await bus.replay('mail', () => undefined);
    await settle();
    expect(traces.tree()).toEqual(['user', '  send mail', '    process mail']);
  });
});

describe('the trace of one message', () => {
  it('never leaks into another one: whoever wakes the run queue, commits to the store or starts the subscriber', async () => {
    const traces = recordTraces();
    const { connect, settle } = busBench();
    const bus = await connect({ store: memoryStore() });
    await traces.inside('starter', () => bus.subscribe('job', async () => Promise.resolve()));
    // All in one step, so that they share a wake-up and a commit, each in a trace of its own.
    await Promise.all(
      Array.from({ length: 5 }, (_, i) => traces.inside(`user ${i}`, () => bus.publish('job', i))),
    );
    await settle();
    for (let i = 0; i < 5; i++) {
      const [user] = traces.named(`user ${i}`);
      const own = traces.spans.filter((span) => span.spanContext().traceId === user?.spanContext().traceId);
      expect(own.map(({ name }) => name).toSorted()).toEqual(['process job', 'send job', `user ${i}`]);
    }
  });

  it('is none where nobody has one: told outside any span, although the queue was woken inside one', async () => {
    const traces = recordTraces();
    const { system, settle } = await testSystem();
    const a = await system.spawn(puppet());
    const b = await system.spawn(puppet());
    traces.inside('user', () => a.tell('act', () => undefined));
    b.tell('act', (ctx) => ctx.tell(a, 'act', () => undefined));
    await settle();
    const roots = traces.spans.filter((span) => span.parentSpanContext === undefined);
    expect(roots.map(({ name }) => name).toSorted()).toEqual(['send puppet', 'user']);
    expect(new Set(traces.spans.map((span) => span.spanContext().traceId)).size).toBe(2);
  });

  it('goes through turns without any context manager as well', async () => {
    const traces = recordTraces({ contextManager: null });
    const { system, settle } = await testSystem();
    const a = await system.spawn(puppet());
    const b = await system.spawn(puppet());
    a.tell('act', async (ctx) => {
      await Promise.resolve();
      await ctx.ask(b, 'answer', () => 1);
    });
    await settle();
    expect(traces.tree()).toEqual([
      'send puppet',
      '  process puppet',
      '    send puppet',
      '      process puppet',
    ]);
  });
});

describe('work from upstream', () => {
  it('goes on in the trace that its traceparent names, with its tracestate, whatever is active', async () => {
    const traces = recordTraces();
    const { system, settle } = await testSystem();
    const ref = await system.spawn(puppet());
    let seen: Readonly<Record<string, string>> = {};
    const headers = { traceparent, tracestate: 'congo=t61rcWkgMzE', other: 'x' };
    traces.inside('user', () =>
      ref.tell(
        'act',
        (ctx) => {
          seen = ctx.message.headers;
        },
        { headers },
      ),
    );
    await settle();
    const [send] = traces.named('send puppet');
    const [turn] = traces.named('process puppet');
    expect(send?.spanContext().traceId).toBe(TRACE);
    expect(send?.parentSpanContext).toMatchObject({ spanId: SPAN, isRemote: true });
    expect(seen).toEqual({
      other: 'x',
      tracestate: 'congo=t61rcWkgMzE',
      traceparent: `00-${TRACE}-${turn?.spanContext().spanId}-01`,
    });
  });

  it('begins a trace where its traceparent is not well formed', async () => {
    const { traces } = await actedOn((ctx, next) =>
      ctx.tell(next, 'act', () => undefined, { headers: { traceparent: 'new' } }),
    );
    const roots = traces.spans.filter((span) => span.parentSpanContext === undefined);
    expect(roots.map(({ name }) => name).toSorted()).toEqual(['send puppet', 'user']);
  });

  it('brings its baggage to handlers, to what they send, and to what is active in them', async () => {
    const traces = recordTraces();
    const { system, settle } = await testSystem();
    const a = await system.spawn(puppet());
    const b = await system.spawn(puppet());
    const seen: unknown[] = [];
    a.tell(
      'act',
      (ctx) => {
        seen.push(propagation.getActiveBaggage()?.getEntry('tenant')?.value);
        ctx.tell(b, 'act', (next) => seen.push(next.message.headers['baggage']));
      },
      { headers: { traceparent, baggage: 'tenant=7' } },
    );
    await settle();
    expect(seen).toEqual(['7', 'tenant=7']);
    expect(traces.spans).toHaveLength(4);
  });

  it('has the baggage that was active where it was sent', async () => {
    recordTraces();
    const { system, settle } = await testSystem();
    const a = await system.spawn(puppet());
    const b = await system.spawn(puppet());
    let seen: unknown;
    const bag = propagation.createBaggage({ tenant: { value: '7' } });
    context.with(propagation.setBaggage(context.active(), bag), () =>
      a.tell('act', (ctx) =>
        ctx.tell(b, 'act', (next) => {
          seen = next.message.headers['baggage'];
        }),
      ),
    );
    await settle();
    expect(seen).toBe('tenant=7');
  });
});

describe('an SDK', () => {
  it('that is registered later yields spans from the next call on, in the trace that was carried until then', async () => {
    const { system, settle } = await testSystem();
    const a = await system.spawn(puppet());
    const b = await system.spawn(puppet());
    system.suspend(b);
    a.tell('act', (ctx) => ctx.tell(b, 'act', () => undefined), { headers: { traceparent } });
    await settle();
    const traces = recordTraces();
    a.tell('act', () => undefined);
    system.resume(b);
    await settle();
    expect(traces.named('send puppet')).toHaveLength(1);
    const turns = traces.named('process puppet');
    expect(turns.map((turn) => turn.parentSpanContext?.spanId)).toContain(SPAN);
    expect(turns).toHaveLength(2);
  });

  it('that is absent costs a message nothing but the look whether it is: nobody is told of calls and turns', async () => {
    const { system, kernel, settle } = await testSystem();
    const told = (['sending', 'continuing', 'ticking', 'turn', 'publishing'] as const).map((name) =>
      vi.spyOn(kernel.telemetry, name),
    );
    const ref = await system.spawn(puppet());
    ref.tell('act', (ctx) => ctx.continue('next', () => undefined), { ttlMs: 1_000 });
    await ref.send('act', () => undefined);
    await ref.ask('answer', () => 1);
    system.ref(puppet().protocol, 'nobody').tell('act', () => undefined);
    await settle();
    expect(system.inspect(ref)?.counts.handled).toBe(3);
    let stale: PuppetContext | undefined;
    ref.tell('act', (ctx) => {
      stale = ctx;
    });
    await settle();
    await system.stop(ref);
    expect(() => stale?.tell(ref, 'act', () => undefined)).toThrow();
    expect(told.flatMap((spy) => spy.mock.calls)).toEqual([]);
  });

  it('that is taken out again is not asked any more', async () => {
    const traces = recordTraces();
    const { system, settle, kernel } = await testSystem();
    const ref = await system.spawn(puppet());
    ref.tell('act', () => undefined);
    await settle();
    trace.disable();
    kernel.telemetry.refresh();
    ref.tell('act', () => undefined);
    await settle();
    expect(traces.spans).toHaveLength(2);
    expect(kernel.isRecorded).toBe(false);
  });

  it('that throws disturbs nothing, and lends no message another’s trace', async () => {
    const traces = recordTraces();
    const boom = (): never => {
      throw new Error('boom');
    };
    const broken = new NodeTracerProvider({ sampler: { shouldSample: boom, toString: () => 'broken' } });
    trace.disable();
    trace.setGlobalTracerProvider(broken);
    const { system, settle } = await testSystem();
    const ref = await system.spawn(puppet());
    const user = traces.provider.getTracer('user').startSpan('user');
    const seen: unknown[] = [];
    const see = (): unknown => seen.push(trace.getActiveSpan()?.spanContext().traceId);
    context.with(trace.setSpan(context.active(), user), () => ref.tell('act', see));
    ref.tell('act', see);
    await settle();
    expect(seen).toEqual([user.spanContext().traceId, undefined]);
    expect(system.inspect(ref)).toMatchObject({ counts: { handled: 2 } });
  });

  it('P120 has exported the spans of the last turn when the shutdown is over', async () => {
    const exporter = new InMemorySpanExporter();
    const provider = new NodeTracerProvider({
      spanProcessors: [new BatchSpanProcessor(exporter, { scheduledDelayMillis: 3_600_000 })],
    });
    recordTraces();
    trace.disable();
    trace.setGlobalTracerProvider(provider);
    const { system } = await testSystem();
    const ref = await system.spawn(puppet());
    ref.tell('act', async () => {
      await Promise.resolve();
    });
    const ended = system.shutdown({ drainMs: 1_000 });
    await ended;
    expect(
      exporter
        .getFinishedSpans()
        .map(({ name }) => name)
        .toSorted(),
    ).toEqual(['process puppet', 'send puppet']);
    await provider.shutdown();
  });

  it('P120 that hangs holds a shutdown up no longer than its phase lasts', async () => {
    const traces = recordTraces();
    traces.provider.forceFlush = () => new Promise(() => undefined);
    const { system, advance, logs } = await testSystem();
    const ended = endingOf(system.shutdown());
    await advance(60_000);
    expect(ended.is).toBe('resolved');
    expect(logs.map(({ text }) => text).join()).toContain('open-telemetry');
  });
});
