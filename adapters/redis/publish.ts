/** One publish as one script: which streams each frame goes to, and what became of it. */

import type { OutFrame, PublishResult } from '../../src/protocol/broker.ts';
import type { BrokerSettings } from '../../src/protocol/broker-options.ts';
import { type Argument, textIn } from './client.ts';
import type { Interests } from './interests.ts';
import type { Keys } from './keys.ts';
import type { Session } from './link.ts';
import { PUBLISH } from './scripts.ts';

/** What places are worked out from. */
export interface Places {
  readonly keys: Keys;
  readonly interests: Interests;
  readonly settings: BrokerSettings;
}

/** Publishes frames, if the interests are still what they were; rejects as the connection does. */
export async function publishOnce(
  { writer }: Session,
  { keys, interests, settings }: Places,
  frames: readonly OutFrame[],
): Promise<readonly PublishResult[] | 'stale'> {
  const streams = new Map<string, number>();
  const channels = new Map<string, number>();
  const parameters: Argument[] = [interests.version, settings.maxLength];
  for (const { to, lane, bytes } of frames) {
    const places = to.kind === 'node' ? [keys.inbox(to.node, lane)] : interests.streams(to.topic, lane);
    const channel = to.kind === 'node' ? `${lane} n ${to.node}` : `${lane} t ${to.topic}`;
    const numbers = places.map((key) => numberOf(streams, key));
    parameters.push(
      numberOf(channels, channel),
      to.kind === 'node' ? to.node : '',
      to.kind === 'topic' ? to.topic : '',
      Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length),
      numbers.length,
      ...numbers,
    );
  }
  const names = [keys.version, keys.nodes, ...streams.keys()];
  const reply = textIn(await writer.run(settings.publishTimeoutMs, PUBLISH, names, parameters));
  if (reply === 'stale') return 'stale';
  return frames.map((_, n) => resultOf(reply[n]));
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
