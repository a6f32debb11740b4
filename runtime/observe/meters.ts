/**
 * The metrics of one system. All but two are read from the ledgers of the engine when somebody collects, so they cost a
 * message nothing; times of waiting and running are recorded only while a meter provider is registered. Attributes are the
 * system, the type of agent and words of a closed set, never a path.
 */

import type {
  Attributes,
  BatchObservableResult,
  Histogram,
  Meter,
  Observable,
  ObservableCounter,
  ObservableGauge,
  ObservableUpDownCounter,
} from '@opentelemetry/api';
import { PRIORITIES, type Priority, rankOf } from '../../src/protocol/priority.ts';
import type { AgentTally, MessageLedger } from './agent-tally.ts';
import { MESSAGING_SYSTEM } from './attributes.ts';

/** A living actor, as far as it is counted. */
export interface Counted {
  readonly behaviour: { readonly tally: AgentTally };
  readonly mailbox:
    | (MessageLedger & {
        readonly queued: number;
        readonly stashed: number;
        readonly waiting: number;
        depth(rank: ReturnType<typeof rankOf>): number;
      })
    | undefined;
  readonly turn: { readonly envelope: { readonly seq: number }; readonly isStashed: boolean } | undefined;
}

/** What is read when metrics are collected. */
export interface Census {
  readonly system: string;
  actors(): Iterable<Counted>;
  asksInFlight(): number;
  /** Of the whole system, whether the agent of a message is known or not. */
  deaths(): Readonly<Partial<Record<string, number>>>;
}

/** What is counted beside the ledgers of actors. */
export interface Tallies {
  all(): Iterable<AgentTally>;
  escalations(): number;
}

/** Bounds of buckets in seconds: a turn may be a sum, or a language model that thinks for minutes. */
const SECONDS = [0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 120, 300];

interface Instruments {
  readonly accepted: ObservableCounter;
  readonly ended: ObservableCounter;
  readonly held: ObservableUpDownCounter;
  readonly rejected: ObservableCounter;
  readonly deadLetters: ObservableCounter;
  readonly depth: ObservableGauge;
  readonly waiting: ObservableGauge;
  readonly inFlight: ObservableUpDownCounter;
  readonly actors: ObservableUpDownCounter;
  readonly restarts: ObservableCounter;
  readonly escalations: ObservableCounter;
  readonly asks: ObservableCounter;
  readonly asksInFlight: ObservableUpDownCounter;
}

/** The instruments of one system at one meter provider. */
export class Meters {
  private readonly meter: Meter;
  private readonly census: Census;
  private readonly tallies: Tallies;
  private readonly instruments: Instruments;
  private readonly wait: Histogram;
  private readonly run: Histogram;
  private readonly attributesMade = new Map<string, Attributes>();
  private readonly collect = (result: BatchObservableResult): void => this.observe(result);

  constructor(meter: Meter, census: Census, tallies: Tallies) {
    this.meter = meter;
    this.census = census;
    this.tallies = tallies;
    this.instruments = instrumentsOf(meter);
    const advice = { explicitBucketBoundaries: SECONDS };
    this.wait = meter.createHistogram('troupe.queue.wait', {
      unit: 's',
      description: 'Time between the call that sent a message and the beginning of its turn',
      advice,
    });
    this.run = meter.createHistogram('messaging.process.duration', {
      unit: 's',
      description: 'Duration of a turn',
      advice,
    });
    meter.addBatchObservableCallback(this.collect, this.observables);
  }

  /** A turn begins for a message that has waited so long. */
  began(agent: string, priority: Priority, waitMs: number): void {
    this.wait.record(waitMs / 1_000, this.attributes(agent, 'troupe.priority', priority));
  }

  /** A turn has ended. */
  ended(agent: string, outcome: string, runMs: number): void {
    this.run.record(runMs / 1_000, this.attributes(agent, 'troupe.turn.outcome', outcome));
  }

  /** Nothing is observed any more. */
  close(): void {
    this.meter.removeBatchObservableCallback(this.collect, this.observables);
  }

  private get observables(): Observable[] {
    return Object.values(this.instruments) as Observable[]; // every member of `Instruments` is one
  }

  /** One object for each set of values, however often it is recorded. */
  private attributes(agent: string, name: string, value: string): Attributes {
    const key = `${agent} ${name} ${value}`;
    let attributes = this.attributesMade.get(key);
    if (attributes === undefined) {
      attributes = { ...this.of(agent), [name]: value };
      if (name === 'troupe.turn.outcome')
        Object.assign(attributes, {
          'messaging.system': MESSAGING_SYSTEM,
          'messaging.operation.name': 'process',
        });
      this.attributesMade.set(key, attributes);
    }
    return attributes;
  }

  private of(agent: string): Attributes {
    return { 'troupe.system': this.census.system, 'troupe.agent': agent };
  }

