import { agent, protocol, supervisor, tell, type } from 'troupe';
import { describe, expect, it } from 'vitest';
import { type Collected, recordMetrics } from '../support/metrics.ts';
import { deferred, endingOf, never, Puppet, puppet } from '../support/puppet.ts';
import { testSystem } from '../support/test-system.ts';
import { recordTraces } from '../support/traces.ts';

const PUPPET = { 'troupe.system': 'test', 'troupe.agent': 'puppet' };

/** The values of one metric by one attribute, for puppets. */
function byWord(collected: Collected, name: string, attribute: string): Record<string, number> {
  const words = collected
    .points(name)
    .filter(({ attributes }) => attributes['troupe.agent'] === 'puppet')
    .map(({ attributes, value }) => [String(attributes[attribute]), value] as const);
  return Object.fromEntries(words.filter(([, value]) => value !== 0));
}

describe('the metrics', () => {
  it('are these, in these units', async () => {
    const collect = recordMetrics();
    const { system, settle } = await testSystem();
    const ref = await system.spawn(puppet({ mailbox: { capacity: 1 } }));
    system.suspend(ref);
    ref.tell('act', () => undefined);
    ref.tell('act', () => undefined);
    await system.publish('nowhere', 1);
    system.resume(ref);
    system.ref(Puppet, 'nobody').tell('act', () => undefined);
    await settle();
    const { all } = await collect();
    expect(all.map(({ descriptor: { name, unit } }) => `${name} ${unit}`).toSorted()).toEqual([
      'messaging.process.duration s',
      'troupe.actors {actor}',
      'troupe.asks.ended {ask}',
      'troupe.asks.in_flight {ask}',
      'troupe.dead_letters {message}',
      'troupe.escalations {escalation}',
      'troupe.mailbox.depth {message}',
      'troupe.mailbox.waiting {call}',
      'troupe.messages.accepted {message}',
      'troupe.messages.ended {message}',
      'troupe.messages.held {message}',
      'troupe.messages.rejected {message}',
      'troupe.queue.wait s',
      'troupe.turns.in_flight {turn}',
    ]);
  });

  it('count what was accepted and rejected, and how it ended, by the type of agent', async () => {
    const collect = recordMetrics();
    const { system, settle, advance } = await testSystem();
    const ref = await system.spawn(puppet({ mailbox: { capacity: 2 } }), { restart: 'permanent' });
    system.suspend(ref);
    ref.tell('act', () => undefined);
    ref.tell('act', () => {
      throw new Error('fail');
    });
    expect(ref.tell('act', () => undefined)).toBe('full');
    system.resume(ref);
    await advance(60_000);
    const stopped = await system.spawn(puppet());
    await system.stop(stopped);
    stopped.tell('act', () => undefined);
    system.ref(Puppet, 'nobody').tell('act', () => undefined);
    await settle();
    const collected = await collect();
    expect(collected.sum('troupe.messages.accepted', PUPPET)).toBe(2);
    expect(byWord(collected, 'troupe.messages.ended', 'troupe.outcome')).toEqual({ handled: 1, failed: 1 });
    expect(byWord(collected, 'troupe.messages.rejected', 'troupe.admission')).toEqual({
      full: 1,
      stopped: 1,
      'actor-unknown': 1,
    });
    expect(byWord(collected, 'troupe.dead_letters', 'troupe.dead_letter.reason')).toEqual({
      'handler-failed': 1,
      stopped: 1,
    });
    // What no agent is known for is counted of the system.
    expect(collected.sum('troupe.dead_letters')).toBe(system.deadLetters.stats().total);
    expect(byWord(collected, 'troupe.restarts', 'troupe.restart.reason')).toEqual({ failed: 1 });
  });

  it('count a send as rejected that is not even let wait', async () => {
    const collect = recordMetrics();
    const { system, settle } = await testSystem();
    const ref = await system.spawn(puppet({ mailbox: { capacity: 1, criticalReserve: 0, waitersMax: 1 } }));
    system.suspend(ref);
    ref.tell('act', () => undefined);
    const sends = [1, 2].map(() => endingOf(ref.send('act', () => undefined)));
    await settle();
    expect(sends.map(({ is }) => is)).toEqual([undefined, 'ERR_MAILBOX_WAITERS_FULL']);
    const collected = await collect();
    expect(byWord(collected, 'troupe.messages.rejected', 'troupe.admission')).toEqual({ full: 1 });
    system.resume(ref);
    await settle();
    expect(sends[0]?.is).toBe('resolved');
  });

  it.each([
    ['where nobody may wait', { overflow: 'reject', capacity: 1, criticalReserve: 0 }],
    ['where as many wait as may', { waitersMax: 0, capacity: 1, criticalReserve: 0 }],
  ] as const)(
    'count each call once that a full mailbox refuses, whatever its verb, %s',
    async (_, mailbox) => {
      const collect = recordMetrics();
      const { system, settle } = await testSystem();
      const ref = await system.spawn(puppet({ mailbox }));
      system.suspend(ref);
      ref.tell('act', () => undefined);
      expect(ref.tell('act', () => undefined)).toBe('full');
      const refused = [endingOf(ref.send('act', () => undefined)), endingOf(ref.ask('answer', () => 1))];
      await settle();
      expect(refused.map(({ is }) => is)).not.toContain('resolved');
      expect(byWord(await collect(), 'troupe.messages.rejected', 'troupe.admission')).toEqual({ full: 3 });
    },
  );

  it('tell depth and wait by priority, what is in flight, and who waits for room', async () => {
    const collect = recordMetrics();
    const { system, settle, advance } = await testSystem();
    const ref = await system.spawn(puppet({ mailbox: { capacity: 2, criticalReserve: 1 } }));
    const gate = deferred();
    ref.tell('act', () => gate.promise);
    await settle();
    ref.tell('act', () => undefined, { priority: 'high' });
    ref.tell('act', () => undefined, { priority: 'background' });
    const sent = endingOf(ref.send('act', () => undefined, { priority: 'low' }));
    await advance(2_000);
    const before = await collect();
    expect(byWord(before, 'troupe.mailbox.depth', 'troupe.priority')).toEqual({ high: 1, background: 1 });
    expect(before.sum('troupe.mailbox.waiting', PUPPET)).toBe(1);
    expect(before.sum('troupe.turns.in_flight', PUPPET)).toBe(1);
    expect(before.sum('troupe.messages.held', PUPPET)).toBe(3);
    gate.resolve();
    await settle();
    expect(sent.is).toBe('resolved');
    const after = await collect();
    expect(byWord(after, 'troupe.queue.wait', 'troupe.priority')).toEqual({ high: 2, background: 2, low: 2 });
    const runs = after.points('messaging.process.duration');
    expect(runs).toEqual([
      {
        attributes: {
          ...PUPPET,
          'messaging.system': 'troupe',
          'messaging.operation.name': 'process',
          'troupe.turn.outcome': 'handled',
        },
        value: 2,
        count: 4,
      },
    ]);
    expect(after.sum('troupe.messages.held', PUPPET)).toBe(0);
  });

  it('tell how asks ended, and how many have not', async () => {
    const collect = recordMetrics();
    const { system, settle, advance } = await testSystem();
    const ref = await system.spawn(puppet(), { restart: 'permanent' });
    const controller = new AbortController();
    const replied = endingOf(ref.ask('answer', () => 1));
    const failed = endingOf(
      ref.ask('answer', () => {
        throw new Error('fail');
      }),
    );
    await advance(60_000);
    const late = endingOf(ref.ask('answer', never, { timeoutMs: 1_000 }));
    const aborted = endingOf(ref.ask('answer', () => 1, { signal: controller.signal }));
    await settle();
    expect((await collect()).sum('troupe.asks.in_flight')).toBe(2);
    controller.abort();
    await advance(1_000);
    const stopped = system.stop(ref);
    await advance(60_000);
    await stopped;
    const refused = endingOf(ref.ask('answer', () => 1));
    await settle();
    expect([replied, failed, late, aborted, refused].map(({ is }) => is)).toEqual([
      'resolved',
      'ERR_ACTOR_FAILED',
      'ERR_ASK_TIMEOUT',
      'rejected',
      'ERR_ACTOR_STOPPED',
    ]);
    const collected = await collect();
    expect(byWord(collected, 'troupe.asks.ended', 'troupe.ask.outcome')).toEqual({
      replied: 1,
      failed: 1,
      'timed-out': 1,
      cancelled: 1,
      refused: 1,
    });
    expect(collected.sum('troupe.asks.in_flight')).toBe(0);
  });

  it('count a stream as an ask, by its end', async () => {
    const collect = recordMetrics();
    const { system, settle, advance } = await testSystem();
    const ref = await system.spawn(puppet(), { restart: 'permanent' });
    const flow = (ending: 'return' | 'throw') =>
      ref.stream(
        'flow',
        async function* () {
          yield 1;
          yield 2;
          if (ending === 'throw') throw new Error('fail');
        },
        { window: 1, timeoutMs: 100 },
      );
    for await (const _ of flow('return'));
    for await (const _ of flow('return')) break;
    await settle();
    const late = flow('return');
    await late.next();
    expect((await collect()).sum('troupe.asks.in_flight')).toBe(1);
    await advance(100);
    const failing = flow('throw');
    await failing.next();
    await failing.next();
    await expect(failing.next()).rejects.toMatchObject({ code: 'ERR_ACTOR_FAILED' });
    const collected = await collect();
    expect(byWord(collected, 'troupe.asks.ended', 'troupe.ask.outcome')).toEqual({
      replied: 1,
      cancelled: 1,
      'timed-out': 1,
      failed: 1,
    });
    expect(collected.sum('troupe.asks.in_flight')).toBe(0);
  });

  it('tell restarts by reason, and supervisors that gave up', async () => {
    const collect = recordMetrics();
    const { system, advance } = await testSystem({
      root: supervisor({
        children: {
          inner: supervisor({
            strategy: 'one-for-all',
            intensity: { max: 2, withinMs: 3_600_000 },
            children: {
              a: puppet().child({ restart: 'permanent' }),
              b: puppet().child({ restart: 'permanent' }),
            },
          }),
        },
      }),
    });
    const { a, b } = system.refs.inner;
    a.tell('act', () => {
      throw new Error('fail');
    });
    await advance(60_000);
    b.tell('act', (ctx) => ctx.stopSelf());
    await advance(60_000);
    const killed = system.kill(a);
    await advance(60_000);
    await killed;
    const collected = await collect();
    expect(byWord(collected, 'troupe.restarts', 'troupe.restart.reason')).toEqual({
      failed: 1,
      left: 1,
      sibling: 2,
    });
    expect(collected.sum('troupe.escalations')).toBe(1);
  });

  it('have no path, name of an actor, topic or message id among their attributes, and few types of agents', async () => {
    const collect = recordMetrics();
    const { system, settle } = await testSystem();
    for (let i = 0; i < 210; i++) {
      const one = agent(protocol(`type-${i}`, { take: tell(type<void>()) }), {
        on: { take: () => undefined },
      });
      (await system.spawn(one, { name: `actor-${i}` })).tell('take');
    }
    await system.subscribe('news', () => undefined);
    await system.publish('news', 1);
    await settle();
    const collected = await collect();
    const attributes = collected.all.flatMap(({ dataPoints }) => dataPoints.map((point) => point.attributes));
    const keys = new Set(attributes.flatMap((each) => Object.keys(each)));
    expect([...keys].toSorted()).toEqual([
      'messaging.operation.name',
      'messaging.system',
      'troupe.agent',
      'troupe.ask.outcome',
      'troupe.outcome',
      'troupe.priority',
      'troupe.system',
      'troupe.turn.outcome',
    ]);
    expect(JSON.stringify(attributes)).not.toMatch(/actor-|news|\/user/);
    const types = new Set(attributes.map((each) => each['troupe.agent']));
    expect(types.size).toBeLessThanOrEqual(202); // with those beyond 200, and the points without a type
    expect(collected.sum('troupe.messages.accepted')).toBe(211);
    expect(collected.sum('troupe.messages.accepted', { 'troupe.agent': '(others)' })).toBeGreaterThan(9);
  });

  it('keep the ledgers of actors that have ended, and count those that live', async () => {
    const collect = recordMetrics();
    const { system, settle } = await testSystem();
    for (let i = 0; i < 3; i++) {
      const ref = await system.spawn(puppet());
      ref.tell('act', () => undefined);
      await settle();
      if (i < 2) await system.stop(ref);
    }
    const collected = await collect();
    expect(collected.sum('troupe.messages.accepted', PUPPET)).toBe(3);
    expect(collected.sum('troupe.actors', PUPPET)).toBe(1);
  });

  it('are there for a meter provider that is registered later, and over with their system', async () => {
    const { system, settle, kernel } = await testSystem();
    const ref = await system.spawn(puppet());
    ref.tell('act', () => undefined);
    await settle();
    expect(kernel.isRecorded).toBe(false);
    const collect = recordMetrics();
    kernel.telemetry.refresh(); // as the run queue does at its next slice
    ref.tell('act', () => undefined);
    await settle();
    const collected = await collect();
    expect(collected.sum('troupe.messages.accepted', PUPPET)).toBe(2);
    expect(collected.points('messaging.process.duration')).toMatchObject([{ count: 1 }]);
    await system.shutdown();
    expect(kernel.isRecorded).toBe(false);
    // A counter keeps its last value; nobody reads the ledgers any more.
    kernel.telemetry.tallyOf('puppet').past.accepted = 1_000;
    expect((await collect()).sum('troupe.messages.accepted', PUPPET)).toBe(2);
  });

  it('P124 and the inspection answer during a turn that never settles', async () => {
    const collect = recordMetrics();
    const traces = recordTraces();
    const { system, settle } = await testSystem();
    const ref = await system.spawn(puppet({ turnTimeoutMs: Infinity }), { shutdownMs: 0 });
    ref.tell('act', never);
    ref.tell('act', () => undefined);
    await settle();
    expect(system.inspect(ref)).toMatchObject({
      mailbox: { queued: 1 },
      turn: { message: 'act', attempt: 1 },
    });
    const collected = await collect();
    expect(collected.sum('troupe.turns.in_flight', PUPPET)).toBe(1);
    expect(collected.sum('troupe.messages.held', PUPPET)).toBe(2);
    expect(traces.named('send puppet')).toHaveLength(2);
    expect(traces.named('process puppet')).toEqual([]);
  });
});
