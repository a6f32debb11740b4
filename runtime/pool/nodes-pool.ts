/**
 * A pool whose workers are on several nodes: those of this node are workers like any other, and each of the others is a courier with an actor of its own
 * there. It has as many as it should, on nodes that live and can start its agent, and sees to that whenever a worker or a node comes or goes. It starts
 * without any: its jobs wait until there are some.
 *
 * A worker that ends for good ends alone, as in any pool, and the pool wants one less. One whose node is lost is put somewhere else.
 */

import { type Backoff, backoffOption, type Spawnable } from '../../src/protocol/child-spec.ts';
import type { Envelope } from '../../src/protocol/envelope.ts';
import { type ErrorCode, isTroupeError } from '../../src/protocol/errors.ts';
import { POOL_ALONE_MS, RESTARTS_WITHOUT_PROGRESS_MAX } from '../../src/protocol/limits.ts';
import { invalidOption } from '../../src/protocol/options.ts';
import type { PoolSettings } from '../../src/protocol/pool.ts';
import type { Behaviour } from '../actor/behaviour.ts';
import type { Outposts } from '../actor/outpost.ts';
import type { Slot } from '../actor/slot.ts';
import type { Turn } from '../actor/turn.ts';
import type { Timeout } from '../host/timeouts.ts';
import { backoffDelay } from '../supervision/backoff.ts';
import { type Arrangement, arrangementOf } from './arrangement.ts';
import { CourierCell, courierAgent, type Sending } from './courier.ts';
import { type Hire, PoolCell } from './pool.ts';
import type { WorkerCell } from './worker.ts';

/** What says that an agent does not start, on whichever node; whatever else another node, or the way to it, says may pass. */
const FAULTS: readonly ErrorCode[] = [
  'ERR_START_FAILED',
  'ERR_ACTOR_FAILED',
  'ERR_MESSAGE_INVALID',
  'ERR_OPTION_INVALID',
  'ERR_PAYLOAD_TOO_LARGE',
  'ERR_PAYLOAD_UNSERIALIZABLE',
  'ERR_PROTOCOL_MISMATCH',
];

/** The actor in front of workers on several nodes. */
export class NodesPoolCell extends PoolCell implements Sending {
  private readonly nodes: Outposts | undefined;
  private readonly courier: Spawnable;
  private readonly backoff: Backoff;
  /** Workers that there should be. */
  private wanted = 0;
  /** Those that have not started yet. */
  private readonly coming = new Set<WorkerCell>();
  /** Those that were told to go, and when each has ended. */
  private readonly going = new Map<WorkerCell, Promise<void>>();
  /** Starts in a row that failed, and those of them that were the agent's fault. */
  private failedStarts = 0;
  private faults = 0;
  /** Runs while no worker is started, after a start that failed. */
  private pause: Timeout | undefined = undefined;
  /** Runs while there is no node to be on. */
  private alone: Timeout | undefined = undefined;
  /** Something has changed since it was last looked at. */
  private isStirred = false;

  constructor(
    behaviour: Behaviour,
    slot: Slot,
    settings: PoolSettings,
    hire: Hire,
    outposts: Outposts | undefined,
  ) {
    super(behaviour, slot, settings, hire);
    this.nodes = outposts;
    this.courier = courierAgent(settings, this);
    this.backoff = backoffOption('pool.backoff', settings.policy['backoff']);
  }

  get outposts(): Outposts {
    if (this.nodes === undefined)
      throw invalidOption('pool.nodes', 'absent in a system without a broker', this.settings.nodes);
    return this.nodes;
  }

  /** A message keeps one id on whichever nodes it is tried. */
  override offer(envelope: Envelope, from: Turn | undefined): 'accepted' | 'full' | 'stopped' {
    const extras = envelope.ensureExtras();
    extras.id ??= this.nodes?.nextId();
    return super.offer(envelope, from);
  }

  override async start(): Promise<void> {
    const unheard = this.outposts.onChange(() => this.stir());
    const end = (): void => {
      unheard();
      this.calm();
      this.endAlone();
    };
    this.rare.leases ??= new Set();
    this.rare.leases.add({ endsWithGeneration: true, end });
    this.wanted = this.size;
    this.failedStarts = 0;
    this.faults = 0;
    this.coming.clear();
    this.going.clear();
    this.stir();
  }

  override ready(): void {
    super.ready();
    if (this.isStirred) this.stir();
  }

  override async resize(size: number): Promise<void> {
    this.size = size;
    this.wanted = size;
    this.faults = 0;
    this.stir();
    await Promise.all(this.going.values());
  }

