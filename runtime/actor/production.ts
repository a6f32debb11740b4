/**
 * The handler of a stream as a turn: resumes the user's generator where its customer takes one more part, hands the part on, and ends
 * with what the generator returns. When the turn is aborted the generator is returned, so that its `finally` runs.
 */

import { type MessageEntry, type PartsCustomer, partsCustomerOf } from '../../src/protocol/envelope.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import { describeValue } from '../../src/protocol/options.ts';
import type { Pace } from '../host/pace.ts';
import { ignoreEnd } from './promise-in.ts';
import type { Turn, Withdrawable } from './turn.ts';

/** A turn that makes parts. */
export interface MakingTurn extends Turn {
  /** Its own time stands still: it waits for whoever takes its parts. */
  pauseTime(): void;
  resumeTime(): void;
}

/** What productions of one kind of agent share. */
export interface ProductionPorts {
  readonly pace: Pace;
  /** What is wrong with a part; undefined where it may go out. */
  problemOf(part: unknown, turn: Turn): TroupeError | undefined;
}

type Handler = MessageEntry['handler'];
type Generator = Pick<AsyncGenerator<unknown, unknown, void>, 'next' | 'return'>;

/** The handler of an entry, made of the user's `async *` function. */
export function producing(handler: Handler, ports: ProductionPorts): Handler {
  return (context, payload) => {
    const turn = context as MakingTurn; // the engine calls the handlers of messages with their turns
    const generator = handler(context, payload);
    if (isGenerator(generator)) return new Production(turn, generator, ports).run();
    ignoreEnd(generator);
    const issues = [`expected an async generator (async *), got ${describeValue(generator)}`];
    const message = turn.envelope.entry.name;
    throw new TroupeError('ERR_REPLY_INVALID', { address: turn.cell.address, message, issues });
  };
}

/** One stream under way. */
class Production implements Withdrawable {
  private readonly turn: MakingTurn;
  private readonly generator: Generator;
  private readonly ports: ProductionPorts;
  /** Undefined where nobody takes the parts: a dead letter that was sent again. */
  private readonly customer: PartsCustomer | undefined;
  private abortion: Abortion | undefined = undefined;
  private wake: () => void = () => undefined;

  constructor(turn: MakingTurn, generator: Generator, ports: ProductionPorts) {
    this.turn = turn;
    this.generator = generator;
    this.ports = ports;
    this.customer = partsCustomerOf(turn.envelope);
  }

  async run(): Promise<unknown> {
    const { turn, generator, customer, ports } = this;
    turn.addPending(this);
    try {
      for (;;) {
        if (customer !== undefined && customer.demand <= 0) await this.demanded(customer);
        const pause = ports.pace.step();
        if (pause !== undefined) await pause;
        if (this.abortion !== undefined) return await ended(this.abortion);
        const step = await generator.next();
        if (this.abortion !== undefined) return await ended(this.abortion);
        if (step.done === true) return step.value;
        const problem = ports.problemOf(step.value, turn);
        if (problem !== undefined) {
          await this.close();
          throw problem;
        }
        customer?.takePart(step.value);
      }
    } finally {
      turn.removePending(this);
    }
  }

  /** The turn is aborted: nobody takes what is made from here on. */
  withdraw(reason: unknown): void {
    this.abortion = { reason, closed: this.close() };
    this.wake();
  }

  private async demanded(customer: PartsCustomer): Promise<void> {
    const { turn } = this;
    turn.pauseTime();
    while (customer.demand <= 0 && this.abortion === undefined)
      await new Promise<void>((resolve) => {
        this.wake = resolve;
        customer.onDemand = resolve;
      });
    customer.onDemand = undefined;
    turn.resumeTime();
  }

  /**
   * Runs its `finally`, behind the step that it is in, and never inside the call that aborts the turn. What it throws says nothing to
   * anybody: the turn has an end already.
   */
  private async close(): Promise<void> {
    await Promise.resolve();
    try {
      await this.generator.return(undefined);
    } catch {}
  }
}

/** Why a production was aborted, and when its generator is done with. */
interface Abortion {
  readonly reason: unknown;
  readonly closed: Promise<void>;
}

/** Rejects once the generator is done with, so that no other turn runs beside its `finally`. */
async function ended({ reason, closed }: Abortion): Promise<never> {
  await closed;
  throw reason;
}

function isGenerator(value: unknown): value is Generator {
  return (
    typeof value === 'object' &&
    value !== null &&
    Symbol.asyncIterator in value &&
    'next' in value &&
    typeof value.next === 'function' &&
    'return' in value &&
    typeof value.return === 'function'
  );
}
