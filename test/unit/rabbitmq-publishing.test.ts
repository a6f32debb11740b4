import { EventEmitter } from 'node:events';
import type { ChannelModel, Options } from 'amqplib';
import { describe, expect, it } from 'vitest';
import { Session } from '../../adapters/rabbitmq/connection.ts';
import { NodePace, ONE_BY_ONE, TopicPaces } from '../../adapters/rabbitmq/pace.ts';
import { type Outgoing, PublishLane } from '../../adapters/rabbitmq/publish-lane.ts';
import { Sequence } from '../../adapters/rabbitmq/sequence.ts';
import type { PublishResult } from '../../src/protocol/broker.ts';

/** A confirm channel whose answers the test gives. */
class FakeChannel extends EventEmitter {
  isFull = false;
  readonly published: {
    readonly key: string;
    readonly id: string;
    readonly answer: (error: unknown) => void;
  }[] = [];

  publish(
    _exchange: string,
    key: string,
    _bytes: Buffer,
    options: Options.Publish,
    answer: (error: unknown) => void,
  ): boolean {
    this.published.push({ key, id: options.messageId ?? '', answer });
    return !this.isFull;
  }

  /** As the driver tells it: the error first, then each frame, then the end. */
  end(error?: Error): void {
    if (error !== undefined) this.emit('error', error);
    for (const { answer } of this.published) answer(new Error('channel closed'));
    this.emit('close');
  }
}

async function opened(): Promise<{ lane: PublishLane; channels: FakeChannel[]; session: Session }> {
  const channels: FakeChannel[] = [];
  const model = Object.assign(new EventEmitter(), {
    createConfirmChannel: async () => {
      const channel = new FakeChannel();
      channels.push(channel);
      return channel;
    },
  });
  // Only what a lane uses of it.
  const session = new Session(model as unknown as ChannelModel, new AbortController());
  const lane = new PublishLane('life.3.');
  await lane.open(session);
  return { lane, channels, session };
}

function frame(key: string): Outgoing {
  return { exchange: '', key, bytes: Buffer.from(key), options: { mandatory: true } };
}

function last(channels: readonly FakeChannel[]): FakeChannel {
  const channel = channels.at(-1);
  if (channel === undefined) throw new Error('No channel was opened.');
  return channel;
}

function sequence(
  lane: PublishLane,
  keys: readonly string[],
  pace = ONE_BY_ONE,
): (PublishResult | undefined)[] {
  const results: (PublishResult | undefined)[] = keys.map(() => undefined);
  new Sequence(lane, keys.map(frame), pace, (place, result) => {
    expect(results[place]).toBeUndefined();
    results[place] = result;
  }).begin();
  return results;
}

const refusal = (): Error => Object.assign(new Error('ACCESS_REFUSED'), { code: 403 });
const wide = { ...ONE_BY_ONE, inFlightMax: 10 };

describe('the channel of a lane', () => {
  it('tells confirmed, refused and returned frames apart', async () => {
    const { lane, channels } = await opened();
    const results = ['a', 'b', 'c'].map((key) => sequence(lane, [key]));
    const [a, b, c] = last(channels).published;
    last(channels).emit('return', { properties: { messageId: b?.id } });
    a?.answer(null);
    b?.answer(null);
    c?.answer(new Error('message nacked'));
    expect(results.flat()).toEqual(['ok', 'unroutable', 'full']);
    expect(new Set([a?.id, b?.id, c?.id]).size).toBe(3);
  });

  it('waits for the driver to have written, and hands no frame over twice', async () => {
    const { lane, channels } = await opened();
    const channel = last(channels);
    channel.isFull = true;
    const results = sequence(lane, ['a', 'b'], wide);
    expect(channel.published.map(({ key }) => key)).toEqual(['a']);
    channel.isFull = false;
    channel.emit('drain');
    expect(channel.published.map(({ key }) => key)).toEqual(['a', 'b']);
    for (const { answer } of channel.published) answer(null);
    expect(results).toEqual(['ok', 'ok']);
  });

  it('knows nothing of what was in flight when it ends, and sends nothing until it is open again', async () => {
    const { lane, channels, session } = await opened();
    const results = sequence(lane, ['a', 'b', 'c', 'd'], { ...wide, inFlightMax: 2 });
    last(channels).end();
    expect(results).toEqual(['unknown', 'unknown', 'unavailable', 'unavailable']);
    expect(sequence(lane, ['e'])).toEqual(['unavailable']);
    await Promise.resolve();
    expect([channels.length, session.over.aborted, lane.gate]).toEqual([2, false, 'open']);
  });

  it('names the culprit when a single frame was refused, and goes one by one when it was one of several', async () => {
    const { lane, channels } = await opened();
    const alone = sequence(lane, ['a']);
    last(channels).end(refusal());
    expect(alone).toEqual(['denied']);

    await Promise.resolve();
    const several = sequence(lane, ['b', 'c', 'd'], wide);
    last(channels).end(refusal());
    expect(several).toEqual(['unknown', 'unknown', 'unknown']);

    await Promise.resolve();
    const again = ['b', 'c', 'd', 'e'].map((key) => sequence(lane, [key]));
    const channel = last(channels);
    expect(channel.published.map(({ key }) => key)).toEqual(['b']);
    channel.published[0]?.answer(null);
    expect(channel.published.map(({ key }) => key)).toEqual(['b', 'c']);
    channel.published[1]?.answer(null);
    channel.published[2]?.answer(null);
    // As many as were in flight have been answered: no longer one by one.
    expect(channel.published.map(({ key }) => key)).toEqual(['b', 'c', 'd', 'e']);
    expect(again.flat()).toEqual(['ok', 'ok', 'ok', undefined]);
  });
});

