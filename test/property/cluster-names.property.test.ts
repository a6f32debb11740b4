/**
 * Goal (P94): once faults have stopped, every node knows of each name whoever lives and holds it, and nobody else.
 * Method: random takings and freeings of names on three nodes, deaths and births of nodes, under cuts, partitions, copies, delays and frames out of order;
 * then all is healed, and each node is compared with a plain list of who holds what.
 */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { NodeView } from '../../src/index.ts';
import { agent, protocol, tell, type } from '../../src/index.ts';
import { RUNS, RUNS_TIMEOUT_MS } from '../support/runs.ts';
import { type Cluster, type ClusterNode, endClusters, testCluster } from '../support/test-cluster.ts';

const Plain = protocol('plain', { go: tell(type<void>({ trust: true })) });
const plain = agent(Plain, { state: () => ({}), on: { go: () => undefined } });

const NODES = ['a', 'b', 'c'];
const NAMES = ['one', 'two', 'three', 'four'];
/** Each run makes three systems and lets minutes pass. */
const CLUSTER_RUNS = Math.max(10, Math.ceil(RUNS / 20));

type Step =
  | { readonly type: 'take' | 'free'; readonly node: string; readonly name: string }
  | { readonly type: 'cut' | 'part' | 'kill' | 'start'; readonly node: string }
  | { readonly type: 'heal' | 'copy' | 'slow' | 'jumble' | 'outage' | 'refuse' }
  | { readonly type: 'wait'; readonly ms: number };

const node = fc.constantFrom(...NODES);
const name = fc.constantFrom(...NAMES);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ type: fc.constantFrom('take' as const, 'free' as const), node, name }),
  },
  { weight: 2, arbitrary: fc.record({ type: fc.constantFrom('cut' as const, 'part' as const), node }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constantFrom('kill' as const, 'start' as const), node }) },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constantFrom(
        'heal' as const,
        'copy' as const,
        'slow' as const,
        'jumble' as const,
        'outage' as const,
        'refuse' as const,
      ),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      type: fc.constant('wait' as const),
      ms: fc.constantFrom(1, 7, 7, 7, 50, 2_000, 12_000),
    }),
  },
);

/** What is so, told by a plain list. */
class World {
  readonly cluster: Cluster = testCluster();
  readonly live = new Map<string, ClusterNode<unknown>>();
  readonly held = new Map<string, Map<string, unknown>>();

  async start(named: string): Promise<void> {
    if (this.live.has(named)) return;
    this.cluster.hub.heal(); // who opens has to be connected
    this.live.set(named, await this.cluster.start(named));
    this.held.set(named, new Map());
  }

  async act(step: Step): Promise<void> {
    const { cluster } = this;
    switch (step.type) {
      case 'take':
        return this.take(step.node, step.name);
      case 'free':
        return this.free(step.node, step.name);
      case 'cut':
        return cluster.hub.cut(step.node);
      case 'part':
        return cluster.hub.partition(
          [step.node],
          NODES.filter((each) => each !== step.node),
        );
      case 'kill':
        this.live.delete(step.node);
        this.held.delete(step.node);
        return cluster.kill(step.node);
      case 'start':
        return this.start(step.node);
      case 'heal':
        return cluster.hub.heal();
      case 'copy':
        return cluster.hub.duplicate(0.5);
      case 'slow':
        return cluster.hub.delay({ minMs: 1, maxMs: 40 });
      case 'jumble':
        return cluster.hub.reorder({ share: 0.4 });
      case 'outage':
        return cluster.hub.cut(...NODES);
      case 'refuse':
        return cluster.hub.refusePublishes();
      case 'wait':
        return cluster.advance(step.ms);
    }
  }

  private async take(named: string, name: string): Promise<void> {
    const system = this.live.get(named)?.system;
    const names = this.held.get(named);
    if (system === undefined || names === undefined || names.has(name)) return;
    const ref = await system.spawn(plain);
    system.register(name, ref);
    names.set(name, ref);
  }

  private async free(named: string, name: string): Promise<void> {
    const system = this.live.get(named)?.system;
    const ref = this.held.get(named)?.get(name);
    if (system === undefined || ref === undefined) return;
    this.held.get(named)?.delete(name);
    await system.stop(ref as Parameters<typeof system.stop>[0]); // what `take` has put there
  }

  /** Where a name leads, seen from a node: here, else to the first that holds it. */
  expected(from: string, name: string): string | undefined {
    if (this.held.get(from)?.has(name) === true) return from;
    return [...this.held]
      .filter(([, names]) => names.has(name))
      .map(([each]) => each)
      .sort()[0];
  }

  seen(from: string, name: string): string | undefined {
    const system = this.live.get(from)?.system;
    const address = system?.lookup(Plain, name)?.address;
    if (address === undefined) return undefined;
    return address.startsWith('//') ? address.slice(2).split(':')[0] : from;
  }
}

describe('names of several nodes', () => {
  it(
    'P94 are known alike to all once faults have stopped: to each live holder, and to nobody else',
    async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
          const world = new World();
          for (const each of NODES) await world.start(each);
          for (const each of steps) await world.act(each);
          world.cluster.hub.heal();
          await world.cluster.advance(60_000);
          const living = [...world.live.keys()].sort();
          for (const [from, { system }] of world.live) {
            const views: readonly NodeView[] = system.nodes;
            expect(views.map((view) => view.name).sort()).toEqual(living);
            for (const each of NAMES)
              expect([from, each, world.seen(from, each)]).toEqual([from, each, world.expected(from, each)]);
          }
          await endClusters();
        }),
        { numRuns: CLUSTER_RUNS },
      );
    },
    RUNS_TIMEOUT_MS,
  );
});
