import { EventEmitter } from 'node:events';
import type { Channel, ChannelModel } from 'amqplib';
import { describe, expect, it } from 'vitest';
import { Session } from '../../adapters/rabbitmq/connection.ts';
import { heard } from '../../adapters/rabbitmq/member-answers.ts';
import { decoded, encoded, type MemberMessage, TOLD_MAX } from '../../adapters/rabbitmq/member-messages.ts';
import { LOOK_MS, Pulse } from '../../adapters/rabbitmq/pulse.ts';
import { Roster, type Told } from '../../adapters/rabbitmq/roster.ts';
import { rabbitmqSettings } from '../../adapters/rabbitmq/settings.ts';
import { decodedToken, encodedToken } from '../../adapters/rabbitmq/shard-token.ts';
import { Topology } from '../../adapters/rabbitmq/topology.ts';
import { ABOUT_BYTES_MAX } from '../../src/protocol/membership.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

function told(name: string, incarnation = `${name}1`, about = '', version = 0): Told {
  return { name, incarnation, about, version };
}

function rosterOf(name: string): { roster: Roster; changes: string[] } {
  const changes: string[] = [];
  const roster = new Roster(told(name), ({ kind, member }) =>
    changes.push(`${kind} ${member.name}.${member.incarnation}`),
  );
  return { roster, changes };
}

describe('the roster of a node', () => {
  it('believes others about a name of which it knows nothing, and only the holder about one it knows', () => {
    const { roster, changes } = rosterOf('a');
    roster.heard(told('b', 'old'), false);
    roster.heard(told('b', 'new'), false);
    expect(changes).toEqual(['up b.old']);
    roster.heard(told('b', 'new'), true);
    roster.heard(told('b', 'old'), false);
    expect(changes).toEqual(['up b.old', 'down b.old', 'up b.new']);
  });

  it('knows an end that it hears of before the beginning', () => {
    const { roster, changes } = rosterOf('a');
    roster.heardGone({ name: 'b', incarnation: 'b1', how: 'left' });
    expect(roster.heard(told('b'), true)).toEqual({ name: 'b', incarnation: 'b1', how: 'left' });
    expect(changes).toEqual([]);
  });

  it('ends an earlier life with a later one of which it has heard only the end', () => {
    const { roster, changes } = rosterOf('a');
    roster.heard(told('b'), true);
    roster.heardGone({ name: 'b', incarnation: 'b1.2', how: 'left' });
    roster.heard(told('b', 'b1.2'), true);
    roster.heard(told('b', 'b1.3'), true);
    expect(changes).toEqual(['up b.b1', 'down b.b1', 'up b.b1.3']);
  });

  it('begins the next life when others say that it has ended, once for each end', () => {
    const { roster, changes } = rosterOf('a');
    roster.describe('something');
    const gone = { name: 'a', incarnation: 'a1', how: 'down' } as const;
    expect([roster.heardGone(gone), roster.heardGone(gone)]).toEqual([true, false]);
    expect(roster.view()).toEqual([{ name: 'a', incarnation: 'a1.2', about: 'something' }]);
    expect(roster.heardGone({ ...gone, incarnation: 'a1.2' })).toBe(true);
    expect(roster.heardGone({ ...gone, incarnation: 'other1' })).toBe(false);
    expect(changes).toEqual(['changed a.a1', 'down a.a1', 'up a.a1.2', 'down a.a1.2', 'up a.a1.3']);
  });

  it('shows the same view until something changes', () => {
    const { roster } = rosterOf('a');
    const before = roster.view();
    roster.heard(told('b'), true);
    const after = roster.view();
    roster.heard(told('b'), true);
    roster.heard(told('b', 'b1', '', 1), true); // says the same again
    expect([before.length, after.length, roster.view() === after]).toEqual([1, 2, true]);
  });

  it('looks after the next in the ring of names', () => {
    const { roster } = rosterOf('c');
    expect(roster.successors(2)).toEqual([]);
    for (const name of ['d', 'a', 'b']) roster.heard(told(name), true);
    expect(roster.successors(2)).toEqual(['d', 'a']);
    expect(roster.successors(9)).toEqual(['d', 'a', 'b']);
  });
});

