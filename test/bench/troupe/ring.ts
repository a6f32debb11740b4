/** Troupe's ring: one message travels through 1,000 actors, 100 laps a window. */

import { agent, createSystem, protocol, type Ref, tell, type } from 'troupe';
import { measureRate, Tally } from '../driver.ts';

const ACTORS = 1_000;
const HOPS = ACTORS * 100;

const tally = new Tally();
const Member = protocol('member', { pass: tell(type<{ value: number }>()) });
const ring: Ref<typeof Member>[] = [];
const member = agent(Member, {
  state: (args: { next: number }) => args,
  on: {
    pass: (ctx, token) => {
      if (!tally.handle()) return;
      const next = ring[ctx.state.next];
      if (next !== undefined) ctx.tell(next, 'pass', { value: token.value + 1 });
    },
  },
});

const system = await createSystem({ name: 'bench' });
for (let index = 0; index < ACTORS; index++) {
  ring.push(await system.spawn(member, { args: { next: (index + 1) % ACTORS } }));
}

await measureRate({
  tally,
  operations: HOPS,
  window: () => {
    const handled = tally.open(HOPS);
    ring[0]?.tell('pass', { value: 0 });
    return handled;
  },
});
