import { describe, expect, it } from 'vitest';
import { type FrameName, nameOf } from '../../runtime/remote/arrivals.ts';
import {
  type Arrival,
  type GivenUp,
  Inbound,
  RELEASE,
  type Sieve,
  type Taken,
} from '../../runtime/remote/inbound.ts';
import type { Consumption, DeadFrameInfo, Delivery } from '../../src/protocol/broker.ts';
import { decodeFrame, encodeFrame, encodeMessage } from '../../src/protocol/frame.ts';
import { DELIVERIES_MAX, LANE_MESSAGES_WAITING_MAX } from '../../src/protocol/limits.ts';
import { encodePayload } from '../../src/protocol/payload.ts';
import { deferred } from '../support/puppet.ts';
import { busBench, kernelOf } from '../support/test-bus.ts';

/** A consumption that writes down how each delivery was settled. */
class Noting implements Consumption {
  readonly acknowledged: Delivery[] = [];
  readonly released: Delivery[] = [];
  readonly buried: { readonly delivery: Delivery; readonly info: DeadFrameInfo }[] = [];
  refusals = 0;
  stops = 0;
  /** Deliveries of an earlier connection: what is done with them has no effect. */
  readonly stale = new Set<Delivery>();

  acknowledge(deliveries: readonly Delivery[]): void {
    this.acknowledged.push(...deliveries.filter((delivery) => !this.stale.has(delivery)));
  }

  release(deliveries: readonly Delivery[]): void {
    this.released.push(...deliveries);
  }

  deadLetter(delivery: Delivery, info: DeadFrameInfo): Promise<void> {
    if (this.refusals-- > 0) return Promise.reject(new Error('no room'));
    if (this.stale.has(delivery)) return Promise.resolve();
    this.buried.push({ delivery, info });
    return Promise.resolve();
  }

  stop(): Promise<void> {
    this.stops++;
    return Promise.resolve();
  }
}

/** As that of an inbox: news once. */
class InboxSieve implements Sieve {
  private readonly known = new Set<string>();

  isNew(frame: FrameName): boolean {
    const name = nameOf(frame);
    const isNew = !this.known.has(name);
    this.known.add(name);
    return isNew;
  }

  done(): void {}
}

const ALL_NEW: Sieve = { isNew: () => true, done: () => undefined };

async function reading(take: (arrival: Arrival) => Taken, sieve = ALL_NEW) {
  const bench = busBench();
  const bus = await bench.connect();
  const kernel = kernelOf(bus);
  const consumption = new Noting();
  const inbound = new Inbound(kernel, sieve, take);
  inbound.begin(consumption);
  return { ...bench, bus, inbound, consumption };
}

let sequences = 0;

function delivery(payloads: readonly unknown[], given: Partial<Delivery> = {}): Delivery {
  const messages = payloads.map((payload, n) =>
    encodeMessage({
      type: 'message',
      id: `m${n}`,
      sentAtMs: 0,
      expiresAtMs: undefined,
      sender: undefined,
      correlationId: undefined,
      headers: undefined,
      payload: encodePayload(payload, 1_000),
    }),
  );
  const bytes = encodeFrame({ node: 'n', incarnation: 'i', stream: 1, sequence: ++sequences }, messages);
  return { lane: 3, bytes, topic: 't', deliveries: 1, isRedelivered: false, ...given };
}

