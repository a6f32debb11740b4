/**
 * Plays the same events, at the same virtual times, to a machine as an agent and to the same machine in xstate's own actor under its
 * `SimulatedClock`. What each tells by inspection events, what it emits and how it ends becomes a list of lines to compare.
 */

import { protocol, tell, type } from 'troupe';
import { machineAgent } from 'troupe/xstate';
import {
  type AnyEventObject,
  type AnyStateMachine,
  createActor,
  type InspectionEvent,
  SimulatedClock,
  type Snapshot,
} from 'xstate';
import { runTestSystem } from './test-system.ts';

/** An event at a virtual time. */
export interface Cue {
  readonly atMs: number;
  readonly event: AnyEventObject;
}

/** Waits on the clock of whoever plays. */
export type Sleep = (ms: number) => Promise<void>;

/** A machine, made anew for each player, and what happens to it. */
export interface Play {
  readonly machine: (sleep: Sleep) => AnyStateMachine;
  readonly input?: unknown;
  /** In the order of their times. */
  readonly cues: readonly Cue[];
  readonly endMs: number;
}

/** What a player has told. */
export interface Performance {
  readonly lines: readonly string[];
  readonly emitted: readonly string[];
  /** How it ended, if it did. */
  readonly end: string | undefined;
  /** The inspection events themselves. */
  readonly inspected: readonly InspectionEvent[];
}

/** Names of the events that a machine as an agent is told. */
export const EVENTS = ['A', 'B', 'C', 'D', 'E'] as const;

const Stage = protocol('stage', {
  A: tell(type<object>()),
  B: tell(type<object>()),
  C: tell(type<object>()),
  D: tell(type<object>()),
  E: tell(type<object>()),
});

/** Inspection events of one play. Some machines go round for ever, in xstate too. */
const INSPECTED_MAX = 3_000;

/** Takes down what a player tells. */
class Notes {
  readonly lines: string[] = [];
  readonly emitted: string[] = [];
  readonly inspected: InspectionEvent[] = [];
  end: string | undefined = undefined;
  nowMs = 0;
  /** The machine has ended: what comes now is what it has left behind. */
  private isOver = false;
  /** What comes after the play is the cleaning of the stage. */
  isClosed = false;
  private readonly names = new Map<string, string>();

  inspect(event: InspectionEvent): void {
    if (this.isOver || this.isClosed) return;
    const isRoot = this.nameOf(event.actorRef) === 'actor-0';
    if (this.isEndless && isRoot && event.type === '@xstate.microstep') {
      this.isClosed = true;
      throw new Error('This play has no end.'); // which fails the machine
    }
    // What is sent to a machine that has ended is heard by nobody.
    if (this.end !== undefined && event.type === '@xstate.event' && isRoot) this.isOver = true;
    if (this.isOver) return;
    this.inspected.push(event);
    this.lines.push(`${this.nowMs} ${event.type} ${this.nameOf(event.actorRef)} ${this.detail(event)}`);
    // Of two children with one id xstate forgets one, and leaves it alive; that is not compared.
    if (event.type === '@xstate.snapshot' && isRoot && event.snapshot.status === 'done') this.isOver = true;
  }

  emit(event: AnyEventObject): void {
    this.emitted.push(`${this.nowMs} ${text(event)}`);
  }

  /** Session ids are the player's own: actors are known by the order in which they are first heard of. */
  private nameOf({ sessionId }: { readonly sessionId: string }): string {
    const name = this.names.get(sessionId) ?? `actor-${this.names.size}`;
    this.names.set(sessionId, name);
    return name;
  }

  private detail(event: InspectionEvent): string {
    switch (event.type) {
      case '@xstate.actor':
        return '';
      case '@xstate.event':
        return `${event.sourceRef === undefined ? 'outside' : this.nameOf(event.sourceRef)} ${text(event.event)}`;
      case '@xstate.action':
        return event.action.type;
      case '@xstate.snapshot':
      case '@xstate.microstep':
      case '@xstate.transition':
        return `${text(event.event)} ${snapshotText(event.snapshot)}`;
    }
  }

  /** The machine has ended in this way. */
  ended(how: 'done' | 'failed', value: unknown): void {
    if (this.end !== undefined || this.isClosed) return;
    this.end = `${this.nowMs} ${how} ${text(value)}`;
  }

  get isEndless(): boolean {
    return this.inspected.length > INSPECTED_MAX;
  }

  /** What there is to compare. Of a machine that failed the last step is left out: what of it was done is nobody's promise. */
  done(): Performance {
    const { emitted, end, inspected } = this;
    const hasFailed = end?.includes('failed') === true;
    const last = this.lines.findLastIndex((line) => / @xstate\.event actor-0 /.test(line));
    const lines = hasFailed ? this.lines.slice(0, last + 1) : this.lines;
    return { lines, emitted, end, inspected };
  }
}

