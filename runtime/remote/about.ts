/** What a node says of itself to the others, as the text that its broker carries. Whatever a later version says besides is not looked at. */

import { SHARDS_MAX } from '../../src/protocol/limits.ts';
import type { Member } from '../../src/protocol/membership.ts';

/** What is known of a node beside its name. */
export interface About {
  /** It is being shut down, and takes no new messages. */
  readonly leaving?: boolean;
  /** The groups of keyed agents that it takes part in, and how many shards it thinks they have. */
  readonly keyed?: Readonly<Record<string, number>>;
}

const NOTHING: About = {};
/** A member is another object when it says something else. */
const read = new WeakMap<Member, About>();

/** As the broker carries it. */
export function aboutText(about: About): string {
  return JSON.stringify(about);
}

/** What a node says of itself. Never throws, whatever stands there. */
export function aboutOf(member: Member): About {
  if (member.about === '') return NOTHING;
  let about = read.get(member);
  if (about === undefined) {
    about = parsed(member.about);
    read.set(member, about);
  }
  return about;
}

function parsed(text: string): About {
  let said: unknown;
  try {
    said = JSON.parse(text);
  } catch {
    return NOTHING;
  }
  const { leaving, keyed } = recordIn(said);
  const groups = Object.entries(recordIn(keyed)).filter((entry): entry is [string, number] =>
    isShards(entry[1]),
  );
  return { leaving: leaving === true, keyed: Object.fromEntries(groups) };
}

function isShards(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) >= 1 && Number(value) <= SHARDS_MAX;
}

/** The own keys of an object; none of anything else. */
function recordIn(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}
