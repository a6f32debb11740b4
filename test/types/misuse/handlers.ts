import { z } from 'zod';
import { agent, ask, protocol, tell } from 'troupe';

const Triage = protocol('triage', {
  classify: ask(z.object({ id: z.string(), body: z.string() }), z.object({ label: z.enum(['spam', 'ham']), score: z.number() })),
  learn: tell(z.object({ id: z.string(), label: z.enum(['spam', 'ham']) })),
});
const Bell = protocol('bell', { ring: tell() });
interface TriageState {
  seen: number;
}
const state = (args: { threshold: number }): TriageState => ({ seen: args.threshold });
const learn = () => undefined;

agent(Triage, { state, on: { classify: async () => ({ label: 'spam', score: 1 }), learn } });

// The reply.
agent(Triage, {
  state,
  on: {
    learn,
    // error: 'void' is not assignable to type
    async classify(ctx, mail) {
      ctx.state.seen++;
    },
  },
});
agent(Triage, {
  state,
  on: {
    learn,
    // error: '"egg"' is not assignable
    async classify(ctx, mail) {
      return { label: 'egg', score: 1 };
    },
  },
});
agent(Triage, {
  state,
  on: {
    learn,
    // error: Property 'score' is missing
    classify: (ctx, mail) => ({ label: 'spam' }),
  },
});
agent(Triage, {
  on: {
    learn,
    // error: 'undefined' is not assignable to type
    classify(ctx, mail) {
      if (mail.body === '') return undefined;
      return { label: 'ham', score: 0 };
    },
  },
});
agent(Triage, {
  on: {
    learn,
    // error: 'number' is not assignable to type 'Answer
    classify: () => 5,
  },
});
agent(Triage, {
  on: {
    learn,
    classify(ctx) {
      // error: 'string' is not assignable to parameter
      return ctx.reply('spam');
    },
  },
});
agent(Triage, {
  on: {
    learn,
    classify(ctx) {
      // error: Property 'score' is missing
      ctx.replyTo.reply({ label: 'spam' });
      return ctx.replyTo;
    },
  },
});
agent(Bell, {
  on: {
    // error: Property 'reply' does not exist
    ring: (ctx) => ctx.reply(1),
  },
});

// The handlers.
agent(Triage, {
  // error: Property 'classify' is missing
  on: { learn },
});
agent(Triage, {
  on: {
    learn,
    classify: (ctx) => ctx.replyTo,
    // error: 'forget' does not exist
    forget() {},
  },
});
agent(Triage, {
  on: {
    // error: 'number' is not assignable to type
    learn: 5,
    classify: () => ({ label: 'ham' as const, score: 0 }),
  },
});
agent(Triage, {
  on: {
    // error: Property 'other' is missing
    learn: (ctx, message: { other: string }) => message.other,
    classify: (ctx) => ctx.stash(),
  },
});

// What a handler is given.
agent(Triage, {
  state,
  on: {
    // error: Property 'sen' does not exist
    learn: (ctx) => ctx.state.sen,
    // error: Property 'boddy' does not exist
    classify: (ctx, mail) => (mail.boddy ? ctx.stash() : ctx.replyTo),
  },
});
agent(Bell, {
  on: {
    // error: 'ctx.state' is possibly 'undefined'
    ring: (ctx) => ctx.state.seen,
  },
});
agent(Bell, {
  state,
  on: {
    // error: 'string' is not assignable to type 'number'
    ring: (ctx) => (ctx.state.seen = 'many'),
  },
});
agent(Bell, {
  on: {
    ring(ctx) {
      // error: '"rings"' is not assignable
      ctx.tell(ctx.self, 'rings');
      // error: '"ring"' is not assignable
      ctx.ask(ctx.self, 'ring');
      // error: '"tick"' is not assignable
      ctx.continue('tick');
    },
  },
});
agent(Bell, {
  internal: { tick: tell(z.number()) },
  on: {
    ring(ctx) {
      // error: 'string' is not assignable to parameter
      ctx.continue('tick', 'one');
      // error: '"tick"' is not assignable
      ctx.tell(ctx.self, 'tick', 1);
    },
    tick() {},
  },
});
agent(Bell, {
  internal: { tick: tell() },
  // error: Property 'tick' is missing
  on: { ring() {} },
});

// Timers and links.
agent(Bell, {
  internal: { tick: tell(z.number()), tock: tell() },
  on: {
    tick() {},
    tock() {},
    ring(ctx) {
      ctx.timers.every('key', 5, 'tick', 1, { fixedRate: true });
      // error: 'number' is not assignable to parameter of type 'string'
      ctx.timers.once(5, 5, 'tock');
      // error: 'string' is not assignable to parameter of type 'number'
      ctx.timers.once('key', '5', 'tock');
      // error: '"tack"' is not assignable
      ctx.timers.once('key', 5, 'tack');
      // error: '"ring"' is not assignable
      ctx.timers.every('key', 5, 'ring');
      // error: 'string' is not assignable to parameter of type 'number'
      ctx.timers.every('key', 5, 'tick', 'one');
      // error: '1' is not assignable to parameter of type 'undefined'
      ctx.timers.once('key', 5, 'tock', 1);
      // error: Expected 4-5 arguments, but got 3
      ctx.timers.every('key', 5, 'tick');
      // error: 'fixedrate' does not exist
      ctx.timers.every('key', 5, 'tock', undefined, { fixedrate: true });
      // error: 'symbol' is not assignable to parameter of type 'string'
      ctx.timers.cancel(Symbol('key'));
      // error: 'string' is not assignable to parameter of type 'number'
      ctx.setIdleTimeout('5');
      // error: 'string' is not assignable to parameter of type 'AnyRef'
      ctx.link('someone');
    },
  },
});
agent(Bell, {
  on: {
    ring(ctx) {
      // error: '"tick"' is not assignable to parameter of type 'never'
      ctx.timers.once('key', 5, 'tick');
    },
  },
});
agent(Bell, {
  on: { ring() {} },
  // error: 'number' is not assignable to type
  onIdle: 5,
});
