/**
 * Goal: what the mailbox promises about order, aging, drops, the stash and cancelling, each said without a model.
 * Method: random traffic, and one sentence about the order in which messages come out.
 */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Mailbox, Waiter } from '../../runtime/actor/mailbox.ts';
import type { Envelope } from '../../src/protocol/envelope.ts';
import { envelope, mailboxSettings, RANKS } from '../support/envelopes.ts';
import { RUNS, RUNS_TIMEOUT_MS } from '../support/runs.ts';

const rank = fc.constantFrom(...RANKS);
const agingMs = fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 20 }));
const ignored = (): void => undefined;

function drain(mailbox: Mailbox): Envelope[] {
  const messages: Envelope[] = [];
  for (let next = mailbox.next(); next !== undefined; next = mailbox.next()) messages.push(next);
  return messages;
}

const byKey =
  (aging: number) =>
  (a: Envelope, b: Envelope): number => {
    const key = (message: Envelope): number =>
      aging === 0 ? message.rank : message.sentAtMs + message.rank * aging;
    return key(a) - key(b) || a.seq - b.seq;
  };

const calls = fc.array(fc.record({ rank, passedMs: fc.nat({ max: 15 }) }), { maxLength: 60, size: 'max' });

/** Tells all of them; answers those messages. */
function tellAll(
  mailbox: Mailbox,
  all: readonly { readonly rank: Envelope['rank']; readonly passedMs: number }[],
): Envelope[] {
  let nowMs = 0;
  return all.map((call, i) => {
    nowMs += call.passedMs;
    const message = envelope(call.rank, i);
    mailbox.offer(message, nowMs, false);
    return message;
  });
}

