/**
 * The reader's side of a stream: parts that have come and were not taken, and calls of `next` that wait for one. It knows neither
 * actors nor nodes: a call to one of this process, or of another, fills it.
 *
 * Invariant: all parts that were sent come first, in order, then one end, then nothing; after `return` and `abort` nothing at all.
 */

import { TroupeError } from '../../src/protocol/errors.ts';
import { PULLS_MAX } from '../../src/protocol/limits.ts';
import type { PartStream } from '../../src/protocol/part-stream.ts';

/** The call that fills a reader. */
export interface PartsCall {
  /** The reader has taken one more part. */
  taken(): void;
  /** Nobody reads any more. */
  breakOff(reason: TroupeError): void;
}

/** Makes the call. Throws, or fails the reader, where it cannot be made. */
export type OpenParts = (reader: PartReader) => PartsCall | undefined;

/** Which stream it is, for errors. */
export interface Subject {
  readonly address: string;
  readonly message: string;
}

type Step = IteratorResult<unknown, unknown>;
type End = { readonly result: unknown } | { readonly error: unknown };

/** A call of `next` without an answer. */
interface Pull {
  readonly fulfil: (step: Step) => void;
  readonly fail: (error: unknown) => void;
}

const DONE: IteratorReturnResult<undefined> = Object.freeze({ done: true, value: undefined });

/** What `stream` gives. */
export class PartReader implements PartStream<unknown, unknown> {
  private readonly subject: Subject;
  /** Undefined once it was called, or never will be. */
  private open: OpenParts | undefined;
  private call: PartsCall | undefined = undefined;
  private parts: unknown[] = [];
  private readonly asking: Pull[] = [];
  private end: End | undefined = undefined;
  /** The end was given out. */
  private isRead = false;
  private promised: { readonly promise: Promise<unknown>; readonly settle: (end: End) => void } | undefined =
    undefined;

  constructor(subject: Subject, open: OpenParts) {
    this.subject = subject;
    this.open = open;
  }

  // --- for the reader ---------------------------------------------------------------------------------------------

  next(): Promise<Step> {
    this.begin();
    if (this.parts.length > 0) {
      const value = this.parts.shift();
      this.call?.taken();
      return Promise.resolve({ done: false, value });
    }
    if (this.end !== undefined) return this.readEnd(this.end);
    if (this.asking.length >= PULLS_MAX) {
      const details = { pattern: this.subject.message, pullsMax: PULLS_MAX };
      return Promise.reject(new TroupeError('ERR_PULLS_FULL', details));
    }
    return new Promise((fulfil, fail) => {
      this.asking.push({ fulfil, fail });
    });
  }

  return(): Promise<IteratorReturnResult<undefined>> {
    if (!this.isRead) {
      const reason = new TroupeError('ERR_STREAM_BROKEN_OFF', this.subject);
      this.open = undefined;
      this.parts = [];
      this.end = { error: reason };
      this.noteRead(this.end);
      for (const { fulfil } of this.asking.splice(0)) fulfil(DONE);
      this.call?.breakOff(reason);
    }
    return Promise.resolve(DONE);
  }

  get result(): Promise<unknown> {
    if (this.promised === undefined) {
      this.promised = promisedEnd();
      if (this.isRead && this.end !== undefined) this.promised.settle(this.end);
    }
    return this.promised.promise;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  // --- for the call -----------------------------------------------------------------------------------------------

  /** A part has come. */
  take(value: unknown): void {
    if (this.end !== undefined) return;
    const pull = this.asking.shift();
    if (pull === undefined) {
      this.parts.push(value);
      return;
    }
    this.call?.taken();
    pull.fulfil({ done: false, value });
  }

  finish(result: unknown): void {
    this.ended({ result });
  }

  /** What has come before is still given out. */
  fail(error: unknown): void {
    this.ended({ error });
  }

  /** It is the reader's own will, or that of its turn: what has come is not given out any more. */
  abort(error: unknown): void {
    if (this.end === undefined) this.parts = [];
    this.fail(error);
  }

  private begin(): void {
    const { open } = this;
    if (open === undefined) return;
    this.open = undefined;
    try {
      this.call = open(this);
    } catch (error) {
      this.fail(error);
    }
  }

  private ended(end: End): void {
    if (this.end !== undefined) return;
    this.end = end;
    const [first, ...others] = this.asking.splice(0);
    if (first === undefined) return;
    this.noteRead(end);
    if ('error' in end) first.fail(end.error);
    else first.fulfil({ done: true, value: end.result });
    for (const { fulfil } of others) fulfil(DONE);
  }

  /** The end is given out once. */
  private readEnd(end: End): Promise<Step> {
    if (this.isRead) return Promise.resolve(DONE);
    this.noteRead(end);
    return 'error' in end ? Promise.reject(end.error) : Promise.resolve({ done: true, value: end.result });
  }

  private noteRead(end: End): void {
    this.isRead = true;
    this.promised?.settle(end);
  }
}

/** Who looks at it twice has heard of a failure already: it is never an unhandled rejection. */
function promisedEnd(): { readonly promise: Promise<unknown>; readonly settle: (end: End) => void } {
  let settle: (end: End) => void = () => undefined;
  const promise = new Promise((resolve, reject) => {
    settle = (end) => ('error' in end ? reject(end.error) : resolve(end.result));
  });
  promise.catch(() => undefined);
  return { promise, settle };
}
