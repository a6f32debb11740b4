/**
 * The server: a hub behind a port of 127.0.0.1. It lets in who knows the secret, notices who is gone, and keeps everything in the memory
 * of its process: when that ends, so does all it held.
 *
 * A node whose connection is gone may come back. Whether it can is known here, on one machine: its process runs or does not.
 */

import { createServer, type Server, type Socket } from 'node:net';
import { isTroupeError } from '../../src/protocol/errors.ts';
import {
  LOOPBACK_CLIENTS_MAX,
  LOOPBACK_STRANGERS_MAX,
  LOOPBACK_UNSENT_BYTES_MAX,
} from '../../src/protocol/limits.ts';
import { integerOption, invalidOption, objectOption } from '../../src/protocol/options.ts';
import { Hub, memoryHub } from '../memory/hub.ts';
import type { MemoryHub } from '../memory/memory-hub.ts';
import { type Address, addressOf, newSecret, unavailable, urlOf } from './address.ts';
import { Guest } from './guest.ts';
import { serverHost, unguessable } from './host.ts';
import { type Join, PROOF_BYTES, type ToNode, type ToServer, toNode, toServer } from './messages.ts';
import { Wire } from './wire.ts';

/** Options of a server. */
export interface LoopbackServerOptions {
  /** The URL of an earlier server, to serve again where its nodes look for it; a free port and a new secret unless said. */
  readonly url?: string | undefined;
  /**
   * What it serves, made by `memoryHub`: to look at dead letters, and to make faults. A hub of its own unless said. One server serves it, and
   * no broker of `troupe/memory` shares it.
   */
  readonly hub?: MemoryHub | undefined;
  /** Nodes at once, 1 to 512; 512 unless said. One more is refused with `ERR_BROKER_UNAVAILABLE`. */
  readonly clientsMax?: number | undefined;
}

/** A server that runs. */
export interface LoopbackServer {
  /** What a node joins by, for `loopback(url)`. Whoever has it may join: it holds the secret. */
  readonly url: string;
  /** Ends all connections, and listens no more. What it held is gone. Idempotent; never rejects. */
  close(): Promise<void>;
}

/** Milliseconds between two looks at who is silent and whose process is gone. */
const LOOK_MS = 50;
/** Milliseconds between two looks after which this process stood still, and nobody else can be blamed for silence. */
const STOOD_STILL_MS = 1_000;
/** Milliseconds within which a connection has to join. */
const JOIN_MS = 5_000;

/**
 * Serves a broker to the processes of this machine, from this one. Rejects with `ERR_OPTION_INVALID`, and with `ERR_BROKER_UNAVAILABLE` when it cannot
 * listen there.
 */
export async function serveLoopback(options?: LoopbackServerOptions): Promise<LoopbackServer> {
  const given = objectOption('loopback server options', options, ['url', 'hub', 'clientsMax']);
  const hub = given['hub'] ?? memoryHub();
  if (!(hub instanceof Hub)) throw invalidOption('hub', 'a hub made by memoryHub', hub);
  const clientsMax = integerOption('clientsMax', given['clientsMax'], 1, LOOPBACK_CLIENTS_MAX);
  if (clientsMax > LOOPBACK_CLIENTS_MAX)
    throw invalidOption('clientsMax', `at most ${LOOPBACK_CLIENTS_MAX}`, clientsMax);
  const known = given['url'] === undefined ? undefined : addressOf(given['url']);
  const listener = createServer();
  const secret = known === undefined ? newSecret() : new URL(String(given['url'])).password;
  const port = await listen(listener, known);
  return new Serving(listener, hub, clientsMax, urlOf(secret, port));
}

function listen(listener: Server, known: Address | undefined): Promise<number> {
  return new Promise((resolve, reject) => {
    listener.once('error', (error: NodeJS.ErrnoException) =>
      reject(unavailable(known?.shown ?? 'loopback:', `it cannot listen (${error.code})`, error)),
    );
    listener.listen(known?.port ?? 0, '127.0.0.1', () => {
      const address = listener.address();
      // A server that listens on a port has one.
      resolve(typeof address === 'object' && address !== null ? address.port : 0);
    });
  });
}

/** Characters of a refusal: what is longer is no text for people. */
const PROBLEM_CHARACTERS_MAX = 300;

/** A connection, from its first byte on. */
interface Visit {
  readonly wire: Wire<ToServer, ToNode>;
  readonly nonce: Uint8Array;
  guest: Guest | undefined;
  /** Where it can be asked for: of the process of the node. */
  processId: number | undefined;
  heardAtMs: number;
}

class Serving implements LoopbackServer {
  readonly #url: string;
  readonly #address: Address;
  private readonly listener: Server;
  private readonly hub: Hub;
  private readonly clientsMax: number;
  private readonly name = Buffer.from(unguessable(12)).toString('hex');
  private readonly begunAtMs = serverHost.clock.now();
  private readonly visits = new Set<Visit>();
  /** Nodes without a connection, that may come back while their processes run. */
  private readonly missed = new Map<Guest, number>();
  private closing: Promise<void> | undefined;
  private isLooking = false;
  private lookedAtMs = 0;

  constructor(listener: Server, hub: Hub, clientsMax: number, url: string) {
    this.#url = url;
    this.#address = addressOf(url);
    this.listener = listener;
    this.hub = hub;
    this.clientsMax = clientsMax;
    // Epochs that an earlier server gave out are lower, and this one knows none of them.
    hub.epochBase = serverHost.clock.wallNow();
    listener.on('connection', (socket) => this.visited(socket));
    // One connection that cannot be taken is no reason to take no others.
    listener.on('error', () => undefined);
  }

