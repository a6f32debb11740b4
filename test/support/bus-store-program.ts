/**
 * A program with a bus that keeps what is published, for a test to run and to kill. Arguments: the folder of the store, a name,
 * and nothing (publishes for ever with 40 at once, to one handler, and says each that has resolved) or a number: replays all,
 * and kills itself when its handler has that many of them.
 */

import { openLmdbStore } from '../../adapters/store/index.ts';
import { MessageBus } from '../../runtime/bus/bus.ts';
import { say } from './said-lines.ts';

const PUBLISHERS = 40;
const [folder = '', name = '', crashAt] = process.argv.slice(2);

const store = await openLmdbStore({ folder, messagesMax: Number.POSITIVE_INFINITY });
const bus = await MessageBus.connect({ store });

async function publish(publisher: number): Promise<void> {
  for (let number = 1; ; number++) {
    const payload = { name, publisher, number };
    const { id } = await bus.publish(`publisher.${publisher}`, payload);
    say(`published ${id} ${JSON.stringify(payload)}`);
  }
}

say('open');
if (crashAt === undefined) {
  await bus.subscribe('publisher.*', () => {});
  await Promise.all(Array.from({ length: PUBLISHERS }, (_, publisher) => publish(publisher)));
}
let replayed = 0;
await bus.replay('publisher.*', () => {
  if (++replayed === Number(crashAt)) process.kill(process.pid, 'SIGKILL');
});
say('replayed all');
