/**
 * A program that works on a durable store at full speed until it is killed, for a test to run as a process of its own.
 * It says each acknowledgement on its own line once it has one: a position and an id (`append 7 a-7`), or what it has marked,
 * removed or trimmed. Arguments: the folder, a name for its ids, what to do, and how.
 */

import { parseArgs } from 'node:util';
import { openStore } from '../../adapters/store/lmdb-store.ts';

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    /** Publishers at once. */
    publishers: { type: 'string', default: '50' },
    /** Appends in all; none for no end. */
    appends: { type: 'string', default: 'Infinity' },
    payloadBytes: { type: 'string', default: '100' },
    messagesMax: { type: 'string', default: 'Infinity' },
    /** Marks and trims beside the appends. */
    busy: { type: 'boolean', default: false },
    /** Leaves out every sync. */
    unsynced: { type: 'boolean', default: false },
  },
});
const [folder = '', name = ''] = positionals;
const payload = 'x'.repeat(Number(values.payloadBytes));
const publishers = Number(values.publishers);

const store = await openStore(
  { folder, messagesMax: Number(values.messagesMax) },
  { isSyncing: !values.unsynced },
);

/** Lines of one batch are said together: by a system call of their own, so that a kill leaves whole lines. */
let lines: string[] = [];
function say(line: string): void {
  if (lines.push(line) === 1) setImmediate(flush);
}
function flush(): void {
  const said = lines;
  lines = [];
  process.stdout.write(`${said.join('\n')}\n`);
}

let left = Number(values.appends);
let made = 0;
async function publish(): Promise<void> {
  while (left-- > 0) {
    const id = `${name}-${++made}`;
    const position = await store.append({
      id,
      topic: `topic.${made % 3}`,
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
try {
  await Promise.all(Array.from({ length: publishers }, () => publish()));
  await store.close();
  say('closed');
} catch (error) {
  say(`failed ${error instanceof Error ? error.message : String(error)}`);
}
