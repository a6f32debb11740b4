/** The door of `system.keyed`: reads its options once. Every reader throws `ERR_OPTION_INVALID`. */

import { checkGroupName } from '../../src/protocol/broker-options.ts';
import {
  KEYED_ACTORS_MAX,
  KEYED_IDLE_MS,
  KEYED_SHARDS,
  SHARDS_MAX,
  SHUTDOWN_MS,
} from '../../src/protocol/limits.ts';
import {
  booleanOption,
  durationOption,
  integerOption,
  invalidOption,
  nameOption,
  objectOption,
} from '../../src/protocol/options.ts';
import type { StateStore } from '../../src/protocol/state-store.ts';

/** The options of a group, complete. */
export interface KeyedSettings {
  readonly name: string;
  readonly shards: number;
  /** Whether actors may live on this node. */
  readonly hosts: boolean;
  readonly idleMs: number;
  readonly keysMax: number;
  readonly handOffMs: number;
  /** Where the states of keys are kept; undefined where they end with their actors. */
  readonly states: StateStore | undefined;
}

const KNOWN = ['name', 'shards', 'hosts', 'idleMs', 'keysMax', 'handOffMs', 'persist', 'states'];

/** Reads the options; `protocol` is the name of the agent's protocol. */
export function keyedSettings(protocol: string, options: unknown): KeyedSettings {
  const given = objectOption('keyed', options, KNOWN);
  const shards = integerOption('keyed.shards', given['shards'], 1, KEYED_SHARDS);
  if (shards > SHARDS_MAX)
    throw invalidOption('keyed.shards', `a whole number from 1 to ${SHARDS_MAX}`, shards);
  return Object.freeze({
    states: statesOption(given['persist'], given['states']),
    // What both brokers and stores of states take.
    name: checkGroupName(nameOption('keyed.name', given['name'] ?? protocol)),
    shards,
    hosts: booleanOption('keyed.hosts', given['hosts'] ?? true),
    idleMs: durationOption('keyed.idleMs', given['idleMs'], KEYED_IDLE_MS, { infinity: true }),
    keysMax: integerOption('keyed.keysMax', given['keysMax'], 1, KEYED_ACTORS_MAX),
    handOffMs: durationOption('keyed.handOffMs', given['handOffMs'], SHUTDOWN_MS, { zero: true }),
  });
}

/** The two go together: neither does anything alone. */
function statesOption(persist: unknown, states: unknown): StateStore | undefined {
  if (persist === undefined && states === undefined) return undefined;
  if (persist !== 'snapshot')
    throw invalidOption('keyed.persist', "'snapshot' with states, or neither", persist);
  if (!isStates(states))
    throw invalidOption('keyed.states', "a store of states, with persist: 'snapshot'", states);
  return states;
}

const STORE_CALLS = ['open', 'activate', 'save', 'close'] as const satisfies readonly (keyof StateStore)[];

function isStates(value: unknown): value is StateStore {
  if (typeof value !== 'object' || value === null) return false;
  const store = value as Readonly<Record<string, unknown>>; // any object may be read by name
  return STORE_CALLS.every((call) => typeof store[call] === 'function');
}
