import { describe, expect, it } from 'vitest';
import { Members } from '../../adapters/redis/members.ts';

const ME = { name: 'me', incarnation: 'm' };

/** A view that is shown tables, and what it tells as `kind name.incarnation about`. */
class Stage {
  readonly told: string[] = [];
  failing = false;
  readonly members = new Members(async () => {
    if (this.failing) throw new Error('not told');
  });

  constructor() {
    this.members.onChange(({ kind, member: { name, incarnation, about } }) =>
      this.told.push(`${kind} ${name}.${incarnation} ${about}`.trim()),
    );
  }

  /** What is told of this table, with what nodes say by name. */
  look(
    rows: Readonly<Record<string, string>>,
    texts: Readonly<Record<string, string>> = {},
  ): readonly string[] {
    const table = new Map(Object.entries(rows));
    const asked = this.members.unheard(table);
    this.members.look(table, new Map(asked.map((name) => [name, texts[name] ?? ''])));
    return this.told.splice(0);
  }
}

describe('the members of a Redis adapter', () => {
  it('tells who has come, who was taken out and who has closed', () => {
    const stage = new Stage();
    expect(stage.look({ a: 'x 1 1 l 0 1', b: 'y 1 1 l 0 1' })).toEqual(['up a.x', 'up b.y']);
    const view = stage.members.view();
    expect(stage.look({ a: 'x 2 1 l 0 9', b: 'y 1 1 l 0 2' })).toEqual([]);
    expect(stage.members.view()).toBe(view);
    expect(stage.look({ a: '- x 2 1' })).toEqual(['down a.x', 'left b.y']);
    expect(stage.members.view()).toEqual([]);
  });

  it.each([
    ['left', 'z 1 1 l 0 0'],
    ['down', 'z 1 1 d 0 0'],
    ['down', '- z 1 1'],
  ])('tells that a name was %s by what its next holder found: %s', (kind, value) => {
    const stage = new Stage();
    stage.look({ a: 'x 1 1 l 0 1' });
    const came = value.startsWith('-') ? [] : ['up a.z'];
    expect(stage.look({ a: value })).toEqual([`${kind} a.x`, ...came]);
  });

  it('knows a node that comes back after it was taken out by another name, itself as well', () => {
    const stage = new Stage();
    stage.look({ me: 'm 1 1 l 0 1' });
    expect(stage.look({ me: 'm 2 2 d 0 0' })).toEqual(['down me.m', 'up me.m.2']);
    expect(stage.look({ me: 'm 3 3 d 0 0' })).toEqual(['down me.m.2', 'up me.m.3']);
  });

  it('takes nobody for up again whose end it told, though a server has it again', () => {
    const stage = new Stage();
    stage.look({ a: 'x 1 1 l 0 1' });
    stage.look({ a: '- x 1 1' });
    expect(stage.look({ a: 'x 1 1 l 0 1' })).toEqual([]);
    expect(stage.members.isOver('a', 'x 1 1 l 0 1')).toBe(true);
    expect(stage.members.isOver('a', '- x 1 1')).toBe(false);
    expect(stage.look({ a: 'x 2 2 d 0 0' })).toEqual(['up a.x.2']);
  });

  it('asks for what a node says only when that is new, and takes nothing of another incarnation', () => {
    const stage = new Stage();
    const said = new Map([['a', 'x 1 1 l 1 1']]);
    expect(stage.members.unheard(said)).toEqual(['a']);
    expect(stage.look({ a: 'x 1 1 l 1 1' }, { a: 'w of the one before' })).toEqual(['up a.x']);
    expect(stage.members.unheard(said)).toEqual(['a']);
    expect(stage.look({ a: 'x 1 1 l 1 2' }, { a: 'x keeps the mail' })).toEqual([
      'changed a.x keeps the mail',
    ]);
    expect(stage.members.unheard(said)).toEqual([]);
    expect(stage.look({ a: 'x 1 1 l 2 3' }, { a: 'x keeps the mail' })).toEqual([]);
    expect(stage.look({ a: '- x 1 1' })).toEqual(['down a.x keeps the mail']);
  });

  it('says what this node says of itself as soon as the server has it, and not twice', async () => {
    const stage = new Stage();
    stage.look({ me: 'm 1 1 l 0 1' });
    await stage.members.describe('first');
    await stage.members.describe('second');
    stage.members.told(ME, 1, 1);
    expect(stage.told).toEqual([]);
    stage.members.told(ME, 1, 2);
    expect(stage.told.splice(0)).toEqual(['changed me.m second']);
    expect(stage.look({ me: 'm 1 1 l 2 2' }, { me: 'm second' })).toEqual([]);
    stage.members.told(ME, 2, 3);
    expect(stage.told).toEqual([]);
  });

  it('keeps what could not be told for the next session', async () => {
    const stage = new Stage();
    stage.failing = true;
    await expect(stage.members.describe('later')).rejects.toThrow('not told');
    expect([stage.members.about, stage.members.aboutNumber]).toEqual(['later', 1]);
  });
});
