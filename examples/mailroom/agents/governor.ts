/** The governor: hears every alert and decides when suspicious mail is held back. It is the state machine of quarantine.ts. */
import { machineAgent } from 'troupe/xstate';
import { quarantine } from '../quarantine.ts';
import { Alert, Governor } from './protocols.ts';

/** Subscribes to the alerts of all rules. What it is told are the machine's events. */
export const governor = machineAgent(Governor, quarantine, {
  subscribe: [{ topic: Alert, as: 'alert' }],
  reply: { report: ({ value, context }) => ({ mode: value, ...context }) },
});
