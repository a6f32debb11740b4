/**
 * The one error class of Troupe and the one table behind it. A new failure is a new row: its details are typed in
 * `ErrorDetails`, its words and whether a retry may help stand in `RULES`. Code and details are API; wording is not.
 */

/** What each error carries, by code. Everything in here is safe to log: addresses, names and numbers, never payloads. */
export interface ErrorDetails {
  ERR_ACTOR_FAILED: { readonly address: string; readonly message: string };
  ERR_ACTOR_KILLED: { readonly address: string };
  ERR_ACTOR_STOPPED: { readonly address: string };
  ERR_ACTOR_UNKNOWN: { readonly address: string };
  ERR_ASK_CYCLE: { readonly path: readonly string[] };
  ERR_ASK_OUTRUN: { readonly address: string; readonly message: string };
  ERR_ASK_TIMEOUT: { readonly address: string; readonly message: string; readonly timeoutMs: number };
  ERR_ASKS_IN_FLIGHT_FULL: { readonly max: number };
  ERR_DEAD_LETTER_UNKNOWN: { readonly id: string };
  ERR_CHILDREN_FULL: { readonly address: string; readonly childrenMax: number };
  ERR_GENERATION_STALE: { readonly address: string; readonly call: string };
  ERR_LINK_DIED: { readonly address: string; readonly linked: string; readonly reason: string };
  ERR_MAILBOX_FULL: { readonly address: string; readonly capacity: number };
  ERR_MAILBOX_WAITERS_FULL: { readonly address: string; readonly waitersMax: number };
  ERR_MESSAGE_DROPPED: { readonly address: string; readonly message: string; readonly reason: string };
  ERR_MESSAGE_INVALID: { readonly subject: string; readonly issues: readonly string[] };
  ERR_MESSAGE_UNKNOWN: {
    readonly protocol: string;
    readonly message: string;
    readonly known: readonly string[];
  };
  ERR_NAME_TAKEN: { readonly name: string; readonly holder: string };
  ERR_OPTION_INVALID: { readonly option: string; readonly expected: string; readonly given: string };
  ERR_POOL_DESERTED: { readonly address: string; readonly size: number };
  ERR_REPLAY_REFUSED: { readonly id: string; readonly message: string; readonly problem: string };
  ERR_REPLAYS_EXHAUSTED: { readonly id: string; readonly message: string; readonly replaysMax: number };
  ERR_REPLY_INVALID: {
    readonly address: string;
    readonly message: string;
    readonly issues: readonly string[];
  };
  ERR_REPLY_MISSING: { readonly address: string; readonly message: string };
  ERR_RESTART_INTENSITY: { readonly address: string; readonly limit: string };
  ERR_ROUTING_MISMATCH: { readonly protocol: string; readonly message: string; readonly routing: string };
  ERR_SEND_TIMEOUT: { readonly address: string; readonly timeoutMs: number; readonly capacity: number };
  ERR_SHUTDOWN_TIMEOUT: { readonly phase: string; readonly task: string; readonly timeoutMs: number };
  ERR_START_FAILED: { readonly address: string };
  ERR_STASH_FULL: { readonly address: string; readonly stashMax: number };
  ERR_TIMERS_FULL: { readonly address: string; readonly timersMax: number };
  ERR_TEST_FAILED: { readonly seed: number; readonly finding: string };
  ERR_TOPIC_INVALID: { readonly topic: string; readonly problem: string };
  ERR_TREE_TOO_DEEP: { readonly address: string; readonly depthMax: number };
  ERR_TURN_ENDED: { readonly address: string; readonly call: string };
  ERR_TURN_TIMEOUT: { readonly address: string; readonly message: string; readonly timeoutMs: number };
}

/** Every code a `TroupeError` can carry. */
export type ErrorCode = keyof ErrorDetails;

interface Rule<C extends ErrorCode> {
  /** Whether the same call may succeed later without anybody changing anything. */
  readonly retryable: boolean;
  readonly message: (details: ErrorDetails[C]) => string;
}