function text(value: unknown): string {
  return JSON.stringify(value, (_key, each: unknown) => {
    if (each instanceof Error) return `Error: ${each.message}`;
    if (typeof each === 'object' && each !== null && 'xstate$$type' in each) return 'an actor';
    return each;
  });
}

function snapshotText(snapshot: Snapshot<unknown>): string {
  const { status, output, error } = snapshot;
  const rest = snapshot as {
    readonly value?: unknown;
    readonly context?: unknown;
    readonly tags?: Set<string>;
  };
  const { value, context, tags } = rest;
  return text({ status, value, context, tags: tags === undefined ? undefined : [...tags], output, error });
}

/** Lets whatever is on its way in promises arrive. */
async function breathe(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** A clock of xstate's that knows what is due, and when two timers fall due at one instant: their order is then nobody's promise. */
class DueClock extends SimulatedClock {
  hasTie = false;
  private readonly dues = new Map<number, number>();

  override setTimeout(call: () => void, delayMs: number): number {
    const due = this.now() + delayMs;
    const id = super.setTimeout(() => {
      this.dues.delete(id);
      call();
    }, delayMs);
    for (const other of this.dues.values()) if (other === due) this.hasTie = true;
    this.dues.set(id, due);
    return id;
  }

  override clearTimeout(id: number): void {
    this.dues.delete(id);
    super.clearTimeout(id);
  }

  /** When the next timer is due; `Infinity` when there is none. */
  get nextDueMs(): number {
    return Math.min(...this.dues.values());
  }
}

/** By xstate's own actor. `isFair`: it came to an end, and no two timers were due at one instant. */
export async function playedByXstate(play: Play): Promise<Performance & { readonly isFair: boolean }> {
  const clock = new DueClock();
  const notes = new Notes();
  const sleep = (ms: number): Promise<void> =>
    new Promise((resolve) => {
      clock.setTimeout(resolve, ms);
    });
  const actor = createActor(play.machine(sleep), {
    clock,
    input: play.input,
    inspect: (event) => notes.inspect(event),
    logger: () => undefined,
  });
  actor.on('*', (event) => notes.emit(event));
  actor.subscribe({
    error: (error) => notes.ended('failed', error),
    complete: () => notes.ended('done', actor.getSnapshot().output),
  });
  actor.start();
  await breathe();
  const pass = async (untilMs: number): Promise<void> => {
    while (notes.nowMs < untilMs) {
      // Timers that are set meanwhile count from the instant of the one that has fired.
      notes.nowMs = Math.min(untilMs, clock.nextDueMs);
      clock.set(notes.nowMs);
      await breathe();
    }
  };
  for (const { atMs, event } of play.cues) {
    await pass(atMs);
    if (notes.end === undefined) actor.send(event);
    await breathe();
  }
  await pass(play.endMs);
  notes.isClosed = true;
  actor.stop();
  return { ...notes.done(), isFair: !clock.hasTie && !notes.isEndless };
}

/** By an agent. */
export async function playedByAgent(play: Play): Promise<Performance> {
  const notes = new Notes();
  let told: Performance | undefined;
  await runTestSystem({}, async ({ system, clock, settle, advance }) => {
    const sleep = (ms: number): Promise<void> =>
      new Promise((resolve) => {
        clock.setTimer(ms, resolve);
      });
    const startMs = clock.now();
    const now = (): void => {
      notes.nowMs = clock.now() - startMs;
    };
    const agent = machineAgent(Stage, play.machine(sleep), {
      input: () => play.input,
      decide: () => 'stop',
      inspect: (event) => {
        now();
        notes.inspect(event);
      },
      onEmit: (_ctx, event: AnyEventObject) => {
        now();
        notes.emit(event);
      },
      onDone: (_ctx, output) => {
        now();
        notes.ended('done', output);
      },
    });
    system.events.subscribe((event) => {
      now();
      if (event.type === 'actor-failed') notes.ended('failed', event.error);
    });
    const ref = await system.spawn(agent, { name: 'machine' }).catch((error: unknown) => {
      notes.ended('failed', (error as Error).cause); // of a start that failed
    });
    await settle();
    for (const { atMs, event } of play.cues) {
      await advance(startMs + atMs - clock.now());
      const { type: name, ...payload } = event;
      if (notes.end === undefined) ref?.tell(name as (typeof EVENTS)[number], payload);
      await settle();
    }
    await advance(startMs + play.endMs - clock.now());
    notes.isClosed = true;
    told = notes.done();
  });
  if (told === undefined) throw new Error('the play was not played');
  return told;
}
