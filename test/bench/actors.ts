/** Two systems on one broker: an actor of one process is told, sent and asked by the other. What the two programs for it share. */

import { z } from 'zod';
import { agent, ask, createSystem, protocol, type Ref, supervisor, tell } from '../../src/index.ts';
import { brokerOf } from '../support/broker-of.ts';
import type { Carrier } from './pair.ts';

const Reader = protocol('reader', {
  work: tell(z.string()),
  echo: ask(z.string(), z.string()),
});

/** A ref to the actor of the other process. */
export type ReaderRef = Ref<typeof Reader>;
/** How one message is given to it. */
export type Give = (ref: ReaderRef, text: string, priority: 'critical' | 'background' | 'normal') => unknown;

/** Carries messages to an actor of the other process, as `give` does it. */
export function actorCarrier(give: Give): Carrier {
  return {
    consume: async ({ url, key }, handle) => {
      const reader = agent(Reader, {
        state: (): object => ({}),
        // As much as the subscription of a bus has here.
        mailbox: { capacity: 100_000 },
        on: { work: (_, text) => handle(text), echo: (_, text) => text },
      });
      const system = await createSystem({
        name: 'bench',
        node: 'reads',
        broker: brokerOf(url, key),
        root: supervisor({ children: { reader: reader.child() } }),
        log: () => undefined,
      });
      return () => system.shutdown();
    },
    produce: async ({ name, url, key }) => {
      const system = await createSystem({
        name: 'bench',
        node: 'sends',
        broker: brokerOf(url, key),
        log: () => undefined,
      });
      if (!system.nodes.some(({ name: node }) => node === 'reads'))
        throw new Error('the other node is not there, although it was up before this one');
      const ref = system.ref(Reader, 'reader', { node: 'reads' });
      // A backlog is of less urgent messages, and everything else is as usual.
      const usual = name === 'critical' ? 'background' : 'normal';
      return {
        publish: (text, isUrgent) => Promise.resolve(give(ref, text, isUrgent ? 'critical' : usual)),
        ask: (text) => ref.ask('echo', text),
        close: () => system.shutdown(),
      };
    },
  };
}
