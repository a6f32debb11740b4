import { describe } from 'vitest';
import { FRAME_BYTES_MAX } from '../../src/protocol/limits.ts';
import { rabbitmqHarness } from '../support/rabbitmq-harness.ts';
import { useServer } from '../support/servers/use-server.ts';
import { brokerContract } from './broker.contract.ts';

const server = useServer('rabbitmq');

describe.skipIf(server.isAbsent)('with quorum queues for groups', () => {
  brokerContract(
    rabbitmqHarness(server, {
      durability: 'disk',
      bound: 'approximate',
      deliveryCount: 'broker',
      reportsUnroutable: true,
      keepsOrderOnRedelivery: true,
      frameBytesMax: FRAME_BYTES_MAX,
      takeoverMs: 10_000,
      leavesNothing: true,
    }),
  );
});
