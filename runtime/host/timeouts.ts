/**
 * Many timeouts of few different lengths: asks, sends that wait, turns. Those of one length end in the order in which
 * they began, so each length is a linked list with one clock timer for its head; starting and cancelling cost O(1) and
 * touch no timer. A list that has run empty is taken down in the next macrotask, so nothing here keeps a process alive
 * that has nothing left to wait for.
 */

import type { Host, TimerHandle } from '../../src/protocol/clock.ts';

/** Something that waits no longer than a time; it is its own link in a list. */
export abstract class Timeout {
  /** Clock time, rounded up: whole numbers cost no allocation. 0 before it was started. */
  dueAt = 0;
  /** Undefined before it was started, and once it fired or was cancelled. */
  list: TimeoutList | undefined = undefined;
  previous: Timeout | undefined = undefined;
  next: Timeout | undefined = undefined;

  /** Called once, when the time is up. */
  abstract timedOut(): void;
}

/** A timeout that calls a function. */
export class FunctionTimeout extends Timeout {
  private readonly fire: () => void;

  constructor(fire: () => void) {
    super();
    this.fire = fire;
  }

  override timedOut(): void {
    this.fire();
  }
}

interface TimeoutList {
  readonly durationMs: number;
  head: Timeout | undefined;
  tail: Timeout | undefined;
  timer: TimerHandle | undefined;
  isSweepDue: boolean;
}

/** The timeouts of one system. */
export class Timeouts {
  private readonly host: Host;
  private readonly lists = new Map<number, TimeoutList>();

  constructor(host: Host) {
    this.host = host;
  }

  /** Lengths that are being waited for; 0 when nothing here is pending. */
  get size(): number {
    let size = 0;
    for (const list of this.lists.values()) if (list.head !== undefined) size++;
    return size;
  }

  /** Calls `fire` once, `durationMs` after `now`. */
  startFunction(durationMs: number, now: number, fire: () => void): Timeout {
    const timeout = new FunctionTimeout(fire);
    this.start(timeout, durationMs, now);
    return timeout;
  }

  /** Calls `timeout.timedOut` once, `durationMs` after `now`. It was not started before. */
  start(timeout: Timeout, durationMs: number, now: number): void {
    let list = this.lists.get(durationMs);
    if (list === undefined) {
      list = { durationMs, head: undefined, tail: undefined, timer: undefined, isSweepDue: false };
      this.lists.set(durationMs, list);
    }
    timeout.dueAt = Math.ceil(now + durationMs);
    timeout.list = list;
    timeout.previous = list.tail;
    if (list.tail === undefined) list.head = timeout;
    else list.tail.next = timeout;
    list.tail = timeout;
    if (list.timer === undefined) this.arm(list, durationMs);
  }

  /** After this returns the timeout never fires. Cancelling twice is harmless. */
  cancel(timeout: Timeout): void {
    const list = timeout.list;
    if (list === undefined) return;
    timeout.list = undefined;
    if (timeout.previous === undefined) list.head = timeout.next;
    else timeout.previous.next = timeout.next;
    if (timeout.next === undefined) list.tail = timeout.previous;
    else timeout.next.previous = timeout.previous;
    if (list.head === undefined && !list.isSweepDue) {
      list.isSweepDue = true;
      this.host.later(() => this.sweep(list));
    }
  }

  private arm(list: TimeoutList, delayMs: number): void {
    list.timer = this.host.clock.setTimer(delayMs, () => this.expire(list));
  }

  /** `list.timer` stays set until the end, so that what `fire` starts does not arm a second timer. */
  private expire(list: TimeoutList): void {
    const now = this.host.clock.now();
    for (let head = list.head; head !== undefined && head.dueAt <= now; head = list.head) {
      this.cancel(head);
      head.timedOut();
    }
    list.timer = undefined;
    if (list.head !== undefined) this.arm(list, Math.max(1, Math.ceil(list.head.dueAt - now)));
  }

  private sweep(list: TimeoutList): void {
    list.isSweepDue = false;
    if (list.head !== undefined) return;
    if (list.timer !== undefined) this.host.clock.clearTimer(list.timer);
    list.timer = undefined;
    this.lists.delete(list.durationMs);
  }
}
