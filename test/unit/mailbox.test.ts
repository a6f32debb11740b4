import { describe, expect, it } from 'vitest';
import { Mailbox, Waiter } from '../../runtime/actor/mailbox.ts';
import type { MailboxSettings } from '../../src/protocol/agent-settings.ts';
import type { Envelope } from '../../src/protocol/envelope.ts';
import { CONTINUES_MAX } from '../../src/protocol/limits.ts';
import type { Rank } from '../../src/protocol/priority.ts';
import { envelope, mailboxSettings, RANKS } from '../support/envelopes.ts';

/** A mailbox and what it told its owner. Messages are named, names are their payloads. */
class Desk {
  readonly mailbox: Mailbox;
  readonly dropped: unknown[] = [];
  readonly admitted: unknown[] = [];
  nowMs = 0;

  constructor(settings: Partial<MailboxSettings> = {}) {
    this.mailbox = new Mailbox(mailboxSettings(settings), {
      dropped: ({ payload }) => this.dropped.push(payload),
      isOver: () => false,
    });
  }

  /** Sends and does not wait. */
  tell(name: string, rank: Rank = 3, isSelfSend = false): Envelope {
    const message = envelope(rank, name);
    this.mailbox.offer(message, this.nowMs, isSelfSend);
    return message;
  }

  verdict(rank: Rank, isSelfSend = false): 'accepted' | 'full' {
    return this.mailbox.offer(envelope(rank), this.nowMs, isSelfSend);
  }

  /** Sends and waits; the mailbox is full. */
  send(name: string, rank: Rank = 3): Waiter {
    const message = envelope(rank, name);
    expect(this.mailbox.offer(message, this.nowMs, false)).toBe('full');
    const waiter = this.waiter(message);
    expect(this.mailbox.wait(waiter)).toBe(true);
    return waiter;
  }

  waiter(message: Envelope): Waiter {
    return new Waiter(message, {
      admitted: () => this.admitted.push(message.payload),
      refused: () => expect.unreachable('the mailbox refuses nobody by itself'),
    });
  }

  next(): unknown {
    return this.mailbox.next()?.payload;
  }

  rest(): unknown[] {
    const names: unknown[] = [];
    for (let message = this.mailbox.next(); message !== undefined; message = this.mailbox.next()) {
      names.push(message.payload);
    }
    return names;
  }
}

function nextOf(desk: Desk): Envelope {
  return desk.mailbox.next() ?? expect.unreachable('something is queued');
}

