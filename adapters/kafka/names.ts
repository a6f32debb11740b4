/**
 * What is made at the server for a prefix, by name. Names of nodes and groups come checked and are Kafka's as they are; a pattern
 * may be longer than a topic's name, and has characters that it has not, so a group has its hash.
 */

const HASH_START = 0xcbf29ce484222325n;
const HASH_PRIME = 0x100000001b3n;

/** Names below one prefix. Topics and the consumer groups that belong to them are called the same. @internal */
export class Names {
  /** What is published to topics: a partition for each lane. */
  readonly bus: string;
  readonly deadLetters: string;
  /** Who lives, and who owns which shard: a log of one partition. */
  readonly members: string;
  /** The heads of the names of all inboxes, and of all groups. */
  readonly inboxes: string;
  readonly groups: string;
  private readonly shardTopics: string;

  constructor(prefix: string) {
    this.bus = `${prefix}.bus`;
    this.deadLetters = `${prefix}.dl`;
    this.members = `${prefix}.members`;
    this.shardTopics = `${prefix}.sh.`;
    this.inboxes = `${prefix}.in.`;
    this.groups = `${prefix}.gr.`;
  }

  /** Of a node: what is sent to it by name. */
  inbox(node: string): string {
    return `${this.inboxes}${node}`;
  }

  /** Of a group: its slots. It has no records. */
  group(group: string, pattern: string): string {
    return `${this.groups}${group}.${hashOf(pattern)}`;
  }

  /** Of a shard: what is sent to it. */
  shard({ group, shard }: { readonly group: string; readonly shard: number }): string {
    return `${this.shardTopics}${group}.${shard}`;
  }
}

/** FNV-1a, 64 bits, as 13 characters. @internal */
export function hashOf(text: string): string {
  let hash = HASH_START;
  for (let place = 0; place < text.length; place++)
    hash = BigInt.asUintN(64, (hash ^ BigInt(text.charCodeAt(place))) * HASH_PRIME);
  return hash.toString(36).padStart(13, '0');
}

/** The slot, of so many, of the frame at an offset: scattered, so that topics that alternate do not meet always the same member. @internal */
export function slotOf(offset: number, slots: number): number {
  const low = Math.imul(offset >>> 0, 0x9e3779b1);
  const mixed = Math.imul(low ^ (low >>> 15) ^ Math.floor(offset / 2 ** 32), 0x85ebca6b);
  return ((mixed ^ (mixed >>> 13)) >>> 0) % slots;
}
