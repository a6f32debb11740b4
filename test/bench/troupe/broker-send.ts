/** An actor of another process, by `send`: each resolves when the broker has the message, as a publish of the bare client does. */

import { actorCarrier } from '../actors.ts';
import { runPair } from '../pair.ts';

const timeoutMs = 600_000;

await runPair(
  actorCarrier((ref, text, priority) => ref.send('work', text, { priority, timeoutMs })),
  import.meta.url,
);
