/** Outposts on other nodes: starts them, watches them, sends them jobs and ends them. */

import { formatNodePlace } from '../../src/protocol/address.ts';
import type { Spawnable } from '../../src/protocol/child-spec.ts';
import type { Envelope } from '../../src/protocol/envelope.ts';
import { ASK_TIMEOUT_MS } from '../../src/protocol/limits.ts';
import type { TurnContext } from '../actor/context.ts';
import type { Errand, JobEnds, Outpost, OutpostOptions, Outposts } from '../actor/outpost.ts';
import type { EndElsewhere } from '../actor/watch.ts';
import type { Agents } from './agents.ts';
import type { Jobs, Worker } from './jobs.ts';
import type { Mail } from './mail.ts';
import type { Placements } from './placements.ts';
import type { Hold, RemoteWatches } from './remote-watches.ts';

/** What they need of their node. */
export interface OutpostPorts {
  readonly mail: Mail;
  readonly agents: Agents;
  readonly placements: Placements;
  readonly watches: RemoteWatches;
  readonly jobs: Jobs;
}

/** The other nodes, as this one can start actors there. */
export class FarOutposts implements Outposts {
  private readonly ports: OutpostPorts;

  constructor(ports: OutpostPorts) {
    this.ports = ports;
  }

  get here(): string {
    return this.ports.mail.nodes.self.name;
  }

  nodesFor(agent: Spawnable): readonly string[] {
    const { mail, agents } = this.ports;
    const known = agents.nameOf(agent);
    // This node works on while it leaves: it has promised to handle what it has accepted.
    const fit = mail.nodes
      .list()
      .filter((node) => node.agents.includes(known) && (node.isSelf || !node.isLeaving));
    return fit.map(({ name }) => name).sort();
  }

  onChange(listener: () => void): () => void {
    return this.ports.mail.nodes.onChange(listener);
  }

  async open(name: string, agent: Spawnable, { args, policy, signal }: OutpostOptions): Promise<Outpost> {
    const call = { name: undefined, args, timeoutMs: ASK_TIMEOUT_MS, signal };
    const { node, address: local } = await this.ports.placements.start(name, agent, call, policy);
    const address = formatNodePlace({ node: node.name, incarnation: node.incarnation, local });
    const destination = { kind: 'node', node: node.name } as const;
    const worker = { destination, node, target: address, address, protocol: agent.protocol.name };
    return new FarOutpost(this.ports, agent, worker, local);
  }

  nextId(): string {
    return this.ports.mail.nextId();
  }
}

/** One actor that was started there. */
export class FarOutpost implements Outpost {
  private readonly ports: OutpostPorts;
  private readonly agent: Spawnable;
  private readonly worker: Worker;
  private readonly local: string;
  private hold: Hold | undefined = undefined;

  constructor(ports: OutpostPorts, agent: Spawnable, worker: Worker, local: string) {
    this.ports = ports;
    this.agent = agent;
    this.worker = worker;
    this.local = local;
  }

  get address(): string {
    return this.worker.address;
  }

  watch(heard: (end: EndElsewhere) => void): boolean {
    const { name: node, incarnation } = this.worker.node;
    const { watches, jobs } = this.ports;
    const place = { node, incarnation, local: this.local };
    try {
      this.hold = watches.hold(place, (end) => {
        heard(end);
        // One that was gone when it was asked for may have more to say.
        if (end.existenceConfirmed && end.reason !== 'noproc') jobs.actorEnded(this.worker);
      });
    } catch (error) {
      watches.dismiss(place, 'shutdown');
      throw error;
    }
    return this.hold !== undefined;
  }

  send(job: Envelope, turn: TurnContext, ends: JobEnds): Errand {
    return this.ports.jobs.send(this.worker, this.agent.protocol, job, turn, ends);
  }

  stop(): void {
    this.hold?.stop('shutdown');
  }
}
