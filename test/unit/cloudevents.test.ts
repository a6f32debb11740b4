import { type CloudEventV1, HTTP, CloudEvent as SdkEvent } from 'cloudevents';
import {
  type CloudEvent,
  decodeCloudEvents,
  type EventMessage,
  encodeCloudEvents,
  fromCloudEvent,
  fromCloudEventHttp,
  toCloudEvent,
  toCloudEventHttp,
} from 'troupe';
import { describe, expect, it } from 'vitest';

const SOURCE = '/agents/fraud-detector';

const ALERT: EventMessage = {
  id: 'm-1',
  topic: 'fraud.alerts',
  payload: { account: 'a-7', score: 0.95 },
  priority: 'critical',
  headers: { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', tenant: 'acme' },
  sender: 'fraud-detector',
  correlationId: 'c-1',
  publishedAtMs: 1_700_000_000_123,
  expiresAtMs: 1_700_000_030_623,
};

const MINIMAL = { specversion: '1.0', id: '1', source: '/s', type: 'dev.troupe.a.b' } as const;

/** The event as the official SDK makes it, checked by its own strict constructor. */
function sdk(event: CloudEvent): SdkEvent<unknown> {
  return new SdkEvent<unknown>({ ...event } as CloudEventV1<unknown>);
}

describe('a message as a CloudEvent', () => {
  it('has the attributes of CloudEvents and the extensions of AMB', () => {
    expect(toCloudEvent(ALERT, { source: SOURCE })).toEqual({
      specversion: '1.0',
      id: 'm-1',
      source: SOURCE,
      type: 'dev.troupe.fraud.alerts',
      subject: 'fraud.alerts',
      time: '2023-11-14T22:13:20.123Z',
      datacontenttype: 'application/json',
      data: { account: 'a-7', score: 0.95 },
      ambpriority: 15,
      ambsender: 'fraud-detector',
      ambcorrelationid: 'c-1',
      ambttl: 31,
      expirytime: '2023-11-14T22:13:50.623Z',
      traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      troupeheaders: '{"tenant":"acme"}',
    });
  });

  it('says type prefix and data schema as told, and leaves out what the message does not have', () => {
    const options = { source: SOURCE, typePrefix: 'dev.agent-os', dataSchema: 'https://example.org/alert' };
    expect(toCloudEvent({ id: '1', topic: 'a', payload: undefined }, options)).toEqual({
      specversion: '1.0',
      id: '1',
      source: SOURCE,
      type: 'dev.agent-os.a',
      subject: 'a',
      dataschema: 'https://example.org/alert',
      ambpriority: 5,
    });
  });

  it('is an event to the official SDK', () => {
    const event = sdk(toCloudEvent(ALERT, { source: SOURCE }));
    expect(event.validate()).toBe(true);
    expect(event).toMatchObject({ id: 'm-1', type: 'dev.troupe.fraud.alerts', data: ALERT.payload });
    expect(event['ambpriority']).toBe(15);
  });

  it.each([
    ['critical', 15],
    ['urgent', 10],
    ['high', 8],
    ['normal', 5],
    ['low', 1],
    ['background', 0],
  ] as const)('keeps the number that AMB gives %s: %i', (priority, number) => {
    const event = toCloudEvent({ ...ALERT, priority }, { source: SOURCE });
    expect(event['ambpriority']).toBe(number);
    expect(fromCloudEvent(event).priority).toBe(priority);
  });

  it('carries its trace as the tracing extension of CloudEvents does', () => {
    const headers = {
      traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      tracestate: 'v=1',
    };
    expect(toCloudEvent({ ...ALERT, headers }, { source: SOURCE })).toMatchObject(headers);
  });

  it('comes back as it was', () => {
    expect(fromCloudEvent(toCloudEvent(ALERT, { source: SOURCE }))).toEqual(ALERT);
  });

  it('carries bytes as base64, which the SDK reads', () => {
    const payload = new Uint8Array([9, 0, 1, 254, 255, 9]).subarray(1, 5);
    const event = toCloudEvent({ ...ALERT, payload }, { source: SOURCE });
    expect(event).toMatchObject({ data_base64: 'AAH+/w==', datacontenttype: 'application/octet-stream' });
    expect(fromCloudEvent(event).payload).toEqual(payload);
    expect(Buffer.from(sdk(event).data as Uint8Array)).toEqual(Buffer.from(payload));
  });

  it.each([
    ['a topic outside the grammar', { topic: 'a..b' }, 'ERR_TOPIC_INVALID'],
    ['an id that is empty', { id: '' }, 'ERR_CLOUD_EVENT_INVALID'],
    ['a priority that is none', { priority: 'loud' as 'low' }, 'ERR_OPTION_INVALID'],
    ['a time that is none', { publishedAtMs: Number.NaN }, 'ERR_OPTION_INVALID'],
  ])('is refused with %s', (_what, wrong, code) => {
    expect(() => toCloudEvent({ ...ALERT, ...wrong }, { source: SOURCE })).toThrow(
      expect.objectContaining({ code }),
    );
  });

  it.each([[undefined], [{ source: '' }], [{ source: SOURCE, prefix: 'x' }]])(
    'needs its options: %j',
    (options) => {
      expect(() => toCloudEvent(ALERT, options as { source: string })).toThrow(/source|options|prefix/);
    },
  );
});

describe('a CloudEvent as a message', () => {
  it('has the topic of its subject, else of its type without the prefix, else the one that is named', () => {
    expect(fromCloudEvent({ ...MINIMAL, subject: 'x.y' }).topic).toBe('x.y');
    expect(fromCloudEvent({ ...MINIMAL, subject: 'not a topic' }).topic).toBe('a.b');
    expect(
      fromCloudEvent({ ...MINIMAL, type: 'dev.agent-os.a.b' }, { typePrefix: 'dev.agent-os' }).topic,
    ).toBe('a.b');
    expect(fromCloudEvent({ ...MINIMAL, type: 'com.github.pull' }).topic).toBe('com.github.pull');
    expect(fromCloudEvent({ ...MINIMAL, type: 'https://x/y' }, { topic: 'web.hook' }).topic).toBe('web.hook');
    expect(() => fromCloudEvent({ ...MINIMAL, type: 'https://x/y' })).toThrow(/name one by the option topic/);
  });

  it.each([
    [99, 'critical'],
    [12, 'urgent'],
    [9, 'high'],
    [7, 'normal'],
    [3, 'low'],
    [-4, 'background'],
    ['8', 'high'],
  ])('of a priority between two levels has the lower one: %j is %s', (ambpriority, priority) => {
    expect(fromCloudEvent({ ...MINIMAL, ambpriority }).priority).toBe(priority);
  });

  it('is normal, without sender, deadline and headers, when it says nothing of them', () => {
    expect(fromCloudEvent(MINIMAL)).toEqual({
      id: '1',
      topic: 'a.b',
      payload: undefined,
      priority: 'normal',
      headers: {},
    });
  });

  it('expires at its expirytime, or ambttl seconds after its time', () => {
    const time = '2023-11-14T22:13:20Z';
    expect(fromCloudEvent({ ...MINIMAL, time, ambttl: 30 }).expiresAtMs).toBe(1_700_000_030_000);
    expect(
      fromCloudEvent({ ...MINIMAL, time, ambttl: 30, expirytime: '2023-11-14T22:13:21+00:00' }).expiresAtMs,
    ).toBe(1_700_000_001_000);
    expect(fromCloudEvent({ ...MINIMAL, ambttl: 30 }).expiresAtMs).toBeUndefined();
  });

  it('keeps extensions that it does not know, there and back', () => {
    const message = fromCloudEvent({ ...MINIMAL, partitionkey: 'k1', sampledrate: 30 });
    expect(message.headers).toEqual({ 'cloudevents-partitionkey': 'k1', 'cloudevents-sampledrate': '30' });
    expect(toCloudEvent(message, { source: '/s' })).toMatchObject({ partitionkey: 'k1', sampledrate: '30' });
  });

  it.each([
    ['no object', 'an event'],
    ['another version', { ...MINIMAL, specversion: '0.3' }],
    ['no id', { ...MINIMAL, id: '' }],
    ['no source', { ...MINIMAL, source: undefined }],
    ['a type that is no text', { ...MINIMAL, type: 7 }],
    ['a name in capitals', { ...MINIMAL, Tenant: 'x' }],
    ['an extension that is an object', { ...MINIMAL, tenant: {} }],
    ['an integer of more than 32 bits', { ...MINIMAL, tenant: 2 ** 31 }],
    ['a time that is none', { ...MINIMAL, time: 'yesterday' }],
    ['a month 13', { ...MINIMAL, time: '2023-13-14T22:13:20Z' }],
    ['data twice', { ...MINIMAL, data: 1, data_base64: 'AA==' }],
    ['a ttl that is no number', { ...MINIMAL, time: '2023-11-14T22:13:20Z', ambttl: 'soon' }],
    ['a priority that is no number', { ...MINIMAL, ambpriority: 'high' }],
    ['headers that are no JSON', { ...MINIMAL, troupeheaders: '{' }],
    ['headers that are no strings', { ...MINIMAL, troupeheaders: '{"a":1}' }],
  ])('refuses what is no event, and says why: %s', (_what, event) => {
    expect(() => fromCloudEvent(event as CloudEvent)).toThrow(
      expect.objectContaining({ code: 'ERR_CLOUD_EVENT_INVALID', retryable: false }),
    );
  });
});

describe('CloudEvents as JSON', () => {
  it('are one object for one, and a batch for several, which the SDK reads', () => {
    const event = toCloudEvent(ALERT, { source: SOURCE });
    expect(decodeCloudEvents(encodeCloudEvents(event))).toEqual([event]);
    expect(JSON.parse(encodeCloudEvents(event))).toEqual(sdk(event).toJSON());

    const batch = encodeCloudEvents([event, MINIMAL]);
    expect(decodeCloudEvents(batch)).toEqual([event, MINIMAL]);
    const headers = { 'content-type': 'application/cloudevents-batch+json' };
    const read = HTTP.toEvent({ headers, body: batch }) as SdkEvent<unknown>[];
    expect(read.map(({ id }) => id)).toEqual(['m-1', '1']);
    expect(decodeCloudEvents(encodeCloudEvents([]))).toEqual([]);
  });

  it('are read from what the SDK writes', () => {
    const written = new SdkEvent({
      source: '/sdk',
      type: 'com.example.made',
      data: { n: 1 },
      subject: 'made',
    });
    const [event] = decodeCloudEvents(written.toString());
    expect(event).toMatchObject({ id: written.id, source: '/sdk', data: { n: 1 } });
  });

  it('are refused beyond their bounds, and when they are no JSON', () => {
    expect(() => decodeCloudEvents('{"id":')).toThrow(/not JSON/);
    expect(() => decodeCloudEvents(' '.repeat(8_388_609))).toThrow(/longer than 8388608/);
    const many = JSON.stringify(Array.from({ length: 1_001 }, () => MINIMAL));
    expect(() => decodeCloudEvents(many)).toThrow(/batch of 1001 is more than 1000/);
    expect(() => encodeCloudEvents({ ...MINIMAL, data: 1n })).toThrow(/cannot be written as JSON/);
  });
});

describe('CloudEvents over HTTP', () => {
  it('are headers and a body that the SDK reads', () => {
    const event = toCloudEvent(ALERT, { source: SOURCE });
    const { headers, body } = toCloudEventHttp(event);
    expect(headers).toMatchObject({
      'content-type': 'application/json',
      'ce-specversion': '1.0',
      'ce-id': 'm-1',
      'ce-ambpriority': '15',
    });
    const read = HTTP.toEvent({ headers: { ...headers }, body }) as SdkEvent<unknown>;
    expect(read).toMatchObject({ id: 'm-1', source: SOURCE, subject: 'fraud.alerts', data: ALERT.payload });
  });

  it('come back as they were, whatever the case of the header names', () => {
    const event = toCloudEvent(ALERT, { source: SOURCE });
    const { headers, body } = toCloudEventHttp(event);
    const shouted = Object.fromEntries(
      Object.entries(headers).map(([name, text]) => [name.toUpperCase(), text]),
    );
    const [read] = fromCloudEventHttp({ headers: shouted, body });
    expect(read === undefined ? undefined : fromCloudEvent(read)).toEqual(ALERT);
  });

  it('encode what a header cannot hold', () => {
    const event = { ...MINIMAL, subject: 'Euro € 😀 "50 %"\n' };
    const { headers } = toCloudEventHttp(event);
    // The first two are the examples of the HTTP binding, section 3.1.3.2.
    expect(headers['ce-subject']).toBe('Euro%20%E2%82%AC%20%F0%9F%98%80%20%2250%20%25%22%0A');
    expect(fromCloudEventHttp({ headers })).toEqual([event]);
    expect(
      fromCloudEventHttp({ headers: { ...headers, 'ce-subject': '"quoted \\"text\\""' } })[0]?.subject,
    ).toBe('quoted "text"');
  });

  it('are read from what the SDK writes, in binary, structured and batched mode', () => {
    const written = new SdkEvent({ source: '/sdk', type: 'com.example.made', data: { n: 1 }, ext: 'x' });
    const expected = { id: written.id, source: '/sdk', type: 'com.example.made', data: { n: 1 }, ext: 'x' };
    for (const { headers, body } of [HTTP.binary(written), HTTP.structured(written)]) {
      const content = { headers: headers as Record<string, string>, body: body as string };
      expect(fromCloudEventHttp(content)).toEqual([expect.objectContaining(expected)]);
    }
    const batch = { 'Content-Type': 'application/cloudevents-batch+json; charset=utf-8' };
    expect(fromCloudEventHttp({ headers: batch, body: `[${written.toString()}]` })).toHaveLength(1);
  });

  it('carry text and bytes by their content type', () => {
    const text: CloudEvent = { ...MINIMAL, datacontenttype: 'text/plain', data: 'plain' };
    expect(toCloudEventHttp(text).body).toBe('plain');
    expect(fromCloudEventHttp(toCloudEventHttp(text))).toEqual([text]);
    const bytes: CloudEvent = {
      ...MINIMAL,
      datacontenttype: 'application/octet-stream',
      data_base64: 'AAH+/w==',
    };
    expect(toCloudEventHttp(bytes).body).toEqual(new Uint8Array([0, 1, 254, 255]));
    expect(fromCloudEventHttp(toCloudEventHttp(bytes))).toEqual([bytes]);
    const quoted: CloudEvent = { ...MINIMAL, datacontenttype: 'application/json', data: 'a text' };
    expect(toCloudEventHttp(quoted).body).toBe('"a text"');
    expect(fromCloudEventHttp(toCloudEventHttp(quoted))).toEqual([quoted]);
  });

  it.each([
    ['no event', { headers: { 'content-type': 'application/json' }, body: '{}' }],
    [
      'a body that is not the JSON it claims',
      { headers: { ...toCloudEventHttp(MINIMAL).headers }, body: '{' },
    ],
    [
      'a batch where one event is announced',
      { headers: { 'content-type': 'application/cloudevents+json' }, body: '[]' },
    ],
    [
      'a header that is badly encoded',
      { headers: { ...toCloudEventHttp(MINIMAL).headers, 'ce-subject': '%E2%82' } },
    ],
    ['a body beyond the bound', { headers: {}, body: ' '.repeat(8_388_609) }],
  ])('are refused: %s', (_what, content) => {
    expect(() => fromCloudEventHttp(content)).toThrow(
      expect.objectContaining({ code: 'ERR_CLOUD_EVENT_INVALID' }),
    );
  });
});
