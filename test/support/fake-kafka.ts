/** A Kafka of a few maps behind the driver of the adapter: one server, which answers in a microtask unless it is told otherwise. */

import {
  type Commit,
  type Fetched,
  type InRecord,
  type KafkaClient,
  type KafkaDriver,
  KafkaFailure,
  type OutRecord,
  type TopicSpec,
} from '../../adapters/kafka/driver.ts';

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

  connect(): Promise<KafkaClient> {
    this.connections++;
    return Promise.resolve(this.client());
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
      return base;
    } finally {
      this.inFlight.set(key, count - 1);
    }
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
      fetch: async (_leader, asks): Promise<readonly Fetched[]> =>
        asks.map(({ topic, partition, offset }) => {
          const records = (this.logs(topic)[partition] ?? []).slice(offset);
          return { topic, partition, records, next: offset + records.length };
        }),
      offsets: async (topic, place) => this.logs(topic).map(({ length }) => (place === 'start' ? 0 : length)),
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
      trim: () => Promise.resolve(),
      removeTopic: async (topic) => {
        this.topics.delete(topic);
      },
      removeGroup: () => Promise.resolve(),
      close: () => undefined,
    };
  }
}
