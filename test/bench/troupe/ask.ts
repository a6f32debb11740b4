/** Troupe's sequential ask: a caller outside awaits the answer and only then asks again. */

import { agent, ask, createSystem, protocol, type } from 'troupe';
import { measureRate, Tally } from '../driver.ts';

const WINDOW = 1_000;

const tally = new Tally();
const Echo = protocol('echo', { repeat: ask(type<{ value: number }>(), type<number>()) });
const echo = agent(Echo, {
  on: {
    repeat: (_ctx, question) => {
      tally.handle();
      return question.value;
    },
  },
});

const system = await createSystem({ name: 'bench' });
const ref = await system.spawn(echo);

await measureRate({
  tally,
  operations: WINDOW,
  window: async () => {
    const handled = tally.open(WINDOW);
    for (let value = 0; value < WINDOW; value++) {
      const answer = await ref.ask('repeat', { value });
      if (answer !== value) throw new Error(`Asked for ${value}, got ${answer}.`);
    }
    await handled;
  },
});
