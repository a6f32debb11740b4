import { agent, createSystem, protocol, stream, supervisor, type } from 'troupe';

const Writer = protocol('writer', {
  // what is asked, each part, and what is returned at the end
  write: stream(type<{ about: string }>(), type<string>(), type<{ words: number }>()),
});

const writer = agent(Writer, {
  on: {
    async *write(ctx, { about }) {
      let words = 0;
      try {
        for (const word of `all there is to say about ${about}`.split(' ')) {
          await new Promise((resolve) => setTimeout(resolve, 1)); // a model that thinks
          words++;
          yield word; // waits here while nobody takes what was written
        }
        return { words };
      } finally {
        console.log(ctx.signal.aborted ? `stopped after ${words} words` : `wrote ${words} words`);
      }
    },
  },
});

const root = supervisor({ children: { writer: writer.child() } });
const system = await createSystem({ name: 'stream', root, log: false });
const { writer: ref } = system.refs;

const parts = ref.stream('write', { about: 'actors' });
for await (const word of parts) console.log(word);
console.log(await parts.result); // { words: 7 }

// Whoever breaks off ends the work. With a window of 1 the writer is never more than one word ahead.
for await (const word of ref.stream('write', { about: 'streams' }, { window: 1 })) if (word === 'is') break;

// A signal does the same from anywhere; a deadline, `timeoutMs`, is always there.
const enough = new AbortController();
const read = async (): Promise<void> => {
  for await (const word of ref.stream('write', { about: 'signals' }, { window: 1, signal: enough.signal }))
    if (word === 'to') enough.abort(new Error('that is enough'));
};
await read().catch((error: unknown) => console.log(String(error)));
await system.shutdown();
