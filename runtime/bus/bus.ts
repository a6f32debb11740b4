/**
 * The message bus: a system without agents, for people who only want to publish and subscribe. This file joins the parts;
 * what a message passes on its way out is in outgoing.ts, what handlers get is in incoming.ts, and the queues, turns and
 * dead letters behind are those of every actor.
 */

import type { NodeIdentity } from '../../src/protocol/broker.ts';
import { checkGroupName } from '../../src/protocol/broker-options.ts';
import type {
  MessageBus as Bus,
  BusHandler,
  BusMessage,
  BusOptions,
  BusStats,
  PendingMessage,
  PublishReceipt,
  QueueSize,
} from '../../src/protocol/bus.ts';
import type { Host } from '../../src/protocol/clock.ts';
import type { DeadLetters } from '../../src/protocol/dead-letters.ts';
import { isTroupeError, TroupeError } from '../../src/protocol/errors.ts';
import { BUS_DRAIN_MS, PENDING_SHOWN } from '../../src/protocol/limits.ts';
import {
  functionOption,
  integerOption,
  invalidOption,
  objectOption,
  recordOption,
} from '../../src/protocol/options.ts';
import type { PulledMessage, SubscribeOptions, Subscription } from '../../src/protocol/subscription.ts';
import type { RuntimeEvents } from '../../src/protocol/system.ts';
import { checkPattern, checkTopic } from '../../src/protocol/topic.ts';
import { Cell } from '../actor/cell.ts';
import { actorRef } from '../actor/local-ref.ts';
import { nameOfLife } from '../host/life.ts';
import { systemHost } from '../host/system-clock.ts';
import { deliveryAgent, FunctionReceiver } from '../routing/function-subscriber.ts';
import { LocalSystem } from '../system.ts';
import { Brake } from './brake.ts';
import { pendingMessages, queueSizes } from './gauges.ts';
import { busMessages, heardMessages, subscriberOf } from './incoming.ts';
import { Journal } from './journal.ts';
import { type BusSettings, connectOptions, publishOptions, requestOptions } from './options.ts';
import { Outgoing } from './outgoing.ts';
import { Replay, replayOptions } from './replay.ts';
import { Schemas } from './schemas.ts';
import { Wire } from './wire.ts';

export type MessageBus = Bus;

/** The front door for people who only want a bus. */
export const MessageBus = {
  /** Connects a bus, in memory. Rejects with `ERR_OPTION_INVALID`, `ERR_TOPIC_INVALID`. */
  connect(options?: BusOptions): Promise<MessageBus> {
    return connectBus(options, systemHost);
  },
} as const;

/** As `MessageBus.connect`, in surroundings of the caller's choosing. */
export async function connectBus(options: BusOptions | undefined, host: Host): Promise<MessageBus> {
  const bus = new LocalBus(connectOptions(options), host);
  await bus.start();
  // Its calls take what the public types say, with types erased.
  return bus as unknown as MessageBus;
}

class LocalBus {
  readonly name: string;
  private readonly capacity: number;
  private readonly system: LocalSystem;
  private readonly schemas: Schemas;
  private readonly brake: Brake;
  private readonly journal: Journal | undefined;
  private readonly wire: Wire | undefined;
  private readonly outgoing: Outgoing;
  private drainMs = BUS_DRAIN_MS;

  constructor(settings: BusSettings, host: Host) {
    this.name = settings.name;
    this.capacity = settings.capacity;
    this.schemas = new Schemas(settings.schemas, settings.isStrict);
    this.system = new LocalSystem(settings.system, host, { hasOnlyDrain: true });
    const { kernel, topics } = this.system;
    this.brake = new Brake(kernel, settings.brake);
    this.journal = settings.store === undefined ? undefined : new Journal(kernel, settings.store);
    const { schemas, brake, journal } = this;
    const { router } = topics;
    const { broker, codecs } = settings;
    const node = settings.broker === undefined ? undefined : identityOf(settings, host);
    this.wire =
      broker === undefined || node === undefined
        ? undefined
        : new Wire({ kernel, router, schemas, broker, node, codecs, refused: () => brake.noteRefusal() });
    this.outgoing = new Outgoing({ kernel, router, schemas, journal, brake, wire: this.wire });
  }

  get deadLetters(): DeadLetters {
    return this.system.deadLetters;
  }

  get events(): RuntimeEvents {
    return this.system.events;
  }

  async start(): Promise<void> {
    const { system, brake, outgoing, journal, wire } = this;
    system.onShutdown('stop-intake', 'brake', () => brake.release());
    if (wire !== undefined) {
      system.onShutdown('stop-intake', 'reading', () => wire.stopReading(this.drainMs));
      system.onShutdown('flush', 'reading', () => wire.settled());
      system.onShutdown('close', 'broker', () => wire.close(this.closed()));
    }
    // What was published before the end is on its way to the store: its subscribers get it before they are drained.
    system.onShutdown('stop-intake', 'journal', () => journal?.passed());
    system.onShutdown('flush', 'calls', async () => {
      outgoing.withdraw(this.closed());
      await wire?.flushed(); // those who still work for them are told
    });
    system.onShutdown('flush', 'statuses', () => journal?.flush());
    await system.start();
    if (wire === undefined) return;
    try {
      await wire.open();
    } catch (error) {
      await system.shutdown({ drainMs: 0 });
      throw error;
    }
  }

  // --- publishing -------------------------------------------------------------------------------------------------

