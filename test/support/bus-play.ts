/**
 * Buses of one case of the contract of brokers: each on a node of its own, by the host of the harness, so that time passes as it does
 * for the port. Beside them a stranger, who speaks the protocol of frames by hand: what a bus would never send, or not when the test wants it.
 */

import type { Kernel } from '../../runtime/actor/kernel.ts';
import { connectBus } from '../../runtime/bus/bus.ts';
import type { Delivery, Lane, OutFrame } from '../../src/protocol/broker.ts';
import type { BusHandler, BusMessage, BusOptions, MessageBus } from '../../src/protocol/bus.ts';
import type { RuntimeEvent } from '../../src/protocol/events.ts';
import {
  decodeFrame,
  encodeFrame,
  encodeMessage,
  type Frame,
  type WireMessage,
} from '../../src/protocol/frame.ts';
import { FRAME_BYTES_MAX } from '../../src/protocol/limits.ts';
import { encodePayload } from '../../src/protocol/payload.ts';
import { type BrokerPlay, type NodeOptions, type PlayNode, toNode } from './broker-play.ts';

/** Milliseconds that closing a bus may take: what it has to give to a broker that is gone is given up before. */
const CLOSE_MS = 60_000;

/** Keeps what it is given. */
export class Kept {
  readonly messages: BusMessage[] = [];

  readonly handler: BusHandler = (message) => {
    this.messages.push(message);
  };

  get payloads(): unknown[] {
    return this.messages.map(({ payload }) => payload);
  }
}

/** A bus, and what it has said. */
export class PlayBus {
  readonly bus: MessageBus;
  readonly node: PlayNode;
  readonly events: RuntimeEvent[] = [];
  /** What the broker has given to it a second time, which a bus hides. */
  readonly repeats: readonly Delivery[];
  private readonly play: BrokerPlay;
  private closing: Promise<void> | undefined;

  constructor(play: BrokerPlay, bus: MessageBus, node: PlayNode, repeats: readonly Delivery[]) {
    this.play = play;
    this.bus = bus;
    this.node = node;
    bus.events.subscribe((event) => this.events.push(event));
    this.repeats = repeats;
  }

  /** Events of one type, so far. */
  eventsOf<T extends RuntimeEvent['type']>(type: T): Extract<RuntimeEvent, { type: T }>[] {
    return this.events.filter((event): event is Extract<RuntimeEvent, { type: T }> => event.type === type);
  }

  subscribe(pattern: string, handler: BusHandler, options?: Parameters<MessageBus['subscribe']>[2]) {
    return this.play.within(this.bus.subscribe(pattern, handler, options), `subscribe ${pattern}`);
  }

  publish(topic: string, payload: unknown, options?: Parameters<MessageBus['publish']>[2]) {
    return this.play.within(this.bus.publish(topic, payload, options), `publish ${topic}`, 60_000);
  }

  /** Messages of one subscription, or group, that are in its queue. */
  queued(pattern: string): number {
    return this.bus.queueSizes().find(({ patterns }) => patterns.includes(pattern))?.queued ?? 0;
  }

  /** Calls that wait, requests of ours and questions of others that it remembers. */
  get open(): { readonly calls: number; readonly requests: number; readonly questions: number } {
    // The local bus carries them: nothing public would show a leak.
    const { system, wire } = this.bus as unknown as {
      readonly system: { readonly kernel: Kernel };
      readonly wire: {
        readonly requests: { readonly size: number };
        readonly questions: { readonly size: number };
      };
    };
    return {
      calls: system.kernel.asksInFlight,
      requests: wire.requests.size,
      questions: wire.questions.size,
    };
  }

  /**
   * Kills its process, as others see it. What is left of the bus in this one ends meanwhile, and takes its time: it has something to say that
   * nobody will hear.
   */
  async kill(): Promise<void> {
    await this.node.kill();
    this.close().catch(() => undefined); // the end of the case hears of it
  }

  close(): Promise<void> {
    this.closing ??= this.play.within(this.bus.close({ drainMs: 0 }), 'close of a bus', CLOSE_MS);
    return this.closing;
  }
}

/** What a stranger says in a message. */
export interface Said extends Partial<Omit<WireMessage, 'payload'>> {
  readonly payload?: unknown;
}

/** A node that writes and reads frames by hand. */
export class Stranger {
  readonly node: PlayNode;
  readonly deliveries: Delivery[] = [];
  private sent = 0;

  constructor(node: PlayNode) {
    this.node = node;
  }

  /** A frame of its only stream, with one message; with the next number unless it says another. */
  frame(to: OutFrame['to'], said: Said, { sequence = ++this.sent, lane = 3 as Lane } = {}): OutFrame {
    const head = { ...this.node.identity, stream: 1, sequence };
    return { to, lane, bytes: encodeFrame(frameHead(head), [messageOf(said, sequence)]) };
  }

  /** Frames that came to it, oldest first. */
  get frames(): Frame[] {
    return this.deliveries.map(({ bytes }) => decodeFrame(bytes));
  }
}

function frameHead({
  name,
  incarnation,
  stream,
  sequence,
}: {
  readonly name: string;
  readonly incarnation: string;
  readonly stream: number;
  readonly sequence: number;
}): Omit<Frame, 'messages'> {
  return { node: name, incarnation, stream, sequence };
}

function messageOf({ payload, ...said }: Said, sequence: number): Uint8Array {
  return encodeMessage({
    type: 'message',
    id: `stranger-${sequence}`,
    sentAtMs: 0,
    expiresAtMs: undefined,
    sender: undefined,
    correlationId: undefined,
    headers: undefined,
    ...said,
    payload: encodePayload(payload, FRAME_BYTES_MAX),
  });
}

/** The buses of one case. They are closed before its nodes are. */
export class BusPlay {
  readonly play: BrokerPlay;
  private readonly buses: PlayBus[] = [];

  constructor(play: BrokerPlay) {
    this.play = play;
    play.beforeEnd(() => this.end());
  }

  /** A bus that is connected. */
  async bus(node: NodeOptions = {}, options: BusOptions = {}): Promise<PlayBus> {
    const { play } = this;
    const own = await play.newNode(node);
    const repeats: Delivery[] = [];
    own.onDeliveries((deliveries) => repeats.push(...deliveries.filter((one) => one.isRedelivered)));
    const { host } = play.harness;
    const settings: BusOptions = { log: false, ...options, broker: own.broker, node: own.name };
    const bus = await play.within(connectBus(settings, host), 'connect', 60_000);
    own.states.length = 0;
    const connected = new PlayBus(play, bus, own, repeats);
    this.buses.push(connected);
    return connected;
  }

  /** Two of them, who differ in nothing. */
  async pair(node: NodeOptions = {}): Promise<readonly [PlayBus, PlayBus]> {
    return [await this.bus(node), await this.bus(node)];
  }

  async stranger(node: NodeOptions = {}): Promise<Stranger> {
    const stranger = new Stranger(await this.play.node(node));
    await stranger.node.read(undefined, {
      settle: (deliveries, { open }) => {
        stranger.deliveries.push(...deliveries);
        open.acknowledge(deliveries);
      },
    });
    return stranger;
  }

  private async end(): Promise<void> {
    await Promise.all(this.buses.map((bus) => bus.close()));
  }
}

/** Where a bus hears what is said to it alone. */
export function toBus({ node }: PlayBus): OutFrame['to'] {
  return toNode(node);
}
