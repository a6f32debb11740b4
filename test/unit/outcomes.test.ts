import { describe, expect, it } from 'vitest';
import type { Behaviour } from '../../runtime/actor/behaviour.ts';
import type { Mailbox } from '../../runtime/actor/mailbox.ts';
import {
  type Accountable,
  answer,
  bury,
  checkedAnswer,
  entryWithoutHandler,
  settleCancelled,
  settleFailed,
} from '../../runtime/actor/outcomes.ts';
import { type Customer, Envelope, Extras, type Sender, type Trace } from '../../src/protocol/envelope.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import type { DeadLetterReason } from '../../src/protocol/events.ts';
import { rankOf } from '../../src/protocol/priority.ts';

const ERROR = new Error('fail');
const URGENT = rankOf('urgent');

/** An actor that only keeps its books. */
function bookkeeper({ hasMailbox = true, problem = undefined as TroupeError | undefined } = {}) {
  const letters: unknown[][] = [];
  const deaths: string[] = [];
  const counts = { failed: 0, cancelled: 0, deadLettered: 0 };
  const behaviour = {
    kernel: { deadLetters: { add: (...letter: unknown[]) => letters.push(letter) } },
    tally: { deaths: { count: (reason: string) => deaths.push(reason) } },
    replyProblem: () => problem,
  };
  const actor: Accountable = {
    address: '/user/a#1',
    generation: 4,
    behaviour: behaviour as unknown as Behaviour, // what outcomes read of it
    mailbox: hasMailbox ? (counts as unknown as Mailbox) : undefined, // the same
  };
  return { actor, letters, deaths, counts };
}

/** Somebody who waits, and keeps what it is given. */
function asker({ isLate = false, isAnswered = false } = {}) {
  const heard: unknown[] = [];
  const settle = (outcome: unknown): boolean => !isLate && heard.push(outcome) > 0;
  const customer: Customer = {
    resolve: settle,
    reject: settle,
    isAnswered,
    deadline: Infinity,
    chain: undefined,
  };
  return { customer, heard };
}

/** A message that went through the mailbox's door, unless it has no `seq`, and what its witness is told. */
function message({
  seq = 7,
  customer = undefined as Customer | undefined,
  sender = undefined as Sender | undefined,
} = {}) {
  const extras = new Extras();
  const told: unknown[][] = [];
  extras.witness = { ended: (...end) => told.push(end) };
  const envelope = new Envelope(
    entryWithoutHandler('work', customer === undefined ? 'tell' : 'ask'),
    undefined,
    URGENT,
    sender,
    customer,
    extras,
  );
  envelope.seq = seq;
  return { envelope, told };
}

