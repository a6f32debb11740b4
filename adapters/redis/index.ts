/** `troupe/redis`: a broker on Redis streams. */

export { type RedisOptions, type RedisTls, redis } from './broker.ts';
