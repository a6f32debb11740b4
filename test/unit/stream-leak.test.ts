import { isTroupeError, supervisor } from 'troupe';
import { describe, expect, it } from 'vitest';
import type { PartStream } from '../../src/protocol/part-stream.ts';
import { Puppet, type PuppetContext, puppet } from '../support/puppet.ts';
import { unhandledDuring } from '../support/rejections.ts';
import { RUNS } from '../support/runs.ts';
import { testSystem } from '../support/test-system.ts';

type Parts = PartStream<unknown, unknown>;

const STREAMS_PER_ROUND = 400;

describe('streams', () => {
  it('P130 leave nothing behind: 100,000 of them, ended in every way', async () => {
    const root = supervisor({
      intensity: { max: Infinity },
      restartsWithoutProgressMax: Infinity,
      children: {
        ref: puppet({ turnTimeoutMs: 700 }).pool({ size: 20 }),
      },
    });
    const { system, settle, advance, kernel, clock } = await testSystem({ root, deadLettersMax: 10 });
    const { ref } = system.refs;
    const reader = await system.spawn(puppet().pool({ size: 20 }));
    const nobody = system.ref(Puppet, 'nobody');
    const full = await system.spawn(puppet({ mailbox: { capacity: 1, overflow: 'reject' } }));
    system.suspend(full);
    full.tell('act', () => undefined);
    const seen = { begun: 0, ended: 0, listeners: 0 };
    const ends = new Map<string, number>();
    const note = (outcome: string): void => {
      ends.set(outcome, (ends.get(outcome) ?? 0) + 1);
    };
    async function* making(
      ctx: PuppetContext,
      parts: number,
      ending: 'return' | 'throw' | 'hang',
    ): AsyncGenerator<unknown, unknown, void> {
      seen.begun++;
      try {
        for (let n = 0; n < parts; n++) yield n;
        if (ending === 'throw') throw new Error('fail');
        if (ending === 'hang')
          await new Promise((_, reject) => {
            ctx.signal.addEventListener('abort', () => reject(ctx.signal.reason));
          });
        return parts;
      } finally {
        seen.ended++;
      }
    }
    const counted = (signal: AbortSignal): AbortSignal => {
      const add = signal.addEventListener.bind(signal);
      const remove = signal.removeEventListener.bind(signal);
      signal.addEventListener = (...given: Parameters<typeof add>): void => {
        seen.listeners++;
        add(...given);
      };
      signal.removeEventListener = (...given: Parameters<typeof remove>): void => {
        seen.listeners--;
        remove(...given);
      };
      return signal;
    };
    const read = async (parts: Parts, most = Infinity): Promise<void> => {
      try {
        let count = 0;
        for await (const _ of parts) if (++count >= most) break;
        note(count >= most ? 'broken off' : 'read');
      } catch (error) {
        note(isTroupeError(error) ? error.code : 'aborted');
      }
    };
    // One for thousands of streams: what is left on it shows.
    const signal = counted(new AbortController().signal);
    const rounds = Math.ceil(Math.min(RUNS, 1_000) / 4); // fewer where fewer runs are asked for
    const unheard = await unhandledDuring(async () => {
      for (let round = 0; round < rounds; round++) {
        const dying = await system.spawn(puppet(), { shutdownMs: 0 });
        const controllers: AbortController[] = [];
        const loose: Parts[] = [];
        const endings: Promise<void>[] = [];
        for (let i = 0; i < STREAMS_PER_ROUND; i++) {
          const parts = i % 7;
          if (i % 8 === 0)
            endings.push(read(ref.stream('flow', (ctx) => making(ctx, parts, 'return'), { signal })));
          else if (i % 8 === 1)
            endings.push(
              read(
                ref.stream('flow', (ctx) => making(ctx, 9, 'return'), { signal }),
                3,
              ),
            );
          else if (i % 8 === 2) {
            loose.push(ref.stream('flow', (ctx) => making(ctx, parts, 'return'), { signal }));
            note('unread');
          } else if (i % 8 === 3) {
            const own = new AbortController();
            controllers.push(own);
            const options = { signal: counted(own.signal), window: 1 };
            endings.push(read(ref.stream('flow', (ctx) => making(ctx, parts, 'hang'), options)));
          } else if (i % 80 === 4)
            endings.push(read(ref.stream('flow', (ctx) => making(ctx, parts, 'throw'), { signal })));
          else if (i % 80 === 12) {
            const open = ref.stream('flow', (ctx) => making(ctx, 9, 'return'), {
              window: 2,
              timeoutMs: 5,
              signal,
            });
            void open.next().then(
              () => note('left open'),
              () => note('left open'),
            );
          } else if (i % 80 === 20)
            endings.push(read(dying.stream('flow', (ctx) => making(ctx, 2, 'hang'), { signal })));
          else if (i % 80 === 28)
            endings.push(read(nobody.stream('flow', (ctx) => making(ctx, 1, 'return'), { signal })));
          else if (i % 80 === 36)
            endings.push(read(full.stream('flow', (ctx) => making(ctx, 1, 'return'), { signal })));
          else if (i % 80 === 44)
            endings.push(
              read(ref.stream('flow', (ctx) => making(ctx, 1, 'return'), { signal: AbortSignal.abort() })),
            );
          else
            endings.push(
              reader.ask('answer', (ctx) =>
                read(ctx.stream(ref, 'flow', (inner) => making(inner, parts, 'return'))),
              ) as Promise<void>,
            );
        }
        await settle();
        for (const controller of controllers) controller.abort();
        for (const parts of loose) await parts.return();
        if (round % 10 === 0) void system.kill(ref);
        await settle();
        void system.stop(dying);
        await advance(1_000);
        await Promise.all(endings);
      }
      await advance(400_000);
    });
    expect([...ends.values()].reduce((sum, n) => sum + n, 0)).toBe(rounds * STREAMS_PER_ROUND);
    expect([...ends.keys()].sort()).toEqual([
      'ERR_ACTOR_FAILED',
      'ERR_ACTOR_STOPPED',
      'ERR_ACTOR_UNKNOWN',
      'ERR_MAILBOX_FULL',
      'aborted',
      'broken off',
      'left open',
      'read',
      'unread',
    ]);
    expect(unheard).toEqual([]);
    expect(seen).toEqual({ begun: seen.begun, ended: seen.begun, listeners: 0 });
    expect([kernel.asksInFlight, kernel.timeouts.size, clock.pending]).toEqual([0, 0, 0]);
    expect([system.inspect(ref)?.mailbox.queued, system.inspect(ref)?.pool?.inFlight]).toEqual([0, 0]);
  }, 120_000);
});
