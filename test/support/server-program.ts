/** A process that starts a Redis, says so, and waits to be killed. */

import { startRedis } from './servers/redis.ts';

const server = await startRedis();
console.log(JSON.stringify({ pid: server.pid, folder: server.folder }));
setInterval(() => undefined, 60_000);
