/** What only a loopback server has: clients that are processes of its machine, strangers on its port, and a memory that ends with it. */

import { connect, createServer, type Server, type Socket } from 'node:net';
import { inspect } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import {
  type LoopbackServer,
  type LoopbackServerOptions,
  loopback,
  serveLoopback,
} from '../../adapters/loopback/index.ts';
import { type ToNode, type ToServer, toNode, toServer } from '../../adapters/loopback/messages.ts';
import { Decoder, encode } from '../../adapters/loopback/wire.ts';
import { memory, memoryHub } from '../../adapters/memory/index.ts';
import { systemHost } from '../../runtime/host/system-clock.ts';
import type { Broker, BrokerOptions, Delivery } from '../../src/protocol/broker.ts';
import { LOOPBACK_STRANGERS_MAX } from '../../src/protocol/limits.ts';
import type { MemberChange } from '../../src/protocol/membership.ts';
import { frame, numberOf, range, toTopic, windowOf } from '../support/broker-play.ts';
import { LOOPBACK_TIMES, LoopbackProcess } from '../support/loopback-harness.ts';
import { type RunningProgram, runProgram } from '../support/run-program.ts';

const SHARD = { group: 'accounts', shard: 0, shards: 1 };
const MIB = 1_048_576;
const closings: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const close of closings.splice(0).toReversed()) await close();
});

async function serve(options?: LoopbackServerOptions): Promise<LoopbackServer> {
  const server = await serveLoopback(options);
  closings.push(() => server.close());
  return server;
}

function join(url: string, options: BrokerOptions = {}): Broker {
  const broker = loopback(url, { ...LOOPBACK_TIMES, ...options });
  closings.push(() => broker.close());
  return broker;
}

async function open(url: string, name: string, options: BrokerOptions = {}): Promise<Broker> {
  const broker = join(url, options);
  await broker.open({ name, incarnation: name }, systemHost);
  return broker;
}

/** A condition, looked at until it holds. The test's own time is its bound. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds())
    await new Promise((resolve) => {
      setTimeout(resolve, 5);
    });
}

/** What happens to members, as one node hears it, with the time at which it did. */
function changesAt(broker: Broker): { readonly said: string; readonly atMs: number }[] {
  const changes: { said: string; atMs: number }[] = [];
  broker.members?.onChange(({ kind, member }: MemberChange) => {
    changes.push({ said: `${kind} ${member.incarnation}`, atMs: performance.now() });
  });
  return changes;
}

/** A node in a process of its own, ready, with what it says. */
async function startNode(
  url: string,
  name: string,
  downAfterMs: number = LOOPBACK_TIMES.downAfterMs,
): Promise<{ run: RunningProgram; lines: string[] }> {
  const lines: string[] = [];
  const run = runProgram('loopback-node-program', [url, name, String(downAfterMs)], (line) =>
    lines.push(line),
  );
  closings.push(async () => {
    run.kill();
    await run.ended;
  });
  await Promise.race([
    until(() => lines.includes('ready')),
    run.ended.then(({ errors }) => {
      throw new Error(`The node has ended: ${errors}`);
    }),
  ]);
  return { run, lines };
}

