/** Counts promises that were rejected and that nobody heard. */

/** Runs `body` and gives back what was rejected meanwhile, or in the macrotask after it, without anybody to hear it. */
export async function unhandledDuring(body: () => Promise<void>): Promise<unknown[]> {
  const unheard: unknown[] = [];
  const listener = (reason: unknown): void => {
    unheard.push(reason);
  };
  process.on('unhandledRejection', listener);
  try {
    await body();
    for (let round = 0; round < 3; round++) {
      await new Promise<void>((resolve) => {
        setImmediate(resolve);
      });
    }
  } finally {
    process.off('unhandledRejection', listener);
  }
  return unheard;
}
