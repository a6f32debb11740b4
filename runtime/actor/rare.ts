/** What few actors need at any time, made when it is first needed: an idle actor should be small. */

import type { RestartRecord } from '../observe/restart-record.ts';
import type { TurnRecord } from '../observe/turn-record.ts';
import type { Driving } from './driving.ts';
import type { IdleTimeout } from './idle-timeout.ts';
import type { Children, Lease } from './slot.ts';
import type { Timers } from './timers.ts';
import type { Watches } from './watch.ts';

/** The rarely needed parts of one actor. */
export class Rare {
  watches: Watches | undefined = undefined;
  timers: Timers | undefined = undefined;
  idle: IdleTimeout | undefined = undefined;
  /** What drives it, where handlers are not all of it. */
  driving: Driving | undefined = undefined;
  children: Children | undefined = undefined;
  /** What it holds until it, or its generation, ends: subscriptions, timers. */
  leases: Set<Lease> | undefined = undefined;
  /** Called when the present turn has ended. */
  turnEnded: (() => void) | undefined = undefined;
  /** It ends of its own will after the present turn. */
  leaving: 'normal' | 'shutdown' | undefined = undefined;
  stopping: Promise<void> | undefined = undefined;
  /** The present life was killed: no hook runs on it any more. */
  isKilled = false;
  /** It is brought back from nothing, and had no state yet: there is none to hand to `onStop`. */
  isUnborn = false;
  /** It finishes its queue and ends, restarts or not. */
  isDraining = false;
  /** Who waits for the end of a draining one. */
  drains: (() => void)[] | undefined = undefined;
  /** Who waits until it takes turns, or has ended. */
  settled: (() => void)[] | undefined = undefined;
  restarts = 0;
  /** Turns that were disowned and still run. */
  zombies = 0;
  lastError: unknown = undefined;
  /** Of the turn that failed last, for the restart that follows. */
  lastRecord: TurnRecord | undefined = undefined;
  /** The restart under way, while spans are recorded. */
  restart: RestartRecord | undefined = undefined;
}
