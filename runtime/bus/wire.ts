/**
 * A bus on a broker: what is published goes to the broker, and what the broker brings goes to the subscribers here. The queues,
 * turns and dead letters are the same as without one; a message is safe at the broker until its subscribers here have it in
 * their queues, and in a group until one of them has handled it.
 */

import type {
  Broker,
  BrokerState,
  Destination,
  Lane,
  NodeIdentity,
  PerLane,
} from '../../src/protocol/broker.ts';
import type { PublishReceipt } from '../../src/protocol/bus.ts';
import type { Codec, Codecs } from '../../src/protocol/codec.ts';
import { Envelope, Extras } from '../../src/protocol/envelope.ts';
import { errorText } from '../../src/protocol/error-text.ts';
import { encodeMessage, type WireMessage, type WirePayload } from '../../src/protocol/frame.ts';
import {
  ASK_TIMEOUT_MS,
  LANE_WINDOWS,
  OUTBOX_WAITING_MAX,
  TIMER_MS_MAX,
  WORKING_AFTER_MS,
} from '../../src/protocol/limits.ts';
import { decodePayload, encodePayload } from '../../src/protocol/payload.ts';
import { TopicMessage } from '../../src/protocol/topic-message.ts';
import type { Kernel } from '../actor/kernel.ts';
import { entryWithoutHandler } from '../actor/outcomes.ts';
import type { Timeout } from '../host/timeouts.ts';
import { InboxArrivals } from '../remote/arrivals.ts';
import { type GroupName, GroupReadings } from '../remote/group-readings.ts';
import { type Arrival, type GivenUp, Inbound, type Sieve, type Taken } from '../remote/inbound.ts';
import { Outbox } from '../remote/outbox.ts';
import type { Parcel } from '../remote/parcel.ts';
import { relayToAll, relayToGroup } from '../remote/relay.ts';
import { Publication } from '../routing/publication.ts';
import { tracedHeaders } from '../routing/publication-trace.ts';
import type { Router } from '../routing/router.ts';
import { Question } from './questions.ts';
import type { Request } from './request.ts';
import type { Schemas } from './schemas.ts';

/** What a wire needs of its bus. */
export interface WirePorts {
  readonly kernel: Kernel;
  readonly router: Router;
  readonly schemas: Schemas;
  readonly broker: Broker;
  readonly node: NodeIdentity;
  readonly codecs: Codecs;
  /** Called when the broker has not got a publication in its time. */
  readonly refused: () => void;
}

const WINDOWS: PerLane = LANE_WINDOWS;

/** A request of ours, and the nodes that said they work on it. */
interface OpenRequest {
  readonly request: Request;
  readonly workers: Set<string>;
}

/** The broker of one bus. */
export class Wire {
  private readonly kernel: Kernel;
  private readonly router: Router;
  private readonly schemas: Schemas;
  private readonly broker: Broker;
  private readonly node: NodeIdentity;
  private readonly codecs: Codecs;
  private readonly outbox: Outbox;
  private readonly inbox: Inbound;
  private readonly groups: GroupReadings;
  /** Requests of ours that wait for replies, by id. */
  private readonly requests = new Map<string, OpenRequest>();
  /** Requests of others that subscribers here work on, by id: one for the inbox, and one for each group that it came to. */
  private readonly questions = new Map<string, readonly Question[]>();
  private readonly arrivals: InboxArrivals;
  private readonly unheard: () => void;
  private readonly refused: () => void;
  private present: BrokerState = 'down';
  private arrived = 0;
  private stopped: Promise<void> = Promise.resolve();

  constructor({ kernel, router, schemas, broker, node, codecs, refused }: WirePorts) {
    this.kernel = kernel;
    this.router = router;
    this.schemas = schemas;
    this.broker = broker;
    this.node = node;
    this.codecs = codecs;
    this.refused = refused;
    this.outbox = new Outbox(kernel, broker, node);
    this.arrivals = new InboxArrivals(({ node: from, stream }, frames) =>
      kernel.events.emit({ type: 'frames-missing', node: from, stream, frames }),
    );
    const { arrivals } = this;
    const sieve: Sieve = { isNew: (frame, topic) => arrivals.isNew(frame, topic), done: () => undefined };
    this.inbox = new Inbound(kernel, sieve, (arrival) => this.take(arrival));
    this.groups = new GroupReadings(kernel, broker, (arrival, name) => this.takeShare(arrival, name));
    this.unheard = broker.onState(({ state, cause: error }) => this.changed(state, error));
  }

  get state(): BrokerState {
    return this.present;
  }

  /** Share of the outbox that is used in a lane. */
  fill(lane: Lane): number {
    return this.outbox.waitingIn(lane) / OUTBOX_WAITING_MAX;
  }

