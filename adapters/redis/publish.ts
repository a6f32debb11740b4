/**
 * Publishing: which streams each frame goes to, and what became of it. A call is sent in parts that the server runs without standing still
 * for long, one after the other, so that nothing passes a frame that had no room.
 */

import type { Destination, Lane, OutFrame, PublishResult } from '../../src/protocol/broker.ts';
import type { BrokerSettings } from '../../src/protocol/broker-options.ts';
import type { Clock } from '../../src/protocol/clock.ts';
import { type Argument, listIn, Refusal, textIn } from './client.ts';
import type { Interests } from './interests.ts';
import type { Keys } from './keys.ts';
import type { Session } from './link.ts';
import { PUBLISH, TABLE } from './scripts.ts';

/** What publishing needs of its broker. */
export interface PublisherPorts {
  readonly keys: Keys;
  readonly interests: Interests;
  readonly settings: BrokerSettings;
  readonly clock: Clock;
  readonly session: () => Session | undefined;
  /** Name and fence of the node in this session. */
  readonly fence: (session: Session) => readonly [name: string, fence: string];
  /** The session is of no use any more. */
  readonly drop: (session: Session, cause: Error) => void;
  /** The server takes nothing. */
  readonly refused: (error: Refusal) => void;
}

/** Frames, and bytes, of one part; a frame above it is a part of its own. */
const PART_FRAMES_MAX = 512;
const PART_BYTES_MAX = 4 * 1_048_576;
/** Times that a part is tried again because the interests changed under it. */
const STALE_MAX = 20;

export class Publisher {
  private readonly ports: PublisherPorts;

  constructor(ports: PublisherPorts) {
    this.ports = ports;
  }

  /** One result for each frame, within `publishTimeoutMs`. Never rejects. */
  async publish(frames: readonly OutFrame[]): Promise<readonly PublishResult[]> {
    const session = this.ports.session();
    if (session === undefined) return frames.map(() => 'unavailable');
    const results: PublishResult[] = [];
    // What was refused on each way: nothing behind it may pass it in the same call.
    const refused = new Map<string, PublishResult>();
    const endMs = this.ports.clock.now() + this.ports.settings.publishTimeoutMs;
    while (results.length < frames.length) {
      const part = partOf(frames, results.length);
      const sent = refused.size === 0 ? part : part.filter(({ to, lane }) => !refused.has(wayOf(to, lane)));
      const given = sent.length === 0 ? [] : await this.part(session, sent, endMs);
      let next = 0;
      for (const frame of part) {
        const result = frame === sent[next] ? (given[next++] ?? 'unknown') : refusalOf(refused, frame);
        results.push(result);
        if (result !== 'ok')
          refused.set(wayOf(frame.to, frame.lane), result === 'unknown' ? 'unavailable' : result);
      }
    }
    return results;
  }

  private async part(
    session: Session,
    frames: readonly OutFrame[],
    endMs: number,
  ): Promise<readonly PublishResult[]> {
    let isSent = false;
    try {
      for (let times = 0; times < STALE_MAX; times++) {
        const leftMs = endMs - this.ports.clock.now();
        if (leftMs <= 0 || this.ports.session() !== session) break;
        isSent = true;
        const reply = await this.once(session, frames, leftMs);
        isSent = false;
        if (reply === 'gone') {
          this.ports.drop(session, new Error('other nodes have taken this one for dead'));
          break;
        }
        if (reply !== 'stale') return frames.map((_, n) => resultOf(reply[n]));
        await this.refresh(session, leftMs);
      }
      return frames.map(() => 'unavailable');
    } catch (error) {
      const result = this.failure(session, error as Error, isSent);
      return frames.map(() => result);
    }
  }

