/** Tests by chance: how long they go on, and the seed that repeats one. */

/** `TROUPE_SOAK=full` makes them long. */
export const IS_SOAKING = process.env['TROUPE_SOAK'] === 'full';

/** The seed of this run: `TROUPE_SEED`, or a new one. Whoever uses it prints it. */
export const SEED = Number(process.env['TROUPE_SEED'] ?? Math.floor(Math.random() * 2 ** 31));

/** Numbers from 0 to 1 that follow from a seed. The generator is mulberry32. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
