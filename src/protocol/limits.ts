/** Every default bound of the runtime, with its unit and the reason for its value. */

/** User messages a mailbox holds. Deep enough to absorb a burst, shallow enough that waiting shows early. */
export const MAILBOX_CAPACITY = 1_000;
/** Slots beyond the capacity for `critical` alone, so that an alert never finds a mailbox full of less urgent work. */
export const CRITICAL_RESERVE = 16;
/** Slots beyond the capacity for what an actor sends to itself during its turn: it could not wait for itself. */
export const SELF_RESERVE = 16;
/** Sends that may wait for room at one mailbox. One more is refused, so that un-awaited sends stay bounded. */
export const WAITERS_MAX = 10_000;
/** Continuations one actor may have pending: they go before everything else, so a loop of them would starve it. */
export const CONTINUES_MAX = 64;
/** Messages one actor may stash. They count against the capacity as well. */
export const STASH_MAX = 1_000;
/** Timers one actor may have running: as many as it may have messages, since each may become one. */
export const TIMERS_MAX = 1_000;
/** Milliseconds between two priorities for aging; 0 keeps strict order, which is what six levels promise. */
export const AGING_MS = 0;

/** A turn of an agent may wait for a model for minutes; five of them is where something is wrong. */
export const TURN_TIMEOUT_MS = 300_000;
/** Milliseconds an actor's `state` may take. */
export const START_TIMEOUT_MS = 30_000;
/** Milliseconds an ask waits for its reply, room in the mailbox included. */
export const ASK_TIMEOUT_MS = 60_000;
/** Milliseconds a stream may take, its reader included: as long as the turn that makes its parts. */
export const STREAM_TIMEOUT_MS = 300_000;
/** Parts of a stream in flight: enough to hide the way of a broker, few enough that what nobody reads is not made. At the most: some frames. */
export const STREAM_WINDOW = 16;
export const STREAM_WINDOW_MAX = 1_024;
/** Parts that streams of one system make before timers and sockets have theirs: half a millisecond of parts that cost nothing. */
export const PARTS_PER_SLICE = 256;
/** Milliseconds a send waits for room. */
export const SEND_TIMEOUT_MS = 30_000;
/** Asks in flight in one system: beyond it the process is not served but queued to death. */
export const ASKS_IN_FLIGHT_MAX = 100_000;

/** Restarts within the window before a supervisor gives up. */
export const INTENSITY_MAX = 3;
/** The window of the restart intensity. A turn lasts seconds to minutes, so OTP's 5 s would never trip. */
export const INTENSITY_WITHIN_MS = 60_000;
/** Restarts without one completed turn between them: slow failures never fill the window, but each one costs money. */
export const RESTARTS_WITHOUT_PROGRESS_MAX = 3;
/** Children a dynamic supervisor may have at once: many more are a queue that should have been a pool. */
export const CHILDREN_MAX = 10_000;
/** Actors above one another: what spawns itself again and again is told so long before the stack ends. */
export const TREE_DEPTH_MAX = 64;
/** First and largest delay before a restart, and the share of it that is random. */
export const BACKOFF_MIN_MS = 100;
export const BACKOFF_MAX_MS = 30_000;
export const BACKOFF_JITTER = 0.2;
/** Attempts at one message under `onFailure: { retry }`. */
export const ATTEMPTS_MAX = 2;

/** Milliseconds a stopping actor may use to finish its turn before the turn is aborted. */
export const SHUTDOWN_MS = 30_000;
/** Milliseconds between aborting a turn or hook and disowning it. */
export const KILL_GRACE_MS = 1_000;

/** Milliseconds a whole shutdown may take: two actors in a row that use up their time, or what an operator waits. */
export const SHUTDOWN_DEADLINE_MS = 60_000;
/** Share of a shutdown's time that stays for what comes after the actors: writing out and closing. */
export const SHUTDOWN_TAIL_SHARE = 0.1;
/** Milliseconds one task of a shutdown phase may take. */
export const SHUTDOWN_TASK_MS = 5_000;
/** Milliseconds mailboxes may drain after a signal: half of the 10 s after which container engines kill. */
export const SIGNAL_DRAIN_MS = 5_000;
/** Milliseconds a process that a signal ended may take to end by itself once its system has. */
export const PROCESS_END_MS = 1_000;

