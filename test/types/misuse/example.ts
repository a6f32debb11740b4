// The right use, beside the wrong ones: the documentation's example as it stands there, but for what it takes from its
// surroundings (these three names). It lies here because it is neither formatted nor free of unused names.
declare function judge(body: string, signal: AbortSignal): Promise<number>;
declare const mail: { id: string; body: string };
declare const signal: AbortSignal;

import { z } from 'zod';
import { agent, ask, createSystem, protocol, stream, supervisor, tell, topic, type } from 'troupe';

export const Triage = protocol('triage', {
  classify: ask(z.object({ id: z.string(), body: z.string() }), z.object({ label: z.enum(['spam', 'ham']), score: z.number() })),
  explain: stream(z.object({ id: z.string() }), z.string()),
  learn: tell(z.object({ id: z.string(), label: z.enum(['spam', 'ham']) })),
});
export const Verdict = topic('mail.verdict.{label}', z.object({ id: z.string(), score: z.number() }));

interface TriageState { readonly threshold: number; seen: number }

export const triage = agent(Triage, {
  state: (args: { threshold: number }): TriageState => ({ ...args, seen: 0 }),      // may be async; fresh at every (re)start
  mailbox: { capacity: 256, overflow: 'backpressure' },
  turnTimeoutMs: 30_000,
  onFailure: { retry: { attemptsMax: 3, backoff: { minMs: 250, maxMs: 5_000 } } },   // or 'fail', the default
  subscribe: [{ topic: Verdict.where({ label: 'spam' }), as: 'learn' }],             // delivers params & payload
  on: {
    async classify(ctx, mail) {                                        // must return { label, score }
      ctx.state.seen++;
      const score = await judge(mail.body, ctx.signal);                // aborted on timeout, stop, cancel, restart
      const label = score > ctx.state.threshold ? 'spam' : 'ham';
      await ctx.publish(Verdict, { label }, { id: mail.id, score });
      return { label, score };
    },
    async *explain(ctx, { id }) { yield `mail ${id} looks like `; yield 'bulk advertising'; },
    learn: (ctx, message) => ctx.state.seen++,
  },
});

const root = supervisor({
  strategy: 'one-for-one', intensity: { max: 3, withinMs: 60_000 },
  children: { triage: triage.child({ args: { threshold: 0.5 }, restart: 'transient', backoff: { minMs: 50, maxMs: 5_000, jitter: 0.2 } }) },
});

const system = await createSystem({ name: 'mailroom', root });
const ref = system.refs.triage;                                         // typed from the tree
ref.tell('learn', { id: '1', label: 'ham' });                           // never waits: 'accepted' | 'full' | 'stopped' | ...
await ref.send('learn', { id: '2', label: 'spam' }, { priority: 'critical' });   // waits for room: the backpressure
const verdict = await ref.ask('classify', mail, { timeoutMs: 5_000, signal });
for await (const part of ref.stream('explain', { id: '1' })) process.stdout.write(part);
const spam = await system.subscribe(Verdict.where({ label: 'spam' }), (message, meta) => {});
await system.publish(Verdict, { label: 'ham' }, { id: '3', score: 0.1 }, { priority: 'background', ttlMs: 60_000 });
await spam.unsubscribe();
await system.shutdown({ drainMs: 5_000 });
