/** Two buses on one broker: what is published in one go is packed. */

import { MessageBus } from '../../../src/index.ts';
import { brokerOf } from '../../support/broker-of.ts';
import { type Carrier, runPair } from '../pair.ts';

const carrier: Carrier = {
  consume: async ({ url, key }, handle) => {
    const bus = await MessageBus.connect({ broker: brokerOf(url, key), log: () => undefined });
    await bus.subscribe('work', ({ payload }) => handle(String(payload)), { capacity: 100_000 });
    await bus.subscribe('echo', (message) => message.reply(message.payload));
    return () => bus.close({ drainMs: 0 });
  },
  produce: async ({ name, url, key }) => {
    const bus = await MessageBus.connect({ broker: brokerOf(url, key), log: () => undefined });
    const urgent = { priority: 'critical' } as const;
    // A backlog is of less urgent messages, and everything else is as usual.
    const priority = name === 'critical' ? 'background' : 'normal';
    const usual = { priority, timeoutMs: 600_000 } as const;
    return {
      publish: (text, isUrgent) => bus.publish('work', text, isUrgent ? urgent : usual),
      ask: (text) => bus.request('echo', text),
      close: () => bus.close({ drainMs: 0 }),
    };
  },
};

await runPair(carrier, import.meta.url);
