/**
 * Topics between nodes. What is published here goes to the subscribers here at once, and as one message to the broker, which brings a copy to each other
 * node that listens. A group competes over all nodes, so what it gets comes through the broker, here too. What comes back of one's own is no news.
 */

import type { Broker } from '../../src/protocol/broker.ts';
import { checkGroupName } from '../../src/protocol/broker-options.ts';
import { Envelope, Extras } from '../../src/protocol/envelope.ts';
import { encodeMessage } from '../../src/protocol/frame.ts';
import { LISTEN_AGAIN_MS, TIMER_MS_MAX } from '../../src/protocol/limits.ts';
import type { Headers } from '../../src/protocol/ref.ts';
import { parametersIn, withParams } from '../../src/protocol/topic.ts';
import { TopicMessage } from '../../src/protocol/topic-message.ts';
import type { Kernel } from '../actor/kernel.ts';
import { entryWithoutHandler } from '../actor/outcomes.ts';
import type { Timeout } from '../host/timeouts.ts';
import { Publication } from '../routing/publication.ts';
import { tracedHeaders } from '../routing/publication-trace.ts';
import type { Abroad, Router } from '../routing/router.ts';
import { senderOf } from './deliveries.ts';
import { type GroupName, GroupReadings } from './group-readings.ts';
import type { Arrival, GivenUp, Taken } from './inbound.ts';
import type { Mail } from './mail.ts';
import type { Nodes } from './nodes.ts';
import type { Outbox } from './outbox.ts';
import { relayToAll, relayToGroup } from './relay.ts';
import { clockTimeOf, wallNow, wallTimeOf } from './wall-time.ts';

/** The header by which the template of a typed topic travels: whoever gets the message knows its parameters by it. */
const TEMPLATE_HEADER = 'troupe-template';
/** Milliseconds for what groups have in hand when the system ends. */
const END_DRAIN_MS = 60_000;

/** What topics need of their node. */
export interface TopicMailPorts {
  readonly kernel: Kernel;
  readonly router: Router;
  readonly broker: Broker;
  readonly nodes: Nodes;
  readonly mail: Mail;
  readonly outbox: Outbox;
  /** Something is listened to from here on: what was published before is no loss. */
  readonly interrupted: () => void;
}

interface Interest {
  readonly pattern: string;
  count: number;
  /** The present attempt, or the last one. */
  ready: Promise<void>;
  /** Runs where the last attempt has failed. */
  again: Timeout | undefined;
}

/** The topics of one node. */
export class TopicMail implements Abroad {
  private readonly ports: TopicMailPorts;
  private readonly groups: GroupReadings;
  /** What subscribers here listen to, and how many do. */
  private readonly interests = new Map<string, Interest>();
  private stopped: Promise<unknown> = Promise.resolve();

  constructor(ports: TopicMailPorts) {
    this.ports = ports;
    this.groups = new GroupReadings(ports.kernel, ports.broker, (arrival, name) =>
      this.takeShare(arrival, name),
    );
  }

  // --- out --------------------------------------------------------------------------------------------------------

  /** Gives a publication to the broker; whoever publishes waits until that has it. Throws for a payload that cannot travel. */
  publish(publication: Publication): void {
    const { kernel, mail, outbox } = this.ports;
    const { topic, payload, publisher, extras, rank, definition } = publication;
    const { sender, signal, timeoutMs, from } = publisher;
    extras.id ??= mail.nextId();
    const expiresAtMs = wallTimeOf(kernel, extras.deadline);
    const headers = withTemplate(tracedHeaders(publication), definition?.template);
    const bytes = encodeMessage({
      type: 'message',
      id: extras.id,
      sentAtMs: wallNow(kernel),
      expiresAtMs,
      sender: sender === undefined ? undefined : mail.nameHere(sender.address),
      correlationId: undefined,
      headers,
      payload: mail.payloadToSend(payload),
    });
    const patience = { timeoutMs, signal, expiresAtMs, waitsForRoom: true };
    const parcel = outbox.send({ kind: 'topic', topic }, rank, bytes, patience, undefined);
    const call = { withdraw: (reason: unknown): void => parcel.refuse(reason) };
    from?.addPending(call);
    const taken = parcel.taken.finally(() => from?.removePending(call));
    publication.waits ??= [];
    publication.waits.push(taken);
  }

  // --- interest ---------------------------------------------------------------------------------------------------

  entered(pattern: string): void {
    const known = this.interests.get(pattern);
    if (known === undefined) {
      const interest: Interest = { pattern, count: 1, ready: Promise.resolve(), again: undefined };
      this.interests.set(pattern, interest);
      this.listen(interest);
      return;
    }
    known.count++;
    // Whoever comes now is told how it is now, not of an outage before.
    if (known.again !== undefined) this.listen(known);
  }

  left(pattern: string): void {
    const known = this.interests.get(pattern);
    if (known === undefined || --known.count > 0) return;
    this.interests.delete(pattern);
    const { kernel, broker } = this.ports;
    this.forgetTimer(known);
    kernel.background(known.ready.then(() => broker.unlisten(pattern)).catch(() => undefined));
  }

  /** Resolves when these patterns, of those that were entered, are effective for every publisher. */
  async ready(patterns: Iterable<string> = this.interests.keys()): Promise<void> {
    const known = [...patterns].map((pattern) => this.interests.get(pattern));
    await Promise.all(known.map((interest) => interest?.ready ?? Promise.resolve()));
  }

