import { describe, expect, it } from 'vitest';
import { Roster } from '../../adapters/loopback/roster.ts';
import type { Host } from '../../src/protocol/clock.ts';
import { MemberView } from '../../src/protocol/member-view.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const DOWN_AFTER_MS = 10_000;
const NODE = { name: 'a', incarnation: 'aaa' };
const A = { ...NODE, about: '' };
const B = { name: 'b', incarnation: 'bbb', about: 'busy' };

const nothing = (): Promise<void> => Promise.resolve();

/** A roster that has met the server `one`, where `a` and `b` live; and what it told since. */
function rosterOfTwo(): { roster: Roster; clock: VirtualClock; told: string[]; view: MemberView } {
  const clock = new VirtualClock();
  const host: Host = { clock, random: () => 0, soon: (task) => task(), later: (task) => task() };
  const view = new MemberView();
  const roster = new Roster(view, NODE, host, DOWN_AFTER_MS);
  roster.introduce({ server: 'one', ageMs: 60_000 });
  roster.hears({ type: 'census', ended: [], living: [A, B] });
  const told: string[] = [];
  view.onChange(({ kind, member }) => told.push(`${kind} ${member.name} ${member.incarnation}`));
  return { roster, clock, told, view };
}

describe('the roster of a loopback node', () => {
  it('begins in its first life, whatever the age of the server', () => {
    const { roster } = rosterOfTwo();
    expect(roster.introduce({ server: 'one', ageMs: 90_000 }).life).toBe(1);
  });

  it('tells the same server whom it knew, and nobody to another one', () => {
    const { roster } = rosterOfTwo();
    const { name, incarnation } = B;
    expect(roster.introduce({ server: 'one', ageMs: 90_000 }).known).toEqual([NODE, { name, incarnation }]);
    expect(roster.introduce({ server: 'two', ageMs: 10 }).known).toEqual([]);
  });

  it('tells of those who left while it was away, as the server says', () => {
    const { roster, told } = rosterOfTwo();
    roster.introduce({ server: 'one', ageMs: 90_000 });
    roster.hears({ type: 'census', ended: [{ name: 'b', incarnation: 'bbb', hasLeft: true }], living: [A] });
    expect(told).toEqual(['left b bbb']);
  });

  it('takes nobody for dead when a new server has not seen them yet, for downAfterMs', async () => {
    const { roster, clock, told, view } = rosterOfTwo();
    roster.introduce({ server: 'two', ageMs: 10 });
    roster.hears({ type: 'census', ended: [], living: [A] });
    await clock.advance(DOWN_AFTER_MS - 1, nothing);
    expect([told, view.view()]).toEqual([[], [A, B]]);
    await clock.advance(1, nothing);
    expect([told, view.view()]).toEqual([['down b bbb'], [A]]);
  });

  it('misses those whom a new server does not know yet, until they come or are dead', async () => {
    const { roster, clock } = rosterOfTwo();
    expect(roster.misses('b')).toBe(false);
    roster.introduce({ server: 'two', ageMs: 10 });
    roster.hears({ type: 'census', ended: [], living: [A] });
    expect([roster.misses('a'), roster.misses('b'), roster.misses('c')]).toEqual([false, true, false]);
    roster.hears({ type: 'census', ended: [], living: [B] });
    expect(roster.misses('b')).toBe(false);
    roster.introduce({ server: 'three', ageMs: 10 });
    await clock.advance(DOWN_AFTER_MS, nothing);
    expect(roster.misses('b')).toBe(false);
  });

  it('hears nothing of those who come to the new server in time', async () => {
    const { roster, clock, told } = rosterOfTwo();
    roster.introduce({ server: 'two', ageMs: 10 });
    roster.hears({ type: 'census', ended: [], living: [A] });
    roster.hears({ type: 'census', ended: [], living: [B] });
    await clock.advance(DOWN_AFTER_MS, nothing);
    expect(told).toEqual([]);
  });

  it('waits no longer for a node whose name has come in another life', () => {
    const { roster, told } = rosterOfTwo();
    roster.introduce({ server: 'two', ageMs: 10 });
    roster.hears({ type: 'census', ended: [], living: [A, { ...B, incarnation: 'bbb.2' }] });
    expect(told).toEqual(['down b bbb', 'up b bbb.2']);
  });

  it('comes to a new server in its next life when others may have lost patience, and only then', () => {
    const { roster } = rosterOfTwo();
    expect(roster.introduce({ server: 'two', ageMs: DOWN_AFTER_MS - 1 }).life).toBe(1);
    expect(roster.introduce({ server: 'three', ageMs: DOWN_AFTER_MS }).life).toBe(2);
    expect(roster.introduce({ server: 'three', ageMs: 2 * DOWN_AFTER_MS }).life).toBe(2);
  });

  it('is in the life that the server tells of', () => {
    const { roster } = rosterOfTwo();
    roster.hears({ type: 'census', ended: [], living: [{ ...A, incarnation: 'aaa.12' }] });
    expect(roster.introduce({ server: 'two', ageMs: 10 }).life).toBe(12);
  });

  it('leaves no timer once it has ended', () => {
    const { roster, clock } = rosterOfTwo();
    roster.introduce({ server: 'two', ageMs: 10 });
    roster.end();
    expect(clock.pending).toBe(0);
  });
});
