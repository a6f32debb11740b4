/**
 * Names that no other life of any process has: a store holds those of earlier lives too. They head the ids of messages and requests, which
 * count on from there, and tell lives of a node apart.
 *
 * They are against whoever does not read what a node sends: he can neither answer nor take back its requests, nor meet its ids by chance. They are
 * no secret from whoever does read, since one id is enough to know the next: that is the business of the broker's permissions.
 */

import type { Host } from '../../src/protocol/clock.ts';

const RADIX = 36;
/** Random characters: 129 bits. An address of a node has place for 32. */
const RANDOM_CHARACTERS = 25;

/** Tells one bus or system, in one life of its process, from all others. It is drawn once: an id costs no draw. */
export function nameOfLife({ random }: Pick<Host, 'random'>): string {
  let name = '';
  for (let i = 0; i < RANDOM_CHARACTERS; i++) name += Math.floor(random() * RADIX).toString(RADIX);
  return name;
}
