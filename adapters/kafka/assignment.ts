/**
 * Who of a group gets which slots: as evenly as can be, and each keeps of its own what it may. A slot of which frames are being
 * worked on stays where it is, whatever its owner's share; the owner is told to give it up, and does so when it has none left.
 */

import { parsed } from './json.ts';

/** A member, as it says of itself. @internal */
export interface SlotMember {
  readonly id: string;
  /** When it came, by its clock: the older ones are asked first. */
  readonly sinceMs: number;
  readonly owned: readonly number[];
  /** Those of its own of which it has given out frames. */
  readonly busy: readonly number[];
}

/** @internal */
export interface SlotShare {
  readonly slots: readonly number[];
  /** Those of them that others wait for. */
  readonly surplus: readonly number[];
}

/** The slots of each member, by id; together they are all from 0 to `slots - 1`. @internal */
export function assignSlots(slots: number, members: readonly SlotMember[]): ReadonlyMap<string, SlotShare> {
  const inTurn = members.toSorted((a, b) => a.sinceMs - b.sinceMs || (a.id < b.id ? -1 : 1));
  const least = Math.floor(slots / inTurn.length);
  const withOneMore = slots % inTurn.length;
  const free = new Set(Array.from({ length: slots }, (_, slot) => slot));
  const take = (own: number[], wanted: readonly number[]): void => {
    for (const slot of wanted) if (free.delete(slot)) own.push(slot);
  };
  const parts = inTurn.map(({ owned, busy }, place) => {
    const share = least + (place < withOneMore ? 1 : 0);
    const own: number[] = [];
    take(own, ascending(busy.filter((slot) => owned.includes(slot))));
    return { share, own, surplus: own.slice(share) };
  });
  for (const [place, { share, own }] of parts.entries()) {
    const kept = ascending(inTurn[place]?.owned ?? []).filter((slot) => free.has(slot));
    take(own, kept.slice(0, Math.max(0, share - own.length)));
  }
  for (const { share, own } of parts) take(own, [...free].slice(0, Math.max(0, share - own.length)));
  // Where busy slots stay, others have less than their share, and nothing is left over.
  return new Map(inTurn.map(({ id }, place) => [id, shareOf(parts[place])]));
}

function shareOf(
  part: { readonly own: readonly number[]; readonly surplus: readonly number[] } | undefined,
): SlotShare {
  return { slots: part?.own ?? [], surplus: part?.surplus ?? [] };
}

function ascending(slots: readonly number[]): number[] {
  return slots.toSorted((a, b) => a - b);
}

/** @internal */
export function writeMember({ sinceMs, owned, busy }: Omit<SlotMember, 'id'>): string {
  return JSON.stringify({ s: sinceMs, o: owned, b: busy });
}

/** One whose words cannot be read is new, and has nothing. @internal */
export function readMember(id: string, text: string): SlotMember {
  const { s, o, b } = parsed(text);
  if (typeof s !== 'number' || !isSlots(o) || !isSlots(b))
    return { id, sinceMs: Number.MAX_SAFE_INTEGER, owned: [], busy: [] };
  return { id, sinceMs: s, owned: o, busy: b };
}

/** @internal */
export function writeShare({ slots, surplus }: SlotShare): string {
  return JSON.stringify({ o: slots, x: surplus });
}

/** @internal */
export function readShare(text: string): SlotShare {
  const { o, x } = parsed(text);
  return { slots: isSlots(o) ? o : [], surplus: isSlots(x) ? x : [] };
}

function isSlots(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((slot) => Number.isInteger(slot) && slot >= 0);
}
