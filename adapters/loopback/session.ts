/**
 * One life of a node's connection: from the greeting to its end. Each call has a number and one answer; all that is on the way when it
 * ends is without an answer. Signs of life are calls whose answers count from when they were asked: the server has heard of this
 * node since then at the latest, so this end gives up before the other one can.
 */

import { connect } from 'node:net';
import type { NodeIdentity } from '../../src/protocol/broker.ts';
import type { BrokerSettings } from '../../src/protocol/broker-options.ts';
import type { Host, TimerHandle } from '../../src/protocol/clock.ts';
import { settledWithin } from '../../src/protocol/deadline.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import { type Address, denied, unavailable } from './address.ts';
import { unguessable } from './host.ts';
import {
  type Call,
  type Join,
  PROOF_BYTES,
  type ToNode,
  type ToServer,
  toNode,
  toServer,
} from './messages.ts';
import { Wire } from './wire.ts';

/** The share of `downAfterMs` without an answer after which this end gives up: before anybody else can own what it owns. */
const SILENT_SHARE = 0.8;

/** What the server says by itself, once it has proven who it is. */
export type News = Extract<ToNode, { type: 'census' | 'deliveries' | 'granted' | 'refuses' }>;

/** Which server it is. */
export interface ServerLife {
  readonly server: string;
  readonly ageMs: number;
}

/** Who connects, and what it hears. */
export interface SessionPorts {
  readonly address: Address;
  readonly settings: BrokerSettings;
  readonly host: Host;
  readonly node: NodeIdentity;
  /** What it knows about itself and others, when it meets a server. */
  readonly introduce: (life: ServerLife) => Pick<Join, 'life' | 'known'>;
  readonly hears: (news: News) => void;
}

/** A connection. */
export class Session {
  isOpen = true;
  private readonly ports: SessionPorts;
  private readonly wire: Wire<ToNode, ToServer>;
  private readonly nonce = unguessable(PROOF_BYTES);
  private serverNonce: Uint8Array | undefined;
  private isProven = false;
  private settleOpening: { readonly joined: () => void; readonly failed: (error: Error) => void };
  private readonly opening: Promise<void>;
  private readonly answers = new Map<number, (values: readonly number[] | undefined) => void>();
  private calls = 0;
  private readonly onEnd = new Set<(problem: string) => void>();
  private provenAtMs: number;
  private pulse: TimerHandle | undefined;

  private constructor(ports: SessionPorts) {
    const { address, host } = ports;
    this.ports = ports;
    this.provenAtMs = host.clock.now();
    let settle: typeof this.settleOpening | undefined;
    this.opening = new Promise((joined, failed) => {
      settle = { joined, failed };
    });
    // The executor has run.
    this.settleOpening = settle as unknown as typeof this.settleOpening;
    const socket = connect({ host: address.host, port: address.port });
    this.wire = new Wire(socket, { in: toNode, out: toServer }, host.soon, {
      received: (message) => this.received(message),
      ended: (problem) => this.ended(problem),
    });
  }

  /** Connects and joins. Rejects with `ERR_BROKER_UNAVAILABLE`, `ERR_BROKER_DENIED` and `ERR_NAME_TAKEN`. */
  static async open(ports: SessionPorts, signal: AbortSignal): Promise<Session> {
    const { settings, host, address } = ports;
    const session = new Session(ports);
    const abort = (): void => session.end('it is closed');
    signal.addEventListener('abort', abort);
    try {
      await settledWithin(host.clock, settings.connectTimeoutMs, session.opening, () => {
        throw unavailable(address.shown, `there was no answer within ${settings.connectTimeoutMs} ms`);
      });
    } catch (error) {
      session.end('it was given up');
      throw error;
    } finally {
      signal.removeEventListener('abort', abort);
    }
    session.beat();
    return session;
  }

  /** Calls `told` when this ends, unless the answer is called before. */
  whenEnded(told: (problem: string) => void): () => void {
    this.onEnd.add(told);
    return () => {
      this.onEnd.delete(told);
    };
  }

