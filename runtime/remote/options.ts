/** The options by which something joins a broker. Every reader throws `ERR_OPTION_INVALID`. */

import type { Broker } from '../../src/protocol/broker.ts';
import { checkNodeName } from '../../src/protocol/broker-options.ts';
import { type Codecs, codecsOption, NO_CODECS } from '../../src/protocol/codec.ts';
import { invalidOption } from '../../src/protocol/options.ts';
import type { ClusterBroker } from './node.ts';

const BROKER_CALLS = [
  'open',
  'publish',
  'listen',
  'consume',
  'close',
] as const satisfies readonly (keyof Broker)[];

/** `broker`: what an adapter makes. */
export function brokerOption(value: unknown): Broker | undefined {
  if (value === undefined) return undefined;
  const isBroker =
    typeof value === 'object' && value !== null && BROKER_CALLS.every((call) => isFunctionOf(value, call));
  if (!isBroker) throw invalidOption('broker', 'a broker, as redis(url) and its like make it', value);
  return value as Broker; // it has the calls that are made
}

/** `broker` of a system, which has to know who lives. */
export function clusterBrokerOption(value: unknown): ClusterBroker | undefined {
  const broker = brokerOption(value);
  if (broker === undefined) return undefined;
  if (broker.members === undefined)
    throw invalidOption('broker', 'a broker that tells which nodes live', broker.kind);
  return broker as ClusterBroker; // it has members
}

/** `node`: the name of this process at the broker. `owner` is what has the options. */
export function nodeOption(node: unknown, broker: unknown, owner: 'bus' | 'system'): string | undefined {
  if (node === undefined) return undefined;
  if (broker === undefined) throw invalidOption('node', `absent on a ${owner} without a broker`, node);
  return checkNodeName(node);
}

/** `codec` and `codecs`: how payloads become bytes at a broker. */
export function codecsAt(codec: unknown, codecs: unknown, broker: unknown, owner: 'bus' | 'system'): Codecs {
  if (broker !== undefined) return codecsOption(codec, codecs);
  if (codec !== undefined) throw invalidOption('codec', `absent on a ${owner} without a broker`, codec);
  if (codecs !== undefined) throw invalidOption('codecs', `absent on a ${owner} without a broker`, codecs);
  return NO_CODECS;
}

function isFunctionOf(value: object, name: string): boolean {
  return typeof (value as Readonly<Record<string, unknown>>)[name] === 'function'; // any object may be read by name
}