  /** Rejects as `Broker.open` does. */
  async open(): Promise<void> {
    const { broker, node, kernel, inbox } = this;
    await broker.open(node, kernel.host);
    this.present = 'up';
    inbox.begin(await broker.consume({ kind: 'inbox' }, { windows: WINDOWS, receive: inbox.receive }));
  }

  // --- out --------------------------------------------------------------------------------------------------------

  /** Gives a publication to the broker, and resolves when the broker has it. Throws for a payload that cannot travel. */
  publish(publication: Publication): Promise<PublishReceipt> {
    return this.depart(publication, 'message', publication.publisher.timeoutMs).taken;
  }

  /** As `publish`, for a question; replies come to `request`. */
  request(publication: Publication, request: Request, timeoutMs: number): void {
    const { id, rank } = publication;
    const workers = new Set<string>();
    this.requests.set(id, { request, workers });
    const over = (): void => {
      this.requests.delete(id);
    };
    request.result.then(over, over);
    try {
      const parcel = this.depart(publication, 'request', timeoutMs);
      request.spread(() => {
        parcel.refuse(undefined); // if it is still here it stays here; why, nobody asks any more
        for (const node of workers) this.cancel(id, node, rank, request.dueAt);
      });
      parcel.taken.catch((error: unknown) => request.withdraw(error));
    } catch (error) {
      request.withdraw(error);
    }
  }

  private depart(
    publication: Publication,
    type: 'message' | 'request',
    timeoutMs: number,
  ): Parcel<PublishReceipt> {
    const { kernel, refused } = this;
    const { id, topic, payload, content, publisher, extras, rank } = publication;
    const { sender, signal } = publisher;
    const bytes = encodePayload(payload, this.payloadBytesMax, this.codecs.writer);
    const dueAt = type === 'request' ? kernel.now() + timeoutMs : extras.deadline;
    const expiresAtMs = this.wallTimeOf(dueAt);
    const message = encodeMessage({
      type,
      id,
      sentAtMs: content.label?.publishedAtMs ?? 0,
      expiresAtMs,
      sender: sender?.address,
      correlationId: content.label?.correlationId,
      headers: tracedHeaders(publication),
      payload: bytes,
    });
    const receipt = { id, delivered: 1 }; // the broker
    const patience = { timeoutMs, signal, expiresAtMs, refused: type === 'message' ? refused : undefined };
    const parcel = this.outbox.send({ kind: 'topic', topic }, rank, message, patience, receipt);
    publication.fullest = this.fill(rank);
    return parcel;
  }

  /** A node that works for a request is told to stop, unless its time has come: that it knows. */
  private cancel(id: string, node: string, lane: Lane, dueAt: number): void {
    if (dueAt > this.kernel.now())
      this.tell({ kind: 'node', node }, lane, wireMessage('cancel', id, this.wallNow()), dueAt);
  }

  /** Sends a word about a request, which is of use until then. If it does not arrive, the request's own time ends the work for it. */
  private tell(to: Destination, lane: Lane, message: WireMessage, dueAt: number): void {
    // Whole seconds share a timer.
    const timeoutMs = Math.max(1, Math.ceil((dueAt - this.kernel.now()) / 1_000)) * 1_000;
    const { taken } = this.outbox.send(to, lane, encodeMessage(message), { timeoutMs }, undefined);
    taken.catch((error: unknown) => {
      if (message.type === 'cancel' || message.type === 'working') return;
      const text = `a ${message.type} of request ${message.id} could not be sent`;
      this.kernel.events.emit({ type: 'logged', level: 'warn', address: '/', text, fields: { error } });
    });
  }

  // --- interest ---------------------------------------------------------------------------------------------------

  /** Lets what is published to a pattern in. Resolves when effective, with what takes it back. */
  async listen(pattern: string): Promise<() => Promise<void>> {
    this.arrivals.interrupt();
    await this.broker.listen(pattern);
    return () => this.broker.unlisten(pattern);
  }

  /** As `GroupReadings.join`. */
  join(group: string, pattern: string): Promise<(leave: () => Promise<void>) => Promise<void>> {
    return this.groups.join({ group, pattern });
  }

  // --- in ---------------------------------------------------------------------------------------------------------

  /** What came into the inbox is done with when the subscribers here have it in their queues. */
  private take(arrival: Arrival): Taken {
    const { message, topic } = arrival;
    switch (message.type) {
      case 'message':
      case 'request': {
        if (topic === undefined) return misdirected('it was sent to a node, not to a topic');
        const publication = this.publicationOf(arrival, topic);
        if (!(publication instanceof Publication)) return Promise.resolve(publication);
        const taken = relayToAll(this.router, publication);
        if (publication.inquiry instanceof Question) publication.inquiry.seal();
        return taken;
      }
      case 'reply':
      case 'refusal':
      case 'working':
      case 'cancel':
        if (topic !== undefined) return misdirected('it is about a request, and was sent to a topic');
        return this.takeWord(arrival);
      case 'tell':
      case 'ask':
      case 'send':
      case 'watch':
      case 'unwatch':
      case 'terminated':
      case 'stop':
      case 'job':
      case 'done':
      case 'part':
      case 'demand':
      case 'spawn':
      case 'keep':
      case 'names':
        return misdirected('it is of actors, and a bus has none');
    }
  }

