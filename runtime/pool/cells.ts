/** Which kind of actor an agent needs: an ordinary one, a pool, or a worker of one. */

import type { AnyAgentDefinition } from '../../src/protocol/agent.ts';
import type { Spawnable } from '../../src/protocol/child-spec.ts';
import type { MessageEntry } from '../../src/protocol/envelope.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import { invalidOption } from '../../src/protocol/options.ts';
import type { PoolAgent, PoolSettings } from '../../src/protocol/pool.ts';
import { Behaviour } from '../actor/behaviour.ts';
import { Cell } from '../actor/cell.ts';
import type { Kernel } from '../actor/kernel.ts';
import type { Outposts } from '../actor/outpost.ts';
import type { Slot } from '../actor/slot.ts';
import { carrying } from './courier.ts';
import { NodesPoolCell } from './nodes-pool.ts';
import { type Hire, PoolCell } from './pool.ts';
import { type Dispatcher, WorkerCell } from './worker.ts';

/** What `agent(...)` and `pool(...)` make, the agent of a worker, and agents of the runtime's own whose actors are of another kind. */
type Started = AnyAgentDefinition &
  Partial<PoolAgent> & { readonly worksFor?: Dispatcher; readonly cellOf?: MakeCell };

/** Makes an actor of an agent's own kind. */
export type MakeCell = (behaviour: Behaviour, slot: Slot, hire: Hire) => Cell;

/** The behaviour of a pool: it refuses what its routing cannot answer. */
class PoolBehaviour extends Behaviour {
  private readonly workers: PoolSettings;

  constructor(kernel: Kernel, agent: AnyAgentDefinition, workers: PoolSettings) {
    super(kernel, agent);
    this.workers = workers;
  }

  override askEntry(name: string): MessageEntry {
    const entry = super.askEntry(name);
    if (this.workers.routing === 'broadcast') throw this.mismatch(name);
    return entry;
  }

  override streamEntry(name: string): MessageEntry {
    const entry = super.streamEntry(name);
    const { routing, nodes } = this.workers;
    if (routing === 'broadcast' || routing === 'scatter-gather-first') throw this.mismatch(name);
    if (nodes !== undefined)
      throw invalidOption('stream: ref', 'a pool whose workers are all on one node', 'one with nodes');
    return entry;
  }

  private mismatch(message: string): TroupeError {
    const protocol = this.agent.protocol.name;
    return new TroupeError('ERR_ROUTING_MISMATCH', { protocol, message, routing: this.workers.routing });
  }
}

/** The behaviour of an agent. */
export function behaviourFor(kernel: Kernel, agent: Spawnable): Behaviour {
  const started = agent as Started; // `agent` and `pool` are the only makers of spawnables
  if (started.workers === undefined || started.cellOf !== undefined) return new Behaviour(kernel, started);
  const state = (_args: unknown, turn: unknown): Promise<void> => poolOf(turn).start();
  const { options, workers } = started;
  const on = workers.nodes === undefined ? options.on : carrying(options.on);
  const front = Object.freeze({ ...started, options: Object.freeze({ ...options, on, state }) });
  return new PoolBehaviour(kernel, front, started.workers);
}

/** An actor of an agent, at its place. It has not started. */
export function cellFor(
  agent: Spawnable,
  behaviour: Behaviour,
  slot: Slot,
  hire: Hire,
  outposts: Outposts | undefined,
): Cell {
  const { workers, worksFor, cellOf } = agent as Started;
  if (cellOf !== undefined) return cellOf(behaviour, slot, hire);
  if (workers?.nodes !== undefined) return new NodesPoolCell(behaviour, slot, workers, hire, outposts);
  if (workers !== undefined) return new PoolCell(behaviour, slot, workers, hire);
  if (worksFor !== undefined) return new WorkerCell(behaviour, slot, worksFor);
  return new Cell(behaviour, slot);
}

function poolOf(turn: unknown): PoolCell {
  if (typeof turn === 'object' && turn !== null && 'cell' in turn && turn.cell instanceof PoolCell)
    return turn.cell;
  throw new Error('the state of a pool is made by a pool alone');
}
