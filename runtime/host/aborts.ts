/**
 * What is to happen when a signal is aborted. Node walks through all listeners of a signal to add one, and warns of a leak
 * at the eleventh; one signal for thousands of calls is what users write. So one listener stands for all tasks of a signal,
 * and is there only while there are any.
 */

/** The tasks of one signal, in the order in which they came. */
class Tasks {
  private readonly signal: AbortSignal;
  private readonly waiting = new Set<() => void>();

  constructor(signal: AbortSignal) {
    this.signal = signal;
  }

  add(task: () => void): void {
    if (this.waiting.size === 0) this.signal.addEventListener('abort', this.run);
    this.waiting.add(task);
  }

  remove(task: () => void): void {
    if (this.waiting.delete(task) && this.waiting.size === 0)
      this.signal.removeEventListener('abort', this.run);
  }

  /** A task may take out those after it. */
  private readonly run = (): void => {
    for (const task of this.waiting) {
      this.remove(task);
      task();
    }
  };
}

const TASKS = new WeakMap<AbortSignal, Tasks>();

/** Runs `task` once when `signal` is aborted; never, if that has happened already. */
export function onAbort(signal: AbortSignal, task: () => void): void {
  let tasks = TASKS.get(signal);
  if (tasks === undefined) {
    tasks = new Tasks(signal);
    TASKS.set(signal, tasks);
  }
  tasks.add(task);
}

/** Takes a task back; harmless where there was no signal to wait for. */
export function offAbort(signal: AbortSignal | undefined, task: (() => void) | undefined): void {
  if (signal !== undefined && task !== undefined) TASKS.get(signal)?.remove(task);
}