describe('a process on a loopback server', () => {
  it('is down at once when it is killed, and others have its frames and its shard', async () => {
    const { url } = await serve();
    const parent = await open(url, 'parent');
    const changes = changesAt(parent);
    // Nothing of this is for want of signs of life: those would be waited for much longer.
    const { run, lines } = await startNode(url, 'worker', 60_000);
    const frames = range(5).map((number) => frame(toTopic('work'), number));
    expect(await parent.publish(frames)).toEqual(frames.map(() => 'ok'));
    await until(() => lines.includes('got 4') && lines.some((line) => line.startsWith('granted')));
    const got: Delivery[] = [];
    await parent.consume(
      { kind: 'group', group: 'workers', pattern: 'work' },
      { windows: windowOf(8), receive: (deliveries) => got.push(...deliveries) },
    );
    const epochs: number[] = [];
    await parent.shards?.claim(SHARD, { granted: (epoch) => epochs.push(epoch), lost: () => undefined });
    const killedAtMs = performance.now();
    run.kill();
    await until(() => got.length === 5 && epochs.length === 1 && changes.at(-1)?.said === 'down worker');
    expect(performance.now() - killedAtMs).toBeLessThan(5_000);
    expect(got.map(numberOf)).toEqual(range(5));
    expect(got.every(({ isRedelivered, deliveries }) => isRedelivered && deliveries === 2)).toBe(true);
    const [before = ''] = lines.filter((line) => line.startsWith('granted'));
    expect(epochs[0]).toBeGreaterThan(Number(before.split(' ')[1]));
  });

  it('is down after downAfterMs when it stands still, loses its shard, and comes back as another one', async () => {
    const { url } = await serve();
    const parent = await open(url, 'parent');
    const changes = changesAt(parent);
    const { run, lines } = await startNode(url, 'worker');
    await until(() => lines.some((line) => line.startsWith('granted')));
    const stoppedAtMs = performance.now();
    run.signal('SIGSTOP');
    await until(() => changes.at(-1)?.said === 'down worker');
    // Its last sign of life is from before it was stopped.
    const silentMs = (changes.at(-1)?.atMs ?? 0) - stoppedAtMs;
    expect(silentMs).toBeGreaterThan(LOOPBACK_TIMES.downAfterMs - LOOPBACK_TIMES.heartbeatMs - 100);
    run.signal('SIGCONT');
    await until(() => changes.at(-1)?.said === 'up worker.2');
    await until(() => lines.filter((line) => line.startsWith('granted')).length === 2);
    const own = lines.filter((line) => /^(granted|lost)/.test(line));
    expect(own.map((line) => line.split(' ')[0])).toEqual(['granted', 'lost', 'granted']);
    expect(changes.map(({ said }) => said)).toEqual(['up worker', 'down worker', 'up worker.2']);
  });

  it('has left when it closes', async () => {
    const { url } = await serve();
    const parent = await open(url, 'parent');
    const changes = changesAt(parent);
    const other = await open(url, 'other');
    await other.close();
    await until(() => changes.length === 2);
    expect(changes.map(({ said }) => said)).toEqual(['up other', 'left other']);
  });
});

