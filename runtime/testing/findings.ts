/** What a checker found wrong. It keeps the first findings; the rest is counted. */

import { FINDINGS_MAX } from './bounds.ts';

/** The law that was broken: the number of its property in the guarantees, or a word. */
export type Law = 'P1' | 'P2' | 'P5' | 'P50' | 'rejection';

const WORDS: { readonly [L in Law]: string } = {
  P1: 'no message is lost (P1)',
  P2: 'one outcome for each message (P2)',
  P5: 'one turn at a time (P5)',
  P50: 'order of a sender is kept (P50)',
  rejection: 'no promise is rejected unheard',
};

/** The findings of one system. */
export class Findings {
  private readonly kept: string[] = [];
  private more = 0;

  add(law: Law, text: string): void {
    if (this.kept.length < FINDINGS_MAX) this.kept.push(`${WORDS[law]}: ${text}`);
    else this.more++;
  }

  /** Everything so far as one text; undefined when there is nothing. */
  get text(): string | undefined {
    if (this.kept.length === 0) return undefined;
    return [...this.kept, ...(this.more > 0 ? [`and ${this.more} more`] : [])].join('\n  ');
  }
}
