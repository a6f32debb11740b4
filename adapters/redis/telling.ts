/** Tells the server of interests: of a node in patterns, and of groups. It remembers nothing: every new session is told anew of all that holds. */

import type { NodeIdentity } from '../../src/protocol/broker.ts';
import type { Host } from '../../src/protocol/clock.ts';
import { settledWithin } from '../../src/protocol/deadline.ts';
import type { TroupeError } from '../../src/protocol/errors.ts';
import { Refusal, textIn } from './client.ts';
import type { Keys } from './keys.ts';
import { fenceOf, type Link, type Session } from './link.ts';
import { INTEREST } from './scripts.ts';

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
  async tell(field: string, isWanted: boolean): Promise<void> {
    const { host, link, timeoutMs, unavailable } = this.ports;
    const late = new AbortController();
    const told = async (): Promise<void> => {
      for (;;) {
        const session = await link.whenUp(late.signal);
        try {
          return await this.tellIn(session, field, isWanted);
        } catch (error) {
          if (error instanceof Refusal || late.signal.aborted) throw unavailable((error as Error).message);
          link.drop(session, error as Error);
        }
      }
    };
    await settledWithin(host.clock, timeoutMs, told(), () => {
      late.abort();
      throw unavailable(`it did not answer within ${timeoutMs} ms`);
    });
  }

  /** The same in a session. Rejects as its connection does, and when the session is not the present one any more. */
  async tellIn(session: Session, field: string, isWanted: boolean): Promise<void> {
    const { node, keys, keptMs, timeoutMs } = this.ports;
    const streams = field.startsWith('g ') ? keys.groupsOf(field) : [];
    const parameters = [...fenceOf(node, session), field, isWanted ? '1' : '0', keptMs];
    const reply = await session.writer.run(timeoutMs, INTEREST, [...keys.tables, ...streams], parameters);
    if (textIn(reply) === 'gone') throw new Error('other nodes have taken this one for dead');
  }
}