describe('a loopback server', () => {
  it('serves again where an earlier one did, with nothing of what that held, and higher epochs', async () => {
    const server = new LoopbackProcess();
    await server.start();
    closings.push(() => server.kill());
    const node = await open(server.url, 'a', { reconnect: { minMs: 10, maxMs: 100 } });
    const states: string[] = [];
    node.onState(({ state }) => states.push(state));
    const told: (number | 'lost')[] = [];
    await node.shards?.claim(SHARD, { granted: (epoch) => told.push(epoch), lost: () => told.push('lost') });
    await until(() => told.length === 1);
    await node.publish([frame({ kind: 'node', node: 'a' }, 1)]);
    expect(await node.backlog({ kind: 'inbox' })).toEqual([0, 0, 0, 1, 0, 0]);
    await server.kill();
    await until(() => states.at(-1) === 'down' && told.at(-1) === 'lost');
    await server.start();
    await until(() => states.at(-1) === 'up' && told.length === 3);
    expect(await node.backlog({ kind: 'inbox' })).toEqual([0, 0, 0, 0, 0, 0]);
    expect(told[2]).toBeGreaterThan(Number(told[0]));
  });

  it('takes nobody for dead because it stood still itself', async () => {
    const server = new LoopbackProcess();
    await server.start();
    closings.push(() => server.kill());
    const reconnect = { minMs: 10, maxMs: 100 };
    const [a, b] = [await open(server.url, 'a', { reconnect }), await open(server.url, 'b', { reconnect })];
    await until(() => [a, b].every(({ members }) => members?.view().length === 2));
    const changes = [changesAt(a), changesAt(b)];
    const states: string[] = [];
    for (const node of [a, b]) node.onState(({ state }) => states.push(state));
    server.pause();
    await until(() => states.length === 2);
    const pausedAtMs = performance.now();
    await until(() => performance.now() - pausedAtMs > LOOPBACK_TIMES.downAfterMs);
    server.resume();
    await until(() => states.filter((state) => state === 'up').length === 2);
    const backAtMs = performance.now();
    await until(() => performance.now() - backAtMs > LOOPBACK_TIMES.downAfterMs);
    expect(changes).toEqual([[], []]);
  });

  it('ends what is connected and leaves nothing when it is closed, any number of times', async () => {
    const server = await serve();
    const node = await open(server.url, 'a', { reconnect: { minMs: 10, maxMs: 100 } });
    const states: string[] = [];
    node.onState(({ state }) => states.push(state));
    await server.close();
    await server.close();
    await until(() => states.at(-1) === 'down');
    await node.close();
    await until(() => !process.getActiveResourcesInfo().some((type) => type.startsWith('TCP')));
    expect((await serve({ url: server.url })).url).toBe(server.url);
  });

  it('cannot listen where another one does', async () => {
    const server = await serve();
    const { url } = server;
    const refusal = await serveLoopback({ url }).catch((error: unknown) => error);
    expect(refusal).toMatchObject({ code: 'ERR_BROKER_UNAVAILABLE' });
    // Nor is the secret in what is shown of a server.
    for (const shown of [refusal, server])
      expect(inspect(shown, { depth: 9 })).not.toContain(new URL(url).password);
  });

  it('refuses options that it does not know, and a hub of something else', async () => {
    const options: readonly object[] = [
      { port: 1 },
      { clientsMax: 0 },
      { clientsMax: 513 },
      { hub: {} },
      { url: 'x' },
    ];
    for (const each of options)
      await expect(serveLoopback(each)).rejects.toMatchObject({ code: 'ERR_OPTION_INVALID' });
  });

  it('shows what it holds by the hub that it was given', async () => {
    const hub = memoryHub();
    const { url } = await serve({ hub });
    const node = await open(url, 'a');
    const got: Delivery[] = [];
    const reading = await node.consume(
      { kind: 'inbox' },
      { windows: windowOf(1), receive: (deliveries) => got.push(...deliveries) },
    );
    await node.publish([frame({ kind: 'node', node: 'a' }, 7)]);
    await until(() => got.length === 1);
    const [dead] = got;
    if (dead !== undefined) await reading.deadLetter(dead, { reason: 'rejected', error: 'no' });
    expect(hub.deadFrames()).toMatchObject([{ node: 'a', reason: 'rejected', error: 'no' }]);
    expect(hub.names()).toEqual(['node a']);
    await expect(memory({ hub }).open({ name: 'b', incarnation: 'b' }, systemHost)).rejects.toMatchObject({
      code: 'ERR_OPTION_INVALID',
    });
  });

  it('passes on the faults of its hub that are about nodes, until they are healed', async () => {
    const hub = memoryHub();
    const { url } = await serve({ hub });
    const reconnect = { minMs: 10, maxMs: 50 };
    const [a, b] = [await open(url, 'a', { reconnect }), await open(url, 'b', { reconnect })];
    const states: string[] = [];
    a.onState(({ state }) => states.push(state));
    hub.cut('a');
    await until(() => states.at(-1) === 'down');
    hub.heal();
    await until(() => states.at(-1) === 'up');
    const got: number[] = [];
    await b.consume(
      { kind: 'inbox' },
      { windows: windowOf(8), receive: (deliveries) => got.push(...deliveries.map(numberOf)) },
    );
    hub.partition(['a'], ['b']);
    expect(await a.publish([frame({ kind: 'node', node: 'b' }, 1)])).toEqual(['ok']);
    expect(await b.publish([frame({ kind: 'node', node: 'b' }, 2)])).toEqual(['ok']);
    await until(() => got.length === 1);
    expect(got).toEqual([2]);
    hub.heal();
    await until(() => got.length === 2);
  });

  it('takes as many nodes as it says, and one more when one is gone', async () => {
    const { url } = await serve({ clientsMax: 2 });
    await open(url, 'a');
    const second = await open(url, 'b');
    const refusal = await open(url, 'c', { openAttemptsMax: 1 }).catch((error: unknown) => error);
    expect(refusal).toMatchObject({
      code: 'ERR_BROKER_UNAVAILABLE',
      details: { problem: expect.stringContaining('2 nodes') },
    });
    await second.close();
    await open(url, 'c');
  });

  it('takes many nodes that come at once, each at its first attempt', async () => {
    const { url } = await serve();
    const names = range(100).map((number) => `n${number}`);
    const nodes = await Promise.all(names.map((name) => open(url, name, { openAttemptsMax: 1 })));
    await until(() => nodes.every(({ members }) => members?.view().length === names.length));
  });

  it('takes a node again whose earlier connection it does not know to be gone, however many there are', async () => {
    const { url } = await serve({ clientsMax: 1 });
    // The same life of the same node; the first does not come back soon to take its place again.
    const first = join(url, { reconnect: { minMs: 60_000, maxMs: 60_000 } });
    await first.open({ name: 'a', incarnation: 'a' }, { ...systemHost, random: () => 1 });
    const states: string[] = [];
    first.onState(({ state }) => states.push(state));
    const again = await open(url, 'a', { openAttemptsMax: 1 });
    await until(() => states.at(-1) === 'down');
    expect(await again.publish([frame({ kind: 'node', node: 'a' }, 1)])).toEqual(['ok']);
  });

  it('holds back what a node does not take: its memory grows by what its socket holds, and urgent frames overtake', async () => {
    const { url } = await serve();
    const [from, to] = [await open(url, 'from'), await open(url, 'to', { maxLength: 64 })];
    const order: number[] = [];
    const payload = (number: number, lane: 0 | 5) =>
      frame({ kind: 'node', node: 'to' }, number, { lane, sizeBytes: MIB });
    for (const number of range(64)) expect(await from.publish([payload(number, 5)])).toEqual(['ok']);
    let isFirst = true;
    await to.consume(
      { kind: 'inbox' },
      {
        windows: windowOf(100),
        receive: (deliveries) => {
          order.push(...deliveries.map(numberOf));
          // With the first of them there, most of them wait at the server: they were given out before this one was published.
          if (isFirst) void from.publish([frame({ kind: 'node', node: 'to' }, 1_000, { lane: 0 })]);
          isFirst = false;
        },
      },
    );
    await until(() => order.length === 65);
    expect(order.indexOf(1_000)).toBeLessThan(32);
  });
});