/** Dead letters kept for reading; what falls off the end is counted. */
export const DEAD_LETTERS_MAX = 10_000;
/** Replays of one message: what died four times is not mended by a fifth try, and each may cost money. */
export const REPLAYS_MAX = 3;
/** Failed attempts kept with a message: each holds on to an error and its stack. */
export const HISTORY_MAX = 8;
/** Topics that the statistics of dead letters name; the others are summed. */
export const DEAD_TOPICS_MAX = 20;

/** Turns of one actor before the next runnable one has its go. */
export const TURNS_PER_SLICE = 16;
/** Milliseconds the run queue may hold the event loop before timers and sockets have theirs. */
export const SLICE_MS = 5;
/** Turns of all actors in one slice, whatever the clock says: a macrotask for each costs less than a hundredth. */
export const SLICE_TURNS_MAX = 4_096;

/** Workers of one pool: each is an actor, and a rule may look at all of them. */
export const POOL_SIZE_MAX = 10_000;
/** Milliseconds for which a pool over nodes has none before it says so: longer than nodes that start together need to see one another. */
export const POOL_ALONE_MS = 10_000;
/** Points of one worker on a hash ring: with 128 the largest share of a few workers stays within about a fifth of the mean. */
export const RING_POINTS = 128;

/** Messages held for a consumer that pulls: enough that the next one is there when it asks, few enough to stay fresh. */
export const PULL_WINDOW = 16;
/** Calls of `next` that may wait at one iterator. A loop has one; whoever makes thousands does not wait for them. */
export const PULLS_MAX = 1_000;
/** Milliseconds after which an `unsubscribe` that still waits for a handler is told of: it may wait for its own caller. */
export const UNSUBSCRIBE_WARNING_MS = 1_000;
/** Milliseconds that an `unsubscribe` waits for a handler whose turn has no limit: what an actor may take to stop, and its grace. */
export const UNSUBSCRIBE_WAIT_MS = SHUTDOWN_MS + KILL_GRACE_MS;

/** Characters of a sender or a correlation id on a bus: as many as a topic, and as an id in a store. */
export const BUS_TEXT_CHARACTERS_MAX = 200;
/** Share of its capacity above which a subscription brakes its publishers, and milliseconds of each braking. */
export const BRAKE_THRESHOLD = 0.8;
export const BRAKE_DELAY_MS = 10;
/** Milliseconds that handlers may go on with what is queued when a bus is closed: who closes it has published the last of it. */
export const BUS_DRAIN_MS = 5_000;
/** Messages that `pending` shows. */
export const PENDING_SHOWN = 100;
/** Changes of status that wait until the store has taken those before them; beyond it the oldest is given up, and said. */
export const STATUSES_WAITING_MAX = 10_000;
/**
 * Changes of status that a store is told at once: a fifth of what may wait there, so that there is room for appends. When as
 * many wait for the next time, publishers are held.
 */
export const STATUSES_AT_ONCE_MAX = 2_048;

/** Topic grammar: bytes of a whole topic, segments, bytes of a segment. */
export const TOPIC_BYTES_MAX = 200;
export const TOPIC_SEGMENTS_MAX = 8;
export const TOPIC_SEGMENT_BYTES_MAX = 64;

