import { describe, expect, it } from 'vitest';
import { ControlLane } from '../../runtime/actor/control-lane.ts';
import { Envelope } from '../../src/protocol/envelope.ts';
import { CONTINUES_MAX } from '../../src/protocol/limits.ts';
import { NORMAL_RANK } from '../../src/protocol/priority.ts';

function item(): Envelope {
  const entry = { name: 'item', kind: 'tell', isInternal: true, handler: () => undefined } as const;
  return new Envelope(entry, undefined, NORMAL_RANK, undefined, undefined, undefined);
}

describe('the control lane', () => {
  it('gives its items in order, continuations first, and knows at each step how many are left', () => {
    const lane = new ControlLane();
    const items = Array.from({ length: 5 }, item);
    const continuation = item();
    for (const each of items) lane.push(each);
    expect(lane.pushContinue(continuation)).toBe(true);
    const order = [continuation, ...items];
    for (const [place, each] of order.entries()) {
      expect(lane.size).toBe(order.length - place);
      expect(lane.shift()).toBe(each);
    }
    expect([lane.size, lane.shift()]).toEqual([0, undefined]);
    lane.push(continuation);
    expect([lane.size, lane.shift()]).toEqual([1, continuation]);
  });

  it('drops what it is told to, and nothing that was taken comes back', () => {
    const lane = new ControlLane();
    const [a, b, c, d] = [item(), item(), item(), item()];
    for (const each of [a, b, c, d]) lane.push(each);
    expect(lane.shift()).toBe(a);
    lane.drop((each) => each === c);
    expect(lane.size).toBe(2);
    expect([lane.shift(), lane.shift(), lane.shift()]).toEqual([b, d, undefined]);
  });

  it('takes CONTINUES_MAX continuations, and forgets them alone', () => {
    const lane = new ControlLane();
    const kept = item();
    lane.push(kept);
    for (let i = 0; i < CONTINUES_MAX; i++) expect(lane.pushContinue(item())).toBe(true);
    expect(lane.pushContinue(item())).toBe(false);
    expect(lane.size).toBe(CONTINUES_MAX + 1);
    lane.dropContinues();
    expect([lane.size, lane.shift()]).toEqual([1, kept]);
  });
});
