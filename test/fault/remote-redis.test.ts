import { startRedis } from '../support/servers/redis.ts';
import { useServer } from '../support/servers/use-server.ts';
import { remoteProcessCases } from './remote-processes.contract.ts';

remoteProcessCases('Redis', { usable: useServer('redis'), start: startRedis });
