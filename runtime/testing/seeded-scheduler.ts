/**
 * The run queue of a test system. Whoever has work stands in it at most once, and a chooser says who has the next turn, so
 * an actor's own order is never touched. Before each turn all promise jobs have run, but in a burst: then the next turn
 * follows at once, as in one slice of the real scheduler. It runs by itself, in macrotasks, and time stands still meanwhile.
 */

import type { Runnable, RunQueue } from '../host/scheduler.ts';
import { systemHost } from '../host/system-clock.ts';
import { QUIET_ROUNDS, SETTLE_TURNS_MAX } from './bounds.ts';
import type { Chooser } from './chooser.ts';

interface Waiting {
  readonly turnsMax: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Gives turns in an order that a chooser decides. */
export class SeededScheduler implements RunQueue {
  private readonly chooser: Chooser;
  private readonly endless: () => Error;
  private readonly runnables: Runnable[] = [];
  private readonly tasks: (() => void)[] = [];
  private waiting: Waiting[] = [];
  private isAwake = false;
  private isTasksTurn = false;
  private quietRounds = 0;
  /** Turns and tasks so far. */
  private turns = 0;

  /** `endless` makes the error of a system that does not settle. */
  constructor(chooser: Chooser, endless: () => Error) {
    this.chooser = chooser;
    this.endless = endless;
  }

  /** Whether no actor has work; tasks of the runtime itself may be due. */
  get isIdle(): boolean {
    return this.runnables.length === 0;
  }

  add(runnable: Runnable): void {
    this.runnables.push(runnable);
    this.wake();
  }

  /** Runs a task in a macrotask of its own. Tasks and turns alternate: one that posts itself again starves nobody. */
  later(task: () => void): void {
    this.tasks.push(task);
    this.wake();
  }

  /** Resolves when nothing is left to do that needs no time. */
  settled(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ turnsMax: this.turns + SETTLE_TURNS_MAX, resolve, reject });
      this.quietRounds = 0;
      this.wake();
    });
  }

  private wake(): void {
    if (this.isAwake) return;
    this.isAwake = true;
    this.isTasksTurn = false;
    systemHost.later(this.step);
  }

  private get isQuiet(): boolean {
    return this.runnables.length === 0 && this.tasks.length === 0;
  }

  private readonly step = (): void => {
    this.quietRounds = this.isQuiet ? this.quietRounds + 1 : 0;
    this.isTasksTurn = !this.isTasksTurn;
    const task = this.isTasksTurn || this.isIdle ? this.tasks.shift() : undefined;
    if (task === undefined) this.takeTurns();
    else this.runTask(task);
    this.refuseEndless();
    if (this.isQuiet && (this.quietRounds >= QUIET_ROUNDS || this.waiting.length === 0)) {
      this.isAwake = false;
      for (const each of this.waiting.splice(0)) each.resolve();
      return;
    }
    systemHost.later(this.step);
  };

  private runTask(task: () => void): void {
    this.turns++;
    task();
  }

  private takeTurns(): void {
    do {
      const [runnable] = this.runnables.splice(this.chooser.pick(this.runnables.length), 1);
      if (runnable === undefined) return;
      this.turns += runnable.run(1);
      if (runnable.isQueued) this.runnables.push(runnable);
    } while (this.runnables.length > 0 && this.tasks.length === 0 && this.chooser.isBurst());
  }

  private refuseEndless(): void {
    if (!this.waiting.some((each) => this.turns > each.turnsMax)) return;
    const refused = this.waiting.filter((each) => this.turns > each.turnsMax);
    this.waiting = this.waiting.filter((each) => this.turns <= each.turnsMax);
    for (const each of refused) each.reject(this.endless());
  }
}
