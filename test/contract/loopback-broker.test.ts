import { FRAME_BYTES_MAX } from '../../src/protocol/limits.ts';
import { loopbackHarness } from '../support/loopback-harness.ts';
import { brokerContract } from './broker.contract.ts';

/** Short, so that the cases about silence need no minutes; the ratios are those of the defaults. */
const TIMES = { heartbeatMs: 500, downAfterMs: 1_500, publishTimeoutMs: 2_000, connectTimeoutMs: 2_000 };

// A process that was killed is noticed at once (test/integration/loopback.test.ts). Here a proxy is cut instead, behind which the process
// lives on: then it is waited for.
brokerContract(
  loopbackHarness({
    options: TIMES,
    capabilities: {
      durability: 'memory',
      bound: 'exact',
      deliveryCount: 'broker',
      reportsUnroutable: true,
      keepsOrderOnRedelivery: true,
      frameBytesMax: FRAME_BYTES_MAX,
      takeoverMs: TIMES.downAfterMs + 1_000,
      downMs: TIMES.downAfterMs + 1_000,
      grantMs: 1_000,
      leavesNothing: true,
    },
  }),
);
