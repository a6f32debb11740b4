/** Promises of this process that were rejected and that nobody heard, told to everybody who listens. */

type Listener = (reason: unknown) => void;

const listeners = new Set<Listener>();

function tell(reason: unknown): void {
  for (const listener of listeners) listener(reason);
}

/** Listens from now on; the answer stops it. While anybody listens, Node does not end the process for such a rejection. */
export function listenForRejections(listener: Listener): () => void {
  if (listeners.size === 0) process.on('unhandledRejection', tell);
  listeners.add(listener);
  return () => {
    if (listeners.delete(listener) && listeners.size === 0) process.off('unhandledRejection', tell);
  };
}
