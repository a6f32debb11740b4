/**
 * The sockets of one client of kafkajs. kafkajs connects again behind our back, with what was left of a half-read answer still in its
 * buffer, and then reads nonsense, or throws in a listener where nobody can catch it. So a client of which a socket breaks inside an
 * answer, or before one, opens no more sockets: it is dead, and another one takes its place. One that ends while it is idle does no harm:
 * servers end connections that nobody uses.
 */

import { isIP, connect as openSocket, type Socket } from 'node:net';
import { type ConnectionOptions, connect as openTlsSocket } from 'node:tls';
import type { ISocketFactory } from 'kafkajs';
import type { Clock } from '../../src/protocol/clock.ts';
import { KafkaFailure } from './driver.ts';
import { isAboutCertificates } from './kafkajs-failures.ts';

/** Bytes that say how long an answer is. */
const LENGTH_BYTES = 4;

/** Milliseconds after an answer in which an end means that something is broken, and not that the socket was idle for too long. */
const RECENT_MS = 10_000;

/** @internal */
export class Sockets {
  private readonly all = new Set<Socket>();
  private readonly tls: () => ConnectionOptions | undefined;
  private readonly lost: (failure: KafkaFailure) => void;
  private readonly clock: Clock;
  private isClosed = false;
  /** One side did not take the certificate of the other. In TLS 1.3 a server says so when the connection is open already. */
  refusal: KafkaFailure | undefined;

  /** `lost` is called once, unless it is closed before. */
  constructor(tls: () => ConnectionOptions | undefined, clock: Clock, lost: (failure: KafkaFailure) => void) {
    this.tls = tls;
    this.clock = clock;
    this.lost = lost;
  }

  readonly open: ISocketFactory = ({ host, port, onConnect }) => {
    if (this.isClosed) throw new KafkaFailure('not-sent', 'the client is closed');
    const tls = this.tls();
    const socket =
      tls === undefined
        ? openSocket({ host, port }, onConnect)
        : openTlsSocket({ host, port, ...(isIP(host) === 0 ? { servername: host } : {}), ...tls }, onConnect);
    socket.setNoDelay(true);
    this.all.add(socket);
    const answers = new Answers();
    const write = socket.write.bind(socket);
    // kafkajs writes each request at once, and gets one answer to each.
    socket.write = ((...parameters: Parameters<typeof write>) => {
      answers.expected++;
      return write(...parameters);
    }) as typeof write;
    let answeredAtMs = Number.NEGATIVE_INFINITY;
    socket.on('data', (chunk) => {
      answeredAtMs = this.clock.now();
      answers.read(chunk);
    });
    let error: Error | undefined;
    socket.once('error', (problem) => {
      error = problem;
    });
    socket.once('close', () => {
      this.all.delete(socket);
      // kafkajs listens for this and not for `close`: without it requests would go on waiting.
      socket.emit('end');
      const wasUsed = this.clock.now() - answeredAtMs < RECENT_MS;
      if (answers.expected > 0 || wasUsed) this.die(error ?? new Error('the connection was closed'));
    });
    return socket;
  };

  close(problem = 'the client is closed'): void {
    this.isClosed = true;
    for (const socket of this.all) socket.destroy(new Error(problem));
  }

  private die(error: Error): void {
    if (this.isClosed) return;
    const { message } = error;
    if (isAboutCertificates(error)) this.refusal = new KafkaFailure('denied', message);
    this.close(message);
    this.lost(new KafkaFailure('lost', message));
  }
}

/** Counts answers by their lengths. @internal */
export class Answers {
  /** Requests without a complete answer. */
  expected = 0;
  private length = 0;
  private lengthBytes = 0;
  private rest = 0;

  read(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length; ) {
      if (this.rest === 0) {
        this.length = this.length * 256 + (chunk[at++] ?? 0);
        if (++this.lengthBytes < LENGTH_BYTES) continue;
        this.rest = this.length;
        this.length = 0;
        this.lengthBytes = 0;
      } else {
        const taken = Math.min(this.rest, chunk.length - at);
        this.rest -= taken;
        at += taken;
      }
      if (this.rest === 0) this.expected--;
    }
  }
}