  /** What came to a group is done with when one of its members here has handled it, retries included. */
  private takeShare(arrival: Arrival, name: GroupName): Taken {
    const { message } = arrival;
    const { topic = name.pattern } = arrival;
    if (message.type !== 'message' && message.type !== 'request')
      return misdirected('it is about a request, and was sent to a group');
    const publication = this.publicationOf(arrival, topic);
    if (!(publication instanceof Publication)) return Promise.resolve(publication);
    const taken = relayToGroup(this.router, publication, name);
    if (publication.inquiry instanceof Question) publication.inquiry.seal();
    return taken;
  }

  /** A word about a request, from the node that made it or from one that got it. */
  private takeWord(arrival: Arrival): Taken {
    const { message, node, lane } = arrival;
    const { id, type, expiresAtMs } = message;
    if (type === 'cancel') {
      // Nobody waits for it any more: all that is done for it here is ended.
      for (const question of this.questions.get(id) ?? []) question.outrun();
      return undefined;
    }
    if (type !== 'working') return this.takeReply(arrival);
    const open = this.requests.get(id);
    if (open !== undefined) open.workers.add(node);
    else this.cancel(id, node, lane, expiresAtMs === undefined ? 0 : this.clockTimeOf(expiresAtMs));
    return undefined;
  }

  private takeReply({ message, node, lane }: Arrival): Taken {
    const request = this.requests.get(message.id)?.request;
    let value: unknown;
    try {
      value = decodePayload(message.payload, this.codecs);
    } catch (error) {
      request?.noteFailure(error);
      return givenUp('serialization', error);
    }
    if (message.type === 'refusal') request?.noteFailure(new Error(String(value)));
    else if (request?.answered({ address: node }, value) !== true) this.buryReply(message, value, lane, node);
    return undefined;
  }

  /** A reply that nobody waits for any more. */
  private buryReply(message: WireMessage, value: unknown, lane: Lane, node: string): void {
    const extras = new Extras();
    extras.headers = message.headers;
    const reply = new Envelope(LATE_REPLY, value, lane, { address: node }, undefined, extras);
    this.kernel.deadLetters.add(reply, `/bus/${this.node.name}`, 'late-reply');
  }

  /** The message as subscribers here get it; why not, if its schema refuses it or its payload cannot be read. */
  private publicationOf(arrival: Arrival, topic: string): Publication | GivenUp {
    const { message, lane, deliveries } = arrival;
    let payload: unknown;
    let reason = 'serialization';
    try {
      payload = decodePayload(message.payload, this.codecs);
      reason = 'validation';
      payload = this.schemas.checked(topic, payload);
    } catch (error) {
      if (message.type === 'request') this.refuse(arrival, this.dueAt(message), error);
      return { reason, error };
    }
    const extras = new Extras();
    extras.id = message.id;
    extras.headers = message.headers;
    extras.attempt = Math.max(1, deliveries);
    if (message.expiresAtMs !== undefined) extras.deadline = this.clockTimeOf(message.expiresAtMs);
    const label = {
      correlationId: message.correlationId,
      publishedAtMs: message.sentAtMs,
      number: ++this.arrived,
      isRequest: message.type === 'request',
    };
    const { sender } = message;
    return new Publication(
      {
        content: new TopicMessage(topic, payload, label),
        payload,
        definition: undefined,
        rank: lane,
        inquiry: message.type === 'request' ? this.question(arrival, topic) : undefined,
      },
      extras,
      {
        from: undefined,
        sender: sender === undefined ? undefined : { address: sender },
        // Who is busy is not to blame: it waits until its own deadline, and the lane with it.
        timeoutMs: TIMER_MS_MAX,
        signal: undefined,
      },
    );
  }