describe('mailbox', () => {
  it('is empty at first', () => {
    const { mailbox } = new Desk();
    expect([mailbox.queued, mailbox.stashed, mailbox.waiting, mailbox.controls, mailbox.accepted]).toEqual([
      0, 0, 0, 0, 0,
    ]);
    expect([mailbox.next(), mailbox.controlIfAny, mailbox.unstash()]).toEqual([undefined, undefined, 0]);
    mailbox.forEachQueued(() => {
      expect.unreachable('nothing is queued');
    });
    expect(mailbox.cancel(envelope(3))).toBe(false);
    expect(mailbox.clear()).toEqual({ queued: [], stashed: [], waiting: [] });
  });

  it('gives the most urgent first, equals in the order of their calls, and tells its depths', () => {
    const desk = new Desk({ capacity: 6 });
    const ranks = [3, 5, 0, 3, 1] as const;
    for (const [i, rank] of ranks.entries()) desk.tell(`m${i}`, rank);
    expect(RANKS.map((rank) => desk.mailbox.depth(rank))).toEqual([1, 1, 0, 2, 0, 1]);
    const queued: Rank[] = [];
    desk.mailbox.forEachQueued(({ rank }) => queued.push(rank));
    expect(queued.filter((rank) => rank >= 3)).toHaveLength(3);
    const visited: string[] = [];
    desk.mailbox.forEachQueued(({ payload }) => {
      visited.push(String(payload));
    });
    expect(visited.sort((a, b) => a.localeCompare(b))).toEqual(['m0', 'm1', 'm2', 'm3', 'm4']);
    expect([desk.mailbox.queued, desk.mailbox.accepted]).toEqual([5, 5]);
    expect(desk.rest()).toEqual(['m2', 'm4', 'm0', 'm3', 'm1']);
    expect([desk.mailbox.queued, desk.mailbox.accepted]).toEqual([0, 5]);
  });

  it('numbers the calls, refused ones too', () => {
    const desk = new Desk({ capacity: 1, overflow: 'reject' });
    expect(['a', 'b', 'c'].map((name) => desk.tell(name).seq)).toEqual([1, 2, 3]);
  });

  it('notes the time of the call only when its messages age', () => {
    for (const agingMs of [0, 10]) {
      const desk = new Desk({ agingMs });
      desk.nowMs = 77;
      const message = desk.tell('a');
      expect(message.sentAtMs).toBe(agingMs === 0 ? 0 : 77);
    }
  });

  it('P51: ages by agingMs for each rank', () => {
    const desk = new Desk({ agingMs: 10, capacity: 3 });
    desk.tell('low', 4);
    desk.nowMs = 39;
    desk.tell('in time', 0);
    desk.nowMs = 40;
    desk.tell('too late', 0);
    expect(desk.rest()).toEqual(['in time', 'low', 'too late']);
  });

  it('P48: answers full at capacity, to critical messages and self-sends only behind their reserves', () => {
    const desk = new Desk({ capacity: 2, criticalReserve: 1, selfReserve: 1 });
    expect([desk.verdict(3), desk.verdict(3), desk.verdict(1)]).toEqual(['accepted', 'accepted', 'full']);
    expect([desk.verdict(0), desk.verdict(0)]).toEqual(['accepted', 'full']);
    expect([desk.verdict(3, true), desk.verdict(0, true)]).toEqual(['accepted', 'full']);
    expect([desk.mailbox.queued, desk.mailbox.accepted]).toEqual([4, 4]);
  });

  it('P48: keeps its bound although each turn sends to itself and stashes its message', () => {
    const desk = new Desk({ capacity: 8, selfReserve: 2, stashMax: 8 });
    for (let i = 0; i < 8; i++) desk.tell(`m${i}`);
    for (let i = 0; i < 2; i++) desk.tell(`self ${i}`, 1, true);
    for (let turn = 0; turn < 8; turn++) {
      const message = nextOf(desk);
      desk.tell(`again ${turn}`, 1, true);
      expect(desk.mailbox.putAside(message, 0)).toBe(true);
      expect(desk.mailbox.queued + desk.mailbox.stashed).toBeLessThanOrEqual(8 + 2 + 1);
    }
  });

  it('P48: keeps its bound although each turn sends to itself, more urgently, and is retried', () => {
    const desk = new Desk({ capacity: 1, selfReserve: 1 });
    desk.tell('first', 5);
    for (const rank of [5, 4, 3, 2, 1, 0] as const) {
      desk.tell(`self ${rank}`, rank, true);
      const message = nextOf(desk);
      desk.tell(`again ${rank}`, rank, true);
      desk.mailbox.putBack(message);
      expect(desk.mailbox.queued).toBeLessThanOrEqual(1 + 1 + 1);
    }
  });

  it('P54: under backpressure and reject drops nobody', () => {
    for (const overflow of ['backpressure', 'reject'] as const) {
      const desk = new Desk({ capacity: 1, overflow });
      for (const name of ['a', 'b', 'c']) desk.tell(name, 0);
      expect([desk.dropped, desk.mailbox.accepted, desk.rest()]).toEqual([[], 1, ['a']]);
    }
  });

  it('P57: accepts every message under a dropping policy and hands out what it drops', () => {
    const outcomes = (['drop-newest', 'drop-oldest', 'drop-lowest'] as const).map((overflow) => {
      const desk = new Desk({ overflow });
      for (const [name, rank] of [
        ['a', 3],
        ['b', 5],
        ['c', 1],
        ['d', 4],
      ] as const) {
        expect(desk.mailbox.offer(envelope(rank, name), 0, false)).toBe('accepted');
      }
      expect(desk.mailbox.accepted).toBe(4);
      return [overflow, desk.dropped, desk.rest()];
    });
    expect(outcomes).toEqual([
      ['drop-newest', ['c', 'd'], ['a', 'b']],
      ['drop-oldest', ['a', 'b'], ['c', 'd']],
      ['drop-lowest', ['b', 'd'], ['c', 'a']],
    ]);
  });

  it('P57: hands the slot of a dropped self-send to the newcomer', () => {
    const desk = new Desk({ capacity: 1, selfReserve: 1, overflow: 'drop-oldest' });
    desk.tell('a', 3);
    desk.tell('self', 3, true);
    for (const name of ['b', 'c', 'd']) desk.tell(name, 3);
    expect([desk.dropped, desk.mailbox.queued]).toEqual([['a', 'self', 'b'], 2]);
    expect(desk.rest()).toEqual(['c', 'd']);
    expect([desk.verdict(3), desk.verdict(3, true)]).toEqual(['accepted', 'accepted']);
    expect(desk.mailbox.queued).toBe(2);
  });
});

