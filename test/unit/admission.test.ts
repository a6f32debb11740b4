import { describe, expect, it } from 'vitest';
import { Admission } from '../../runtime/actor/admission.ts';
import { PriorityHeap } from '../../runtime/actor/heap.ts';
import type { MailboxSettings } from '../../src/protocol/agent-settings.ts';
import type { Envelope } from '../../src/protocol/envelope.ts';
import { CRITICAL_RANK, NORMAL_RANK, type Rank } from '../../src/protocol/priority.ts';
import { OVERFLOWS } from '../../src/protocol/subscription.ts';
import { envelope, mailboxSettings } from '../support/envelopes.ts';

const normal = (): Envelope => envelope(NORMAL_RANK);
const critical = (): Envelope => envelope(CRITICAL_RANK);

/** An admission all of whose slots are taken, and what sits in them. */
function filled(settings: Partial<MailboxSettings>): {
  admission: Admission;
  common: Envelope[];
  reserved: Envelope[];
  own: Envelope[];
} {
  const complete = mailboxSettings(settings);
  const admission = new Admission(complete);
  const take = (count: number, make: () => Envelope, isSelfSend: boolean): Envelope[] =>
    Array.from({ length: count }, () => {
      const message = make();
      expect(admission.take(message, isSelfSend)).toBe(true);
      return message;
    });
  const common = take(complete.capacity, normal, false);
  const reserved = take(complete.criticalReserve, critical, false);
  const own = take(complete.selfReserve, normal, true);
  return { admission, common, reserved, own };
}

/** How many more messages of each kind get in; takes the slots. */
function room(admission: Admission): { normal: number; critical: number; self: number } {
  const count = (make: () => Envelope, isSelfSend: boolean): number => {
    let taken = 0;
    while (taken < 100 && admission.take(make(), isSelfSend)) taken++;
    return taken;
  };
  return { normal: count(normal, false), critical: count(critical, false), self: count(normal, true) };
}

