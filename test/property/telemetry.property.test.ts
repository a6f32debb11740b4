/**
 * Goal: what is exported is what happened: counters are the ledger, each turn is one span, and looking changes nothing.
 * Method: random load on actors, a pool, groups and topics, with failures, retries, kills and stops, played on the virtual
 * clock; the handlers keep their own book of turns, and each load is played once unobserved and once with all of it on.
 */

import { metrics, SpanKind, trace } from '@opentelemetry/api';
import type { ReadableSpan, SpanProcessor } from '@opentelemetry/sdk-trace-node';
import { NodeTracerProvider } from '@opentelemetry/sdk-trace-node';
import fc from 'fast-check';
import { rejected, supervisor } from 'troupe';
import { afterEach, describe, expect, it } from 'vitest';
import { PRIORITIES } from '../../src/protocol/priority.ts';
import { type Collected, recordMetrics } from '../support/metrics.ts';
import { type Act, type PuppetRef, puppet } from '../support/puppet.ts';
import { RUNS, RUNS_TIMEOUT_MS } from '../support/runs.ts';
import { runTestSystem } from '../support/test-system.ts';

const DEEDS = [
  'nothing',
  'wait',
  'fail',
  'fail-once',
  'reject',
  'tell',
  'ask',
  'publish',
  'continue',
  'timer',
  'stash',
  'unstash',
  'leave',
] as const;
type Deed = (typeof DEEDS)[number];

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constantFrom('tell', 'send', 'ask', 'ask-briefly', 'publish'),
      to: fc.nat(2),
      rank: fc.nat(5),
      deed: fc.constantFrom<Deed>(...DEEDS),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('kill', 'replay'), to: fc.nat(1) }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.constantFrom(1, 40, 2_000) }),
  },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

const NONE = { minMs: 0, jitter: 0 };

/** Spans that began and that ended, and whether one did twice. */
class Spans implements SpanProcessor {
  readonly begun = new Set<string>();
  readonly ended = new Map<string, ReadableSpan>();
  twice = 0;

  onStart(span: ReadableSpan): void {
    this.begun.add(span.spanContext().spanId);
  }

  onEnd(span: ReadableSpan): void {
    const { spanId } = span.spanContext();
    if (this.ended.has(spanId)) this.twice++;
    this.ended.set(spanId, span);
  }

  forceFlush = (): Promise<void> => Promise.resolve();
  shutdown = (): Promise<void> => Promise.resolve();
}

afterEach(() => {
  trace.disable();
});

/** What a load comes to: the book of turns that its handlers keep, and what the system said. */
interface Played {
  readonly turns: readonly string[];
  readonly events: readonly string[];
}

/** Plays a load. `look` is called whenever nothing moves; `ended` after the shutdown. */
async function play(
  steps: readonly Step[],
  look: (inspect: () => void, deadLetters: number) => Promise<void> | void = () => undefined,
): Promise<Played> {
  const turns: string[] = [];
  let said: readonly string[] = [];
  const small = puppet({
    mailbox: { capacity: 3, selfReserve: 1 },
    onFailure: { retry: { attemptsMax: 2, backoff: NONE } },
    turnTimeoutMs: 500,
  });
  const dropping = puppet({ mailbox: { capacity: 2, overflow: 'drop-oldest' }, turnTimeoutMs: 500 });
  const root = supervisor({
    strategy: 'one-for-one',
    intensity: { max: Infinity },
    restartsWithoutProgressMax: Infinity,
    children: {
      small: small.child({ restart: 'permanent', backoff: NONE, shutdownMs: 10 }),
      dropping: dropping.child({ restart: 'permanent', backoff: NONE, shutdownMs: 10 }),
      pool: small.pool({ size: 2, restart: 'permanent', backoff: NONE, shutdownMs: 10 }),
    },
  });
  await runTestSystem({ root }, async ({ system, clock, advance, settle, events }) => {
    const { refs } = system;
    const pool: PuppetRef = refs.pool;
    const all: readonly PuppetRef[] = [refs.small, refs.dropping, pool];
    let made = 0;
    const note = (name: string, attempt: number): void => {
      turns.push(`${clock.now()} ${name} #${attempt}`);
    };
    const act = (deed: Deed): Act => {
      const name = `${deed} ${++made}`;
      let asides = 0;
      const next = (): Act => (ctx) => note(`below ${name}`, ctx.message.attempt);
      return (ctx) => {
        note(name, ctx.message.attempt);
        const [first = ctx.self] = all;
        switch (deed) {
          case 'nothing':
            return undefined;
          case 'wait':
            return new Promise((resolve) => {
              clock.setTimer(30, () => resolve(undefined));
            });
          case 'fail':
            throw new Error(name);
          case 'fail-once':
            if (ctx.message.attempt === 1) throw new Error(name);
            return undefined;
          case 'reject':
            throw rejected(new Error(name));
          case 'tell':
            return void ctx.tell(first, 'act', next());
          case 'ask':
            return ctx.ask(pool, 'answer', (asked) => note(`asked ${name}`, asked.message.attempt), {
              timeoutMs: 100,
            });
          case 'publish':
            return ctx.publish('news', name, { timeoutMs: 100 });
          case 'continue':
            return ctx.continue('next', next());
          case 'timer':
            return ctx.timers.once(name, 50, 'next', next());
          case 'stash':
            return asides++ === 0 ? ctx.stash() : undefined;
          case 'unstash':
            return ctx.unstash();
          case 'leave':
            return ctx.stopSelf();
        }
      };
    };
    const read = (where: string) => (_message: unknown, meta: { readonly attempt: number }) =>
      note(`news at ${where}`, meta.attempt);
    await system.subscribe('news', read('one'), { capacity: 1, overflow: 'backpressure' });
    await system.subscribe('news', read('latest'), { overflow: 'latest' });
    for (const name of ['g1', 'g2']) await system.subscribe('news', read(name), { group: 'g' });

    const take = (given: Step): void => {
      const ignore = (): undefined => undefined;
      switch (given.do) {
        case 'tell':
          all[given.to]?.tell('act', act(given.deed), { priority: PRIORITIES[given.rank] });
          break;
        case 'send':
          all[given.to]?.send('act', act(given.deed), { timeoutMs: 300 }).catch(ignore);
          break;
        case 'ask':
        case 'ask-briefly': {
          const timeoutMs = given.do === 'ask' ? 1_000 : 5;
          const run = act(given.deed);
          // The context of an ask is one of a tell that may reply; what `run` does is in both.
          all[given.to]?.ask('answer', (ctx) => run(ctx as never) ?? 1, { timeoutMs }).catch(ignore);
          break;
        }
        case 'publish':
          system.publish('news', given.deed, { timeoutMs: 300 }).catch(ignore);
          break;
        case 'kill':
          system.kill(all[given.to] ?? refs.small).catch(ignore);
          break;
        case 'replay':
          system.deadLetters.replayAll({ reason: 'handler-failed' }).catch(ignore);
          break;
        case 'pass':
          break;
      }
    };
    const inspect = (): void => {
      for (const ref of all) system.inspect(ref);
      system.tree();
    };
    for (const given of steps) {
      take(given);
      if (given.do !== 'pass') continue;
      await advance(given.ms);
      await look(inspect, system.deadLetters.stats().total);
    }
    await settle();
    await look(inspect, system.deadLetters.stats().total);
    // When all actors have ended as well.
    system.onShutdown('flush', 'look', () => look(inspect, system.deadLetters.stats().total));
    const ended = system.shutdown();
    await advance(100_000);
    await ended;
    expect(events.filter(({ type }) => type === 'shutdown-task-failed')).toEqual([]);
    said = events.map((event) => `${event.type} ${'address' in event ? event.address : ''}`);
  });
  return { turns, events: said };
}

