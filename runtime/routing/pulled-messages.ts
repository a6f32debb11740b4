/**
 * A consumer that pulls: an iterator over the messages of one subscription. Each call of `next` settles the message before
 * it and asks for one more; nothing is handed out that was not asked for. The rules are those of Reactive Streams
 * (reactive-streams.org, 1.0.4): signals one at a time, one end, and nothing after it.
 */

import type { AnyAgentDefinition } from '../../src/protocol/agent.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import { AGING_MS, PULL_WINDOW, PULLS_MAX } from '../../src/protocol/limits.ts';
import { choiceOption, integerOption, objectOption, signalOption } from '../../src/protocol/options.ts';
import {
  type PulledMessage,
  SUBSCRIPTION_OVERFLOWS,
  type SubscriptionOverflow,
} from '../../src/protocol/subscription.ts';
import type { TopicMessage } from '../../src/protocol/topic-message.ts';
import type { Behaviour } from '../actor/behaviour.ts';
import type { TurnContext } from '../actor/context.ts';
import type { Slot } from '../actor/slot.ts';
import { offAbort, onAbort } from '../host/aborts.ts';
import { deliveryAgent, mailboxFor, type Receiver } from './function-subscriber.ts';
import { type Demand, PulledCell } from './pulled-cell.ts';
import { Pulled } from './received.ts';

/** The options of `messages`, checked, with defaults applied. */
export interface PullOptions {
  readonly window: number;
  readonly overflow: SubscriptionOverflow;
  readonly signal: AbortSignal | undefined;
}

/** Reads `messages(topic, options)`. Throws `ERR_OPTION_INVALID`. */
export function pullOptions(options: unknown): PullOptions {
  const given = objectOption('messages options', options, ['window', 'overflow', 'signal']);
  return {
    window: integerOption('window', given['window'], 1, PULL_WINDOW),
    overflow: choiceOption('overflow', given['overflow'], SUBSCRIPTION_OVERFLOWS, 'backpressure'),
    signal: signalOption('signal', given['signal']),
  };
}

type Message = PulledMessage<unknown>;
type Result = IteratorResult<Message, undefined>;

const DONE: Result = Object.freeze({ done: true, value: undefined });

/** The message that the consumer has, and how its turn ends. */
class InHand {
  rejection: Error | undefined = undefined;
  readonly turn: Promise<void>;
  private resolve = (): void => undefined;
  private refuse: (error: unknown) => void = () => undefined;

  constructor() {
    this.turn = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.refuse = reject;
    });
  }

  settle(): void {
    if (this.rejection === undefined) this.resolve();
    else this.refuse(this.rejection);
  }

  fail(error: unknown): void {
    this.refuse(error);
  }
}

/** One iteration: it lasts as long as its subscription. */
export class PulledMessages implements Receiver, Demand {
  private readonly pattern: string;
  private readonly options: PullOptions;
  /** Calls of `next` without an answer, oldest first. */
  private readonly asking: ((result: Result) => void)[] = [];
  private inHand: InHand | undefined = undefined;
  private cell: PulledCell | undefined = undefined;
  private unsubscribe = (): Promise<void> => Promise.resolve();
  private isOver = false;
  private readonly aborted = (): void => {
    this.finish();
    this.cell?.kernel.background(this.unsubscribe());
  };

  constructor(pattern: string, options: PullOptions) {
    this.pattern = pattern;
    this.options = options;
  }

  /** The agent of the actor that messages wait in; its arguments are this object. */
  agent(): AnyAgentDefinition {
    const { window: capacity, overflow } = this.options;
    const mailbox = {
      ...mailboxFor({ capacity, overflow, agingMs: AGING_MS }),
      criticalReserve: 0,
      selfReserve: 0,
    };
    const cellOf = (behaviour: Behaviour, slot: Slot): PulledCell => {
      this.cell = new PulledCell(behaviour, slot, this);
      return this.cell;
    };
    return Object.freeze({ ...deliveryAgent(mailbox, UNBOUNDED), cellOf });
  }

  /** It is subscribed; `unsubscribe` ends that, however often it is called. */
  begin(unsubscribe: () => Promise<void>): void {
    this.unsubscribe = unsubscribe;
    if (this.options.signal !== undefined) onAbort(this.options.signal, this.aborted);
  }

  // --- for the consumer -------------------------------------------------------------------------------------------

  /** What the consumer gets of it. */
  iterator(): AsyncIterableIterator<Message, undefined> {
    const iterator: AsyncIterableIterator<Message, undefined> = {
      next: () => this.next(),
      return: () => this.end(),
      throw: (error) => this.fail(error),
      [Symbol.asyncIterator]: () => iterator,
    };
    return iterator;
  }

  private next(): Promise<Result> {
    this.takeBack()?.settle();
    if (this.isOver) return Promise.resolve(DONE);
    if (this.asking.length >= PULLS_MAX) {
      const details = { pattern: this.pattern, pullsMax: PULLS_MAX };
      return Promise.reject(new TroupeError('ERR_PULLS_FULL', details));
    }
    return new Promise((resolve) => {
      this.asking.push(resolve);
      this.cell?.ready();
    });
  }

  /** `break`, and an error in the body of a loop, come to this: the consumer had the message, so it is handled. */
  private async end(): Promise<Result> {
    this.takeBack()?.settle();
    this.finish();
    await this.unsubscribe();
    return DONE;
  }

  private async fail(error: unknown): Promise<Result> {
    this.takeBack()?.fail(error);
    this.finish();
    await this.unsubscribe();
    throw error;
  }

  /** The message in hand, which is to be settled: its slot is free. */
  private takeBack(): InHand | undefined {
    const { inHand } = this;
    if (inHand === undefined) return undefined;
    this.inHand = undefined;
    this.cell?.window.settled();
    return inHand;
  }

  // --- for its actor ----------------------------------------------------------------------------------------------

  get isWaiting(): boolean {
    return this.asking.length > 0;
  }

  receive(turn: TurnContext, { message, topic }: TopicMessage): Promise<void> {
    const inHand = new InHand();
    const reject = (error: Error): void => {
      inHand.rejection ??= error;
    };
    const answer = this.asking.shift();
    answer?.({ done: false, value: new Pulled(turn, topic, message, reject) });
    this.inHand = inHand;
    // Whoever has asked for the next one as well has settled this one beforehand.
    if (this.isWaiting) this.takeBack()?.settle();
    return inHand.turn;
  }

  finish(): void {
    if (this.isOver) return;
    this.isOver = true;
    if (this.options.signal !== undefined) offAbort(this.options.signal, this.aborted);
    for (const answer of this.asking.splice(0)) answer(DONE);
  }
}

/** The consumer may take its time with a message: what that holds up are publishers, and each of them waits a bounded time. */
const UNBOUNDED = { turnTimeoutMs: Number.POSITIVE_INFINITY, retry: undefined };
