/** The real process: its signals and its end. One for all systems in it, so that the first to end does not end the others. */

import type { HostProcess } from '../../src/protocol/clock.ts';

/** Listeners of all systems of this process. */
let listening = 0;

/** This process. */
export const systemProcess: HostProcess = {
  onSignal: (signal, listener) => {
    let isListening = true;
    listening++;
    process.on(signal, listener);
    return () => {
      if (!isListening) return;
      isListening = false;
      listening--;
      process.off(signal, listener);
    };
  },
  end: (code, withinMs) => {
    process.exitCode = code;
    // Another system that listens is ending as well, or was not meant: whoever ends last calls again.
    if (listening > 0) return;
    setTimeout(() => process.exit(code), withinMs).unref();
  },
  exit: (code) => {
    process.exit(code);
  },
};
