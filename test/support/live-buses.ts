/**
 * Buses on a real broker, in real time. "All has arrived" is known by watching: nothing is published, delivered or settled any more,
 * and nothing waits at the broker.
 */

import { type BusOptions, MessageBus } from '../../src/index.ts';
import type { Broker, Consumption, Source } from '../../src/protocol/broker.ts';

const POLL_MS = 10;
/** Polls without a change after which all has arrived; and those after which what waits at the broker waits for somebody. */
const QUIET_POLLS = 8;
const STUCK_POLLS = 40;
/** Polls in one call at the most: a publisher that goes on and on does not hold a test for ever. */
const POLLS_MAX = 1_000;

/** What a broker is made with. */
export interface LiveBound {
  readonly maxLength: number;
}

/** Buses of one test, each with a broker of its own. */
export interface LiveBuses {
  readonly connect: (options?: BusOptions, bound?: LiveBound) => Promise<MessageBus>;
  readonly advance: (ms: number) => Promise<void>;
  readonly end: () => Promise<void>;
}

/** `make` makes brokers that meet one another, and no others. */
export function liveBuses(make: (bound: LiveBound | undefined) => Broker): LiveBuses {
  const buses: MessageBus[] = [];
  const watched: WatchedBroker[] = [];
  const connect = async (options: BusOptions = {}, bound?: LiveBound): Promise<MessageBus> => {
    const broker = new WatchedBroker(make(bound));
    const bus = await MessageBus.connect({ broker, log: () => undefined, ...options });
    watched.push(broker);
    buses.push(bus);
    return bus;
  };
  const settle = async (): Promise<void> => {
    let before = '';
    let same = 0;
    for (let polls = 0; polls < POLLS_MAX; polls++) {
      const waiting = await Promise.all(watched.map((broker) => broker.waiting()));
      const counts = watched.map(({ changes }) => changes);
      const now = JSON.stringify([waiting, counts]);
      same = now === before ? same + 1 : 0;
      before = now;
      const isEmpty = waiting.every((frames) => frames === 0);
      if (same >= (isEmpty ? QUIET_POLLS : STUCK_POLLS)) return;
      await passing(POLL_MS);
    }
  };
  const advance = async (ms: number): Promise<void> => {
    if (ms > 0) await passing(ms);
    await settle();
  };
  const end = async (): Promise<void> => {
    await Promise.all(buses.splice(0).map((bus) => bus.close({ drainMs: 0 })));
    watched.splice(0);
  };
  return { connect, advance, end };
}

function passing(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

/** A broker that counts what passes through it. */
class WatchedBroker implements Broker {
  /** Frames published, confirmed, delivered and settled so far. */
  changes = 0;
  private readonly broker: Broker;
  private readonly sources: Source[] = [];

  constructor(broker: Broker) {
    this.broker = broker;
  }

  get kind(): string {
    return this.broker.kind;
  }

  get url(): string {
    return this.broker.url;
  }

  get capabilities(): Broker['capabilities'] {
    return this.broker.capabilities;
  }

  readonly open: Broker['open'] = (node, host) => this.broker.open(node, host);
  readonly listen: Broker['listen'] = (pattern) => this.broker.listen(pattern);
  readonly unlisten: Broker['unlisten'] = (pattern) => this.broker.unlisten(pattern);
  readonly backlog: Broker['backlog'] = (source) => this.broker.backlog(source);
  readonly onState: Broker['onState'] = (listener) => this.broker.onState(listener);

  readonly publish: Broker['publish'] = async (frames) => {
    this.changes += frames.length;
    const results = await this.broker.publish(frames);
    this.changes += results.filter((result) => result === 'ok').length;
    return results;
  };

  readonly consume: Broker['consume'] = async (source, options) => {
    const receive: typeof options.receive = (deliveries) => {
      this.changes += deliveries.length;
      options.receive(deliveries);
    };
    const consumption = await this.broker.consume(source, { ...options, receive });
    this.sources.push(source);
    return this.counted(source, consumption);
  };

  readonly close: Broker['close'] = () => {
    this.sources.splice(0);
    return this.broker.close();
  };

  /** Frames that wait at the broker for this node. */
  async waiting(): Promise<number> {
    const backlogs = await Promise.all(
      this.sources.map((source) => this.broker.backlog(source).catch(() => undefined)),
    );
    return backlogs.flatMap((lanes) => lanes ?? []).reduce((sum, frames) => sum + frames, 0);
  }

  private counted(source: Source, consumption: Consumption): Consumption {
    return {
      acknowledge: (deliveries) => {
        this.changes += deliveries.length;
        consumption.acknowledge(deliveries);
      },
      release: (deliveries) => {
        this.changes += deliveries.length;
        consumption.release(deliveries);
      },
      deadLetter: (delivery, info) => {
        this.changes++;
        return consumption.deadLetter(delivery, info);
      },
      stop: (options) => {
        const place = this.sources.indexOf(source);
        if (place >= 0) this.sources.splice(place, 1);
        return consumption.stop(options);
      },
    };
  }
}