/** Headers of one message, and characters of their names and values together: what HTTP servers allow a request. */
export const HEADERS_MAX = 64;
export const HEADERS_CHARACTERS_MAX = 8_192;
/** Characters or bytes of CloudEvents that are read at once, and events of one batch: a page of a log, not a whole one. */
export const CLOUD_EVENTS_BYTES_MAX = 8_388_608;
export const CLOUD_EVENTS_MAX = 1_000;
/** Types of agents that are counted apart: with six priorities each they stay below the 2,000 sets of attributes of an SDK. */
export const AGENT_TYPES_MAX = 200;
/** Characters of a name of an actor, protocol or message. */
export const NAME_CHARACTERS_MAX = 128;
/** Messages a store keeps before the oldest fall off: days of work for most, and some hundred megabytes at worst. */
export const STORED_MESSAGES_MAX = 100_000;
/** Bytes of one stored payload as JSON: what is larger belongs in a file, with its name in the message. */
export const STORED_PAYLOAD_BYTES_MAX = 1_048_576;
/** Characters of a stored message's id, of its other texts (sender, correlation id, last error), and levels of its payload. */
export const STORED_ID_CHARACTERS_MAX = 200;
export const STORED_TEXT_CHARACTERS_MAX = 1_000;
export const STORED_PAYLOAD_DEPTH_MAX = 256;
/** Bytes of a keyed agent's key in UTF-8: with its kind it fits a key of LMDB (1,978 bytes). Characters of an owner's name. */
export const STATE_KEY_BYTES_MAX = 1_024;
export const STATE_OWNER_CHARACTERS_MAX = 200;
/** Bytes of one snapshot: it is written whole at each save, so what is larger belongs in a database, with its key in the state. */
export const STATE_SNAPSHOT_BYTES_MAX = 1_048_576;
/** Changes that may wait for a store's next sync, and the bytes of their payloads: as many as may wait at a mailbox. */
export const STORE_WAITING_MAX = 10_000;
export const STORE_WAITING_BYTES_MAX = 67_108_864;
/** Changes written by one sync. Writing this many holds the event loop for about as long as a slice of turns, 5 ms. */
export const STORE_BATCH_MAX = 1_024;
/** Messages of a store's page, their bytes, and messages looked at for one: what is read without giving way to other work. */
export const STORE_PAGE_MESSAGES = 256;
export const STORE_PAGE_BYTES = 1_048_576;
export const STORE_PAGE_LOOKS = 4_096;

/** Milliseconds that `setTimeout` can count (2^31 - 1); longer waits are refused at the door or use `Infinity`. */
export const TIMER_MS_MAX = 2_147_483_647;

/** Frames that wait in one lane of an inbox or a group at a broker: minutes of work, and at worst some gigabytes of its disk. */
export const BROKER_LENGTH_MAX = 10_000;
/** Milliseconds that a broker keeps an inbox without its node, and a group without members: a restart, not a holiday. */
export const BROKER_EXPIRES_MS = 600_000;
/**
 * Milliseconds for which a Redis keeps what is not known to be left behind: its expiry goes on while it is down itself, so this is how long it
 * may be away without losing what it holds.
 */
