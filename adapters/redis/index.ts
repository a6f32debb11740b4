/** `troupe/redis`: a broker on Redis streams. */

export { type RedisOptions, redis } from './broker.ts';
export type { RedisTls } from './server.ts';
