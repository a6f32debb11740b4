/**
 * Goal: what is committed for a log of Kafka never passes a frame that is not settled, and slots of a group always have one owner.
 * Method: random takes, gives, settlements and retreats beside a plain list of frames; random members beside counting.
 */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { assignSlots, type SlotMember } from '../../adapters/kafka/assignment.ts';
import { slotOf } from '../../adapters/kafka/names.ts';
import { readSlotNote, type SlotNote, writeSlotNote } from '../../adapters/kafka/records.ts';
import { type Mark, Watermark } from '../../adapters/kafka/watermark.ts';
import { RUNS, RUNS_TIMEOUT_MS } from '../support/runs.ts';

type Act =
  | { readonly type: 'take' | 'skip'; readonly by: number }
  | { readonly type: 'give' }
  | { readonly type: 'settle'; readonly pick: number }
  | { readonly type: 'untake' };

const acts = fc.array(
  fc.oneof(
    { weight: 5, arbitrary: fc.record({ type: fc.constantFrom('take', 'skip'), by: fc.nat({ max: 3 }) }) },
    { weight: 5, arbitrary: fc.constant<Act>({ type: 'give' }) },
    { weight: 5, arbitrary: fc.record({ type: fc.constant('settle'), pick: fc.nat({ max: 1_000 }) }) },
    { weight: 1, arbitrary: fc.constant<Act>({ type: 'untake' }) },
  ),
  { maxLength: 80, size: 'max' },
) as fc.Arbitrary<Act[]>;

/** Frames as they are: a list that is looked through each time. */
class PlainAccount {
  frames: { readonly mark: Mark; state: 'taken' | 'given' | 'settled' }[] = [];

  offsetOf(state: readonly string[], otherwise: number): number {
    return this.frames.find((frame) => state.includes(frame.state))?.mark.offset ?? otherwise;
  }
}

describe('the account of a reader', () => {
  it(
    'commits up to the first frame that is not settled, and tells what is settled behind it',
    () => {
      fc.assert(
        fc.property(fc.nat({ max: 5 }), acts, (start, steps) => {
          const account = new Watermark(start);
          const plain = new PlainAccount();
          for (const step of steps) {
            if (step.type === 'take') {
              plain.frames.push({ mark: account.take(account.next + step.by), state: 'taken' });
            } else if (step.type === 'skip') {
              account.skipTo(account.next + step.by);
            } else if (step.type === 'give') {
              const frame = plain.frames.find(({ state }) => state === 'taken');
              if (frame === undefined) continue;
              account.give(frame.mark);
              frame.state = 'given';
            } else if (step.type === 'settle') {
              // Also one that was not given: it has expired.
              const frame = plain.frames[step.pick % Math.max(1, plain.frames.length)];
              if (frame === undefined) continue;
              account.settle(frame.mark);
              frame.state = 'settled';
            } else {
              const next = plain.offsetOf(['taken'], account.next);
              account.untake();
              const first = plain.frames.findIndex(({ state }) => state === 'taken');
              if (first >= 0) plain.frames.length = first;
              expect(account.next).toBe(next);
            }
            const safe = plain.offsetOf(['taken', 'given'], account.next);
            expect(account.safe).toBe(safe);
            expect(account.given).toBe(plain.offsetOf(['taken'], account.next));
            const ahead = plain.frames.filter(({ mark, state }) => state === 'settled' && mark.offset > safe);
            expect(account.settledAhead).toEqual(ahead.map(({ mark }) => mark.offset));
          }
        }),
        { numRuns: RUNS },
      );
    },
    RUNS_TIMEOUT_MS,
  );

  it('stays right when thousands are settled, and forgets them', () => {
    const account = new Watermark(0);
    const marks = Array.from({ length: 5_000 }, (_, offset) => account.take(offset));
    for (const mark of marks) account.give(mark);
    for (const mark of marks.slice(0, 4_999)) account.settle(mark);
    expect([account.safe, account.given, account.next]).toEqual([4_999, 5_000, 5_000]);
    expect(account.settledAhead).toEqual([]);
    account.take(5_000);
    expect([account.safe, account.given, account.next]).toEqual([4_999, 5_000, 5_001]);
  });

  it('begins again where it is told, and what was taken before has no effect any more', () => {
    const account = new Watermark(10);
    const mark = account.take(10);
    account.restart(3);
    account.settle(mark);
    expect([account.safe, account.given, account.next]).toEqual([3, 3, 3]);
  });
});

