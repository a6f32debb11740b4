import { startRabbitmq } from '../support/servers/rabbitmq.ts';
import { useServer } from '../support/servers/use-server.ts';
import { remoteProcessCases } from './remote-processes.contract.ts';

remoteProcessCases('RabbitMQ', { usable: useServer('rabbitmq'), start: startRabbitmq });
