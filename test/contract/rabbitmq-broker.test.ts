import { describe } from 'vitest';
import type { BrokerCapabilities } from '../../src/protocol/broker.ts';
import { FRAME_BYTES_MAX } from '../../src/protocol/limits.ts';
import { rabbitmqHarness } from '../support/rabbitmq-harness.ts';
import { useServer } from '../support/servers/use-server.ts';
import { IS_FULL } from './broker/cases.ts';
import { brokerContract } from './broker.contract.ts';

const server = useServer('rabbitmq');

const CLASSIC: BrokerCapabilities = {
  durability: 'disk',
  bound: 'exact',
  deliveryCount: 'consumer',
  reportsUnroutable: true,
  keepsOrderOnRedelivery: true,
  frameBytesMax: FRAME_BYTES_MAX,
  takeoverMs: 10_000,
  downMs: 11_000,
  grantMs: 1_000,
  leavesNothing: true,
  passesFullTopics: true,
};

describe.skipIf(server.isAbsent)('with classic queues', () => {
  brokerContract(rabbitmqHarness(server, CLASSIC));
});

// What is different about them is in test/integration/rabbitmq.test.ts.
describe.skipIf(server.isAbsent || !IS_FULL)('with quorum queues for groups', () => {
  const capabilities: BrokerCapabilities = { ...CLASSIC, bound: 'approximate', deliveryCount: 'broker' };
  brokerContract(rabbitmqHarness(server, capabilities, { groupQueues: 'quorum' }));
});
