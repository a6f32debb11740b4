/**
 * What a node and the server say to each other. Everything that a node asks has a number, and one answer with that number; what it tells
 * has none. The server answers in whole numbers, and tells of deliveries, grants and members as they come.
 *
 * The beginning: the server greets with a number that nobody has seen before, the node joins with a proof that it knows the secret, the
 * server proves that it does, and tells who lives. Then the node says again all that shall hold, and that it has.
 */

import type { PublishResult } from '../../src/protocol/broker.ts';
import { DELIVERY_BATCH_MAX, FRAME_BYTES_MAX, LOOPBACK_CLIENTS_MAX } from '../../src/protocol/limits.ts';
import { ABOUT_BYTES_MAX } from '../../src/protocol/membership.ts';
import {
  bytes,
  choice,
  flag,
  list,
  number,
  optional,
  record,
  text,
  type Value,
  variant,
  whole,
} from './fields.ts';

/** Members that one message tells of: what each says of itself may be as long as is allowed. */
export const CENSUS_BATCH_MAX = 100;

/** Whom a node can have known when it joins again. */
export const KNOWN_MAX = 2 * LOOPBACK_CLIENTS_MAX;

/** Bytes of a proof and of a nonce: those of SHA-256. */
export const PROOF_BYTES = 32;

/** What a publish can end with here, by its place in an answer. */
export const RESULTS: readonly PublishResult[] = ['ok', 'full', 'unroutable', 'unavailable'];

const name = text(64);
const topic = text(200);
const problem = text(1_000);
const proof = bytes(PROOF_BYTES);
const payload = bytes(FRAME_BYTES_MAX);
const lane = choice([0, 1, 2, 3, 4, 5]);
/** A life of a node: its number stands behind the incarnation. */
const identity = { name, incarnation: text(64) };
const shard = { group: name, shard: whole, shards: whole };

const destination = variant('kind', { node: { node: name }, topic: { topic }, shard });
const source = variant('kind', { inbox: {}, group: { group: name, pattern: topic }, shard });

/** What is asked, with one answer each: nothing unless said. */
const call = variant('type', {
  ping: {},
  /** A part of one call of `publish`, which is continued where it was not the first. Answer: a place in `RESULTS` for each frame. */
  publish: {
    isContinued: flag,
    frames: list(record({ to: destination, lane, bytes: payload }), DELIVERY_BATCH_MAX),
  },
  listen: { pattern: topic },
  unlisten: { pattern: topic },
  describe: { about: text(ABOUT_BYTES_MAX) },
  /** Answer: 1, or 0 for a shard that is not its own. */
  consume: { reader: whole, source, windows: list(whole, 6) },
  stop: { reader: whole },
  /** Answer: 1 when it is safe, or not its own any more; 0 when it cannot be kept. */
  bury: {
    reader: whole,
    delivery: whole,
    reason: text(1_000),
    error: optional(text(4_000)),
    bytes: optional(payload),
  },
  /** Answer: six numbers. */
  backlog: { source },
  claim: { shard: record(shard) },
  release: { shard: record(shard) },
  leave: {},
});

/** What a node says. */
export const toServer = variant('type', {
  join: {
    proof,
    nonce: proof,
    prefix: text(32),
    ...identity,
    life: whole,
    maxLength: whole,
    expiresMs: number,
    heartbeatMs: number,
    downAfterMs: number,
    processId: whole,
    /** Whom it knew when it was last connected to this server. */
    known: list(record(identity), KNOWN_MAX),
  },
  ask: { number: whole, call },
  /** All patterns and claims that shall hold have been said: what is left of others holds no more. */
  restored: {},
  /** Nothing more for this reader. */
  quiet: { reader: whole },
  settle: {
    reader: whole,
    how: choice(['acknowledge', 'release']),
    deliveries: list(whole, 65_536),
  },
});

/** What the server says. */
export const toNode = variant('type', {
  /** `server` is another one for each life of a server, which began `ageMs` ago. */
  greeting: { server: text(64), ageMs: number, nonce: proof },
  /** It takes this client. */
  proof: { proof },
  joined: {},
  /** It ends the connection. */
  refused: { why: choice(['denied', 'name-taken', 'unavailable']), problem },
  /** What has changed since it was last told: `ended` are gone, `living` have come or say something else of themselves. */
  census: {
    ended: list(record({ ...identity, hasLeft: flag }), CENSUS_BATCH_MAX),
    living: list(record({ ...identity, about: text(ABOUT_BYTES_MAX) }), CENSUS_BATCH_MAX),
  },
  answer: { number: whole, values: list(whole, DELIVERY_BATCH_MAX) },
  /** Frames of one lane. */
  deliveries: {
    reader: whole,
    lane,
    frames: list(
      record({ delivery: whole, deliveries: whole, topic: optional(topic), bytes: payload }),
      DELIVERY_BATCH_MAX,
    ),
  },
  granted: { shard: record(shard), epoch: whole },
  /** Whether it takes nothing that is published. */
  refuses: { isRefused: flag },
});

export type Call = Value<typeof call>;
export type ToServer = Value<typeof toServer>;
export type ToNode = Value<typeof toNode>;
export type Join = Extract<ToServer, { type: 'join' }>;
