/**
 * What goes out of a bus: publishes and requests. A publish passes the schemas, then the journal, then the router, and
 * resolves when its subscribers have taken it, or have handled it. The order of one publisher's calls is the order of his
 * messages: without a store they are in their queues when the call returns, and with one the journal keeps the order.
 */

import type { HandledReceipt, PublishReceipt } from '../../src/protocol/bus.ts';
import { Extras } from '../../src/protocol/envelope.ts';
import { invalidOption } from '../../src/protocol/options.ts';
import { priorityAt } from '../../src/protocol/priority.ts';
import type { NewMessage } from '../../src/protocol/store.ts';
import { TopicMessage } from '../../src/protocol/topic-message.ts';
import type { Kernel } from '../actor/kernel.ts';
import { nameOfLife } from '../host/life.ts';
import { Publication } from '../routing/publication.ts';
import { endCall } from '../routing/publication-trace.ts';
import type { Router } from '../routing/router.ts';
import { Tally } from '../routing/tally.ts';
import { abortable } from './abortable.ts';
import type { Brake } from './brake.ts';
import { Confirmation } from './confirmation.ts';
import type { Journal } from './journal.ts';
import type { OpenCalls } from './open-calls.ts';
import type { Labels, PublishSettings, RequestSettings } from './options.ts';
import { Request } from './request.ts';
import type { Schemas } from './schemas.ts';
import type { Wire } from './wire.ts';

const HANDLED_UNKNOWN =
  "'accepted' on a bus with a broker, which does not know who is subscribed: to hear of an end use request";

/** The parts of a bus that a message passes on its way out. */
export interface Way {
  readonly kernel: Kernel;
  readonly router: Router;
  readonly schemas: Schemas;
  readonly journal: Journal | undefined;
  readonly brake: Brake;
  /** The broker, if there is one: it takes the place of the router. */
  readonly wire: Wire | undefined;
}

/** What a message is made of: its labels, its time to live, and who is asked by it. */
interface Making {
  readonly labels: Labels;
  readonly ttlMs: number;
  readonly request?: Request;
}

/** The publishes and requests of one bus. */
export class Outgoing {
  published = 0;
  requested = 0;
  private readonly way: Way;
  /** Requests and confirmations that wait. */
  private readonly calls: OpenCalls = new Set();
  /** What the ids of this life begin with: put together once, so that each id is one concatenation. */
  private readonly idPrefix: string;
  private messages = 0;

  constructor(way: Way) {
    this.way = way;
    this.idPrefix = `${nameOfLife(way.kernel.host)}-`;
  }

  /** The receipt, when it is as `settings.confirm` says: at once where there is nothing to wait for. */
  publish(
    topic: string,
    given: unknown,
    settings: PublishSettings,
  ): PublishReceipt | Promise<PublishReceipt> {
    settings.signal?.throwIfAborted();
    const payload = this.way.schemas.checked(topic, given);
    const publication = this.publication(topic, payload, { labels: settings, ttlMs: settings.ttlMs });
    if (settings.confirm === 'handled') {
      if (this.way.wire !== undefined) throw invalidOption('confirm', HANDLED_UNKNOWN, settings.confirm);
      return this.confirmed(publication, settings);
    }
    const { router, wire, journal } = this.way;
    if (wire !== undefined && journal === undefined) {
      router.called(publication);
      return this.sent(wire, publication);
    }
    const held = this.hand(publication, journal === undefined ? undefined : new Tally());
    return held === undefined ? receiptOf(publication) : held.then(() => receiptOf(publication));
  }

  /** Resolves with the first reply. */
  async request(topic: string, given: unknown, settings: RequestSettings): Promise<unknown> {
    settings.signal?.throwIfAborted();
    const payload = this.way.schemas.checked(topic, given);
    const { kernel, router, wire } = this.way;
    const request = new Request(this.calls, kernel, topic, settings);
    this.requested++;
    const publication = this.publication(topic, payload, { labels: settings, ttlMs: Infinity, request });
    router.called(publication);
    if (wire === undefined) {
      router.distribute(publication, router.last);
      request.seal();
    } else {
      wire.request(publication, request, settings.timeoutMs);
    }
    const { trace } = publication;
    if (trace !== undefined)
      request.result.then(
        () => trace.sent('accepted'),
        (error: unknown) => trace.failed(error),
      );
    return request.result;
  }

  /** Ends the calls that wait: the bus is closed. */
  withdraw(reason: unknown): void {
    for (const call of this.calls) call.withdraw(reason);
  }

