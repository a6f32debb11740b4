/**
 * Troupe's spawn: 10,000 actors are started, each is told one message, and all of them live until the last of these was
 * handled. Stopping them afterwards is not measured.
 */

import { agent, createSystem, protocol, type Ref, tell, type } from 'troupe';
import { measureRate, Tally } from '../driver.ts';

const ACTORS = 10_000;

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
let living: Ref<typeof Receiver>[] = [];

await measureRate({
  tally,
  operations: ACTORS,
  window: async () => {
    const handled = tally.open(ACTORS);
    for (let value = 0; value < ACTORS; value++) {
      const ref = await system.spawn(receiver);
      ref.tell('take', { value });
      living.push(ref);
    }
    await handled;
  },
  between: async () => {
    await Promise.all(living.map((ref) => system.stop(ref)));
    living = [];
  },
});
