/**
 * A program that works on a durable store at full speed until it is killed, for a test to run as a process of its own.
 * It says each acknowledgement on its own line once it has one: a position and an id (`append 7 a-7`), or what it has marked
 * or trimmed. Arguments: the folder, a name for its ids, and how.
 */

import { parseArgs } from 'node:util';
import { type Driver, loadDriver } from '../../adapters/store/lmdb-folder.ts';
import { openStore } from '../../adapters/store/lmdb-store.ts';
import { say } from './said-lines.ts';

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    /** Publishers at once. */
    publishers: { type: 'string', default: '50' },
    /** Appends in all; none for no end. */
    appends: { type: 'string', default: 'Infinity' },
    payloadBytes: { type: 'string', default: '100' },
    /** Marks and trims beside the appends. */
    busy: { type: 'boolean', default: false },
    /** Opens LMDB without its syncs, for the test that must notice it. */
    unsynced: { type: 'boolean', default: false },
  },
});
const [folder = '', name = ''] = positionals;
const publishers = Number(values.publishers);

async function load(): Promise<Driver> {
  const { open } = await loadDriver();
  // Its overloads differ in the types of keys and values alone.
  const unsynced = ((options: object) => open({ ...options, noSync: true })) as Driver['open'];
  return { open: values.unsynced ? unsynced : open };
}

const store = await openStore({ folder, messagesMax: Number.POSITIVE_INFINITY }, load);
let left = Number(values.appends);
let made = 0;

async function publish(): Promise<void> {
  while (left-- > 0) {
    const id = `${name}-${++made}`;
    // The payload names its message, so that a mix-up would show, and is longer than a page now and then.
    const payload = { id, text: 'x'.repeat(Number(values.payloadBytes) * (made % 50 === 0 ? 100 : 1)) };
    const topic = `topic.${made % 3}`;
    const position = await store.append({
      id,
      topic,
      payload,
      priority: 'normal',
      headers: {},
      publishedAtMs: made,
    });
    say(`append ${position} ${id}`);
    if (!values.busy || position % 3 !== 0) continue;
    await store.mark(position, { status: 'handled', attempts: 1 });
    say(`mark ${position}`);
    if (position % 300 !== 0) continue;
    const { messages } = await store.trim({ messagesMax: 500 });
    say(`trim ${messages}`);
  }
}

say('open');
const ends = await Promise.allSettled(Array.from({ length: publishers }, () => publish()));
for (const end of ends) {
  if (end.status === 'fulfilled') continue;
  const { code, details } = end.reason as { readonly code: string; readonly details: object }; // the store's own
  say(`failed ${code} ${JSON.stringify(details)}`);
}
const { messages, waiting } = await store.stats();
say(`stats ${messages} ${waiting}`);
await store.close();
say('closed');