  private observe(result: BatchObservableResult): void {
    const { census, instruments, tallies } = this;
    const all = { 'troupe.system': census.system };
    const living = new Map<AgentTally, Sum>();
    for (const tally of tallies.all()) living.set(tally, new Sum(tally.past));
    for (const actor of census.actors()) {
      const { tally } = actor.behaviour;
      const sum = living.get(tally) ?? new Sum(tally.past);
      living.set(tally, sum);
      sum.add(actor);
    }
    const nameless = new Map(Object.entries(census.deaths()));
    for (const [tally, sum] of living) {
      const of = this.of(tally.agent);
      this.observeMessages(result, of, sum);
      for (const [verdict, n] of tally.refused.entries())
        result.observe(instruments.rejected, n, { ...of, 'troupe.admission': verdict });
      for (const [reason, n] of tally.deaths.entries()) {
        result.observe(instruments.deadLetters, n, { ...of, 'troupe.dead_letter.reason': reason });
        nameless.set(reason, (nameless.get(reason) ?? 0) - n);
      }
      for (const [reason, n] of tally.restarts.entries())
        result.observe(instruments.restarts, n, { ...of, 'troupe.restart.reason': reason });
      result.observe(instruments.asks, tally.replied, { ...of, 'troupe.ask.outcome': 'replied' });
      for (const [outcome, n] of tally.unreplied.entries())
        result.observe(instruments.asks, n, { ...of, 'troupe.ask.outcome': outcome });
    }
    for (const [reason, n] of nameless) {
      if (n !== undefined && n > 0)
        result.observe(instruments.deadLetters, n, { ...all, 'troupe.dead_letter.reason': reason });
    }
    result.observe(instruments.escalations, tallies.escalations(), all);
    result.observe(instruments.asksInFlight, census.asksInFlight(), all);
  }

  private observeMessages(result: BatchObservableResult, of: Attributes, sum: Sum): void {
    const { instruments } = this;
    result.observe(instruments.accepted, sum.accepted, of);
    const outcomes = {
      handled: sum.handled,
      failed: sum.failed,
      cancelled: sum.cancelled,
      'dead-lettered': sum.deadLettered,
    };
    for (const [outcome, n] of Object.entries(outcomes))
      result.observe(instruments.ended, n, { ...of, 'troupe.outcome': outcome });
    result.observe(instruments.held, sum.held, of);
    result.observe(instruments.waiting, sum.waiting, of);
    result.observe(instruments.inFlight, sum.inFlight, of);
    result.observe(instruments.actors, sum.actors, of);
    for (const [rank, priority] of PRIORITIES.entries())
      result.observe(instruments.depth, sum.depths[rank] ?? 0, { ...of, 'troupe.priority': priority });
  }
}

/** The actors of one type together. */
class Sum {
  accepted: number;
  handled: number;
  failed: number;
  cancelled: number;
  deadLettered: number;
  held = 0;
  waiting = 0;
  inFlight = 0;
  actors = 0;
  readonly depths = PRIORITIES.map(() => 0);

  constructor(past: MessageLedger) {
    this.accepted = past.accepted;
    this.handled = past.handled;
    this.failed = past.failed;
    this.cancelled = past.cancelled;
    this.deadLettered = past.deadLettered;
  }

  add({ mailbox, turn }: Counted): void {
    this.actors++;
    if (turn !== undefined) this.inFlight++;
    if (mailbox === undefined) return;
    this.accepted += mailbox.accepted;
    this.handled += mailbox.handled;
    this.failed += mailbox.failed;
    this.cancelled += mailbox.cancelled;
    this.deadLettered += mailbox.deadLettered;
    // What a turn has put aside is among the stashed already.
    const inTurn = turn !== undefined && turn.envelope.seq > 0 && !turn.isStashed ? 1 : 0;
    this.held += mailbox.queued + mailbox.stashed + inTurn;
    this.waiting += mailbox.waiting;
    for (const [place, priority] of PRIORITIES.entries())
      this.depths[place] = (this.depths[place] ?? 0) + mailbox.depth(rankOf(priority));
  }
}

function instrumentsOf(meter: Meter): Instruments {
  const counter = (name: string, unit: string, description: string): ObservableCounter =>
    meter.createObservableCounter(name, { unit, description });
  const gauge = (name: string, unit: string, description: string): ObservableGauge =>
    meter.createObservableGauge(name, { unit, description });
  const level = (name: string, unit: string, description: string): ObservableUpDownCounter =>
    meter.createObservableUpDownCounter(name, { unit, description });
  return {
    accepted: counter('troupe.messages.accepted', '{message}', 'Messages that got into a mailbox'),
    ended: counter('troupe.messages.ended', '{message}', 'Accepted messages by their outcome'),
    held: level('troupe.messages.held', '{message}', 'Accepted messages without an outcome yet'),
    rejected: counter('troupe.messages.rejected', '{message}', 'Calls that did not get into a mailbox'),
    deadLetters: counter('troupe.dead_letters', '{message}', 'Messages not delivered or not handled'),
    depth: gauge('troupe.mailbox.depth', '{message}', 'Messages queued, by priority'),
    waiting: gauge('troupe.mailbox.waiting', '{call}', 'Calls that wait for room in a mailbox'),
    inFlight: level('troupe.turns.in_flight', '{turn}', 'Turns that run'),
    actors: level('troupe.actors', '{actor}', 'Actors that live'),
    restarts: counter('troupe.restarts', '{restart}', 'Restarts that were begun'),
    escalations: counter('troupe.escalations', '{escalation}', 'Times that a supervisor gave up'),
    asks: counter('troupe.asks.ended', '{ask}', 'Asks by how they ended'),
    asksInFlight: level('troupe.asks.in_flight', '{ask}', 'Asks that have not settled'),
  };
}
