/**
 * The nodes that live, as one of them sees it: what the table of nodes says at each of its own signs of life, beside what it said before. Without one the
 * view stays as it is. Who is dead is decided elsewhere.
 */

import type { NodeIdentity } from '../../src/protocol/broker.ts';
import { checkAbout } from '../../src/protocol/broker-options.ts';
import { incarnationOf, MemberView } from '../../src/protocol/member-view.ts';
import type { Member, MemberChange, Membership } from '../../src/protocol/membership.ts';
import { type NodeRow, nodeRowOf } from './node-row.ts';

/** Names whose last end is remembered: as many as may have ended between two looks. */
const ENDED_MAX = 10_000;

interface Known {
  readonly member: Member;
  /** The number of what it says of itself. */
  readonly number: number;
}

export class Members implements Membership {
  /** What this node says of itself, and how often it has said something. */
  about = '';
  aboutNumber = 0;
  /** Tells the server what this node says of itself; rejects with `ERR_BROKER_UNAVAILABLE`. */
  private readonly tell: () => Promise<void>;
  private readonly members = new MemberView();
  private known: ReadonlyMap<string, Known> = new Map();
  /** Who had a name last, and is gone: it is never up again. */
  private readonly ended = new Map<string, string>();

  constructor(tell: () => Promise<void>) {
    this.tell = tell;
  }

  view(): readonly Member[] {
    return this.members.view();
  }

  onChange(listener: (change: MemberChange) => void): () => void {
    return this.members.onChange(listener);
  }

  async describe(about: string): Promise<void> {
    this.about = checkAbout(about);
    this.aboutNumber++;
    await this.tell();
  }

  /** The server has what this node said of itself by this number, in this life. */
  told({ name, incarnation }: NodeIdentity, life: number, number: number): void {
    const known = this.known.get(name);
    const isPresent =
      number === this.aboutNumber && known?.member.incarnation === incarnationOf(incarnation, life);
    if (!isPresent || known.number >= number) return;
    const member = { ...known.member, about: this.about };
    this.replace(new Map([...this.known, [name, { member: Object.freeze(member), number }]]), new Map());
  }

  /** Names of those that say something that has not been heard here. */
  unheard(rows: ReadonlyMap<string, string>): readonly string[] {
    return [...rows].flatMap(([name, value]) => {
      const row = nodeRowOf(value);
      if (row?.isAlive !== true || row.about === 0) return [];
      const known = this.known.get(name);
      return known?.member.incarnation === row.incarnation && known.number >= row.about ? [] : [name];
    });
  }

  /** Whether this is the value of a life whose end was told already: a server that has lost its last writes may have it again. */
  isOver(name: string, value: string): boolean {
    const row = nodeRowOf(value);
    return row?.isAlive === true && this.ended.get(name) === row.incarnation;
  }

  /** The table as it is now, and what was said that had not been heard: with the incarnation in front, as the server has it. */
  look(rows: ReadonlyMap<string, string>, texts: ReadonlyMap<string, string>): void {
    const now = new Map<string, Known>();
    for (const [name, value] of rows) {
      const row = nodeRowOf(value);
      if (row?.isAlive !== true || this.isOver(name, value)) continue;
      now.set(name, knownNow(name, row, this.known.get(name), texts.get(name)));
    }
    this.replace(now, rows);
  }

  private replace(now: ReadonlyMap<string, Known>, rows: ReadonlyMap<string, string>): void {
    for (const [name, { member }] of this.known)
      if (now.get(name)?.member.incarnation !== member.incarnation) this.remember(member);
    this.known = now;
    this.members.update(
      [...now.values()].map(({ member }) => member),
      ({ name }) => endIn(rows.get(name)),
    );
  }

  private remember({ name, incarnation }: Member): void {
    this.ended.delete(name);
    this.ended.set(name, incarnation);
    for (const oldest of this.ended.keys()) {
      if (this.ended.size <= ENDED_MAX) break;
      this.ended.delete(oldest);
    }
  }
}

function knownNow(name: string, row: NodeRow, before: Known | undefined, text: string | undefined): Known {
  const { incarnation, about } = row;
  const isSame = before?.member.incarnation === incarnation;
  const heard = about === 0 ? undefined : textOf(text, incarnation);
  if (isSame && (heard === undefined || before.number >= about)) return before;
  const number = heard === undefined ? 0 : about;
  return { member: Object.freeze({ name, incarnation, about: heard ?? '' }), number };
}

/** How whoever had a name has ended, by what its row says now. */
function endIn(value: string | undefined): 'down' | 'left' {
  return value === undefined ? 'left' : (nodeRowOf(value)?.before ?? 'down');
}

/** What was said by that incarnation; undefined for what another one has said. */
function textOf(text: string | undefined, incarnation: string): string | undefined {
  const end = text?.indexOf(' ') ?? -1;
  return text?.slice(0, end) === incarnation.split('.')[0] ? text?.slice(end + 1) : undefined;
}
