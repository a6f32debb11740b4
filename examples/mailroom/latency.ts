/** Latencies in bounded memory: counted in buckets that grow by 5 %, so that a percentile is told within 5 %. */

const GROWTH = 1.05;
/** A microsecond: everything faster is counted as that. */
const SMALLEST_MS = 0.001;
/** 500 buckets reach from a microsecond to ten hours. */
const BUCKETS = 500;

/** Counts latencies. */
export class LatencyHistogram {
  readonly #buckets = new Uint32Array(BUCKETS);
  #count = 0;

  /** Latencies counted. */
  get count(): number {
    return this.#count;
  }

  /** Counts one latency. */
  record(latencyMs: number): void {
    const bucket = Math.ceil(Math.log(Math.max(latencyMs, SMALLEST_MS) / SMALLEST_MS) / Math.log(GROWTH));
    const index = Math.min(bucket, BUCKETS - 1);
    this.#buckets[index] = (this.#buckets[index] ?? 0) + 1;
    this.#count += 1;
  }

  /** Milliseconds that this share (0 to 1) of the latencies does not exceed; 0 if there are none. */
  percentileMs(share: number): number {
    if (this.#count === 0) return 0;
    const wanted = Math.max(1, Math.ceil(this.#count * share));
    let seen = 0;
    const index = this.#buckets.findIndex((count) => {
      seen += count;
      return seen >= wanted;
    });
    return SMALLEST_MS * GROWTH ** index;
  }
}
