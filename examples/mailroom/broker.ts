/** The broker that a URL names, by whichever of them it is for. */
import type { Broker } from 'troupe';
import { kafka } from 'troupe/kafka';
import { loopback } from 'troupe/loopback';
import { rabbitmq } from 'troupe/rabbitmq';
import { redis } from 'troupe/redis';

/** A death is to be seen while somebody watches: sooner than a busy production would like. */
const TIMES = { heartbeatMs: 500, downAfterMs: 2_000 } as const;
/** What a Kafka allows, unless its settings say otherwise. */
const KAFKA_TIMES = { heartbeatMs: 1_000, downAfterMs: 6_000 } as const;

/** A broker for one node; those with the same URL and prefix meet. Throws `ERR_OPTION_INVALID`. */
export function brokerAt(url: string, prefix: string): Broker {
  const [scheme = ''] = url.split(':');
  switch (scheme) {
    case 'redis':
    case 'rediss':
      return redis(url, { ...TIMES, prefix });
    case 'amqp':
    case 'amqps':
      return rabbitmq(url, { ...TIMES, prefix });
    case 'kafka':
      return kafka(url, { ...KAFKA_TIMES, prefix });
    default:
      return loopback(url, { ...TIMES, prefix });
  }
}
