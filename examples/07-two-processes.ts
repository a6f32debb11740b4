import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { MessageBus } from 'troupe';
import { memory, memoryHub } from 'troupe/memory';
import { redis } from 'troupe/redis';

// With `--broker redis://127.0.0.1:6379` two processes; without one, both nodes are in this process, on a broker in memory.
const { values } = parseArgs({ options: { broker: { type: 'string' }, worker: { type: 'boolean' } } });
const url = values.broker;
const hub = memoryHub();
const connect = (node: string): Promise<MessageBus> =>
  MessageBus.connect({ node, broker: url === undefined ? memory({ hub }) : redis(url) });

/** The other node: it shares the work of a group with whoever joins it, and answers questions. */
async function work(): Promise<MessageBus> {
  const bus = await connect('worker');
  await bus.subscribe(
    'jobs.*',
    ({ topic, payload, priority }) => console.log('worker', topic, payload, priority),
    {
      group: 'workers',
    },
  );
  await bus.subscribe('math.double', (message) => message.reply(Number(message.payload) * 2));
  return bus;
}

/** Publishes and asks; it does not know who, or where, the worker is. */
async function lead(): Promise<void> {
  const bus = await connect('leader');
  await bus.publish('jobs.index', { page: 1 }); // resolves when the broker has it
  await bus.publish('jobs.alert', { disk: 'full' }, { priority: 'critical' });
  console.log('leader', await bus.request('math.double', 21, { timeoutMs: 5_000 }));
  await bus.close(); // what was published is at the broker, and stays there until somebody has handled it
}

/** The worker in a process of its own. */
async function started(): Promise<ChildProcess> {
  const child = fork(fileURLToPath(import.meta.url), [...process.argv.slice(2), '--worker']);
  await once(child, 'message'); // it has subscribed
  return child;
}

if (values.worker === true) {
  const bus = await work();
  process.send?.('ready');
  await once(process, 'message');
  await bus.close(); // handles what it has, and gives the rest back
  process.disconnect();
} else if (url === undefined) {
  const bus = await work();
  await lead();
  await bus.close();
} else {
  const child = await started();
  await lead();
  child.send('end');
  await once(child, 'exit');
}
