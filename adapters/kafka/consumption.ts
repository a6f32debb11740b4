/** A source that is being read, as its reader sees it: the same for an inbox and a group, which differ in what it means to leave. */

import type { Consumption, DeadFrameInfo, Delivery } from '../../src/protocol/broker.ts';
import { settledWithin } from '../../src/protocol/deadline.ts';
import { durationOption } from '../../src/protocol/options.ts';
import type { OutRecord } from './driver.ts';
import type { HeldFrame, Lanes } from './lanes.ts';
import type { Link } from './link.ts';
import type { Names } from './names.ts';

/** Characters of an error that are kept with a dead frame. */
const ERROR_CHARACTERS_MAX = 1_000;

/** What a consumption belongs to. @internal */
export interface ConsumptionParts {
  readonly link: Link;
  readonly names: Names;
  readonly node: string;
  readonly lanes: Lanes;
  /** Takes no further frame. */
  readonly halt: () => void;
  /** Gives back what is left, and says how far it came. Never rejects. */
  readonly leave: () => Promise<void>;
}

/** @internal */
export class LaneConsumption implements Consumption {
  private readonly parts: ConsumptionParts;
  private stopping: Promise<void> | undefined;

  constructor(parts: ConsumptionParts) {
    this.parts = parts;
  }

  acknowledge(deliveries: readonly Delivery[]): void {
    this.parts.lanes.settle(deliveries);
  }

  release(deliveries: readonly Delivery[]): void {
    this.parts.lanes.release(deliveries);
  }

  async deadLetter(delivery: Delivery, info: DeadFrameInfo): Promise<void> {
    const { lanes, link, names, node } = this.parts;
    const frame = lanes.borrow(delivery);
    if (frame === undefined) return;
    try {
      const record = deadRecord(frame, node, info);
      await link.call(link.settings.publishTimeoutMs, (client) =>
        client.produce(names.deadLetters, 0, [record]),
      );
    } catch (error) {
      lanes.giveBack(delivery, frame);
      throw link.errorOf(error);
    }
    lanes.settleBorrowed(frame);
  }

  stop(options: { readonly drainMs?: number | undefined } = {}): Promise<void> {
    this.stopping ??= this.leave(durationOption('drainMs', options.drainMs, 0, { zero: true }));
    return this.stopping;
  }

  private async leave(drainMs: number): Promise<void> {
    const { halt, lanes, leave, link } = this.parts;
    halt();
    if (drainMs > 0) await settledWithin(link.host.clock, drainMs, lanes.whenDrained(), () => undefined);
    await leave();
  }
}

function deadRecord(
  frame: HeldFrame,
  node: string,
  { reason, error, bytes = frame.bytes }: DeadFrameInfo,
): OutRecord {
  const { topic, lane, deliveries } = frame;
  const headers: Record<string, string> = {
    reason,
    node,
    lane: String(lane),
    deliveries: String(deliveries),
  };
  if (error !== undefined) headers['error'] = error.slice(0, ERROR_CHARACTERS_MAX);
  if (topic !== undefined) headers['topic'] = topic;
  return { value: bytes, headers };
}
