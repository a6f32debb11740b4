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
  ERR_AGENT_UNKNOWN: {
    readonly agent: string;
    readonly node: string;
    readonly asker: string;
    readonly known: readonly string[];
  };
  ERR_ASK_CYCLE: { readonly path: readonly string[] };
  ERR_ASK_OUTRUN: { readonly address: string; readonly message: string };
  ERR_ASK_TIMEOUT: { readonly address: string; readonly message: string; readonly timeoutMs: number };
  ERR_ASKS_IN_FLIGHT_FULL: { readonly max: number };
  ERR_BROKER_DENIED: { readonly broker: string; readonly url: string; readonly problem: string };
  ERR_BROKER_UNAVAILABLE: { readonly broker: string; readonly url: string; readonly problem: string };
  ERR_BUS_CLOSED: { readonly name: string };
  ERR_CLOUD_EVENT_INVALID: { readonly problem: string };
  ERR_CODEC_FAILED: { readonly codec: string; readonly call: 'encode' | 'decode'; readonly problem: string };
  ERR_CODEC_UNKNOWN: { readonly codec: string; readonly known: readonly string[] };
  ERR_CONFIRM_TIMEOUT: {
    readonly topic: string;
    readonly id: string;
    readonly timeoutMs: number;
    readonly handled: number;
    readonly failed: number;
  };
  ERR_COST_EXCESSIVE: {
    readonly address: string;
    readonly message: string;
    readonly cost: number;
    readonly tokens: number;
  };
  ERR_DEAD_LETTER_UNKNOWN: { readonly id: string };
  ERR_CHILDREN_FULL: { readonly address: string; readonly childrenMax: number };
  ERR_DRIVER_MISSING: { readonly package: string };
  ERR_EPOCH_STALE: {
    readonly kind: string;
    readonly key: string;
    readonly epoch: number;
    readonly heldEpoch: number;
  };
  ERR_FRAME_INVALID: { readonly problem: string };
  ERR_FRAME_TOO_LARGE: { readonly sizeBytes: number; readonly sizeBytesMax: number };
  ERR_GENERATION_STALE: { readonly address: string; readonly call: string };
  ERR_KEYS_FULL: { readonly group: string; readonly keysMax: number };
  ERR_LINK_DIED: { readonly address: string; readonly linked: string; readonly reason: string };
  ERR_MAILBOX_FULL: { readonly address: string; readonly capacity: number };
  ERR_MAILBOX_WAITERS_FULL: { readonly address: string; readonly waitersMax: number };
  ERR_MESSAGE_DROPPED: { readonly address: string; readonly message: string; readonly reason: string };
  ERR_MESSAGE_INVALID: { readonly subject: string; readonly issues: readonly string[] };
  ERR_MESSAGE_REJECTED: { readonly address: string; readonly message: string };
  ERR_MESSAGE_STORED: { readonly id: string };
  ERR_MESSAGE_UNKNOWN: {
    readonly protocol: string;
    readonly message: string;
    readonly known: readonly string[];
  };
  ERR_NAME_TAKEN: { readonly name: string; readonly holder: string };
  ERR_NODE_DOWN: { readonly node: string };
  ERR_OPTION_INVALID: { readonly option: string; readonly expected: string; readonly given: string };
  ERR_OUTBOX_FULL: { readonly destination: string; readonly waiting: number };
  ERR_PAYLOAD_TOO_LARGE: { readonly sizeBytes: number; readonly sizeBytesMax: number };
  ERR_PAYLOAD_UNSERIALIZABLE: { readonly path: string; readonly given: string };
  ERR_POOL_DESERTED: { readonly address: string; readonly size: number };
  ERR_PROTOCOL_MISMATCH: {
    readonly address: string;
    readonly message: string;
    readonly protocol: string;
    readonly found: string;
  };
  ERR_PULLS_FULL: { readonly pattern: string; readonly pullsMax: number };
  ERR_REPLAY_REFUSED: { readonly id: string; readonly message: string; readonly problem: string };
  ERR_REPLAYS_EXHAUSTED: { readonly id: string; readonly message: string; readonly replaysMax: number };
  ERR_REPLY_INVALID: {
    readonly address: string;
    readonly message: string;
    readonly issues: readonly string[];
  };
  ERR_REPLY_MISSING: { readonly address: string; readonly message: string };
  ERR_REPLY_UNWANTED: { readonly topic: string; readonly id: string };
  ERR_REQUEST_FAILED: { readonly topic: string; readonly subscribers: number };
  ERR_REQUEST_OUTRUN: { readonly topic: string };
  ERR_REQUEST_TIMEOUT: { readonly topic: string; readonly timeoutMs: number; readonly subscribers: number };
  ERR_RESTART_INTENSITY: { readonly address: string; readonly limit: string };
  ERR_ROUTING_MISMATCH: { readonly protocol: string; readonly message: string; readonly routing: string };
  ERR_SCHEMA_MISSING: { readonly topic: string };
  ERR_SEND_TIMEOUT: { readonly address: string; readonly timeoutMs: number; readonly capacity: number };
  ERR_SHARD_NOT_OWNED: { readonly group: string; readonly shard: number };
  ERR_SHUTDOWN_TIMEOUT: { readonly phase: string; readonly task: string; readonly timeoutMs: number };
  ERR_SNAPSHOT_CORRUPT: {
    readonly store: string;
    readonly kind: string;
    readonly key: string;
    readonly problem: string;
  };
  ERR_SNAPSHOT_TOO_LARGE: {
    readonly kind: string;
    readonly key: string;
    readonly sizeBytes: number;
    readonly sizeBytesMax: number;
  };
  ERR_START_FAILED: { readonly address: string };
  ERR_STASH_FULL: { readonly address: string; readonly stashMax: number };
  ERR_STORE_BUSY: { readonly store: string; readonly waiting: number; readonly waitingBytes: number };
  ERR_STORE_CLOSED: { readonly store: string };
  ERR_STORE_FAILED: { readonly store: string; readonly problem: string };
  ERR_STORE_UNUSABLE: { readonly store: string; readonly problem: string };
  ERR_STREAM_BROKEN_OFF: { readonly address: string; readonly message: string };
  ERR_STREAM_TIMEOUT: {
    readonly address: string;
    readonly message: string;
    readonly timeoutMs: number;
    readonly parts: number;
  };
  ERR_SUBSCRIBER_MISSING: { readonly topic: string };
  ERR_TIMERS_FULL: { readonly address: string; readonly timersMax: number };
  ERR_TEST_FAILED: { readonly seed: number; readonly finding: string };
  ERR_TOPIC_INVALID: { readonly topic: string; readonly problem: string };
  ERR_TREE_TOO_DEEP: { readonly address: string; readonly depthMax: number };
  ERR_TURN_ENDED: { readonly address: string; readonly call: string };
  ERR_TURN_TIMEOUT: { readonly address: string; readonly message: string; readonly timeoutMs: number };
  ERR_WATCHES_FULL: { readonly address: string; readonly max: number };
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
  ERR_AGENT_UNKNOWN: {
    retryable: false,
    message: (d) =>
      `Node '${d.node}' cannot start agent '${d.agent}' for node '${d.asker}': it knows ${d.known.join(', ') || 'no agent'}. Name it in the agents of createSystem on node '${d.node}'.`,
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
  ERR_BROKER_DENIED: {
    retryable: false,
    message: (d) =>
      `The ${d.broker} at ${d.url} refuses this client: ${d.problem}. Check user, password, certificate and permissions.`,
  },
  ERR_BROKER_UNAVAILABLE: {
    retryable: true,
    message: (d) =>
      `The ${d.broker} at ${d.url} cannot be used: ${d.problem}. Check that it runs, and that the address is right.`,
  },
  ERR_BUS_CLOSED: {
    retryable: false,
    message: (d) => `The bus '${d.name}' is closed, or is about to be. Connect another one.`,
  },
  ERR_CODEC_FAILED: {
    retryable: false,
    message: (d) =>
      `The codec '${d.codec}' failed to ${d.call} a payload: ${d.problem}. Mend the codec, or see that all nodes mean the same format by '${d.codec}'.`,
  },
  ERR_CODEC_UNKNOWN: {
    retryable: false,
    message: (d) =>
      `A payload was written by the codec '${d.codec}', and this node reads ${d.known.join(', ')}. Give it that codec too: codecs: [{ name: '${d.codec}', encode, decode }].`,
  },
  ERR_CONFIRM_TIMEOUT: {
    retryable: false,
    message: (d) =>
      `Message ${d.id}, published to '${d.topic}', was not handled by all within ${d.timeoutMs} ms (${d.handled} handled, ${d.failed} failed so far). It stays published; raise timeoutMs, or do not wait.`,
  },
  ERR_CLOUD_EVENT_INVALID: {
    retryable: false,
    message: (d) => `This is no CloudEvent 1.0: ${d.problem}. Look at what made it.`,
  },
  ERR_COST_EXCESSIVE: {
    retryable: false,
    message: (d) =>
      `'${d.message}' costs ${d.cost} tokens, and the bucket of ${d.address} holds ${d.tokens} at most. Split the message, or raise rateLimit.tokens.`,
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
  ERR_DRIVER_MISSING: {
    retryable: false,
    message: (d) => `The package '${d.package}' cannot be loaded. Run: npm install ${d.package}`,
  },
  ERR_EPOCH_STALE: {
    retryable: false,
    message: (d) =>
      `The state of ${d.kind} ${JSON.stringify(d.key)} is not held by this claim of epoch ${d.epoch}: ${heldBy(d)}. Stop this actor; whoever owns the key now goes on.`,
  },
  ERR_FRAME_INVALID: {
    retryable: false,
    message: (d) =>
      `What has arrived is no frame: ${d.problem}. Check that all nodes run compatible versions.`,
  },
  ERR_FRAME_TOO_LARGE: {
    retryable: false,
    message: (d) =>
      `A message of ${d.sizeBytes} bytes is above the ${d.sizeBytesMax} that a frame may have. Store the content, and send its name.`,
  },
  ERR_GENERATION_STALE: {
    retryable: false,
    message: (d) =>
      `ctx.${d.call} of ${d.address} was called by a turn whose generation has ended. Watch ctx.signal and return.`,
  },
  ERR_KEYS_FULL: {
    retryable: true,
    message: (d) =>
      `${d.keysMax} keyed actors of '${d.group}' are at work here, and none of them is idle. Try again later, raise keysMax, or use a broker and more nodes.`,
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
  ERR_MESSAGE_REJECTED: {
    retryable: false,
    message: (d) =>
      `${d.address} rejected '${d.message}': the message is at fault, not the actor. The cause says why; mend the message before it is sent again.`,
  },
  ERR_MESSAGE_STORED: {
    retryable: false,
    message: (d) =>
      `The store holds a message of the id '${d.id}' already. Give each message an id of its own, unlike those of earlier runs.`,
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
  ERR_NODE_DOWN: {
    retryable: true,
    message: (d) =>
      `Node '${d.node}' is not there: it was lost, has left, or never came. See system.nodes, and wait for its 'node-up' event.`,
  },
  ERR_OPTION_INVALID: {
    retryable: false,
    message: (d) => `Option ${d.option} must be ${d.expected}; it was given ${d.given}.`,
  },
  ERR_OUTBOX_FULL: {
    retryable: true,
    message: (d) =>
      `${d.waiting} messages wait for the broker already, so none is taken for ${d.destination}. Await what you send.`,
  },
  ERR_PAYLOAD_TOO_LARGE: {
    retryable: false,
    message: (d) =>
      `The payload has ${d.sizeBytes} bytes as JSON; ${d.sizeBytesMax} are allowed. Send a reference to the data, or raise payloadBytesMax.`,
  },
  ERR_PAYLOAD_UNSERIALIZABLE: {
    retryable: false,
    message: (d) =>
      `JSON cannot give back ${d.path} as it is: ${d.given}. Send plain objects, lists, strings, finite numbers, booleans and null.`,
  },
  ERR_POOL_DESERTED: {
    retryable: true,
    message: (d) =>
      `All ${d.size} workers of ${d.address} have ended. The cause is the last one's failure: mend that, or raise the limits.`,
  },
  ERR_PROTOCOL_MISMATCH: {
    retryable: false,
    message: (d) =>
      `${d.address} was sent '${d.message}' of protocol '${d.protocol}', and it knows ${d.found}. Run the same version of the protocol on both nodes.`,
  },
  ERR_PULLS_FULL: {
    retryable: true,
    message: (d) =>
      `${d.pullsMax} calls of next() wait at one iterator of '${d.pattern}'. Await some of them, or use for await.`,
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
  ERR_REPLY_UNWANTED: {
    retryable: false,
    message: (d) =>
      `Message ${d.id} of '${d.topic}' is no request: nobody waits for a reply. Look at message.isRequest, or publish the answer to a topic.`,
  },
  ERR_REQUEST_FAILED: {
    retryable: false,
    message: (d) =>
      `None of the ${d.subscribers} subscribers of '${d.topic}' answers the request. The cause is the last one's failure.`,
  },
  ERR_REQUEST_OUTRUN: {
    retryable: false,
    message: (d) =>
      `Another subscriber of '${d.topic}' has answered the request first. Watch message.signal and return: nobody waits for this handler.`,
  },
  ERR_REQUEST_TIMEOUT: {
    retryable: true,
    message: (d) =>
      `No reply from ${d.subscribers === 0 ? 'subscribers elsewhere' : `the ${d.subscribers} subscribers`} of '${d.topic}' within ${d.timeoutMs} ms. Raise timeoutMs, or see that a handler calls message.reply.`,
  },
  ERR_RESTART_INTENSITY: {
    retryable: false,
    message: (d) =>
      `${d.address} gave up on a child: ${d.limit}. Mend the child's last failure, which is the cause, or raise the limit.`,
  },
  ERR_ROUTING_MISMATCH: {
    retryable: false,
    message: (d) =>
      `'${d.message}' of protocol '${d.protocol}' cannot be asked of a pool with routing '${d.routing}': every worker would reply. Tell it, or use another routing: 'scatter-gather-first' takes the first reply to an ask.`,
  },
  ERR_SCHEMA_MISSING: {
    retryable: false,
    message: (d) =>
      `No schema is for '${d.topic}', and this bus is strict. Add one to schemas, or connect with validate: 'lenient'.`,
  },
  ERR_SEND_TIMEOUT: {
    retryable: true,
    message: (d) =>
      `No room at ${d.address} within ${d.timeoutMs} ms (capacity ${d.capacity}). Raise timeoutMs or capacity, or send less.`,
  },
  ERR_SHARD_NOT_OWNED: {
    retryable: false,
    message: (d) =>
      `The shard ${d.shard} of '${d.group}' is not owned by this node. Read it between 'granted' and 'lost' of its claim.`,
  },
  ERR_SHUTDOWN_TIMEOUT: {
    retryable: false,
    message: (d) =>
      `The task '${d.task}' of the shutdown phase '${d.phase}' did not settle within ${d.timeoutMs} ms and is not waited for. Watch its signal, or raise its timeoutMs or deadlineMs.`,
  },
  ERR_SNAPSHOT_CORRUPT: {
    retryable: false,
    message: (d) =>
      `The snapshot of ${d.kind} ${JSON.stringify(d.key)} in the store ${d.store} is damaged: ${d.problem}. It was left as it is. Put a copy in its place, or save or remove it.`,
  },
  ERR_SNAPSHOT_TOO_LARGE: {
    retryable: false,
    message: (d) =>
      `The snapshot of ${d.kind} ${JSON.stringify(d.key)} has ${d.sizeBytes} bytes (at most ${d.sizeBytesMax}). Keep less in the state, or raise snapshotBytesMax.`,
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
  ERR_STORE_BUSY: {
    retryable: true,
    message: (d) =>
      `${d.waiting} changes (${d.waitingBytes} bytes) wait to become safe in the store ${d.store}. Await some before making more, or raise waitingMax or waitingBytesMax.`,
  },
  ERR_STORE_CLOSED: {
    retryable: false,
    message: (d) => `The store ${d.store} was closed. Open it again, or close it last.`,
  },
  ERR_STORE_FAILED: {
    retryable: true,
    message: (d) =>
      `The store ${d.store} failed: ${d.problem}. Nothing of this change was kept. Look at the disk's space and health.`,
  },
  ERR_STORE_UNUSABLE: {
    retryable: false,
    message: (d) => `The store ${d.store} cannot be opened: ${d.problem}.`,
  },
  ERR_STREAM_BROKEN_OFF: {
    retryable: false,
    message: (d) =>
      `The reader of stream '${d.message}' of ${d.address} has broken off: there is no result, and nobody waits for parts. Read to the end for a result; in a handler, return.`,
  },
  ERR_STREAM_TIMEOUT: {
    retryable: true,
    message: (d) =>
      `${d.address} did not end stream '${d.message}' within ${d.timeoutMs} ms, after ${d.parts} parts. Raise timeoutMs, or read faster: a part that is not taken holds up the next one.`,
  },
  ERR_SUBSCRIBER_MISSING: {
    retryable: true,
    message: (d) =>
      `Nobody is subscribed to '${d.topic}', so nobody can answer. Check the topic, or subscribe before the request.`,
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
  ERR_WATCHES_FULL: {
    retryable: true,
    message: (d) =>
      `${d.address} cannot be watched: this node watches ${d.max} actors of other nodes already. Unwatch some, or watch one that watches them there.`,
  },
};

function heldBy({ epoch, heldEpoch }: ErrorDetails['ERR_EPOCH_STALE']): string {
  if (heldEpoch > epoch) return `an owner of epoch ${heldEpoch} has been there since`;
  return heldEpoch === epoch
    ? 'another owner has the same epoch'
    : 'it was never activated, or the store has lost it';
}

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
  try {
    return error instanceof TroupeError && (code === undefined || error.code === code);
  } catch {
    return false; // a proxy, whose own code was run by the question
  }
}
