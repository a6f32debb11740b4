/**
 * Time and chance as the runtime sees them. The engine reads no other clock, so a virtual one can replace it whole.
 */

import type { EndSignal } from './shutdown.ts';

/** A timer that was started; only its clock knows what is inside. */
export type TimerHandle = object;

/** Milliseconds that never run backwards, the wall clock, and timers. */
export interface Clock {
  /** Monotonic milliseconds since an arbitrary start; fractions allowed. */
  now(): number;
  /** Milliseconds since 1970, for people and other machines. */
  wallNow(): number;
  /** Calls `fire` once, `delayMs` (0 to 2^31 - 1) from now, never before this call returned. */
  setTimer(delayMs: number, fire: () => void): TimerHandle;
  /** After this returns the timer never fires. Clearing twice is harmless. */
  clearTimer(timer: TimerHandle): void;
}

/** What the engine takes from its surroundings: time, chance, and a place in the event loop's two queues. */
export interface Host {
  readonly clock: Clock;
  /** Uniform in [0, 1). That of a process is nothing that anybody can guess; that of a test follows from its seed. */
  readonly random: () => number;
  /** Runs `task` after the present synchronous code, before timers and sockets. */
  readonly soon: (task: () => void) => void;
  /** Runs `task` in a macrotask of its own, after timers and sockets had their go. */
  readonly later: (task: () => void) => void;
  /** The process around the system; absent where there is none to take signals from. */
  readonly process?: HostProcess;
}

/** The process, as far as it may ask a system to end, and the system may end it. */
export interface HostProcess {
  /** Calls `listener` for each such signal, instead of what the process does by itself, until the answer is called. */
  onSignal(signal: EndSignal, listener: () => void): () => void;
  /** Lets the process end with this code when nothing keeps it and nobody listens for signals; in `withinMs` at the latest. */
  end(code: number, withinMs: number): void;
  /** Ends the process now. */
  exit(code: number): void;
}