describe('waiting sends', () => {
  it('P53: get the slot that a turn frees, best key first, in the same step', () => {
    const desk = new Desk({ capacity: 1 });
    desk.tell('a');
    for (const [name, rank] of [
      ['low', 4],
      ['urgent', 1],
      ['urgent 2', 1],
    ] as const) {
      desk.send(name, rank);
    }
    expect(desk.mailbox.waiting).toBe(3);
    expect([desk.next(), desk.admitted, desk.verdict(0)]).toEqual(['a', ['urgent'], 'full']);
    expect([desk.mailbox.waiting, desk.mailbox.queued, desk.mailbox.accepted]).toEqual([2, 1, 2]);
    expect(desk.rest()).toEqual(['urgent', 'urgent 2', 'low']);
    expect([desk.admitted, desk.mailbox.waiting]).toEqual([['urgent', 'urgent 2', 'low'], 0]);
  });

  it('P53: are admitted one for each slot, and a critical one into its reserve past a better key', () => {
    const desk = new Desk({ capacity: 1, criticalReserve: 1, agingMs: 10 });
    desk.tell('a', 3);
    desk.tell('alert', 0);
    desk.send('old', 1);
    desk.nowMs = 100;
    desk.send('alert 2', 0);
    desk.send('alert 3', 0);
    // The reserve becomes free, not the slot that the better key waits for.
    expect([desk.next(), desk.admitted]).toEqual(['alert', ['alert 2']]);
    expect([desk.next(), desk.admitted]).toEqual(['a', ['alert 2', 'alert 3']]);
    // Critical messages fill what is common while there are enough of them.
    expect([desk.next(), desk.admitted]).toEqual(['alert 2', ['alert 2', 'alert 3']]);
    expect([desk.next(), desk.admitted]).toEqual(['alert 3', ['alert 2', 'alert 3', 'old']]);
  });

  it('P50: keep their place in the order from the call', () => {
    const desk = new Desk({ capacity: 1, selfReserve: 1 });
    desk.tell('a');
    desk.send('b');
    desk.tell('self', 3, true);
    expect(desk.rest()).toEqual(['a', 'b', 'self']);
  });

  it('are waitersMax at most; one more is refused', () => {
    for (const waitersMax of [0, 2]) {
      const desk = new Desk({ capacity: 1, waitersMax });
      desk.tell('a');
      for (let i = 0; i < waitersMax; i++) desk.send(`w${i}`);
      const late = envelope(0, 'late');
      desk.mailbox.offer(late, 0, false);
      expect(desk.mailbox.wait(desk.waiter(late))).toBe(false);
      expect(desk.mailbox.waiting).toBe(waitersMax);
      desk.rest();
      expect(desk.admitted).toEqual(['w0', 'w1'].slice(0, waitersMax));
    }
  });

  it('P56: that leave never get in, and the next one does', () => {
    const desk = new Desk({ capacity: 1 });
    const stranger = desk.waiter(envelope(3));
    expect(desk.mailbox.leave(stranger), 'nobody ever waited').toBe(false);
    desk.tell('a');
    const waiter = desk.send('b', 1);
    desk.send('c', 3);
    expect([desk.mailbox.leave(waiter), desk.mailbox.leave(waiter)]).toEqual([true, false]);
    expect(desk.mailbox.waiting).toBe(1);
    expect([desk.rest(), desk.admitted]).toEqual([['a', 'c'], ['c']]);
  });

  it('may call the mailbox from within their admission', () => {
    const desk = new Desk({ capacity: 1 });
    desk.tell('a');
    const seen: unknown[] = [];
    const message = envelope(3, 'b');
    desk.mailbox.offer(message, 0, false);
    const waiter = new Waiter(message, {
      admitted: () => {
        seen.push(desk.mailbox.queued, desk.mailbox.waiting, desk.mailbox.leave(waiter), desk.verdict(0));
      },
      refused: () => undefined,
    });
    desk.mailbox.wait(waiter);
    desk.next();
    expect(seen).toEqual([1, 0, false, 'full']);
  });
});