  /** The answer; none when the connection ends first, or is not there within `ms`. */
  ask(call: Call, ms: number): Promise<readonly number[] | undefined> {
    if (!this.isOpen) return Promise.resolve(undefined);
    const number = ++this.calls;
    const { clock } = this.ports.host;
    return new Promise((resolve) => {
      const timer = clock.setTimer(ms, () => settle(undefined));
      const settle = (values: readonly number[] | undefined): void => {
        clock.clearTimer(timer);
        this.answers.delete(number);
        resolve(values);
      };
      this.answers.set(number, settle);
      this.wire.send({ type: 'ask', number, call });
    });
  }

  tell(message: Exclude<ToServer, { type: 'join' | 'ask' }>): void {
    this.wire.send(message);
  }

  end(problem: string, how: 'now' | 'when-sent' = 'now'): void {
    this.wire.end(problem, how);
  }

  private received(message: ToNode): void {
    switch (message.type) {
      case 'greeting':
        this.join(message);
        return;
      case 'proof':
        this.prove(message.proof);
        return;
      case 'refused':
        this.refused(message);
        return;
      case 'joined':
        // Before, anybody could have said it.
        if (this.isProven) this.settleOpening.joined();
        return;
      case 'answer':
        this.answers.get(message.number)?.(message.values);
        return;
      case 'census':
      case 'deliveries':
      case 'granted':
      case 'refuses':
        if (this.isProven) this.ports.hears(message);
    }
  }

  private join({ server, ageMs, nonce }: Extract<ToNode, { type: 'greeting' }>): void {
    const { address, node, settings, introduce } = this.ports;
    if (this.serverNonce !== undefined) {
      this.end('the server has greeted twice');
      return;
    }
    this.serverNonce = nonce;
    this.provenAtMs = this.ports.host.clock.now();
    const { prefix, maxLength, expiresMs, heartbeatMs, downAfterMs } = settings;
    this.wire.send({
      type: 'join',
      proof: address.prove('node', { server: nonce, node: this.nonce }),
      nonce: this.nonce,
      prefix,
      name: node.name,
      incarnation: node.incarnation,
      maxLength,
      expiresMs,
      heartbeatMs,
      downAfterMs,
      processId: process.pid,
      ...introduce({ server, ageMs }),
    });
  }

  private prove(proof: Uint8Array): void {
    const { address } = this.ports;
    const { serverNonce: server, nonce: node } = this;
    if (server !== undefined && address.isProven(proof, 'server', { server, node })) {
      this.isProven = true;
      return;
    }
    const problem =
      'what listens there does not know the secret of the URL, so it is not the server that gave it out';
    this.settleOpening.failed(denied(address.shown, problem));
  }

  private refused({ why, problem }: Extract<ToNode, { type: 'refused' }>): void {
    const { address, node } = this.ports;
    const errors = {
      denied: () => denied(address.shown, problem),
      'name-taken': () => new TroupeError('ERR_NAME_TAKEN', { name: node.name, holder: problem }),
      unavailable: () => unavailable(address.shown, problem),
    };
    this.settleOpening.failed(errors[why]());
  }

  /** Asks for a sign of life, again and again; ends when none has come for too long. */
  private beat(): void {
    const { clock } = this.ports.host;
    const { heartbeatMs, downAfterMs } = this.ports.settings;
    const limitMs = SILENT_SHARE * downAfterMs;
    const askedAtMs = clock.now();
    void this.ask({ type: 'ping' }, downAfterMs).then((values) => {
      if (values !== undefined) this.provenAtMs = Math.max(this.provenAtMs, askedAtMs);
    });
    const look = (): void => {
      this.pulse = clock.setTimer(
        Math.max(0, Math.min(askedAtMs + heartbeatMs, this.provenAtMs + limitMs) - clock.now()),
        () => {
          const now = clock.now();
          if (now - this.provenAtMs >= limitMs) this.end(`there was no sign of life for ${limitMs} ms`);
          else if (now - askedAtMs >= heartbeatMs) this.beat();
          else look();
        },
      );
    };
    if (this.isOpen) look();
  }

  private ended(problem: string): void {
    this.isOpen = false;
    if (this.pulse !== undefined) this.ports.host.clock.clearTimer(this.pulse);
    for (const settle of this.answers.values()) settle(undefined);
    this.settleOpening.failed(unavailable(this.ports.address.shown, problem));
    for (const told of this.onEnd) told(problem);
  }
}