  /** Tells the broker, again and again while somebody listens: nobody else would wake an agent whose subscription it has not taken. */
  private listen(interest: Interest): void {
    const { kernel, broker, interrupted } = this.ports;
    const { pattern } = interest;
    this.forgetTimer(interest);
    interrupted();
    interest.ready = broker.listen(pattern);
    interest.ready.catch((error: unknown) => {
      if (this.interests.get(pattern) !== interest) return;
      const text = `what other nodes publish to '${pattern}' is not heard yet`;
      kernel.events.emit({ type: 'logged', level: 'error', address: '/', text, fields: { error } });
      const again = (): void => this.listen(interest);
      interest.again = kernel.timeouts.startFunction(LISTEN_AGAIN_MS, kernel.now(), again);
    });
  }

  private forgetTimer(interest: Interest): void {
    if (interest.again !== undefined) this.ports.kernel.timeouts.cancel(interest.again);
    interest.again = undefined;
  }

  /** As `GroupReadings.join`. Rejects with `ERR_OPTION_INVALID` for a name that a broker does not take. */
  async join(name: GroupName): Promise<(leave: () => Promise<void>) => Promise<void>> {
    return this.groups.join({ ...name, group: checkGroupName(name.group) });
  }

  // --- in ---------------------------------------------------------------------------------------------------------

  /** Something that was published to a topic has come into the inbox. */
  take(arrival: Arrival, topic: string): Taken {
    if (this.ports.nodes.isOwn(arrival.node, arrival.incarnation)) return undefined; // it was here first
    const publication = this.publicationOf(arrival, topic);
    if (publication === undefined) return undefined;
    if (!(publication instanceof Publication)) return Promise.resolve(publication);
    return relayToAll(this.ports.router, publication);
  }

  private takeShare(arrival: Arrival, name: GroupName): Taken {
    const publication = this.publicationOf(arrival, arrival.topic ?? name.pattern);
    if (publication === undefined) return undefined;
    if (!(publication instanceof Publication)) return Promise.resolve(publication);
    return relayToGroup(this.ports.router, publication, name);
  }

  /** The message as subscribers here get it; why not, where it cannot be read; undefined where nobody is to have it. */
  private publicationOf(arrival: Arrival, topic: string): Publication | GivenUp | undefined {
    const { kernel, mail, nodes } = this.ports;
    const { message, lane, node, incarnation } = arrival;
    if (message.type !== 'message') return { reason: 'validation', error: new Error('it is of a bus') };
    let payload: unknown;
    try {
      payload = mail.valueOf(message.payload);
    } catch (error) {
      return { reason: 'serialization', error };
    }
    const { headers, template } = withoutTemplate(message.headers);
    const extras = new Extras();
    extras.id = message.id;
    extras.headers = headers;
    extras.attempt = Math.max(1, arrival.deliveries);
    extras.deadline = clockTimeOf(kernel, message.expiresAtMs);
    if (nodes.isLost({ name: node, incarnation })) {
      this.bury(payload, extras, { lane, topic });
      return undefined;
    }
    const params = template === undefined ? undefined : parametersIn(template, topic);
    const isObject = typeof payload === 'object' && payload !== null;
    const content = params === undefined || !isObject ? payload : withParams(payload, params);
    const sender = senderOf(arrival);
    // Who is busy is not to blame: it waits until its own deadline, and the lane with it.
    const publisher = { from: undefined, sender, timeoutMs: TIMER_MS_MAX, signal: undefined };
    const said = { content: new TopicMessage(topic, content), payload, definition: undefined, rank: lane };
    return new Publication({ ...said, isForeign: true }, extras, publisher);
  }

  /** What a life that was lost had published. */
  private bury(
    payload: unknown,
    extras: Extras,
    { lane, topic }: Pick<Arrival, 'lane'> & { readonly topic: string },
  ): void {
    extras.topic = topic;
    const envelope = new Envelope(PUBLISHED, payload, lane, undefined, undefined, extras);
    this.ports.kernel.deadLetters.add(envelope, this.ports.mail.nameHere('/'), 'quarantined');
  }

  // --- the end ----------------------------------------------------------------------------------------------------

  /** Groups take nothing more; what they have in hand is worked off, and the rest others get. */
  stopGroups(): void {
    this.stopped = Promise.all(this.groups.sources.map((source) => source.stop(END_DRAIN_MS)));
    this.ports.kernel.background(this.stopped);
  }

  /** Resolves when the broker has been told what has become of all that groups took. */
  async settled(): Promise<void> {
    await this.stopped;
  }
}

const PUBLISHED = entryWithoutHandler('deliver', 'tell');

function withTemplate(headers: Headers | undefined, template: string | undefined): Headers | undefined {
  // Without a parameter it says nothing.
  return template?.includes('{') === true ? { ...headers, [TEMPLATE_HEADER]: template } : headers;
}

function withoutTemplate(headers: Headers | undefined): {
  readonly headers: Headers | undefined;
  readonly template: string | undefined;
} {
  if (headers === undefined || !Object.hasOwn(headers, TEMPLATE_HEADER))
    return { headers, template: undefined };
  const { [TEMPLATE_HEADER]: template, ...others } = headers;
  return { headers: Object.freeze(others), template };
}
