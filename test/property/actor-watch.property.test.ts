/**
 * Goal: notices of death come exactly once for each watch, after the last word of the dead, and never after unwatch.
 * Method: random interleavings of watch, unwatch, messages, crashes and stops, against a plain count of what is due.
 */

import fc from 'fast-check';
import { supervisor } from 'troupe';
import { describe, expect, it } from 'vitest';
import { PRIORITIES } from '../../src/protocol/priority.ts';
import { orders } from '../support/checked-host.ts';
import { type PuppetRef, puppet } from '../support/puppet.ts';
import { runTestSystem } from '../support/test-system.ts';

const RUNS = Number(process.env['FC_RUNS'] ?? 1_000);
const SUBJECTS = 3;

const subject = fc.nat(SUBJECTS - 1);
const step = fc.oneof(
  fc.record({ kind: fc.constantFrom('watch' as const, 'watch' as const, 'unwatch' as const), subject }),
  fc.record({
    kind: fc.constant('say' as const),
    subject,
    ranks: fc.array(fc.nat(5), { maxLength: 4, size: 'max' }),
  }),
  fc.record({
    kind: fc.constantFrom('crash' as const, 'stop' as const, 'kill' as const, 'sayAndStop' as const),
    subject,
  }),
  fc.record({
    kind: fc.constantFrom(
      'settle' as const,
      'suspend' as const,
      'resume' as const,
      'crashWatcher' as const,
      'stash' as const,
    ),
  }),
);

describe('notices of death', () => {
  it('P40 P42 P43 P44 come once for each watch that holds, after the last word', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { size: 'max', maxLength: 40 }), orders, async (steps, order) => {
        let word = 0;
        /** Words of each subject that the watcher accepted and has not seen. */
        const unheard = new Map<PuppetRef, Set<number>>();
        const notices: PuppetRef[] = [];
        const early: number[] = [];
        const agent = puppet({
          onTerminated: (_ctx, { ref }) => {
            const dead = [...unheard.keys()].find((each) => each.address === ref.address);
            if (dead === undefined) throw new Error('a stranger');
            notices.push(dead);
            early.push(...(unheard.get(dead) ?? []));
          },
        });
        const root = supervisor({
          intensity: { max: Infinity },
          restartsWithoutProgressMax: Infinity,
          children: { watcher: agent.child({ backoff: { minMs: 0 } }) },
        });
        await runTestSystem({ root, order }, async ({ system, settle, advance }) => {
          const { watcher } = system.refs;
          const refs: PuppetRef[] = [];
          for (let i = 0; i < SUBJECTS; i++) {
            const ref = await system.spawn(puppet(), { backoff: { minMs: 0 } });
            refs.push(ref);
            unheard.set(ref, new Set());
          }
          const watched = new Set<PuppetRef>();
          const expected: PuppetRef[] = [];
          /** Done by the watcher in a turn of its own, which goes before all that is queued. */
          const inWatcher = async (
            act: (ctx: Parameters<Parameters<typeof watcher.tell<'act'>>[1]>[0]) => unknown,
          ): Promise<void> => {
            watcher.tell('act', act, { priority: 'critical' });
            await settle();
          };
          const isDead = (ref: PuppetRef): boolean => system.inspect(ref)?.status === 'stopped';
          let suspensions = 0;
          for (const each of steps) {
            const ref = refs['subject' in each ? each.subject : 0];
            if (ref === undefined) continue;
            if (each.kind === 'watch' && suspensions === 0) {
              const before = notices.length;
              await inWatcher((ctx) => ctx.watch(ref));
              if (isDead(ref)) expect(notices.slice(before)).toEqual([ref]);
              else watched.add(ref);
              if (isDead(ref)) expected.push(ref);
            } else if (each.kind === 'unwatch' && suspensions === 0) {
              await inWatcher((ctx) => ctx.unwatch(ref));
              watched.delete(ref);
            } else if ((each.kind === 'say' || each.kind === 'sayAndStop') && !isDead(ref)) {
              ref.tell('act', (ctx) => {
                for (const rank of each.kind === 'say' ? each.ranks : [5, 0, 3]) {
                  const id = ++word;
                  const hear = (): unknown => unheard.get(ref)?.delete(id);
                  if (ctx.tell(watcher, 'act', hear, { priority: PRIORITIES[rank] }) === 'accepted')
                    unheard.get(ref)?.add(id);
                }
                if (each.kind === 'sayAndStop') ctx.stopSelf();
              });
              await settle();
            } else if (each.kind === 'stop') {
              await system.stop(ref);
            } else if (each.kind === 'kill' && !isDead(ref) && system.inspect(ref)?.restarts === 0) {
              void system.kill(ref); // its supervisor starts it again
            } else if (each.kind === 'crash' && !isDead(ref) && system.inspect(ref)?.restarts === 0) {
              ref.tell('act', () => {
                throw new Error('fail');
              });
            } else if (each.kind === 'crashWatcher') {
              watcher.tell('act', () => {
                throw new Error('fail');
              });
            } else if (each.kind === 'stash') {
              let isStashed = false;
              refs[0]?.tell('act', (ctx) => {
                ctx.tell(watcher, 'act', (own) => {
                  if (isStashed) return undefined;
                  isStashed = true;
                  return own.stash();
                });
              });
            } else if (each.kind === 'suspend') {
              suspensions++;
              system.suspend(watcher);
            } else if (each.kind === 'resume' && suspensions > 0) {
              suspensions--;
              system.resume(watcher);
            }
            await settle();
            for (const dead of [...watched].filter(isDead)) {
              if (suspensions > 0) continue;
              watched.delete(dead);
              expected.push(dead);
            }
          }
          while (suspensions-- > 0) system.resume(watcher);
          await advance(10);
          expected.push(...[...watched].filter(isDead));
          const byAddress = (list: readonly PuppetRef[]): string[] =>
            list.map(({ address }) => address).sort();
          expect(byAddress(notices)).toEqual(byAddress(expected));
          expect(early).toEqual([]);
        });
      }),
      { numRuns: RUNS },
    );
  });
});
