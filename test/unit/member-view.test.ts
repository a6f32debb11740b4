import { describe, expect, it } from 'vitest';
import { changesBetween, incarnationOf, MemberView } from '../../src/protocol/member-view.ts';
import type { Member } from '../../src/protocol/membership.ts';

const member = (name: string, incarnation = 'x', about = ''): Member => ({ name, incarnation, about });

/** A view, and what it tells as `kind name.incarnation`. */
function watched(): { readonly view: MemberView; readonly told: string[] } {
  const view = new MemberView();
  const told: string[] = [];
  view.onChange(({ kind, member: { name, incarnation } }) => told.push(`${kind} ${name}.${incarnation}`));
  return { view, told };
}

describe('a view of members', () => {
  it('tells who is gone first, then who says something else, then who has come', () => {
    const { view, told } = watched();
    view.update([member('a'), member('b'), member('c')], () => 'down');
    told.length = 0;
    view.update([member('d'), member('c', 'x', 'says something'), member('a', 'x.2')], ({ name }) =>
      name === 'a' ? 'down' : 'left',
    );
    expect(told).toEqual(['down a.x', 'left b.x', 'changed c.x', 'up d.x', 'up a.x.2']);
  });

  it('has the new members before it tells of them, and gives the same array until something changes', () => {
    const view = new MemberView();
    const seen: number[] = [];
    view.onChange(() => seen.push(view.view().length));
    view.update([member('a'), member('b')], () => 'down');
    const before = view.view();
    view.update([member('b'), member('a')], () => 'down');
    expect(seen).toEqual([2, 2]);
    expect(view.view()).toBe(before);
  });

  it('tells the others when a listener throws, and nobody who has left', () => {
    const view = new MemberView();
    const told: string[] = [];
    view.onChange(() => {
      throw new Error('a listener is broken');
    });
    const listener = ({ kind }: { kind: string }): void => void told.push(kind);
    const leave = view.onChange(listener);
    view.onChange(listener);
    view.update([member('a')], () => 'down');
    leave();
    view.update([], () => 'left');
    expect(told).toEqual(['up', 'up', 'left']);
  });

  it('follows one census after the other, and compares where one was missed', () => {
    const { view, told } = watched();
    const lists = [['a'], ['a', 'b'], ['a', 'b', 'c'], ['b', 'c']].map((names) =>
      names.map((name) => member(name)),
    );
    const endOf = (): 'left' => 'left';
    const [one = [], two = [], three = [], four = []] = lists;
    const follow = (before: readonly Member[], members: readonly Member[]): void =>
      view.follow({ members, before, changes: changesBetween(before, members, endOf), endOf });
    follow([], one);
    follow(one, two);
    expect(view.view()).toBe(two);
    follow(three, four);
    expect(told).toEqual(['up a.x', 'up b.x', 'left a.x', 'up c.x']);
    expect(view.view()).toBe(four);
    follow(
      four,
      four.map((same) => ({ ...same })),
    );
    expect(view.view()).toBe(four);
    expect(told).toHaveLength(4);
  });

  it('names the lives of a node that was taken for dead by their number, from the second on', () => {
    expect([1, 2, 3].map((life) => incarnationOf('x', life))).toEqual(['x', 'x.2', 'x.3']);
  });
});