  /** Sees to it that workers are where they should be. */
  private stir(): void {
    this.isStirred = !this.isGoing;
    if (this.isStirred || this.kernel.isEnding) return;
    const { agent, nodes } = this.settings;
    const fit = this.outposts.nodesFor(agent).filter((node) => nodes === 'all' || nodes?.includes(node));
    this.minds(fit);
    const present = new Map<string, number>();
    for (const worker of this.staying) {
      const node = this.nodeOf(worker);
      present.set(node, (present.get(node) ?? 0) + 1);
    }
    this.arrange(arrangementOf(present, fit, this.wanted));
  }

  private arrange({ come, go }: Arrangement): void {
    for (const [node, count] of go) {
      const there = this.staying.filter((worker) => this.nodeOf(worker) === node);
      // Those that have nothing in hand first.
      there.sort((a, b) => Number(b.turn === undefined) - Number(a.turn === undefined) || b.place - a.place);
      for (const worker of there.slice(0, count)) this.sendAway(worker);
    }
    if (this.pause !== undefined) return;
    for (const [node, count] of come)
      for (let n = 0; n < count && this.workers.size < this.wanted; n++) this.bring(node);
  }

  private sendAway(worker: WorkerCell): void {
    this.going.set(worker, this.retire(worker));
  }

  private bring(node: string): void {
    const before = new Set(this.workers);
    const hiring = this.hireOne(() =>
      node === this.outposts.here ? this.hireWorker() : this.hire(this, this.courier, node, 'temporary'),
    );
    const worker = [...this.workers].find((each) => !before.has(each));
    if (worker === undefined) {
      this.kernel.background(hiring); // its start has failed before it began, which is reported
      return;
    }
    this.coming.add(worker);
    const started = (): void => {
      this.failedStarts = 0;
      this.faults = 0;
      this.coming.delete(worker);
    };
    this.kernel.background(hiring.then(started, (error: unknown) => this.failedToStart(worker, error)));
  }

  /** Another node may have more luck, later. What is the agent's own fault is tried a few times, and then the pool does with less. */
  private failedToStart(worker: WorkerCell, error: unknown): void {
    if (!this.coming.delete(worker)) return; // of a generation that is over
    if (!this.isGoing) return;
    if (this.going.delete(worker)) {
      this.stir();
      return;
    }
    const cause = isTroupeError(error, 'ERR_START_FAILED') ? error.cause : error;
    const isFault = !(worker instanceof CourierCell) || (isTroupeError(cause) && FAULTS.includes(cause.code));
    if (isFault && ++this.faults > RESTARTS_WITHOUT_PROGRESS_MAX) {
      this.wanted--;
      worker.rare.lastError = error;
      this.goOnWithout(worker);
      return;
    }
    this.calm();
    const delayMs = Math.max(1, backoffDelay(this.backoff, this.failedStarts++, this.kernel.host.random));
    this.pause = this.kernel.timeouts.startFunction(delayMs, this.kernel.now(), () => {
      this.pause = undefined;
      this.stir();
    });
    this.stir();
  }

  protected override vacated(worker: WorkerCell): void {
    if (this.coming.has(worker)) return; // its start says why
    const wasSentAway = this.going.delete(worker);
    const isReplaced = wasSentAway || (worker instanceof CourierCell && worker.isLost);
    if (!isReplaced) this.wanted--;
    this.goOnWithout(worker);
  }

  private goOnWithout(worker: WorkerCell): void {
    if (this.wanted <= 0 && this.workers.size === 0) this.deserted(worker);
    else this.stir();
  }

  private nodeOf(worker: WorkerCell): string {
    return worker instanceof CourierCell ? worker.node : this.outposts.here;
  }

  /** Says so where there has been no node for a while. */
  private minds(fit: readonly string[]): void {
    if (fit.length > 0) this.endAlone();
    if (fit.length > 0 || this.alone !== undefined) return;
    const { kernel, address, settings } = this;
    this.alone = kernel.timeouts.startFunction(POOL_ALONE_MS, kernel.now(), () => {
      const text = `its jobs wait: for ${POOL_ALONE_MS} ms no node that lives could start '${settings.agent.protocol.name}'`;
      const fields = { nodes: settings.nodes };
      kernel.events.emit({ type: 'logged', level: 'warn', address, text, fields });
    });
  }

  private endAlone(): void {
    if (this.alone !== undefined) this.kernel.timeouts.cancel(this.alone);
    this.alone = undefined;
  }

  private calm(): void {
    if (this.pause !== undefined) this.kernel.timeouts.cancel(this.pause);
    this.pause = undefined;
  }
}
