import { afterAll, beforeAll, describe } from 'vitest';
import { type LoopbackServer, loopback, serveLoopback } from '../../adapters/loopback/index.ts';
import { memoryStore } from '../../adapters/store/index.ts';
import { liveBuses } from '../support/live-buses.ts';
import { ambContract, ON_A_BROKER } from './amb.contract.ts';

describe('on a loopback server', () => {
  let server: LoopbackServer | undefined;
  let tests = 0;
  beforeAll(async () => {
    server = await serveLoopback();
  });
  afterAll(() => server?.close());

  ambContract('a bus on the loopback broker', ON_A_BROKER, () => {
    const prefix = `amb-${++tests}`;
    return {
      ...liveBuses((bound) => loopback(server?.url ?? '', { ...bound, prefix })),
      openStore: () => memoryStore(),
    };
  });
});
