/**
 * Systems of one case of the contract of brokers: each is a node of its own, by the host of the harness, so that time passes as it does for the
 * port. What their actors do is written in the cases.
 */

import { z } from 'zod';
import type { Kernel } from '../../runtime/actor/kernel.ts';
import { startSystem } from '../../runtime/system.ts';
import { agent, ask, protocol, supervisor, tell } from '../../src/index.ts';
import type { MailboxOptions } from '../../src/protocol/agent.ts';
import type { RuntimeEvent } from '../../src/protocol/events.ts';
import type { System } from '../../src/protocol/system.ts';
import type { BrokerPlay, NodeOptions, PlayNode } from './broker-play.ts';

/** Milliseconds that ending a system may take. */
const END_MS = 60_000;

/** What the actors of the cases understand. */
export const Clerk = protocol('clerk', {
  file: tell(z.number()),
  count: ask(z.number(), z.number()),
});

/** What a clerk does with a number. */
export type ClerkWork = (n: number, signal: AbortSignal) => unknown;

/** A clerk that remembers what it was given, in order. */
export class ClerkBook {
  readonly filed: number[] = [];
  readonly counted: number[] = [];
  /** Numbers whose turns were aborted. */
  readonly aborted: number[] = [];
  readonly agent;

  constructor(work: ClerkWork = () => undefined, mailbox: MailboxOptions = {}) {
    const done = async (n: number, signal: AbortSignal): Promise<number> => {
      signal.addEventListener('abort', () => this.aborted.push(n), { once: true });
      await work(n, signal);
      return 2 * n;
    };
    this.agent = agent(Clerk, {
      state: (): object => ({}),
      mailbox,
      on: {
        file: (ctx, n) => {
          this.filed.push(n);
          return done(n, ctx.signal);
        },
        count: (ctx, n) => {
          this.counted.push(n);
          return done(n, ctx.signal);
        },
      },
    });
  }
}

/** A system, and what it has said. */
export class PlaySystem {
  readonly system: System;
  readonly node: PlayNode;
  readonly events: RuntimeEvent[] = [];
  private readonly play: BrokerPlay;
  private ending: Promise<void> | undefined;

  constructor(play: BrokerPlay, system: System, node: PlayNode) {
    this.play = play;
    this.system = system;
    this.node = node;
    system.events.subscribe((event) => this.events.push(event));
  }

  get name(): string {
    return this.node.name;
  }

  /** Calls that wait. */
  get asksInFlight(): number {
    return (this.system as unknown as { readonly kernel: Kernel }).kernel.asksInFlight; // the local system carries it
  }

  /** A ref to the clerk of this name on another node. */
  clerk(node: string, name = 'clerk') {
    return this.system.ref(Clerk, name, { node });
  }

  /** Names of the nodes that it knows. */
  get nodes(): readonly string[] {
    return this.system.nodes.map(({ name }) => name).toSorted();
  }

  /** How many actors live here that were not there at the start. */
  get spawned(): number {
    const top = this.system.tree().children.find(({ address }) => address === '/user');
    return top?.children.length ?? 0;
  }

  /** Nodes that it has heard were lost. */
  get lost(): readonly string[] {
    return this.events.flatMap((event) => (event.type === 'node-down' ? [event.node] : []));
  }

  /** Kills its process, as others see it. What is left of it in this one ends meanwhile, and nobody hears it. */
  async kill(): Promise<void> {
    await this.node.kill();
    this.end().catch(() => undefined); // the end of the case hears of it
  }

  end(): Promise<void> {
    this.ending ??= this.play.within(this.system.shutdown({ deadlineMs: 3_000 }), 'end of a system', END_MS);
    return this.ending;
  }
}

/** The systems of one case. They end before its nodes are closed. */
export class SystemPlay {
  readonly play: BrokerPlay;
  private readonly systems: PlaySystem[] = [];

  constructor(play: BrokerPlay) {
    this.play = play;
    play.beforeEnd(() => this.end());
  }

  /** A system that has joined, with these clerks, and others that it can be told to start. */
  async system(
    clerks: Readonly<Record<string, ClerkBook>> = {},
    options: NodeOptions = {},
    offered: readonly ClerkBook[] = [],
  ): Promise<PlaySystem> {
    const { play } = this;
    const node = await play.newNode(options);
    const children = Object.fromEntries(
      Object.entries(clerks).map(([name, { agent: definition }]) => [name, definition.child()]),
    );
    const root = supervisor({ children });
    const agents = offered.map((book) => book.agent);
    const started = startSystem(
      { name: 'play', node: node.name, broker: node.broker, log: false, root, agents },
      play.harness.host,
    );
    const system = await play.within(started, 'start of a system', END_MS);
    node.states.length = 0;
    const joined = new PlaySystem(play, system as unknown as System, node);
    this.systems.push(joined);
    return joined;
  }

  /** Waits until each knows all the others. */
  async meet(...systems: readonly PlaySystem[]): Promise<void> {
    const all = systems.map(({ name }) => name);
    await this.play.until(
      () => systems.every(({ nodes }) => all.every((name) => nodes.includes(name))),
      'that all know each other',
      30_000,
    );
  }

  private async end(): Promise<void> {
    await Promise.all(this.systems.map((system) => system.end()));
  }
}
