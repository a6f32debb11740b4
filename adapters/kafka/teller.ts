/**
 * Says what this node has to say into the log of members: one word at a time, each until the log has it, and an empty one when there was
 * nothing to say for a while. A word that had no answer is said again as it was, number and all, so that it counts once.
 */

import { pause, settledWithin } from '../../src/protocol/deadline.ts';
import type { TroupeError } from '../../src/protocol/errors.ts';
import type { TopicSpec } from './driver.ts';
import { failureOf } from './kafkajs-failures.ts';
import type { Link } from './link.ts';
import { type Word, writeEntry } from './log-entries.ts';

/** Milliseconds between attempts. */
const AGAIN_MS = 50;
const DENIED_PAUSE_MS = 1_000;
/** Milliseconds of a word under way after which it is too old to tell that this node lives. */
const OLD_MS = 500;

/** @internal */
export interface TellerParts {
  readonly link: Link;
  readonly log: TopicSpec;
  /** Milliseconds between words. */
  readonly beatMs: number;
  /** All that there is to say. */
  readonly compose: (count: number) => Word;
  /** It is of a life that is over. */
  readonly isStale: (word: Word) => boolean;
  /** The log has it. */
  readonly said: (word: Word) => void;
}

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: TroupeError<'ERR_BROKER_UNAVAILABLE'>) => void;
}

/** @internal */
export class Teller {
  private readonly parts: TellerParts;
  private readonly ending = new AbortController();
  private readonly sentAt = new Map<number, number>();
  private waiters: Waiter[] = [];
  private count = 0;
  private isDue = false;
  private wake: (() => void) | undefined;

  constructor(parts: TellerParts) {
    this.parts = parts;
  }

  begin(): void {
    this.isDue = true;
    void this.run(); // it catches what goes wrong
  }

  /** Says it soon. Resolves when the log has it; rejects with `ERR_BROKER_UNAVAILABLE` when nothing is said any more. */
  say(): Promise<void> {
    this.isDue = true;
    this.wake?.();
    return new Promise((resolve, reject) => {
      if (this.ending.signal.aborted) reject(this.over());
      else this.waiters.push({ resolve, reject });
    });
  }

  /** As `say`, for at most `publishTimeoutMs`; what is late is said nevertheless. */
  sayInTime(): Promise<void> {
    const { link } = this.parts;
    const { publishTimeoutMs } = link.settings;
    return settledWithin(link.host.clock, publishTimeoutMs, this.say(), () => {
      throw link.unavailable(`the log of members did not take it within ${publishTimeoutMs} ms`);
    });
  }

  /** Says it some time. */
  mention(): void {
    this.say().catch(() => undefined);
  }

  /** Its own word came back: when it was sent, by the clock of this process. */
  cameBack(count: number): number | undefined {
    const sentAt = this.sentAt.get(count);
    for (const known of this.sentAt.keys()) if (known <= count) this.sentAt.delete(known);
    return sentAt;
  }

  stop(): void {
    this.ending.abort();
    this.wake?.();
    for (const { reject } of this.waiters.splice(0)) reject(this.over());
  }

  private over(): TroupeError<'ERR_BROKER_UNAVAILABLE'> {
    return this.parts.link.unavailable('it is closed');
  }

  private async run(): Promise<void> {
    const { compose, said } = this.parts;
    const { signal } = this.ending;
    while (!signal.aborted) {
      if (!this.isDue) await this.rest();
      // What is said in one turn is one word.
      await new Promise<void>((resolve) => this.parts.link.host.soon(resolve));
      if (signal.aborted) return;
      this.isDue = false;
      const waiters = this.waiters.splice(0);
      const word = compose(++this.count);
      const isSaid = await this.put(word);
      if (isSaid) {
        said(word);
        for (const { resolve } of waiters) resolve();
        if (word.isLast) this.stop();
      } else {
        this.isDue = true;
        this.waiters.unshift(...waiters);
      }
    }
    this.stop();
  }

  private async rest(): Promise<void> {
    const { link, beatMs } = this.parts;
    const woken = new Promise<void>((resolve) => {
      this.wake = resolve;
    });
    await settledWithin(link.host.clock, beatMs, woken, () => undefined);
    this.wake = undefined;
  }

  /** Whether the log has it; otherwise it is stale. */
  private async put(word: Word): Promise<boolean> {
    const { link, log, isStale } = this.parts;
    const { clock } = link.host;
    const { connectTimeoutMs, publishTimeoutMs } = link.settings;
    const { signal } = this.ending;
    const record = writeEntry(word);
    while (!signal.aborted && !link.isClosed && !isStale(word)) {
      let failure: ReturnType<typeof failureOf>;
      try {
        await link.ready(connectTimeoutMs);
        const now = clock.now();
        const sentAt = this.sentAt.get(word.count) ?? now;
        this.sentAt.set(word.count, sentAt);
        await link.call(publishTimeoutMs, (client) => client.produce(log.name, 0, [record]));
        if (clock.now() - sentAt > OLD_MS) this.isDue = true;
        return true;
      } catch (error) {
        failure = failureOf(error, link.settings);
      }
      const isDenied = failure.kind === 'denied';
      if (isDenied || failure.kind === 'too-large')
        link.degrade(`the log of members refuses a word: ${failure.message}`);
      if (failure.kind === 'no-topic')
        await link.call(connectTimeoutMs, (client) => client.createTopic(log)).catch(() => undefined);
      await pause(clock, isDenied ? DENIED_PAUSE_MS : AGAIN_MS, signal);
    }
    return false;
  }
}
