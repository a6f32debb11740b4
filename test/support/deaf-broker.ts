/** A broker whose node does not hear that it has lost its shards, as a process does not that stands still, until it goes on. */

import type { Broker } from '../../src/protocol/broker.ts';

/** The broker, and the ear of its node. */
export interface DeafBroker {
  readonly broker: Broker;
  readonly deafen: () => void;
  readonly goOn: () => void;
}

/** The same broker for a node that may be deaf. */
export function deafBroker(real: Broker): DeafBroker {
  const { shards, members } = real;
  if (shards === undefined || members === undefined) throw new Error('this broker has no shards');
  let isDeaf = false;
  const unheard: (() => void)[] = [];
  const broker: Broker = {
    kind: real.kind,
    url: real.url,
    capabilities: real.capabilities,
    members,
    shards: {
      claim: (shard, owner) =>
        shards.claim(shard, {
          granted: (epoch) => owner.granted(epoch),
          lost: () => {
            if (isDeaf) unheard.push(() => owner.lost());
            else owner.lost();
          },
        }),
    },
    open: (node, host) => real.open(node, host),
    publish: (frames) => real.publish(frames),
    listen: (pattern) => real.listen(pattern),
    unlisten: (pattern) => real.unlisten(pattern),
    consume: (source, options) => real.consume(source, options),
    backlog: (source) => real.backlog(source),
    onState: (listener) => real.onState(listener),
    close: () => real.close(),
  };
  return {
    broker,
    deafen: () => {
      isDeaf = true;
    },
    goOn: () => {
      isDeaf = false;
      for (const hear of unheard.splice(0)) hear();
    },
  };
}
