/**
 * A supervision tree to crash by hand. Type a line and see who comes back: `crash fetch`, `stop write`, `ask write`,
 * `tree`, `quit`. A writer without its fetcher makes no sense, so the desk is rest-for-one; the clock beside it is not
 * touched by any of it, until the desk has been crashed more than three times in a minute and the whole root gives up.
 */

import { createInterface } from 'node:readline/promises';
import { agent, ask, createSystem, protocol, supervisor, type TreeNode, tell, type } from 'troupe';

const Worker = protocol('worker', { crash: tell(), turns: ask(type<void>(), type<number>()) });

const worker = agent(Worker, {
  state: () => ({ turns: 0 }),
  on: {
    crash: () => {
      throw new Error('crashed by hand');
    },
    turns: (ctx) => ++ctx.state.turns,
  },
  onRestart: (ctx, failure) => ctx.log.info(`restarts (${failure.kind})`),
  onStop: (ctx, reason) => ctx.log.info(`ends (${reason})`),
});

const child = worker.child({ restart: 'permanent', backoff: { minMs: 20, jitter: 0 } });
const desk = supervisor({ strategy: 'rest-for-one', children: { fetch: child, judge: child, write: child } });
const root = supervisor({ intensity: { max: 0 }, children: { clock: child, desk } });
const system = await createSystem({
  name: 'crash',
  root,
  log: ({ address, text }) => console.log(`  ${address} ${text}`),
});

const places = {
  clock: '/root/clock',
  fetch: '/root/desk/fetch',
  judge: '/root/desk/judge',
  write: '/root/desk/write',
};

console.log(`crash, stop or ask one of ${Object.keys(places).join(', ')}; or tree, or quit`);
show(system.tree());
for await (const line of createInterface({ input: process.stdin })) {
  const [word = '', name = ''] = line.trim().split(/\s+/);
  if (word === 'quit') break;
  await obey(word, name);
}
await system.shutdown();

async function obey(word: string, name: string): Promise<void> {
  const place = Object.entries(places).find(([each]) => each === name)?.[1];
  if (word === 'tree') {
    show(system.tree());
  } else if (place === undefined || !['crash', 'stop', 'ask'].includes(word)) {
    console.log(`  '${word} ${name}' says nothing to me`);
  } else {
    const ref = system.ref(Worker, place);
    if (word === 'crash') console.log(`  ${ref.tell('crash')}`);
    if (word === 'stop') await system.stop(ref);
    // Whoever was just restarted answers when its pause is over: the ask waits in its mailbox.
    await ref.ask('turns').then(
      (turns) => console.log(`  ${name} answers: turn ${turns} of this life`),
      (error: unknown) => console.log(`  ${String(error)}`),
    );
  }
}

function show(node: TreeNode, depth = 0): void {
  console.log(
    `  ${'  '.repeat(depth)}${node.name} ${node.status}${node.generation > 0 ? `, restarted ${node.generation} times` : ''}`,
  );
  for (const each of node.children) show(each, depth + 1);
}