const members = (slots: number): fc.Arbitrary<SlotMember[]> =>
  fc
    .array(
      fc.record({
        sinceMs: fc.nat({ max: 5 }),
        owned: fc.uniqueArray(fc.nat({ max: slots - 1 })),
        busyShare: fc.double({ min: 0, max: 1, noNaN: true }),
      }),
      { minLength: 1, maxLength: 8 },
    )
    .map((list) =>
      list.map(({ sinceMs, owned, busyShare }, place) => ({
        id: `member-${place}`,
        sinceMs,
        owned,
        busy: owned.slice(0, Math.floor(owned.length * busyShare)),
      })),
    );

describe('slots of a group', () => {
  const world = fc
    .integer({ min: 1, max: 24 })
    .chain((slots) => fc.tuple(fc.constant(slots), members(slots)));

  it(
    'have one owner each, are shared evenly where nobody is busy, and stay with who is',
    () => {
      fc.assert(
        fc.property(world, ([slots, told]) => {
          const shares = assignSlots(slots, told);
          const all = [...shares.values()].flatMap((share) => share.slots);
          expect(all.toSorted((a, b) => a - b)).toEqual(Array.from({ length: slots }, (_, slot) => slot));
          const most = Math.ceil(slots / told.length);
          const claimed = new Set<number>();
          const inTurn = told.toSorted((a, b) => a.sinceMs - b.sinceMs || (a.id < b.id ? -1 : 1));
          for (const { id, busy } of inTurn) {
            const share = shares.get(id);
            const own = busy.filter((slot) => !claimed.has(slot));
            for (const slot of own) claimed.add(slot);
            expect(share?.slots).toEqual(expect.arrayContaining(own));
            expect(share?.slots.length).toBeLessThanOrEqual(Math.max(most, own.length));
            expect(share?.slots).toEqual(expect.arrayContaining([...(share?.surplus ?? [])]));
          }
          if (claimed.size === 0)
            for (const { slots: own, surplus } of shares.values()) {
              expect(own.length).toBeGreaterThanOrEqual(Math.floor(slots / told.length));
              expect(surplus).toEqual([]);
            }
        }),
        { numRuns: RUNS },
      );
    },
    RUNS_TIMEOUT_MS,
  );

  it('stay where they are when nothing has changed', () => {
    fc.assert(
      fc.property(world, ([slots, told]) => {
        const first = assignSlots(
          slots,
          told.map((member) => ({ ...member, busy: [] })),
        );
        const again = told.map((member) => ({
          ...member,
          owned: first.get(member.id)?.slots ?? [],
          busy: [],
        }));
        for (const [id, { slots: own }] of assignSlots(slots, again))
          expect(new Set(own)).toEqual(new Set(first.get(id)?.slots));
      }),
      { numRuns: RUNS },
    );
  });

  it('are met evenly by neighbouring offsets, also by every second one', () => {
    for (const step of [1, 2, 3, 12]) {
      const counts = new Array<number>(12).fill(0);
      for (let place = 0; place < 12_000; place++) {
        const slot = slotOf(place * step, 12);
        counts[slot] = (counts[slot] ?? 0) + 1;
      }
      expect(Math.min(...counts)).toBeGreaterThan(700);
    }
  });
});

describe('the note of a slot', () => {
  const row = fc.array(fc.nat({ max: 1_000_000 }), { minLength: 6, maxLength: 6 });
  const notes: fc.Arbitrary<SlotNote> = fc
    .record({
      pattern: fc.string({ maxLength: 200 }),
      atMs: fc.nat(),
      given: row,
      safe: row,
      steps: fc.array(fc.array(fc.integer({ min: 1, max: 99_999 }), { maxLength: 150, size: 'max' }), {
        minLength: 6,
        maxLength: 6,
      }),
    })
    .map(({ steps, ...note }) => ({
      ...note,
      ahead: steps.map((own, lane) => own.map((step) => step + (note.safe[lane] ?? 0))),
    }));

  it(
    'is read as it was written, and never longer than Kafka takes',
    () => {
      fc.assert(
        fc.property(notes, (note) => {
          const text = writeSlotNote(note);
          expect(text.length).toBeLessThanOrEqual(4_096);
          const read = readSlotNote(text);
          expect({ ...read, ahead: undefined }).toEqual({ ...note, ahead: undefined });
          if (read?.ahead.some((own) => own.length > 0)) expect(read.ahead).toEqual(note.ahead);
        }),
        { numRuns: RUNS },
      );
    },
    RUNS_TIMEOUT_MS,
  );

  it('is as if it were not there when it cannot be read', () => {
    for (const text of [
      undefined,
      '',
      '{',
      '[]',
      'null',
      '{"p":"a"}',
      '{"p":"a","a":1,"n":[1],"w":[1],"s":[]}',
    ])
      expect(readSlotNote(text)).toBeUndefined();
  });
});
