import { describe, expect, it } from 'vitest';
import type { Call } from '../../adapters/loopback/messages.ts';
import { Publisher } from '../../adapters/loopback/publisher.ts';
import {
  DELIVERY_BATCH_BYTES,
  DELIVERY_BATCH_MAX,
  FRAME_BYTES_MAX,
  LOOPBACK_UNCONFIRMED_BYTES_MAX,
} from '../../src/protocol/limits.ts';
import { frame, range } from '../support/broker-play.ts';

type Publish = Extract<Call, { type: 'publish' }>;

/** A connection whose answers the test gives. */
class Line {
  isOpen = true;
  readonly asked: {
    readonly call: Publish;
    readonly answer: (values: readonly number[] | undefined) => void;
  }[] = [];

  ask(call: Call): Promise<readonly number[] | undefined> {
    return new Promise((answer) => {
      if (call.type === 'publish') this.asked.push({ call, answer });
    });
  }

  /** All that was asked and has no answer is `ok`. */
  confirm(): void {
    for (const { call, answer } of this.asked.splice(0)) answer(call.frames.map(() => 0));
  }
}

const to = { kind: 'node', node: 'a' } as const;
const publisherOf = (...missed: string[]) => new Publisher(1_000, (node) => missed.includes(node));
const frames = (count: number, sizeBytes = 8) =>
  range(count).map((number) => frame(to, number, { sizeBytes }));

describe('publishing to a loopback server', () => {
  it('goes in parts that fit into messages, in order, of which all but the first continue', async () => {
    const line = new Line();
    const publisher = publisherOf();
    const few = publisher.publish(line, frames(3, DELIVERY_BATCH_BYTES / 2));
    expect(line.asked.map(({ call }) => [call.frames.length, call.isContinued])).toEqual([
      [2, false],
      [1, true],
    ]);
    line.confirm();
    expect(await few).toEqual(['ok', 'ok', 'ok']);
    void publisher.publish(line, frames(DELIVERY_BATCH_MAX + 1));
    expect(line.asked.map(({ call }) => call.frames.length)).toEqual([DELIVERY_BATCH_MAX, 1]);
  });

  it('gives each frame its own result', async () => {
    const line = new Line();
    const publishing = publisherOf().publish(line, [
      ...frames(2),
      frame(to, 3, { sizeBytes: FRAME_BYTES_MAX + 1 }),
      ...frames(2),
    ]);
    line.asked[0]?.answer([0, 1, 2, 3]);
    expect(await publishing).toEqual(['ok', 'full', 'too-large', 'unroutable', 'unavailable']);
  });

  it('does not send what is for a node that the server does not know yet, and all else', async () => {
    const line = new Line();
    const others = [
      { kind: 'node', node: 'b' },
      { kind: 'topic', topic: 'b' },
    ] as const;
    const publishing = publisherOf('b').publish(line, [
      ...frames(1),
      ...others.map((other) => frame(other, 1)),
    ]);
    expect(line.asked.map(({ call }) => call.frames.map((sent) => sent.to))).toEqual([[to, others[1]]]);
    line.confirm();
    expect(await publishing).toEqual(['ok', 'unavailable', 'ok']);
  });

  it('knows nothing of what has no answer, and sends nothing without a connection', async () => {
    const line = new Line();
    const publisher = publisherOf();
    const publishing = publisher.publish(line, frames(1));
    line.asked[0]?.answer(undefined);
    expect(await publishing).toEqual(['unknown']);
    expect(await publisher.publish(undefined, frames(1))).toEqual(['unavailable']);
    line.isOpen = false;
    expect(await publisher.publish(line, frames(1))).toEqual(['unavailable']);
  });

  it('stops at its bound of bytes without an answer, lets nothing past that, and goes on when there is one', async () => {
    const line = new Line();
    const publisher = publisherOf();
    const most = LOOPBACK_UNCONFIRMED_BYTES_MAX / FRAME_BYTES_MAX;
    const filling = publisher.publish(line, frames(most - 1, FRAME_BYTES_MAX));
    // There is room for the first and, without the second, for the last.
    const sizes = [FRAME_BYTES_MAX / 2, FRAME_BYTES_MAX, 8];
    const over = publisher.publish(
      line,
      sizes.map((sizeBytes, number) => frame(to, number, { sizeBytes })),
    );
    expect(line.asked).toHaveLength(most);
    line.confirm();
    expect(new Set(await filling)).toEqual(new Set(['ok']));
    expect(await over).toEqual(['ok', 'unavailable', 'unavailable']);
    const later = publisher.publish(line, frames(1, FRAME_BYTES_MAX));
    line.confirm();
    expect(await later).toEqual(['ok']);
  });
});
