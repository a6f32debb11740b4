/** A connection to Redis whose calls the test answers, in the order it likes. */

import type { Argument, Connection } from '../../adapters/redis/client.ts';
import type { Script } from '../../adapters/redis/scripts.ts';

/** A call that waits for its answer. */
export interface FakeCall {
  readonly command: string;
  /** What runs, where it is a script. */
  readonly script: Script | undefined;
  readonly parameters: readonly Argument[];
  answer(value: unknown): void;
  fail(error: Error): void;
}

export class FakeConnection implements Connection {
  /** Calls without an answer, oldest first. */
  readonly waiting: FakeCall[] = [];
  /** Answers at once what it does not leave undefined. */
  respond: (call: Pick<FakeCall, 'command' | 'script' | 'parameters'>) => unknown = () => undefined;

  call(_timeoutMs: number, command: string, ...parameters: readonly Argument[]): Promise<unknown> {
    return this.ask(command, undefined, parameters);
  }

  run(
    _timeoutMs: number,
    script: Script,
    keys: readonly string[],
    parameters: readonly Argument[],
  ): Promise<unknown> {
    return this.ask('EVAL', script, [...keys, ...parameters]);
  }

  private ask(
    command: string,
    script: Script | undefined,
    parameters: readonly Argument[],
  ): Promise<unknown> {
    const answered = this.respond({ command, script, parameters });
    if (answered !== undefined) return Promise.resolve(answered);
    return new Promise((resolve, reject) => {
      const call: FakeCall = {
        command,
        script,
        parameters,
        answer: (value) => {
          this.waiting.splice(this.waiting.indexOf(call), 1);
          resolve(value);
        },
        fail: (error) => {
          this.waiting.splice(this.waiting.indexOf(call), 1);
          reject(error);
        },
      };
      this.waiting.push(call);
    });
  }
}
