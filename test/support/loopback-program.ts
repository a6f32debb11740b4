/**
 * A process that serves a loopback broker at the URL it is given, or at one of its own, says where, and does to its hub what it is told
 * over the channel to its parent. Without that parent it ends.
 */

import { serveLoopback } from '../../adapters/loopback/index.ts';
import { memoryHub } from '../../adapters/memory/index.ts';
import type { LoopbackAnswer, LoopbackOrder } from './loopback-harness.ts';

const hub = memoryHub();
const [url] = process.argv.slice(2);
const server = await serveLoopback({ hub, url });

function answerTo({ number, order, prefix }: LoopbackOrder): LoopbackAnswer {
  switch (order) {
    case 'dead-frames':
      return {
        number,
        frames: hub
          .deadFrames(prefix)
          .map(({ bytes, reason, error }) => ({ bytes: [...bytes], reason, error })),
      };
    case 'clear':
      hub.clearDeadFrames(prefix);
      return { number };
    case 'names':
      return { number, names: [...hub.names(prefix)] };
    case 'refuse-publishes':
      hub.refusePublishes();
      return { number };
    case 'refuse-dead-letters':
      hub.refuseDeadLetters();
      return { number };
    case 'heal':
      hub.heal();
      return { number };
  }
}

process.on('message', (order: LoopbackOrder) => process.send?.(answerTo(order)));
process.on('disconnect', () => process.exit());
process.send?.({ url: server.url });
