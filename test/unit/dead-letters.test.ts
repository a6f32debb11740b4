import { describe, expect, it } from 'vitest';
import type { DeadLetter } from '../../src/protocol/system.ts';
import { endingOf, Puppet, puppet } from '../support/puppet.ts';
import { testSystem } from '../support/test-system.ts';

const FAIL = (): never => {
  throw new Error('fail');
};
const NOTHING = (): void => undefined;

describe('dead letters', () => {
  it('P3 are told once each, with id, reason, target, sender, attempts and causes', async () => {
    const { system, settle, events } = await testSystem();
    const dead = await system.spawn(puppet(), { name: 'dead' });
    const ref = await system.spawn(puppet({ decide: () => 'resume' }), { name: 'ref' });
    await system.stop(dead);
    let id = '';
    ref.tell('act', (ctx) => {
      ({ id } = ctx.message);
      ctx.tell(dead, 'act', NOTHING, { priority: 'high' });
      ctx.tell(system.ref(Puppet, 'nobody'), 'act', NOTHING);
      throw new Error('fail');
    });
    await settle();
    expect(system.deadLetters.list()).toMatchObject([
      {
        reason: 'stopped',
        address: dead.address,
        message: 'act',
        sender: ref.address,
        priority: 'high',
        attempts: 0,
        causes: [],
      },
      { reason: 'actor-unknown', address: 'nobody', attempts: 0 },
      {
        reason: 'handler-failed',
        id,
        address: ref.address,
        sender: undefined,
        attempts: 1,
        causes: [{ message: 'fail' }],
      },
    ]);
    const told = events.flatMap((event) => (event.type === 'message-dead' ? [event.id] : []));
    expect(told).toEqual(system.deadLetters.list().map((letter) => letter.id));
    expect(new Set(told).size).toBe(3);
  });

  it('P3 never make another one: a listener that tells a dead actor is told of its own, and no more', async () => {
    const { system, settle } = await testSystem();
    const dead = await system.spawn(puppet());
    await system.stop(dead);
    let told = 0;
    system.events.subscribe((event) => {
      if (event.type !== 'message-dead') return;
      told++;
      throw new Error('in a listener');
    });
    dead.tell('act', NOTHING);
    await settle();
    expect(told).toBe(1);
    expect(system.deadLetters.stats().total).toBe(1);
  });

  it('are kept up to deadLettersMax; what falls off is counted', async () => {
    const { system } = await testSystem({ deadLettersMax: 3 });
    const nobody = system.ref(Puppet, 'nobody');
    for (let i = 0; i < 5; i++) nobody.tell('act', NOTHING);
    expect(system.deadLetters.stats()).toEqual({
      total: 5,
      kept: 3,
      evicted: 2,
      discarded: 0,
      replayed: 0,
      byReason: { 'actor-unknown': 5 },
    });
    const [first] = system.deadLetters.list();
    expect(system.deadLetters.discard(first?.id ?? '')).toBe(true);
    expect(system.deadLetters.discard(first?.id ?? '')).toBe(false);
    expect(system.deadLetters.stats()).toMatchObject({ kept: 2, discarded: 1, evicted: 2 });
  });

  it('are found by reason, address and message', async () => {
    const { system, settle } = await testSystem();
    const ref = await system.spawn(puppet({ decide: () => 'resume' }));
    ref.tell('act', FAIL);
    ref.ask('answer', FAIL).catch(NOTHING);
    system.ref(Puppet, 'nobody').tell('act', NOTHING);
    await settle();
    const { deadLetters } = system;
    expect(deadLetters.list({ reason: 'handler-failed' })).toHaveLength(2);
    expect(deadLetters.list({ message: 'answer' })).toHaveLength(1);
    expect(deadLetters.list({ address: ref.address, message: 'act' })).toHaveLength(1);
  });

  it('are iterated as they come, until the system ends; a slow reader misses only what fell off', async () => {
    const { system, settle } = await testSystem({ deadLettersMax: 2 });
    const nobody = system.ref(Puppet, 'nobody');
    nobody.tell('act', NOTHING); // before: not given
    const quick: DeadLetter[] = [];
    const slow: DeadLetter[] = [];
    let goOn = NOTHING;
    const read = async (into: DeadLetter[], pause: () => Promise<void>): Promise<void> => {
      for await (const letter of system.deadLetters) {
        into.push(letter);
        await pause();
      }
    };
    const quickEnd = endingOf(read(quick, () => Promise.resolve()));
    const slowEnd = endingOf(
      read(
        slow,
        () =>
          new Promise((resolve) => {
            goOn = resolve;
          }),
      ),
    );
    await settle();
    for (let i = 0; i < 5; i++) {
      nobody.tell('act', NOTHING);
      await settle();
    }
    expect(quick).toHaveLength(5);
    expect(slow).toHaveLength(1);
    for (let i = 0; i < 5; i++) {
      goOn();
      await settle();
    }
    expect(slow.map(({ id }) => id)).toEqual([quick[0], quick[3], quick[4]].map((letter) => letter?.id));
    await system.shutdown();
    await settle();
    expect([quickEnd.is, slowEnd.is]).toEqual(['resolved', 'resolved']);
  });

  it('go on being kept when a reader returns early', async () => {
    const { system, settle } = await testSystem();
    const nobody = system.ref(Puppet, 'nobody');
    const first = (async () => {
      for await (const letter of system.deadLetters) return letter.reason;
      return 'ended';
    })();
    await settle();
    nobody.tell('act', NOTHING);
    nobody.tell('act', NOTHING);
    expect(await first).toBe('actor-unknown');
    nobody.tell('act', NOTHING);
    expect(system.deadLetters.stats().total).toBe(3);
  });
});