  private question(arrival: Arrival, topic: string): Question {
    const { kernel, questions } = this;
    const { message, node, lane } = arrival;
    const { id } = message;
    const now = kernel.now();
    const dueAt = this.dueAt(message);
    const answerTo = { kind: 'node', node } as const;
    const startEnd = (at: number): Timeout =>
      kernel.timeouts.startFunction(Math.max(1, Math.ceil(dueAt - at)), at, () => question.outrun());
    const startWorking = (): Timeout =>
      kernel.timeouts.startFunction(WORKING_AFTER_MS, now, () => {
        timeout = startEnd(kernel.now());
        const word = wireMessage('working', id, this.wallNow());
        this.tell(answerTo, lane, { ...word, expiresAtMs: this.wallTimeOf(dueAt) }, dueAt);
      });
    // One after the other: most questions are answered before the first.
    let timeout = dueAt - now > WORKING_AFTER_MS ? startWorking() : startEnd(now);
    const question = new Question(topic, dueAt, {
      reply: (value) => {
        const payload = encodePayload(value, this.payloadBytesMax, this.codecOf(message));
        this.tell(answerTo, lane, wireMessage('reply', id, this.wallNow(), payload), dueAt);
      },
      refuse: (error) => this.refuse(arrival, dueAt, error),
      over: () => {
        kernel.timeouts.cancel(timeout);
        const others = (questions.get(id) ?? []).filter((each) => each !== question);
        if (others.length === 0) questions.delete(id);
        else questions.set(id, others);
      },
    });
    questions.set(id, [...(questions.get(id) ?? []), question]);
    return question;
  }

  /** Tells the asker why nobody here will answer. */
  private refuse({ message: { id }, node, lane }: Arrival, dueAt: number, error: unknown): void {
    if (dueAt <= this.kernel.now()) return;
    const payload = encodePayload(errorText(error), this.payloadBytesMax);
    this.tell({ kind: 'node', node }, lane, wireMessage('refusal', id, this.wallNow(), payload), dueAt);
  }

  /** By what a request is answered: by what it was written by, which its asker has. It may have nothing else but JSON. */
  private codecOf({ payload }: WireMessage): Codec | undefined {
    return payload.codec === 'named' ? this.codecs.readers.get(payload.name) : undefined;
  }

  /** When nobody waits for the answer to this request any more. */
  private dueAt({ expiresAtMs }: WireMessage): number {
    const dueAt = expiresAtMs === undefined ? Infinity : this.clockTimeOf(expiresAtMs);
    return dueAt === Infinity ? this.kernel.now() + ASK_TIMEOUT_MS : dueAt;
  }

  // --- the end ----------------------------------------------------------------------------------------------------

  /** Takes nothing more in; what is here already goes on, for `drainMs`: then others get it. */
  stopReading(drainMs: number): void {
    const sources = [this.inbox, ...this.groups.sources];
    this.stopped = Promise.all(sources.map((source) => source.stop(drainMs))).then(() => undefined);
    this.kernel.background(this.stopped);
  }

  /** Resolves when the broker has been told what has become of all that was taken in. */
  settled(): Promise<void> {
    return this.stopped;
  }

  /** Resolves when the broker has all that was published. */
  flushed(): Promise<void> {
    return this.outbox.drained();
  }

  /** Gives up what the broker has not taken, and disconnects. */
  async close(reason: unknown): Promise<void> {
    this.outbox.withdraw(reason);
    for (const questions of this.questions.values())
      for (const question of questions) question.cancel(reason);
    this.unheard(); // that it is closed is no outage
    await this.broker.close();
    this.present = 'down';
  }

  private changed(state: BrokerState, error: Error | undefined): void {
    this.present = state;
    this.kernel.events.emit({ type: 'broker-state-changed', broker: this.broker.kind, state, error });
    if (state === 'up') this.outbox.hurry();
  }

  /** What is left of a frame beside its own head and a message's labels. */
  private get payloadBytesMax(): number {
    return this.broker.capabilities.frameBytesMax - LABEL_BYTES_MAX;
  }

  private wallNow(): number {
    return Math.floor(this.kernel.host.clock.wallNow());
  }

  private wallTimeOf(deadline: number): number | undefined {
    return deadline === Infinity ? undefined : Math.ceil(this.wallNow() + deadline - this.kernel.now());
  }

  /** What is further away than a timer can count is never. */
  private clockTimeOf(wallMs: number): number {
    const leftMs = wallMs - this.kernel.host.clock.wallNow();
    return leftMs > TIMER_MS_MAX ? Infinity : this.kernel.now() + leftMs;
  }
}

/** Bytes of a frame's head and of a message's id, sender, correlation id and headers, at the most. */
const LABEL_BYTES_MAX = 40_960;

const LATE_REPLY = entryWithoutHandler('deliver (reply)', 'tell');
const NO_PAYLOAD: WirePayload = { codec: 'none', bytes: new Uint8Array(0) };

function wireMessage(
  type: WireMessage['type'],
  id: string,
  sentAtMs: number,
  payload = NO_PAYLOAD,
): WireMessage {
  const none = undefined;
  return { type, id, sentAtMs, expiresAtMs: none, sender: none, correlationId: none, headers: none, payload };
}

function givenUp(reason: string, error: unknown): Promise<GivenUp> {
  return Promise.resolve({ reason, error });
}

/** Nobody who keeps to the protocol sends this. */
function misdirected(problem: string): Promise<GivenUp> {
  return givenUp('validation', new Error(problem));
}
