/**
 * How a system ends: the phases of its own (intake, mailboxes, actors, dead letters) among those of its users, one run
 * for any number of calls, within a deadline. When the actors' time is up, those that live are killed: each message has
 * its outcome then, whatever a handler still does.
 */

import { TroupeError } from '../src/protocol/errors.ts';
import {
  KILL_GRACE_MS,
  SHUTDOWN_DEADLINE_MS,
  SHUTDOWN_TAIL_SHARE,
  SIGNAL_DRAIN_MS,
} from '../src/protocol/limits.ts';
import { choiceOption, durationOption, invalidOption, objectOption } from '../src/protocol/options.ts';
import { END_SIGNALS, type EndSignal } from '../src/protocol/shutdown.ts';
import type { Kernel } from './actor/kernel.ts';
import { killTurn, stopActor } from './actor/lifecycle.ts';
import { endOnSignals } from './host/end-signals.ts';
import { Phases } from './host/phases.ts';
import type { Supervisor } from './supervision/supervisor.ts';
import { cellsBelow, isBusy } from './supervision/tree.ts';

/** What the options of a shutdown, or of all shutdowns of a system, leave open is undefined. */
interface ShutdownTimes {
  readonly drainMs: number | undefined;
  readonly deadlineMs: number | undefined;
}

/** The end of one system. */
export class Shutdown {
  private readonly kernel: Kernel;
  private readonly phases: Phases;
  private readonly usual: ShutdownTimes;
  private readonly signals: readonly EndSignal[];
  private run: Promise<void> | undefined = undefined;
  private drainMs = 0;
  private stopListening = (): void => undefined;

  /** `tops`: the supervisors in the order in which they end. Throws `ERR_OPTION_INVALID`. */
  constructor(kernel: Kernel, options: ShutdownSettings, tops: () => readonly Supervisor[]) {
    this.kernel = kernel;
    this.usual = readTimes('shutdown', options.shutdown);
    this.signals = readSignals(options.signals);
    if (this.signals.length > 0 && kernel.host.process === undefined)
      throw invalidOption('signals', 'absent: there is no process to take them from', options.signals);
    const { events } = kernel;
    this.phases = new Phases(kernel.host, {
      entered: (phase) => {
        if (events.isObserved) events.emit({ type: 'shutdown-phase-entered', phase });
      },
      failed: (phase, task, error) => events.emit({ type: 'shutdown-task-failed', phase, task, error }),
    });
    const own = { timeoutMs: Infinity };
    this.phases.add('stop-intake', 'intake', () => {
      kernel.isIntakeClosed = true;
    });
    this.phases.add(
      'drain',
      'mailboxes',
      (signal: AbortSignal) => drained(kernel, tops(), this.drainMs, signal),
      own,
    );
    const stop = options.hasOnlyDrain === true ? stoppedAtOnce : stopped;
    this.phases.add('stop-actors', 'actors', (signal: AbortSignal) => stop(kernel, tops(), signal), own);
    this.phases.add('flush', 'open-telemetry', () => kernel.telemetry.flush());
    this.phases.add('close', 'dead-letters', () => kernel.deadLetters.close());
  }

  /** Listens for the signals it was given, from now until it has ended. */
  listen(): void {
    const { process } = this.kernel.host;
    if (process === undefined || this.signals.length === 0 || this.run !== undefined) return;
    const drainMs = this.usual.drainMs ?? SIGNAL_DRAIN_MS;
    this.stopListening = endOnSignals(process, this.signals, () => this.start({ drainMs }));
  }

  /** Adds a task to a phase. Throws as `Phases.add` does, and `ERR_ACTOR_STOPPED` once it has begun. */
  add(phase: unknown, name: unknown, task: unknown, options: unknown): () => void {
    if (this.run !== undefined) throw new TroupeError('ERR_ACTOR_STOPPED', { address: '/' });
    return this.phases.add(phase, name, task, options);
  }

  /** Begins the one run, or joins it. Throws `ERR_OPTION_INVALID`; the promise never rejects. */
  start(options?: unknown): Promise<void> {
    const { drainMs = this.usual.drainMs, deadlineMs = this.usual.deadlineMs } = readTimes(
      'shutdown options',
      options,
    );
    // A task may call this again before the first call has returned.
    let finish = (): void => undefined;
    this.run ??= new Promise<void>((resolve) => {
      finish = resolve;
    });
    const { run } = this;
    if (this.kernel.isEnding) return run;
    this.kernel.isEnding = true;
    this.drainMs = drainMs ?? 0;
    this.kernel.background(this.runPhases(deadlineMs ?? SHUTDOWN_DEADLINE_MS).then(finish));
    return run;
  }

