/**
 * The phases of a shutdown and the tasks in them. No task starts before all tasks of the phases before it, and those of
 * its own phase that it comes after, have settled or their time was up. What a task does wrong is reported and stops
 * nobody. Time is given out against two instants: `cutOffAt` for the phases up to the actors' end, `deadlineAt` for the
 * rest, so that writing out and closing have time left whatever came before. It knows no actor.
 */

import type { Host } from '../../src/protocol/clock.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import { SHUTDOWN_TASK_MS } from '../../src/protocol/limits.ts';
import {
  choiceOption,
  durationOption,
  functionOption,
  invalidOption,
  nameOption,
  objectOption,
} from '../../src/protocol/options.ts';
import { SHUTDOWN_PHASES, type ShutdownPhase, type ShutdownTask } from '../../src/protocol/shutdown.ts';

/** What a run of the phases tells while it goes on. */
export interface PhaseListener {
  entered(phase: ShutdownPhase): void;
  failed(phase: ShutdownPhase, task: string, error: unknown): void;
}

/** Clock times by which phases have to be over. */
export interface PhaseTimes {
  /** For `stop-actors` and what comes before it. */
  readonly cutOffAt: number;
  /** For all. */
  readonly deadlineAt: number;
}

interface Entry {
  readonly phase: ShutdownPhase;
  readonly name: string;
  readonly task: ShutdownTask;
  readonly timeoutMs: number;
  readonly after: readonly string[];
}

/** The tasks of one shutdown. */
export class Phases {
  private readonly host: Host;
  private readonly listener: PhaseListener;
  private readonly entries = new Map<ShutdownPhase, Map<string, Entry>>();

  constructor(host: Host, listener: PhaseListener) {
    this.host = host;
    this.listener = listener;
    for (const phase of SHUTDOWN_PHASES) this.entries.set(phase, new Map());
  }

  /** Adds a task; the answer takes it out. Throws `ERR_OPTION_INVALID`, `ERR_NAME_TAKEN`. */
  add(phase: unknown, name: unknown, task: unknown, options?: unknown): () => void {
    const entry = readEntry(phase, name, task, options);
    const tasks = this.tasksOf(entry.phase);
    if (tasks.has(entry.name)) {
      const holder = `another task of the shutdown phase '${entry.phase}'`;
      throw new TroupeError('ERR_NAME_TAKEN', { name: entry.name, holder });
    }
    const circle = circleOf(entry, tasks);
    if (circle !== undefined)
      throw invalidOption('onShutdown: after', 'tasks that do not come after this one', circle.join(' -> '));
    tasks.set(entry.name, entry);
    return () => {
      if (tasks.get(entry.name) === entry) tasks.delete(entry.name);
    };
  }

  /** Runs all phases. Never rejects. What nobody has to wait for is done before it returns. */
  async run({ cutOffAt, deadlineAt }: PhaseTimes): Promise<void> {
    let endAt = cutOffAt;
    for (const phase of SHUTDOWN_PHASES) {
      this.listener.entered(phase);
      const ending = this.runPhase(phase, endAt);
      if (ending !== undefined) await ending;
      if (phase === 'stop-actors') endAt = deadlineAt;
    }
  }

  private tasksOf(phase: ShutdownPhase): Map<string, Entry> {
    return this.entries.get(phase) ?? new Map<string, Entry>();
  }

  /** Runs one phase; undefined when there is nothing to wait for. */
  private runPhase(phase: ShutdownPhase, endAt: number): Promise<unknown> | undefined {
    const tasks = new Map(this.tasksOf(phase));
    const endings = new Map<string, Promise<unknown> | undefined>();
    const start = (entry: Entry): Promise<unknown> | undefined => {
      if (endings.has(entry.name)) return endings.get(entry.name);
      const earlier = entry.after.flatMap((name) => {
        const before = tasks.get(name);
        return (before === undefined ? undefined : start(before)) ?? [];
      });
      const ending =
        earlier.length === 0
          ? this.runTask(entry, endAt)
          : Promise.all(earlier).then(() => this.runTask(entry, endAt));
      endings.set(entry.name, ending);
      return ending;
    };
    const pending = [...tasks.values()].map(start).filter((ending) => ending !== undefined);
    return pending.length === 0 ? undefined : Promise.all(pending);
  }

  /** Runs one task within its time; undefined when it has settled already. The promise never rejects. */
  private runTask(entry: Entry, endAt: number): Promise<void> | undefined {
    const { phase, name, task } = entry;
    const { clock } = this.host;
    const timeoutMs = Math.max(0, Math.min(entry.timeoutMs, endAt - clock.now()));
    const controller = new AbortController();
    let result: Promise<unknown>;
    try {
      const value = task(controller.signal);
      if (!isThenable(value)) return undefined;
      result = Promise.resolve(value);
    } catch (error) {
      this.listener.failed(phase, name, error);
      return undefined;
    }
    return new Promise((resolve) => {
      let isOver = false;
      const end = (): boolean => {
        if (isOver) return false;
        isOver = true;
        clock.clearTimer(timer);
        resolve();
        return true;
      };
      const timer = clock.setTimer(timeoutMs, () => {
        if (!end()) return;
        const error = new TroupeError('ERR_SHUTDOWN_TIMEOUT', { phase, task: name, timeoutMs });
        this.listener.failed(phase, name, error);
        controller.abort(error);
      });
      // What it does once its time is up was reported before it did it.
      result.then(end, (error: unknown) => {
        if (end()) this.listener.failed(phase, name, error);
      });
    });
  }
}

function readEntry(phase: unknown, name: unknown, task: unknown, options: unknown): Entry {
  const given = objectOption('onShutdown options', options, ['timeoutMs', 'after']);
  const after = given['after'] ?? [];
  if (!Array.isArray(after)) throw invalidOption('onShutdown: after', 'an array of names', after);
  return {
    phase: phaseOption(phase),
    name: nameOption('onShutdown: name', name),
    task: functionOption('onShutdown: task', task ?? null) as ShutdownTask, // any function can be called
    timeoutMs: durationOption('onShutdown: timeoutMs', given['timeoutMs'], SHUTDOWN_TASK_MS, {
      infinity: true,
    }),
    after: after.map((each: unknown) => nameOption('onShutdown: after', each)),
  };
}

function phaseOption(phase: unknown): ShutdownPhase {
  return choiceOption('onShutdown: phase', phase ?? null, SHUTDOWN_PHASES, 'announce');
}

/** The names on a way from `entry` back to it, if its coming closes one. */
function circleOf(entry: Entry, tasks: ReadonlyMap<string, Entry>): readonly string[] | undefined {
  const seen = new Set<string>();
  const wayFrom = (names: readonly string[]): readonly string[] | undefined => {
    for (const name of names) {
      if (name === entry.name) return [name];
      if (seen.has(name)) continue;
      seen.add(name);
      const way = wayFrom(tasks.get(name)?.after ?? []);
      if (way !== undefined) return [name, ...way];
    }
    return undefined;
  };
  const way = wayFrom(entry.after);
  return way === undefined ? undefined : [entry.name, ...way];
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
}
