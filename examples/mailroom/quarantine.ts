/**
 * When suspicious mail is held back: a small state machine over what security finds, as a pure function.
 *
 *   normal --(3 alerts within 40 mails)--> quarantine --(25 clean mails in a row)--> review --(nothing held)--> normal
 *                                               ^--------------(an alert)-------------'
 *
 * In quarantine and review every mail with an alert is held; in review each clean mail leaves time to look at one of those.
 */

/** How the mailroom treats suspicious mail. */
export type Mode = 'normal' | 'quarantine' | 'review';

/** What security found of one mail. */
export type Finding = 'alert' | 'clean';

/** A change of mode. */
export interface Transition {
  readonly from: Mode;
  readonly to: Mode;
  /** How many mails had been seen by then. */
  readonly atMail: number;
}

/** The machine's state. */
export interface Quarantine {
  readonly mode: Mode;
  readonly mails: number;
  readonly alerts: number;
  /** At which mails the last alerts were raised, at most `ALERTS`. */
  readonly lastAlertsAt: readonly number[];
  /** Clean mails since the last alert. */
  readonly cleanInARow: number;
  readonly held: number;
  readonly reviewed: number;
}

/** What the governor did. */
export interface QuarantineReport extends Quarantine {
  readonly transitionsCount: number;
  /** The first ones. */
  readonly transitions: readonly Transition[];
}

const ALERTS = 3;
const WITHIN_MAILS = 40;
const CLEAN_IN_A_ROW = 25;

/** Before the first mail. */
export const AT_EASE: Quarantine = {
  mode: 'normal',
  mails: 0,
  alerts: 0,
  lastAlertsAt: [],
  cleanInARow: 0,
  held: 0,
  reviewed: 0,
};

/** The state after one more finding. */
export function afterFinding(before: Quarantine, finding: Finding): Quarantine {
  return finding === 'alert' ? afterAlert(before) : afterClean(before);
}

function afterAlert(before: Quarantine): Quarantine {
  const mails = before.mails + 1;
  const lastAlertsAt = [...before.lastAlertsAt, mails].slice(-ALERTS);
  const first = lastAlertsAt[0] ?? mails;
  const isOutbreak = lastAlertsAt.length === ALERTS && mails - first < WITHIN_MAILS;
  const isCalm = before.mode === 'normal' && !isOutbreak;
  return {
    ...before,
    mode: isCalm ? 'normal' : 'quarantine',
    mails,
    alerts: before.alerts + 1,
    lastAlertsAt,
    cleanInARow: 0,
    held: isCalm ? before.held : before.held + 1,
  };
}

function afterClean(before: Quarantine): Quarantine {
  const after = { ...before, mails: before.mails + 1, cleanInARow: before.cleanInARow + 1 };
  switch (before.mode) {
    case 'normal':
      return after;
    case 'quarantine':
      return after.cleanInARow >= CLEAN_IN_A_ROW ? { ...after, mode: 'review' } : after;
    case 'review': {
      const held = Math.max(0, before.held - 1);
      const reviewed = before.reviewed + (before.held - held);
      return { ...after, held, reviewed, mode: held === 0 ? 'normal' : 'review' };
    }
  }
}