  private async runPhases(deadlineMs: number): Promise<void> {
    const now = this.kernel.now();
    const deadlineAt = now + deadlineMs;
    await this.phases.run({ cutOffAt: deadlineAt - deadlineMs * SHUTDOWN_TAIL_SHARE, deadlineAt });
    this.stopListening();
    this.kernel.telemetry.close();
  }
}

/** The options of a system that are about its end. */
export interface ShutdownSettings {
  readonly signals: unknown;
  readonly shutdown: unknown;
  /** Turns get no time beyond the drain: not what their actors have to stop. */
  readonly hasOnlyDrain?: boolean;
}

/** Resolves when no actor has work any more, `withinMs` have passed, or the signal is aborted; undefined: at once. */
function drained(
  kernel: Kernel,
  tops: readonly Supervisor[],
  withinMs: number,
  signal: AbortSignal,
): Promise<void> | undefined {
  const { host } = kernel;
  const isOver = (): boolean => kernel.scheduler.isIdle && !tops.some(isBusy);
  if (withinMs === 0 || isOver()) return undefined;
  return new Promise((resolve) => {
    let isLookDue = false;
    const end = (): void => {
      kernel.stirred = undefined;
      host.clock.clearTimer(timer);
      resolve();
    };
    const look = (): void => {
      isLookDue = false;
      if (kernel.stirred === undefined) return;
      if (isOver()) end();
      // As long as something is runnable each macrotask gets on; nobody would tell when the last of it is done.
      else if (!kernel.scheduler.isIdle) lookLater();
    };
    const lookLater = (): void => {
      if (isLookDue) return;
      isLookDue = true;
      host.later(look);
    };
    const timer = host.clock.setTimer(withinMs, end);
    signal.addEventListener('abort', end, { once: true });
    kernel.stirred = lookLater;
    lookLater();
  });
}

/** Ends the trees one after the other, each in its own order; when the signal is aborted, what lives is killed. */
async function stopped(kernel: Kernel, tops: readonly Supervisor[], signal: AbortSignal): Promise<void> {
  signal.addEventListener('abort', () => killAll(kernel, tops), { once: true });
  for (const top of tops) await top.stopAll();
}

/** As `stopped`, all trees at the same time, and turns are aborted now: what does not end within a grace is killed. */
async function stoppedAtOnce(
  kernel: Kernel,
  tops: readonly Supervisor[],
  signal: AbortSignal,
): Promise<void> {
  const { clock } = kernel.host;
  const all = Promise.all(tops.map((top) => stopped(kernel, [top], signal)));
  for (const { turn, address } of tops.flatMap((top) => [...cellsBelow(top)]))
    turn?.abort(new TroupeError('ERR_ACTOR_STOPPED', { address }));
  const timer = clock.setTimer(KILL_GRACE_MS, () => killAll(kernel, tops));
  await all;
  clock.clearTimer(timer);
}

/** Ends what lives without waiting for it: what is queued is dead, turns are disowned, and the rest follows by itself. */
function killAll(kernel: Kernel, tops: readonly Supervisor[]): void {
  for (const cell of tops.flatMap((top) => [...cellsBelow(top)])) {
    kernel.background(stopActor(cell, 'killed'));
    killTurn(cell, new TroupeError('ERR_ACTOR_KILLED', { address: cell.address }));
  }
}

function readTimes(option: string, value: unknown): ShutdownTimes {
  const { drainMs, deadlineMs } = objectOption(option, value, ['drainMs', 'deadlineMs']);
  return {
    drainMs: drainMs === undefined ? undefined : durationOption('drainMs', drainMs, 0, { zero: true }),
    deadlineMs: deadlineMs === undefined ? undefined : durationOption('deadlineMs', deadlineMs, 0),
  };
}

function readSignals(value: unknown): readonly EndSignal[] {
  const all = Object.keys(END_SIGNALS) as EndSignal[]; // its type says so
  if (value === undefined || value === false) return [];
  if (value === true) return all;
  if (!Array.isArray(value)) throw invalidOption('signals', 'true, false or an array of signals', value);
  return [...new Set(value.map((each: unknown) => choiceOption('signals', each ?? null, all, 'SIGTERM')))];
}
