/**
 * What a node says of itself through the broker: one JSON object. It comes from a process that may be of another make or version, so the
 * reader takes what has the shape below, and nothing else; it never throws.
 */

import { SHARDS_MAX } from '../../src/protocol/limits.ts';
import type { Member } from '../../src/protocol/membership.ts';
import { isName } from '../../src/protocol/options.ts';

/** What a node says of itself. */
export interface About {
  /** It takes no new mail. */
  readonly leaving: boolean;
  /** What it can start. */
  readonly agents: readonly string[];
  /** The groups of keyed agents that it takes part in, and how many shards it thinks they have. */
  readonly keyed: Readonly<Record<string, number>>;
}

/** What a node says that has not said anything. */
export const NOTHING_SAID: About = Object.freeze({
  leaving: false,
  agents: Object.freeze([]),
  keyed: Object.freeze({}),
});
/** What was read, for as long as the member says the same: it is asked for with every message that is sent. */
const read = new WeakMap<Member, About>();

/** As it is told. What is not so is left out. */
export function aboutText({ leaving, agents, keyed }: About): string {
  return JSON.stringify({
    leaving: leaving ? true : undefined,
    agents: agents.length === 0 ? undefined : agents,
    keyed: Object.keys(keyed).length === 0 ? undefined : keyed,
  });
}

/** What a member says of itself. */
export function aboutOf(member: Member): About {
  if (member.about === '') return NOTHING_SAID;
  let about = read.get(member);
  if (about === undefined) {
    about = parse(member.about);
    read.set(member, about);
  }
  return about;
}

function parse(text: string): About {
  let said: unknown;
  try {
    said = JSON.parse(text);
  } catch {
    return NOTHING_SAID;
  }
  const { leaving, agents, keyed } = recordIn(said);
  const named = Array.isArray(agents) ? [...new Set(agents.filter(isName))] : [];
  const groups = Object.entries(recordIn(keyed)).filter((entry): entry is [string, number] =>
    isShards(entry[1]),
  );
  return Object.freeze({
    leaving: leaving === true,
    agents: Object.freeze(named),
    keyed: Object.fromEntries(groups),
  });
}

function isShards(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) >= 1 && Number(value) <= SHARDS_MAX;
}

/** The own keys of an object; none of anything else. */
function recordIn(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}