const RULES: { readonly [C in ErrorCode]: Rule<C> } = {
  ERR_ACTOR_FAILED: {
    retryable: false,
    message: (d) =>
      `${d.address} failed while it handled '${d.message}'. The cause says why; its supervisor has decided.`,
  },
  ERR_ACTOR_KILLED: {
    retryable: true,
    message: (d) =>
      `${d.address} was killed, with its turn. Its supervisor has decided whether it comes back; see system.inspect.`,
  },
  ERR_ACTOR_STOPPED: {
    retryable: false,
    message: (d) =>
      d.address === '/'
        ? 'The system has shut down, or is about to. Start another one.'
        : `${d.address} has stopped. Get a new ref, or watch the actor to hear of its end.`,
  },
  ERR_ACTOR_UNKNOWN: {
    retryable: true,
    message: (d) => `No actor lives at ${d.address}. Check the name, or start the actor first.`,
  },
  ERR_ASK_CYCLE: {
    retryable: false,
    message: (d) =>
      `An ask would wait for itself: ${d.path.join(' -> ')}. Use tell for one of these hops, or reply later by ctx.replyTo.`,
  },
  ERR_ASK_OUTRUN: {
    retryable: false,
    message: (d) =>
      `Another worker of ${d.address} has answered '${d.message}' first. Watch ctx.signal and return: nobody waits for this turn.`,
  },
  ERR_ASK_TIMEOUT: {
    retryable: true,
    message: (d) =>
      `${d.address} did not reply to '${d.message}' within ${d.timeoutMs} ms. Raise timeoutMs, or look at its mailbox.`,
  },
  ERR_ASKS_IN_FLIGHT_FULL: {
    retryable: true,
    message: (d) =>
      `${d.max} asks of this system are in flight. Await some before asking more, or raise asksInFlightMax.`,
  },
  ERR_DEAD_LETTER_UNKNOWN: {
    retryable: false,
    message: (d) =>
      `No dead letter '${d.id}' is kept. It was replayed or discarded, or fell off; deadLetters.list() has those there are.`,
  },
  ERR_CHILDREN_FULL: {
    retryable: true,
    message: (d) =>
      `${d.address} has all the children it may have (childrenMax ${d.childrenMax}). Wait until one has ended, or raise childrenMax.`,
  },
  ERR_GENERATION_STALE: {
    retryable: false,
    message: (d) =>
      `ctx.${d.call} of ${d.address} was called by a turn whose generation has ended. Watch ctx.signal and return.`,
  },
  ERR_LINK_DIED: {
    retryable: false,
    message: (d) =>
      `${d.linked}, to which ${d.address} was linked, ended (${d.reason}). The cause says why; use ctx.watch to survive it.`,
  },
  ERR_MAILBOX_FULL: {
    retryable: true,
    message: (d) =>
      `Mailbox of ${d.address} is full (capacity ${d.capacity}). Await send() instead of tell(), or raise mailbox.capacity.`,
  },
  ERR_MAILBOX_WAITERS_FULL: {
    retryable: true,
    message: (d) =>
      `${d.waitersMax} sends already wait for room at ${d.address} (waitersMax ${d.waitersMax}). Await each send before the next.`,
  },
  ERR_MESSAGE_DROPPED: {
    retryable: true,
    message: (d) =>
      `'${d.message}' to ${d.address} became a dead letter (${d.reason}). Find it in system.deadLetters, and send it again if it still matters.`,
  },
  ERR_MESSAGE_INVALID: {
    retryable: false,
    message: (d) =>
      `${d.subject} does not fit its schema: ${d.issues.join('; ')}. Send what the schema accepts.`,
  },
  ERR_MESSAGE_UNKNOWN: {
    retryable: false,
    message: (d) =>
      `Protocol '${d.protocol}' has no message '${d.message}' for this verb. It has: ${d.known.join(', ') || '(none)'}.`,
  },
  ERR_NAME_TAKEN: {
    retryable: true,
    message: (d) =>
      `The name '${d.name}' is held by ${d.holder}. Choose another name, or stop the holder first.`,
  },
  ERR_OPTION_INVALID: {
    retryable: false,
    message: (d) => `Option ${d.option} must be ${d.expected}; it was given ${d.given}.`,
  },
  ERR_POOL_DESERTED: {
    retryable: true,
    message: (d) =>
      `All ${d.size} workers of ${d.address} have ended. The cause is the last one's failure: mend that, or raise the limits.`,
  },
  ERR_REPLAY_REFUSED: {
    retryable: false,
    message: (d) => `The dead letter '${d.id}' ('${d.message}') cannot be replayed: ${d.problem}.`,
  },
  ERR_REPLAYS_EXHAUSTED: {
    retryable: false,
    message: (d) =>
      `The dead letter '${d.id}' ('${d.message}') was replayed ${d.replaysMax} times and died each time. Mend what fails, then send a new message.`,
  },
  ERR_REPLY_INVALID: {
    retryable: false,
    message: (d) =>
      `${d.address} answered '${d.message}' with a value that does not fit the reply schema: ${d.issues.join('; ')}. Return what the schema accepts.`,
  },
  ERR_REPLY_MISSING: {
    retryable: false,
    message: (d) =>
      `The turn of '${d.message}' at ${d.address} ended without a reply. Return the reply, or return ctx.replyTo to answer later.`,
  },
  ERR_RESTART_INTENSITY: {
    retryable: false,
    message: (d) =>
      `${d.address} gave up on a child: ${d.limit}. Mend the child's last failure, which is the cause, or raise the limit.`,
  },
  ERR_ROUTING_MISMATCH: {
    retryable: false,
    message: (d) =>
      `'${d.message}' of protocol '${d.protocol}' cannot be asked of a pool with routing '${d.routing}': every worker would reply. Tell it, or use 'scatter-gather-first'.`,
  },
  ERR_SEND_TIMEOUT: {
    retryable: true,
    message: (d) =>
      `No room at ${d.address} within ${d.timeoutMs} ms (capacity ${d.capacity}). Raise timeoutMs or capacity, or send less.`,
  },
  ERR_SHUTDOWN_TIMEOUT: {
    retryable: false,
    message: (d) =>
      `The task '${d.task}' of the shutdown phase '${d.phase}' did not settle within ${d.timeoutMs} ms and is not waited for. Watch its signal, or raise its timeoutMs or deadlineMs.`,
  },
  ERR_START_FAILED: {
    retryable: true,
    message: (d) =>
      `${d.address} failed to start. The cause says why: mend what \`state\` threw, or raise startTimeoutMs if that ran out.`,
  },
  ERR_STASH_FULL: {
    retryable: false,
    message: (d) =>
      `The stash of ${d.address} is full (stashMax ${d.stashMax}). Unstash earlier, or raise mailbox.stashMax.`,
  },
  ERR_TIMERS_FULL: {
    retryable: false,
    message: (d) =>
      `${d.address} has ${d.timersMax} timers running. Cancel some, or let one timer serve several of its matters.`,
  },
  ERR_TEST_FAILED: {
    retryable: false,
    message: (d) =>
      `${d.finding} Replay it by TROUPE_SEED=${d.seed}, or createTestSystem({ seed: ${d.seed} }).`,
  },
  ERR_TOPIC_INVALID: {
    retryable: false,
    message: (d) =>
      `Topic '${d.topic}' is refused: ${d.problem}. A topic is 1 to 8 segments of letters, digits, _ and -, joined by dots.`,
  },
  ERR_TREE_TOO_DEEP: {
    retryable: false,
    message: (d) =>
      `${d.address} may have no children: ${d.depthMax} actors are above one another already. Look for an agent that spawns itself.`,
  },
  ERR_TURN_ENDED: {
    retryable: false,
    message: (d) =>
      `ctx.${d.call} of ${d.address} belongs to a running turn, and that turn has ended. Call it before the handler returns.`,
  },
  ERR_TURN_TIMEOUT: {
    retryable: true,
    message: (d) =>
      `The turn of '${d.message}' at ${d.address} ran longer than ${d.timeoutMs} ms and was disowned. Watch ctx.signal and return, or raise turnTimeoutMs.`,
  },
};

/** The one error Troupe throws or rejects with. Match on `code`; read `details`; the wording may change. */
export class TroupeError<C extends ErrorCode = ErrorCode> extends Error {
  override readonly name = 'TroupeError';
  readonly code: C;
  readonly details: ErrorDetails[C];
  /** Whether the same call may succeed later without anybody changing anything. */
  readonly retryable: boolean;

  constructor(code: C, details: ErrorDetails[C], options?: { readonly cause?: unknown }) {
    super(RULES[code].message(details), options);
    this.code = code;
    this.details = details;
    this.retryable = RULES[code].retryable;
  }
}

/** Whether `error` is a `TroupeError`, of this code if one is named. */
export function isTroupeError<C extends ErrorCode>(error: unknown, code?: C): error is TroupeError<C> {
  return error instanceof TroupeError && (code === undefined || error.code === code);
}
