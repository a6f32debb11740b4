/**
 * Goal: a key is written by one owner at a time (P113), no message to it is lost, and its order holds, once where nobody dies (P114). Method: random nodes
 * that come, leave, die, are cut off and do not hear that they have lost their shards, while one that does none of that sends; each turn adds its
 * message to the state, so that a write that is not the one before and something more is a second owner's.
 */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { memory } from '../../adapters/memory/index.ts';
import { agent, ask, type KeyedArgs, protocol, tell } from '../../src/index.ts';
import { orders } from '../support/checked-host.ts';
import { type DeafBroker, deafBroker } from '../support/deaf-broker.ts';
import { endingOf } from '../support/puppet.ts';
import { RUNS } from '../support/runs.ts';
import { type Cluster, endClusters, testCluster } from '../support/test-cluster.ts';
import { type TestStates, testStates } from '../support/test-states.ts';

/** Schedules in the ordinary run: each has minutes of virtual time of up to six systems. */
const SCHEDULES = Math.max(1, Math.floor(RUNS / 25));
const KEYS = ['x', 'y', 'z'];
/** Milliseconds that a write takes. */
const SAVE_MS = 15;
const NODES_MAX = 4;

const List = protocol('list', {
  add: tell(z.object({ n: z.number(), ms: z.number() })),
  added: ask(z.object({ n: z.number(), ms: z.number() }), z.array(z.string())),
});

type Step =
  | { readonly do: 'tell' | 'ask'; readonly key: number; readonly ms: number }
  | { readonly do: 'start' }
  | { readonly do: 'leave' | 'kill' | 'cut' | 'heal' | 'deafen' | 'hear'; readonly nth: number }
  | { readonly do: 'wait'; readonly ms: number }
  | { readonly do: 'confirms'; readonly are: 'lost' | 'there' };

const turnMs = fc.constantFrom(0, 0, 0, 40, 3_000);
const send: fc.Arbitrary<Step> = fc.record({
  do: fc.constantFrom('tell' as const, 'ask' as const),
  key: fc.nat(KEYS.length - 1),
  ms: turnMs,
});
const wait: fc.Arbitrary<Step> = fc.record({
  do: fc.constant('wait' as const),
  ms: fc.constantFrom(1, 10, 200, 1_500, 12_000),
});
const start: fc.Arbitrary<Step> = fc.constant({ do: 'start' });
const confirms: fc.Arbitrary<Step> = fc.record({
  do: fc.constant('confirms' as const),
  are: fc.constantFrom('lost' as const, 'there' as const),
});
const leave: fc.Arbitrary<Step> = fc.record({ do: fc.constant('leave' as const), nth: fc.nat(3) });
const fault: fc.Arbitrary<Step> = fc.record({
  do: fc.constantFrom('kill' as const, 'cut' as const, 'heal' as const, 'deafen' as const, 'hear' as const),
  nth: fc.nat(3),
});

const peaceful = fc.array(
  fc.oneof(
    { arbitrary: send, weight: 6 },
    { arbitrary: wait, weight: 3 },
    { arbitrary: start, weight: 2 },
    { arbitrary: leave, weight: 1 },
  ),
  { minLength: 5, maxLength: 30 },
);
const faulty = fc.array(
  fc.oneof(
    { arbitrary: send, weight: 6 },
    { arbitrary: wait, weight: 4 },
    { arbitrary: start, weight: 2 },
    { arbitrary: leave, weight: 1 },
    { arbitrary: confirms, weight: 1 },
    { arbitrary: fault, weight: 3 },
  ),
  { minLength: 5, maxLength: 30 },
);

interface Schedule {
  readonly steps: readonly Step[];
  /** The share of deliveries that come twice. */
  readonly duplicates: number;
}

const duplicates = fc.constantFrom(0, 0, 0.4);

interface Host {
  readonly name: string;
  readonly ear: DeafBroker;
  readonly shutdown: () => Promise<void>;
}

function list(cluster: Cluster, node: string) {
  const turn = async (ms: number): Promise<void> => {
    if (ms > 0) await new Promise<void>((resolve) => cluster.clock.setTimer(ms, resolve));
  };
  return agent(List, {
    state: (_args: KeyedArgs) => ({ entries: [] as string[] }),
    on: {
      add: async (ctx, { n, ms }) => {
        await turn(ms);
        ctx.state.entries.push(`${n} ${node}`);
      },
      added: async (ctx, { n, ms }) => {
        await turn(ms);
        ctx.state.entries.push(`${n} ${node}`);
        return ctx.state.entries;
      },
    },
  });
}

