/**
 * A stream of frames that goes on while something is broken, and what must hold of it afterwards: what was taken arrives, and what
 * arrives for the first time, unmarked, arrives in the order in which it was published.
 */

import type { Lane, PublishResult } from '../../src/protocol/broker.ts';
import { type BrokerPlay, frame, numberOf, type PlayNode, type Reading, toNode } from './broker-play.ts';

/** Frames of one call, and milliseconds between two calls. */
const CALL_FRAMES = 5;
const CALL_EVERY_MS = 5;

export class Traffic {
  /** Numbers of the frames whose result was `ok`. */
  readonly taken: number[] = [];
  readonly results = new Map<PublishResult, number>();
  private readonly play: BrokerPlay;
  private readonly from: PlayNode;
  private readonly to: PlayNode;
  private readonly lane: Lane;
  private next = 0;
  private isOver = false;
  private readonly finished: Promise<void>;

  constructor(play: BrokerPlay, from: PlayNode, to: PlayNode, lane: Lane = 3) {
    this.play = play;
    this.from = from;
    this.to = to;
    this.lane = lane;
    this.finished = this.run();
    // Whoever stops the traffic hears of a failure.
    this.finished.catch(() => undefined);
  }

  /** Waits until `count` more frames have been taken. */
  async untilTaken(count: number, withinMs?: number): Promise<void> {
    const goal = this.taken.length + count;
    await this.play.until(() => this.taken.length >= goal, `${count} more frames taken`, withinMs);
  }

  /** Waits until a call that began after this one has ended. */
  async untilNextResult(withinMs?: number): Promise<void> {
    const before = this.next;
    await this.play.until(() => this.next > before + CALL_FRAMES, 'results of a call', withinMs);
  }

  async stop(): Promise<void> {
    this.isOver = true;
    await this.play.within(this.finished, 'the traffic to stop', 60_000);
  }

  /** Stops, waits for all that was taken, and checks the order. */
  async check(reading: Reading, withinMs = 60_000): Promise<void> {
    await this.stop();
    const missing = (): number[] => {
      const numbers = new Set(reading.numbers);
      return this.taken.filter((number) => !numbers.has(number));
    };
    try {
      await this.play.until(() => missing().length === 0, 'what was taken', withinMs);
    } catch (error) {
      throw new Error(
        `Of ${this.taken.length} taken frames these never came: ${missing().slice(0, 20).join(', ')}`,
        {
          cause: error,
        },
      );
    }
    const disorder = firstDisorder(reading, new Set(this.taken));
    if (disorder !== undefined) throw new Error(disorder);
  }

  private async run(): Promise<void> {
    while (!this.isOver) {
      const numbers = Array.from({ length: CALL_FRAMES }, (_, index) => this.next + index);
      const frames = numbers.map((number) => frame(toNode(this.to), number, { lane: this.lane }));
      const results = await this.from.publish(frames);
      this.next += CALL_FRAMES;
      for (const [place, number] of numbers.entries()) {
        const result = results[place];
        if (result === undefined) throw new Error('A frame has no result.');
        this.results.set(result, (this.results.get(result) ?? 0) + 1);
        if (result === 'ok') this.taken.push(number);
      }
      await this.play.pass(CALL_EVERY_MS);
    }
  }
}

/** What came first out of order, though it was taken and is not marked as redelivered. */
function firstDisorder(reading: Reading, taken: ReadonlySet<number>): string | undefined {
  const seen = new Set<number>();
  let last = -1;
  for (const delivery of reading.deliveries) {
    const number = numberOf(delivery);
    if (seen.has(number) || !taken.has(number)) continue;
    seen.add(number);
    if (delivery.isRedelivered) continue;
    if (number < last) return `Frame ${number} came after ${last}, for the first time and unmarked.`;
    last = number;
  }
  return undefined;
}
