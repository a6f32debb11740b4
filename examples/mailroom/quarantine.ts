/**
 * When suspicious mail is held back: a state machine over what security finds.
 *
 *   normal --(3 alerts within 40 mails)--> quarantine --(25 clean mails in a row)--> review --(nothing held)--> normal
 *                                               ^--------------(an alert)-------------'
 *
 * In quarantine and review every mail with an alert is held; in review each clean mail leaves time to look at one of those.
 */
import { assign, setup } from 'xstate';

/** How the mailroom treats suspicious mail. */
export type Mode = 'normal' | 'quarantine' | 'review';

/** A change of mode. */
export interface Transition {
  readonly from: Mode;
  readonly to: Mode;
  /** How many mails had been seen by then. */
  readonly atMail: number;
}

/** What the machine counts. */
export interface Quarantine {
  readonly mails: number;
  readonly alerts: number;
  /** At which mails the last alerts were raised, at most `ALERTS`. */
  readonly lastAlertsAt: readonly number[];
  /** Clean mails since the last alert. */
  readonly cleanInARow: number;
  readonly held: number;
  readonly reviewed: number;
  readonly transitionsCount: number;
  /** The first ones. */
  readonly transitions: readonly Transition[];
}

/** What the governor did. */
export interface QuarantineReport extends Quarantine {
  readonly mode: Mode;
}

const ALERTS = 3;
const WITHIN_MAILS = 40;
const CLEAN_IN_A_ROW = 25;
/** Transitions kept for the report: the first ones. */
const TRANSITIONS_MAX = 16;

/** Before the first mail. */
export const AT_EASE: Quarantine = {
  mails: 0,
  alerts: 0,
  lastAlertsAt: [],
  cleanInARow: 0,
  held: 0,
  reviewed: 0,
  transitionsCount: 0,
  transitions: [],
};

/** What is found of each mail, and the question what became of it. */
export type Finding = { readonly type: 'alert' | 'clean' | 'report' };

/** The machine. */
export const quarantine = setup({
  types: { context: {} as Quarantine, events: {} as Finding },
  guards: {
    isOutbreak: ({ context }) => {
      const [first] = lastAlerts(context);
      return lastAlerts(context).length === ALERTS && context.mails + 1 - (first ?? 0) < WITHIN_MAILS;
    },
    isQuiet: ({ context }) => context.cleanInARow + 1 >= CLEAN_IN_A_ROW,
    isLast: ({ context }) => context.held <= 1,
  },
  actions: {
    alarm: assign({
      mails: ({ context }) => context.mails + 1,
      alerts: ({ context }) => context.alerts + 1,
      lastAlertsAt: ({ context }) => lastAlerts(context),
      cleanInARow: 0,
    }),
    pass: assign({
      mails: ({ context }) => context.mails + 1,
      cleanInARow: ({ context }) => context.cleanInARow + 1,
    }),
    hold: assign({ held: ({ context }) => context.held + 1 }),
    review: assign({
      held: ({ context }) => Math.max(0, context.held - 1),
      reviewed: ({ context }) => context.reviewed + Math.min(1, context.held),
    }),
    change: assign({
      transitionsCount: ({ context }) => context.transitionsCount + 1,
      transitions: ({ context }, { from, to }: { from: Mode; to: Mode }) =>
        [...context.transitions, { from, to, atMail: context.mails }].slice(0, TRANSITIONS_MAX),
    }),
  },
}).createMachine({
  id: 'quarantine',
  context: AT_EASE,
  initial: 'normal',
  states: {
    normal: {
      on: {
        alert: [
          {
            guard: 'isOutbreak',
            target: 'quarantine',
            actions: ['alarm', 'hold', { type: 'change', params: { from: 'normal', to: 'quarantine' } }],
          },
          { actions: 'alarm' },
        ],
        clean: { actions: 'pass' },
      },
    },
    quarantine: {
      on: {
        alert: { actions: ['alarm', 'hold'] },
        clean: [
          {
            guard: 'isQuiet',
            target: 'review',
            actions: ['pass', { type: 'change', params: { from: 'quarantine', to: 'review' } }],
          },
          { actions: 'pass' },
        ],
      },
    },
    review: {
      on: {
        alert: {
          target: 'quarantine',
          actions: ['alarm', 'hold', { type: 'change', params: { from: 'review', to: 'quarantine' } }],
        },
        clean: [
          {
            guard: 'isLast',
            target: 'normal',
            actions: ['pass', 'review', { type: 'change', params: { from: 'review', to: 'normal' } }],
          },
          { actions: ['pass', 'review'] },
        ],
      },
    },
  },
});

/** The last alerts, with one of the mail that has come. */
function lastAlerts({ lastAlertsAt, mails }: Quarantine): readonly number[] {
  return [...lastAlertsAt, mails + 1].slice(-ALERTS);
}
