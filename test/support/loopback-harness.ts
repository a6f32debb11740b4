/**
 * The loopback broker under the contract of brokers: a server in a process of its own, which can be killed, stopped and started again at the
 * same URL, and a proxy before each node.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { loopback } from '../../adapters/loopback/index.ts';
import { systemHost } from '../../runtime/host/system-clock.ts';
import type { BrokerCapabilities } from '../../src/protocol/broker.ts';
import type { Host } from '../../src/protocol/clock.ts';
import type { BrokerHarness } from './broker-harness.ts';
import { type Proxy, startProxy } from './proxy.ts';
import { killBehind, PROXY_LINK_FAULTS, proxyLink } from './proxy-link.ts';

/** What the process of a server is told to do. */
export interface LoopbackOrder {
  readonly number: number;
  readonly order: 'dead-frames' | 'clear' | 'names' | 'refuse-publishes' | 'refuse-dead-letters' | 'heal';
  readonly prefix?: string | undefined;
}

/** What it answers. */
export interface LoopbackAnswer {
  readonly number: number;
  readonly names?: readonly string[];
  readonly frames?: readonly {
    readonly bytes: readonly number[];
    readonly reason: string;
    readonly error: string | undefined;
  }[];
}

/** Short, so that silence needs no minutes; the ratios are those of the defaults. */
export const LOOPBACK_TIMES = {
  heartbeatMs: 500,
  downAfterMs: 1_500,
  publishTimeoutMs: 2_000,
  connectTimeoutMs: 2_000,
} as const;

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** A server in a process of its own. */
export class LoopbackProcess {
  private child: ChildProcess | undefined;
  private known: string | undefined;
  private orders = 0;

  get url(): string {
    if (this.known === undefined) throw new Error('The server was not started.');
    return this.known;
  }

  async start(): Promise<void> {
    const program = ['--import', 'tsx', 'test/support/loopback-program.ts'];
    const parameters = this.known === undefined ? [] : [this.known];
    const child = spawn(process.execPath, [...program, ...parameters], {
      cwd: ROOT,
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      serialization: 'advanced',
    });
    this.child = child;
    const [said] = (await Promise.race([
      once(child, 'message'),
      once(child, 'exit').then(() => {
        throw new Error('The server has ended at once.');
      }),
    ])) as [{ readonly url: string }];
    this.known = said.url;
  }

  async kill(): Promise<void> {
    await this.end('SIGKILL');
  }

  pause(): void {
    this.child?.kill('SIGSTOP');
  }

  resume(): void {
    this.child?.kill('SIGCONT');
  }

  async order(order: LoopbackOrder['order'], prefix?: string): Promise<LoopbackAnswer> {
    const { child } = this;
    if (child === undefined) throw new Error('The server does not run.');
    const number = ++this.orders;
    const answered = new Promise<LoopbackAnswer>((resolve) => {
      const hear = (answer: LoopbackAnswer): void => {
        if (answer.number !== number) return;
        child.off('message', hear);
        resolve(answer);
      };
      child.on('message', hear);
    });
    child.send({ number, order, prefix } satisfies LoopbackOrder);
    return answered;
  }

  private async end(signal: NodeJS.Signals): Promise<void> {
    const { child } = this;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill(signal);
    await gone;
  }
}

/** A harness on a server of its own. */
export function loopbackHarness(capabilities: BrokerCapabilities): BrokerHarness {
  const server = new LoopbackProcess();
  const proxies: Proxy[] = [];
  /** Before the server, for brokers that are refused: it counts their attempts. */
  let door: Proxy | undefined;
  let wallShiftMs = 0;
  const host: Host = {
    ...systemHost,
    clock: {
      now: () => systemHost.clock.now(),
      wallNow: () => systemHost.clock.wallNow() + wallShiftMs,
      setTimer: (delayMs, fire) => systemHost.clock.setTimer(delayMs, fire),
      clearTimer: (timer) => systemHost.clock.clearTimer(timer),
    },
  };
  const port = (): number => Number(new URL(server.url).port);
  /** A secret of the right form that is another one. */
  const wrong = 'x'.repeat(43);
  return {
    name: 'loopback',
    capabilities,
    host,
    start: async () => {
      await server.start();
      door = await startProxy(port());
    },
    stop: async () => {
      await door?.stop();
      for (const proxy of proxies.splice(0)) await proxy.stop();
      await server.kill();
    },
    connect: async ({ options, hasLink }) => {
      const proxy = await startProxy(port());
      proxies.push(proxy);
      return {
        broker: loopback(proxy.through(server.url), { ...LOOPBACK_TIMES, ...options }),
        link: hasLink ? proxyLink(proxy) : undefined,
        kill: async () => killBehind(proxy),
      };
    },
    advance: async (ms) => {
      await delay(ms);
    },
    deadFrames: async (prefix) => {
      const { frames = [] } = await server.order('dead-frames', prefix);
      return frames.map(({ bytes, ...rest }) => ({ ...rest, bytes: Uint8Array.from(bytes) }));
    },
    leftovers: async (prefix) => (await server.order('names', prefix)).names ?? [],
    clean: async (prefix) => {
      await server.order('clear', prefix);
      for (const proxy of proxies.splice(0)) await proxy.stop();
    },
    faults: {
      server: {
        kill: () => server.kill(),
        restart: () => server.start(),
        pause: async () => server.pause(),
        resume: async () => server.resume(),
      },
      link: PROXY_LINK_FAULTS,
      refuseAll: async () => {
        await server.order('refuse-publishes');
        return async () => {
          await server.order('heal');
        };
      },
      refuseDeadLetters: async () => {
        await server.order('refuse-dead-letters');
        return async () => {
          await server.order('heal');
        };
      },
      denied: [
        {
          problem: 'a wrong secret',
          secret: wrong,
          connect: (prefix) =>
            loopback(`loopback://:${wrong}@127.0.0.1:${door?.port}`, { ...LOOPBACK_TIMES, prefix }),
        },
      ],
      connectAttempts: () => door?.opened ?? 0,
      jumpWallClock: (ms) => {
        wallShiftMs += ms;
      },
    },
  };
}