describe('mailbox', () => {
  it(
    'P49: hands a frozen mailbox out in the order of a sort by key',
    () => {
      fc.assert(
        fc.property(agingMs, calls, (aging, all) => {
          const mailbox = new Mailbox(mailboxSettings({ capacity: 100, agingMs: aging }), {
            dropped: ignored,
            isOver: () => false,
          });
          const messages = tellAll(mailbox, all);
          expect(drain(mailbox)).toEqual(messages.sort(byKey(aging)));
        }),
        { numRuns: RUNS },
      );
    },
    RUNS_TIMEOUT_MS,
  );

  it(
    'P50: handles each sender’s messages of one priority in the order of its calls, with waiters and retries',
    () => {
      const sender = fc.constantFrom('a', 'b', 'c');
      const traffic = fc.array(
        fc.oneof(
          fc.record({ type: fc.constant('send'), sender, rank, passedMs: fc.nat({ max: 15 }) }),
          fc.record({ type: fc.constant('tell'), sender, rank, passedMs: fc.nat({ max: 15 }) }),
          fc.constantFrom({ type: 'turn' } as const, { type: 'retry' } as const),
        ),
        { maxLength: 80, size: 'max' },
      );
      fc.assert(
        fc.property(agingMs, fc.integer({ min: 1, max: 4 }), traffic, (aging, capacity, acts) => {
          const settings = mailboxSettings({ capacity, agingMs: aging, criticalReserve: 1, waitersMax: 100 });
          const mailbox = new Mailbox(settings, {
            dropped: () => expect.unreachable('backpressure drops nobody'),
            isOver: () => false,
          });
          const handled: Envelope[] = [];
          const order: Envelope[] = [];
          let promised = 0;
          let nowMs = 0;
          for (const act of acts) {
            if (act.type === 'turn' || act.type === 'retry') {
              const message = mailbox.next();
              if (message !== undefined && act.type === 'turn') handled.push(message);
              else if (message !== undefined) mailbox.putBack(message);
              continue;
            }
            nowMs += act.passedMs;
            const message = envelope(act.rank, act.sender);
            order.push(message);
            const isIn = mailbox.offer(message, nowMs, false) === 'accepted';
            const waits = !isIn && act.type === 'send';
            if (waits) mailbox.wait(new Waiter(message, { admitted: ignored, refused: ignored }));
            if (isIn || waits) promised++;
          }
          handled.push(...drain(mailbox));
          expect(handled.length, 'P54: nothing is lost').toBe(promised);
          const last = new Map<string, number>();
          for (const message of handled) {
            const pair = `${String(message.payload)} ${message.rank}`;
            const call = order.indexOf(message);
            if (call <= (last.get(pair) ?? -1))
              expect.unreachable(`${pair}: ${call} after ${last.get(pair)}`);
            last.set(pair, call);
          }
        }),
        { numRuns: RUNS },
      );
    },
    RUNS_TIMEOUT_MS,
  );

  it(
    'P52: with aging, handles a message within a known number of turns under endless critical ones',
    () => {
      fc.assert(
        fc.property(
          fc.integer({ min: 1, max: 50 }),
          fc.integer({ min: 1, max: 10 }),
          fc.integer({ min: 1, max: 20 }),
          fc.integer({ min: 0, max: 4 }),
          rank,
          calls,
          (aging, turnMs, capacity, criticalReserve, victimRank, before) => {
            const settings = mailboxSettings({ capacity, criticalReserve, agingMs: aging });
            const mailbox = new Mailbox(settings, { dropped: ignored, isOver: () => false });
            tellAll(mailbox, before);
            while (mailbox.queued >= capacity) mailbox.next();
            const sentAtMs = 60 * 15;
            const victim = envelope(victimRank, 'victim');
            expect(mailbox.offer(victim, sentAtMs, false)).toBe('accepted');
            // Ahead of it: whatever is inside, what the flood adds before the first turn, and one for each turn until
            // even a critical message is called too late to overtake it.
            const bound = capacity + criticalReserve + Math.ceil((victimRank * aging) / turnMs) + 1;
            let turns = 0;
            let nowMs = sentAtMs;
            for (let handled: Envelope | undefined; handled !== victim; turns++) {
              while (mailbox.offer(envelope(0, 'flood'), nowMs, false) === 'accepted') {
                // A flood: every free slot is taken at once.
              }
              if (turns > bound) expect.unreachable(`not handled within ${bound} turns`);
              handled = mailbox.next();
              nowMs += turnMs;
            }
            expect(turns).toBeLessThanOrEqual(bound);
          },
        ),
        { numRuns: RUNS },
      );
    },
    RUNS_TIMEOUT_MS,
  );

  it(
    'P57: keeps the first, the last or the best capacity messages, as the dropping policy says',
    () => {
      const policy = fc.constantFrom('drop-newest', 'drop-oldest', 'drop-lowest');
      fc.assert(
        fc.property(
          policy,
          agingMs,
          fc.integer({ min: 1, max: 8 }),
          calls,
          (overflow, aging, capacity, all) => {
            const dropped: Envelope[] = [];
            const settings = mailboxSettings({ capacity, overflow, agingMs: aging });
            const mailbox = new Mailbox(settings, {
              dropped: (message) => dropped.push(message),
              isOver: () => false,
            });
            const messages = tellAll(mailbox, all);
            const sorted = [...messages].sort(byKey(aging));
            const kept = {
              'drop-newest': messages.slice(0, capacity),
              'drop-oldest': messages.slice(-capacity),
              'drop-lowest': sorted.slice(0, capacity),
            }[overflow];
            expect(mailbox.accepted).toBe(messages.length);
            expect(drain(mailbox)).toEqual([...kept].sort(byKey(aging)));
            expect(new Set(dropped)).toEqual(new Set(messages.filter((message) => !kept.includes(message))));
            expect(dropped.length).toBe(messages.length - kept.length);
          },
        ),
        { numRuns: RUNS },
      );
    },
    RUNS_TIMEOUT_MS,
  );

  it(
    'P61: cancelling one message frees its slot and leaves the order of the others',
    () => {
      fc.assert(
        fc.property(agingMs, calls, fc.nat({ max: 1_000 }), (aging, all, pick) => {
          fc.pre(all.length > 0);
          const settings = mailboxSettings({ capacity: all.length, agingMs: aging });
          const mailbox = new Mailbox(settings, { dropped: ignored, isOver: () => false });
          const messages = tellAll(mailbox, all);
          const gone = messages[pick % messages.length];
          expect(gone !== undefined && mailbox.cancel(gone)).toBe(true);
          const late = envelope(5, 'late');
          expect(mailbox.offer(late, 60 * 15, false)).toBe('accepted');
          const others = [...messages.filter((message) => message !== gone), late];
          expect(drain(mailbox)).toEqual(others.sort(byKey(aging)));
        }),
        { numRuns: RUNS },
      );
    },
    RUNS_TIMEOUT_MS,
  );

  it(
    'P62: a flood of self-sends is accepted up to its reserve and never waits',
    () => {
      const sizes = fc.record({
        capacity: fc.integer({ min: 1, max: 6 }),
        selfReserve: fc.integer({ min: 0, max: 6 }),
        told: fc.nat({ max: 8 }),
      });
      fc.assert(
        fc.property(sizes, ({ capacity, selfReserve, told }) => {
          const mailbox = new Mailbox(mailboxSettings({ capacity, selfReserve }), {
            dropped: ignored,
            isOver: () => false,
          });
          for (let i = 0; i < told; i++) mailbox.offer(envelope(3), 0, false);
          let accepted = 0;
          while (mailbox.offer(envelope(3), 0, true) === 'accepted') accepted++;
          expect(accepted).toBe(Math.max(0, capacity - told) + selfReserve);
          expect(mailbox.waiting).toBe(0);
        }),
        { numRuns: RUNS },
      );
    },
    RUNS_TIMEOUT_MS,
  );

  it(
    'P63: hands stashed messages out in the order of their keys, before those with worse keys',
    () => {
      fc.assert(
        fc.property(agingMs, calls, calls, fc.nat({ max: 60 }), (aging, first, second, stashed) => {
          const mailbox = new Mailbox(mailboxSettings({ capacity: 200, stashMax: 200, agingMs: aging }), {
            dropped: ignored,
            isOver: () => false,
          });
          const messages = tellAll(mailbox, first);
          for (let i = 0; i < Math.min(stashed, messages.length); i++) {
            const message = mailbox.next();
            expect(message !== undefined && mailbox.putAside(message, 0)).toBe(true);
          }
          const later = second.map(({ rank: each }, i) => {
            const message = envelope(each, -1 - i);
            mailbox.offer(message, 60 * 15 + i, false);
            return message;
          });
          mailbox.unstash();
          expect(drain(mailbox)).toEqual([...messages, ...later].sort(byKey(aging)));
        }),
        { numRuns: RUNS },
      );
    },
    RUNS_TIMEOUT_MS,
  );
});
