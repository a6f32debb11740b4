/** Names that no other life of any process has: a store holds those of earlier lives too. */

import type { Host } from '../../src/protocol/clock.ts';

const RADIX = 36;
/** Random characters: with 12 of 36 each, a billion lives begun in one millisecond meet once in millions of years. */
const RANDOM_CHARACTERS = 12;

/** Tells one bus, in one life of its process, from all others: the time of its start, and chance. */
export function nameOfLife({ clock, random }: Host): string {
  let name = Math.floor(clock.wallNow()).toString(RADIX);
  for (let i = 0; i < RANDOM_CHARACTERS; i++) name += Math.floor(random() * RADIX).toString(RADIX);
  return name;
}
