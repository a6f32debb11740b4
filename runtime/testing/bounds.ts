/** The bounds of the test kit, with their units and reasons. What reaches one fails the test; nothing is lost silently. */

/** Virtual milliseconds that `expect` waits unless told: they cost nothing, and pass only as far as they must. */
export const EXPECT_WITHIN_MS = 3_000;
/** Virtual milliseconds within which `runUntilIdle` must come to an end unless told: an hour of retries and backoff. */
export const IDLE_WITHIN_MS = 3_600_000;
/** Turns and tasks until everything has settled. Actors that write to each other for ever are found in seconds. */
export const SETTLE_TURNS_MAX = 250_000;
/** Timers that fire until an awaited end: a periodic timer that nobody stops is found in seconds. */
export const TIMERS_FIRED_MAX = 100_000;
/** Macrotasks without anything to do after which a system counts as settled. */
export const QUIET_ROUNDS = 2;
/** Lines of the trace that are kept: the last ones. */
export const TRACE_LINES_MAX = 10_000;
/** Messages a probe remembers. One more fails its turn. */
export const PROBE_MESSAGES_MAX = 100_000;
/** Findings that the checker keeps: the first ones say what is wrong. */
export const FINDINGS_MAX = 20;
/** Schedules that `explore` tries unless told. */
export const SCHEDULES_MAX = 10_000;
/** Share of turns after which the next one follows at once, before promises go on, as in one slice of the real scheduler. */
export const BURST_SHARE = 0.25;
/** Messages that a failed expectation lists. */
export const LISTED_MAX = 10;
