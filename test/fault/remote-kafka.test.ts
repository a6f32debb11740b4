import { startKafka } from '../support/servers/kafka.ts';
import { useServer } from '../support/servers/use-server.ts';
import { remoteProcessCases } from './remote-processes.contract.ts';

remoteProcessCases('Kafka', { usable: useServer('kafka'), start: startKafka });