/** Plays the steps, then heals everything and waits until all is handled. */
async function play({ steps, duplicates }: Schedule, cluster: Cluster, states: TestStates) {
  const hosts: Host[] = [];
  cluster.hub.duplicate(duplicates);
  states.before = () => new Promise((resolve) => cluster.clock.setTimer(SAVE_MS, resolve));
  let started = 0;
  const startHost = async (): Promise<void> => {
    if (hosts.length >= NODES_MAX) return;
    const name = `n${++started}`;
    const ear = deafBroker(memory({ hub: cluster.hub }));
    const { system } = await cluster.start(name, { broker: ear.broker });
    system.keyed(list(cluster, name), {
      shards: 3,
      persist: 'snapshot',
      states: states.store(),
      handOffMs: 3_000,
    });
    hosts.push({ name, ear, shutdown: () => system.shutdown() });
  };
  const sender = await cluster.start('sender');
  const lists = sender.system.keyed(list(cluster, 'sender'), { shards: 3, hosts: false });
  const sent = new Map<string, number[]>(KEYS.map((key) => [key, []]));
  const replies: { readonly key: string; readonly ending: ReturnType<typeof endingOf> }[] = [];
  let n = 0;
  await startHost();
  for (const step of steps) {
    switch (step.do) {
      case 'tell':
      case 'ask': {
        const key = KEYS[step.key] ?? 'x';
        const message = { n: ++n, ms: step.ms };
        sent.get(key)?.push(n);
        if (step.do === 'tell') expect(lists.forKey(key).tell('add', message)).toBe('accepted');
        else
          replies.push({
            key,
            ending: endingOf(lists.forKey(key).ask('added', message, { timeoutMs: 1_000_000 })),
          });
        break;
      }
      case 'start':
        await startHost();
        break;
      case 'wait':
        await cluster.advance(step.ms);
        break;
      case 'confirms':
        // What the sender is not told has arrived it publishes again.
        if (step.are === 'lost') cluster.hub.lose('confirms', 'sender');
        else cluster.hub.heal('sender');
        break;
      case 'cut':
      case 'deafen':
      case 'heal':
      case 'hear':
      case 'kill':
      case 'leave': {
        const host = hosts[step.nth % Math.max(1, hosts.length)];
        if (host === undefined) break;
        if (step.do === 'leave') void host.shutdown(); // it never rejects
        if (step.do === 'kill') cluster.kill(host.name);
        if (step.do === 'cut') cluster.hub.cut(host.name);
        if (step.do === 'heal') cluster.hub.heal(host.name);
        if (step.do === 'deafen') host.ear.deafen();
        if (step.do === 'hear') host.ear.goOn();
        if (step.do === 'leave' || step.do === 'kill') hosts.splice(hosts.indexOf(host), 1);
      }
    }
  }
  cluster.hub.heal();
  for (const { ear } of hosts) ear.goOn();
  await cluster.advance(1_000);
  await startHost();
  await cluster.advance(200_000);
  return { sent, replies };
}

/** What is kept of a key: the last write, of which each has to be the one before and something more. */
function keptOf(states: TestStates, key: string): readonly string[] {
  let last: readonly string[] = [];
  let epoch = 0;
  for (const write of states.writes) {
    if (write.key !== key) continue;
    const { entries } = JSON.parse(write.json) as { entries: string[] };
    expect(entries.slice(0, last.length)).toEqual(last);
    expect(write.epoch).toBeGreaterThanOrEqual(epoch);
    last = entries;
    epoch = write.epoch;
  }
  return last;
}

function numbersOf(entries: readonly string[]): readonly number[] {
  return entries.map((entry) => Number(entry.split(' ')[0]));
}

describe('keyed agents', () => {
  it(
    'P114 handle every message once, in order, while nodes come and leave',
    async () => {
      await fc.assert(
        fc.asyncProperty(fc.record({ steps: peaceful, duplicates }), orders, async (schedule, order) => {
          const cluster = testCluster({ order });
          const states = testStates();
          const { sent, replies } = await play(schedule, cluster, states);
          for (const key of KEYS) expect(numbersOf(keptOf(states, key))).toEqual(sent.get(key));
          for (const { ending } of replies) expect(ending.is).toBe('resolved');
          expect(states.refused).toEqual([]);
          await endClusters();
        }),
        { numRuns: SCHEDULES },
      );
    },
    60_000 + SCHEDULES * 3_000,
  );

  it(
    'P113 are written by one owner at a time, lose nothing, and answer only what is kept, whoever dies, is cut off, or does not hear',
    async () => {
      await fc.assert(
        fc.asyncProperty(fc.record({ steps: faulty, duplicates }), orders, async (schedule, order) => {
          const cluster = testCluster({ order });
          const states = testStates();
          const { sent, replies } = await play(schedule, cluster, states);
          for (const key of KEYS) {
            const kept = keptOf(states, key);
            expect([...new Set(numbersOf(kept))]).toEqual(sent.get(key));
            for (const { key: asked, ending } of replies)
              if (asked === key)
                expect(ending.value).toEqual(kept.slice(0, (ending.value as string[]).length));
          }
          await endClusters();
        }),
        { numRuns: SCHEDULES },
      );
    },
    60_000 + SCHEDULES * 3_000,
  );
});
