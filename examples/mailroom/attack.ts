/**
 * In mid-flood one of the worker processes is killed, with `kill -9`, while it has mails in hand. It is stopped first, so that what it has in hand
 * then stays unanswered: those mails have to be read by somebody else, and the sums at the end say whether they were.
 */
import { Readers } from './readers.ts';
import type { AwayReport } from './record.ts';
import type { Away } from './workers.ts';

/** Mails handed over before somebody is killed: the flood is under way. */
const KILLED_AFTER_MAILS = 500;

/** The readers of a run, and the end of one of them. */
export class Attack {
  readonly readers: Readers;
  readonly #away: Away;
  #killing: Promise<AwayReport['killed']> | undefined;

  constructor(away: Away) {
    this.#away = away;
    this.readers = new Readers(away.names, (node, _inHand, handed) => {
      if (handed >= KILLED_AFTER_MAILS) this.#killing ??= this.#kill(node);
    });
  }

  async report(): Promise<AwayReport> {
    return {
      ...this.readers.report,
      processes: this.#away.names.length,
      killed: await this.#killing,
    };
  }

  async #kill(name: string): Promise<AwayReport['killed']> {
    await this.#away.workers.stopAnswering(name);
    const inHand = this.readers.inHandOf(name);
    this.#away.workers.kill(name);
    return { name, inHand };
  }
}
