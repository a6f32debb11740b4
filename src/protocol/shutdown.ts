/**
 * The order in which a system ends, as words. Phases run one after the other, the tasks of one phase at the same time;
 * a task that fails or takes too long is reported and holds nothing up.
 */

/** The phases of a shutdown, in their order. */
export const SHUTDOWN_PHASES = [
  'announce',
  'stop-intake',
  'drain',
  'checkpoint',
  'hand-off',
  'stop-actors',
  'flush',
  'close',
  'exit',
] as const;

/**
 * A phase of a shutdown: `announce` (tell others that this one is leaving), `stop-intake` (calls from outside are
 * refused from here on), `drain` (mailboxes are worked off), `checkpoint`, `hand-off`, `stop-actors` (the tree ends),
 * `flush` (what is still to be written), `close` (connections), `exit`.
 */
export type ShutdownPhase = (typeof SHUTDOWN_PHASES)[number];

/** Work of a phase. Its signal is aborted when its time is up; it is not waited for any longer then. */
export type ShutdownTask = (signal: AbortSignal) => unknown;

/** How a task of a phase runs. */
export interface ShutdownTaskOptions {
  /** Milliseconds it may take; 5,000 unless said, and never longer than the shutdown has left. `Infinity`: what is left. */
  readonly timeoutMs?: number | undefined;
  /** Tasks of the same phase, by name, that settle or time out before this one starts. */
  readonly after?: readonly string[] | undefined;
}

/** How long a shutdown may take. */
export interface ShutdownOptions {
  /** Milliseconds that mailboxes may be worked off; 0 unless said: running turns may finish, what is queued is dead. */
  readonly drainMs?: number | undefined;
  /** Milliseconds for all of it; 60,000 unless said. Whoever has not ended then is killed, and no longer waited for. */
  readonly deadlineMs?: number | undefined;
}

/** A signal of the operating system that asks a process to end. */
export type EndSignal = 'SIGTERM' | 'SIGINT';

/** Their numbers: a process that one of them ended exits with 128 and that. @internal */
export const END_SIGNALS: { readonly [Name in EndSignal]: number } = { SIGTERM: 15, SIGINT: 2 };
