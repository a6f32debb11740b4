/** Who of a group gets which slots: as evenly as can be, and each keeps of its own what it may. */

/** A member, as it says of itself. @internal */
export interface SlotMember {
  readonly id: string;
  /** When it came, by its clock: the older ones are asked first. */
  readonly sinceMs: number;
  readonly owned: readonly number[];
}

/** The slots of each member, by id; together they are all from 0 to `slots - 1`. @internal */
export function assignSlots(
  slots: number,
  members: readonly SlotMember[],
): ReadonlyMap<string, readonly number[]> {
  const inTurn = members.toSorted((a, b) => a.sinceMs - b.sinceMs || (a.id < b.id ? -1 : 1));
  const least = Math.floor(slots / inTurn.length);
  const withOneMore = slots % inTurn.length;
  const shares = inTurn.map((_, place) => least + (place < withOneMore ? 1 : 0));
  const free = new Set(Array.from({ length: slots }, (_, slot) => slot));
  const given = inTurn.map(({ owned }, place) => {
    const kept = owned.toSorted((a, b) => a - b).filter((slot) => free.has(slot));
    const own = kept.slice(0, shares[place]);
    for (const slot of own) free.delete(slot);
    return own;
  });
  const rest = [...free];
  for (const [place, own] of given.entries()) own.push(...rest.splice(0, (shares[place] ?? 0) - own.length));
  return new Map(inTurn.map(({ id }, place) => [id, given[place] ?? []]));
}
