/** What a node makes of a message about who lives, and whom it answers. */

import { type MemberMessage, TOLD_MAX } from './member-messages.ts';
import type { Gone, Roster, Told } from './roster.ts';

/** A message to one node. */
export interface Answer {
  readonly to: string;
  readonly message: MemberMessage;
}

/** What is to be said now that a message was heard. */
export interface Heard {
  readonly answers: readonly Answer[];
  /** This node has begun its next life, and must tell all. */
  readonly mustTell: boolean;
}

/** Takes a message into the roster. */
export function heard(roster: Roster, message: MemberMessage): Heard {
  switch (message.kind) {
    case 'hello': {
      const answers = ofItself(roster, message.member);
      if (message.member.name !== roster.self.name)
        answers.push(introduction(roster, message.member.name, [roster.self]));
      return { answers, mustTell: false };
    }
    case 'here': {
      const answers: Answer[] = [];
      for (const member of message.members) {
        if (member.name === message.from) answers.push(...ofItself(roster, member));
        else roster.heard(member, false);
      }
      return { answers, mustTell: false };
    }
    case 'ask':
      return { answers: unknownTo(roster, message), mustTell: false };
    case 'gone':
      return { answers: [], mustTell: roster.heardGone(message.gone) };
    case 'probe':
      return { answers: [], mustTell: false };
  }
}

/** Whoever speaks in a life that has ended is told so: it was taken for dead, and does not know it. */
function ofItself(roster: Roster, told: Told): Answer[] {
  const gone: Gone | undefined = roster.heard(told, true);
  return gone === undefined ? [] : [{ to: told.name, message: { kind: 'gone', gone } }];
}

function unknownTo(roster: Roster, { from, known }: MemberMessage & { readonly kind: 'ask' }): Answer[] {
  if (from === roster.self.name) return [];
  const unknown = roster.without(new Set([...known, from]));
  const answers: Answer[] = [];
  for (let at = 0; at < unknown.length; at += TOLD_MAX)
    answers.push(introduction(roster, from, unknown.slice(at, at + TOLD_MAX)));
  return answers;
}

function introduction(roster: Roster, to: string, members: readonly Told[]): Answer {
  return { to, message: { kind: 'here', from: roster.self.name, members } };
}
