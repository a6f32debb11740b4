/**
 * Who lives, as one node has heard it. What is heard comes in different orders at different nodes, and still all come to the same: an end is
 * final, a later life of a name replaces an earlier one, and a node that hears of its own end begins its next life, under a name that it tells
 * everybody. It knows no server: it hears, and says what has changed.
 */

import type { NodeIdentity } from '../../src/protocol/broker.ts';
import { incarnationOf } from '../../src/protocol/member-view.ts';
import type { Member, MemberChange } from '../../src/protocol/membership.ts';

/** A member, as nodes tell one another. */
export interface Told extends Member {
  /** How often it has said something of itself in this life. */
  readonly version: number;
}

/** The end of a life, as nodes tell one another. */
export interface Gone extends NodeIdentity {
  readonly how: 'down' | 'left';
}

/** Ends that are remembered: with each, whoever was taken for dead and comes back can be told. The oldest is forgotten. */
const GONE_MAX = 10_000;
/** Nodes that are known. Whoever comes beyond is not seen. */
const MEMBERS_MAX = 10_000;

const INCARNATION = /^([a-z0-9]{1,32})(?:\.([2-9]|[1-9][0-9]{1,8}))?$/;

/** A life of a process: the first, or the nth after it was taken for dead. */
interface Life {
  readonly base: string;
  readonly number: number;
}

/** The life that an incarnation names; undefined if it is none. */
export function lifeOf(incarnation: string): Life | undefined {
  const [, base, number = '1'] = INCARNATION.exec(incarnation) ?? [];
  return base === undefined ? undefined : { base, number: Number(number) };
}

/** What one node knows. */
export class Roster {
  private readonly changed: (change: MemberChange) => void;
  private own: Told;
  private readonly others = new Map<string, Told>();
  /** The last life of each process that has ended, by `name base`. Those before it have ended too. */
  private readonly ended = new Map<string, Gone>();
  private shown: readonly Member[] | undefined;

  /** `changed` is called with each change, when the view has it. */
  constructor({ name, incarnation }: NodeIdentity, changed: (change: MemberChange) => void) {
    this.changed = changed;
    this.own = { name, incarnation, about: '', version: 0 };
  }

  /** This node. */
  get self(): Told {
    return this.own;
  }

  get size(): number {
    return this.others.size + 1;
  }

  /** All that live. The same array until something changes. */
  view(): readonly Member[] {
    this.shown ??= Object.freeze([this.own, ...this.others.values()].map(shownAs));
    return this.shown;
  }

  incarnationOf(name: string): string | undefined {
    return this.others.get(name)?.incarnation;
  }

  names(): string[] {
    return [this.own.name, ...this.others.keys()];
  }

  /** All but those whose names are in `known`. */
  without(known: ReadonlySet<string>): Told[] {
    return [this.own, ...this.others.values()].filter(({ name }) => !known.has(name));
  }

  /** The next `count` others in the ring of names: whom this node looks after. */
  successors(count: number): string[] {
    const sorted = [...this.others.keys()].sort();
    const next = sorted.findIndex((name) => name > this.own.name);
    const from = Math.max(next, 0);
    return [...sorted.slice(from), ...sorted.slice(0, from)].slice(0, count);
  }

  /** Says something of this node. */
  describe(about: string): void {
    const isNews = about !== this.own.about;
    this.own = { ...this.own, about, version: this.own.version + 1 };
    if (isNews) this.tell('changed', this.own);
  }

  /**
   * Hears of a node. From itself, it counts; from others only where nothing is known of that name: they may be late. Answers with the end of
   * that life if it has ended: then whoever spoke does not know it.
   */
  heard(told: Told, isFromItself: boolean): Gone | undefined {
    const { name, incarnation, version } = told;
    const life = lifeOf(incarnation);
    if (life === undefined || name === this.own.name) return undefined;
    const end = this.endOf(name, life);
    if (end !== undefined) return isFromItself ? end : undefined;
    const known = this.others.get(name);
    if (known === undefined) {
      if (this.others.size < MEMBERS_MAX) this.come(told);
    } else if (known.incarnation === incarnation) {
      if (version > known.version) this.others.set(name, told);
      if (version > known.version && told.about !== known.about) this.tell('changed', told);
    } else if (isLater(life, known) || (isFromItself && !isOfBase(known, life.base))) {
      // A name has one holder: who had it before has lost it.
      this.end(known, 'down');
      this.come(told);
    }
    return undefined;
  }

  /** Hears of an end. True when it was this node's own: then it has begun its next life, and must tell. */
  heardGone({ name, incarnation, how }: Gone): boolean {
    const life = lifeOf(incarnation);
    if (life === undefined) return false;
    if (name === this.own.name) return this.beginAfter(life);
    if (this.endOf(name, life) !== undefined) return false;
    const known = this.others.get(name);
    this.remember({ name, incarnation, how }, life);
    // Who has ended in a later life has ended in this one too, whatever was missed in between.
    if (
      known === undefined ||
      !isOfBase(known, life.base) ||
      isLater(lifeOf(known.incarnation), { incarnation })
    )
      return false;
    this.end(known, known.incarnation === incarnation ? how : 'down');
    return false;
  }

  private beginAfter(ended: Life): boolean {
    const own = lifeOf(this.own.incarnation);
    if (own === undefined || own.base !== ended.base || own.number > ended.number) return false;
    const last = this.own;
    // Nobody sees the node without itself for longer than between these two.
    this.tell('down', last);
    this.own = { ...last, incarnation: incarnationOf(own.base, ended.number + 1), version: 0 };
    this.tell('up', this.own);
    return true;
  }

  private come(told: Told): void {
    this.others.set(told.name, told);
    this.tell('up', told);
  }

  private end(known: Told, how: Gone['how']): void {
    const life = lifeOf(known.incarnation);
    if (life !== undefined && this.endOf(known.name, life) === undefined)
      this.remember({ name: known.name, incarnation: known.incarnation, how }, life);
    this.others.delete(known.name);
    this.tell(how, known);
  }

  private endOf(name: string, life: Life): Gone | undefined {
    const end = this.ended.get(`${name} ${life.base}`);
    return end !== undefined && !isLater(life, end) ? end : undefined;
  }

  private remember(gone: Gone, { base }: Life): void {
    const id = `${gone.name} ${base}`;
    this.ended.delete(id); // so that it becomes the youngest
    this.ended.set(id, gone);
    const [oldest] = this.ended.keys();
    if (this.ended.size > GONE_MAX && oldest !== undefined) this.ended.delete(oldest);
  }

  private tell(kind: MemberChange['kind'], told: Told): void {
    this.shown = undefined;
    this.changed({ kind, member: shownAs(told) });
  }
}

function shownAs({ name, incarnation, about }: Told): Member {
  return Object.freeze({ name, incarnation, about });
}

function isOfBase({ incarnation }: { readonly incarnation: string }, base: string): boolean {
  return lifeOf(incarnation)?.base === base;
}

/** Whether a life is of the same process, and comes later. */
function isLater(life: Life | undefined, than: { readonly incarnation: string }): boolean {
  const other = lifeOf(than.incarnation);
  return life !== undefined && life.base === other?.base && life.number > other.number;
}
