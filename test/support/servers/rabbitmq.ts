/**
 * A RabbitMQ of the tests' own: a node name, ports and an Erlang cookie that no other has, no plugins, loopback only. Erlang's port
 * mapper, which a node otherwise leaves behind as a daemon, is a companion here and ends with it.
 */

import { execFile } from 'node:child_process';
import { existsSync, realpathSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { basename, delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { aptInstall, type Finding } from './finding.ts';
import { firstAnswer, freePorts, serverFolder, startServer, type TestServer } from './server.ts';

/** How a RabbitMQ differs from the usual one. */
export interface RabbitmqOptions {
  /** The script `rabbitmq-server`; `rabbitmqCommand()` unless said. */
  readonly command?: string;
  /** Settings as in rabbitmq.conf, over the usual ones: `{ 'heartbeat': '5' }`. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** A RabbitMQ, and its tool. */
export interface RabbitmqServer extends TestServer {
  /** Runs `rabbitmqctl` against this server, and gives what it prints. */
  control(...parameters: readonly string[]): Promise<string>;
  /** With a fraction near 0, all publishers are blocked from now on; with 0.6 no longer. */
  setMemoryWatermark(fraction: number): Promise<void>;
}

const GREETING = 'AMQP\x00\x00\x09\x01';

/** Debian's package puts a script into the path that changes user and folder; the one behind it is here. */
const DEBIAN = '/usr/lib/rabbitmq/bin';

/** Where the start script of an installed RabbitMQ is, if there is one. */
export function rabbitmqCommand(): string | undefined {
  const folders = [DEBIAN, ...(process.env['PATH'] ?? '').split(delimiter)];
  return folders
    .map((folder) => join(folder, 'rabbitmq-server'))
    .find((path) => existsSync(path) && basename(realpathSync(path)) !== 'rabbitmq-script-wrapper');
}

/** Where a RabbitMQ comes from. */
export const RABBITMQ: Finding = {
  kind: 'rabbitmq',
  installed: rabbitmqCommand,
  install: () => aptInstall('rabbitmq-server'),
  container: {
    image: 'rabbitmq:4.1',
    port: 5672,
    url: (port) => `amqp://guest:guest@127.0.0.1:${port}`,
    greeting: GREETING,
  },
};

/** Starts a RabbitMQ. It takes some seconds. */
export async function startRabbitmq({ command, settings }: RabbitmqOptions = {}): Promise<RabbitmqServer> {
  const script = command ?? rabbitmqCommand();
  if (script === undefined) throw new Error('rabbitmq-server is not installed.');
  const folder = await serverFolder('rabbitmq');
  const [port = 0, distribution = 0, mapper = 0] = await freePorts(3);
  const loopback = '-kernel inet_dist_use_interface {127,0,0,1}';
  const environment = {
    HOME: folder, // where Erlang keeps its cookie
    ERL_EPMD_PORT: String(mapper),
    ERL_EPMD_ADDRESS: '127.0.0.1',
    RABBITMQ_NODENAME: `troupe-${port}@localhost`,
    RABBITMQ_DIST_PORT: String(distribution),
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: loopback,
    RABBITMQ_CTL_ERL_ARGS: loopback,
    RABBITMQ_CONFIG_FILE: join(folder, 'rabbitmq.conf'),
    RABBITMQ_ADVANCED_CONFIG_FILE: join(folder, 'absent.config'),
    RABBITMQ_CONF_ENV_FILE: join(folder, 'absent.conf'),
    RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, 'plugins'),
    RABBITMQ_MNESIA_BASE: join(folder, 'mnesia'),
    RABBITMQ_LOG_BASE: join(folder, 'log'),
    RABBITMQ_PID_FILE: join(folder, 'pid'),
    // Makes the script become the server instead of waiting for it, so that its pid is the server's.
    RUNNING_UNDER_SYSTEMD: 'true',
  };
  const all = {
    'listeners.tcp.1': `127.0.0.1:${port}`,
    'vm_memory_high_watermark.absolute': '512MB',
    'disk_free_limit.absolute': '1MB',
    'log.console': 'true',
    'log.console.level': 'warning',
    'log.file': 'false',
    ...settings,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name} = ${value}\n`);
  await writeFile(environment.RABBITMQ_CONFIG_FILE, lines.join(''));
  await writeFile(environment.RABBITMQ_ENABLED_PLUGINS_FILE, '[].\n');
  const server = await startServer({
    kind: 'rabbitmq',
    url: `amqp://guest:guest@127.0.0.1:${port}`,
    port,
    folder,
    program: { command: script, parameters: [], environment },
    companions: [{ command: 'epmd', parameters: ['-port', String(mapper), '-address', '127.0.0.1'] }],
    // A method frame: the server's `connection.start`.
    isReady: async () => (await firstAnswer(port, GREETING))[0] === 1,
  });
  const control = async (...parameters: readonly string[]): Promise<string> => {
    const tool = join(dirname(script), 'rabbitmqctl');
    // Its own each time: the last one's may not be free yet.
    const [own] = await freePorts(1);
    const ports = { RABBITMQ_CTL_DIST_PORT_MIN: String(own), RABBITMQ_CTL_DIST_PORT_MAX: String(own) };
    const { stdout } = await promisify(execFile)(tool, ['--quiet', ...parameters], {
      env: { ...process.env, ...environment, ...ports },
      timeout: 60_000,
    });
    return stdout;
  };
  return Object.assign(server, {
    control,
    setMemoryWatermark: async (fraction: number) => {
      await control('set_vm_memory_high_watermark', String(fraction));
    },
  });
}
