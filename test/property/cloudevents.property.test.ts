// Goal: a message that becomes an event and comes back is the same message, by every way, and the official SDK reads it.
// Method: random messages through JSON, HTTP headers and the SDK's own reader.

import { type CloudEventV1, HTTP, CloudEvent as SdkEvent } from 'cloudevents';
import fc from 'fast-check';
import {
  decodeCloudEvents,
  type EventMessage,
  encodeCloudEvents,
  fromCloudEvent,
  fromCloudEventHttp,
  toCloudEvent,
  toCloudEventHttp,
} from 'troupe';
import { describe, expect, it } from 'vitest';
import { PRIORITIES } from '../../src/protocol/priority.ts';
import { RUNS, RUNS_TIMEOUT_MS } from '../support/runs.ts';

const segment = fc.stringMatching(/^[A-Za-z0-9_-]{1,12}$/);
const text = fc.string({ minLength: 1, unit: 'grapheme', maxLength: 20 });
const time = fc.integer({ min: 0, max: 4_102_444_800_000 });

const message = fc.record<EventMessage>({
  id: text,
  topic: fc.array(segment, { minLength: 1, maxLength: 8 }).map((segments) => segments.join('.')),
  payload: fc.oneof(
    fc.jsonValue({ maxDepth: 3 }).map((value) => JSON.parse(JSON.stringify(value)) as unknown),
    fc.uint8Array({ maxLength: 40, minLength: 1 }),
    fc.constant(undefined),
  ),
  priority: fc.constantFrom(...PRIORITIES),
  headers: fc.dictionary(fc.stringMatching(/^[a-z][a-z-]{0,10}$/), text, { maxKeys: 4 }),
  sender: fc.option(text, { nil: undefined }),
  correlationId: fc.option(text, { nil: undefined }),
  publishedAtMs: fc.option(time, { nil: undefined }),
  expiresAtMs: fc.option(time, { nil: undefined }),
});

describe('a message that becomes a CloudEvent', () => {
  it(
    'comes back as it was, through JSON, batches and HTTP headers, and is an event to the SDK',
    () => {
      fc.assert(
        fc.property(message, fc.webUrl(), (given, source) => {
          const event = toCloudEvent(given, { source });
          expect(fromCloudEvent(event)).toEqual(given);
          expect(
            decodeCloudEvents(encodeCloudEvents([event, event])).map((each) => fromCloudEvent(each)),
          ).toEqual([given, given]);
          const http = toCloudEventHttp(event);
          for (const value of Object.values(http.headers)) expect(value).toMatch(/^[\x20-\x7e]*$/);
          expect(fromCloudEventHttp(http).map((each) => fromCloudEvent(each))).toEqual([given]);

          expect(new SdkEvent({ ...event } as CloudEventV1<unknown>).id).toBe(given.id);
          const structured = HTTP.toEvent({
            headers: { 'content-type': 'application/cloudevents+json' },
            body: encodeCloudEvents(event),
          }) as SdkEvent<unknown>;
          expect(structured.subject).toBe(given.topic);
        }),
        { numRuns: RUNS },
      );
    },
    RUNS_TIMEOUT_MS,
  );
});
