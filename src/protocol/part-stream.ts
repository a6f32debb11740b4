/**
 * The parts of a stream, as whoever asked for them reads them: with `for await`, or by `next()`. One reader, in order, each part
 * once. The rules are those of Reactive Streams (reactive-streams.org, 1.0.4): never more than demanded, one end, nothing after it.
 */

/**
 * The parts of one stream. The call is made with the first `next()`: until then it costs nothing, and nobody works for it.
 */
export interface PartStream<out Part, out Result = void> {
  /**
   * The next part; at the end, once, the result with `done: true`. Rejects once when the stream fails, after all parts that were
   * sent before: with what an ask rejects with (`ERR_ACTOR_FAILED`, `ERR_ACTOR_STOPPED`, ...), with `ERR_STREAM_TIMEOUT`, with
   * the reason of its signal. Beyond 1,000 calls without an answer: `ERR_PULLS_FULL`.
   */
  next(): Promise<IteratorResult<Part, Result | undefined>>;
  /** Breaks off: the producer's signal is aborted and its generator returned. `break` and an error in a loop come to this. */
  return(): Promise<IteratorReturnResult<undefined>>;
  /**
   * What the stream returned. Settles when its end has been read, not before: it asks for no parts. Rejects as `next()` does, and with
   * `ERR_STREAM_BROKEN_OFF` where the reader broke off.
   */
  readonly result: Promise<Result>;
  [Symbol.asyncIterator](): PartStream<Part, Result>;
}

/** What the handler of a stream returns: an `async *` function gives it. */
export type Parts<Part, Result> = AsyncGenerator<Part, Result, void>;
