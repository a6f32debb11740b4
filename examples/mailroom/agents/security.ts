/** Security: looks at every readable mail and publishes what it finds as `critical`, ahead of all mail that is queued. */
import { agent, type Ref } from 'troupe';
import { findAlerts, type SecurityRule } from '../security.ts';
import { Alert, Governor, type KindCounts, noMails, PLACES, Security } from './protocols.ts';

/** Options of security. */
export interface SecurityArgs {
  /** How long it waits for room before it takes the mailroom for broken. */
  readonly patienceMs: number;
}

interface SecurityState {
  readonly patience: { readonly timeoutMs: number };
  readonly governor: Ref<typeof Governor>;
  readonly mails: KindCounts;
  alerts: number;
  readonly byRule: Map<SecurityRule, number>;
}

/** Examines mails. It does not know who listens to its alerts. */
export const security = agent(Security, {
  state: (args: SecurityArgs, ctx): SecurityState => ({
    patience: { timeoutMs: args.patienceMs },
    governor: ctx.system.ref(Governor, PLACES.governor),
    mails: noMails(),
    alerts: 0,
    byRule: new Map(),
  }),
  mailbox: { capacity: 64 },
  on: {
    async examine(ctx, { name, kind, mail }) {
      const { governor, byRule, patience } = ctx.state;
      const alerts = findAlerts(mail);
      for (const { rule, detail } of alerts) {
        const notice = { mail: name, detail, publishedAtMs: performance.now() };
        await ctx.publish(Alert, { rule }, notice, { priority: 'critical', ...patience });
        byRule.set(rule, (byRule.get(rule) ?? 0) + 1);
        ctx.state.alerts += 1;
      }
      if (alerts.length === 0) await ctx.send(governor, 'clean', { name }, patience);
      ctx.state.mails[kind] += 1;
    },
    report: ({ state }) => ({
      mails: { ...state.mails },
      alerts: state.alerts,
      byRule: Object.fromEntries(state.byRule),
    }),
  },
});