  private async once(session: Session, frames: readonly OutFrame[], leftMs: number): Promise<string> {
    const { keys, interests, settings, fence } = this.ports;
    const streams = new Map<string, number>();
    const ways = new Map<string, number>();
    const hasTopic = frames.some(({ to }) => to.kind === 'topic');
    const parameters: Argument[] = [
      ...fence(session),
      hasTopic ? interests.version : '-',
      settings.maxLength,
    ];
    for (const { to, lane, frames: run } of runsOf(frames)) {
      const places = placesOf(to, lane, this.ports);
      parameters.push(
        numberOf(ways, wayOf(to, lane)),
        to.kind === 'node' ? to.node : to.kind === 'shard' ? '-' : '',
        to.kind === 'topic' ? to.topic : '',
        places.length,
      );
      for (const key of places) parameters.push(numberOf(streams, key));
      parameters.push(run.length);
      for (const { bytes } of run) parameters.push(bytes as Buffer); // the broker copied it into one
    }
    const names = [keys.nodes, keys.version, ...streams.keys()];
    return textIn(await session.writer.run(leftMs, PUBLISH, names, parameters));
  }

  private async refresh({ writer }: Session, leftMs: number): Promise<void> {
    const { keys, interests } = this.ports;
    const names = [keys.interests, keys.version];
    const [version, fields] = listIn(await writer.run(leftMs, TABLE, names, []));
    interests.replace(textIn(version), listIn(fields).map(textIn));
  }

  private failure(session: Session, error: Error, isSent: boolean): PublishResult {
    if (!(error instanceof Refusal)) return isSent ? 'unknown' : 'unavailable';
    if (error.message.startsWith('NOPERM')) return 'denied';
    if (error.isOverload) this.ports.refused(error);
    else this.ports.drop(session, error);
    return 'unavailable';
  }
}

/** The frames from a place on that are sent at once: at least one. */
function partOf(frames: readonly OutFrame[], from: number): readonly OutFrame[] {
  let end = from + 1;
  let bytes = frames[from]?.bytes.length ?? 0;
  for (; end < frames.length && end - from < PART_FRAMES_MAX; end++) {
    bytes += frames[end]?.bytes.length ?? 0;
    if (bytes > PART_BYTES_MAX) break;
  }
  return frames.slice(from, end);
}

/** Why what goes the way of this frame was refused. */
function refusalOf(refused: ReadonlyMap<string, PublishResult>, { to, lane }: OutFrame): PublishResult {
  return refused.get(wayOf(to, lane)) ?? 'full';
}

/** Frames behind each other that go the same way. */
interface Run {
  readonly to: Destination;
  readonly lane: Lane;
  readonly frames: OutFrame[];
}

function runsOf(frames: readonly OutFrame[]): readonly Run[] {
  const runs: Run[] = [];
  for (const frame of frames) {
    const { to, lane } = frame;
    const run = runs.at(-1);
    if (run !== undefined && run.lane === lane && isSame(run.to, to, lane)) run.frames.push(frame);
    else runs.push({ to, lane, frames: [frame] });
  }
  return runs;
}

function isSame(one: Destination, other: Destination, lane: Lane): boolean {
  return one === other || wayOf(one, lane) === wayOf(other, lane);
}

/** The streams that a frame goes to. */
function placesOf(
  to: Destination,
  lane: Lane,
  { keys, interests }: Pick<PublisherPorts, 'keys' | 'interests'>,
): readonly string[] {
  switch (to.kind) {
    case 'node':
      return [keys.inbox(to.node, lane)];
    case 'topic':
      return interests.streams(to.topic, lane);
    case 'shard':
      return [keys.shard(to.group, to.shard, lane)];
  }
}

/** A name for the way on which frames keep their order. */
function wayOf(to: Destination, lane: Lane): string {
  switch (to.kind) {
    case 'node':
      return `${lane} n ${to.node}`;
    case 'topic':
      return `${lane} t ${to.topic}`;
    case 'shard':
      return `${lane} s ${to.group} ${to.shard}`;
  }
}

/** The number of a name, from 1 in the order in which they are first asked for. */
function numberOf(numbers: Map<string, number>, name: string): number {
  const known = numbers.get(name);
  if (known !== undefined) return known;
  numbers.set(name, numbers.size + 1);
  return numbers.size;
}

function resultOf(letter: string | undefined): PublishResult {
  if (letter === 'o') return 'ok';
  if (letter === 'f') return 'full';
  return letter === 'u' ? 'unroutable' : 'unknown';
}
