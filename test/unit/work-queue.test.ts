import { describe, expect, it } from 'vitest';
import { ByStickyKey, LeastLoaded, type Member, RoundRobin } from '../../runtime/pool/routes.ts';
import { ShareQueue } from '../../runtime/pool/share-queue.ts';
import { LaneQueue, SharedQueue } from '../../runtime/pool/work-queue.ts';
import type { Envelope } from '../../src/protocol/envelope.ts';
import type { Rank } from '../../src/protocol/priority.ts';
import { envelope } from '../support/envelopes.ts';

interface TestMember extends Member {
  isAvailable: boolean;
  load: number;
}

const member = (place: number): TestMember => ({ place, isAvailable: true, load: 0 });

let seqs = 0;
function job(rank: Rank, payload?: unknown): Envelope {
  const made = envelope(rank, payload);
  made.seq = ++seqs;
  return made;
}

describe('a shared queue', () => {
  it('has one best job for everybody and wakes somebody for each', () => {
    const woken: unknown[] = [];
    const queue = new SharedQueue<TestMember>(0, (each) => woken.push(each));
    const [low, high] = [job(5), job(0)];
    queue.push(low);
    queue.push(high);
    expect(woken).toEqual([undefined, undefined]);
    expect(queue.bestFor(member(1))).toBe(high);
    expect(queue.pop()).toBe(high);
    expect(queue.bestFor(member(2))).toBe(low);
  });
});

describe('a queue of lanes', () => {
  it('keeps jobs until there is a worker, then gives each the best of its own', () => {
    const woken: number[] = [];
    const queue = new LaneQueue<TestMember>(0, new RoundRobin(), (each) => woken.push(each?.place ?? 0));
    const jobs = [job(3), job(3), job(0)];
    for (const each of jobs) queue.push(each);
    const [one, two] = [member(1), member(2)];
    expect(queue.bestFor(one)).toBeUndefined();
    queue.joined([one, two]);
    expect(woken).toEqual([1, 2, 1]);
    expect(queue.bestFor(one)).toBe(jobs[2]);
    expect(queue.bestFor(two)).toBe(jobs[1]);
    expect([queue.sizeFor(one), queue.sizeFor(two)]).toEqual([2, 1]);
    expect(queue.remove(jobs[2] as Envelope)).toBe(true);
    expect(queue.remove(jobs[2] as Envelope)).toBe(false);
    expect(queue.bestFor(one)).toBe(jobs[0]);
    expect(queue.pop()).toBe(jobs[0]);
    expect(queue.bestFor(one)).toBeUndefined();
  });

  it('routes what waits for a worker that leaves to the others, in order', () => {
    const queue = new LaneQueue<TestMember>(0, new RoundRobin(), () => undefined);
    const [one, two] = [member(1), member(2)];
    queue.joined([one, two]);
    const jobs = [job(3), job(3), job(3), job(3)];
    for (const each of jobs) queue.push(each);
    queue.leaves(one);
    expect(queue.sizeFor(one)).toBe(0);
    expect(jobs.map(() => queue.pop())).toEqual(jobs);
    expect(queue.sizeFor(two)).toBe(0);
  });

  it('keeps the jobs of a sticky key with a leaving worker until its present one is finished', () => {
    const route = new ByStickyKey(
      ({ payload }) => payload as string,
      () => 0,
    );
    const queue = new LaneQueue<TestMember>(0, route, () => undefined);
    const [one, two] = [member(1), member(2)];
    queue.joined([one, two]);
    const [held, waits] = [job(3, 'k'), job(3, 'k')];
    queue.push(held);
    queue.push(waits);
    queue.started(held);
    queue.remove(held);
    queue.leaves(one);
    expect([queue.sizeFor(one), queue.sizeFor(two)]).toEqual([1, 0]);
    queue.finished(held);
    queue.gone(one);
    expect(queue.bestFor(two)).toBe(waits);
    queue.started(waits);
    queue.remove(waits);
    queue.finished(waits);
    expect(route.size).toBe(0);
  });
});

describe('a queue of shares', () => {
  it('has a job for each worker, and leaves it to nobody twice', () => {
    const spent: Envelope[] = [];
    const queue = new ShareQueue<TestMember>(
      0,
      () => undefined,
      (each) => spent.push(each),
    );
    const early = job(3);
    queue.push(early);
    const [one, two] = [member(1), member(2)];
    queue.joined([one, two]);
    expect([queue.bestFor(one), queue.bestFor(two)]).toEqual([early, early]);
    expect(queue.take(early, one)).toBe(false);
    expect(queue.bestFor(one)).toBeUndefined();
    expect(queue.sharesOf(early)).toBe(1);
    queue.leaves(two);
    expect(spent).toEqual([early]);
  });

  it('keeps shares of a job that has left the queue, until it is forgotten', () => {
    const queue = new ShareQueue<TestMember>(
      0,
      () => undefined,
      () => undefined,
    );
    const [one, two] = [member(1), member(2)];
    queue.joined([one, two]);
    const asked = job(3);
    queue.push(asked);
    queue.detach(asked);
    expect(queue.remove(asked)).toBe(true);
    expect([queue.size, queue.sizeFor(one)]).toEqual([0, 1]);
    queue.forget(asked);
    expect([queue.sizeFor(one), queue.sizeFor(two)]).toEqual([0, 0]);
  });

  it('shares a job anew when all who had a share left without taking it', () => {
    const queue = new ShareQueue<TestMember>(
      0,
      () => undefined,
      () => undefined,
    );
    const [one, two] = [member(1), member(2)];
    queue.joined([one]);
    const waits = job(3);
    queue.push(waits);
    queue.leaves(one);
    queue.joined([two]);
    expect(queue.bestFor(two)).toBe(waits);
  });
});

describe('the rules', () => {
  it('pass over workers that are not available, while others are', () => {
    const members = [member(1), member(2), member(3)];
    const rule = new RoundRobin();
    const places = (): number[] => [1, 2, 3].map(() => rule.choose(job(3), members).place);
    expect(places()).toEqual([1, 2, 3]);
    (members[1] as TestMember).isAvailable = false;
    expect(places()).toEqual([1, 3, 1]);
    for (const each of members) each.isAvailable = false;
    expect(rule.choose(job(3), members).place).toBe(2);
  });

  it('compare all loads up to eight workers, and above that two at random', () => {
    const eight = Array.from({ length: 8 }, (_, n) => ({ ...member(n + 1), load: 8 - n }));
    expect(new LeastLoaded(() => 0).choose(job(3), eight).place).toBe(8);
    const nine = [...eight, { ...member(9), load: 0 }];
    expect(new LeastLoaded(() => 0).choose(job(3), nine).place).toBe(2);
  });
});
