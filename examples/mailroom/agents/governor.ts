/** The governor: hears every alert and decides when suspicious mail is held back. The rules are in quarantine.ts. */
import { agent } from 'troupe';
import { AT_EASE, afterFinding, type Finding, type Quarantine, type Transition } from '../quarantine.ts';
import { Alert, Governor } from './protocols.ts';

interface GovernorState {
  quarantine: Quarantine;
  transitionsCount: number;
  readonly transitions: Transition[];
}

/** Transitions kept for the report: the first ones. */
const TRANSITIONS_MAX = 16;

/** Subscribes to the alerts of all rules. */
export const governor = agent(Governor, {
  state: (): GovernorState => ({ quarantine: AT_EASE, transitionsCount: 0, transitions: [] }),
  subscribe: [{ topic: Alert, as: 'alert' }],
  on: {
    alert: (ctx) => note(ctx.state, 'alert'),
    clean: (ctx) => note(ctx.state, 'clean'),
    report: ({ state }) => ({
      ...state.quarantine,
      transitionsCount: state.transitionsCount,
      transitions: [...state.transitions],
    }),
  },
});

function note(state: GovernorState, finding: Finding): void {
  const { mode: from } = state.quarantine;
  state.quarantine = afterFinding(state.quarantine, finding);
  const { mode: to, mails } = state.quarantine;
  if (from === to) return;
  state.transitionsCount += 1;
  if (state.transitions.length < TRANSITIONS_MAX) state.transitions.push({ from, to, atMail: mails });
}