  get url(): string {
    return this.#url;
  }

  close(): Promise<void> {
    this.closing ??= this.end();
    return this.closing;
  }

  private async end(): Promise<void> {
    const closed = new Promise((resolve) => this.listener.close(resolve));
    for (const { wire } of this.visits) wire.end('the server was closed');
    this.missed.clear();
    await closed;
  }

  private visited(socket: Socket): void {
    const { clock, soon } = serverHost;
    const visit: Visit = {
      wire: new Wire(socket, { in: toServer, out: toNode }, soon, {
        received: (message) => this.received(visit, message),
        drained: () => {
          visit.guest?.pump();
          visit.wire.resume();
        },
        ended: (problem) => this.left(visit, problem),
      }),
      nonce: unguessable(PROOF_BYTES),
      guest: undefined,
      processId: undefined,
      heardAtMs: clock.now(),
    };
    this.visits.add(visit);
    const strangers = [...this.visits].filter(({ guest }) => guest === undefined);
    if (strangers.length > LOOPBACK_STRANGERS_MAX) strangers[0]?.wire.end('too many others want to join');
    visit.wire.send({
      type: 'greeting',
      server: this.name,
      ageMs: clock.now() - this.begunAtMs,
      nonce: visit.nonce,
    });
    this.look();
  }

  private received(visit: Visit, message: ToServer): void {
    const { wire, guest } = visit;
    visit.heardAtMs = serverHost.clock.now();
    if (message.type === 'join') {
      if (guest !== undefined) throw invalidOption('message', 'nothing that was said before', 'join');
      this.join(visit, message);
      return;
    }
    if (guest === undefined) throw invalidOption('message', 'a proof before anything else', message.type);
    guest.received(message);
    // Whoever does not hear the answers asks no more.
    if (wire.unsentBytes > LOOPBACK_UNSENT_BYTES_MAX) wire.pause();
  }

  private join(visit: Visit, join: Join): void {
    const { wire } = visit;
    const nonces = { server: visit.nonce, node: join.nonce };
    if (!this.#address.isProven(join.proof, 'node', nonces)) {
      refuse(wire, 'denied', 'the secret of its URL is not that of this server');
      return;
    }
    wire.send({ type: 'proof', proof: this.#address.prove('server', nonces) });
    // A node that comes again takes the place of what is left of its earlier connection.
    const others = [...this.visits].filter(({ guest }) => guest !== undefined && !guest.isOf(join));
    if (others.length >= this.clientsMax) {
      refuse(wire, 'unavailable', `it has ${this.clientsMax} nodes already, and takes no more`);
      return;
    }
    try {
      this.admit(visit, join);
    } catch (error) {
      refuse(wire, 'unavailable', error instanceof Error ? error.message : String(error));
    }
  }

  private admit(visit: Visit, join: Join): void {
    const { wire } = visit;
    const guest = new Guest(this.hub, join, {
      host: serverHost,
      unsentBytes: () => wire.unsentBytes,
      send: (message) => wire.send(message),
      ended: (problem) => wire.end(problem),
    });
    visit.guest = guest;
    // A process in another space of numbers cannot be asked for.
    visit.processId = isRunning(join.processId) ? join.processId : undefined;
    guest.enter().catch((error: unknown) => {
      if (isTroupeError(error, 'ERR_NAME_TAKEN')) refuse(wire, 'name-taken', error.details.holder);
      else wire.end('it could not join');
    });
  }

  private left(visit: Visit, problem: string): void {
    const { guest, processId } = visit;
    this.visits.delete(visit);
    if (guest === undefined) return;
    guest.exit(false, problem);
    if (processId !== undefined && this.closing === undefined) this.missed.set(guest, processId);
  }

  /** Looks at everybody, again and again while there is anybody. */
  private look(): void {
    if (this.isLooking || this.visits.size + this.missed.size === 0) return;
    const { clock } = serverHost;
    this.isLooking = true;
    this.lookedAtMs = clock.now();
    clock.setTimer(LOOK_MS, () => {
      this.isLooking = false;
      const now = clock.now();
      const stoodStill = now - this.lookedAtMs > STOOD_STILL_MS;
      for (const visit of this.visits) {
        if (stoodStill) visit.heardAtMs = now;
        this.lookAt(visit, now - visit.heardAtMs);
      }
      for (const [guest, processId] of this.missed) {
        const isDead = !isRunning(processId);
        if (isDead) guest.died();
        if (isDead || guest.isOver()) this.missed.delete(guest);
      }
      this.look();
    });
  }

  private lookAt({ guest, wire }: Visit, silentMs: number): void {
    const limitMs = guest?.hello.downAfterMs ?? JOIN_MS;
    if (silentMs < limitMs) return;
    guest?.exit(true, `there was no sign of life for ${limitMs} ms`);
    wire.end('it was silent for too long');
  }
}

function refuse(
  wire: Wire<ToServer, ToNode>,
  why: Extract<ToNode, { type: 'refused' }>['why'],
  problem: string,
): void {
  wire.send({ type: 'refused', why, problem: problem.slice(0, PROBLEM_CHARACTERS_MAX) });
  wire.end(problem, 'when-sent');
}

/** Whether there is a process of this number. */
function isRunning(processId: number): boolean {
  try {
    process.kill(processId, 0);
    return true;
  } catch (error) {
    // It is there, and somebody else's.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
