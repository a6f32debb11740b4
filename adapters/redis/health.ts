/** How the adapter is, and who is told. What is told is bounded by what happens: the same state for the same reason is no news. */

import type { BrokerState, BrokerStateChange } from '../../src/protocol/broker.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import { Listeners } from '../../src/protocol/listeners.ts';

const PROBLEM_CHARACTERS_MAX = 200;

export class Health {
  private readonly url: string;
  private readonly listeners = new Listeners<BrokerStateChange>();
  private state: BrokerState = 'down';
  private reason: string | undefined = undefined;

  constructor(url: string) {
    this.url = url;
  }

  onChange(listener: (change: BrokerStateChange) => void): () => void {
    return this.listeners.add(listener);
  }

  up(): void {
    this.change('up', undefined, undefined);
  }

  /** Something was refused or lost, while there is a connection. `well` ends it. */
  degrade(problem: string): void {
    if (this.state !== 'down') this.change('degraded', this.unavailable(problem), problem);
  }

  /** Something was taken. */
  well(): void {
    if (this.state === 'degraded') this.up();
  }

  down(cause: TroupeError): void {
    this.change('down', cause, cause.code);
  }

  /** Nobody is told any more. */
  end(): void {
    this.listeners.clear();
  }

  unavailable(problem: string): TroupeError {
    return new TroupeError('ERR_BROKER_UNAVAILABLE', {
      broker: 'redis',
      url: this.url,
      problem: problem.slice(0, PROBLEM_CHARACTERS_MAX),
    });
  }

  private change(state: BrokerState, cause: TroupeError | undefined, reason: string | undefined): void {
    if (this.state === state && this.reason === reason) return;
    this.state = state;
    this.reason = reason;
    this.listeners.tell(cause === undefined ? { state } : { state, cause });
  }
}