describe('the turn’s message', () => {
  it('P53: that is put back goes before the younger ones, although its slot went to a waiter', () => {
    const desk = new Desk({ capacity: 2 });
    desk.tell('a');
    desk.tell('b');
    desk.send('c');
    const turn = nextOf(desk);
    expect(desk.admitted).toEqual(['c']);
    desk.mailbox.putBack(turn);
    expect([desk.mailbox.queued, desk.mailbox.accepted, desk.verdict(3)]).toEqual([3, 3, 'full']);
    expect(desk.next()).toBe('a');
    expect(desk.verdict(3), 'its slot is the waiter’s').toBe('full');
    expect(desk.next()).toBe('b');
    expect(desk.verdict(3)).toBe('accepted');
  });

  it('P63: that is stashed returns to its old place', () => {
    const desk = new Desk({ capacity: 4 });
    for (const name of ['a', 'b', 'c']) desk.tell(name);
    for (let i = 0; i < 2; i++) expect(desk.mailbox.putAside(nextOf(desk), 0)).toBe(true);
    desk.tell('urgent', 1);
    expect([desk.mailbox.stashed, desk.mailbox.queued, desk.verdict(3)]).toEqual([2, 2, 'full']);
    expect([desk.mailbox.unstash(), desk.mailbox.unstash()]).toEqual([2, 0]);
    expect([desk.mailbox.stashed, desk.mailbox.queued]).toEqual([0, 4]);
    expect(desk.rest()).toEqual(['urgent', 'a', 'b', 'c']);
    expect(desk.mailbox.accepted).toBe(4);
  });

  it('P64: stays the caller’s when the stash holds stashMax, or capacity', () => {
    for (const [capacity, stashMax] of [
      [5, 2],
      [2, 5],
      [5, 0],
    ] as const) {
      const desk = new Desk({ capacity, stashMax, selfReserve: 1 });
      const stash: boolean[] = [];
      for (let i = 0; i < 3; i++) {
        desk.tell(`m${i}`, 3, true);
        stash.push(desk.mailbox.putAside(nextOf(desk), 0));
      }
      const fits = Math.min(capacity, stashMax);
      expect(stash).toEqual([true, true, true].fill(false, fits));
      expect([desk.mailbox.stashed, desk.mailbox.queued]).toEqual([fits, 0]);
      // The message that stayed outside has no slot.
      const left = capacity - fits;
      for (let i = 0; i < left; i++) expect(desk.verdict(3)).toBe('accepted');
      expect(desk.verdict(3)).toBe('full');
    }
  });
});

describe('a continuation', () => {
  it('P48: that is stashed takes a slot like a self-send, or stays the caller’s', () => {
    const desk = new Desk({ capacity: 3, selfReserve: 1, agingMs: 10 });
    desk.tell('a', 3);
    desk.tell('b', 3);
    const continuations = ['k1', 'k2', 'k3'].map((name) => envelope(3, name));
    const stash = continuations.map((item) => desk.mailbox.putAside(item, 77));
    expect(stash).toEqual([true, true, false]);
    expect(continuations.map(({ seq, sentAtMs }) => [seq, sentAtMs])).toEqual([
      [3, 77],
      [4, 77],
      [0, 0],
    ]);
    expect([desk.mailbox.accepted, desk.mailbox.stashed, desk.verdict(3, true)]).toEqual([4, 2, 'full']);
    desk.mailbox.unstash();
    expect(desk.rest()).toEqual(['a', 'b', 'k1', 'k2']);
    expect([1, 2, 3, 4].map(() => desk.verdict(3))).toEqual(['accepted', 'accepted', 'accepted', 'full']);
    expect(desk.verdict(3, true)).toBe('accepted');
  });
});

describe('cancelling', () => {
  it('P61: removes a queued message, frees its slot at once, and keeps the order of the others', () => {
    const desk = new Desk({ capacity: 3 });
    const [, b] = ['a', 'b', 'c'].map((name) => desk.tell(name));
    desk.send('d', 5);
    expect(b !== undefined && desk.mailbox.cancel(b)).toBe(true);
    expect(b !== undefined && desk.mailbox.cancel(b)).toBe(false);
    expect(desk.admitted).toEqual(['d']);
    expect(desk.rest()).toEqual(['a', 'c', 'd']);
  });

  it('P61: removes a stashed message and frees its slot at once', () => {
    const desk = new Desk({ capacity: 2 });
    const [a, b] = [desk.tell('a'), desk.tell('b')];
    for (let i = 0; i < 2; i++) desk.mailbox.putAside(nextOf(desk), 0);
    desk.send('c', 5);
    expect(desk.mailbox.cancel(a)).toBe(true);
    expect([desk.mailbox.stashed, desk.admitted]).toEqual([1, ['c']]);
    expect([desk.mailbox.cancel(a), desk.mailbox.cancel(envelope(3))]).toEqual([false, false]);
    expect(desk.mailbox.cancel(b)).toBe(true);
    expect([desk.mailbox.stashed, desk.mailbox.unstash(), desk.rest()]).toEqual([0, 0, ['c']]);
  });

  it('leaves alone the message in its turn, and one that waits', () => {
    const desk = new Desk({ capacity: 1 });
    const a = desk.tell('a');
    const { envelope: waiting } = desk.send('b');
    expect(desk.mailbox.cancel(waiting)).toBe(false);
    desk.next();
    expect([desk.mailbox.cancel(a), desk.mailbox.queued]).toEqual([false, 1]);
  });
});

