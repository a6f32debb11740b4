/**
 * A TCP proxy between a client and a server of the tests, which does to their connections what networks do. A fault holds for the
 * connections there are and those that come, until `heal`; the cuts are done once, to the connections there are.
 *
 * A connection that has lost bytes is reset by `heal`: it could only go on with a stream that no network would have produced.
 */

import { createServer, connect as openSocket, type Server, type Socket } from 'node:net';

/** Where bytes go. */
export type Direction = 'to-client' | 'to-server';

/** Bytes that one direction of a connection holds back before its source has to wait. */
const HELD_BYTES_MAX = 1_048_576;

/** What the proxy does to bytes. */
interface Faults {
  readonly dropped: ReadonlySet<Direction>;
  readonly latencyMs: number;
  readonly isByteByByte: boolean;
}

const NONE: Faults = { dropped: new Set(), latencyMs: 0, isByteByByte: false };

/** Starts a proxy on a free loopback port, to a loopback port. */
export async function startProxy(targetPort: number): Promise<Proxy> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return new Proxy(server, targetPort);
}

/** The proxy. */
export class Proxy {
  readonly port: number;
  private readonly server: Server;
  private readonly targetPort: number;
  private readonly links = new Set<Link>();
  private faults = NONE;
  private isRefusing = false;
  private budget: { readonly direction: Direction; bytes: number } | undefined;
  private openedCount = 0;

  constructor(server: Server, targetPort: number) {
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('The proxy has no port.');
    this.port = address.port;
    this.server = server;
    this.targetPort = targetPort;
    server.on('connection', (client) => this.link(client));
  }

  /** Connections that are open now. */
  get connections(): number {
    return [...this.links].filter((link) => link.isOpen).length;
  }

  /** Connections that were ever opened. */
  get opened(): number {
    return this.openedCount;
  }

  /** A URL of the server, as one through this proxy. */
  through(url: string): string {
    const own = new URL(url);
    own.port = String(this.port);
    return own.href;
  }

  /** Resets all connections on both sides. */
  cutRst(): void {
    for (const link of this.links) link.reset();
  }

  /** Ends all connections on both sides in order, after what is on its way. */
  cutFin(): void {
    for (const link of this.links) if (link.isOpen) link.end();
  }

  /** Drops all bytes both ways and closes nothing: neither side hears of it. New connections open, and hear nothing either. */
  halfOpen(): void {
    this.set({ dropped: new Set<Direction>(['to-client', 'to-server']) });
  }

  /** Drops all bytes in one direction. */
  oneWay(dropped: Direction): void {
    this.set({ dropped: new Set([dropped]) });
  }

  /** Delays each byte by this long, in order. */
  latency(latencyMs: number): void {
    this.set({ latencyMs });
  }

  /** Passes one byte at a time on. */
  byteByByte(): void {
    this.set({ isByteByByte: true });
  }

  /** Lets this many more bytes pass in one direction, over all connections, then resets all connections. Once. */
  cutAfterBytes(direction: Direction, bytes: number): void {
    this.budget = { direction, bytes };
  }

  /** Resets new connections at once. */
  refuse(): void {
    this.isRefusing = true;
  }

  /** Takes all faults back. */
  heal(): void {
    this.faults = NONE;
    this.isRefusing = false;
    this.budget = undefined;
    for (const link of this.links) link.heal();
  }

  /** Resets all connections and listens no more. */
  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.server.close(resolve));
    for (const link of this.links) link.reset();
    await closed;
  }

  private set(faults: Partial<Faults>): void {
    this.faults = { ...this.faults, ...faults };
  }

  private link(client: Socket): void {
    this.openedCount++;
    if (this.isRefusing) {
      client.resetAndDestroy();
      return;
    }
    const target = { host: '127.0.0.1', port: this.targetPort, allowHalfOpen: true, noDelay: true };
    const link = new Link(client, openSocket(target), {
      faults: () => this.faults,
      spend: (direction, bytes) => this.spend(direction, bytes),
      cut: () => this.cutRst(),
      closed: () => this.links.delete(link),
    });
    this.links.add(link);
  }

  /** How many of these bytes may pass before the cut; undefined for all. */
  private spend(direction: Direction, bytes: number): number | undefined {
    if (this.budget?.direction !== direction) return undefined;
    if (this.budget.bytes > bytes) {
      this.budget.bytes -= bytes;
      return undefined;
    }
    const left = this.budget.bytes;
    this.budget = undefined;
    return left;
  }
}

