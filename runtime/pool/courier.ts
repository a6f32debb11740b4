/**
 * A worker whose work is done on another node: it takes a job from its pool as any worker does, sends it to an actor of its own there, and its turn lasts
 * until that actor's has ended. It lives as long as that actor: when one ends, so does the other. It never comes back; the pool puts another
 * one in its place, on whichever node.
 */

import type { AgentSettings, ErasedHandlers } from '../../src/protocol/agent-settings.ts';
import type { Spawnable } from '../../src/protocol/child-spec.ts';
import type { Customer, Envelope } from '../../src/protocol/envelope.ts';
import { isTroupeError, TroupeError } from '../../src/protocol/errors.ts';
import type { PoolSettings } from '../../src/protocol/pool.ts';
import { rejected } from '../../src/protocol/rejected.ts';
import type { Behaviour } from '../actor/behaviour.ts';
import { TurnContext } from '../actor/context.ts';
import { answer } from '../actor/outcomes.ts';
import type { JobEnd, Outpost, Outposts } from '../actor/outpost.ts';
import type { Slot } from '../actor/slot.ts';
import type { EndElsewhere } from '../actor/watch.ts';
import { type Dispatcher, WorkerCell } from './worker.ts';

/** What couriers need of their pool. */
export interface Sending extends Dispatcher {
  readonly settings: PoolSettings;
  readonly outposts: Outposts;
}

/** One such worker. */
export class CourierCell extends WorkerCell {
  /** Its node was lost, or gave its actor up: another one is to take its place. */
  isLost = false;
  private readonly sending: Sending;
  private outpost: Outpost | undefined = undefined;
  private gone: () => void = () => undefined;

  constructor(behaviour: Behaviour, slot: Slot, sending: Sending) {
    super(behaviour, slot, sending);
    this.sending = sending;
  }

  /** Where its actor is. */
  get node(): string {
    return String(this.slot.args);
  }

  /** Starts its actor. Rejects as `spawnOn` does. */
  async settle({ signal }: TurnContext): Promise<void> {
    const { outposts, settings } = this.sending;
    const { agent, args, policy } = settings;
    const outpost = await outposts.open(this.node, agent, { args, policy, signal });
    this.outpost = outpost;
    const isThere = outpost.watch((end) => this.actorEnded(end));
    if (!isThere) throw this.nodeDown();
    // It was told to end before there was anything to end.
    if (signal.aborted || this.isEnding) outpost.stop();
    this.rare.leases ??= new Set();
    this.rare.leases.add({ endsWithGeneration: true, end: () => outpost.stop() });
  }

  /** Resolves when its actor has ended; asked once, and only when it was told to. */
  left(): Promise<void> {
    return new Promise((resolve) => {
      if (this.outpost === undefined) resolve();
      else this.gone = resolve;
    });
  }

  /** Has a job done. What comes of it there comes of it here. */
  async carry(turn: TurnContext): Promise<void> {
    const { envelope } = turn;
    const customer = envelope.entry.kind === 'ask' ? envelope.customer : undefined;
    if (customer !== undefined) void turn.replyTo; // whoever asked is answered from there
    const end = await this.sent(envelope, turn, customer);
    switch (end.outcome) {
      case 'handled':
        return;
      case 'rejected':
        throw rejected(causeOf(end.error));
      case 'cancelled':
        if (turn.aborted !== undefined) return Promise.reject(turn.aborted.reason);
        throw new TroupeError('ERR_ACTOR_STOPPED', { address: this.actorAddress });
      case 'failed':
        customer?.reject(end.error);
        return Promise.reject(end.error);
      case 'absent':
        if (this.outpost !== undefined) this.lose(); // else it is known how its actor has ended
        if (turn.aborted !== undefined) return Promise.reject(turn.aborted.reason);
        turn.stash(); // nobody has begun: it goes back to the pool as it was
        return;
      case 'lost':
        this.lose();
        throw this.nodeDown();
    }
  }

  private get actorAddress(): string {
    return this.outpost?.address ?? `//${this.node}`;
  }

  private sent(envelope: Envelope, turn: TurnContext, customer: Customer | undefined): Promise<JobEnd> {
    const { outpost } = this;
    return new Promise((resolve) => {
      if (outpost === undefined) {
        resolve({ outcome: 'absent', error: undefined });
        return;
      }
      try {
        const errand = outpost.send(envelope, turn, {
          replied: (value) => answer(this, envelope, value),
          refused: (error) => customer?.reject(error),
          ended: resolve,
        });
        turn.addPending({ withdraw: () => errand.cancel() });
      } catch (error) {
        resolve({ outcome: 'failed', error });
      }
    });
  }

  /** Its actor has ended. One that was told to by its node, or is not known there, did not end for anything it did. */
  private actorEnded({ reason, cause }: EndElsewhere): void {
    this.outpost = undefined;
    this.gone();
    if (this.isEnding) return;
    if (reason === 'nodedown' || reason === 'noproc' || reason === 'shutdown') this.isLost = true;
    else if (reason !== 'normal') this.rare.lastError = cause;
    this.depart();
  }

  private lose(): void {
    this.isLost = true;
    this.depart();
  }

  /** Takes no job any more, and ends when it has none. */
  private depart(): void {
    if (this.isEnding) return;
    this.pool.leaves(this);
    if (this.turn === undefined) this.pool.departs(this);
  }

  private nodeDown(): TroupeError {
    return new TroupeError('ERR_NODE_DOWN', { node: this.node });
  }
}

/** The agent of a pool's couriers. */
export function courierAgent({ agent }: PoolSettings, pool: Sending): Spawnable {
  const { options } = agent;
  const settings: AgentSettings = {
    ...options,
    mailbox: { ...options.mailbox, stashMax: Math.max(1, options.mailbox.stashMax) }, // for a job that nobody has begun
    on: carrying(options.on),
    state: (_node, turn) => courierOf(turn).settle(turnOf(turn)),
    onStop: (turn) => courierOf(turn).left(),
    // Its actor has these bounds, and failures.
    startTimeoutMs: Number.POSITIVE_INFINITY,
    turnTimeoutMs: Number.POSITIVE_INFINITY,
    decide: (error) => (isTroupeError(error, 'ERR_NODE_DOWN') ? 'restart' : 'resume'),
    subscribe: [],
    onRestart: undefined,
    onTerminated: undefined,
    onIdle: undefined,
  };
  const cellOf = (behaviour: Behaviour, slot: Slot): CourierCell => new CourierCell(behaviour, slot, pool);
  return Object.freeze({ ...agent, options: Object.freeze(settings), cellOf });
}

/** Handlers by which couriers carry what other workers handle. */
export function carrying(on: ErasedHandlers): ErasedHandlers {
  const wrapped = Object.entries(on).map(([name, handle]) => [
    name,
    (turn: unknown, payload: unknown): unknown =>
      turn instanceof TurnContext && turn.cell instanceof CourierCell
        ? turn.cell.carry(turn)
        : handle(turn, payload),
  ]);
  return Object.freeze(Object.assign(Object.create(null), Object.fromEntries(wrapped)));
}

/** What the handler said, of which only the text has come. */
function causeOf(error: unknown): unknown {
  return error instanceof Error && error.cause !== undefined ? error.cause : error;
}

function turnOf(turn: unknown): TurnContext {
  if (turn instanceof TurnContext) return turn;
  throw new Error('a courier takes turns of the engine alone');
}

function courierOf(turn: unknown): CourierCell {
  const { cell } = turnOf(turn);
  if (cell instanceof CourierCell) return cell;
  throw new Error('what couriers do is done by couriers alone');
}
