import { afterAll, beforeAll, describe } from 'vitest';
import { redis } from '../../adapters/redis/index.ts';
import { memoryStore } from '../../adapters/store/index.ts';
import { liveBuses } from '../support/live-buses.ts';
import { startRedis } from '../support/servers/redis.ts';
import type { TestServer } from '../support/servers/server.ts';
import { useServer } from '../support/servers/use-server.ts';
import { ambContract, ON_A_BROKER } from './amb.contract.ts';

const usable = useServer('redis');

describe.skipIf(usable.isAbsent)('on a Redis', () => {
  let own: TestServer | undefined;
  let tests = 0;
  beforeAll(async () => {
    if (usable.url === undefined)
      own = await startRedis(usable.command === undefined ? {} : { command: usable.command });
  }, 60_000);
  afterAll(() => own?.stop());

  ambContract('a bus on Redis', ON_A_BROKER, () => {
    const url = usable.url ?? own?.url ?? '';
    const prefix = `amb-${process.pid}-${++tests}`;
    return {
      ...liveBuses((bound) => redis(url, { ...bound, prefix })),
      openStore: () => memoryStore(),
    };
  });
});
