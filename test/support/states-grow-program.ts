/** A program that saves a snapshot of another key each time, so that the file grows, until it is told to end. It says how many are safe. */

import { fileStates } from '../../adapters/store/file-states.ts';
import { systemHost } from '../../runtime/host/system-clock.ts';
import { say } from './said-lines.ts';

const [folder = ''] = process.argv.slice(2);
const store = fileStates({ folder });
await store.open(systemHost);
const claim = { epoch: 1, owner: 'grows' };
let isOver = false;
process.once('SIGTERM', () => {
  isOver = true;
});
let n = 0;
for (; !isOver; n++) {
  const key = { kind: 'grows', key: `${n}` };
  await store.activate(key, claim);
  await store.save(key, claim, Buffer.alloc(9_000, n % 256));
  if (n === 0) say('grows');
}
say(`${n}`);
await store.close();
