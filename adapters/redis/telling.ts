/**
 * Tells the server what a node wants: interests in patterns, groups, and what it says of itself. It remembers nothing: every new session is told anew of
 * all that holds.
 */

import type { NodeIdentity } from '../../src/protocol/broker.ts';
import type { Host } from '../../src/protocol/clock.ts';
import { settledWithin } from '../../src/protocol/deadline.ts';
import type { TroupeError } from '../../src/protocol/errors.ts';
import { Refusal } from './client.ts';
import type { Keys } from './keys.ts';
import { checkPresent, fenceOf, type Link, type Session } from './link.ts';
import { DESCRIBE, INTEREST, type Script } from './scripts.ts';

/** What telling needs of its broker. */
export interface TellingPorts {
  readonly host: Host;
  readonly link: Link;
  readonly node: NodeIdentity;
  readonly keys: Keys;
  readonly keptMs: number;
  readonly timeoutMs: number;
  readonly unavailable: (problem: string) => TroupeError;
}

export class Telling {
  private readonly ports: TellingPorts;

  constructor(ports: TellingPorts) {
    this.ports = ports;
  }

  /**
   * Begins or ends an interest, now or, while there is no connection, when there is one again. Rejects with `ERR_BROKER_UNAVAILABLE` when
   * that does not happen in time.
   */
  tell(field: string, isWanted: boolean): Promise<void> {
    return this.whenUp((session) => this.tellIn(session, field, isWanted));
  }

  /** The same in a session. Rejects as its connection does, and when the session is not the present one any more. */
  async tellIn(session: Session, field: string, isWanted: boolean): Promise<void> {
    const { keys, keptMs } = this.ports;
    const streams = field.startsWith('g ') ? keys.groupsOf(field) : [];
    await this.run(session, INTEREST, [...keys.tables, ...streams], [field, isWanted ? '1' : '0', keptMs]);
  }

  /** Says something of this node; answers in which life it was said. Rejects as `tell` does. */
  describe(number: number, about: string): Promise<number> {
    const { keys } = this.ports;
    return this.whenUp(async (session) => {
      await this.run(session, DESCRIBE, [keys.nodes, keys.about], [number, about]);
      return session.life;
    });
  }

  private async whenUp<T>(tellIn: (session: Session) => Promise<T>): Promise<T> {
    const { host, link, timeoutMs, unavailable } = this.ports;
    const late = new AbortController();
    const told = async (): Promise<T> => {
      for (;;) {
        const session = await link.whenUp(late.signal);
        try {
          return await tellIn(session);
        } catch (error) {
          if (error instanceof Refusal || late.signal.aborted) throw unavailable((error as Error).message);
          link.drop(session, error as Error);
        }
      }
    };
    return settledWithin(host.clock, timeoutMs, told(), () => {
      late.abort();
      throw unavailable(`it did not answer within ${timeoutMs} ms`);
    });
  }

  private async run(
    session: Session,
    script: Script,
    keys: readonly string[],
    parameters: readonly (string | number)[],
  ): Promise<void> {
    const { node, timeoutMs } = this.ports;
    const all = [...fenceOf(node, session), ...parameters];
    checkPresent(await session.writer.run(timeoutMs, script, keys, all));
  }
}