  publish(topic: unknown, payload: unknown, options?: unknown): Promise<PublishReceipt> {
    // As an async function, in which one promise is made for each message instead of three.
    try {
      this.needOpen();
      const receipt = this.outgoing.publish(checkTopic(topic), payload, publishOptions(options));
      return receipt instanceof Promise ? receipt : Promise.resolve(receipt);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  async request(topic: unknown, payload: unknown, options?: unknown): Promise<unknown> {
    this.needOpen();
    return this.outgoing.request(checkTopic(topic), payload, requestOptions(options));
  }

  // --- subscribing ------------------------------------------------------------------------------------------------

  async subscribe(pattern: unknown, handler: unknown, options?: unknown): Promise<Subscription> {
    this.needOpen();
    const checked = checkPattern(pattern);
    const { wire } = this;
    const { topics } = this.system;
    const group = wire === undefined ? undefined : groupIn(options);
    const subscription = await topics.subscribe(
      checked,
      subscriberOf(handlerOption(handler)),
      options,
      this.capacity,
    );
    return wire === undefined ? subscription : this.spread(wire, subscription, group);
  }

  /** Makes a subscription one of the broker's as well. */
  private async spread(wire: Wire, here: Subscription, group: string | undefined): Promise<Subscription> {
    const { pattern } = here;
    try {
      const end =
        group === undefined
          ? await this.heard(wire, pattern)
          : await wire.join(checkGroupName(group), pattern);
      let ended: Promise<void> | undefined;
      const unsubscribe = (): Promise<void> => {
        ended ??= end(() => here.unsubscribe());
        return ended;
      };
      return { pattern, unsubscribe };
    } catch (error) {
      await here.unsubscribe();
      throw error;
    }
  }

  private async heard(wire: Wire, pattern: string): Promise<(leave: () => Promise<void>) => Promise<void>> {
    const unlisten = await wire.listen(pattern);
    return async (leave) => {
      await Promise.all([leave(), unlisten()]);
    };
  }

  async unsubscribe(subscription: unknown): Promise<void> {
    const { unsubscribe } = recordOption('subscription', subscription);
    if (typeof unsubscribe !== 'function')
      throw invalidOption('subscription', 'what subscribe gave', subscription);
    await unsubscribe();
  }

  messages(pattern: unknown, options?: unknown): AsyncIterable<BusMessage> {
    this.needOpen();
    const checked = checkPattern(pattern);
    const pulled = this.system.topics.messages(checked, options);
    // That is what its iterations give.
    const given = pulled as AsyncIterable<PulledMessage<unknown>>;
    const messages = busMessages(given, () => this.needOpen());
    const { wire } = this;
    return wire === undefined ? messages : heardMessages(messages, () => wire.listen(checked));
  }

  // --- looking ----------------------------------------------------------------------------------------------------

  pending(pattern: unknown, options?: unknown): readonly PendingMessage[] {
    const { limit } = objectOption('pending options', options, ['limit']);
    const shown = integerOption('limit', limit, 1, PENDING_SHOWN);
    return pendingMessages(this.system.topics.router.subscribers, checkPattern(pattern), shown);
  }

  queueSizes(): readonly QueueSize[] {
    return queueSizes(this.system.topics.router.subscribers);
  }

  async stats(): Promise<BusStats> {
    const { published, requested } = this.outgoing;
    return {
      published,
      requested,
      backpressure: this.brake.stats,
      queues: this.queueSizes(),
      deadLetters: this.deadLetters.stats(),
      store: await this.journal?.store.stats(),
      statusesLost: this.journal?.statusesLost ?? 0,
      broker: this.wire?.state,
    };
  }

  // --- history ----------------------------------------------------------------------------------------------------

  async replay(pattern: unknown, handler: unknown, options?: unknown): Promise<number> {
    this.needOpen();
    const { journal, schemas, system } = this;
    if (journal === undefined)
      throw invalidOption('store', 'a message store given to connect, for replay to read from', undefined);
    const { range, signal } = replayOptions(checkPattern(pattern), options);
    signal?.throwIfAborted();
    const receiver = new FunctionReceiver(subscriberOf(handlerOption(handler)));
    const ref = await system.spawn(deliveryAgent({ capacity: 1 }), { args: receiver });
    const cell = actorRef(ref, system.kernel).target();
    if (!(cell instanceof Cell)) throw this.closed();
    try {
      return await new Replay(cell, schemas, signal).run(journal.store, range);
    } catch (error) {
      if (isTroupeError(error, 'ERR_ACTOR_STOPPED')) this.needOpen();
      throw error;
    } finally {
      await system.stop(ref);
    }
  }

  // --- the end ----------------------------------------------------------------------------------------------------

  close(options?: unknown): Promise<void> {
    const { drainMs = BUS_DRAIN_MS, ...rest } =
      options === undefined ? {} : recordOption('close options', options);
    // The system refuses whatever else it may be.
    if (typeof drainMs === 'number' && drainMs >= 0 && !this.system.kernel.isIntakeClosed)
      this.drainMs = drainMs;
    return this.system.shutdown({ drainMs, ...rest });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  private needOpen(): void {
    if (this.system.kernel.isIntakeClosed) throw this.closed();
  }

  private closed(): TroupeError {
    return new TroupeError('ERR_BUS_CLOSED', { name: this.name });
  }
}

/** This life of this bus. Without a name of its own it has one that no other node has. */
function identityOf({ name, node }: BusSettings, host: Host): NodeIdentity {
  const incarnation = nameOfLife(host);
  return { name: node ?? `${name.slice(0, 32)}-${incarnation}`, incarnation };
}

/** The group that a subscription names, as a name at a broker. What else is wrong with the options is said where they are read. */
function groupIn(options: unknown): string | undefined {
  const group =
    typeof options === 'object' && options !== null ? (options as SubscribeOptions).group : undefined;
  return group === undefined ? undefined : checkGroupName(group);
}

function handlerOption(handler: unknown): BusHandler {
  return functionOption('handler', handler ?? null) as BusHandler; // any function can be called
}
