/**
 * Goal: the hooks of an actor come in the order of their grammar, whatever fails or is killed, and a continuation comes first.
 * Method: random turns, failures in every hook, kills and waits; each hook writes a letter, and the word is looked at.
 */

import fc from 'fast-check';
import { supervisor } from 'troupe';
import { describe, expect, it } from 'vitest';
import { PRIORITIES } from '../../src/protocol/priority.ts';
import { orders } from '../support/checked-host.ts';
import { puppet } from '../support/puppet.ts';
import { RUNS, RUNS_TIMEOUT_MS } from '../support/runs.ts';
import { runTestSystem } from '../support/test-system.ts';

const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ do: fc.constantFrom('turn' as const, 'continue' as const), rank: fc.nat(5) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('fail' as const), rank: fc.nat(5) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('kill' as const), rank: fc.nat(5) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('wait' as const), rank: fc.nat(5) }) },
);

describe('the hooks of an actor', () => {
  it(
    'P4 P6 P9 come in their grammar, whatever fails in which of them or is killed, and a continuation comes first',
    async () => {
      const seen = { kills: 0, restarts: 0, continuations: 0, failedStarts: 0 };
      await fc.assert(
        fc.asyncProperty(
          fc.array(step, { size: 'max', maxLength: 30 }),
          fc.infiniteStream(fc.nat(9)),
          orders,
          async (steps, chances, order) => {
            let word = '';
            const write = async (letter: string): Promise<void> => {
              word += letter;
              const n: number = chances.next().value ?? 0;
              for (let i = 0; i < n % 4; i++) await Promise.resolve();
              if (n === 9) throw new Error(`fails in ${letter}`);
            };
            let isFirst = true;
            const agent = puppet({
              state: async () => {
                if (isFirst) word += 'i';
                else await write('i');
                isFirst = false;
                return [];
              },
              onRestart: () => write('r'),
              onStop: () => write('s'),
            });
            const root = supervisor({
              intensity: { max: Infinity },
              restartsWithoutProgressMax: Infinity,
              children: { a: agent.child({ restart: 'permanent', backoff: { minMs: 5, maxMs: 20 } }) },
            });
            await runTestSystem({ root, order }, async ({ system, settle, advance }) => {
              const { a } = system.refs;
              for (const { do: what, rank } of steps) {
                const priority = PRIORITIES[rank];
                if (what === 'turn') a.tell('act', () => write('t'), { priority });
                else if (what === 'continue') {
                  a.tell(
                    'act',
                    async (ctx) => {
                      // A turn that goes on does not fail: its continuation is due.
                      word += 'T';
                      await Promise.resolve();
                      ctx.continue('next', () => write('c'));
                    },
                    { priority },
                  );
                } else if (what === 'fail') {
                  a.tell(
                    'act',
                    () => {
                      word += 't';
                      throw new Error('fails');
                    },
                    { priority },
                  );
                } else if (what === 'wait') await advance(rank * 4);
                else if (system.inspect(a)?.status === 'running') {
                  word += 'k';
                  void system.kill(a); // its supervisor starts it again
                }
              }
              await advance(1_000);
              await system.stop(a);
              await settle();
            });
            expect(word).toMatch(/^i[tTc]*([rk]i+[tTc]*)*s$/);
            expect(word).not.toMatch(/T[^ck]/); // only a signal goes before what was to come next
            seen.kills += word.split('k').length - 1;
            seen.restarts += word.split('r').length - 1;
            seen.continuations += word.split('Tc').length - 1;
            seen.failedStarts += word.split('ii').length - 1;
          },
        ),
        { numRuns: RUNS },
      );
      expect(Math.min(...Object.values(seen))).toBeGreaterThan(RUNS / 100); // it looked at something
    },
    RUNS_TIMEOUT_MS,
  );
});
