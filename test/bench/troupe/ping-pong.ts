/** Troupe's ping-pong: two actors send one message to and fro, 10,000 round trips a window. */

import { agent, createSystem, protocol, type Ref, tell, type } from 'troupe';
import { measureRate, Tally } from '../driver.ts';

const ROUND_TRIPS = 10_000;

const tally = new Tally();
const Player = protocol('player', { hit: tell(type<{ value: number }>()) });
const ping = agent(Player, {
  on: {
    hit: (ctx, ball) => {
      if (tally.handle()) ctx.tell(pongRef, 'hit', { value: ball.value + 1 });
    },
  },
});
const pong = agent(Player, {
  on: {
    hit: (ctx, ball) => {
      if (tally.handle()) ctx.tell(pingRef, 'hit', { value: ball.value + 1 });
    },
  },
});

const system = await createSystem({ name: 'bench' });
const pingRef: Ref<typeof Player> = await system.spawn(ping);
const pongRef: Ref<typeof Player> = await system.spawn(pong);

await measureRate({
  tally,
  operations: ROUND_TRIPS,
  window: () => {
    const handled = tally.open(ROUND_TRIPS * 2);
    pongRef.tell('hit', { value: 0 });
    return handled;
  },
});
