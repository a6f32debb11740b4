/** What the cases of the contract of brokers share: sizes, flags, and how a case that is not to be had says so. */

import { it } from 'vitest';
import type { BrokerCapabilities, BrokerOptions } from '../../../src/protocol/broker.ts';
import type { BrokerFaults, BrokerHarness, BrokerSizes, LinkFault } from '../../support/broker-harness.ts';
import type { BrokerPlay } from '../../support/broker-play.ts';

/** Whether the long cases run at full length. */
export const IS_FULL: boolean = process.env['TROUPE_SOAK'] === 'full';

/** Milliseconds that one case may take. */
const CASE_MS = 120_000;
const FULL_CASE_MS = 900_000;

/** Short times, so that a case about silence or a death ends soon. */
export const SHORT_TIMES = {
  heartbeatMs: 500,
  downAfterMs: 2_500,
  publishTimeoutMs: 1_500,
  connectTimeoutMs: 1_500,
  reconnect: { minMs: 20, maxMs: 200 },
} as const satisfies BrokerOptions;

type Run = (play: BrokerPlay) => Promise<void>;

/** Defines a case, or skips it by a flag. */
export interface When {
  (name: string, run: Run): void;
  (flag: string, has: boolean, name: string, run: Run): void;
}

export interface BrokerCases {
  readonly harness: BrokerHarness;
  readonly has: BrokerCapabilities;
  readonly faults: BrokerFaults;
  readonly sizes: BrokerSizes;
  readonly when: When;
}

export function caseFor(play: () => BrokerPlay): When {
  const timeout = IS_FULL ? FULL_CASE_MS : CASE_MS;
  return (first: string, second: Run | boolean, name?: string, last?: Run): void => {
    if (typeof second === 'function') it(first, () => second(play()), timeout);
    else if (name !== undefined && last !== undefined && second) it(name, () => last(play()), timeout);
    else it.skip(`${name} (skipped: ${first})`);
  };
}

export function sizesOf({ sizes }: BrokerHarness): BrokerSizes {
  const ordinary: BrokerSizes = {
    ordered: 2_000,
    backlog: 2_000,
    nodes: 20,
    topics: 200,
    shards: 64,
    schedules: 3,
    scheduleSteps: 40,
    flaps: 10,
  };
  const full: BrokerSizes = {
    ordered: 10_000,
    backlog: 9_500,
    nodes: 20,
    topics: 1_000,
    shards: 64,
    schedules: 50,
    scheduleSteps: 100,
    flaps: 50,
  };
  return { ...(IS_FULL ? full : ordinary), ...sizes };
}

/** The name of the flag of a link's fault, and whether it is there. */
export function linkFlag(
  { link }: BrokerFaults,
  ...faults: readonly LinkFault[]
): [flag: string, has: boolean] {
  const missing = faults.filter((fault) => !link.includes(fault));
  return [`faults.link has no ${missing.join(', ') || 'entry'}`, missing.length === 0];
}
