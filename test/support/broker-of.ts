/** The adapter for a URL, where there is one: adapters are folders, and not every checkout has all of them. */

import type { Broker, BrokerOptions } from '../../src/protocol/broker.ts';

const ADAPTERS: Readonly<Record<string, string>> = {
  'redis:': 'redis',
  'amqp:': 'rabbitmq',
  'kafka:': 'kafka',
  'loopback:': 'loopback',
};

/** A broker that has not been opened. */
export async function brokerOf(
  url: string,
  prefix: string,
  options: Omit<BrokerOptions, 'prefix'> = {},
): Promise<Broker> {
  const name = ADAPTERS[new URL(url).protocol] ?? '';
  const adapter: Readonly<Record<string, unknown>> = await import(`../../adapters/${name}/index.js`);
  const make = adapter[name];
  if (typeof make !== 'function') throw new Error(`adapters/${name} makes no broker`);
  return make(url, { ...options, prefix }) as Broker; // that is what an adapter's function of its own name gives
}