describe('admission', () => {
  it('P48: has capacity slots for all, then reserves for critical messages and for self-sends', () => {
    const admission = new Admission(mailboxSettings({ capacity: 3, criticalReserve: 2, selfReserve: 1 }));
    expect(room(admission)).toEqual({ normal: 3, critical: 2, self: 1 });
    expect(room(admission)).toEqual({ normal: 0, critical: 0, self: 0 });
  });

  it('gives a critical message or a self-send the common slots first', () => {
    const settings = mailboxSettings({ capacity: 2, criticalReserve: 2, selfReserve: 1 });
    const admission = new Admission(settings);
    const self = normal();
    expect([admission.take(critical(), false), admission.take(self, true)]).toEqual([true, true]);
    expect(self.extras?.isOwn ?? false).toBe(false);
    expect(room(admission)).toEqual({ normal: 0, critical: 2, self: 1 });
  });

  it('lets a critical self-send use either reserve', () => {
    const { admission } = filled({ capacity: 1, criticalReserve: 0, selfReserve: 0 });
    expect(admission.take(critical(), true)).toBe(false);
    const settings = mailboxSettings({ capacity: 1, criticalReserve: 1, selfReserve: 1 });
    const other = new Admission(settings);
    expect([1, 2, 3, 4].map(() => other.take(critical(), true))).toEqual([true, true, true, false]);
  });

  it('frees the kind of slot that the message had', () => {
    for (const [kind, expected] of [
      ['common', { normal: 0, critical: 1, self: 0 }],
      ['reserved', { normal: 0, critical: 1, self: 0 }],
      ['own', { normal: 0, critical: 0, self: 1 }],
    ] as const) {
      const full = filled({ capacity: 2, criticalReserve: 1, selfReserve: 1 });
      const [leaving] = full[kind];
      if (leaving !== undefined) full.admission.giveBack(leaving);
      expect(room(full.admission), kind).toEqual(expected);
    }
  });

  it('frees every slot for good when everything leaves, once and again', () => {
    const { admission, common, reserved, own } = filled({ capacity: 2, criticalReserve: 1, selfReserve: 2 });
    for (const message of [...own, ...common, ...reserved]) admission.giveBack(message);
    // A message of the self-send reserve is an ordinary one when it comes again.
    for (const message of own) expect(admission.take(message, false)).toBe(true);
    for (const message of own) admission.giveBack(message);
    expect(room(admission)).toEqual({ normal: 2, critical: 1, self: 2 });
  });

  it('P48: lets the message of the turn in again beside full reserves, and nobody in its way', () => {
    const { admission, common, own } = filled({ capacity: 2, criticalReserve: 1, selfReserve: 1 });
    const returning = normal();
    admission.retake(returning);
    expect(room(admission)).toEqual({ normal: 0, critical: 0, self: 0 });
    const [first] = common;
    const [self] = own;
    if (first !== undefined) admission.giveBack(first);
    expect(room(admission), 'its place is taken by the one that came back').toEqual({
      normal: 0,
      critical: 0,
      self: 0,
    });
    if (self !== undefined) admission.giveBack(self);
    expect(room(admission)).toEqual({ normal: 0, critical: 0, self: 1 });
    admission.giveBack(returning);
    expect(room(admission)).toEqual({ normal: 0, critical: 1, self: 0 });
  });

  it('P48: refuses a self-send in the place of others that came back, though its reserve be free', () => {
    const { admission, own } = filled({ capacity: 2, criticalReserve: 2, selfReserve: 1 });
    const [self] = own;
    if (self === undefined) return expect.unreachable('it is inside');
    // The turn's message was a self-send, its slot went to another one, and it comes back.
    admission.giveBack(self);
    const second = normal();
    const critical1 = critical();
    expect(admission.take(second, true)).toBe(true);
    admission.retake(self);
    admission.giveBack(second);
    expect(admission.take(critical1, true), 'both reserves and the capacity are full').toBe(false);
    expect(admission.take(normal(), true)).toBe(false);
    admission.giveBack(self);
    expect(admission.take(normal(), true)).toBe(true);
  });

  it('P48: counts self-sends together with others that came back', () => {
    const admission = new Admission(mailboxSettings({ capacity: 1, criticalReserve: 1, selfReserve: 2 }));
    const turn = normal();
    expect(admission.take(turn, false)).toBe(true);
    // Its turn starts, its slot goes to another one, and it comes back.
    admission.giveBack(turn);
    expect(admission.take(normal(), false)).toBe(true);
    admission.retake(turn);
    expect(admission.take(normal(), true), 'the first self-send').toBe(true);
    expect(admission.take(normal(), true), 'two others and one self-send are capacity and self-reserve').toBe(
      false,
    );
  });

  it('P48: refuses a critical message only when the one that may come back would find no place', () => {
    const { admission, common } = filled({ capacity: 1, criticalReserve: 0, selfReserve: 1 });
    const [first] = common;
    if (first !== undefined) admission.giveBack(first);
    expect(admission.take(critical(), false)).toBe(true);
    const other = new Admission(mailboxSettings({ capacity: 1, criticalReserve: 2, selfReserve: 1 }));
    for (let i = 0; i < 3; i++) other.retake(normal());
    // Three of four places are taken, and the reserve is free.
    expect(room(other)).toEqual({ normal: 0, critical: 1, self: 0 });
  });

  it('keeps the critical reserve for critical messages, whatever came back', () => {
    const admission = new Admission(mailboxSettings({ capacity: 1, criticalReserve: 1, selfReserve: 1 }));
    for (let i = 0; i < 2; i++) admission.retake(normal());
    expect(room(admission)).toEqual({ normal: 0, critical: 1, self: 0 });
  });

  it('counts a critical message that comes back where it counted before', () => {
    const admission = new Admission(mailboxSettings({ capacity: 1, criticalReserve: 1, selfReserve: 0 }));
    const alerts = [critical(), critical()];
    for (const message of alerts) admission.retake(message);
    expect(room(admission)).toEqual({ normal: 0, critical: 0, self: 0 });
    for (const message of alerts) admission.giveBack(message);
    expect(room(admission)).toEqual({ normal: 1, critical: 1, self: 0 });
  });

  it('hands over the slot of a victim, of whichever kind it is', () => {
    const { admission, common, own } = filled({ capacity: 1, criticalReserve: 0, selfReserve: 1 });
    const [inOwn, inCommon] = [normal(), normal()];
    const [self] = own;
    const [other] = common;
    if (self === undefined || other === undefined) return expect.unreachable('both are inside');
    admission.swap(self, inOwn);
    admission.swap(other, inCommon);
    expect([self, inOwn, inCommon].map(({ extras }) => extras?.isOwn ?? false)).toEqual([false, true, false]);
    admission.giveBack(inCommon);
    expect(room(admission)).toEqual({ normal: 1, critical: 0, self: 0 });
    admission.giveBack(inOwn);
    expect(room(admission)).toEqual({ normal: 0, critical: 0, self: 1 });
  });

  it('counts a newcomer as what it is, not as what its victim was', () => {
    const admission = new Admission(mailboxSettings({ capacity: 1, criticalReserve: 1 }));
    const [other, alert] = [normal(), critical()];
    admission.retake(other);
    admission.swap(other, alert);
    admission.giveBack(alert);
    admission.retake(alert);
    admission.swap(alert, other);
    admission.retake(normal());
    admission.giveBack(other);
    // One normal message is inside.
    expect(room(admission)).toEqual({ normal: 0, critical: 1, self: 0 });
  });
});

