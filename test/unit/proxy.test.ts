import { once } from 'node:events';
import { createServer, connect as openSocket, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Proxy, startProxy } from '../support/proxy.ts';
import { killBehind, PROXY_LINK_FAULTS, proxyLink } from '../support/proxy-link.ts';

let echo: Server;
/** The server's ends of the connections, in order. */
let served: Socket[];
let clients: Client[];
let proxy: Proxy;

/** A client that remembers what it heard. */
class Client {
  heard = '';
  /** `end` for a FIN, or the code of the error. */
  end: string | undefined;
  readonly socket: Socket;

  constructor(port: number) {
    this.socket = openSocket({ host: '127.0.0.1', port, noDelay: true });
    this.socket.on('data', (chunk: Buffer) => {
      this.heard += chunk.toString('latin1');
    });
    this.socket.on('end', () => {
      this.end ??= 'end';
    });
    this.socket.on('error', (error: NodeJS.ErrnoException) => {
      this.end ??= error.code;
    });
    clients.push(this);
  }

  async closed(): Promise<string | undefined> {
    if (!this.socket.closed) await new Promise((resolve) => this.socket.once('close', resolve));
    return this.end;
  }

  async hears(text: string): Promise<void> {
    while (this.heard !== text) await once(this.socket, 'data');
  }
}

async function connected(): Promise<Client> {
  const client = new Client(proxy.port);
  client.socket.write('hello');
  await client.hears('hello');
  return client;
}

/** Resolves when it is closed: whether by an error. */
function closing(socket: Socket | undefined): Promise<boolean> {
  return new Promise((resolve) => socket?.once('close', resolve));
}

/** The next chunk. */
function heard(socket: Socket | undefined): Promise<string> {
  return new Promise((resolve) => socket?.once('data', (chunk: Buffer) => resolve(chunk.toString())));
}

beforeEach(async () => {
  served = [];
  clients = [];
  echo = createServer({ noDelay: true }, (socket) => {
    served.push(socket);
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => socket.write(chunk));
  });
  await new Promise<void>((resolve) => echo.listen(0, '127.0.0.1', resolve));
  const address = echo.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  proxy = await startProxy(address.port);
});

afterEach(async () => {
  for (const { socket } of clients) socket.destroy();
  await proxy.stop();
  for (const socket of served) socket.destroy();
  await new Promise((resolve) => echo.close(resolve));
});