const load = fc.array(step, { size: 'max', maxLength: 40 });

/** P1, of each type of agent, by what was exported. */
function ledgerOf(collected: Collected): void {
  const types = new Set(
    collected.points('troupe.messages.accepted').map(({ attributes }) => attributes['troupe.agent']),
  );
  expect(types.size).toBeGreaterThan(0);
  for (const agent of types) {
    const of = { 'troupe.agent': agent };
    const accepted = collected.sum('troupe.messages.accepted', of);
    const ended = collected.sum('troupe.messages.ended', of);
    expect({ agent, accepted }).toEqual({
      agent,
      accepted: ended + collected.sum('troupe.messages.held', of),
    });
  }
}

describe('telemetry', () => {
  it(
    'P1 P124 has counters that are the ledger whenever nothing moves, under any load',
    async () => {
      await fc.assert(
        fc.asyncProperty(load, async (steps) => {
          metrics.disable();
          const collect = recordMetrics();
          const asked = steps.filter((each) => each.do.startsWith('ask')).length;
          let accepted = 0;
          let last: Collected | undefined;
          await play(steps, async (_inspect, deadLetters) => {
            const collected = await collect();
            ledgerOf(collected);
            expect(collected.sum('troupe.dead_letters')).toBe(deadLetters);
            const now = collected.sum('troupe.messages.accepted');
            expect(now).toBeGreaterThanOrEqual(accepted);
            accepted = now;
            last = collected;
          });
          expect(last?.sum('troupe.messages.held')).toBe(0);
          expect(last?.sum('troupe.asks.in_flight')).toBe(0);
          expect(last?.sum('troupe.asks.ended')).toBeGreaterThanOrEqual(asked);
        }),
        { numRuns: RUNS },
      );
    },
    RUNS_TIMEOUT_MS,
  );

  it(
    'P124 makes one span of each turn, below its message’s call, and the same turns happen with and without it',
    async () => {
      await fc.assert(
        fc.asyncProperty(load, async (steps) => {
          metrics.disable();
          trace.disable();
          const plain = await play(steps);
          const spans = new Spans();
          trace.setGlobalTracerProvider(new NodeTracerProvider({ spanProcessors: [spans] }));
          const collect = recordMetrics();
          const observed = await play(steps, async (inspect) => {
            inspect();
            await collect();
          });
          expect(observed).toEqual(plain);

          const all = [...spans.ended.values()];
          expect([spans.ended.size, spans.twice]).toEqual([spans.begun.size, 0]);
          const turns = all.filter(({ name }) => name.startsWith('process '));
          expect(turns).toHaveLength(plain.turns.length);
          for (const { kind, attributes, parentSpanContext, links } of turns) {
            const parent = spans.ended.get(parentSpanContext?.spanId ?? '');
            if (kind === SpanKind.CONSUMER) {
              // Whoever sent it, in whatever way, and by the name it went by.
              expect(parent?.kind).toBe(SpanKind.PRODUCER);
              expect(attributes['messaging.destination.name']).toBe(
                parent?.attributes['messaging.destination.name'],
              );
            } else if (parent !== undefined) {
              expect(parent.name).toMatch(/^process /); // a continuation
            } else {
              expect(links).toHaveLength(1); // a tick
            }
          }
        }),
        { numRuns: Math.ceil(RUNS / 2) },
      );
    },
    RUNS_TIMEOUT_MS,
  );
});
