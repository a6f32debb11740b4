import { z } from 'zod';
import { agent, ask, protocol, type System, tell, topic } from 'troupe';

declare const system: System;
const Verdict = topic('mail.verdict.{label}', z.object({ id: z.string(), score: z.number() }));
const Learner = protocol('learner', {
  learn: tell(z.object({ id: z.string(), label: z.enum(['spam', 'ham']) })),
  explain: ask(z.object({ id: z.string() }), z.string()),
});
const on = { learn: () => undefined, explain: () => 'so' };
const Counter = protocol('counter', { count: tell(z.number()), ring: tell() });

// The payload carries the parameters as well.
// error: a topic with parameters carries an object"
topic('mail.{box}', z.string());
// error: not a list
topic('mail.{box}', z.array(z.string()));
// error: a field of the same name as a parameter
topic('mail.{box}', z.object({ box: z.string() }));
// error: the schema does not accept its own output
topic('mail', z.string().transform(Number));

// Publishing.
system.publish(Verdict, { label: 'spam' }, { id: '1', score: 1 });
// error: 'number' is not assignable to type 'string'
system.publish(Verdict, { label: 5 }, { id: '1', score: 1 });
// error: 'lable' does not exist
system.publish(Verdict, { lable: 'spam' }, { id: '1', score: 1 });
// error: 'string' is not assignable to type 'number'
system.publish(Verdict, { label: 'spam' }, { id: '1', score: 'high' });
// error: Expected 3-4 arguments, but got 2
system.publish(Verdict, { label: 'spam' });
// error: '"loud"' is not assignable
system.publish(Verdict, { label: 'spam' }, { id: '1', score: 1 }, { priority: 'loud' });
// error: from type 'TopicDefinition'
system.publish(Verdict.where({ label: 'spam' }), { id: '1', score: 1 });

// Filters and subscribers.
// error: the topic has no such parameter
Verdict.where({ lable: 'spam' });
// error: 'number' is not assignable to type 'string'
Verdict.where({ label: 5 });
// error: Property 'scor' does not exist
system.subscribe(Verdict, (message) => message.scor);
// error: '"ham"' have no overlap
system.subscribe(Verdict.where({ label: 'spam' }), (message) => message.label === 'ham');
// error: '"newest"' is not assignable
system.subscribe(Verdict, () => undefined, { overflow: 'newest' });

// What a topic delivers must fit the message it arrives as.
agent(Learner, { subscribe: [{ topic: Verdict.where({ label: 'spam' }), as: 'learn', overflow: 'latest' }], on });
// error: 'string' is not assignable to type
agent(Learner, { subscribe: [{ topic: Verdict, as: 'learn' }], on });
// error: '"learnt"' is not assignable
agent(Learner, { subscribe: [{ topic: Verdict.where({ label: 'spam' }), as: 'learnt' }], on });
// error: '"drop-oldest"' is not assignable
agent(Learner, { subscribe: [{ topic: Verdict.where({ label: 'spam' }), as: 'learn', overflow: 'drop-oldest' }], on });
// error: '"explain"' is not assignable
agent(Learner, { subscribe: [{ topic: Verdict.where({ label: 'spam' }), as: 'explain' }], on });
// error: is not assignable to type
agent(Counter, { subscribe: [{ topic: Verdict, as: 'count' }], on: { count() {}, ring() {} } });
agent(Learner, {
  on: {
    ...on,
    async learn(ctx) {
      await ctx.subscribe(Verdict.where({ label: 'ham' }), { as: 'learn' });
      // error: '"explain"' is not assignable
      await ctx.subscribe(Verdict.where({ label: 'ham' }), { as: 'explain' });
    },
  },
});