describe('the proxy', () => {
  it('passes bytes both ways and counts connections', async () => {
    const first = await connected();
    await connected();
    expect([proxy.connections, proxy.opened]).toEqual([2, 2]);

    first.socket.end();
    expect(await first.closed()).toBe('end');
    expect([proxy.connections, proxy.opened]).toEqual([1, 2]);
    expect(proxy.through('amqp://me:secret@127.0.0.1:5672/x')).toBe(
      `amqp://me:secret@127.0.0.1:${proxy.port}/x`,
    );
  });

  it('carries a megabyte whole in both directions', async () => {
    const client = new Client(proxy.port);
    const text = Array.from({ length: 131_072 }, (_, at) => at.toString(16).padStart(8, '0')).join('');
    client.socket.write(text, 'latin1');
    while (client.heard.length < text.length) await once(client.socket, 'data');
    expect(client.heard === text).toBe(true);
  });

  it('resets both sides when cut by RST', async () => {
    const client = await connected();
    const gone = closing(served[0]);
    proxy.cutRst();
    expect(await client.closed()).toBe('ECONNRESET');
    expect(await gone).toBe(true);
    expect(proxy.connections).toBe(0);
    await connected();
  });

  it('ends both sides in order when cut by FIN', async () => {
    const client = await connected();
    const gone = closing(served[0]);
    proxy.cutFin();
    expect(await client.closed()).toBe('end');
    expect(await gone).toBe(false);
    await connected();
  });

  it('drops all bytes and closes nothing while half open, and resets what lost bytes when healed', async () => {
    const lossy = await connected();
    const quiet = await connected();
    proxy.halfOpen();
    lossy.socket.write('lost');
    const late = new Client(proxy.port);
    await once(late.socket, 'connect');
    late.socket.write('lost as well');
    served[1]?.destroy();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect([lossy.heard, late.heard, lossy.end, quiet.end]).toEqual(['hello', '', undefined, undefined]);
    expect(proxy.connections).toBe(3);

    proxy.heal();
    expect(await lossy.closed()).toBe('ECONNRESET');
    expect(await late.closed()).toBe('ECONNRESET');
    expect(await quiet.closed()).toBe('ECONNRESET');
    await connected();
  });

  it('drops the bytes of one direction alone', async () => {
    const client = await connected();
    proxy.oneWay('to-client');
    const arrived = heard(served[0]);
    client.socket.write('there');
    expect(await arrived).toBe('there');
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(client.heard).toBe('hello');
    proxy.heal();
    expect(await client.closed()).toBe('ECONNRESET');

    const other = await connected();
    proxy.oneWay('to-server');
    other.socket.write('not there');
    served.at(-1)?.write('heard');
    await other.hears('helloheard');
    expect(proxy.connections).toBe(1);
  });

  it('delays bytes each way, in order and side by side', async () => {
    const client = await connected();
    proxy.latency(100);
    const startedMs = performance.now();
    for (const letter of 'abcdefgh') client.socket.write(letter);
    await client.hears('helloabcdefgh');
    const tookMs = performance.now() - startedMs;
    expect(tookMs).toBeGreaterThanOrEqual(197);
    expect(tookMs).toBeLessThan(8 * 200);
  });

  it('passes one byte at a time', async () => {
    const client = await connected();
    proxy.byteByByte();
    const sizes: number[] = [];
    served[0]?.on('data', (chunk: Buffer) => sizes.push(chunk.length));
    client.socket.write('one at a time');
    await client.hears('helloone at a time');
    expect(sizes.length).toBeGreaterThan(1);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(13);
  });

  it.each([0, 1, 4])('cuts after %i bytes of one direction, and once', async (bytes) => {
    const client = await connected();
    proxy.cutAfterBytes('to-server', bytes);
    let arrived = '';
    served[0]?.on('data', (chunk: Buffer) => {
      arrived += chunk.toString();
    });
    const gone = closing(served[0]);
    client.socket.write('abcdefgh');
    expect(await client.closed()).toBe('ECONNRESET');
    await gone;
    expect(arrived).toBe('abcdefgh'.slice(0, bytes));
    await connected();
  });

  it('cuts before the client hears of what the server did', async () => {
    const client = await connected();
    proxy.cutAfterBytes('to-client', 0);
    const arrived = heard(served[0]);
    client.socket.write('done');
    expect(await arrived).toBe('done');
    expect(await client.closed()).toBe('ECONNRESET');
    expect(client.heard).toBe('hello');
  });

  it('refuses new connections until healed', async () => {
    proxy.refuse();
    expect(await new Client(proxy.port).closed()).toBe('ECONNRESET');
    proxy.heal();
    await connected();
  });

  it('resets clients when the server is not there', async () => {
    const nowhere = await startProxy(1);
    const client = new Client(nowhere.port);
    expect(await client.closed()).toBe('ECONNRESET');
    await nowhere.stop();
  });
});

describe('the link of a proxy', () => {
  it.each(['cutRst', 'cutFin'] as const)(
    'stays cut by %s for those who come, until it is healed',
    async (cut) => {
      const link = proxyLink(proxy);
      const first = await connected();
      await link[cut]();
      expect(await first.closed()).toBe(cut === 'cutRst' ? 'ECONNRESET' : 'end');
      expect(await new Client(proxy.port).closed()).toBe('ECONNRESET');
      await link.heal();
      await connected();
    },
  );

  it('has one fault at a time, the last', async () => {
    const link = proxyLink(proxy);
    await link.cutRst();
    await link.latency(1);
    await connected();
    expect(PROXY_LINK_FAULTS).toHaveLength(Object.keys(link).length - 1);
  });

  it('never opens again for a node that was killed', async () => {
    const first = await connected();
    killBehind(proxy);
    expect(await first.closed()).toBe('ECONNRESET');
    expect(await new Client(proxy.port).closed()).toBe('ECONNRESET');
  });
});
