/** Servers for one run of a benchmark, each started by itself. */

import { serveLoopback } from '../../adapters/loopback/index.ts';
import { startKafka } from '../support/servers/kafka.ts';
import { startRabbitmq } from '../support/servers/rabbitmq.ts';
import { startRedis } from '../support/servers/redis.ts';

/** A server, and how to end it. */
export interface BenchServer {
  readonly url: string;
  stop(): Promise<void>;
}

/** How each is started, by the name of its broker. Rejects where there is none on this machine. */
export const SERVERS: Readonly<Record<string, () => Promise<BenchServer>>> = {
  redis: () => startRedis(),
  rabbitmq: () => startRabbitmq(),
  kafka: () => startKafka(),
  // Served by this process, which waits meanwhile.
  loopback: async () => {
    const server = await serveLoopback();
    return { url: server.url, stop: () => server.close() };
  },
};

/** Runs `work` with a server of this broker. Answers `undefined`, having said why, where there is none. */
export async function withServer<T>(
  broker: string,
  work: (url: string) => Promise<T>,
): Promise<T | undefined> {
  const start = SERVERS[broker];
  if (start === undefined) throw new Error(`no broker is called ${broker}`);
  let server: BenchServer;
  try {
    server = await start();
  } catch (error) {
    console.log(`\n${broker}: skipped, no server: ${error instanceof Error ? error.message : String(error)}`);
    return undefined;
  }
  try {
    return await work(server.url);
  } finally {
    await server.stop();
  }
}
