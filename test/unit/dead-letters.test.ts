import { supervisor } from 'troupe';
import { describe, expect, it } from 'vitest';
import { DeadLetterBox } from '../../runtime/actor/dead-letters.ts';
import type { Kernel } from '../../runtime/actor/kernel.ts';
import { entryWithoutHandler } from '../../runtime/actor/outcomes.ts';
import { EventHub } from '../../runtime/observe/event-hub.ts';
import type { DeadLetter } from '../../src/protocol/dead-letters.ts';
import { Envelope, Extras } from '../../src/protocol/envelope.ts';
import { NORMAL_RANK } from '../../src/protocol/priority.ts';
import { endingOf, Puppet, puppet } from '../support/puppet.ts';
import { testSystem } from '../support/test-system.ts';

const FAIL = (): never => {
  throw new Error('fail');
};
const NOTHING = (): void => undefined;

/** Lets a message die as one that was published: its copies share their extras. */
function publishedTo(kernel: Kernel, topic: string, addresses: readonly string[], payload?: unknown): void {
  const extras = new Extras();
  extras.topic = topic;
  for (const address of addresses) {
    const entry = entryWithoutHandler('deliver', 'tell');
    const copy = new Envelope(entry, payload, NORMAL_RANK, undefined, undefined, extras);
    kernel.deadLetters.add(copy, address, 'stopped');
  }
}

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
        error: undefined,
        history: [],
      },
      { reason: 'actor-unknown', address: 'nobody', attempts: 0 },
      {
        reason: 'handler-failed',
        messageId: id,
        address: ref.address,
        sender: undefined,
        attempts: 1,
        error: { message: 'fail' },
        history: [{ attempt: 1, error: { message: 'fail' }, generation: 0 }],
      },
    ]);
    const told = events.filter((event) => event.type === 'message-dead');
    expect(told.map(({ id: letter, messageId }) => [letter, messageId])).toEqual(
      system.deadLetters.list().map((letter) => [letter.id, letter.messageId]),
    );
    expect(new Set(told.map((event) => event.id)).size).toBe(3);
    expect(new Set(told.map((event) => event.messageId)).size).toBe(3);
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
    const { system, events, logs } = await testSystem({ deadLettersMax: 3 });
    const nobody = system.ref(Puppet, 'nobody');
    for (let i = 0; i < 4; i++) nobody.tell('act', NOTHING);
    const line = { level: 'warn', address: '/', text: expect.stringMatching(/^more than 3 dead letters/) };
    expect(logs).toMatchObject([line]);
    nobody.tell('act', NOTHING);
    const fallen = events.filter((event) => event.type === 'dead-letter-evicted');
    const dead = events.filter((event) => event.type === 'message-dead');
    expect(fallen).toMatchObject(
      dead.slice(0, 2).map(({ id, messageId, address, message, topic, reason }) => {
        return { id, messageId, address, message, topic, reason };
      }),
    );
    expect(fallen).toHaveLength(2);
    // The log hears of the first: a flood of dead letters is none of lines.
    expect(logs).toMatchObject([line]);
    expect(system.deadLetters.stats()).toEqual({
      total: 5,
      kept: 3,
      evicted: 2,
      discarded: 0,
      replayed: 0,
      byReason: { 'actor-unknown': 5 },
      byTopic: [],
      otherTopics: 0,
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
    expect(deadLetters.list({ address: 'nobody' })).toMatchObject([{ reason: 'actor-unknown' }]);
    expect(deadLetters.list({ address: ref.address, message: 'act' })).toHaveLength(1);
  });

  it('have ids of their own: the copies of one publication share the message and nothing else', async () => {
    const { system, kernel, events } = await testSystem();
    const { deadLetters } = system;
    publishedTo(kernel, 'mail.in', ['a', 'b']);
    const [first, second, ...others] = deadLetters.list();
    expect(others).toEqual([]);
    expect(first?.messageId).toBe(second?.messageId);
    expect(first?.id).not.toBe(second?.id);
    expect([first?.topic, second?.topic]).toEqual(['mail.in', 'mail.in']);
    expect(events).toMatchObject(
      [first, second].map((letter) => {
        return { type: 'message-dead', id: letter?.id, messageId: letter?.messageId, topic: 'mail.in' };
      }),
    );
    expect(deadLetters.discard(first?.messageId ?? '')).toBe(false);
    expect(deadLetters.discard(first?.id ?? '')).toBe(true);
    expect(deadLetters.get(first?.id ?? '')).toBeUndefined();
    expect(deadLetters.get(second?.id ?? '')).toBe(second);
    expect(deadLetters.list()).toEqual([second]);
  });

  it('of every reason are found by it, and by no other', async () => {
    const { system, kernel } = await testSystem();
    const reasons = [
      'handler-failed',
      'attempts-exhausted',
      'expired',
      'stopped',
      'actor-unknown',
      'stale-incarnation',
      'overflow-dropped',
      'validation',
      'rejected',
      'stash-cleared',
      'killed',
      'late-reply',
      'duplicate-reply',
    ] as const;
    for (const reason of reasons) {
      const letter = new Envelope(
        entryWithoutHandler('act', 'tell'),
        undefined,
        NORMAL_RANK,
        undefined,
        undefined,
        undefined,
      );
      kernel.deadLetters.add(letter, 'somewhere', reason);
    }
    for (const reason of reasons)
      expect(system.deadLetters.list({ reason })).toMatchObject([{ reason, address: 'somewhere' }]);
  });

  it('are found by topic and pattern, and what was not published has none', async () => {
    const { system, kernel } = await testSystem();
    for (const topic of ['mail', 'mail.in', 'mail.in.spam', 'log.in']) publishedTo(kernel, topic, ['a']);
    system.ref(Puppet, 'nobody').tell('act', NOTHING);
    const found = (topic: string) => system.deadLetters.list({ topic }).map((letter) => letter.topic);
    expect(found('mail.in')).toEqual(['mail.in']);
    expect(found('mail.*')).toEqual(['mail.in']);
    expect(found('*.in')).toEqual(['mail.in', 'log.in']);
    expect(found('mail.#')).toEqual(['mail', 'mail.in', 'mail.in.spam']);
    expect(found('#')).toHaveLength(4);
    expect(found('mail.out')).toEqual([]);
  });

  it('are found by sender and by the time of their deaths', async () => {
    const { system, clock, settle, advance } = await testSystem();
    const sender = await system.spawn(puppet());
    const nobody = system.ref(Puppet, 'nobody');
    const startMs = clock.wallNow();
    for (let n = 0; n < 3; n++) {
      nobody.tell('act', NOTHING);
      sender.tell('act', (ctx) => ctx.tell(nobody, 'act', NOTHING));
      await settle();
      await advance(10);
    }
    const { deadLetters } = system;
    const sent = deadLetters.list({ sender: sender.address });
    expect(sent.map((letter) => letter.sender)).toEqual([sender.address, sender.address, sender.address]);
    const at = (filter: object) => deadLetters.list(filter).map(({ deadAtMs }) => deadAtMs - startMs);
    expect(at({ sinceMs: startMs + 10 })).toEqual([10, 10, 20, 20]);
    expect(at({ untilMs: startMs + 10 })).toEqual([0, 0]);
    expect(at({ sinceMs: startMs + 10, untilMs: startMs + 20, sender: sender.address })).toEqual([10]);
  });

  it('are read page by page, each once, although letters leave and come meanwhile', async () => {
    const { system } = await testSystem({ deadLettersMax: 8 });
    const nobody = system.ref(Puppet, 'nobody');
    const die = (count: number): void => {
      for (let n = 0; n < count; n++) nobody.tell('act', NOTHING);
    };
    die(8);
    const { deadLetters } = system;
    const first = deadLetters.list({ limit: 3 });
    expect(first.map(({ id }) => id)).toEqual(['d1', 'd2', 'd3']);
    for (const { id } of first) deadLetters.discard(id);
    const second = deadLetters.list({ limit: 3, after: first.at(-1)?.id });
    expect(second.map(({ id }) => id)).toEqual(['d4', 'd5', 'd6']);
    die(5); // d4 and d5 fall off
    const third = deadLetters.list({ limit: 10, after: second.at(-1)?.id });
    expect(third.map(({ id }) => id)).toEqual(['d7', 'd8', 'd9', 'd10', 'd11', 'd12', 'd13']);
    expect(deadLetters.list({ after: 'd13' })).toEqual([]);
    expect(deadLetters.list({ after: 'd999' })).toEqual([]);
  });

  it('are discarded all that match, and counted', async () => {
    const { system, kernel } = await testSystem();
    for (let n = 0; n < 4; n++) publishedTo(kernel, `mail.${n % 2}`, ['a']);
    expect(system.deadLetters.discardAll({ topic: 'mail.0', limit: 1 })).toBe(1);
    expect(system.deadLetters.discardAll({ topic: 'mail.0' })).toBe(1);
    expect(system.deadLetters.discardAll({ topic: 'mail.0' })).toBe(0);
    expect(system.deadLetters.stats()).toMatchObject({ kept: 2, discarded: 2, evicted: 0 });
    expect(system.deadLetters.discardAll()).toBe(2);
    expect(system.deadLetters.stats()).toMatchObject({ total: 4, kept: 0, discarded: 4 });
  });

  it('are counted by topic for those that have most, and all others in one sum', async () => {
    const { system, kernel } = await testSystem();
    for (let n = 1; n <= 25; n++)
      for (let copies = 0; copies < n; copies++) publishedTo(kernel, `t.${n}`, ['a']);
    publishedTo(kernel, '__proto__', ['a']);
    const { byTopic, otherTopics, kept } = system.deadLetters.stats();
    expect(byTopic).toEqual(
      Array.from({ length: 20 }, (_, place) => ({ topic: `t.${25 - place}`, kept: 25 - place })),
    );
    expect(otherTopics).toBe(1 + 2 + 3 + 4 + 5 + 1);
    expect(byTopic.reduce((sum, topic) => sum + topic.kept, 0) + otherTopics).toBe(kept);
    system.deadLetters.discardAll({ topic: 't.25' });
    expect(system.deadLetters.stats().byTopic[0]).toEqual({ topic: 't.24', kept: 24 });
  });

  it('tell the attempts that failed with error, time and generation, the last eight of them', async () => {
    const backoff = { minMs: 5, maxMs: 5, jitter: 0 };
    const stubborn = puppet({ onFailure: { retry: { attemptsMax: 10, backoff } } });
    const root = supervisor({
      intensity: { max: Infinity, withinMs: 1_000 },
      restartsWithoutProgressMax: Infinity,
      children: { ref: stubborn.child({ backoff }) },
    });
    const { system, advance, clock } = await testSystem({ root });
    const startMs = clock.wallNow();
    const { ref } = system.refs;
    const errors: Error[] = [];
    ref.tell('act', (ctx) => {
      const error = new Error(`attempt ${ctx.message.attempt}`, { cause: 'the weather' });
      errors.push(error);
      throw error;
    });
    await advance(1_000);
    const [letter] = system.deadLetters.list();
    expect(letter).toMatchObject({ reason: 'attempts-exhausted', attempts: 10 });
    expect(letter?.error).toBe(errors[9]);
    expect(letter?.history).toHaveLength(8);
    for (const [place, { attempt, error, atMs, generation }] of (letter?.history ?? []).entries()) {
      expect([attempt, generation, atMs - startMs]).toEqual([place + 3, place + 2, (place + 2) * 5]);
      expect(error).toBe(errors[place + 2]);
    }
    expect(errors[9]?.stack).toContain('dead-letters.test.ts');
    expect([letter, letter?.history, letter?.history[0]].map(Object.isFrozen)).toEqual([true, true, true]);
  });

  it('count the turn that put a message aside, and none for a message that only waited', async () => {
    const { system, settle } = await testSystem();
    const ref = await system.spawn(puppet());
    ref.tell('act', (ctx) => ctx.stash());
    await settle();
    system.suspend(ref);
    ref.tell('act', NOTHING);
    await system.stop(ref);
    expect(system.deadLetters.list().map(({ reason, attempts }) => [reason, attempts])).toEqual([
      ['stopped', 0],
      ['stash-cleared', 1],
    ]);
  });

  it('refuse a filter that is none, naming the field', async () => {
    const { system } = await testSystem();
    const time = 'milliseconds since 1970';
    const id = 'the id of a dead letter';
    const whole = 'a whole number >= 1';
    for (const [filter, option, expected] of [
      [{ reason: 'late' }, 'filter.reason', expect.stringContaining('one of handler-failed, ')],
      [{ address: 5 }, 'filter.address', 'a string'],
      [{ message: {} }, 'filter.message', 'a string'],
      [{ sender: null }, 'filter.sender', 'a string'],
      [{ sinceMs: '1' }, 'filter.sinceMs', time],
      [{ untilMs: Number.NaN }, 'filter.untilMs', time],
      [{ limit: 0 }, 'filter.limit', whole],
      [{ limit: 1.5 }, 'filter.limit', whole],
      [{ after: 'm1' }, 'filter.after', id],
      [{ after: 'd01' }, 'filter.after', id],
      [{ after: 'xd1' }, 'filter.after', id],
      [{ after: 'd1x' }, 'filter.after', id],
      [{ after: 'd1234567890123456' }, 'filter.after', id],
      [{ after: 1 }, 'filter.after', id],
      [{ until: 1 }, 'filter.until', expect.stringContaining('known here: reason, address, ')],
      ['stopped', 'filter', 'an object'],
    ] as const) {
      const details: unknown = expect.objectContaining({ option, expected });
      const refused = { code: 'ERR_OPTION_INVALID', details };
      const given = filter as object;
      expect(() => system.deadLetters.list(given)).toThrow(expect.objectContaining(refused));
      expect(() => system.deadLetters.discardAll(given)).toThrow(expect.objectContaining(refused));
      await expect(system.deadLetters.replayAll(given)).rejects.toMatchObject(refused);
    }
    expect(system.deadLetters.list({ after: 'd123456789012345', sinceMs: 0, untilMs: Infinity })).toEqual([]);
    expect(() => system.deadLetters.list({ topic: 'a.#.b' })).toThrow(
      expect.objectContaining({ code: 'ERR_TOPIC_INVALID' }),
    );
    for (const id of ['', 'd0', 'd1', 'd-1', 5, undefined, {}, { toString: () => 'd1' }]) {
      expect(system.deadLetters.discard(id as string)).toBe(false);
      expect(system.deadLetters.get(id as string)).toBeUndefined();
    }
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

  it('of a box that sends nothing again stay in it when they are replayed', async () => {
    const box = new DeadLetterBox({ deadLettersMax: 2, replaysMax: 1 }, new EventHub(), () => 5);
    const entry = entryWithoutHandler('act', 'tell');
    const message = new Envelope(entry, undefined, NORMAL_RANK, undefined, undefined, undefined);
    box.add(message, 'nobody', 'actor-unknown');
    await expect(box.replay('d1')).rejects.toMatchObject({
      code: 'ERR_DEAD_LETTER_UNKNOWN',
      details: { id: 'd1' },
    });
    expect(box.list()).toMatchObject([{ id: 'd1', deadAtMs: 5 }]);
    expect(box.stats()).toMatchObject({ total: 1, kept: 1, replayed: 0 });
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
