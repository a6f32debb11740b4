import { agent, ask, createSystem, protocol, supervisor, tell, type } from 'troupe';

const Judge = protocol('judge', {
  learn: tell(type<{ word: string }>()),
  score: ask(type<{ text: string }>(), type<number>()),
});

const judge = agent(Judge, {
  state: () => ({ words: new Set<string>() }),
  mailbox: { capacity: 100 },
  on: {
    learn: (ctx, { word }) => ctx.state.words.add(word),
    score: (ctx, { text }) => {
      if (text === '') throw new Error('nothing to judge');
      return text.split(' ').filter((word) => ctx.state.words.has(word)).length;
    },
  },
});

const root = supervisor({ children: { judge: judge.child({ restart: 'transient' }) } });
const system = await createSystem({ name: 'first', root });
const ref = system.refs.judge;

await ref.send('learn', { word: 'offer' }, { priority: 'high' }); // waits when the mailbox is full
console.log(await ref.ask('score', { text: 'an offer you cannot refuse' })); // 1
await ref.ask('score', { text: '' }).catch((error: unknown) => console.log(String(error))); // its turn failed
console.log(await ref.ask('score', { text: 'an offer' })); // 0: it was restarted, with fresh state
await system.shutdown();
