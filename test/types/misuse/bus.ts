import { MessageBus } from 'troupe';
import { z } from 'zod';

declare const bus: MessageBus;

// Connecting.
// error: 'capcity' does not exist
MessageBus.connect({ capcity: 10 });
// error: 'delay' does not exist
MessageBus.connect({ backpressure: { threshold: 0.8, delay: 10 } });
// error: 'string' is not assignable to type 'number'
MessageBus.connect({ backpressure: { threshold: '0.8' } });
// error: '"always"' is not assignable
MessageBus.connect({ validate: 'always' });

// Publishing.
bus.publish('t', { n: 1 }, { confirm: 'accepted' }).then(({ delivered }) => delivered);
// error: '"loud"' is not assignable
bus.publish('t', 1, { priority: 'loud' });
// error: 'ttl' does not exist
bus.publish('t', 1, { ttl: 30 });
// error: Expected 2-3 arguments, but got 1
bus.publish('t');
// error: Property 'handled' does not exist on type 'PublishReceipt'
bus.publish('t', 1).then((receipt) => receipt.handled);

// Requesting.
const Answer = z.object({ text: z.string() });
bus.request('q', 1, { schema: Answer }).then((answer) => answer.text);
// error: Property 'score' does not exist
bus.request('q', 1, { schema: Answer }).then((answer) => answer.score);
// error: 'answer' is of type 'unknown'
bus.request('q', 1).then((answer) => answer.text);
// error: 'ttlMs' does not exist
bus.request('q', 1, { ttlMs: 30 });
// error: 'text' does not exist in type 'Schema
bus.request('q', 1, { schema: { text: 'string' } });

// Subscribing.
bus.subscribe<{ n: number }>('t', (message) => message.payload.n);
// error: 'message.payload' is of type 'unknown'
bus.subscribe('t', (message) => message.payload.n);
// error: Cannot assign to 'payload' because it is a read-only property
bus.subscribe('t', (message) => (message.payload = 1));
// error: '"spill"' is not assignable
bus.subscribe('t', () => undefined, { overflow: 'spill' });
// error: Property 'unsubscribe' is missing
bus.unsubscribe({ pattern: 't' });