describe('a sequence', () => {
  it('has one frame in flight, and sends nothing after one that is not taken', async () => {
    const { lane, channels } = await opened();
    const results = sequence(lane, ['a', 'b', 'c', 'd']);
    const { published } = last(channels);
    published[0]?.answer(null);
    expect(published.length).toBe(2);
    published[1]?.answer(new Error('message nacked'));
    expect(published.length).toBe(2);
    expect(results).toEqual(['ok', 'full', 'full', 'full']);
  });

  it('publishes what was there when it began', async () => {
    const { lane, channels } = await opened();
    const bytes = Buffer.from('first');
    const frames = [frame('a'), { ...frame('b'), bytes }];
    let sent = '';
    const channel = last(channels);
    const publish = channel.publish.bind(channel);
    channel.publish = (exchange, key, content, options, answer) => {
      sent += content.toString();
      return publish(exchange, key, content, options, answer);
    };
    new Sequence(lane, frames, ONE_BY_ONE, () => undefined).begin();
    bytes.write('other');
    channel.published[0]?.answer(null);
    expect(sent).toBe('afirst');
  });

  it('says when its time is over that it does not know, and that what was not sent behind a refusal was refused', async () => {
    const { lane, channels } = await opened();
    const results: PublishResult[] = [];
    const begun = (): Sequence => {
      const one = new Sequence(
        lane,
        ['a', 'b', 'c'].map(frame),
        { ...wide, inFlightMax: 2 },
        (place, result) => {
          results[place] = result;
        },
      );
      one.begin();
      return one;
    };
    begun().stop();
    expect(results).toEqual([undefined, undefined, 'unknown']);
    results.length = 0;
    const second = begun();
    last(channels).published.at(-1)?.answer(new Error('message nacked'));
    second.stop();
    expect(results).toEqual([undefined, 'full', 'full']);
  });
});

describe('the pace', () => {
  it('of a node is one by one until the server says that there is much room', async () => {
    const rooms = [500, 16_000];
    const pace = new NodePace(async () => rooms.shift() ?? 0);
    let goes = 0;
    const go = (): void => {
      goes++;
    };
    pace.look(1, 1, go);
    expect(rooms.length).toBe(2); // not worth asking
    pace.look(100, 1, go);
    await Promise.resolve();
    expect([pace.inFlightMax, goes]).toEqual([1, 0]);
    pace.look(100, 1, go);
    pace.look(100, 1, go); // asks once
    await Promise.resolve();
    expect([pace.inFlightMax, goes, rooms.length]).toEqual([512, 1, 0]);
    for (let sent = 0; sent < 998; sent++) pace.sent();
    expect(pace.inFlightMax).toBe(512);
    pace.sent();
    expect(pace.inFlightMax).toBe(1);
  });

  it('of a node goes one by one again as soon as the server says that there is little room', async () => {
    const rooms = [2_100, 900];
    const pace = new NodePace(async () => rooms.shift() ?? 0);
    pace.look(100, 1, () => undefined);
    await Promise.resolve();
    expect(pace.inFlightMax).toBe(512);
    for (let sent = 0; sent < 10; sent++) pace.sent();
    pace.look(90, 5, () => undefined);
    await Promise.resolve();
    expect(pace.inFlightMax).toBe(1);
  });

  it('of a topic is a part of its bound, and one by one from a refusal until many in a row were taken', () => {
    const paces = new TopicPaces(10_000);
    expect(new TopicPaces(100).of('t').inFlightMax).toBe(6);
    expect(new TopicPaces(3).of('t').inFlightMax).toBe(1);
    expect(paces.of('t').inFlightMax).toBe(256);
    paces.of('t').answered('full');
    expect([paces.of('t').inFlightMax, paces.of('u').inFlightMax]).toEqual([1, 256]);
    for (let taken = 0; taken < 255; taken++) paces.of('t').answered('ok');
    expect(paces.of('t').inFlightMax).toBe(1);
    paces.of('t').answered('ok');
    expect(paces.of('t').inFlightMax).toBe(256);
  });

  it('forgets the topic that was full the longest ago when it has remembered 10,000', () => {
    const paces = new TopicPaces(10_000);
    for (let topic = 0; topic <= 10_000; topic++) paces.of(`t${topic}`).answered('full');
    expect([paces.of('t0').inFlightMax, paces.of('t1').inFlightMax]).toEqual([256, 1]);
  });
});