export const REDIS_KEPT_MS = 86_400_000;
/** Milliseconds for a connection to a broker, and for its answer to a published frame. */
export const BROKER_CONNECT_TIMEOUT_MS = 5_000;
export const BROKER_PUBLISH_TIMEOUT_MS = 5_000;
/** Attempts to connect at the start: a wrong address is an error within seconds. Once open, it never gives up. */
export const BROKER_OPEN_ATTEMPTS_MAX = 5;
/** Milliseconds between attempts to connect again: soon after a blip, and never a storm. */
export const RECONNECT_MIN_MS = 100;
export const RECONNECT_MAX_MS = 5_000;
/** Milliseconds between signs of life of a node, and without one until it counts as dead: three may be late. */
export const BROKER_HEARTBEAT_MS = 3_000;
export const BROKER_DOWN_AFTER_MS = 10_000;
/** Shards of a group at the most: each is six queues at the broker. */
export const SHARDS_MAX = 1_024;
/** Milliseconds before a shard that another owns is asked for again, and up to twice that: what is released is had within a second. */
export const SHARD_CLAIM_AGAIN_MS = 250;
/** Unsettled frames of each lane, most urgent first: urgent lanes are short, and most of the work is normal. */
export const LANE_WINDOWS = [64, 64, 128, 256, 128, 64] as const;
/** The same for a member of a group: few, so that what comes in a burst is spread over all members. */
export const GROUP_WINDOWS = [8, 8, 8, 8, 8, 8] as const;
/** Bytes of one frame: what a Kafka broker takes unless told otherwise, less its own overhead. */
export const FRAME_BYTES_MAX = 1_048_576;
/** Deliveries of one frame after which its consumers have died of it often enough. */
export const DELIVERIES_MAX = 5;
/** Messages packed into one frame, and their bytes: enough to share what a broker charges for a message, few enough to lose together. */
export const PACK_MESSAGES_MAX = 64;
export const PACK_BYTES_MAX = 65_536;
/** Messages that a frame may have: what this version packs, and room for others. */
export const FRAME_MESSAGES_MAX = 4_096;
/** Headers that a message may have in a frame: its own, and the three of a trace (`traceparent`, `tracestate`, `baggage`). */
export const WIRE_HEADERS_MAX = HEADERS_MAX + 3;
/** Turns that wait for an ask, as they travel with it: a circle of more actors ends by its time. */
export const WIRE_CHAIN_MAX = 32;
/** Characters of a codec's name, which travels with every message; and codecs that one node reads: those of a few releases. */
export const CODEC_NAME_CHARACTERS_MAX = 16;
export const CODECS_MAX = 8;
/** Bytes of a text inside a frame: a header's value is the longest. */
export const WIRE_TEXT_BYTES_MAX = 32_768;
/** Frames of one destination that are given to a broker at once, and publishes of one lane that are under way. */
export const PUBLISH_FRAMES_MAX = 64;
export const PUBLISHES_PER_LANE = 4;
/** Messages of one lane that wait for a broker: as many as may wait at a mailbox. One more is refused. */
export const OUTBOX_WAITING_MAX = 10_000;
/** Milliseconds before what a broker had no room for is offered again: soon at first, and never as a storm. */
export const OUTBOX_RETRY_MIN_MS = 5;
export const OUTBOX_RETRY_MAX_MS = 500;
/** Destinations whose streams a sender remembers, in all lanes; one that is forgotten begins a new stream. */
export const STREAMS_SENT_MAX = 60_000;
/** Streams whose last number a receiver remembers, numbers of each that have not come, and frames of groups known as handled. */
export const STREAMS_RECEIVED_MAX = 60_000;
export const FRAMES_MISSING_MAX = 1_024;
export const GROUP_FRAMES_KNOWN_MAX = 10_000;
/** Milliseconds for which a node works on a request of another one before it says so, to be told when nobody waits any more. */
export const WORKING_AFTER_MS = 100;
/** Milliseconds before a broker that did not take what a node listens to is told again: an outage is heard of soon after its end. */
export const LISTEN_AGAIN_MS = 1_000;
/** Milliseconds before a dead letter that the broker could not keep is offered to it again. */
export const BURY_AGAIN_MS = 1_000;
/** Frames of one source that were given up, and are known if they are delivered again: as many as its largest window. */
export const DEAD_FRAMES_REMEMBERED_MAX = 256;
/** Messages of one lane that were taken from a broker and wait for room in a queue; further frames wait unread. */
export const LANE_MESSAGES_WAITING_MAX = 1_024;
/** Dead letters that an adapter keeps at its broker: beyond it frames stay unsettled, and an operator has to look. */
export const DEAD_FRAMES_MAX = 100_000;
/** Watches that actors of one node have on actors of others, and that one node takes from another. One more is refused. */
export const REMOTE_WATCHES_MAX = 100_000;
/** Nodes that watch here though the broker has not told of them yet, and milliseconds for which it may be late: a few of its periods. */
export const STRANGERS_MAX = 64;
export const STRANGER_MS = 60_000;
/** `unwatch` words of one node that came before what they take back; the oldest is forgotten. */
export const EARLY_UNWATCHES_MAX = 1_024;
/** Milliseconds for which word of an end waits for frames that may hold what the dead had sent before: a broker gives out again sooner. */
export const LATE_FRAMES_MS = 10_000;
/** Milliseconds after a node has left within which its last words are taken from the inbox. */
export const LAST_WORDS_MS = 2_000;
/** Lives of nodes that are remembered as lost: months of daily restarts of many nodes. */
export const NODES_LOST_REMEMBERED_MAX = 10_000;
/** Starts for other nodes that are under way or not yet known to have been heard of; one more is refused. */
export const PLACEMENTS_MAX = 10_000;
/** Milliseconds for which an actor that another node had started waits to hear that it is wanted: longer than any answer is on its way. */
export const PLACEMENT_UNKEPT_MS = 300_000;
/** Names of one node that the others are told, and of one message about them: 128 characters each, so that it fits a frame well. */
export const NAMES_TOLD_MAX = 10_000;
export const NAMES_PER_WORD = 500;
/** Milliseconds for which changes of names are gathered, and before what could not be said is said again. */
export const NAMES_GATHER_MS = 5;
export const NAMES_AGAIN_MS = 1_000;
/** Lives of nodes whose names are remembered: those that are not in the view go first. */
export const NAMES_LIVES_MAX = 1_024;
/** Mismatches of protocols that are told, for each node: one line for each message of a protocol, not one for each message sent. */
export const MISMATCHES_TOLD_MAX = 1_000;
/** Bytes of a key: an id or an address, not a document. Its actor's name has three times as many characters at the most. */
export const KEY_BYTES_MAX = 256;
/** Shards of a group of keyed agents: some for each of a few dozen nodes, and few enough that a broker holds them for nothing. */
export const KEYED_SHARDS = 64;
/** Milliseconds without a message after which a keyed actor is stopped: a conversation pauses for less. */
export const KEYED_IDLE_MS = 300_000;
/** Keyed actors of a group that live on one node at once: each has a state of its user's. As many may be on their way out. */
export const KEYED_ACTORS_MAX = 10_000;
/** Messages of one lane that a node holds for the keyed actors of a group when it owns all of its shards. */
export const KEYED_WAITING_MAX = 10_000;
/** Groups of keyed agents of one system: all of them, with their names, are what a node says of itself. */
export const KEYED_GROUPS_MAX = 64;
/** Deliveries of a message to a key after which its owners have died of it often enough; hand-offs count as well, and there may be many. */
export const KEYED_DELIVERIES_MAX = 16;
/** Milliseconds for which changes among the nodes are gathered before shards are placed anew. */
export const KEYED_PLACE_MS = 100;
/** Milliseconds before what a broker refused about a shard is tried again. */
export const KEYED_AGAIN_MS = 1_000;
/** The share of a group's shards that one node gives away at once. */
export const KEYED_MOVED_SHARE = 0.1;
/** Actors that are looked at for one that can make room for another. */
export const KEYED_LOOKS_MAX = 64;
/** Nodes on one loopback server: each is a process of the same machine, and some have to be left for others. */
export const LOOPBACK_CLIENTS_MAX = 512;
/** Bytes of one message on a loopback connection: the largest frame, or what a hundred members say of themselves. */
export const LOOPBACK_MESSAGE_BYTES_MAX = FRAME_BYTES_MAX + 262_144;
/** Frames in one message on a loopback connection, and their bytes beyond which the next message begins: one frame may be larger. */
export const DELIVERY_BATCH_MAX = 1_024;
export const DELIVERY_BATCH_BYTES = 262_144;
/** Bytes published by one node without an answer: as many of the largest frames as are given to a broker at once. */
export const LOOPBACK_UNCONFIRMED_BYTES_MAX = PUBLISH_FRAMES_MAX * FRAME_BYTES_MAX;
/** Bytes that wait for the socket of a node: enough to keep it busy. Further deliveries wait in the hub, where they are anyway. */
export const LOOPBACK_UNSENT_BYTES_MAX = 1_048_576;
/** Connections that have not joined: all nodes may come at once. The oldest goes when there is one more. */
export const LOOPBACK_STRANGERS_MAX = 512;
