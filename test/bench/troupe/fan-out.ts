/** Troupe's fan-out: an actor tells 100 others whatever it is told; 10 such messages a window. */

import { agent, createSystem, protocol, type Ref, tell, type } from 'troupe';
import { measureRate, Tally } from '../driver.ts';

const RECEIVERS = 100;
const ROUNDS = 10;

const tally = new Tally();
const Receiver = protocol('receiver', { take: tell(type<{ value: number }>()) });
const receivers: Ref<typeof Receiver>[] = [];
const receiver = agent(Receiver, {
  on: {
    take: () => {
      tally.handle();
    },
  },
});
const hub = agent(Receiver, {
  on: {
    take: (ctx, news) => {
      for (const ref of receivers) ctx.tell(ref, 'take', { value: news.value });
      tally.handle();
    },
  },
});

const system = await createSystem({ name: 'bench' });
for (let index = 0; index < RECEIVERS; index++) receivers.push(await system.spawn(receiver));
const hubRef = await system.spawn(hub);

await measureRate({
  tally,
  operations: ROUNDS * RECEIVERS,
  window: () => {
    const handled = tally.open(ROUNDS * (RECEIVERS + 1));
    for (let value = 0; value < ROUNDS; value++) hubRef.tell('take', { value });
    return handled;
  },
});
