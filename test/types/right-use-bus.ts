/** What must compile of the bus, on both compilers, with `exactOptionalPropertyTypes`. */

import {
  type BusHandler,
  type BusMessage,
  type HandledReceipt,
  MessageBus,
  type PublishReceipt,
  type Subscription,
  type,
} from 'troupe';
import * as v from 'valibot';
import { z } from 'zod';

/** Compiles only if both types are the same. */
function same<A, B>(
  ..._proof: (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? [] : [never]
): void {}

declare const confirm: 'accepted' | 'handled' | undefined;
declare const log: BusHandler;

export async function busUse(signal: AbortSignal | undefined): Promise<void> {
  await using bus = await MessageBus.connect({
    capacity: 100,
    backpressure: { threshold: 0.8, delayMs: 10 },
    deadLetters: { max: 100, replaysMax: undefined },
    schemas: { 'a.b': z.object({ n: z.number() }), 'c.#': v.string(), typed: type<number>() },
    validate: 'strict',
    store: undefined,
  });
  same<typeof bus, MessageBus>();

  // The receipt says what was waited for.
  const accepted = await bus.publish('a.b', { n: 1 }, { priority: 'critical', ttlMs: undefined, signal });
  same<typeof accepted, PublishReceipt>();
  const handled = await bus.publish('a.b', { n: 1 }, { confirm: 'handled' });
  same<typeof handled, HandledReceipt>();
  const either = await bus.publish('a.b', { n: 1 }, { confirm });
  same<typeof either, PublishReceipt>();

  // The reply is what the schema makes of it; unknown without one.
  const Answer = z.object({ text: z.string(), score: z.coerce.number() });
  const answer = await bus.request('q', 1, { schema: Answer, timeoutMs: 1_000 });
  same<typeof answer, { text: string; score: number }>();
  const short = await bus.request('q', 1, { schema: v.pipe(v.string(), v.transform(Number)) });
  same<typeof short, number>();
  const unknown = await bus.request('q', 1, { signal });
  same<typeof unknown, unknown>();

  // Payloads are unknown until the subscriber says what they are.
  const subscription = await bus.subscribe('a.*', (message) => {
    same<typeof message, BusMessage>();
    same<typeof message.payload, unknown>();
  });
  same<typeof subscription, Subscription>();
  await bus.subscribe<{ n: number }>('a.b', ({ payload, reply }) => reply(payload.n), {
    group: 'workers',
    concurrency: 4,
    overflow: 'latest',
    retry: { attemptsMax: 3, backoff: undefined },
  });
  await bus.subscribe('#', log);
  await bus.unsubscribe(subscription);

  for await (const message of bus.messages<string>('c.#', { window: 16, signal })) {
    same<typeof message.payload, string>();
    if (message.isRequest) message.reply(message.payload.length);
  }
  const count = await bus.replay<{ n: number }>('a.b', ({ payload }) => payload.n, { fromMs: 0, signal });
  same<typeof count, number>();
  for await (const letter of bus.deadLetters) await bus.deadLetters.replay(letter.id);
  for (const { payload, waitingAt } of bus.pending('#', { limit: 5 }))
    same<[typeof payload, typeof waitingAt], [unknown, number]>();
  const { backpressure, store } = await bus.stats();
  same<typeof backpressure.brakedMs, number>();
  same<typeof store, Awaited<ReturnType<MessageBus['stats']>>['store']>();
  await bus.close({ drainMs: 100 });
}
