/** The broker for a URL. */

import { kafka } from '../../adapters/kafka/index.ts';
import { loopback } from '../../adapters/loopback/index.ts';
import { rabbitmq } from '../../adapters/rabbitmq/index.ts';
import { redis } from '../../adapters/redis/index.ts';
import type { Broker, BrokerOptions } from '../../src/protocol/broker.ts';

const MAKERS: Readonly<Record<string, (url: string, options: BrokerOptions) => Broker>> = {
  'redis:': redis,
  'amqp:': rabbitmq,
  'kafka:': kafka,
  'loopback:': loopback,
};

/** A broker that has not been opened. */
export function brokerOf(url: string, prefix: string, options: Omit<BrokerOptions, 'prefix'> = {}): Broker {
  const { protocol } = new URL(url);
  const make = MAKERS[protocol];
  if (make === undefined) throw new Error(`There is no broker for ${protocol}`);
  return make(url, { ...options, prefix });
}
