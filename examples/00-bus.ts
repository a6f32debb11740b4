import { MessageBus } from 'troupe';

const bus = await MessageBus.connect(); // in this process: no server, nothing to configure

// Who listens does not know who publishes.
await bus.subscribe('agent.*', ({ topic, payload, priority }) => {
  console.log(topic, payload, priority);
});
await bus.publish('agent.events', { status: 'ready' });
await bus.publish('agent.alerts', { disk: 'full' }, { priority: 'critical', ttlMs: 30_000 });

// `handled` means handled: a confirmation comes when every handler has ended, and says how.
await bus.subscribe('agent.tasks', ({ payload }) => {
  if (payload === 'divide by zero') throw new Error('cannot be done');
});
const receipt = await bus.publish('agent.tasks', 'divide by zero', { confirm: 'handled' });
console.log(receipt.handled, receipt.failed, bus.deadLetters.list()[0]?.reason);

// A question to whoever is subscribed: the first reply wins.
await bus.subscribe('math.double', (message) => message.reply(Number(message.payload) * 2));
console.log(await bus.request('math.double', 21, { timeoutMs: 5_000 })); // 42
await bus.close(); // or `await using bus = ...`: handlers get what is queued, then it ends
