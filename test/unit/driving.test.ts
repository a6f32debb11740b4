/** Agents that an object drives for one generation: what it posts, and what is left of it at each kind of end. */

import { agent, protocol, tell, type } from 'troupe';
import { describe, expect, it } from 'vitest';
import { type Driver, drive, type Reins } from '../../src/protocol/driven.ts';
import { testSystem } from '../support/test-system.ts';

const Cart = protocol('cart', { note: tell(type<string>()), fail: tell() });

/** Notes what it is given, and keeps its reins where a test can pull them. */
class Horse implements Driver<string> {
  readonly name = 'step';
  readonly reins: Reins<string>;
  readonly notes: string[];
  hasEnded = 0;

  constructor(ctx: Parameters<typeof drive>[0], notes: string[]) {
    this.notes = notes;
    this.reins = drive(ctx, this);
  }

  receive(_ctx: unknown, work: string): void {
    if (work === 'fail') throw new Error('it stumbles');
    this.notes.push(work);
  }

  shown(): unknown {
    if (this.notes.includes('hide')) throw new Error('nobody is to see this');
    return { noted: this.notes.length };
  }

  ended(): void {
    this.hasEnded++;
  }
}

function stable({ capacity = 10 } = {}) {
  const notes: string[] = [];
  const horses: Horse[] = [];
  const cart = agent(Cart, {
    mailbox: { capacity },
    state: (_args: void, ctx): Horse => {
      const horse = new Horse(ctx, notes);
      horses.push(horse);
      return horse;
    },
    on: {
      note: (_ctx, text) => notes.push(text),
      fail: () => {
        throw new Error('a wheel is off');
      },
    },
  });
  return { cart, notes, horses };
}

describe('a driver', () => {
  it('posts turns that come before any message, in their order', async () => {
    const { cart, notes, horses } = stable();
    const { system, settle } = await testSystem();
    const ref = await system.spawn(cart);
    ref.tell('note', 'a message');
    horses[0]?.reins.post('one');
    horses[0]?.reins.post('two');
    await settle();
    expect(notes).toEqual(['one', 'two', 'a message']);
  });

  it('is shown by inspect, and one that throws there is shown as nothing', async () => {
    const { cart, notes } = stable();
    const { system } = await testSystem();
    const ref = await system.spawn(cart);
    notes.push('one');
    expect(system.inspect(ref)?.state).toEqual({ noted: 1 });
    notes.push('hide');
    expect(system.inspect(ref)?.state).toBeUndefined();
  });

  it('puts turns off by keys, replaces them and takes them back', async () => {
    const { cart, notes, horses } = stable();
    const { system, advance } = await testSystem();
    const ref = await system.spawn(cart);
    const reins = horses[0]?.reins;
    reins?.postLater('a', 50, 'replaced');
    reins?.postLater('a', 100, 'after 100');
    reins?.postLater('b', 20, 'taken back');
    reins?.postLater('c', 0, 'at once');
    reins?.cancel('b');
    expect(system.inspect(ref)?.timers.map(({ key, message }) => [key, message])).toEqual([
      ['a', 'step'],
      ['c', 'step'],
    ]);
    await advance(99);
    expect(notes).toEqual(['at once']);
    await advance(1);
    expect(notes).toEqual(['at once', 'after 100']);
  });

  it('refuses a delay that no timer can count', async () => {
    const { cart, horses } = stable();
    const { system } = await testSystem();
    await system.spawn(cart);
    expect(() => horses[0]?.reins.postLater('a', Number.NaN, 'never')).toThrow(
      expect.objectContaining({
        code: 'ERR_OPTION_INVALID',
        details: expect.objectContaining({ option: "the delay of 'a'" }),
      }),
    );
  });

  it('fails its actor when more is posted than the mailbox holds', async () => {
    const { cart, notes, horses } = stable({ capacity: 3 });
    const { system, events, settle, advance } = await testSystem();
    const ref = await system.spawn(cart);
    for (const work of ['1', '2', '3', '4']) horses[0]?.reins.post(work);
    await settle();
    expect(notes).toEqual([]); // the generation that had posted them is over
    expect(horses[0]?.hasEnded).toBe(1);
    await advance(1_000);
    expect(events.find(({ type }) => type === 'actor-restarting')).toMatchObject({
      error: { code: 'ERR_MAILBOX_FULL', details: { address: ref.address, capacity: 3 } },
    });
    for (const work of ['1', '2', '3']) horses[1]?.reins.post(work);
    await settle();
    for (const work of ['4', '5', '6']) horses[1]?.reins.post(work); // those before have had their turns
    await settle();
    expect(notes).toEqual(['1', '2', '3', '4', '5', '6']);
  });

  it('ends with its generation: nothing that it has posted or put off is left, nothing that it posts is seen', async () => {
    const { cart, notes, horses } = stable();
    const { system, settle, advance } = await testSystem();
    const ref = await system.spawn(cart);
    const [first] = horses;
    first?.reins.postLater('a', 500, 'late');
    ref.tell('fail');
    await settle();
    first?.reins.post('from the old one');
    first?.reins.postLater('b', 1, 'from the old one');
    await advance(1_000);
    expect(horses).toHaveLength(2);
    expect(first?.hasEnded).toBe(1);
    expect(notes).toEqual([]);
    expect(system.inspect(ref)).toMatchObject({ generation: 1, timers: [], mailbox: { control: 0 } });
  });

  it('fails its actor by what its turns throw', async () => {
    const { cart, horses } = stable();
    const { system, events, advance } = await testSystem();
    await system.spawn(cart);
    horses[0]?.reins.post('fail');
    horses[0]?.reins.post('never');
    await advance(1_000);
    expect(events.find(({ type }) => type === 'actor-failed')).toMatchObject({ message: 'step' });
    expect(horses.map(({ hasEnded }) => hasEnded)).toEqual([1, 0]);
  });

  it.each(['stop', 'kill'] as const)('hears once of the end by %s', async (call) => {
    const { cart, horses } = stable();
    const { system } = await testSystem();
    const ref = await system.spawn(cart);
    await system[call](ref);
    expect(horses[0]?.hasEnded).toBe(1);
  });

  it('hears of the end of a start that failed', async () => {
    const horses: Horse[] = [];
    const cart = agent(Cart, {
      state: (_args: void, ctx): Horse => {
        horses.push(new Horse(ctx, []));
        throw new Error('no oats');
      },
      on: { note: () => undefined, fail: () => undefined },
    });
    const { system } = await testSystem();
    await expect(system.spawn(cart)).rejects.toMatchObject({ code: 'ERR_START_FAILED' });
    expect(horses[0]?.hasEnded).toBe(1);
  });

  it('needs the context of a turn', () => {
    const bogus = {} as Parameters<typeof drive>[0];
    expect(() => drive(bogus, {} as Driver<string>)).toThrow(
      expect.objectContaining({ code: 'ERR_OPTION_INVALID' }),
    );
  });
});