/** Who gives way to a newcomer of `rank`: the place of the victim in `queued`, or the newcomer. */
function victimOf(
  settings: Partial<MailboxSettings>,
  queued: readonly Rank[],
  rank: Rank,
): number | 'newcomer' {
  const complete = mailboxSettings(settings);
  const admission = new Admission(complete);
  const queue = new PriorityHeap<Envelope>(complete.agingMs);
  const all = [...queued, rank].map((each, i) => {
    const message = envelope(each);
    message.seq = i + 1;
    if (i < queued.length) {
      expect(admission.take(message, false)).toBe(true);
      queue.push(message);
    }
    return message;
  });
  const newcomer = all.at(-1);
  if (newcomer === undefined) return expect.unreachable('there is a newcomer');
  const victim = admission.victim(newcomer, queue);
  return victim === undefined ? 'newcomer' : all.indexOf(victim);
}

describe('overflow', () => {
  it('P57: drop-oldest drops the oldest call, whatever its priority', () => {
    const settings = { overflow: 'drop-oldest', capacity: 3 } as const;
    expect(victimOf(settings, [3, 5, 1], 2)).toBe(0);
    expect(victimOf(settings, [0, 5, 1], 5)).toBe(0);
  });

  it('P57: drop-lowest drops the worst key, or the newcomer if that is the worst', () => {
    const settings = { overflow: 'drop-lowest', capacity: 4 } as const;
    expect(victimOf(settings, [3, 5, 5, 1], 2)).toBe(2);
    expect(victimOf(settings, [3, 4, 4, 1], 4)).toBe('newcomer');
    expect(victimOf(settings, [3, 4, 4, 1], 5)).toBe('newcomer');
    expect(victimOf(settings, [0, 0, 0, 0], 0)).toBe('newcomer');
    expect(victimOf(settings, [0, 0, 0, 0], 1)).toBe('newcomer');
  });

  it('P57: every other policy drops the newcomer', () => {
    for (const overflow of OVERFLOWS.filter((each) => !['drop-oldest', 'drop-lowest'].includes(each))) {
      expect(victimOf({ overflow, capacity: 2 }, [5, 5], 0), overflow).toBe('newcomer');
    }
  });

  it('P48: pushes no critical message out for another while the critical reserve is in use', () => {
    const oldest = { overflow: 'drop-oldest', capacity: 2, criticalReserve: 2 } as const;
    expect(victimOf(oldest, [0, 3, 0], 3)).toBe(1);
    expect(victimOf(oldest, [0, 0, 0], 3)).toBe('newcomer');
    expect(victimOf(oldest, [0, 3], 3), 'the reserve is free').toBe(0);
    expect(victimOf(oldest, [0, 3, 0, 0], 0), 'among critical ones').toBe(0);
    const lowest = { ...oldest, overflow: 'drop-lowest', agingMs: 0 } as const;
    expect(victimOf(lowest, [0, 3, 0], 2)).toBe(1);
    expect(victimOf(lowest, [0, 0, 0], 5)).toBe('newcomer');
  });

  it('P48: spares an aged critical message too while the critical reserve is in use', () => {
    const complete = mailboxSettings({
      overflow: 'drop-lowest',
      capacity: 1,
      criticalReserve: 1,
      agingMs: 10,
    });
    const admission = new Admission(complete);
    const queue = new PriorityHeap<Envelope>(10);
    const [worse, late, newcomer] = [envelope(1), envelope(0), envelope(1)];
    for (const [i, message] of [worse, late, newcomer].entries()) message.seq = i + 1;
    late.ensureExtras().sentAtMs = 100;
    for (const message of [worse, late]) {
      expect(admission.take(message, false)).toBe(true);
      queue.push(message);
    }
    expect(admission.victim(newcomer, queue)).toBeUndefined();
  });
});