/** A program that speaks the wire by hand. */
class Stranger {
  readonly heard: ToNode[] = [];
  isClosed = false;
  private readonly socket: Socket;

  constructor(url: string) {
    this.socket = connect({ host: '127.0.0.1', port: Number(new URL(url).port) });
    const decoder = new Decoder(toNode);
    this.socket.on('data', (chunk) => decoder.take(chunk, (message) => this.heard.push(message) > 0));
    this.socket.on('error', () => undefined);
    this.socket.on('close', () => {
      this.isClosed = true;
    });
    closings.push(async () => this.socket.destroy());
  }

  say(bytes: Uint8Array): void {
    this.socket.write(bytes);
  }
}

/** A node that has the form of one. */
function joinOf(proof: Uint8Array): ToServer {
  return {
    type: 'join',
    proof,
    nonce: new Uint8Array(32),
    prefix: 'troupe',
    name: 'stranger',
    incarnation: 'stranger',
    life: 1,
    maxLength: 1,
    expiresMs: 1_000,
    heartbeatMs: 1_000,
    downAfterMs: 10_000,
    processId: process.pid,
    known: [],
  };
}

describe('a stranger on the port of a loopback server', () => {
  it.each([
    ['bytes that are no message', new Uint8Array(100).fill(0xff)],
    ['another protocol', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
    ['a call before it has joined', encode(toServer, { type: 'ask', number: 1, call: { type: 'ping' } })],
    ['a proof that is none', encode(toServer, joinOf(new Uint8Array(32)))],
    ['a proof that is too short', encode(toServer, joinOf(new Uint8Array()))],
  ])('is sent away for %s, and the others hear nothing of it', async (_, said) => {
    const { url } = await serve();
    const node = await open(url, 'a');
    const states: string[] = [];
    node.onState(({ state }) => states.push(state));
    const stranger = new Stranger(url);
    await until(() => stranger.heard.length === 1);
    stranger.say(said);
    await until(() => stranger.isClosed);
    expect(
      stranger.heard.map(({ type }) => type).filter((type) => type !== 'greeting' && type !== 'refused'),
    ).toEqual([]);
    expect(inspect(stranger.heard)).not.toContain(new URL(url).password);
    expect(await node.publish([frame({ kind: 'node', node: 'a' }, 1)])).toEqual(['ok']);
    expect([states, node.members?.view().map(({ name }) => name)]).toEqual([[], ['a']]);
  });

  it('finds no room to keep others out: the one that has waited longest goes', async () => {
    const { url } = await serve();
    const strangers = range(LOOPBACK_STRANGERS_MAX + 1).map(() => new Stranger(url));
    await until(() => strangers.some(({ isClosed }) => isClosed));
    await open(url, 'a');
    expect(strangers.filter(({ isClosed }) => !isClosed).length).toBeGreaterThan(LOOPBACK_STRANGERS_MAX - 3);
  });

  it('that took the port of a server learns nothing, and is found out', async () => {
    const earlier = await serve();
    await earlier.close();
    const heard: Buffer[] = [];
    const impostor: Server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.on('data', (chunk: Buffer) => {
        heard.push(chunk);
        // It says yes to everything.
        socket.write(encode(toNode, { type: 'proof', proof: new Uint8Array(32) }));
        socket.write(encode(toNode, { type: 'joined' }));
      });
      socket.write(encode(toNode, { type: 'greeting', server: 'x', ageMs: 0, nonce: new Uint8Array(32) }));
    });
    await new Promise<void>((resolve) => {
      impostor.listen(Number(new URL(earlier.url).port), '127.0.0.1', resolve);
    });
    closings.push(
      () =>
        new Promise((resolve) => {
          impostor.close(resolve);
        }),
    );
    const secret = new URL(earlier.url).password;
    const refusal = await open(earlier.url, 'a').catch((error: unknown) => error);
    expect(refusal).toMatchObject({
      code: 'ERR_BROKER_DENIED',
      details: { problem: expect.stringContaining('does not know the secret') },
    });
    expect(Buffer.concat(heard).includes(secret)).toBe(false);
    expect(inspect(refusal)).not.toContain(secret);
  });
});
