import { agent, ask, createSystem, protocol, supervisor, type } from 'troupe';

const Translator = protocol('translator', {
  translate: ask(type<{ text: string }>(), type<string>()),
});

let workers = 0;
const translator = agent(Translator, {
  state: () => ({ name: `worker ${++workers}` }),
  on: {
    translate: async (ctx, { text }) => {
      await new Promise((resolve) => setTimeout(resolve, text.length)); // a model that takes its time
      return `${ctx.state.name}: ${text.toUpperCase()}`;
    },
  },
});

const root = supervisor({
  children: {
    translators: translator.pool({
      size: 2, // whoever is idle takes the next
      mailbox: { capacity: 100 },
      rateLimit: { tokens: 10_000, perMs: 60_000, cost: (_name, { text }) => text.length }, // what the model's vendor allows
    }),
  },
});
const system = await createSystem({ name: 'pool', root, log: false });
const { translators } = system.refs;

const first = ['a long sentence that keeps its worker busy', 'short', 'words'].map((text) =>
  translators.ask('translate', { text }),
);
for (const answer of await Promise.all(first)) console.log(answer); // worker 2 has done both short ones
await system.resize(translators, 4); // grows at once; shrinking lets each worker finish
console.log(system.inspect(translators)?.pool?.workers.length); // 4
await system.shutdown();
