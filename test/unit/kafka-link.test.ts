import { describe, expect, it } from 'vitest';
import { type KafkaClient, KafkaFailure } from '../../adapters/kafka/driver.ts';
import { Link } from '../../adapters/kafka/link.ts';
import { Names } from '../../adapters/kafka/names.ts';
import { kafkaSettings } from '../../adapters/kafka/options.ts';
import { busTopic } from '../../adapters/kafka/topics.ts';
import { pause } from '../../src/protocol/deadline.ts';
import { FakeKafka } from '../support/fake-kafka.ts';
import { HandHost } from '../support/hand-host.ts';
import { endingOf } from '../support/puppet.ts';

/** A link that is up, and what it has told. */
async function linked() {
  const host = new HandHost();
  const settings = kafkaSettings('kafka://a', {
    prefix: 'p',
    heartbeatMs: 1_000_000,
    downAfterMs: 3_000_000,
  });
  const told: string[] = [];
  const link = new Link(new FakeKafka(host.clock), settings, host, {
    home: busTopic(new Names('p'), settings),
    user: {
      restore: () => Promise.resolve(),
      beat: () => Promise.resolve(),
      lost: () => told.push('lost'),
      tell: ({ state }) => told.push(state),
    },
  });
  await link.open(() => Promise.resolve());
  const advance = async (ms: number): Promise<void> => {
    await host.turn();
    await host.clock.advance(ms, () => host.turn().then(() => undefined));
  };
  return { host, link, told, advance };
}

const REFUSED = new KafkaFailure('refused', 'not yet');

describe('a request to Kafka that is refused again and again', () => {
  it('leaves every attempt a fifth of its time, ends as refused, and harms no connection', async () => {
    const answerMs = 50;
    for (let ms = 250; ms <= 1_500; ms += 10) {
      const { host, link, told, advance } = await linked();
      const begunAt: number[] = [];
      const request = async (): Promise<never> => {
        begunAt.push(host.clock.now());
        await pause(host.clock, answerMs);
        throw REFUSED;
      };
      const startedAt = host.clock.now();
      const ending = endingOf(link.call(ms, request));
      await advance(ms);
      expect(ending.error, `within ${ms} ms`).toBe(REFUSED);
      expect(told).toEqual(['up']);
      expect(begunAt.length).toBeGreaterThan(1);
      expect(Math.max(...begunAt) - startedAt).toBeLessThanOrEqual(ms * 0.8);
      link.close();
    }
  });

  it('is made until it is taken, as long as there is time for it', async () => {
    const { host, link, advance } = await linked();
    const takenFrom = host.clock.now() + 700;
    const request = (_client: KafkaClient): Promise<string> =>
      host.clock.now() >= takenFrom ? Promise.resolve('taken') : Promise.reject(REFUSED);
    const ending = endingOf(link.call(1_000, request));
    await advance(1_000);
    expect(ending.value).toBe('taken');
    link.close();
  });

  it('ends the connection when an attempt has no answer in what is left of its time', async () => {
    const { link, told, advance } = await linked();
    let attempts = 0;
    const request = (): Promise<never> =>
      ++attempts < 3 ? Promise.reject(REFUSED) : new Promise(() => undefined);
    const ending = endingOf(link.call(1_000, request));
    await advance(999);
    expect(ending.is).toBeUndefined();
    await advance(1);
    expect(ending.error).toMatchObject({ kind: 'lost' });
    expect(told).toEqual(['up', 'down', 'lost', 'up']); // the next one is there at once
    link.close();
  });
});
