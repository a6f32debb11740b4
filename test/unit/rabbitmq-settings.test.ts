import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { rabbitmqOn } from '../../adapters/rabbitmq/broker.ts';
import { loadDriver } from '../../adapters/rabbitmq/driver.ts';
import { type RabbitmqOptions, rabbitmq } from '../../adapters/rabbitmq/index.ts';
import { refusalOf } from '../../adapters/rabbitmq/refusal.ts';
import { rabbitmqSettings } from '../../adapters/rabbitmq/settings.ts';
import { Topology } from '../../adapters/rabbitmq/topology.ts';
import { systemHost } from '../../runtime/host/system-clock.ts';
import { isTroupeError } from '../../src/protocol/errors.ts';

const URL = 'amqp://user:pa%40ss@broker.example:5673/shop%2Fa';

function errorOf(act: () => unknown): unknown {
  try {
    return act();
  } catch (error) {
    return error;
  }
}

describe('the options of RabbitMQ', () => {
  it('tell the driver where to connect, with what is percent-encoded decoded once', () => {
    const { dial, socket, shownUrl, heartbeatSeconds } = rabbitmqSettings(URL, { heartbeatMs: 5_000 });
    expect(dial()).toMatchObject({
      protocol: 'amqp',
      hostname: 'broker.example',
      port: 5673,
      username: 'user',
      password: 'pa@ss',
      vhost: 'shop%2Fa',
      heartbeat: 5,
    });
    expect(socket()).toEqual({ noDelay: true });
    expect([shownUrl, heartbeatSeconds]).toEqual(['amqp://broker.example:5673/shop%2Fa', 5]);
    expect(rabbitmqSettings('amqps://[::1]', {}).dial()).toMatchObject({
      hostname: '::1',
      port: 5671,
      vhost: '',
    });
    expect(rabbitmqSettings('amqp://h', {}).dial().username).toBeUndefined();
  });

  it.each<[string, unknown, RabbitmqOptions | undefined, string]>([
    ['another protocol', 'redis://h', {}, 'rabbitmq: url'],
    ['no URL', 5, {}, 'rabbitmq: url'],
    ['parameters in the URL', 'amqp://u:secret@h?heartbeat=3', {}, 'rabbitmq: url'],
    ['a password that is not percent-encoded', 'amqp://u:%zz@h', {}, 'rabbitmq: url'],
    ['an unknown kind of queue', URL, { groupQueues: 'stream' as 'quorum' }, 'groupQueues'],
    ['TLS without amqps', URL, { tls: {} }, 'tls'],
    ['a certificate without its key', 'amqps://h', { tls: { cert: 'x' } }, 'tls'],
    ['a key that is no PEM', 'amqps://h', { tls: { cert: 'x', key: 7 as never } }, 'tls.key'],
    ['an empty server name', 'amqps://h', { tls: { servername: '' } }, 'tls.servername'],
    ['an unknown option', URL, { queue: 1 } as RabbitmqOptions, 'rabbitmq options.queue'],
  ])('refuse %s at the door', (_, url, options, option) => {
    const error = errorOf(() => rabbitmq(url as string, options));
    expect(error).toMatchObject({ code: 'ERR_OPTION_INVALID', details: { option } });
    expect(String(error)).not.toContain('secret');
  });

  it('show neither password nor key, however deep one looks', () => {
    const broker = rabbitmq(`amqps://u:geheim@h`, { tls: { ca: 'a', cert: 'c', key: 'schluessel' } });
    const shown = inspect(broker, { depth: 10, showHidden: true });
    expect(shown).not.toContain('geheim');
    expect(shown).not.toContain('schluessel');
    expect(broker.url).toBe('amqps://h');
  });

  it('name the package to install when the driver is missing, and may be opened again then', async () => {
    const absent = (): Promise<never> => Promise.reject(new Error('Cannot find package'));
    const broker = rabbitmqOn(() => loadDriver(absent), URL, {});
    const node = { name: 'a', incarnation: 'a1' };
    for (let attempt = 0; attempt < 2; attempt++)
      await expect(broker.open(node, systemHost)).rejects.toMatchObject({
        code: 'ERR_DRIVER_MISSING',
        details: { package: 'amqplib' },
      });
    await broker.close();
  });
});

describe('the names of queues', () => {
  const topology = new Topology(rabbitmqSettings(URL, { prefix: 'p'.repeat(32) }));
  const group = (name: string, pattern: string): string =>
    topology.group({ kind: 'group', group: name, pattern }, 3);

  it('are readable, and begin with the prefix', () => {
    const short = new Topology(rabbitmqSettings(URL, { prefix: 'shop' }));
    expect(short.inbox('node-1', 0)).toBe('shop.in.node-1.0');
    expect(short.group({ kind: 'group', group: 'g', pattern: 'a.*.#' }, 5)).toBe('shop.gr.g.a.*.#.5');
    expect(short.routingKey('a.b', 2)).toBe('2.a.b');
  });

  it('have at most 255 bytes, and differ where groups or patterns do, however long these are', () => {
    const name = 'g'.repeat(64);
    const pattern = Array.from({ length: 8 }, () => 's'.repeat(24)).join('.');
    const long = group(name, pattern);
    expect(long.length).toBeLessThanOrEqual(255);
    expect(group(name, pattern)).toBe(long);
    const others = [
      group(name, `${pattern}x`),
      group(`${name.slice(1)}h`, pattern),
      group(name, `t${pattern.slice(1)}`),
    ];
    expect(new Set([long, ...others]).size).toBe(4);
  });
});

describe('what goes wrong at RabbitMQ', () => {
  const where = { shownUrl: 'amqp://h' };
  const withCode = (message: string, code: unknown): Error => Object.assign(new Error(message), { code });

  it.each([
    ['user or password', new Error('Handshake terminated by server: 403 (ACCESS-REFUSED) with message "x"')],
    ['a virtual host', new Error('Expected ConnectionOpenOk; got <ConnectionClose channel:0>')],
    ['a permission', withCode('Channel closed by server', 403)],
    ['queues that are otherwise', withCode('PRECONDITION_FAILED', 406)],
    ['a certificate', withCode('self-signed certificate', 'DEPTH_ZERO_SELF_SIGNED_CERT')],
    ['a client certificate', withCode('alert', 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED')],
  ])('is a denial when it is about %s', (_, error) => {
    expect(refusalOf(error, where)).toMatchObject({ code: 'ERR_BROKER_DENIED', cause: error });
  });

  it('is an outage otherwise, with a code where there is no message', () => {
    const refused = refusalOf(withCode('', 'ECONNREFUSED'), where);
    expect(refused).toMatchObject({ code: 'ERR_BROKER_UNAVAILABLE', details: { problem: 'ECONNREFUSED' } });
    expect(refusalOf('text', where).code).toBe('ERR_BROKER_UNAVAILABLE');
    expect(refusalOf(refused, where)).toBe(refused);
    expect(isTroupeError(refused)).toBe(true);
  });
});
