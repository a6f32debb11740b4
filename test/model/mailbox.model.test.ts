/**
 * Goal: a mailbox does what the plain model of it does, and keeps its bounds, whatever is done to it in which order.
 * Method: random command sequences against both; after each command everything that can be seen is compared.
 */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Mailbox, Waiter } from '../../runtime/actor/mailbox.ts';
import type { MailboxSettings } from '../../src/protocol/agent-settings.ts';
import type { Envelope } from '../../src/protocol/envelope.ts';
import type { Rank } from '../../src/protocol/priority.ts';
import { OVERFLOWS } from '../../src/protocol/subscription.ts';
import { envelope, RANKS } from '../support/envelopes.ts';
import { RUNS, RUNS_TIMEOUT_MS } from '../support/runs.ts';
import { MailboxModel, type ModelMessage } from './mailbox-model.ts';

/** The model, and what the commands need to know: time, the turn, and every message there ever was. */
class Expected {
  readonly mailbox: MailboxModel;
  nowMs = 0;
  turn: ModelMessage | undefined = undefined;
  messages = 0;
  everWaited: number[] = [];
  dropped: number[] = [];
  admitted: number[] = [];

  constructor(settings: MailboxSettings) {
    this.mailbox = new MailboxModel(settings);
  }
}

/** The mailbox, with everything it handed out. */
class Actual {
  readonly mailbox: Mailbox;
  readonly envelopes: Envelope[] = [];
  readonly waiters = new Map<number, Waiter>();
  readonly dropped: unknown[] = [];
  readonly admitted: number[] = [];
  turn: Envelope | undefined = undefined;
  /** What became of each message that was accepted and is not inside any more, by its payload. */
  readonly outcomes = new Map<unknown, string>();

  constructor(settings: MailboxSettings) {
    this.mailbox = new Mailbox(settings, {
      dropped: (dropped) => {
        this.dropped.push(dropped.payload);
        this.end(dropped, 'dropped');
      },
      isOver: () => false,
    });
  }

  end(message: Envelope | undefined, outcome: string): void {
    if (message === undefined) return;
    expect(this.outcomes.get(message.payload)).toBeUndefined();
    this.outcomes.set(message.payload, outcome);
  }

  envelope(id: number): Envelope {
    const found = this.envelopes[id];
    if (found === undefined) throw new Error(`no message ${id}`);
    return found;
  }
}

/** What one test looks at after each command, besides the comparison with the model. */
type Look = (expected: Expected, actual: Actual, settings: MailboxSettings) => void;

/** One command: what it does to both, and whether it can be given now. */
class Step implements fc.Command<Expected, Actual> {
  private readonly name: string;
  private readonly act: (expected: Expected, actual: Actual) => void;
  private readonly isPossible: (expected: Expected) => boolean;

  constructor(
    name: string,
    act: (expected: Expected, actual: Actual) => void,
    isPossible: (expected: Expected) => boolean = () => true,
  ) {
    this.name = name;
    this.act = act;
    this.isPossible = isPossible;
  }

  check(expected: Readonly<Expected>): boolean {
    return this.isPossible(expected);
  }

  run(expected: Expected, actual: Actual): void {
    this.act(expected, actual);
    compare(expected, actual);
    look(expected, actual);
  }

  toString(): string {
    return this.name;
  }
}

let look: (expected: Expected, actual: Actual) => void = () => undefined;

function compare(expected: Expected, actual: Actual): void {
  const { changes } = expected.mailbox;
  expected.dropped.push(...changes.dropped.splice(0));
  expected.admitted.push(...changes.admitted.splice(0));
  const { mailbox } = actual;
  const got = JSON.stringify({
    queued: mailbox.queued,
    stashed: mailbox.stashed,
    waiting: mailbox.waiting,
    accepted: mailbox.accepted,
    depths: RANKS.map((each) => mailbox.depth(each)),
    dropped: actual.dropped,
    admitted: actual.admitted,
    turn: actual.turn?.payload,
  });
  const wanted = JSON.stringify({
    queued: expected.mailbox.queue.length,
    stashed: expected.mailbox.stash.length,
    waiting: expected.mailbox.waiters.length,
    accepted: expected.mailbox.accepted,
    depths: expected.mailbox.depths,
    dropped: expected.dropped,
    admitted: expected.admitted,
    turn: expected.turn?.id,
  });
  if (got !== wanted) expect(got).toBe(wanted);
}

interface Call {
  readonly rank: Rank;
  readonly isSelfSend: boolean;
  readonly waits: boolean;
  readonly passedMs: number;
}

