import { FRAME_BYTES_MAX } from '../../src/protocol/limits.ts';
import { LOOPBACK_TIMES, loopbackHarness } from '../support/loopback-harness.ts';
import { brokerContract } from './broker.contract.ts';

// A process that was killed is noticed at once (test/integration/loopback.test.ts). Here a proxy is cut instead, behind which the process
// lives on: then it is waited for.
brokerContract(
  loopbackHarness({
    durability: 'memory',
    bound: 'exact',
    deliveryCount: 'broker',
    reportsUnroutable: true,
    keepsOrderOnRedelivery: true,
    frameBytesMax: FRAME_BYTES_MAX,
    takeoverMs: LOOPBACK_TIMES.downAfterMs + 1_000,
    downMs: LOOPBACK_TIMES.downAfterMs + 1_000,
    grantMs: 1_000,
    leavesNothing: true,
  }),
);
