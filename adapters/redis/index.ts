/** `troupe/redis`: a broker on Redis streams, and a store for the states of keyed agents. */

export { type RedisOptions, redis } from './broker.ts';
export type { RedisTls } from './server.ts';
export { type RedisStatesOptions, redisStates } from './states.ts';
