/**
 * The actor of one key while it is needed. It begins when the one before it has ended, and is its own place under the supervisor of its
 * group: whoever has messages for it gives them to its mailbox from the first moment on.
 */

import type { ChildSpec } from '../../src/protocol/child-spec.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import { nameOfKey } from '../../src/protocol/key.ts';
import { KILL_GRACE_MS } from '../../src/protocol/limits.ts';
import type { Cell } from '../actor/cell.ts';
import { drainActor, killTurn } from '../actor/lifecycle.ts';
import { ActorChild } from '../supervision/actor-child.ts';
import type { Supervisor } from '../supervision/supervisor.ts';
import { Snapshot } from './snapshot.ts';
import type { OpenedStates } from './states.ts';

/** A time in which this node owns a shard. */
export interface Tenancy {
  /** Greater than that of every earlier owner. */
  readonly epoch: number;
  /** The life of the node, unlike every other. */
  readonly owner: string;
  /** The store of states knows a later owner of this key. */
  stale(activation: Activation, error: TroupeError): void;
}

/** Who has made it, and hears of its end. */
export interface ActivationOwner {
  readonly spec: ChildSpec;
  readonly supervisor: Supervisor;
  /** Where states are kept; undefined where they are not. */
  readonly states: OpenedStates | undefined;
  /** The kind of its states, there. */
  readonly kind: string;
  ended(activation: Activation): void;
}

/** One actor of one key. The arguments of its `state` are this object itself. */
export class Activation {
  readonly key: string;
  readonly tenancy: Tenancy;
  readonly child: ActorChild;
  /** Resolves when it has ended. */
  readonly over: Promise<void>;
  /** Clock time of the last message. */
  touchedAt = 0;
  /** Messages from the broker that it has, and that are not done with. */
  letters = 0;
  /** It has been idle for long enough. */
  isLeaving = false;
  /** Resolves when the one before it has ended; undefined where there was none, or it has. */
  private before: Promise<void> | undefined;
  private readonly owner: ActivationOwner;
  /** Its state outside this process, if it is kept there. */
  readonly snapshot: Snapshot | undefined;
  private resolveOver: () => void = () => undefined;

  constructor(owner: ActivationOwner, key: string, tenancy: Tenancy, before: Promise<void> | undefined) {
    this.owner = owner;
    this.key = key;
    this.tenancy = tenancy;
    this.before = before;
    this.over = new Promise((resolve) => {
      this.resolveOver = resolve;
    });
    this.child = new KeyedChild(owner.supervisor, nameOfKey(key), owner.spec, this);
    this.snapshot = owner.states === undefined ? undefined : this.snapshotIn(owner.states);
  }

  /** Its actor. */
  get cell(): Cell {
    const { cell } = this.child;
    if (cell === undefined) throw new Error(`the actor of ${this.key} has not begun`);
    return cell;
  }

  /** Whether it takes messages, in this time of ownership. */
  isOpenIn(tenancy: Tenancy): boolean {
    return this.tenancy === tenancy && !this.isLeaving && this.cell.isOpen;
  }

  /** Whether nothing is lost where it ends now, but what its agent keeps for itself. */
  get isQuiet(): boolean {
    const { status, turn, suspensions, mailbox } = this.cell;
    if (this.letters > 0 || status !== 'running' || turn !== undefined || suspensions > 0) return false;
    return (
      mailbox === undefined || mailbox.queued + mailbox.controls + mailbox.waiting + mailbox.stashed === 0
    );
  }

  /** Starts its actor. What fails is told: its messages have their outcome then. */
  start(): void {
    const { supervisor } = this.owner;
    supervisor.children.set(this.child.key, this.child);
    const { kernel } = supervisor.surroundings;
    const failed = (error: unknown): void => {
      const fields = { error };
      const text = 'the actor of a key did not start';
      kernel.events.emit({ type: 'logged', level: 'error', address: this.child.path, text, fields });
    };
    try {
      this.child.start()?.catch(failed);
    } catch (error) {
      failed(error);
    }
  }

  /** Whoever had the key before has ended. */
  async predecessorEnded(): Promise<void> {
    await this.before;
    this.before = undefined;
  }

  get hasPredecessor(): boolean {
    return this.before !== undefined;
  }

  private snapshotIn(states: OpenedStates): Snapshot {
    const { tenancy, child } = this;
    const { kind, supervisor } = this.owner;
    const { kernel } = supervisor.surroundings;
    const { path: address } = child;
    const stale = (): void => {
      tenancy.stale(this, new TroupeError('ERR_ACTOR_STOPPED', { address }));
    };
    const { epoch, owner } = tenancy;
    const key = { kind, key: this.key };
    return new Snapshot({ kernel, states, key, claim: { epoch, owner }, address, stale });
  }

  /** Ends it at once, without hooks. */
  async kill(error: TroupeError): Promise<void> {
    this.snapshot?.end();
    killTurn(this.cell, error);
    await this.child.stop('killed');
  }

  /** Ends it in order: its turn may finish. Resolves when it is over. */
  async stop(): Promise<void> {
    await this.child.stop('shutdown');
    await this.over;
  }

  /** Its actor has ended. What its last turn has changed may still be on its way to the store, and is waited for, but not for long. */
  ended(): void {
    const { snapshot } = this;
    if (snapshot === undefined) {
      this.end();
      return;
    }
    const { kernel } = this.owner.supervisor.surroundings;
    const late = (): void => snapshot.end(); // which tells whoever waits
    const timeout = kernel.timeouts.startFunction(KILL_GRACE_MS, kernel.now(), late);
    snapshot.whenSaved(() => {
      kernel.timeouts.cancel(timeout);
      snapshot.end();
      this.end();
    });
  }

  private end(): void {
    this.resolveOver();
    this.owner.ended(this);
  }
}

/** The place of a keyed actor. One that stops itself finishes what it has: the next message is for another one. */
class KeyedChild extends ActorChild {
  private readonly activation: Activation;

  constructor(supervisor: Supervisor, name: string, spec: ChildSpec, activation: Activation) {
    super(supervisor, name, spec, activation);
    this.activation = activation;
  }

  override left(cell: Cell): void {
    if (!cell.rare.isDraining) cell.kernel.background(drainActor(cell));
  }

  override ended(cell: Cell): void {
    super.ended(cell);
    this.activation.ended();
  }
}
