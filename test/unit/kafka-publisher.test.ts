import { describe, expect, it } from 'vitest';
import { KafkaFailure } from '../../adapters/kafka/driver.ts';
import { Link } from '../../adapters/kafka/link.ts';
import { Names } from '../../adapters/kafka/names.ts';
import { kafkaSettings } from '../../adapters/kafka/options.ts';
import { Publisher } from '../../adapters/kafka/publisher.ts';
import { writeNodeNote } from '../../adapters/kafka/records.ts';
import { busTopic } from '../../adapters/kafka/topics.ts';
import type { BrokerStateChange, Lane, OutFrame, PublishResult } from '../../src/protocol/broker.ts';
import { FakeKafka } from '../support/fake-kafka.ts';
import { HandHost } from '../support/hand-host.ts';

const MAX = 10;
const TIMEOUT_MS = 1_000;

const NO_SHARDS = { isThere: () => Promise.resolve(false), givenOf: () => undefined };

class Stage {
  readonly kafka = new FakeKafka();
  readonly host = new HandHost();
  readonly names = new Names('p');
  readonly states: BrokerStateChange[] = [];
  readonly link: Link;
  readonly publisher: Publisher;

  constructor() {
    const options = { prefix: 'p', maxLength: MAX, publishTimeoutMs: TIMEOUT_MS, heartbeatMs: 60_000 };
    const settings = kafkaSettings('kafka://a', options);
    this.link = new Link(this.kafka, settings, this.host, {
      home: busTopic(this.names, settings),
      user: {
        restore: () => Promise.resolve(),
        beat: () => Promise.resolve(),
        lost: () => undefined,
        tell: (change) => this.states.push(change),
      },
    });
    this.publisher = new Publisher(this.link, this.names, NO_SHARDS);
    this.kafka.make(this.names.inbox('b'));
    this.kafka.make(this.names.bus);
  }

  async open(): Promise<this> {
    await this.link.open(() => Promise.resolve());
    return this;
  }

  frames(count: number, lane: Lane = 3, to: OutFrame['to'] = { kind: 'node', node: 'b' }): OutFrame[] {
    return Array.from({ length: count }, (_, number) => ({ to, lane, bytes: Uint8Array.of(number) }));
  }

  /** Publishes while time goes on, and says how often there was which result, in order. */
  async publish(frames: readonly OutFrame[]): Promise<string> {
    return summary(await this.pass(this.publisher.publish(frames)));
  }

  async pass<T>(promise: Promise<T>): Promise<T> {
    let isOver = false;
    const over = promise.finally(() => {
      isOver = true;
    });
    for (let step = 0; !isOver && step < 1_000; step++) {
      await this.host.turn();
      await this.host.clock.advance(10, () => this.host.turn().then(() => undefined));
    }
    return over;
  }

  /** The reader of an inbox says that it was given all before an offset. */
  given(offset: number, lane: Lane = 3): void {
    const topic = this.names.inbox('b');
    const metadata = writeNodeNote({ incarnation: 'x', atMs: 0, given: offset, patterns: [] });
    this.kafka.commits.set(`${topic} ${topic}`, new Map([[lane, { partition: lane, offset: 0, metadata }]]));
  }
}

function summary(results: readonly PublishResult[]): string {
  const runs: { result: PublishResult; count: number }[] = [];
  for (const result of results) {
    const last = runs.at(-1);
    if (last?.result === result) last.count++;
    else runs.push({ result, count: 1 });
  }
  return runs.map(({ result, count }) => `${count} ${result}`).join(', ');
}

