import { afterAll, beforeAll, describe } from 'vitest';
import { kafka } from '../../adapters/kafka/index.ts';
import { memoryStore } from '../../adapters/store/index.ts';
import { liveBuses } from '../support/live-buses.ts';
import { startKafka } from '../support/servers/kafka.ts';
import type { TestServer } from '../support/servers/server.ts';
import { useServer } from '../support/servers/use-server.ts';
import { ambContract, ON_A_BROKER } from './amb.contract.ts';

const usable = useServer('kafka');

describe.skipIf(usable.isAbsent)('on a Kafka', () => {
  let own: TestServer | undefined;
  let tests = 0;
  beforeAll(async () => {
    if (usable.url === undefined) own = await startKafka();
  }, 180_000);
  afterAll(() => own?.stop());

  ambContract('a bus on Kafka', { ...ON_A_BROKER, boundsBacklog: false }, () => {
    const url = usable.url ?? own?.url ?? '';
    const prefix = `amb-${process.pid}-${++tests}`;
    return {
      ...liveBuses((bound) => kafka(url, { ...bound, prefix })),
      openStore: () => memoryStore(),
    };
  });
});
