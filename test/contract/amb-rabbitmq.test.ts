import { afterAll, beforeAll, describe } from 'vitest';
import { rabbitmq } from '../../adapters/rabbitmq/index.ts';
import { memoryStore } from '../../adapters/store/index.ts';
import { liveBuses } from '../support/live-buses.ts';
import { startRabbitmq } from '../support/servers/rabbitmq.ts';
import type { TestServer } from '../support/servers/server.ts';
import { useServer } from '../support/servers/use-server.ts';
import { ambContract, ON_A_BROKER } from './amb.contract.ts';

const usable = useServer('rabbitmq');

describe.skipIf(usable.isAbsent)('on a RabbitMQ', () => {
  let own: TestServer | undefined;
  let tests = 0;
  beforeAll(async () => {
    if (usable.url === undefined)
      own = await startRabbitmq(usable.command === undefined ? {} : { command: usable.command });
  }, 180_000);
  afterAll(() => own?.stop());

  ambContract('a bus on RabbitMQ', ON_A_BROKER, () => {
    const url = usable.url ?? own?.url ?? '';
    const prefix = `amb-${process.pid}-${++tests}`;
    return {
      ...liveBuses((bound) => rabbitmq(url, { ...bound, prefix })),
      openStore: () => memoryStore(),
    };
  });
});
