/** What few actors need at any time, made when it is first needed: an idle actor should be small. */

import type { Children, Lease } from './slot.ts';
import type { Watches } from './watch.ts';

/** The rarely needed parts of one actor. */
export class Rare {
  watches: Watches | undefined = undefined;
  children: Children | undefined = undefined;
  /** What it holds elsewhere: subscriptions. */
  leases: Set<Lease> | undefined = undefined;
  /** Called when the present turn has ended. */
  turnEnded: (() => void) | undefined = undefined;
  /** It ends of its own will after the present turn. */
  leaving: 'normal' | 'shutdown' | undefined = undefined;
  stopping: Promise<void> | undefined = undefined;
  restarts = 0;
  /** Turns that were disowned and still run. */
  zombies = 0;
  lastError: unknown = undefined;
}
