/** A Redis of the tests' own, with the settings that the documentation recommends. */

import { join } from 'node:path';
import { aptInstall, type Finding, inPath } from './finding.ts';
import { firstAnswer, freePorts, serverFolder, startServer, type TestServer } from './server.ts';

/** Where a Redis comes from. */
export const REDIS: Finding = {
  kind: 'redis',
  installed: () => inPath('redis-server'),
  install: () => aptInstall('redis-server'),
  container: {
    image: 'redis:7.2',
    port: 6379,
    url: (port) => `redis://127.0.0.1:${port}`,
    greeting: 'PING\r\n',
    parameters: ['redis-server', '--appendonly', 'yes', '--maxmemory-policy', 'noeviction'],
  },
};

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
  const signIn = password === undefined ? '' : `AUTH ${JSON.stringify(password)}\r\n`;
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
    // One that still loads its data answers with an error.
    isReady: async () => (await firstAnswer(port, `${signIn}PING\r\n`)).toString().includes('PONG'),
  });
}
