/** What the topics are like that this adapter makes. */

import { LANES } from '../../src/protocol/broker.ts';
import { FRAME_BYTES_MAX } from '../../src/protocol/limits.ts';
import type { TopicSpec } from './driver.ts';
import type { Names } from './names.ts';
import type { KafkaSettings } from './options.ts';

/** A record of the largest frame, with its headers. */
const RECORD_BYTES = String(2 * FRAME_BYTES_MAX);
/** Milliseconds after which a segment is closed, since only closed ones are forgotten: a twentieth of what is kept. */
const SEGMENTS = 20;
const SEGMENT_MS_MIN = 60_000;
/** A snapshot of the log of members is the largest of its records. */
export const SNAPSHOT_BYTES_MAX = 8_388_608;
const SNAPSHOT_RECORD_BYTES = String(SNAPSHOT_BYTES_MAX + 65_536);
/** A segment of that log is closed when it has so many bytes, since only closed ones are forgotten. */
const MEMBERS_SEGMENT_BYTES = String(16_777_216);

/** Forgets by time. @internal */
export function busTopic(names: Names, { retentionMs }: KafkaSettings): TopicSpec {
  const settings = {
    'cleanup.policy': 'delete',
    'max.message.bytes': RECORD_BYTES,
    'retention.ms': String(Math.round(retentionMs)),
    'segment.ms': String(Math.round(Math.max(SEGMENT_MS_MIN, retentionMs / SEGMENTS))),
  };
  return { name: names.bus, partitions: LANES.length, settings };
}

/** Forgets what its node has read, and nothing by time. @internal */
export function inboxTopic(name: string): TopicSpec {
  return { name, partitions: LANES.length, settings: forEver() };
}

/** @internal */
export function deadLetterTopic(names: Names): TopicSpec {
  return { name: names.deadLetters, partitions: 1, settings: forEver() };
}

/** Of one partition: its order is what all agree on. It is cut behind snapshots, and forgets nothing by time. @internal */
export function membersTopic(names: Names): TopicSpec {
  const settings = {
    ...forEver(),
    'max.message.bytes': SNAPSHOT_RECORD_BYTES,
    'segment.bytes': MEMBERS_SEGMENT_BYTES,
  };
  return { name: names.members, partitions: 1, settings };
}

/** Forgets what owners have read, and nothing by time. @internal */
export function shardTopic(name: string): TopicSpec {
  return inboxTopic(name);
}

/** Without records: only its partitions count. @internal */
export function groupTopic(name: string, slots: number): TopicSpec {
  return { name, partitions: slots, settings: { 'cleanup.policy': 'delete' } };
}

function forEver(): Readonly<Record<string, string>> {
  return {
    'cleanup.policy': 'delete',
    'max.message.bytes': RECORD_BYTES,
    'retention.ms': '-1',
    'retention.bytes': '-1',
  };
}
