/** What all actors of one system share. It knows no actor in particular. */

import type { AnyAgentDefinition } from '../../src/protocol/agent.ts';
import type { Host } from '../../src/protocol/clock.ts';
import type { Sender } from '../../src/protocol/envelope.ts';
import { Pace } from '../host/pace.ts';
import { type RunQueue, Scheduler } from '../host/scheduler.ts';
import { Timeouts } from '../host/timeouts.ts';
import { EventHub } from '../observe/event-hub.ts';
import { Telemetry } from '../observe/telemetry.ts';
import { DeadLetterBox, type DeadLetterSettings } from './dead-letters.ts';
import type { Turn } from './turn.ts';

/** What an actor asks of the layers above it: children, topics, names. Set once, by the system. */
export interface Upward {
  spawnChild(parent: Sender, agent: unknown, options: unknown): Promise<unknown>;
  publishFrom(from: Turn, topic: unknown, rest: readonly unknown[]): Promise<void>;
  subscribeActor(subscriber: Sender, filter: unknown, options: unknown): Promise<unknown>;
  /** The public system, for `ctx.system`. */
  readonly system: unknown;
}

/** A kind of agent of which a turn runs now. */
export interface InTurn {
  /** A bare `ref` call was made in the synchronous part of one of its turns. */
  warnOfBareCall(call: string): void;
}

/** What a test system puts into the engine when it is made. A system in production has none of it. */
export interface Instruments {
  /** Takes the place of the scheduler. */
  readonly runQueue: RunQueue;
  /** The agent that is started in the place of another. */
  prepare(agent: AnyAgentDefinition): AnyAgentDefinition;
  /** The kernel is made; nothing runs yet. */
  attach(kernel: Kernel): void;
}

/** Surroundings with instruments. */
export interface InstrumentedHost extends Host {
  readonly instruments: Instruments;
}

/** Settings of a system that its actors obey. */
export interface KernelSettings extends DeadLetterSettings {
  readonly asksInFlightMax: number;
  readonly isDevelopment: boolean;
}

/** The facilities of one system. */
export class Kernel {
  readonly host: Host;
  readonly scheduler: RunQueue;
  /** Of streams, whose parts need no turns. */
  readonly pace: Pace;
  readonly timeouts: Timeouts;
  readonly events: EventHub;
  readonly telemetry: Telemetry;
  /** Whether somebody records traces or measures: makers of what only they need look here first. */
  // Stryker disable next-line BooleanLiteral: telemetry says so too, before anything runs.
  isRecorded = false;
  readonly deadLetters: DeadLetterBox;
  readonly settings: KernelSettings;
  readonly startedAt: number;
  /** What kind of agent is in the synchronous part of a turn now. */
  current: InTurn | undefined = undefined;
  asksInFlight = 0;
  /** The system is shutting down: calls from outside are refused. */
  isIntakeClosed = false;
  /** A shutdown has begun: nothing is restarted any more. */
  isEnding = false;
  /** How an address of this process is named elsewhere; set once, by the node. */
  nameOnNodes: (address: string) => string = (address) => address;
  /** Called when an actor may have become idle; set while somebody waits for all of them. */
  stirred: (() => void) | undefined = undefined;
  private readonly instruments: Instruments | undefined;
  private upwardMade: Upward | undefined = undefined;
  private uids = 0;

  constructor(host: Host, settings: KernelSettings) {
    this.host = host;
    this.settings = settings;
    this.instruments = isInstrumented(host) ? host.instruments : undefined;
    const telemetry = new Telemetry(
      () => host.clock.now(),
      (isOn) => {
        this.isRecorded = isOn;
      },
    );
    this.telemetry = telemetry;
    this.scheduler = this.instruments?.runQueue ?? new Scheduler(host, () => telemetry.refresh());
    this.pace = new Pace(host);
    this.timeouts = new Timeouts(host);
    this.events = new EventHub();
    this.deadLetters = new DeadLetterBox(settings, this.events, () => host.clock.wallNow());
    this.deadLetters.died = (envelope, reason, error) => telemetry.died(envelope, reason, error);
    this.startedAt = host.clock.now();
    this.instruments?.attach(this);
  }

  /** The agent as it is started: itself, but in a test system. */
  prepared(agent: AnyAgentDefinition): AnyAgentDefinition {
    return this.instruments?.prepare(agent) ?? agent;
  }

  now(): number {
    return this.host.clock.now();
  }

  /** A number no other incarnation of this system has. */
  nextUid(): number {
    return ++this.uids;
  }

  /** Work of the runtime that nobody awaits. It does not fail by design; if it does, that is said, not swallowed. */
  background(work: Promise<unknown>): void {
    work.catch((error: unknown) => {
      this.events.emit({
        type: 'logged',
        level: 'error',
        address: '/',
        text: 'the runtime failed in the background',
        fields: { error },
      });
    });
  }

  get upward(): Upward {
    if (this.upwardMade === undefined) throw new Error('the kernel is used before the system is wired');
    return this.upwardMade;
  }

  wire(upward: Upward): void {
    this.upwardMade = upward;
  }
}

function isInstrumented(host: Host): host is InstrumentedHost {
  return 'instruments' in host;
}
