/** A Kafka of a few maps behind the driver of the adapter: one server, which answers in a microtask unless it is told otherwise. */

import {
  type Ask,
  type Commit,
  type Fetched,
  type InRecord,
  type KafkaClient,
  type KafkaDriver,
  KafkaFailure,
  type OutRecord,
  type TopicSpec,
} from '../../adapters/kafka/driver.ts';
import type { Clock } from '../../src/protocol/clock.ts';
import { settledWithin } from '../../src/protocol/deadline.ts';

export class FakeKafka implements KafkaDriver {
  readonly topics = new Map<string, InRecord[][]>();
  readonly commits = new Map<string, Map<number, Commit>>();
  /** What a produce waits for, and how it ends. */
  beforeProduce: (topic: string, partition: number) => Promise<void> = () => Promise.resolve();
  produces = 0;
  /** Produces that have begun and not ended, and the most there were at once in one partition. */
  readonly inFlight = new Map<string, number>();
  inFlightMost = 0;
  connections = 0;
  private readonly starts = new Map<string, number>();
  private readonly pollers = new Set<() => void>();
  private readonly clock: Clock | undefined;

  /** With a clock, fetches wait for records as those of a server do. */
  constructor(clock?: Clock) {
    this.clock = clock;
  }

  connect(): Promise<KafkaClient> {
    this.connections++;
    return Promise.resolve(this.client());
  }

  /** The way of one node to it. */
  line(): FakeLine {
    return new FakeLine(this);
  }

  start(topic: string, partition: number): number {
    return this.starts.get(`${topic} ${partition}`) ?? 0;
  }

  join(): Promise<never> {
    return Promise.reject(new KafkaFailure('denied', 'there are no groups here'));
  }

  make(name: string, partitions = 6): void {
    this.topics.set(
      name,
      Array.from({ length: partitions }, () => []),
    );
  }

  private logs(topic: string): InRecord[][] {
    const logs = this.topics.get(topic);
    if (logs === undefined) throw new KafkaFailure('no-topic', `there is no ${topic}`);
    return logs;
  }

  private async produce(topic: string, partition: number, records: readonly OutRecord[]): Promise<number> {
    this.produces++;
    const key = `${topic} ${partition}`;
    const count = (this.inFlight.get(key) ?? 0) + 1;
    this.inFlight.set(key, count);
    this.inFlightMost = Math.max(this.inFlightMost, count);
    try {
      await this.beforeProduce(topic, partition);
      const log = this.logs(topic)[partition] ?? [];
      const base = log.length;
      for (const { value, headers } of records) log.push({ offset: log.length, value, headers });
      for (const wake of this.pollers) wake();
      return base;
    } finally {
      this.inFlight.set(key, count - 1);
    }
  }

  private fetched(asks: readonly Ask[]): Fetched[] {
    return asks.map(({ topic, partition, offset }) => {
      if (offset < this.start(topic, partition))
        throw new KafkaFailure('out-of-range', 'it is cut', { topic, partition });
      const records = (this.logs(topic)[partition] ?? []).slice(offset);
      return { topic, partition, records, next: offset + records.length };
    });
  }

  private async arrival(clock: Clock, waitMs: number): Promise<void> {
    let wake: () => void = () => undefined;
    const arrived = new Promise<void>((resolve) => {
      wake = resolve;
    });
    this.pollers.add(wake);
    await settledWithin(clock, waitMs, arrived, () => undefined);
    this.pollers.delete(wake);
  }

  private client(): KafkaClient {
    return {
      createTopic: async ({ name, partitions }: TopicSpec) => {
        if (!this.topics.has(name)) this.make(name, partitions);
      },
      createTopics: async (specs) => {
        for (const { name, partitions } of specs) if (!this.topics.has(name)) this.make(name, partitions);
      },
      leaders: async (topic) => this.logs(topic).map(() => 1),
      produce: (topic, partition, records) => this.produce(topic, partition, records),
      fetch: async (_leader, asks, waitMs) => {
        const found = this.fetched(asks);
        if (this.clock === undefined || found.some(({ records }) => records.length > 0)) return found;
        await this.arrival(this.clock, waitMs);
        return this.fetched(asks);
      },
      offsets: async (topic, place) =>
        this.logs(topic).map(({ length }, partition) =>
          place === 'start' ? this.start(topic, partition) : length,
        ),
      committed: async (group, topic, partitions) => {
        const all = this.commits.get(`${group} ${topic}`) ?? new Map<number, Commit>();
        return new Map([...all].filter(([partition]) => partitions.includes(partition)));
      },
      commit: async (group, topic, commits) => {
        const key = `${group} ${topic}`;
        const all = this.commits.get(key) ?? new Map<number, Commit>();
        for (const commit of commits) all.set(commit.partition, commit);
        this.commits.set(key, all);
      },
      groups: async () => [...new Set([...this.commits.keys()].map((key) => key.split(' ')[0] ?? ''))],
      trim: async (topic, offsets) => {
        for (const [partition, offset] of offsets) this.starts.set(`${topic} ${partition}`, offset);
      },
      removeTopic: async (topic) => {
        this.topics.delete(topic);
      },
      removeGroup: () => Promise.resolve(),
      close: () => undefined,
    };
  }
}

/** A way to the server that can be cut: nothing passes then, and nobody is told. */
export class FakeLine implements KafkaDriver {
  isCut = false;
  /** Answers that do not arrive, though what was asked for was done. */
  answersLost = 0;
  private readonly kafka: FakeKafka;

  constructor(kafka: FakeKafka) {
    this.kafka = kafka;
  }

  async connect(): Promise<KafkaClient> {
    if (this.isCut) throw new KafkaFailure('not-sent', 'it is cut');
    const client = await this.kafka.connect();
    let isClosed = false;
    const guarded = async <T>(request: () => Promise<T>): Promise<T> => {
      if (this.isCut || isClosed) throw new KafkaFailure('lost', 'it is cut');
      const answer = await request();
      if (this.isCut || isClosed) throw new KafkaFailure('lost', 'it is cut');
      return answer;
    };
    return {
      createTopic: (spec) => guarded(() => client.createTopic(spec)),
      createTopics: (specs) => guarded(() => client.createTopics(specs)),
      leaders: (topic) => guarded(() => client.leaders(topic)),
      produce: (topic, partition, records) =>
        guarded(async () => {
          const base = await client.produce(topic, partition, records);
          if (this.answersLost === 0) return base;
          this.answersLost--;
          throw new KafkaFailure('refused', 'its answer was lost');
        }),
      fetch: (leader, asks, waitMs) => guarded(() => client.fetch(leader, asks, waitMs)),
      offsets: (topic, place) => guarded(() => client.offsets(topic, place)),
      committed: (group, topic, partitions) => guarded(() => client.committed(group, topic, partitions)),
      commit: (group, topic, commits) => guarded(() => client.commit(group, topic, commits)),
      groups: () => guarded(() => client.groups()),
      trim: (topic, offsets) => guarded(() => client.trim(topic, offsets)),
      removeTopic: (topic) => guarded(() => client.removeTopic(topic)),
      removeGroup: (group) => guarded(() => client.removeGroup(group)),
      close: () => {
        isClosed = true;
        client.close();
      },
    };
  }

  join(): Promise<never> {
    return this.kafka.join();
  }
}
