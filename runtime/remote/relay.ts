/** What another node has published, given to the subscribers of this one: each is told when it is done with. */

import type { Outcome } from '../../src/protocol/envelope.ts';
import type { Publication } from '../routing/publication.ts';
import type { Router } from '../routing/router.ts';
import { Tally } from '../routing/tally.ts';
import type { GroupName } from './group-readings.ts';
import { type GivenUp, RELEASE, type Taken } from './inbound.ts';

/** What came into the inbox is done with when the subscribers here have it in their queues. */
export function relayToAll(router: Router, publication: Publication): Taken {
  router.relay(publication, ({ group }) => group === undefined);
  const { waits } = publication;
  return waits === undefined ? undefined : Promise.allSettled(waits).then(() => undefined);
}

/** What came to a group is done with when one of its members here has handled it, retries included. */
export function relayToGroup(router: Router, publication: Publication, name: GroupName): Taken {
  const tally = new Tally();
  publication.extras.witness = tally;
  router.relay(publication, ({ group, pattern }) => group === name.group && pattern === name.pattern);
  tally.begin(publication);
  return new Promise((resolve) => {
    tally.whenDone(() => resolve(endOf(tally, publication)));
  });
}

/** What the broker is told: somebody handled it, nobody could, or nobody had the time. */
function endOf(
  { handled, failed, trouble }: Tally,
  { unfit }: Publication,
): GivenUp | typeof RELEASE | undefined {
  if (handled > 0) return undefined;
  // It would not fit the next time either.
  if (failed === 0 && unfit !== undefined) return { reason: 'validation', error: unfit.error };
  if (failed === 0 || trouble === undefined) return RELEASE; // nobody is left here
  return isNobodysFault(trouble.outcome) ? RELEASE : { reason: trouble.outcome, error: trouble.error };
}

/** The member has gone, not the message wrong. */
function isNobodysFault(outcome: Outcome): boolean {
  return outcome === 'stopped' || outcome === 'killed' || outcome === 'cancelled';
}
