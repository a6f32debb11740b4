/** A pool over nodes for tests: workers of a protocol, with a book for each node of what they do there, and gates that hold their turns. */

import { agent, ask, protocol, tell } from 'troupe';
import { z } from 'zod';
import type { AgentOptions } from '../../src/protocol/agent.ts';
import type { MessageInfo } from '../../src/protocol/context.ts';
import type { PoolInspection } from '../../src/protocol/system.ts';
import { type Cluster, type ClusterNode, testCluster } from './test-cluster.ts';

export const Work = protocol('work', {
  double: ask(z.object({ n: z.number() }), z.number()),
  note: tell(z.object({ n: z.number() })),
});

/** What the workers of one node did. */
export interface WorkBook {
  /** `n` of each turn that began, with the attempt and id of its message. */
  readonly begun: number[];
  readonly done: number[];
  readonly messages: { readonly id: string; readonly attempt: number; readonly sender: string | undefined }[];
  readonly headers: Readonly<Record<string, string>>[];
  readonly deadlines: (number | undefined)[];
  /** Turns that run, and how many did so at most. */
  running: number;
  most: number;
  /** Turns whose signal was aborted. */
  aborted: number;
  started: number;
  stopped: number;
  /** What a turn waits for, by its `n`. */
  turn: (n: number, signal: AbortSignal) => unknown;
  /** What a start does. */
  start: () => unknown;
}

export function workBook(): WorkBook {
  return {
    begun: [],
    done: [],
    messages: [],
    headers: [],
    deadlines: [],
    running: 0,
    most: 0,
    aborted: 0,
    started: 0,
    stopped: 0,
    turn: () => undefined,
    start: () => undefined,
  };
}

type WorkOptions = Omit<AgentOptions<typeof Work, void, undefined, Record<never, never>>, 'state' | 'on'>;

/** An agent that keeps a book. */
export function worker(book: WorkBook, options: WorkOptions = {}) {
  const work = async (
    n: number,
    { signal, message }: { signal: AbortSignal; message: MessageInfo },
  ): Promise<void> => {
    const { id, attempt, sender, headers, deadline } = message;
    book.begun.push(n);
    book.messages.push({ id, attempt, sender });
    book.headers.push(headers);
    book.deadlines.push(deadline);
    book.running++;
    book.most = Math.max(book.most, book.running);
    signal.addEventListener('abort', () => {
      book.aborted++;
    });
    try {
      await book.turn(n, signal);
      book.done.push(n);
    } finally {
      book.running--;
    }
  };
  return agent(Work, {
    onStop: () => {
      book.stopped++;
    },
    ...options,
    state: async () => {
      await book.start();
      book.started++;
      return undefined;
    },
    on: {
      double: async (ctx, { n }) => {
        await work(n, ctx);
        return 2 * n;
      },
      note: (ctx, { n }) => work(n, ctx),
    },
  });
}

/** Settles when a signal is aborted, as a turn that does what it is told. */
export function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason));
  });
}

/** Nodes that each offer the agent, with their books. */
export async function farPool(
  names: readonly string[],
  options: WorkOptions = {},
  cluster: Cluster = testCluster(),
) {
  const nodes = new Map<string, ClusterNode<unknown>>();
  const books = new Map<string, WorkBook>();
  const book = (name: string): WorkBook => {
    const known = books.get(name) ?? workBook();
    books.set(name, known);
    return known;
  };
  const join = async (name: string): Promise<ClusterNode<unknown>> => {
    const node = await cluster.start(name, { agents: [worker(book(name), options)] });
    nodes.set(name, node);
    await cluster.advance(50);
    return node;
  };
  const boss = await cluster.start('boss');
  for (const name of names) await join(name);
  const own = worker(workBook(), options);
  const inspect = (ref: unknown): PoolInspection | undefined => boss.system.inspect(ref as never)?.pool; // a ref of whatever protocol
  /** How many workers there are on each node. */
  const spread = (ref: unknown): Readonly<Record<string, number>> => {
    const counts: Record<string, number> = {};
    for (const { node = 'boss', isLeaving } of inspect(ref)?.workers ?? [])
      if (!isLeaving) counts[node] = (counts[node] ?? 0) + 1;
    return counts;
  };
  /** How many actors that were started for others live on a node. */
  const actorsOn = (name: string): number => {
    const tree = nodes.get(name)?.system.tree();
    return tree?.children.find(({ address }) => address === '/user')?.children.length ?? 0;
  };
  return { cluster, boss, own, nodes, book, join, inspect, spread, actorsOn };
}
