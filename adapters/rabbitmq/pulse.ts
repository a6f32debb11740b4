/**
 * Asks the server regularly how many nodes there are: each node is a consumer of one queue, which RabbitMQ counts. The answer is also the proof
 * that this connection lives at the other end. RabbitMQ gives up a connection that is silent for two heartbeats; whoever must know before is
 * told earlier, as the session then ends here.
 */

import type { Channel, ChannelModel } from 'amqplib';
import type { Clock, TimerHandle } from '../../src/protocol/clock.ts';
import type { Session } from './connection.ts';

/** Milliseconds between two questions. */
export const LOOK_MS = 500;

/** What a pulse is made with. */
export interface PulseParts {
  readonly clock: Clock;
  /** The heartbeat that is asked for; a server may want a shorter one. */
  readonly heartbeatSeconds: number;
  /** The queue whose consumers are counted. */
  readonly queue: string;
  /** Whether silence is to end the session. */
  readonly mustAnswer: () => boolean;
  /** Called with the number of nodes, on the session that was asked. */
  readonly counted: (count: number, session: Session) => void;
}

/** The pulse of one node. */
export class Pulse {
  private readonly parts: PulseParts;
  private timer: TimerHandle | undefined;
  private current: { readonly session: Session; readonly channel: Channel } | undefined;
  /** When a question was asked that has been answered since. */
  private provenAtMs = 0;
  private heartbeatSeconds: number;
  private isAsking = false;
  private looks = 0;

  constructor(parts: PulseParts) {
    this.parts = parts;
    this.heartbeatSeconds = parts.heartbeatSeconds;
  }

  /** Begins to look, and looks on until it is stopped. */
  start(): void {
    this.timer = this.parts.clock.setTimer(LOOK_MS, () => {
      this.start();
      this.look();
    });
  }

  stop(): void {
    if (this.timer !== undefined) this.parts.clock.clearTimer(this.timer);
    this.timer = undefined;
  }

  /** Looks through this channel as long as its session lives. */
  watch(session: Session, channel: Channel): void {
    this.current = { session, channel };
    this.isAsking = false;
    this.provenAtMs = this.parts.clock.now();
    this.heartbeatSeconds = Math.min(this.parts.heartbeatSeconds, agreedHeartbeat(session.model));
    session.onOver(() => {
      if (this.current?.session === session) this.current = undefined;
    });
  }

  /** How often it has asked. */
  get count(): number {
    return this.looks;
  }

  /** Asks now, unless an answer is awaited. */
  look(): void {
    const { current } = this;
    if (current === undefined) return;
    const { clock, queue, counted } = this.parts;
    const askedAtMs = clock.now();
    if (askedAtMs - this.provenAtMs > this.silenceMaxMs && this.parts.mustAnswer()) {
      current.session.fail(new Error('RabbitMQ did not answer in time, and may take this node for dead'));
      return;
    }
    if (this.isAsking) return;
    this.isAsking = true;
    this.looks++;
    current.channel.checkQueue(queue).then(
      ({ consumerCount }) => {
        if (this.current !== current) return;
        this.isAsking = false;
        this.provenAtMs = askedAtMs;
        counted(consumerCount, current.session);
      },
      () => undefined, // the channel has ended, and its session with it
    );
  }

  /** It is noticed when the next look is due. Until then less than two heartbeats are over, the shortest being a second. */
  private get silenceMaxMs(): number {
    return 1_500 * this.heartbeatSeconds - LOOK_MS / 2;
  }
}

/** Seconds between two heartbeats, as both sides have agreed. The driver has it where its types do not name it. */
function agreedHeartbeat({ connection }: ChannelModel): number {
  const agreed: unknown = Reflect.get(connection, 'heartbeat');
  return typeof agreed === 'number' && agreed > 0 ? agreed : Number.POSITIVE_INFINITY;
}
