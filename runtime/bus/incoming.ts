/** A message as a handler of the bus gets it: what was said, as data, and the two answers it can give. */

import type { BusHandler, BusMessage } from '../../src/protocol/bus.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import type { Priority } from '../../src/protocol/priority.ts';
import type { Headers } from '../../src/protocol/ref.ts';
import { rejected } from '../../src/protocol/rejected.ts';
import type { MessageMeta, PulledMessage } from '../../src/protocol/subscription.ts';
import type { TopicMessage } from '../../src/protocol/topic-message.ts';
import { ReplyToken, type TurnContext } from '../actor/context.ts';
import { promiseIn } from '../actor/promise-in.ts';
import { turnOf } from '../routing/received.ts';

const NO_HEADERS: Headers = Object.freeze({});

/** One message in the hand of its handler. */
export class Incoming implements BusMessage {
  readonly id: string;
  readonly topic: string;
  readonly payload: unknown;
  readonly priority: Priority;
  readonly sender: string | undefined;
  readonly correlationId: string | undefined;
  readonly headers: Headers;
  readonly publishedAtMs: number;
  readonly attempt: number;
  readonly isRequest: boolean;
  readonly #turn: TurnContext;
  /** The right to answer, if somebody waits. It outlives the turn. A request that is replayed has none: nobody waits any more. */
  readonly #replyTo: ReplyToken | undefined;
  /** Notes that the turn is to end as a rejection of its message. */
  readonly #noteRejection: (reason: unknown) => void;

  constructor(turn: TurnContext, noteRejection: (reason: unknown) => void) {
    const { envelope } = turn;
    const content = envelope.payload as TopicMessage; // what actors of subscriptions are told
    this.id = envelope.id;
    this.topic = content.topic;
    this.payload = content.message;
    this.priority = envelope.priority;
    this.sender = envelope.sender?.address;
    this.correlationId = content.label?.correlationId;
    this.headers = turn.headers ?? NO_HEADERS;
    this.publishedAtMs = content.label?.publishedAtMs ?? 0;
    this.attempt = envelope.attempt;
    this.isRequest = content.label?.isRequest === true;
    this.#turn = turn;
    this.#replyTo = envelope.customer === undefined ? undefined : new ReplyToken(turn.cell, envelope);
    this.#noteRejection = noteRejection;
  }

  get signal(): AbortSignal {
    return this.#turn.signal;
  }

  // Both may be taken out of the message: handlers like to name what they need in their parameters.

  get reply(): (value: unknown) => void {
    return (value) => this.#answer(value);
  }

  get reject(): (reason: unknown) => void {
    return (reason) => this.#refuse(reason);
  }

  #answer(value: unknown): void {
    if (!this.isRequest) throw this.#unwanted();
    this.#replyTo?.reply(value);
  }

  #refuse(reason: unknown): void {
    const { isRunning } = this.#turn;
    if (!isRunning && !this.isRequest) throw this.#unwanted();
    if (isRunning) this.#noteRejection(reason);
    this.#replyTo?.reject(reason);
  }

  #unwanted(): TroupeError {
    return new TroupeError('ERR_REPLY_UNWANTED', { id: this.id, topic: this.topic });
  }
}

/** A handler of the bus as one of a subscription. */
export function subscriberOf(handler: BusHandler): (message: unknown, meta: MessageMeta) => unknown {
  return (_message, meta) => {
    let rejection: { readonly reason: unknown } | undefined;
    const end = (): void => {
      if (rejection !== undefined) throw rejected(rejection.reason);
    };
    const incoming = new Incoming(turnOf(meta), (reason) => {
      rejection ??= { reason };
    });
    const promise = promiseIn(handler(incoming));
    return promise === undefined ? end() : promise.then(end);
  };
}

/** What is pulled from a subscription, as messages of the bus. `begin` throws where none may begin any more. */
export function busMessages(
  pulled: AsyncIterable<PulledMessage<unknown>>,
  begin: () => void,
): AsyncIterable<BusMessage> {
  return {
    [Symbol.asyncIterator]: () => {
      begin();
      return busIterator(pulled[Symbol.asyncIterator]());
    },
  };
}

/** The same, from a broker: each iteration begins to listen when it begins, and ends that with its end. */
export function heardMessages(
  messages: AsyncIterable<BusMessage>,
  listen: () => Promise<() => Promise<void>>,
): AsyncIterable<BusMessage> {
  return { [Symbol.asyncIterator]: () => heardIterator(messages[Symbol.asyncIterator](), listen()) };
}

function heardIterator(
  source: AsyncIterator<BusMessage>,
  listening: Promise<() => Promise<void>>,
): AsyncIterableIterator<BusMessage> {
  listening.catch(() => undefined); // the first `next` hears of it
  let ended: Promise<void> | undefined;
  const end = (): Promise<void> => {
    ended ??= listening.then(
      (unlisten) => unlisten(),
      () => undefined,
    );
    return ended;
  };
  type Result = IteratorResult<BusMessage, undefined>;
  const given = async (
    pull: () => Promise<IteratorResult<BusMessage, unknown>> | undefined,
  ): Promise<Result> => {
    let result: IteratorResult<BusMessage, unknown> | undefined;
    try {
      result = await pull();
    } catch (error) {
      await end();
      throw error;
    }
    if (result !== undefined && result.done !== true) return result;
    await end();
    return { done: true, value: undefined };
  };
  const iterator: AsyncIterableIterator<BusMessage, undefined> = {
    next: async () => {
      try {
        await listening;
      } catch (error) {
        await source.return?.();
        throw error;
      }
      return given(() => source.next());
    },
    return: () => given(() => source.return?.()),
    throw: (error) => given(() => source.throw?.(error)),
    [Symbol.asyncIterator]: () => iterator,
  };
  return iterator;
}

type Pull = Promise<IteratorResult<PulledMessage<unknown>, unknown>> | undefined;

function busIterator(source: AsyncIterator<PulledMessage<unknown>>): AsyncIterableIterator<BusMessage> {
  const given = async (pull: Pull): Promise<IteratorResult<BusMessage, undefined>> => {
    const result = await pull;
    if (result === undefined || result.done === true) return { done: true, value: undefined };
    return { done: false, value: new Incoming(turnOf(result.value), result.value.reject) };
  };
  const iterator: AsyncIterableIterator<BusMessage, undefined> = {
    next: () => given(source.next()),
    return: () => given(source.return?.()),
    throw: (error) => given(source.throw?.(error)),
    [Symbol.asyncIterator]: () => iterator,
  };
  return iterator;
}
