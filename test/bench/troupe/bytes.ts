/**
 * Troupe's memory: bytes of an actor that waits for work, with all that it holds. With the argument `told`, each has
 * handled one message before; else it was never told anything.
 */

import { agent, createSystem, protocol, type Ref, tell, type } from 'troupe';
import { measureBytes, Tally } from '../driver.ts';

const ACTORS = 100_000;
/** Started before the measurement, so that what exists once is not counted as anybody's. */
const ACTORS_BEFORE = 1_000;

const isTold = process.argv[2] === 'told';
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
for (let index = 0; index < ACTORS_BEFORE; index++) await system.spawn(receiver);

await measureBytes(tally, ACTORS, async () => {
  const refs: Ref<typeof Receiver>[] = [];
  for (let index = 0; index < ACTORS; index++) refs.push(await system.spawn(receiver));
  if (!isTold) return refs;
  const handled = tally.open(ACTORS);
  for (const [value, ref] of refs.entries()) ref.tell('take', { value });
  await handled;
  return refs;
});