describe('the control lane', () => {
  it('P59: is taken by itself, continuations first, each in order', () => {
    const desk = new Desk();
    const [c1, c2, k1, k2] = [envelope(3, 'c1'), envelope(3, 'c2'), envelope(3, 'k1'), envelope(3, 'k2')];
    desk.tell('user', 0);
    for (const item of [c1, c2]) desk.mailbox.control.push(item);
    expect(desk.mailbox.controls).toBe(2);
    expect(desk.mailbox.controlIfAny).toBe(desk.mailbox.control);
    for (const item of [k1, k2]) expect(desk.mailbox.control.pushContinue(item)).toBe(true);
    expect(desk.mailbox.controls).toBe(4);
    expect([1, 2, 3, 4, 5].map(() => desk.mailbox.control.shift()?.payload)).toEqual([
      'k1',
      'k2',
      'c1',
      'c2',
      undefined,
    ]);
    expect([desk.mailbox.controls, desk.mailbox.queued]).toEqual([0, 1]);
  });

  it('P58: takes items beside a full mailbox, and they take no slot', () => {
    const desk = new Desk({ capacity: 1 });
    desk.tell('user');
    for (let i = 0; i < 100; i++) desk.mailbox.control.push(envelope(3, i));
    expect([desk.mailbox.controls, desk.mailbox.queued, desk.mailbox.accepted]).toEqual([100, 1, 1]);
  });

  it('holds CONTINUES_MAX continuations; one more is refused', () => {
    const { mailbox } = new Desk();
    for (let i = 0; i < CONTINUES_MAX; i++) expect(mailbox.control.pushContinue(envelope(3, i))).toBe(true);
    expect(mailbox.control.pushContinue(envelope(3))).toBe(false);
    expect(mailbox.controls).toBe(CONTINUES_MAX);
  });

  it('forgets continuations, or the stale items of the rest, and nothing else', () => {
    const { mailbox } = new Desk();
    for (const name of ['a', 'b', 'c']) mailbox.control.push(envelope(3, name));
    mailbox.control.pushContinue(envelope(3, 'k'));
    mailbox.control.dropContinues();
    mailbox.control.drop(({ payload }) => payload === 'b');
    expect(mailbox.controls).toBe(2);
    expect([mailbox.control.shift()?.payload, mailbox.control.shift()?.payload]).toEqual(['a', 'c']);
    expect(mailbox.control.pushContinue(envelope(3, 'k'))).toBe(true);
    mailbox.control.drop(() => true);
    expect(mailbox.controls).toBe(1);
  });
});

describe('clearing', () => {
  it('P1: hands out everything in order, admits nobody, and frees every slot', () => {
    const settings = { capacity: 4, criticalReserve: 1, selfReserve: 1 };
    const desk = new Desk(settings);
    for (const name of ['s1', 's2']) {
      desk.tell(name);
      desk.mailbox.putAside(nextOf(desk), 0);
    }
    desk.tell('low', 4);
    desk.tell('high', 2);
    desk.tell('self', 3, true);
    desk.send('w low', 4);
    desk.send('w high', 2);
    desk.mailbox.control.push(envelope(3));
    desk.mailbox.control.pushContinue(envelope(3));
    const { queued, stashed, waiting } = desk.mailbox.clear();
    expect(queued.map(({ payload }) => payload)).toEqual(['high', 'self', 'low']);
    expect(stashed.map(({ payload }) => payload)).toEqual(['s1', 's2']);
    expect(waiting.map((waiter) => waiter.envelope.payload)).toEqual(['w high', 'w low']);
    expect(desk.admitted).toEqual([]);
    const { mailbox } = desk;
    expect([mailbox.queued, mailbox.stashed, mailbox.waiting, mailbox.controls]).toEqual([0, 0, 0, 0]);
    expect(mailbox.controlIfAny).toBeUndefined();
    expect(mailbox.accepted).toBe(5);
    for (let i = 0; i < 4; i++) expect(desk.verdict(3)).toBe('accepted');
    expect([desk.verdict(3), desk.verdict(0), desk.verdict(3, true)]).toEqual([
      'full',
      'accepted',
      'accepted',
    ]);
    expect(mailbox.queued).toBe(6);
  });
});
