/** The door of `system.keyed`: reads its options once. Every reader throws `ERR_OPTION_INVALID`. */

import { checkGroupName } from '../../src/protocol/broker-options.ts';
import {
  KEYED_ACTORS_MAX,
  KEYED_IDLE_MS,
  KEYED_SHARDS,
  SHARDS_MAX,
  SHUTDOWN_MS,
} from '../../src/protocol/limits.ts';
import { durationOption, integerOption, invalidOption, objectOption } from '../../src/protocol/options.ts';

/** The options of a group, complete. */
export interface KeyedSettings {
  readonly name: string;
  readonly shards: number;
  readonly idleMs: number;
  readonly keysMax: number;
  readonly handOffMs: number;
}

/** Reads the options; `protocol` is the name of the agent's protocol. */
export function keyedSettings(protocol: string, options: unknown): KeyedSettings {
  const given = objectOption('keyed', options, ['name', 'shards', 'idleMs', 'keysMax', 'handOffMs']);
  const shards = integerOption('keyed.shards', given['shards'], 1, KEYED_SHARDS);
  if (shards > SHARDS_MAX)
    throw invalidOption('keyed.shards', `a whole number from 1 to ${SHARDS_MAX}`, shards);
  return Object.freeze({
    name: checkGroupName(given['name'] ?? protocol),
    shards,
    idleMs: durationOption('keyed.idleMs', given['idleMs'], KEYED_IDLE_MS, { infinity: true }),
    keysMax: integerOption('keyed.keysMax', given['keysMax'], 1, KEYED_ACTORS_MAX),
    handOffMs: durationOption('keyed.handOffMs', given['handOffMs'], SHUTDOWN_MS, { zero: true }),
  });
}
