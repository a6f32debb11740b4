/**
 * Goal: every adapter keeps the promises of the broker port, and a bus above it those of messages, and all keep them alike, on the real
 * server.
 * Method: one suite, run for each adapter through its harness. Numbers are those of the list of conformance cases (docs/brokers.md); a
 * case that an adapter cannot have is skipped, and its name says by which flag. Nothing here knows a broker by its name.
 *
 * `TROUPE_SOAK=full` runs the long cases at full length. `TROUPE_SEED` and `TROUPE_SCHEDULE` run one schedule of faults again.
 */

import { afterAll, afterEach, beforeAll, beforeEach, describe } from 'vitest';
import type { BrokerHarness } from '../support/broker-harness.ts';
import { BrokerPlay } from '../support/broker-play.ts';
import { busMessageCases } from './broker/bus-messages.ts';
import { busQueueCases } from './broker/bus-queues.ts';
import { busRequestCases } from './broker/bus-requests.ts';
import { type BrokerCases, caseFor, sizesOf } from './broker/cases.ts';
import { dataCases } from './broker/data.ts';
import { faultCases } from './broker/faults.ts';
import { keyedCases } from './broker/keyed.ts';
import { lifeCases } from './broker/life.ts';
import { loadCases } from './broker/load.ts';
import { memberCases } from './broker/members.ts';
import { poolCases } from './broker/pools.ts';
import { scheduleCases } from './broker/schedules.ts';
import { settlementCases } from './broker/settlement.ts';
import { shardCases } from './broker/shards.ts';
import { streamCases } from './broker/streams.ts';
import { systemCases } from './broker/systems.ts';

/** Milliseconds that servers may take to start. */
const START_MS = 180_000;

/** Describes what every broker must do. */
export function brokerContract(harness: BrokerHarness): void {
  describe(`broker: ${harness.name}`, () => {
    let current: BrokerPlay | undefined;
    beforeAll(async () => {
      await harness.start?.();
    }, START_MS);
    afterAll(async () => {
      await harness.stop?.();
    }, START_MS);
    beforeEach(() => {
      current = new BrokerPlay(harness);
    });
    afterEach(async () => {
      await current?.end();
    }, START_MS);

    const cases: BrokerCases = {
      harness,
      has: harness.capabilities,
      faults: harness.faults,
      sizes: sizesOf(harness),
      when: caseFor(() => {
        if (current === undefined) throw new Error('No case is running.');
        return current;
      }),
    };
    describe('data', () => dataCases(cases));
    describe('settlement', () => settlementCases(cases));
    describe('bounds and lanes', () => loadCases(cases));
    describe('life', () => lifeCases(cases));
    describe('members', () => memberCases(cases));
    describe('systems', () => systemCases(cases));
    describe('pools', () => poolCases(cases));
    describe('streams', () => streamCases(cases));
    describe('keyed agents', () => keyedCases(cases));
    describe('shards', () => shardCases(cases));
    describe('faults', () => faultCases(cases));
    describe('schedules', () => scheduleCases(cases));
    describe('a bus above it', () => {
      busMessageCases(cases);
      busQueueCases(cases);
      busRequestCases(cases);
    });
  });
}
