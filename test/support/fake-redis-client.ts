/** A client of Redis without a server: what it answers is said by the test, and its connections fail when the test says so. */

import { EventEmitter } from 'node:events';
import type { Redis } from 'ioredis';
import type { Connect } from '../../adapters/redis/client.ts';

/** What is answered to a command; what it throws is the answer of a server that refuses. Undefined for no answer, ever. */
export type Answer = (command: string, parameters: readonly unknown[]) => unknown;

export class FakeRedisClient extends EventEmitter {
  readonly commands: string[] = [];
  isClosed = false;
  private readonly answer: Answer;
  private readonly connecting: () => Promise<void>;

  constructor(answer: Answer, connecting: () => Promise<void>) {
    super();
    this.answer = answer;
    this.connecting = connecting;
  }

  connect(): Promise<void> {
    return this.connecting();
  }

  callBuffer(command: string, parameters: readonly unknown[]): Promise<unknown> {
    this.commands.push(command);
    return new Promise((resolve, reject) => {
      try {
        const answer = this.answer(command, parameters);
        if (answer !== undefined) resolve(answer);
      } catch (error) {
        reject(error as Error);
      }
    });
  }

  disconnect(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.emit('close');
  }

  /** What a cut does: two events, as with the real one. */
  cut(message = 'read ECONNRESET'): void {
    this.emit('error', new Error(message));
    this.disconnect();
  }
}

/** Clients that are made one after the other. */
export class FakeRedisClients {
  readonly made: FakeRedisClient[] = [];
  answer: Answer;
  connecting: () => Promise<void> = () => Promise.resolve();

  constructor(answer: Answer) {
    this.answer = answer;
  }

  connect: Connect = async () => {
    const client = new FakeRedisClient((...asked) => this.answer(...asked), this.connecting);
    this.made.push(client);
    // Of the real one, the adapter uses what this has.
    return client as unknown as Redis;
  };

  get open(): number {
    return this.made.filter(({ isClosed }) => !isClosed).length;
  }
}

/** An error as the client gives it for an answer of the server, with the command beside it. */
export function replyError(message: string): Error {
  return Object.assign(new Error(message), {
    name: 'ReplyError',
    command: { name: 'auth', args: ['secret'] },
  });
}