describe('a publisher to Kafka', () => {
  it('that is alone takes as many as a lane may hold, and more when its reader has been given some', async () => {
    const stage = await new Stage().open();
    stage.given(0);
    expect(await stage.publish(stage.frames(4))).toBe('4 ok');
    expect(await stage.publish(stage.frames(8))).toBe('6 ok, 2 full');
    expect(await stage.publish(stage.frames(2, 2))).toBe('2 ok');
    stage.given(3);
    await stage.host.clock.advance(100, () => Promise.resolve());
    expect(await stage.publish(stage.frames(8))).toBe('3 ok, 5 full');
  });

  it('counts what was there before it came, once it has heard of it', async () => {
    const stage = await new Stage().open();
    stage.given(0);
    expect(await stage.publish(stage.frames(9))).toBe('9 ok');
    const late = new Publisher(stage.link, stage.names, NO_SHARDS);
    expect(summary(await stage.pass(late.publish(stage.frames(1))))).toBe('1 ok');
    expect(summary(await stage.pass(late.publish(stage.frames(1))))).toBe('1 full');
  });

  it('is full for a topic when a listener is behind, and not for others', async () => {
    const stage = await new Stage().open();
    const { bus } = stage.names;
    const now = stage.host.clock.wallNow();
    const note = (given: number, patterns: readonly string[]) => ({
      partition: 0,
      offset: 0,
      metadata: writeNodeNote({ incarnation: 'x', atMs: now, given, patterns }),
    });
    const group = stage.names.inbox('b');
    const commits = ([0, 1, 2, 3, 4, 5] as const).map(
      (lane) => [lane, { ...note(0, ['news.*']), partition: lane }] as const,
    );
    stage.kafka.commits.set(`${group} ${bus}`, new Map(commits));
    const topic = (name: string) => ({ kind: 'topic', topic: name }) as const;
    expect(await stage.publish(stage.frames(MAX, 3, topic('news.a')))).toBe(`${MAX} ok`);
    expect(await stage.publish(stage.frames(1, 3, topic('news.a')))).toBe('1 full');
    const mixed = [...stage.frames(1, 3, topic('news.b')), ...stage.frames(1, 3, topic('other'))];
    expect(await stage.publish(mixed)).toBe('1 full, 1 ok');
    expect(await stage.publish(stage.frames(1, 4, topic('news.a')))).toBe('1 ok');
  });

  it('has one produce in flight for each lane, in the order of the calls', async () => {
    const stage = await new Stage().open();
    stage.kafka.beforeProduce = () => new Promise((resolve) => stage.host.clock.setTimer(20, resolve));
    const calls = [0, 1, 2].map((call) =>
      stage.publisher.publish([{ to: { kind: 'node', node: 'b' }, lane: 3, bytes: Uint8Array.of(call) }]),
    );
    const other = stage.publisher.publish(stage.frames(1, 0));
    await stage.pass(Promise.all([...calls, other]));
    expect(stage.kafka.inFlightMost).toBe(1);
    expect(stage.kafka.topics.get(stage.names.inbox('b'))?.[3]?.map(({ value }) => value[0])).toEqual([
      0, 1, 2,
    ]);
  });

  it('asks again while the server refuses, and is degraded when its time is over', async () => {
    const stage = await new Stage().open();
    const until = stage.host.clock.now() + 200;
    stage.kafka.beforeProduce = async () => {
      if (stage.host.clock.now() < until) throw new KafkaFailure('refused', 'no leader yet');
    };
    expect(await stage.publish(stage.frames(1))).toBe('1 ok');
    stage.kafka.beforeProduce = () => Promise.reject(new KafkaFailure('refused', 'too few replicas'));
    expect(await stage.publish(stage.frames(2))).toBe('2 unavailable');
    expect(stage.states.at(-1)).toMatchObject({
      state: 'degraded',
      cause: { code: 'ERR_BROKER_UNAVAILABLE' },
    });
    expect(stage.kafka.connections).toBe(1);
  });

  it('knows that there is no such node when it has asked twice', async () => {
    const stage = await new Stage().open();
    expect(await stage.publish(stage.frames(1, 3, { kind: 'node', node: 'nobody' }))).toBe('1 unroutable');
    expect(stage.kafka.produces).toBe(2);
  });

  it('does not know when there is no answer in time, and connects anew before it sends again', async () => {
    const stage = await new Stage().open();
    stage.kafka.beforeProduce = () => new Promise(() => undefined);
    const begun = stage.host.clock.now();
    const calls = [stage.publisher.publish(stage.frames(2)), stage.publisher.publish(stage.frames(1))];
    const [first, second] = await stage.pass(Promise.all(calls));
    expect([first, second].map((results) => summary(results ?? []))).toEqual(['2 unknown', '1 unavailable']);
    expect(stage.host.clock.now() - begun).toBeLessThan(2 * TIMEOUT_MS);
    stage.kafka.beforeProduce = () => Promise.resolve();
    await stage.pass(stage.link.ready(60_000));
    expect(stage.kafka.connections).toBe(2);
    expect(await stage.publish(stage.frames(2))).toBe('2 ok');
    expect(stage.states.map(({ state }) => state)).toEqual(['up', 'down', 'up']);
  });

  it('forgets what it knew of a node that was made anew', async () => {
    const stage = await new Stage().open();
    stage.given(0);
    expect(await stage.publish(stage.frames(MAX))).toBe(`${MAX} ok`);
    stage.given(MAX);
    await stage.host.clock.advance(100, () => Promise.resolve());
    stage.kafka.beforeProduce = async () => {
      // Its new life has been given nothing yet.
      stage.given(0);
      stage.kafka.beforeProduce = () => Promise.resolve();
    };
    stage.kafka.make(stage.names.inbox('b'));
    expect(await stage.publish(stage.frames(1))).toBe('1 ok');
    expect(await stage.publish(stage.frames(MAX))).toBe(`${MAX - 1} ok, 1 full`);
  });

  it('sends no more at once than a server takes', async () => {
    const stage = await new Stage().open();
    const to = { kind: 'node', node: 'b' } as const;
    const large = Array.from({ length: 5 }, () => ({ to, lane: 3 as const, bytes: new Uint8Array(500_000) }));
    expect(await stage.publish(large)).toBe('5 ok');
    expect(stage.kafka.produces).toBe(3);
  });

  it('refuses what is too large, and takes what is behind it', async () => {
    const stage = await new Stage().open();
    const [first, last] = stage.frames(2);
    if (first === undefined || last === undefined) throw new Error('Two frames.');
    const results = await stage.publish([first, { ...first, bytes: new Uint8Array(1_048_577) }, last]);
    expect(results).toBe('1 ok, 1 too-large, 1 ok');
  });
});
