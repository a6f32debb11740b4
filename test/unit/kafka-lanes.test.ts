import { describe, expect, it } from 'vitest';
import { Lanes } from '../../adapters/kafka/lanes.ts';
import { Watermark } from '../../adapters/kafka/watermark.ts';
import type { Delivery, Lane } from '../../src/protocol/broker.ts';
import { HandHost } from '../support/hand-host.ts';

class Stage {
  readonly host = new HandHost();
  readonly account = new Watermark(0);
  readonly batches: (readonly Delivery[])[] = [];
  readonly thrown: unknown[] = [];
  readonly lanes = new Lanes(this.host, {
    moved: () => undefined,
    thrown: (error) => this.thrown.push(error),
  });

  get got(): string[] {
    return this.batches
      .flat()
      .map(({ lane, bytes, isRedelivered }) => `${lane}:${bytes[0]}${isRedelivered ? 'r' : ''}`);
  }

  attach(window = 2): void {
    this.lanes.attach({
      windows: [window, window, window, window, window, window],
      receive: (deliveries) => this.batches.push(deliveries),
    });
  }

  offer(lane: Lane, number: number): void {
    const { account } = this;
    const mark = account.take(account.next);
    const bytes = new Uint8Array([number]);
    const common = { lane, bytes, topic: undefined, mark, account };
    this.lanes.offer({ ...common, deliveries: 0, isRedelivered: false });
  }

  async turn(): Promise<void> {
    await this.host.turn();
  }

  delivery(place: number): Delivery {
    const delivery = this.batches.flat()[place];
    if (delivery === undefined) throw new Error(`There is no delivery ${place}.`);
    return delivery;
  }
}

describe('the lanes of a reader of Kafka', () => {
  it('give a window of each lane, most urgent first, and more when something is settled', async () => {
    const stage = new Stage();
    for (const number of [1, 2, 3]) for (const lane of [5, 0] as const) stage.offer(lane, number);
    stage.attach(2);
    await stage.turn();
    expect(stage.got).toEqual(['0:1', '0:2', '5:1', '5:2']);
    stage.lanes.settle([stage.delivery(3)]);
    await stage.turn();
    expect(stage.got.slice(4)).toEqual(['5:3']);
    expect(stage.account.safe).toBe(0);
  });

  it('give released frames again before those behind them, marked and counted', async () => {
    const stage = new Stage();
    for (const number of [1, 2, 3, 4]) stage.offer(3, number);
    stage.attach(3);
    await stage.turn();
    stage.lanes.release([stage.delivery(2), stage.delivery(1)]);
    await stage.turn();
    expect(stage.got).toEqual(['3:1', '3:2', '3:3', '3:2r', '3:3r']);
    expect(stage.delivery(3)).toMatchObject({ deliveries: 2, isRedelivered: true });
  });

  it('give what was recalled as new deliveries: the old ones settle nothing', async () => {
    const stage = new Stage();
    stage.offer(3, 1);
    stage.attach();
    await stage.turn();
    stage.lanes.hold();
    stage.lanes.recall();
    stage.lanes.settle([stage.delivery(0)]);
    await stage.turn();
    expect([stage.got.length, stage.account.safe]).toEqual([1, 0]);
    stage.lanes.resume();
    await stage.turn();
    stage.lanes.settle([stage.delivery(1)]);
    expect([stage.got, stage.account.safe]).toEqual([['3:1', '3:1r'], 1]);
  });

  it('keep the place of a borrowed frame in the window until it is settled or given back', async () => {
    const stage = new Stage();
    for (const number of [1, 2]) stage.offer(3, number);
    stage.attach(1);
    await stage.turn();
    const frame = stage.lanes.borrow(stage.delivery(0));
    if (frame === undefined) throw new Error('It was given.');
    expect(stage.lanes.holds(stage.account)).toBe(true);
    stage.lanes.settle([stage.delivery(0)]);
    await stage.turn();
    expect(stage.got).toEqual(['3:1']);
    stage.lanes.settleBorrowed(frame);
    await stage.turn();
    expect(stage.got).toEqual(['3:1', '3:2']);
    expect(stage.account.safe).toBe(1);
  });

  it('give a borrowed frame again when all was recalled before it is given back', async () => {
    const stage = new Stage();
    stage.offer(3, 1);
    stage.attach();
    await stage.turn();
    const first = stage.delivery(0);
    const frame = stage.lanes.borrow(first);
    if (frame === undefined) throw new Error('It was given.');
    stage.lanes.recall();
    await stage.turn();
    expect(stage.got).toEqual(['3:1']);
    stage.lanes.giveBack(first, frame);
    await stage.turn();
    stage.lanes.settle([first]);
    expect([stage.got, stage.account.safe]).toEqual([['3:1', '3:1r'], 0]);
  });

  it('forget an account with all that was given of it', async () => {
    const stage = new Stage();
    for (const number of [1, 2, 3]) stage.offer(3, number);
    stage.attach(2);
    await stage.turn();
    expect(stage.lanes.forget(stage.account)).toHaveLength(2);
    expect(stage.lanes.waitingIn(3)).toBe(0);
    stage.lanes.settle([stage.delivery(0)]);
    expect(stage.account.safe).toBe(0);
  });

  it('drop what was never given of an account, and give again what was recalled', async () => {
    const stage = new Stage();
    for (const number of [1, 2, 3]) stage.offer(3, number);
    stage.attach(1);
    await stage.turn();
    stage.lanes.hold();
    stage.lanes.recall();
    stage.lanes.dropFresh(stage.account);
    stage.account.untake();
    expect([stage.lanes.waitingIn(3), stage.account.next, stage.account.safe]).toEqual([1, 1, 0]);
    stage.lanes.resume();
    await stage.turn();
    stage.lanes.settle([stage.delivery(1)]);
    expect([stage.got, stage.account.safe]).toEqual([['3:1', '3:1r'], 1]);
  });

  it('give each reader bytes of its own', async () => {
    const stage = new Stage();
    stage.offer(3, 7);
    stage.attach();
    await stage.turn();
    stage.delivery(0).bytes.fill(0);
    stage.lanes.recall();
    await stage.turn();
    expect(stage.got).toEqual(['3:0', '3:7r']);
  });

  it('tell when a receiver throws, and keep what it was given', async () => {
    const stage = new Stage();
    stage.offer(3, 1);
    stage.lanes.attach({
      windows: [1, 1, 1, 1, 1, 1],
      receive: () => {
        throw new Error('broken');
      },
    });
    await stage.turn();
    expect(stage.thrown).toEqual([new Error('broken')]);
    expect(stage.lanes.holds(stage.account)).toBe(true);
  });

  it('are drained when nothing is given out', async () => {
    const stage = new Stage();
    stage.offer(3, 1);
    stage.attach();
    await stage.turn();
    let isDrained = false;
    const drained = stage.lanes.whenDrained().then(() => {
      isDrained = true;
    });
    await stage.turn();
    expect(isDrained).toBe(false);
    stage.lanes.settle([stage.delivery(0)]);
    await drained;
    expect(isDrained).toBe(true);
  });
});
