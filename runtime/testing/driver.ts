/**
 * Lets virtual time pass: one timer, then everything it causes, then the next one. Several callers may drive at once (two
 * expectations awaited together): their steps alternate, and none fires a timer before the last one's effects are done.
 */

import type { TroupeError } from '../../src/protocol/errors.ts';
import { TIMERS_FIRED_MAX } from './bounds.ts';
import type { Chooser } from './chooser.ts';
import type { SeededScheduler } from './seeded-scheduler.ts';
import type { VirtualClock } from './virtual-clock.ts';

/** Makes the error of a test that failed, with what is needed to run it again. */
export type Fail = (finding: string, cause?: unknown) => TroupeError<'ERR_TEST_FAILED'>;

/** The time of one test system. */
export class Driver {
  private readonly clock: VirtualClock;
  private readonly scheduler: SeededScheduler;
  private readonly chooser: Chooser;
  private readonly fail: Fail;
  private last: Promise<unknown> = Promise.resolve();

  constructor(clock: VirtualClock, scheduler: SeededScheduler, chooser: Chooser, fail: Fail) {
    this.clock = clock;
    this.scheduler = scheduler;
    this.chooser = chooser;
    this.fail = fail;
  }

  get now(): number {
    return this.clock.elapsedMs;
  }

  /** Lets everything happen that needs no time. */
  settle(): Promise<void> {
    return this.scheduler.settled();
  }

  /** Lets everything happen that `ms` bring. */
  async advance(ms: number): Promise<void> {
    await this.until(() => false, this.now + ms);
  }

  /** Goes on until `isDone`, or until nothing more can happen up to `endMs`; the clock stands there then. Answers `isDone`. */
  async until(isDone: () => boolean, endMs: number): Promise<boolean> {
    for (let fired = 0; ; fired++) {
      const state = await this.step(isDone, endMs);
      if (state !== 'fired') return state === 'done';
      if (fired > TIMERS_FIRED_MAX)
        throw this.fail(`${TIMERS_FIRED_MAX} timers fired without an end (at ${this.now} ms).`);
    }
  }

  /** Goes on until nothing is left to happen. Fails if that takes longer than `withinMs`. */
  async untilIdle(withinMs: number): Promise<void> {
    const endMs = this.now + withinMs;
    const isIdle = (): boolean => this.clock.nextDueAt === Number.POSITIVE_INFINITY;
    if (!(await this.until(isIdle, endMs)))
      throw this.fail(
        `The system is not idle after ${withinMs} ms: a timer is due at ${this.clock.nextDueAt} ms.`,
      );
  }

  /** Waits for something that may need virtual time. Fails when nothing is left that could bring it about. */
  async complete<T>(work: Promise<T>): Promise<T> {
    let isSettled = false;
    const settled = (): void => {
      isSettled = true;
    };
    work.then(settled, settled);
    if (await this.until(() => isSettled, Number.POSITIVE_INFINITY)) return work;
    throw this.fail('Nothing is left to happen, and what is awaited has not ended.');
  }

  /** The process stands still for `ms`: the clock jumps, then every timer that is overdue fires, late. */
  async stall(ms: number): Promise<void> {
    await this.exclusively(async () => {
      await this.settle();
      this.clock.moveTo(this.now + ms);
    });
    await this.until(() => false, this.now);
  }

  private step(isDone: () => boolean, endMs: number): Promise<'done' | 'fired' | 'over'> {
    return this.exclusively(async () => {
      await this.settle();
      if (isDone()) return 'done';
      if (this.clock.nextDueAt > endMs || this.clock.nextDueAt === Number.POSITIVE_INFINITY) {
        if (endMs !== Number.POSITIVE_INFINITY) this.clock.moveTo(endMs);
        return 'over';
      }
      this.clock.fireNext((size) => this.chooser.pick(size));
      await this.settle();
      return 'fired';
    });
  }

  private exclusively<T>(body: () => Promise<T>): Promise<T> {
    const result = this.last.then(body);
    this.last = result.then(
      () => undefined,
      () => undefined,
    );
    return result;
  }
}