function offer({ rank, isSelfSend, waits, passedMs }: Call): Step {
  const name = `offer(rank ${rank}, ${isSelfSend ? 'self' : waits ? 'send' : 'tell'}, +${passedMs} ms)`;
  return new Step(name, (expected, actual) => {
    expected.nowMs += passedMs;
    const id = expected.messages++;
    const message = envelope(rank, id);
    actual.envelopes.push(message);
    const verdict = actual.mailbox.offer(message, expected.nowMs, isSelfSend);
    expect(verdict).toBe(expected.mailbox.offer(id, rank, expected.nowMs, isSelfSend));
    if (verdict === 'accepted' && !isSelfSend) {
      // No barging: nobody who called earlier with the same or a better priority still waits.
      expect(expected.mailbox.waiters.filter((waiter) => waiter.rank <= rank)).toEqual([]);
    }
    if (verdict === 'accepted' || !waits || isSelfSend) return;
    const waiter = new Waiter(message, {
      admitted: () => actual.admitted.push(id),
      refused: () => expect.unreachable('the mailbox itself refuses nobody'),
    });
    expect(actual.mailbox.wait(waiter)).toBe(expected.mailbox.wait());
    actual.waiters.set(id, waiter);
    expected.everWaited.push(id);
  });
}

const next = new Step('next', (expected, actual) => {
  actual.end(actual.turn, 'handled');
  actual.turn = actual.mailbox.next();
  expected.turn = expected.mailbox.next();
});

const isTurn = (expected: Expected): boolean => expected.turn !== undefined;

const putBack = new Step(
  'putBack',
  (expected, actual) => {
    if (actual.turn !== undefined) actual.mailbox.putBack(actual.turn);
    if (expected.turn !== undefined) expected.mailbox.putBack(expected.turn);
    expected.turn = actual.turn = undefined;
  },
  isTurn,
);

const putAside = new Step(
  'putAside',
  (expected, actual) => {
    if (actual.turn === undefined || expected.turn === undefined) return;
    const isAside = actual.mailbox.putAside(actual.turn, expected.nowMs);
    expect(isAside).toBe(expected.mailbox.putAside(expected.turn));
    if (isAside) expected.turn = actual.turn = undefined;
  },
  isTurn,
);

/** A continuation is stashed, in a turn of its own. */
function putAsideNew(ofRank: Rank): Step {
  return new Step(`putAsideNew(rank ${ofRank})`, (expected, actual) => {
    const id = expected.messages++;
    const message = envelope(ofRank, id);
    actual.envelopes.push(message);
    const isAside = actual.mailbox.putAside(message, expected.nowMs);
    expect(isAside).toBe(expected.mailbox.putAsideNew(id, ofRank, expected.nowMs));
  });
}

const unstash = new Step('unstash', (expected, actual) => {
  expect(actual.mailbox.unstash()).toBe(expected.mailbox.unstash());
});

/** Cancels a message, inside or not: of those there ever were, the `back`-th from the end. */
function cancel(back: number): Step {
  return new Step(
    `cancel(${back} back)`,
    (expected, actual) => {
      const id = expected.messages - 1 - back;
      const isCancelled = actual.mailbox.cancel(actual.envelope(id));
      expect(isCancelled).toBe(expected.mailbox.cancel(id));
      if (isCancelled) actual.end(actual.envelope(id), 'cancelled');
    },
    (expected) => expected.messages > back,
  );
}

/** Lets a waiter go, one that still waits or not: of those there ever were, the `back`-th from the end. */
function leave(back: number): Step {
  return new Step(
    `leave(${back} back)`,
    (expected, actual) => {
      const id = expected.everWaited.at(-1 - back) ?? -1;
      const waiter = actual.waiters.get(id);
      expect(waiter !== undefined && actual.mailbox.leave(waiter)).toBe(expected.mailbox.leave(id));
    },
    (expected) => expected.everWaited.length > back,
  );
}

const clear = new Step('clear', (expected, actual) => {
  const { queued, stashed, waiting } = actual.mailbox.clear();
  const ids = (messages: readonly { readonly id: number }[]): number[] => messages.map(({ id }) => id);
  expect(queued.map(({ payload }) => payload)).toEqual(ids(expected.mailbox.queue));
  expect(stashed.map(({ payload }) => payload)).toEqual(ids(expected.mailbox.stash));
  expect(waiting.map((waiter) => waiter.envelope.payload)).toEqual(
    ids(expected.mailbox.sorted(expected.mailbox.waiters)),
  );
  for (const message of [...queued, ...stashed]) actual.end(message, 'cleared');
  expected.mailbox.clear();
});

const rank = fc.constantFrom(...RANKS);

