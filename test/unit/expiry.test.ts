import { agent, protocol, tell, type } from 'troupe';
import { describe, expect, it } from 'vitest';
import type { Overflow } from '../../src/protocol/subscription.ts';
import { kitSystem } from '../support/kit-system.ts';
import { deferred, endingOf } from '../support/puppet.ts';

const Job = protocol('job', { run: tell(type<string>()) });

/** An actor at a turn that lasts until `finish`, with room for two more messages and no reserves. */
async function full(overflow: Overflow = 'backpressure', capacity = 2) {
  const held = deferred();
  const seen: string[] = [];
  const job = agent(Job, {
    mailbox: { capacity, overflow, criticalReserve: 0, selfReserve: 0 },
    on: {
      run: (_ctx, name) => {
        seen.push(name);
        return name === 'hold' ? held.promise : undefined;
      },
    },
  });
  const system = await kitSystem();
  const ref = await system.spawn(job, { name: 'job' });
  ref.tell('run', 'hold');
  await system.settle();
  const letters = () =>
    system.deadLetters.list().map(({ payload, reason }): [unknown, string] => [payload, reason]);
  const finish = async (): Promise<string[]> => {
    held.resolve();
    await system.settle();
    return seen.slice(1);
  };
  return { system, ref, finish, letters };
}

describe('a full mailbox', () => {
  it.each(['reject', 'backpressure', 'drop-newest', 'drop-lowest'] as const)(
    'takes a message in the place of one whose time is up, under %s',
    async (overflow) => {
      const { system, ref, finish, letters } = await full(overflow);
      ref.tell('run', 'dead', { ttlMs: 10 });
      ref.tell('run', 'alive');
      await system.advance(11);
      expect(ref.tell('run', 'new')).toBe('accepted');
      expect(letters()).toEqual([['dead', 'expired']]);
      expect(await finish()).toEqual(['alive', 'new']);
      expect(letters()).toHaveLength(1);
    },
  );

  it('lets the time of a dropped message be its end, if it is up', async () => {
    const { system, ref, finish, letters } = await full('drop-oldest', 1);
    ref.tell('run', 'late', { ttlMs: 10 });
    await system.advance(11);
    ref.tell('run', 'oldest');
    ref.tell('run', 'newest');
    expect(letters()).toEqual([
      ['late', 'expired'],
      ['oldest', 'overflow-dropped'],
    ]);
    expect(await finish()).toEqual(['newest']);
  });

  it('gives the places of the dead to those who wait before anybody who comes', async () => {
    const { system, ref, finish, letters } = await full();
    ref.tell('run', 'dead 1', { ttlMs: 10 });
    ref.tell('run', 'dead 2', { ttlMs: 10 });
    const waits = ['first', 'second', 'third'].map((name) => endingOf(ref.send('run', name)));
    await system.advance(11);
    // It knocks, and finds those who wait in the places that it has freed.
    expect(ref.tell('run', 'late')).toBe('full');
    await system.settle();
    expect(waits.map(({ is }) => is)).toEqual(['resolved', 'resolved', undefined]);
    expect(letters()).toEqual([
      ['dead 1', 'expired'],
      ['dead 2', 'expired'],
    ]);
    expect(await finish()).toEqual(['first', 'second', 'third']);
  });

  it('looks at the head of each rank: one behind a living head keeps its place until its turn', async () => {
    const { system, ref, finish, letters } = await full('reject', 4);
    ref.tell('run', 'alive', { priority: 'low' });
    ref.tell('run', 'behind', { priority: 'low', ttlMs: 10 });
    ref.tell('run', 'urgent', { priority: 'urgent', ttlMs: 10 });
    ref.tell('run', 'background', { priority: 'background', ttlMs: 10 });
    await system.advance(11);
    expect(ref.tell('run', 'new')).toBe('accepted');
    expect(letters().map(([name]) => name)).toEqual(['urgent', 'background']);
    expect(await finish()).toEqual(['new', 'alive']);
    expect(letters().map(([name]) => name)).toEqual(['urgent', 'background', 'behind']);
  });

  it('keeps what is in time, to the last millisecond', async () => {
    const { system, ref, finish, letters } = await full('reject', 1);
    ref.tell('run', 'in time', { ttlMs: 10 });
    await system.advance(10);
    expect(ref.tell('run', 'new')).toBe('full');
    expect(await finish()).toEqual(['in time']);
    expect(letters()).toEqual([]);
  });

  it('of a pool gives the places of its queue, but not of what every worker is to get', async () => {
    for (const routing of ['work-pulling', 'round-robin', 'broadcast'] as const) {
      const held = deferred();
      const seen: string[] = [];
      const job = agent(Job, {
        mailbox: { capacity: 1, overflow: 'reject', criticalReserve: 0, selfReserve: 0 },
        on: {
          run: (_ctx, name) => {
            seen.push(name);
            return name === 'hold' ? held.promise : undefined;
          },
        },
      });
      const system = await kitSystem();
      const ref = await system.spawn(job.pool({ size: 2, routing }));
      for (let n = 0; n < (routing === 'broadcast' ? 1 : 2); n++) {
        ref.tell('run', 'hold');
        await system.settle();
      }
      expect(ref.tell('run', 'dead', { ttlMs: 10 })).toBe('accepted');
      await system.advance(11);
      const isShared = routing === 'broadcast';
      expect([routing, ref.tell('run', 'new')]).toEqual([routing, isShared ? 'full' : 'accepted']);
      held.resolve();
      await system.settle();
      expect(seen).toEqual(['hold', 'hold', ...(isShared ? [] : ['new'])]);
      const expired = system.deadLetters.list({ reason: 'expired' });
      expect(expired).toHaveLength(isShared ? 2 : 1);
      const counts = system.inspect(ref)?.counts;
      expect(counts).toMatchObject({ failed: 0, cancelled: 0, deadLettered: isShared ? 2 : 1 });
    }
  });
});
