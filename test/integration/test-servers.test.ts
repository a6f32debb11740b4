import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { skipLines } from '../support/global-setup.ts';
import { find } from '../support/servers/finding.ts';
import { type RabbitmqServer, startRabbitmq } from '../support/servers/rabbitmq.ts';
import { startRedis } from '../support/servers/redis.ts';
import { firstAnswer, type TestServer } from '../support/servers/server.ts';
import { useServer } from '../support/servers/use-server.ts';

const redis = useServer('redis');
const rabbitmq = useServer('rabbitmq');

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

describe.skipIf(redis.isForeign)('a Redis of the tests', () => {
  const ask = async (server: TestServer, text: string): Promise<string> =>
    (await firstAnswer(server.port, `${text}\r\n`)).toString();

  it('keeps its data and its port when killed and started again', async () => {
    const server = await startRedis();
    expect(await ask(server, 'CONFIG GET appendfsync')).toContain('everysec');
    expect(await ask(server, 'CONFIG GET maxmemory-policy')).toContain('noeviction');
    expect(await ask(server, 'SET name troupe')).toBe('+OK\r\n');
    await expect
      .poll(() => ask(server, 'INFO persistence'), { timeout: 5_000 })
      .toContain('aof_pending_bio_fsync:0');

    const first = server.pid;
    await server.kill();
    expect(isAlive(first)).toBe(false);
    await expect(ask(server, 'PING')).rejects.toThrow('ECONNREFUSED');
    await server.restart();
    expect(server.pid).not.toBe(first);
    expect(await ask(server, 'GET name')).toBe('$6\r\ntroupe\r\n');
    await server.restart();
    expect(await ask(server, 'GET name')).toBe('$6\r\ntroupe\r\n');

    await server.stop();
    expect(isAlive(server.pid)).toBe(false);
  });

  it('answers nothing while paused, and stops while paused', async () => {
    const server = await startRedis({ password: 'pass word', settings: { maxmemory: '64mb' } });
    expect(server.url).toBe(`redis://:pass%20word@127.0.0.1:${server.port}`);
    expect(await ask(server, 'PING')).toContain('NOAUTH');
    server.pause();
    await expect(ask(server, 'PING')).rejects.toThrow('aborted');
    server.resume();
    expect(await ask(server, 'PING')).toContain('NOAUTH');
    server.pause();
    await server.stop();
    expect(isAlive(server.pid)).toBe(false);
  });

  it('dies with its folder when the process that started it is killed', async () => {
    const program = fileURLToPath(new URL('../support/server-program.ts', import.meta.url));
    const child = spawn(process.execPath, ['--import', 'tsx', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    const { pid, folder } = JSON.parse(line.toString()) as { pid: number; folder: string };
    expect([isAlive(pid), existsSync(folder)]).toEqual([true, true]);
    child.kill('SIGKILL');
    await once(child, 'exit');
    await expect.poll(() => [isAlive(pid), existsSync(folder)], { timeout: 5_000 }).toEqual([false, false]);
  });

  it('says what is wrong when it cannot start', async () => {
    await expect(startRedis({ settings: { appendonly: 'perhaps' } })).rejects.toThrow(
      /redis ended.*appendonly/s,
    );
    await expect(startRedis({ command: 'no-such-program' })).rejects.toThrow('ENOENT');
  });
});

describe.skipIf(rabbitmq.isForeign)('a RabbitMQ of the tests', () => {
  let server: RabbitmqServer;
  beforeAll(async () => {
    server = await startRabbitmq();
  }, 60_000);
  afterAll(() => server.stop());

  it('is reached by its tool, killed and started again', async () => {
    expect(await server.control('list_users')).toContain('guest');
    await server.control('add_user', 'somebody', 'secret');
    await server.kill();
    await expect(firstAnswer(server.port, 'AMQP')).rejects.toThrow('ECONNREFUSED');
    await server.restart();
    expect(await server.control('list_users')).toContain('somebody');
  }, 60_000);

  it('raises a memory alarm on demand, and takes it back', async () => {
    const alarms = (): Promise<string> => server.control('eval', 'rabbit_alarm:get_alarms().');
    await server.setMemoryWatermark(0.000_001);
    await expect.poll(alarms, { timeout: 10_000 }).toContain('memory');
    await server.setMemoryWatermark(0.6);
    await expect.poll(alarms, { timeout: 10_000 }).toBe('[]\n');
  }, 60_000);
});

describe('the search for a broker', () => {
  const nothing = {
    kind: 'redis',
    installed: () => undefined,
    install: () => Promise.reject(new Error('no network')),
  } as const;

  it('takes a URL first, then what is installed, then what can be installed', async () => {
    const url = 'redis://127.0.0.1:1';
    const found = { ...nothing, installed: () => '/usr/bin/redis' };
    expect(await find(found, { TROUPE_TEST_REDIS_URL: url })).toEqual({ via: 'url', url });
    expect(await find(found, {})).toEqual({ via: 'installed', command: '/usr/bin/redis' });
    let command: string | undefined;
    const installs = {
      ...nothing,
      installed: () => command,
      install: async () => {
        command = '/opt/redis';
      },
    };
    expect((await find(installs, {})).via).toBe('nothing');
    expect(await find(installs, { TROUPE_INSTALL: '1' })).toEqual({
      via: 'installed',
      command: '/opt/redis',
    });
  });

  it('says why there is none', async () => {
    expect(await find(nothing, { CI: 'false' })).toEqual({
      via: 'nothing',
      reason:
        'TROUPE_TEST_REDIS_URL is not set; it is not installed, and may not be without CI or TROUPE_INSTALL=1',
    });
    expect(await find(nothing, { CI: 'true' })).toMatchObject({
      reason: expect.stringContaining('no network'),
    });
  });

  it('names the files that had to skip', () => {
    const files = ['test/b.test.ts', 'test/a.test.ts', 'test/c.test.ts'];
    const read = (path: string): string => (path.includes('c') ? '' : `useServer('${'redis'}')`);
    const lines = (brokers: Parameters<typeof skipLines>[0]): string[] => skipLines(brokers, files, read);
    expect(lines({ redis: { via: 'nothing', reason: 'x' }, kafka: { via: 'nothing', reason: 'y' } })).toEqual(
      ['SKIPPED, there is no redis (x): test/a.test.ts, test/b.test.ts'],
    );
    expect(lines({ redis: { via: 'url', url: 'x' } })).toEqual([
      "SKIPPED, the redis is not the tests' own: what kills or fills it in test/a.test.ts, test/b.test.ts",
    ]);
    expect(lines({ redis: { via: 'installed', command: 'x' } })).toEqual([]);
  });
});