  private async confirmed(publication: Publication, settings: PublishSettings): Promise<HandledReceipt> {
    const { id, topic } = publication;
    const tally = new Tally();
    const confirmation = new Confirmation(this.calls, this.way.kernel, { topic, id, tally }, settings);
    try {
      await Promise.all([this.hand(publication, tally), confirmation.result]);
    } catch (error) {
      confirmation.withdraw(error);
      throw error;
    }
    const { handled, failed } = tally;
    return { id, delivered: handled + failed, handled, failed };
  }

  /**
   * Gives a message to its subscribers, after the store; what its publisher has to wait for until they have taken it and he
   * may go on, undefined for nothing.
   */
  private hand(publication: Publication, tally: Tally | undefined): Promise<void> | undefined {
    const { router, journal } = this.way;
    const { last } = router;
    router.called(publication); // whose call it is shows now, and no longer after a wait for the store
    if (tally !== undefined) {
      publication.extras.witness = tally;
      if (journal !== undefined) return this.handStored(journal, publication, tally, last);
    }
    this.distribute(publication, tally, last);
    return this.held(publication);
  }

  private async handStored(
    journal: Journal,
    publication: Publication,
    tally: Tally,
    last: number,
  ): Promise<void> {
    const goOn = (): void => this.distribute(publication, tally, last);
    const { signal } = publication.publisher;
    try {
      await abortable(journal.append(this.stored(publication), tally, goOn), signal);
    } catch (error) {
      publication.trace?.failed(error);
      throw error;
    }
    await this.held(publication);
    const behind = journal.holds();
    if (behind !== undefined) await abortable(behind, signal);
  }

  private distribute(publication: Publication, tally: Tally | undefined, last: number): void {
    const { router, wire } = this.way;
    this.published++;
    if (wire === undefined) router.distribute(publication, last);
    else follow(publication, wire.publish(publication));
    tally?.begin(publication);
  }

  private held(publication: Publication): Promise<void> | undefined {
    const { brake, wire } = this.way;
    if (wire !== undefined) return this.taken(publication);
    const held = brake.holds(publication);
    return held === undefined ? undefined : abortable(held, publication.publisher.signal);
  }

  /** The receipt, when the broker has it: one promise for each message, where nobody else wants to know and nobody is braked. */
  private sent(wire: Wire, publication: Publication): Promise<PublishReceipt> {
    this.published++;
    const sent = wire.publish(publication);
    if (publication.trace === undefined && !this.way.brake.isGauging) return sent;
    follow(publication, sent);
    return this.taken(publication).then(() => receiptOf(publication));
  }

  /** The broker has it, and may brake who published it. */
  private async taken(publication: Publication): Promise<void> {
    const [sent] = publication.waits ?? [];
    await sent;
    const held = this.way.brake.brakes(publication.fullest);
    if (held !== undefined) await abortable(held, publication.publisher.signal);
  }

  private publication(topic: string, payload: unknown, { labels, ttlMs, request }: Making): Publication {
    const { kernel, brake } = this.way;
    const { rank, sender, correlationId, headers, timeoutMs, signal } = labels;
    const number = ++this.messages;
    const isRequest = request !== undefined;
    const publishedAtMs = Math.floor(kernel.host.clock.wallNow());
    const extras = new Extras();
    extras.id = `${this.idPrefix}${number}`;
    extras.headers = headers;
    if (ttlMs !== Infinity) extras.deadline = kernel.now() + ttlMs;
    return new Publication(
      {
        content: new TopicMessage(topic, payload, { correlationId, publishedAtMs, number, isRequest }),
        payload,
        definition: undefined,
        rank,
        inquiry: request,
        isGauged: brake.isGauging,
      },
      extras,
      {
        from: undefined,
        sender: sender === undefined ? undefined : { address: sender },
        timeoutMs,
        // A request takes all its copies back itself.
        signal: request === undefined ? signal : undefined,
      },
    );
  }

  private stored(publication: Publication): NewMessage {
    const { id, topic, payload, rank, publisher, content, extras, trace } = publication;
    const { kernel } = this.way;
    const { publishedAtMs = 0, correlationId } = content.label ?? {};
    const ttlMs = extras.deadline - kernel.now();
    return {
      id,
      topic,
      payload,
      priority: priorityAt(rank),
      headers: trace?.headersWith(extras.headers) ?? extras.headers ?? {},
      sender: publisher.sender?.address,
      correlationId,
      publishedAtMs,
      expiresAtMs: ttlMs === Infinity ? undefined : Math.floor(publishedAtMs + ttlMs),
    };
  }
}

/** Whoever wants to know when the broker has a publication finds that as its one wait. */
function follow(publication: Publication, sent: Promise<unknown>): void {
  publication.waits = [
    sent.then(() => {
      publication.delivered = 1; // the broker
    }),
  ];
  if (publication.trace !== undefined) endCall(publication.trace, publication);
}

function receiptOf({ id, delivered }: Publication): PublishReceipt {
  return { id, delivered };
}
