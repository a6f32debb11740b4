/**
 * The bare limit: what an actor runtime on one event loop cannot beat by much. Each actor has six lanes, one for each
 * priority; one queue holds the actors with work; one wake-up runs all of it. There are no bounds, no supervision, no
 * names, no time limits, no ledger, no errors: nothing but moving a message from the one who sends to the one who
 * receives.
 */

/** Ranks of the six priorities, most urgent first; `normal` is what a send has by default. */
const RANK_NORMAL = 3;

const SLOTS_MIN = 16;

/** How an actor handles a message. */
export type Receive<M> = (message: M) => void;

/** Brings the drain of a queue into a later task. */
export type WakeUp = (drain: () => void) => void;

/** First in, first out, in a ring of slots that doubles when it is full. Its length is a power of two. */
class Lane<T> {
  size = 0;
  private slots = new Array<T | undefined>(SLOTS_MIN);
  private head = 0;

  push(item: T): void {
    if (this.size === this.slots.length) this.grow();
    const slots = this.slots;
    slots[(this.head + this.size) & (slots.length - 1)] = item;
    this.size++;
  }

  /** The oldest item; there must be one. */
  take(): T {
    const slots = this.slots;
    const item = slots[this.head];
    slots[this.head] = undefined;
    this.head = (this.head + 1) & (slots.length - 1);
    this.size--;
    // The caller has seen that the size was above 0, so the slot was filled.
    return item as T;
  }

  private grow(): void {
    const slots = new Array<T | undefined>(this.slots.length * 2);
    for (let index = 0; index < this.size; index++) {
      slots[index] = this.slots[(this.head + index) & (this.slots.length - 1)];
    }
    this.slots = slots;
    this.head = 0;
  }
}

/** An actor with nothing but lanes. A lane is made when its priority is first used. */
export class BareActor<M> {
  private readonly queue: RunQueue;
  private readonly receive: Receive<M>;
  private readonly lanes: (Lane<M> | undefined)[] = [
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
  ];
  /** One bit for each rank whose lane holds something. */
  private present = 0;
  private isScheduled = false;

  constructor(queue: RunQueue, receive: Receive<M>) {
    this.queue = queue;
    this.receive = receive;
  }

  tell(message: M, rank = RANK_NORMAL): void {
    let lane = this.lanes[rank];
    if (lane === undefined) {
      lane = new Lane<M>();
      this.lanes[rank] = lane;
    }
    lane.push(message);
    this.present |= 1 << rank;
    if (this.isScheduled) return;
    this.isScheduled = true;
    this.queue.schedule(this);
  }

  /** Handles all that is queued, most urgent first. */
  run(): void {
    while (this.present !== 0) {
      const rank = 31 - Math.clz32(this.present & -this.present);
      // A bit is set only while its lane exists and holds something.
      const lane = this.lanes[rank] as Lane<M>;
      const message = lane.take();
      if (lane.size === 0) this.present &= ~(1 << rank);
      this.receive(message);
    }
    this.isScheduled = false;
  }
}

/** The actors with work, first come first served. */
export class RunQueue {
  private readonly runnable = new Lane<{ run(): void }>();
  private readonly wakeUp: WakeUp;
  private isAwake = false;
  private readonly drain = (): void => {
    while (this.runnable.size > 0) this.runnable.take().run();
    this.isAwake = false;
  };

  /** `wakeUp` is a macrotask unless the row needs another. */
  constructor(wakeUp: WakeUp = setImmediate) {
    this.wakeUp = wakeUp;
  }

  spawn<M>(receive: Receive<M>): BareActor<M> {
    return new BareActor(this, receive);
  }

  schedule(actor: { run(): void }): void {
    this.runnable.push(actor);
    if (this.isAwake) return;
    this.isAwake = true;
    this.wakeUp(this.drain);
  }
}
