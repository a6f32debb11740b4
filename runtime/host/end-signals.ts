/** Signals that ask the process to end: the first one is answered in good order, the second one at once. */

import type { HostProcess } from '../../src/protocol/clock.ts';
import { PROCESS_END_MS } from '../../src/protocol/limits.ts';
import { END_SIGNALS, type EndSignal } from '../../src/protocol/shutdown.ts';

/** What a shell adds to the number of the signal that ended a process. */
const EXIT_CODE_BASE = 128;

/**
 * Listens until the answer is called. At the first signal it calls `shutDown` and, when that has resolved, lets the
 * process end with the signal's exit code; at any further one it ends the process.
 */
export function endOnSignals(
  process: HostProcess,
  signals: readonly EndSignal[],
  shutDown: () => Promise<void>,
): () => void {
  let isEnding = false;
  const leaves = signals.map((signal) => {
    const code = EXIT_CODE_BASE + END_SIGNALS[signal];
    return process.onSignal(signal, () => {
      if (isEnding) {
        process.exit(code);
        return;
      }
      isEnding = true;
      const end = (): void => process.end(code, PROCESS_END_MS);
      shutDown().then(end, end);
    });
  });
  return () => {
    for (const leave of leaves) leave();
  };
}
