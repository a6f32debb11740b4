/** A Redis of the tests' own, with the settings that the documentation recommends. */

import { join } from 'node:path';
import { freePorts, firstAnswer, serverFolder, startServer, type TestServer } from './server.ts';

/** How a Redis differs from the recommended one. */
export interface RedisOptions {
  /** The program; found in the path unless said. */
  readonly command?: string;
  /** Password of the default user; none unless said. */
  readonly password?: string;
  /** Settings as in redis.conf, over the recommended ones: `{ maxmemory: '8mb', appendonly: 'no' }`. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** Starts a Redis on a free loopback port: `appendonly yes`, `appendfsync everysec`, `maxmemory-policy noeviction`. */
export async function startRedis({ command, password, settings }: RedisOptions = {}): Promise<TestServer> {
  const folder = await serverFolder('redis');
  const [port = 0] = await freePorts(1);
  const all: Record<string, string> = {
    bind: '127.0.0.1',
    port: String(port),
    dir: folder,
    appendonly: 'yes',
    appendfsync: 'everysec',
    'maxmemory-policy': 'noeviction',
    save: '',
    daemonize: 'no',
    ...(password === undefined ? {} : { requirepass: password }),
    ...settings,
  };
  const signIn = password === undefined ? '' : `AUTH ${password}\r\n`;
  return startServer({
    kind: 'redis',
    url: `redis://${password === undefined ? '' : `:${encodeURIComponent(password)}@`}127.0.0.1:${port}`,
    port,
    folder,
    program: {
      command: command ?? 'redis-server',
      parameters: [
        '--unixsocket',
        join(folder, 'redis.sock'),
        ...Object.entries(all).flatMap(([name, value]) => [`--${name}`, value]),
      ],
    },
    // A server that still loads its data answers with an error, which begins with a minus.
    isReady: async () => {
      const answer = (await firstAnswer(port, `${signIn}PING\r\n`)).toString();
      return answer.startsWith('+');
    },
  });
}
