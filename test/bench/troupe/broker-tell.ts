/** An actor of another process, by `tell`, which never waits; where the outbox has no room for it, `send` waits for that. */

import { actorCarrier } from '../actors.ts';
import { runPair } from '../pair.ts';

const timeoutMs = 600_000;

await runPair(
  actorCarrier((ref, text, priority) => {
    if (ref.tell('work', text, { priority }) === 'accepted') return undefined;
    return ref.send('work', text, { priority, timeoutMs });
  }),
  import.meta.url,
);
