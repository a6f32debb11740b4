/** Work for a processor, and nothing else: the same number of rounds is the same work, however busy the machine is. */

/** Does so many rounds. What it gives depends on all of them. */
export function burn(rounds: number): number {
  let word = 0x9e37_79b9;
  for (let round = 0; round < rounds; round++) {
    word ^= word << 13;
    word ^= word >>> 17;
    word ^= word << 5;
  }
  return word;
}

const ROUNDS_MIN = 1_000_000;
const TRIES = 5;

/** Rounds that take at least so many milliseconds of a processor, by the quickest of several tries. */
export function roundsFor(ms: number): number {
  burn(ROUNDS_MIN); // as it will be compiled
  let quickest = Number.POSITIVE_INFINITY;
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const before = usedMs();
    burn(10 * ROUNDS_MIN);
    quickest = Math.min(quickest, usedMs() - before);
  }
  return Math.ceil((10 * ROUNDS_MIN * ms) / quickest);
}

/** Milliseconds of a processor that this process has used. */
export function usedMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}