interface LinkHost {
  readonly faults: () => Faults;
  readonly spend: (direction: Direction, bytes: number) => number | undefined;
  readonly cut: () => void;
  readonly closed: () => void;
}

/** A connection of a client, and the one to the server that belongs to it. */
class Link {
  private readonly sockets: readonly [client: Socket, server: Socket];
  private hasLost = false;
  private wasCut = false;

  constructor(client: Socket, server: Socket, host: LinkHost) {
    this.sockets = [client, server];
    for (const socket of this.sockets) {
      socket.once('close', () => {
        if (client.destroyed && server.destroyed) host.closed();
      });
    }
    this.pipe(client, server, 'to-server', host);
    this.pipe(server, client, 'to-client', host);
    server.once('connect', () => client.resume());
  }

  /** Whether a client may think that it is connected. */
  get isOpen(): boolean {
    return !this.wasCut && !this.sockets[0].destroyed;
  }

  reset(): void {
    this.wasCut = true;
    for (const socket of this.sockets) if (!socket.destroyed) socket.resetAndDestroy();
  }

  end(): void {
    this.wasCut = true;
    for (const socket of this.sockets) socket.end();
  }

  heal(): void {
    if (this.hasLost) this.reset();
  }

  private pipe(source: Socket, target: Socket, direction: Direction, host: LinkHost): void {
    const lost = (): void => {
      this.hasLost = true;
    };
    // What one side does to its connection is news as well, and gets lost like bytes.
    const ended = (isReset: boolean): void => {
      if (host.faults().dropped.has(direction)) lost();
      else if (isReset) this.reset();
      else target.end();
    };
    new Pipe(source, target, direction, { ...host, lost, ended });
  }
}

interface PipeHost extends LinkHost {
  readonly lost: () => void;
  readonly ended: (isReset: boolean) => void;
}

/** One direction of a connection: a queue of chunks with the time at which each may pass. */
class Pipe {
  private readonly source: Socket;
  private readonly target: Socket;
  private readonly direction: Direction;
  private readonly host: PipeHost;
  private readonly queue: { readonly chunk: Buffer; readonly dueMs: number }[] = [];
  private heldBytes = 0;
  private isPassing = false;
  private hasEnded = false;

  constructor(source: Socket, target: Socket, direction: Direction, host: PipeHost) {
    this.source = source;
    this.target = target;
    this.direction = direction;
    this.host = host;
    source.on('data', (chunk: Buffer) => this.take(chunk));
    source.on('end', () => {
      this.hasEnded = true;
      if (!this.isPassing) host.ended(false);
    });
    source.on('error', () => host.ended(true));
  }

  private take(chunk: Buffer): void {
    this.queue.push({ chunk, dueMs: performance.now() + this.host.faults().latencyMs });
    this.heldBytes += chunk.length;
    if (this.heldBytes > HELD_BYTES_MAX) this.source.pause();
    if (!this.isPassing) void this.passAll(); // it catches what goes wrong
  }

  private async passAll(): Promise<void> {
    this.isPassing = true;
    for (let next = this.queue.shift(); next !== undefined; next = this.queue.shift()) {
      const waitMs = next.dueMs - performance.now();
      if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
      await this.pass(next.chunk);
      this.heldBytes -= next.chunk.length;
      if (this.heldBytes <= HELD_BYTES_MAX && this.source.isPaused()) this.source.resume();
    }
    this.isPassing = false;
    if (this.hasEnded) this.host.ended(false);
  }

  private async pass(chunk: Buffer): Promise<void> {
    const { dropped, isByteByByte } = this.host.faults();
    if (dropped.has(this.direction)) {
      this.host.lost();
      return;
    }
    const allowed = this.host.spend(this.direction, chunk.length);
    const passed = allowed === undefined ? chunk : chunk.subarray(0, allowed);
    const step = isByteByByte ? 1 : Math.max(1, passed.length);
    for (let at = 0; at < passed.length; at += step) await this.write(passed.subarray(at, at + step));
    if (allowed !== undefined) this.host.cut();
  }

  /** Resolves when the kernel has the bytes, or never will. */
  private write(bytes: Buffer): Promise<void> {
    return new Promise((resolve) => {
      if (this.target.destroyed || this.target.writableEnded) resolve();
      else this.target.write(bytes, () => resolve());
    });
  }
}
