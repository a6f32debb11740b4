/**
 * What a subscriber is told of a message beside what it says. It is made for every message, so it holds on to the turn and
 * reads what it is asked for.
 */

import type { Priority } from '../../src/protocol/priority.ts';
import type { Headers } from '../../src/protocol/ref.ts';
import { rejected } from '../../src/protocol/rejected.ts';
import type { MessageMeta, PulledMessage, ReceivedMessage } from '../../src/protocol/subscription.ts';
import type { TurnContext } from '../actor/context.ts';

const NO_HEADERS: Headers = Object.freeze({});

class Received implements ReceivedMessage {
  readonly topic: string;
  readonly #turn: TurnContext;

  constructor(turn: TurnContext, topic: string) {
    this.#turn = turn;
    this.topic = topic;
  }

  /** The turn behind what a subscriber was told. */
  static turnOf(received: ReceivedMessage): TurnContext {
    if (received instanceof Received) return received.#turn;
    throw new Error('this message was not received from a subscription');
  }

  get priority(): Priority {
    return this.#turn.envelope.priority;
  }

  get headers(): Headers {
    return this.#turn.headers ?? NO_HEADERS;
  }

  get sender(): string | undefined {
    return this.#turn.envelope.sender?.address;
  }

  get id(): string {
    return this.#turn.envelope.id;
  }

  get attempt(): number {
    return this.#turn.envelope.attempt;
  }

  get signal(): AbortSignal {
    return this.#turn.signal;
  }
}

/** For a handler. */
export class HandlerMeta extends Received implements MessageMeta {
  readonly #end: () => void;

  /** `end` ends the subscription without waiting for anything. */
  constructor(turn: TurnContext, topic: string, end: () => void) {
    super(turn, topic);
    this.#end = end;
  }

  get unsubscribe(): () => void {
    return this.#end;
  }

  get reject(): (reason: unknown) => never {
    return rejectTurn;
  }
}

/** For a consumer that pulls. */
export class Pulled extends Received implements PulledMessage<unknown> {
  readonly message: unknown;
  readonly #reject: (error: Error) => void;

  /** `reject` notes what the turn is to fail with when it is settled. */
  constructor(turn: TurnContext, topic: string, message: unknown, reject: (error: Error) => void) {
    super(turn, topic);
    this.message = message;
    this.#reject = reject;
  }

  get reject(): (reason: unknown) => void {
    return (reason) => this.#reject(rejected(reason));
  }
}

function rejectTurn(reason: unknown): never {
  throw rejected(reason);
}

/** The turn in which a message was received. */
export function turnOf(received: ReceivedMessage): TurnContext {
  return Received.turnOf(received);
}
