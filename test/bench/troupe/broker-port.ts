/** The broker port by itself, one message in each frame: what packing and the bus add is not here. */

import { systemHost } from '../../../runtime/host/system-clock.ts';
import type { Broker, Delivery, Lane, OutFrame } from '../../../src/protocol/broker.ts';
import { decodeFrame, encodeFrame, encodeMessage } from '../../../src/protocol/frame.ts';
import { LANE_WINDOWS, PUBLISH_FRAMES_MAX } from '../../../src/protocol/limits.ts';
import { decodePayload, encodePayload } from '../../../src/protocol/payload.ts';
import { brokerOf } from '../../support/broker-of.ts';
import { type Carrier, runPair } from '../pair.ts';

const PAYLOAD_BYTES_MAX = 1_000_000;

function frameOf(node: string, sequence: number, text: string): Uint8Array {
  const none = undefined;
  const message = encodeMessage({
    type: 'message',
    id: String(sequence),
    sentAtMs: 0,
    expiresAtMs: none,
    sender: none,
    correlationId: none,
    headers: none,
    payload: encodePayload(text, PAYLOAD_BYTES_MAX),
  });
  return encodeFrame({ node, incarnation: 'x', stream: 1, sequence }, [message]);
}

function textOf({ bytes }: Delivery): string {
  const [message] = decodeFrame(bytes).messages;
  return message === undefined ? '' : String(decodePayload(message.payload));
}

interface Waiting {
  readonly frame: OutFrame;
  readonly taken: () => void;
}

/** Publishes in order, many frames at once, one publish of a lane under way; what was not taken goes again. */
class Publisher {
  private readonly broker: Broker;
  private readonly node: string;
  private readonly waiting = new Map<Lane, Waiting[]>();
  private readonly busy = new Set<Lane>();
  private sequence = 0;

  constructor(broker: Broker, node: string) {
    this.broker = broker;
    this.node = node;
  }

  publish(to: OutFrame['to'], lane: Lane, text: string): Promise<void> {
    return new Promise((taken) => {
      const bytes = frameOf(this.node, ++this.sequence, text);
      const frames = this.waiting.get(lane) ?? [];
      frames.push({ frame: { to, lane, bytes }, taken });
      this.waiting.set(lane, frames);
      if (this.busy.has(lane)) return;
      this.busy.add(lane);
      queueMicrotask(() => void this.pump(lane)); // it never rejects: a broker does not
    });
  }

  private async pump(lane: Lane): Promise<void> {
    let frames = this.waiting.get(lane) ?? [];
    while (frames.length > 0) {
      const some = frames.slice(0, PUBLISH_FRAMES_MAX);
      const results = await this.broker.publish(some.map(({ frame }) => frame));
      const untaken = some.filter(({ taken }, n) => {
        if (results[n] !== 'ok') return true;
        taken();
        return false;
      });
      frames = [...untaken, ...(this.waiting.get(lane) ?? []).slice(some.length)];
      this.waiting.set(lane, frames);
      if (untaken.length > 0) await new Promise((resolve) => setTimeout(resolve, 5));
    }
    this.busy.delete(lane);
  }
}

const URGENT: Lane = 0;
const USUAL: Lane = 3;
const BACKGROUND: Lane = 5;

const carrier: Carrier = {
  consume: async ({ url, key }, handle) => {
    const broker = brokerOf(url, key);
    await broker.open({ name: 'consumer', incarnation: 'x' }, systemHost);
    const publisher = new Publisher(broker, 'consumer');
    let before: Promise<void> = Promise.resolve();
    const done = (delivery: Delivery): void => consumption.acknowledge([delivery]);
    const take = async (delivery: Delivery): Promise<void> => {
      const text = textOf(delivery);
      if (delivery.topic === 'echo')
        await publisher.publish({ kind: 'node', node: 'producer' }, URGENT, text);
      else await handle(text);
      done(delivery);
    };
    const consumption = await broker.consume(
      { kind: 'inbox' },
      {
        windows: LANE_WINDOWS,
        receive: (deliveries) => {
          for (const delivery of deliveries) {
            // The urgent lane waits for none of the others.
            if (delivery.lane === URGENT) void take(delivery);
            else before = before.then(() => take(delivery));
          }
        },
      },
    );
    await Promise.all([broker.listen('work'), broker.listen('echo')]);
    return () => broker.close();
  },
  produce: async ({ name, url, key }) => {
    const broker = brokerOf(url, key);
    await broker.open({ name: 'producer', incarnation: 'x' }, systemHost);
    const publisher = new Publisher(broker, 'producer');
    const usual = name === 'critical' ? BACKGROUND : USUAL;
    let answered: () => void = () => undefined;
    const consumption = await broker.consume(
      { kind: 'inbox' },
      {
        windows: LANE_WINDOWS,
        receive: (deliveries) => {
          for (const delivery of deliveries) textOf(delivery);
          consumption.acknowledge(deliveries);
          answered();
        },
      },
    );
    return {
      publish: (text, isUrgent) =>
        publisher.publish({ kind: 'topic', topic: 'work' }, isUrgent ? URGENT : usual, text),
      ask: (text) =>
        new Promise<void>((resolve) => {
          answered = resolve;
          void publisher.publish({ kind: 'topic', topic: 'echo' }, URGENT, text);
        }),
      close: () => broker.close(),
    };
  },
};

await runPair(carrier, import.meta.url);
