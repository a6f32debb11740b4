/** The agents that other nodes may start on this one, by name. Every reader throws `ERR_OPTION_INVALID`. */

import type { Spawnable } from '../../src/protocol/child-spec.ts';
import { ABOUT_BYTES_MAX } from '../../src/protocol/membership.ts';
import { invalidOption, nameOption, objectOption } from '../../src/protocol/options.ts';
import { isFitForWire, isSchema, ONLY_TYPED, type Schema } from '../../src/protocol/schema.ts';
import { aboutText, NOTHING_SAID } from './about.ts';

/** One of them. */
export interface RegisteredAgent {
  readonly name: string;
  readonly agent: Spawnable;
  /** What its arguments have to be where another node gives them; without it, there are none. */
  readonly args: Schema | undefined;
}

/** What a node can be told to start. */
export class Agents {
  private readonly byName = new Map<string, RegisteredAgent>();

  constructor(registered: readonly RegisteredAgent[]) {
    for (const each of registered) this.byName.set(each.name, each);
  }

  get names(): readonly string[] {
    return [...this.byName.keys()];
  }

  find(name: string): RegisteredAgent | undefined {
    return this.byName.get(name);
  }

  /** The name by which all nodes know an agent: the one it was given here, or else that of its protocol. */
  nameOf(agent: Spawnable): string {
    for (const each of this.byName.values()) if (each.agent === agent) return each.name;
    return agent.protocol.name;
  }
}

/** `agents` of a system. `isStartable` knows what `spawn` takes. */
export function agentsOption(value: unknown, isStartable: (value: unknown) => value is Spawnable): Agents {
  if (value === undefined) return new Agents([]);
  if (!Array.isArray(value)) throw invalidOption('agents', 'a list of agents', value);
  const registered = value.map((each: unknown, index) => agentOption(`agents[${index}]`, each, isStartable));
  const names = registered.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined)
    throw invalidOption('agents', 'agents of different names (name one by { agent, name })', twice);
  // Also while it leaves.
  if (Buffer.byteLength(aboutText({ ...NOTHING_SAID, leaving: true, agents: names })) > ABOUT_BYTES_MAX)
    throw invalidOption('agents', `so few that their names fit in ${ABOUT_BYTES_MAX} bytes of JSON`, value);
  return new Agents(registered);
}

function agentOption(
  option: string,
  value: unknown,
  isStartable: (value: unknown) => value is Spawnable,
): RegisteredAgent {
  if (isStartable(value)) return { name: value.protocol.name, agent: value, args: undefined };
  const expected = 'an agent, a pool, or { agent, name?, args? }';
  if (typeof value !== 'object' || value === null || !('agent' in value))
    throw invalidOption(option, expected, value);
  const { agent, name, args } = objectOption(option, value, ['agent', 'name', 'args']);
  if (!isStartable(agent)) throw invalidOption(`${option}.agent`, 'an agent, or a pool', agent);
  if (args !== undefined && !isSchema(args)) throw invalidOption(`${option}.args`, 'a schema', args);
  if (args !== undefined && !isFitForWire(args))
    throw invalidOption(`${option}.args`, `a schema that checks (${ONLY_TYPED})`, args);
  const known = name === undefined ? agent.protocol.name : nameOption(`${option}.name`, name);
  return { name: known, agent, args };
}
