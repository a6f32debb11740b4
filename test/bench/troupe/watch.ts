/**
 * Deaths all at once: one actor watches 100,000 others, which are told to end in one go. Measured from the first of these
 * messages to the last notice. The watcher is behind: its mailbox holds as many messages as the first parameter says,
 * each of a stranger, and every death has to look whether one of them is a last word.
 */

import { setImmediate as macrotask } from 'node:timers/promises';
import { agent, createSystem, protocol, type Ref, tell, type } from 'troupe';
import type { WatchResult } from '../watch.ts';

const queued = Number(process.argv[2] ?? 0);
const SUBJECTS = 100_000;
/** Rounds of the event loop in which a notice that came twice would show. */
const LINGER_ROUNDS = 10;

let notices = 0;
let lastAt = 0;
const told = new Set<string>();
const Subject = protocol('subject', { end: tell() });
const Watcher = protocol('watcher', { watch: tell(type<readonly Ref<typeof Subject>[]>()), note: tell() });
const subject = agent(Subject, { on: { end: (ctx) => ctx.stopSelf() } });
const watcher = agent(Watcher, {
  on: {
    watch: (ctx, refs) => {
      for (const ref of refs) ctx.watch(ref);
    },
    note: () => undefined,
  },
  onTerminated: (_ctx, { ref }) => {
    notices++;
    told.add(ref.address);
    if (notices === SUBJECTS) lastAt = performance.now();
  },
});

const system = await createSystem({ name: 'bench' });
const refs: Ref<typeof Subject>[] = [];
for (let i = 0; i < SUBJECTS; i++) refs.push(await system.spawn(subject));
const ref = await system.spawn(watcher);
ref.tell('watch', refs);
await macrotask();
await macrotask();

if (queued > 0) system.suspend(ref);
for (let i = 0; i < queued; i++) ref.tell('note');
const startedAt = performance.now();
for (const each of refs) each.tell('end');
if (queued > 0) {
  // All of them are dead before the watcher goes on.
  for (const each of refs) while (system.inspect(each)?.status !== 'stopped') await macrotask();
  system.resume(ref);
}
while (notices < SUBJECTS) await macrotask();
for (let round = 0; round < LINGER_ROUNDS; round++) await macrotask();
const result: WatchResult = { subjects: SUBJECTS, notices, told: told.size, elapsedMs: lastAt - startedAt };
process.stdout.write(JSON.stringify(result), () => process.exit(0));
