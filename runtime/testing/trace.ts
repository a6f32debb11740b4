/** What happened in a test system, line by line: virtual time, place, event. The same seed gives the same lines. */

import type { RuntimeEvent } from '../../src/protocol/events.ts';
import { TRACE_LINES_MAX } from './bounds.ts';

/** The last lines of what happened. */
export class Trace {
  private readonly now: () => number;
  private kept: string[] = [];

  constructor(now: () => number) {
    this.now = now;
  }

  /** The last 10,000 lines, oldest first. */
  get lines(): readonly string[] {
    return this.kept.slice(-TRACE_LINES_MAX);
  }

  add(address: string, what: string): void {
    this.kept.push(`${this.now()} ms ${address} ${what}`);
    if (this.kept.length >= 2 * TRACE_LINES_MAX) this.kept = this.kept.slice(-TRACE_LINES_MAX);
  }

  event(event: RuntimeEvent): void {
    // Ids count in the whole process, so no line names one.
    const details: string[] = [event.type];
    if ('message' in event && event.message !== undefined) details.push(event.message);
    if ('verdict' in event) details.push(event.verdict);
    if ('reason' in event) details.push(event.reason);
    if ('generation' in event) details.push(`generation ${event.generation}`);
    if ('delayMs' in event) details.push(`in ${event.delayMs} ms`);
    if (event.type === 'logged') details.push(event.level, event.text);
    this.add('address' in event ? String(event.address) : '/', details.join(' '));
  }
}
