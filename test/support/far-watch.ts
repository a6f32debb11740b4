/** Two nodes for tests of death watch between them: a watcher on `a` that does what it is told and keeps what it hears, and puppets on `b`. */

import { agent, protocol, supervisor, tell, type } from 'troupe';
import { z } from 'zod';
import type { Context, Terminated } from '../../src/protocol/context.ts';
import type { Priority } from '../../src/protocol/priority.ts';
import type { Protocol, Tell } from '../../src/protocol/protocol.ts';
import type { Ref } from '../../src/protocol/ref.ts';
import { Puppet, type PuppetRef, puppet } from './puppet.ts';
import { type Cluster, testCluster } from './test-cluster.ts';

type Saying = { readonly word: string };
export type WatcherProtocol = Protocol<{
  readonly act: Tell<(ctx: Context<WatcherProtocol, undefined>) => unknown>;
  readonly say: Tell<Saying>;
}>;
export type WatcherContext = Context<WatcherProtocol, undefined>;

/** `act` is for its own node, `say` for others. */
export const Watcher: WatcherProtocol = protocol('watcher', {
  act: tell(type<(ctx: WatcherContext) => unknown>()),
  say: tell(z.object({ word: z.string() })),
});

/** What a watcher heard. */
export interface Heard {
  readonly notices: Terminated[];
  /** Words, and `terminated` for each notice, in the order of its turns. */
  readonly seen: string[];
}

/** A watcher, and what it heard. */
export function watcherAgent(capacity = 1_000) {
  const notices: Terminated[] = [];
  const seen: string[] = [];
  const definition = agent(Watcher, {
    state: () => undefined,
    mailbox: { capacity },
    onTerminated: (_ctx, notice) => {
      notices.push(notice);
      seen.push('terminated');
    },
    on: {
      act: (ctx, act) => act(ctx as unknown as WatcherContext), // the same, by another name
      say: (_ctx, { word }) => {
        seen.push(word);
      },
    },
  });
  return { definition, heard: { notices, seen } satisfies Heard };
}

/** Nodes `a` and `b`; the watcher lives on `a`, under the name `watcher`. */
export async function farWatch({
  capacity,
  cluster = testCluster(),
}: {
  capacity?: number;
  cluster?: Cluster;
} = {}) {
  const { definition, heard } = watcherAgent(capacity);
  const root = supervisor({
    intensity: { max: Infinity },
    restartsWithoutProgressMax: Infinity,
    children: { watcher: definition.child({ backoff: { minMs: 0 } }) },
  });
  const a = await cluster.start('a', { root });
  const b = await cluster.start('b');
  const watcher = a.system.refs.watcher as unknown as Ref<WatcherProtocol>; // its own name for the same
  /** An actor on `b`, there and as `a` knows it. */
  const subject = async (name?: string) => {
    const here = await b.system.spawn(puppet(), {
      restart: 'temporary',
      ...(name === undefined ? {} : { name }),
    });
    return { here, far: farRef(a.system, here) };
  };
  /** Done by the watcher in a turn; resolves when that is over and nothing is under way. */
  const inWatcher = async (act: (ctx: WatcherContext) => unknown): Promise<void> => {
    watcher.tell('act', act, { priority: 'critical' });
    await cluster.advance(50);
  };
  const toWatcher = b.system.ref(Watcher, 'watcher', { node: 'a' });
  /** An actor of `b` says words to the watcher, then does something else. */
  const says = (
    here: PuppetRef,
    words: readonly (readonly [word: string, priority: Priority])[],
    then: (ctx: { stopSelf(): void }) => void = () => undefined,
  ): void => {
    here.tell('act', (ctx) => {
      for (const [word, priority] of words) ctx.tell(toWatcher, 'say', { word }, { priority });
      then(ctx);
    });
  };
  const counts = (node: typeof a | typeof b, ref: unknown) => {
    const { watchers, watching, links } = node.system.inspect(ref as PuppetRef) ?? {
      watchers: -1,
      watching: -1,
      links: -1,
    };
    return { watchers, watching, links };
  };
  return { cluster, a, b, watcher, ...heard, subject, inWatcher, says, toWatcher, counts };
}

/** The ref by which another node knows an actor. */
export function farRef(
  system: { ref(protocol: typeof Puppet, place: string): PuppetRef },
  here: PuppetRef,
): PuppetRef {
  const { ref } = JSON.parse(JSON.stringify({ ref: here })) as { ref: string };
  return system.ref(Puppet, ref);
}
