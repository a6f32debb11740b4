/**
 * The one error class of Troupe and the one table behind it. A new failure is a new row: its details are typed in
 * `ErrorDetails`, its words and whether a retry may help stand in `RULES`. Code and details are API; wording is not.
 */

/** What each error carries, by code. Everything in here is safe to log: addresses, names and numbers, never payloads. */
export interface ErrorDetails {
  ERR_ACTOR_FAILED: { readonly address: string; readonly message: string };
  ERR_ACTOR_STOPPED: { readonly address: string };
  ERR_ACTOR_UNKNOWN: { readonly address: string };
  ERR_ASK_CYCLE: { readonly path: readonly string[] };
  ERR_ASK_TIMEOUT: { readonly address: string; readonly message: string; readonly timeoutMs: number };
  ERR_ASKS_IN_FLIGHT_FULL: { readonly max: number };
  ERR_GENERATION_STALE: { readonly address: string; readonly call: string };
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
  ERR_REPLY_INVALID: {
    readonly address: string;
    readonly message: string;
    readonly issues: readonly string[];
  };
  ERR_REPLY_MISSING: { readonly address: string; readonly message: string };
  ERR_RESTART_INTENSITY: { readonly address: string; readonly limit: string };
  ERR_SEND_TIMEOUT: { readonly address: string; readonly timeoutMs: number; readonly capacity: number };
  ERR_START_FAILED: { readonly address: string };
  ERR_STASH_FULL: { readonly address: string; readonly stashMax: number };
  ERR_TOPIC_INVALID: { readonly topic: string; readonly problem: string };
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
  ERR_GENERATION_STALE: {
    retryable: false,
    message: (d) =>
      `ctx.${d.call} of ${d.address} was called by a turn whose generation has ended. Watch ctx.signal and return.`,
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
  ERR_SEND_TIMEOUT: {
    retryable: true,
    message: (d) =>
      `No room at ${d.address} within ${d.timeoutMs} ms (capacity ${d.capacity}). Raise timeoutMs or capacity, or send less.`,
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
  ERR_TOPIC_INVALID: {
    retryable: false,
    message: (d) =>
      `Topic '${d.topic}' is refused: ${d.problem}. A topic is 1 to 8 segments of letters, digits, _ and -, joined by dots.`,
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