describe('what comes from a broker', () => {
  it('is acknowledged when all messages of its frame are done with, and not before', async () => {
    const gates = [deferred<undefined>(), deferred<undefined>()];
    let n = 0;
    const { inbound, consumption, settle } = await reading(() => gates[n++]?.promise);
    const frame = delivery([1, 2]);
    inbound.receive([frame]);
    gates[0]?.resolve(undefined);
    await settle();
    expect(consumption.acknowledged).toEqual([]);
    gates[1]?.resolve(undefined);
    await settle();
    expect(consumption.acknowledged).toEqual([frame]);
  });

  it('is settled with every copy of it that came meanwhile, and with none of them before', async () => {
    const gate = deferred<undefined>();
    let taken = 0;
    const { inbound, consumption, settle } = await reading(() => {
      taken++;
      return gate.promise;
    });
    const first = delivery([1]);
    const copy: Delivery = { ...first, isRedelivered: true };
    inbound.receive([first]);
    inbound.receive([copy]);
    await settle();
    expect([taken, consumption.acknowledged]).toEqual([1, []]);
    gate.resolve(undefined);
    await settle();
    expect(consumption.acknowledged).toEqual([first, copy]);
  });

  it('is acknowledged and not handed over when it is a copy of something done', async () => {
    const { inbound, consumption } = await reading(
      () => {
        throw new Error('it was handed over');
      },
      { isNew: () => false, done: () => undefined },
    );
    const copy = delivery([1]);
    inbound.receive([copy]);
    expect(consumption.acknowledged).toEqual([copy]);
  });

  it('goes back whole when somebody else may have a part of it', async () => {
    const { inbound, consumption, settle } = await reading(({ message }) =>
      Promise.resolve(message.id === 'm1' ? RELEASE : undefined),
    );
    const frame = delivery([1, 2]);
    inbound.receive([frame]);
    await settle();
    expect([consumption.released, consumption.acknowledged]).toEqual([[frame], []]);
  });

  it('keeps those messages of a frame as a dead letter that were given up, and tries until the broker has them', async () => {
    const { inbound, consumption, settle, advance } = await reading(({ message }) =>
      Promise.resolve(
        message.id === 'm1' ? { reason: 'handler-failed', error: new TypeError('no') } : undefined,
      ),
    );
    consumption.refusals = 2;
    const frame = delivery(['good', 'bad']);
    inbound.receive([frame]);
    await settle();
    expect(consumption.buried).toEqual([]);
    await advance(2_000);
    const [letter] = consumption.buried;
    expect(letter?.delivery).toBe(frame);
    expect(letter?.info).toMatchObject({ reason: 'handler-failed', error: 'TypeError: no' });
    expect(decodeFrame(letter?.info.bytes ?? new Uint8Array()).messages.map(({ id }) => id)).toEqual(['m1']);
    expect(consumption.acknowledged).toEqual([]);
  });

  it('is refused when it is no frame, or was delivered too often, and what is behind it goes on', async () => {
    const taken: string[] = [];
    const { inbound, consumption, settle, bus } = await reading(({ message }) => {
      taken.push(message.id);
      return undefined;
    });
    const events: unknown[] = [];
    bus.events.subscribe((event) => events.push(event));
    const poison = delivery([1], { deliveries: DELIVERIES_MAX + 1 });
    const broken = { ...delivery([1]), bytes: new Uint8Array([1, 2, 3]) };
    const good = delivery([1], { deliveries: DELIVERIES_MAX });
    inbound.receive([poison, broken, good]);
    await settle();
    expect(consumption.buried.map(({ delivery: each, info }) => [each, info.reason])).toEqual([
      [poison, 'deliveries-exhausted'],
      [broken, 'frame-invalid'],
    ]);
    expect([taken, consumption.acknowledged]).toEqual([['m0'], [good]]);
    expect(events).toMatchObject([
      { type: 'frame-refused', reason: 'deliveries-exhausted' },
      { type: 'frame-refused', reason: 'frame-invalid', sizeBytes: 3 },
    ]);
  });

  it('is handed over no further in a lane in which too much waits, and in every other lane', async () => {
    const gates: ReturnType<typeof deferred<undefined>>[] = [];
    const taken: number[] = [];
    const { inbound, consumption, settle } = await reading(({ lane }) => {
      taken.push(lane);
      const gate = deferred<undefined>();
      gates.push(gate);
      return gate.promise;
    });
    const size = 256;
    const frames = Array.from({ length: LANE_MESSAGES_WAITING_MAX / size + 2 }, () =>
      delivery(Array.from({ length: size }, (_, n) => n)),
    );
    inbound.receive(frames);
    expect(taken).toHaveLength(LANE_MESSAGES_WAITING_MAX);
    inbound.receive([delivery([1], { lane: 0 })]);
    expect(taken.at(-1)).toBe(0);
    for (const gate of gates.splice(0)) gate.resolve(undefined);
    await settle();
    expect(taken).toHaveLength(LANE_MESSAGES_WAITING_MAX + 1 + 2 * size);
    for (const gate of gates.splice(0)) gate.resolve(undefined);
    await settle();
    expect(consumption.acknowledged).toHaveLength(frames.length + 1);
  });

  it('that came before its consumption was known is settled as soon as it is', async () => {
    const bench = busBench();
    const kernel = kernelOf(await bench.connect());
    const inbound = new Inbound(kernel, ALL_NEW, () => undefined);
    const early = delivery([1]);
    inbound.receive([early]);
    const consumption = new Noting();
    inbound.begin(consumption);
    expect(consumption.acknowledged).toEqual([early]);
  });

  it('is acknowledged, however often it came, when it is a copy of something done', async () => {
    const { inbound, consumption, settle } = await reading(() => undefined, {
      isNew: () => false,
      done: () => undefined,
    });
    const copy = delivery([1], { deliveries: DELIVERIES_MAX + 1, isRedelivered: true });
    inbound.receive([copy]);
    await settle();
    expect([consumption.acknowledged, consumption.buried]).toEqual([[copy], []]);
  });

  it('is a dead letter of the broker also when the connection was gone as it was given up', async () => {
    const gate = deferred<GivenUp>();
    const { inbound, consumption, settle } = await reading(() => gate.promise, new InboxSieve());
    const first = delivery([1]);
    inbound.receive([first]);
    consumption.stale.add(first);
    gate.resolve({ reason: 'handler-failed', error: new Error('no') });
    await settle();
    expect(consumption.buried).toEqual([]);
    const again: Delivery = { ...first, deliveries: 2, isRedelivered: true };
    inbound.receive([again]);
    await settle();
    expect(consumption.buried).toMatchObject([{ delivery: again, info: { reason: 'handler-failed' } }]);
    expect(consumption.acknowledged).toEqual([]);
  });

  it('is buried by its newest delivery, and every other one of it is settled', async () => {
    const gate = deferred<GivenUp>();
    const { inbound, consumption, settle, advance } = await reading(() => gate.promise, new InboxSieve());
    const first = delivery([1]);
    const second: Delivery = { ...first, deliveries: 2, isRedelivered: true };
    const third: Delivery = { ...first };
    inbound.receive([first]);
    consumption.stale.add(first);
    inbound.receive([second]);
    consumption.refusals = 1;
    gate.resolve({ reason: 'handler-failed', error: new Error('no') });
    await settle();
    inbound.receive([third]); // a copy that comes while it waits to be buried
    await advance(1_000);
    expect(consumption.buried.map(({ delivery: each }) => each)).toEqual([third]);
    expect(consumption.acknowledged).toEqual([second]);
  });

  it('has its source ended when that was found only after its end', async () => {
    const bench = busBench();
    const inbound = new Inbound(kernelOf(await bench.connect()), ALL_NEW, () => undefined);
    await inbound.stop(0);
    const consumption = new Noting();
    inbound.begin(consumption);
    await bench.settle();
    expect(consumption.stops).toBe(1);
  });
});