const settingsOf = (overflow: fc.Arbitrary<MailboxSettings['overflow']>): fc.Arbitrary<MailboxSettings> =>
  fc.record({
    capacity: fc.integer({ min: 1, max: 6 }),
    overflow,
    agingMs: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 10 })),
    criticalReserve: fc.integer({ min: 0, max: 3 }),
    selfReserve: fc.integer({ min: 0, max: 3 }),
    waitersMax: fc.integer({ min: 0, max: 5 }),
    stashMax: fc.integer({ min: 0, max: 6 }),
  });

const call = fc
  .record({
    rank,
    isSelfSend: fc.boolean(),
    waits: fc.boolean(),
    passedMs: fc.integer({ min: 0, max: 12 }),
  })
  .map(offer);
const send = fc
  .record({
    rank,
    isSelfSend: fc.constant(false),
    waits: fc.constant(true),
    passedMs: fc.integer({ min: 0, max: 12 }),
  })
  .map(offer);

// Some kinds stand here more than once: a mailbox that is seldom full proves little.
const commands = fc.commands(
  [
    call,
    call,
    send,
    send,
    fc.constant(next),
    fc.constant(next),
    fc.constant(putBack),
    fc.constant(putAside),
    fc.nat({ max: 23 }).map((dice) => (dice < 6 ? putAsideNew(dice as Rank) : putAside)),
    fc.constant(unstash),
    fc.nat({ max: 12 }).map(cancel),
    fc.nat({ max: 4 }).map(leave),
    fc.nat({ max: 9 }).map((dice) => (dice === 0 ? clear : next)),
  ],
  { size: 'max', maxCommands: 100 },
);

function check(overflow: fc.Arbitrary<MailboxSettings['overflow']>, also: Look = () => undefined): void {
  fc.assert(
    fc.property(settingsOf(overflow), commands, (settings, sequence) => {
      const expected = new Expected(settings);
      const actual = new Actual(settings);
      look = (e, a) => also(e, a, settings);
      fc.modelRun(() => ({ model: expected, real: actual }), sequence);
      // What is left leaves in the model's order.
      while (expected.mailbox.queue.length + actual.mailbox.queued > 0) next.run(expected, actual);
    }),
    { numRuns: RUNS },
  );
}

const anyPolicy = fc.constantFrom(...OVERFLOWS);

describe('mailbox', () => {
  it(
    'P48: never holds more than capacity, both reserves and one, nor too much that is not critical',
    () => {
      check(anyPolicy, (expected, actual, { capacity, criticalReserve, selfReserve }) => {
        const { mailbox } = actual;
        const inside = mailbox.queued + mailbox.stashed;
        expect(inside).toBeLessThanOrEqual(capacity + criticalReserve + selfReserve + 1);
        const notCritical = RANKS.slice(1).map((each) => mailbox.depth(each));
        const stashedCritical = expected.mailbox.stash.filter((message) => message.rank === 0).length;
        const others = notCritical.reduce((sum, depth) => sum + depth, mailbox.stashed - stashedCritical);
        expect(others).toBeLessThanOrEqual(capacity + selfReserve + 1);
      });
    },
    RUNS_TIMEOUT_MS,
  );

  it(
    'P53: never keeps anybody waiting beside room that he may use, and admits the best key first',
    () => {
      check(fc.constant('backpressure'), (expected, actual, { capacity, criticalReserve }) => {
        const { waiters } = expected.mailbox;
        expect(waiters.filter((waiter) => expected.mailbox.hasRoom(waiter.rank, false))).toEqual([]);
        const inside = actual.mailbox.queued + actual.mailbox.stashed;
        if (waiters.length > 0) expect(inside).toBeGreaterThanOrEqual(capacity);
        if (waiters.some((waiter) => waiter.rank === 0)) {
          expect(inside).toBeGreaterThanOrEqual(capacity + criticalReserve);
        }
      });
    },
    RUNS_TIMEOUT_MS,
  );

  it(
    'P1, P2: accounts for every accepted message once: inside, in its turn, or with one outcome',
    () => {
      check(anyPolicy, (_, actual) => {
        const { mailbox } = actual;
        const inFlight = actual.turn === undefined ? 0 : 1;
        expect(mailbox.accepted).toBe(actual.outcomes.size + mailbox.queued + mailbox.stashed + inFlight);
      });
    },
    RUNS_TIMEOUT_MS,
  );

  it(
    'P57: drops under each policy exactly what the model drops, each once',
    () => {
      check(fc.constantFrom('drop-newest', 'drop-oldest', 'drop-lowest'), (_, actual) => {
        const drops = [...actual.outcomes.values()].filter((outcome) => outcome === 'dropped').length;
        expect(drops).toBe(actual.dropped.length);
        expect(actual.mailbox.waiting).toBe(0);
      });
    },
    RUNS_TIMEOUT_MS,
  );
});