describe('the end of a message', () => {
  it.each<[DeadLetterReason, string]>([
    ['stopped', 'ERR_ACTOR_STOPPED'],
    ['killed', 'ERR_ACTOR_STOPPED'],
    ['stash-cleared', 'ERR_ACTOR_STOPPED'],
    ['attempts-exhausted', 'ERR_ACTOR_FAILED'],
    ['rejected', 'ERR_MESSAGE_REJECTED'],
    ['expired', 'ERR_MESSAGE_DROPPED'],
    ['overflow-dropped', 'ERR_MESSAGE_DROPPED'],
    ['validation', 'ERR_MESSAGE_DROPPED'],
  ])('as a dead letter (%s) is counted, told to its witness, and to its asker as %s', (reason, code) => {
    const { actor, letters, deaths, counts } = bookkeeper();
    const { customer, heard } = asker();
    const { envelope, told } = message({ customer });
    bury(actor, envelope, reason, ERROR);
    expect(letters).toEqual([[envelope, actor.address, reason, ERROR, 4]]);
    expect(deaths).toEqual([reason]);
    expect(counts).toEqual({ failed: 0, cancelled: 0, deadLettered: 1 });
    expect(told).toEqual([[envelope, reason, ERROR]]);
    const details = {
      ERR_ACTOR_STOPPED: { address: actor.address },
      ERR_ACTOR_FAILED: { address: actor.address, message: 'work' },
      ERR_MESSAGE_REJECTED: { address: actor.address, message: 'work' },
      ERR_MESSAGE_DROPPED: { address: actor.address, message: 'work', reason },
    }[code];
    expect(heard).toMatchObject([{ code, details }]);
    const hasCause = reason === 'attempts-exhausted' || reason === 'rejected';
    expect((heard[0] as Error).cause).toBe(hasCause ? ERROR : undefined);
  });

  it('by a failure is a dead letter that is counted as failed', () => {
    const { actor, letters, deaths, counts } = bookkeeper();
    const { customer, heard } = asker();
    const { envelope, told } = message({ customer });
    settleFailed(actor, envelope, ERROR);
    expect(letters).toEqual([[envelope, actor.address, 'handler-failed', ERROR, 4]]);
    expect(deaths).toEqual(['handler-failed']);
    expect(counts).toEqual({ failed: 1, cancelled: 0, deadLettered: 0 });
    expect(told).toEqual([[envelope, 'handler-failed', ERROR]]);
    const details = { address: actor.address, message: 'work' };
    expect(heard).toMatchObject([{ code: 'ERR_ACTOR_FAILED', details, cause: ERROR }]);
  });

  it('by a cancellation is no dead letter', () => {
    const { actor, letters, deaths, counts } = bookkeeper();
    const { customer, heard } = asker();
    const { envelope, told } = message({ customer });
    settleCancelled(actor, envelope);
    expect([letters, deaths]).toEqual([[], []]);
    expect(counts).toEqual({ failed: 0, cancelled: 1, deadLettered: 0 });
    expect(told).toEqual([[envelope, 'cancelled']]);
    expect(heard).toMatchObject([{ code: 'ERR_ACTOR_STOPPED', details: { address: actor.address } }]);
  });

  it.each([true, false])('that no door has counted counts nowhere (with a mailbox: %s)', (hasMailbox) => {
    const { actor, letters, counts } = bookkeeper({ hasMailbox });
    for (const end of [
      (envelope: Envelope) => bury(actor, envelope, 'stopped'),
      (envelope: Envelope) => settleFailed(actor, envelope, ERROR),
      (envelope: Envelope) => settleCancelled(actor, envelope),
    ]) {
      const { envelope, told } = message({ seq: 0 });
      end(envelope);
      expect(told).toHaveLength(1);
      for (const extras of [undefined, new Extras()]) {
        envelope.extras = extras;
        end(envelope);
      }
    }
    expect(counts).toEqual({ failed: 0, cancelled: 0, deadLettered: 0 });
    expect(letters).toHaveLength(6);
  });

  it('of an actor that has no mailbox any more is told all the same', () => {
    const { actor, letters } = bookkeeper({ hasMailbox: false });
    const [buried, failed, cancelled] = [message(), message(), message()];
    bury(actor, buried.envelope, 'stopped');
    settleFailed(actor, failed.envelope, ERROR);
    settleCancelled(actor, cancelled.envelope);
    expect(letters).toHaveLength(2);
    expect([buried, failed, cancelled].map(({ told }) => told.length)).toEqual([1, 1, 1]);
  });
});

describe('a reply', () => {
  it('goes to whoever waits, and nowhere where nobody does', () => {
    const { actor, letters } = bookkeeper();
    const { customer, heard } = asker();
    answer(actor, message({ customer }).envelope, 'yes');
    answer(actor, message().envelope, 'no');
    expect([heard, letters]).toEqual([['yes'], []]);
  });

  it.each([
    [true, 'duplicate-reply'],
    [false, 'late-reply'],
  ])(
    'that comes after the end is a dead letter for its asker (answered before: %s)',
    (isAnswered, reason) => {
      const { actor, letters } = bookkeeper();
      const { customer } = asker({ isLate: true, isAnswered });
      const from = { address: '/user/b#2' };
      answer(actor, message({ customer, sender: from }).envelope, 'one');
      const traced = message({ customer }).envelope;
      const trace = {} as Trace; // it is only handed on
      traced.ensureExtras().trace = trace;
      answer(actor, traced, 'two');
      const plain = message({ customer }).envelope;
      plain.extras = undefined;
      answer(actor, plain, 'three');
      expect(letters.map(([, ...rest]) => rest)).toEqual([
        [from.address, reason],
        ['outside', reason],
        ['outside', reason],
      ]);
      const replies = letters.map(([letter]) => letter as Envelope);
      for (const reply of replies) {
        expect(reply.entry).toMatchObject({ name: 'work (reply)', kind: 'tell', isInternal: false });
        expect([reply.rank, reply.sender]).toEqual([URGENT, actor]);
      }
      expect(replies.map(({ payload }) => payload)).toEqual(['one', 'two', 'three']);
      expect(replies.map(({ extras }) => extras)).toEqual([
        undefined,
        expect.objectContaining({ trace }),
        undefined,
      ]);
      expect(replies[1]?.extras?.trace).toBe(trace);
    },
  );

  it('with a problem is none: the replier has failed', () => {
    const problem = new TroupeError('ERR_REPLY_MISSING', { address: '/user/a#1', message: 'work' });
    for (const [given, expected] of [
      [undefined, ['yes']],
      [problem, []],
    ] as const) {
      const { actor } = bookkeeper({ problem: given });
      const { customer, heard } = asker();
      const reply = (): void => checkedAnswer(actor, message({ customer }).envelope, 'yes');
      if (given === undefined) reply();
      else expect(reply).toThrow(problem);
      expect(heard).toEqual(expected);
    }
  });
});
