/** Troupe's `tell`: a sender outside tells one actor 1,000 messages and waits until they are handled. */

import { agent, createSystem, protocol, tell, type } from 'troupe';
import { measureRate, Tally } from '../driver.ts';

const WINDOW = 1_000;

const tally = new Tally();
const Receiver = protocol('receiver', { take: tell(type<{ value: number }>()) });
const receiver = agent(Receiver, {
  on: {
    take: () => {
      tally.handle();
    },
  },
});

const system = await createSystem({ name: 'bench' });
const ref = await system.spawn(receiver);

await measureRate({
  tally,
  operations: WINDOW,
  window: () => {
    const handled = tally.open(WINDOW);
    for (let value = 0; value < WINDOW; value++) ref.tell('take', { value });
    return handled;
  },
});
