/**
 * What a node says of itself through the broker: one JSON object. It comes from a process that may be of another make or version, so the
 * reader takes what has the shape below, and nothing else; it never throws.
 */

import type { Member } from '../../src/protocol/membership.ts';
import { isName } from '../../src/protocol/options.ts';

/** What a node says of itself. */
export interface About {
  /** It takes no new mail. */
  readonly leaving: boolean;
  /** What it can start. */
  readonly agents: readonly string[];
}

const NOTHING: About = Object.freeze({ leaving: false, agents: Object.freeze([]) });
/** What was read, for as long as the member says the same: it is asked for with every message that is sent. */
const read = new WeakMap<Member, About>();

/** As it is told. What is not so is left out. */
export function aboutText({ leaving, agents }: About): string {
  return JSON.stringify({
    leaving: leaving ? true : undefined,
    agents: agents.length === 0 ? undefined : agents,
  });
}

/** What a member says of itself. */
export function aboutOf(member: Member): About {
  if (member.about === '') return NOTHING;
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
    return NOTHING;
  }
  if (typeof said !== 'object' || said === null) return NOTHING;
  const { leaving, agents } = said as Readonly<Record<string, unknown>>; // any object may be read by name
  const named = Array.isArray(agents) ? [...new Set(agents.filter(isName))] : [];
  return Object.freeze({ leaving: leaving === true, agents: Object.freeze(named) });
}