describe('what nodes on RabbitMQ tell one another', () => {
  it('answers who asks with all that it does not know, in messages of a bounded size', () => {
    const { roster } = rosterOf('a');
    for (let count = 0; count < TOLD_MAX + 3; count++) roster.heard(told(`n${count}`), true);
    const { answers } = heard(roster, { kind: 'ask', from: 'n0', known: ['n1'] });
    const named = answers.map(({ to, message }) => [to, message.kind === 'here' && message.members.length]);
    // Itself is one more; who asks, and whom it knows, are two less.
    expect(named).toEqual([
      ['n0', TOLD_MAX],
      ['n0', 2],
    ]);
    expect(heard(roster, { kind: 'ask', from: 'a', known: [] }).answers).toEqual([]);
  });

  it('takes nothing for a message that is none', () => {
    const member = told('b');
    const messages: MemberMessage[] = [
      { kind: 'hello', member },
      { kind: 'here', from: 'a', members: [member, told('c', 'c1.2', 'x'.repeat(ABOUT_BYTES_MAX))] },
      { kind: 'ask', from: 'a', known: ['b', 'c'] },
      { kind: 'gone', gone: { name: 'b', incarnation: 'b1.12', how: 'left' } },
      { kind: 'probe' },
    ];
    for (const message of messages) expect(decoded(encoded(message))).toEqual(message);
    const wrong: unknown[] = [
      undefined,
      null,
      [],
      {},
      { kind: 'unknown' },
      { kind: 'hello' },
      { kind: 'hello', member: { ...member, name: 'a.b' } },
      { kind: 'hello', member: { ...member, incarnation: 'b1.1' } },
      { kind: 'hello', member: { ...member, incarnation: 'b1.02' } },
      { kind: 'hello', member: { ...member, about: 'x'.repeat(ABOUT_BYTES_MAX + 1) } },
      { kind: 'hello', member: { ...member, version: 0.5 } },
      { kind: 'here', from: 'a', members: [member, 1] },
      { kind: 'here', members: [member] },
      { kind: 'ask', from: 'a', known: 'b' },
      { kind: 'ask', from: 'a', known: [1] },
      { kind: 'gone', gone: { name: 'b', incarnation: 'b1', how: 'up' } },
      { kind: 'gone', gone: { name: '', incarnation: 'b1', how: 'down' } },
    ];
    for (const value of wrong) expect(decoded(Buffer.from(JSON.stringify(value) ?? ''))).toBeUndefined();
    expect(decoded(Buffer.from('{"kind":"probe"}'.padEnd(2 ** 20 + 1)))).toBeUndefined();
  });

  it('takes nothing for a token that is none', () => {
    const token = { epoch: 7, id: 'x' };
    expect(decodedToken(encodedToken(token))).toEqual(token);
    const wrong = [
      {},
      { epoch: 1 },
      { epoch: -1, id: '' },
      { epoch: 0.5, id: '' },
      { epoch: 2 ** 53, id: '' },
    ];
    for (const value of [...wrong, null, 1, { epoch: 1, id: 'x'.repeat(2_000) }])
      expect(decodedToken(Buffer.from(JSON.stringify(value)))).toBeUndefined();
    expect(decodedToken(Buffer.from('{'))).toBeUndefined();
  });
});

describe('the names of shards', () => {
  it('are short enough for RabbitMQ, and no two of them are one', () => {
    const topology = new Topology(rabbitmqSettings('amqp://127.0.0.1', { prefix: 'p'.repeat(32) }));
    const shard = { group: 'g'.repeat(64), shard: 1_023, shards: 1_024 };
    const names = [topology.shard(shard, 0), topology.shard(shard, 5), topology.token(shard)];
    names.push(topology.token({ ...shard, shard: 1 }), topology.alive('n'.repeat(64)));
    expect(new Set(names).size).toBe(5);
    for (const name of names) expect(Buffer.byteLength(name)).toBeLessThanOrEqual(255);
  });
});

describe('the pulse of a node', () => {
  /** A session whose server answers when the test says so. */
  function looked(mustAnswer: boolean, agreedSeconds?: number) {
    const clock = new VirtualClock();
    const answers: ((count: number) => void)[] = [];
    const counts: number[] = [];
    const model = Object.assign(new EventEmitter(), { connection: { heartbeat: agreedSeconds } });
    // Only what a session and a pulse use of them.
    const session = new Session(model as unknown as ChannelModel, new AbortController());
    const channel = {
      checkQueue: () =>
        new Promise((resolve) => {
          answers.push((consumerCount) => resolve({ consumerCount }));
        }),
    } as unknown as Channel;
    const pulse = new Pulse({
      clock,
      heartbeatSeconds: 3,
      queue: 'q',
      mustAnswer: () => mustAnswer,
      counted: (count) => counts.push(count),
    });
    pulse.watch(session, channel);
    pulse.start();
    const settle = async (): Promise<void> => undefined;
    /** What was answered before has arrived. */
    const pass = async (ms: number): Promise<void> => {
      await new Promise<void>((resolve) => {
        setImmediate(resolve);
      });
      await clock.advance(ms, settle);
    };
    return { clock, answers, counts, session, pulse, pass };
  }

  it('asks again only when it was answered', async () => {
    const { answers, counts, pass } = looked(false);
    await pass(10 * LOOK_MS);
    expect(answers.length).toBe(1);
    answers[0]?.(4);
    await pass(LOOK_MS);
    expect([answers.length, counts]).toEqual([2, [4]]);
  });

  it.each([
    [3, undefined],
    [3, 60],
    [1, 1],
  ])('ends a session before two heartbeats of %i s are over without an answer', async (seconds, agreed) => {
    const { answers, session, pass, clock } = looked(true, agreed);
    await pass(LOOK_MS);
    answers[0]?.(1);
    await pass(0);
    // Asked half a second after the beginning, and answered: as much is proven.
    const provenAtMs = clock.now();
    while (!session.over.aborted) await clock.advance(1, async () => undefined);
    expect(clock.now() - provenAtMs).toBeLessThan(2_000 * seconds);
    expect(clock.now() - provenAtMs).toBeGreaterThan(1_000 * seconds);
  });

  it('ends no session of a node that owns nothing, and none that is answered', async () => {
    const silent = looked(false);
    await silent.pass(60_000);
    const answered = looked(true);
    for (let look = 0; look < 100; look++) {
      await answered.pass(LOOK_MS);
      answered.answers.at(-1)?.(1);
      await Promise.resolve();
      await Promise.resolve();
    }
    expect([silent.session.over.aborted, answered.session.over.aborted]).toEqual([false, false]);
  });

  it('counts the time in which its process stood still', async () => {
    const { session, clock, pulse, answers } = looked(true);
    await clock.advance(LOOK_MS, async () => undefined);
    answers[0]?.(1);
    await Promise.resolve();
    await Promise.resolve();
    // No timer had its turn meanwhile.
    pulse.stop();
    await clock.advance(20_000, async () => undefined);
    pulse.look();
    expect(session.over.aborted).toBe(true);
  });

  it('leaves no timer when it is stopped', async () => {
    const { pulse, clock, pass } = looked(true);
    await pass(LOOK_MS);
    pulse.stop();
    expect(clock.pending).toBe(0);
  });
});
