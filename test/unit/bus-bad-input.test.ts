import { describe, expect, it } from 'vitest';
import { MessageBus } from '../../src/index.ts';
import { busBench } from '../support/test-bus.ts';

/** As a program without types would call it. */
type Untyped = Record<
  'publish' | 'request' | 'subscribe' | 'unsubscribe' | 'replay',
  (...args: unknown[]) => Promise<unknown>
> &
  Record<'messages' | 'pending', (...args: unknown[]) => unknown>;

const untyped = (bus: MessageBus): Untyped => bus as unknown as Untyped;
const invalid = (option: string): unknown =>
  expect.objectContaining({ code: 'ERR_OPTION_INVALID', details: expect.objectContaining({ option }) });

describe('options of a bus', () => {
  it.each([
    ['brokr', { brokr: 1 }],
    ['name', { name: '' }],
    ['name', { name: '9lives' }],
    ['capacity', { capacity: 0 }],
    ['capacity', { capacity: 1.5 }],
    ['backpressure', { backpressure: true }],
    ['backpressure.threshold', { backpressure: { threshold: 1.1 } }],
    ['backpressure.threshold', { backpressure: { threshold: Number.NaN } }],
    ['backpressure.threshold', { backpressure: { threshold: '0.8' } }],
    ['backpressure.delayMs', { backpressure: { delayMs: -1 } }],
    ['backpressure.delayMs', { backpressure: { delayMs: Number.POSITIVE_INFINITY } }],
    ['delay', { backpressure: { delay: 1 } }],
    ['deadLetters.max', { deadLetters: { max: 0 } }],
    ['deadLetters.replaysMax', { deadLetters: { replaysMax: -1 } }],
    ['store', { store: {} }],
    ['store', { store: true }],
    ['schemas', { schemas: 1 }],
    ['schemas.t', { schemas: { t: {} } }],
    ['validate', { validate: 'always' }],
    ['validate', { validate: 'strict' }],
    ['asksInFlightMax', { asksInFlightMax: 0 }],
    ['log', { log: 'console' }],
    ['signals', { signals: ['SIGKILL'] }],
  ])('are refused by name: %s in %j', async (option, options) => {
    const { connect } = busBench();
    await expect(connect(options as never)).rejects.toMatchObject({ code: 'ERR_OPTION_INVALID' });
    const error = await connect(options as never).catch((thrown: unknown) => thrown);
    expect(String(error)).toContain(option.split('.').at(-1));
  });

  it.each([1, 'memory', [], () => 1])('are refused where they are no options: %s', async (options) => {
    await expect(MessageBus.connect(options as never)).rejects.toEqual(invalid('connect options'));
  });

  it('are refused where a schema stands at what is no pattern', async () => {
    const { connect } = busBench();
    const schema = {
      '~standard': { version: 1 as const, vendor: 'test', validate: (value: unknown) => ({ value }) },
    };
    await expect(connect({ schemas: { 'a..b': schema } })).rejects.toMatchObject({
      code: 'ERR_TOPIC_INVALID',
    });
  });
});

describe('a call of a bus', () => {
  const labels = [
    ['priority', { priority: 'asap' }],
    ['sender', { sender: '' }],
    ['sender', { sender: 'x'.repeat(201) }],
    ['sender', { sender: 'line\nbreak' }],
    ['correlationId', { correlationId: 7 }],
    ['headers', { headers: { a: 1 } }],
    ['timeoutMs', { timeoutMs: 0 }],
    ['timeoutMs', { timeoutMs: Number.NaN }],
    ['signal', { signal: {} }],
  ] as const;

  it.each([
    ...labels,
    ['ttlMs', { ttlMs: -1 }],
    ['ttlMs', { ttlMs: '30s' }],
    ['confirm', { confirm: true }],
    ['publish options', 'critical'],
    ['publish options', { prio: 'low' }],
  ] as const)('publish is refused by name: %s in %j', async (option, options) => {
    const { connect, settle } = busBench();
    const bus = await connect();
    const seen: unknown[] = [];
    await bus.subscribe('t', (message) => seen.push(message));
    const error = await untyped(bus)
      .publish('t', 1, options)
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'ERR_OPTION_INVALID' });
    expect(String(error)).toContain(option.split(' ')[0]);
    await settle();
    expect(seen).toEqual([]);
  });

  it.each([...labels, ['schema', { schema: 1 }], ['request options', { ttlMs: 1 }]] as const)(
    'request is refused by name: %s in %j',
    async (option, options) => {
      const { connect } = busBench();
      const bus = await connect();
      await bus.subscribe('t', (message) => message.reply(1));
      const error = await untyped(bus)
        .request('t', 1, options)
        .catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ code: 'ERR_OPTION_INVALID' });
      expect(String(error)).toContain(option.split(' ')[0]);
    },
  );

  it.each([
    '',
    'a..b',
    '../../etc/passwd',
    'a/b',
    'a b',
    'ü',
    'a.*',
    '#',
    'a.'.repeat(9),
    7,
    undefined,
    null,
  ])('refuses %j as a topic, whichever it is', async (topic) => {
    const { connect } = busBench();
    const bus = untyped(await connect());
    const refused = { code: expect.stringMatching(/ERR_TOPIC_INVALID|ERR_OPTION_INVALID/) };
    await expect(bus.publish(topic, 1)).rejects.toMatchObject(refused);
    await expect(bus.request(topic, 1)).rejects.toMatchObject(refused);
  });

  it.each(['', 'a.#.b', 'a*', '**', 'a..b', '../x', 7, undefined])(
    'refuses %j as a pattern',
    async (pattern) => {
      const { connect } = busBench();
      const bus = untyped(await connect());
      const refused = { code: expect.stringMatching(/ERR_TOPIC_INVALID|ERR_OPTION_INVALID/) };
      await expect(bus.subscribe(pattern, () => undefined)).rejects.toMatchObject(refused);
      expect(() => bus.messages(pattern)).toThrow(expect.objectContaining(refused));
      expect(() => bus.pending(pattern)).toThrow(expect.objectContaining(refused));
    },
  );

  it('subscribe, unsubscribe, messages, pending and replay name what they refuse', async () => {
    const { connect } = busBench();
    const bus = untyped(await connect());
    await expect(bus.subscribe('t')).rejects.toEqual(invalid('handler'));
    await expect(bus.subscribe('t', 'handler')).rejects.toEqual(invalid('handler'));
    await expect(bus.subscribe('t', () => undefined, { capacity: 0 })).rejects.toEqual(invalid('capacity'));
    await expect(bus.subscribe('t', () => undefined, { overflow: 'spill' })).rejects.toEqual(
      invalid('overflow'),
    );
    await expect(bus.unsubscribe({})).rejects.toEqual(invalid('subscription'));
    await expect(bus.unsubscribe(undefined)).rejects.toEqual(invalid('subscription'));
    expect(() => bus.messages('t', { window: 0 })).toThrow(
      expect.objectContaining({ code: 'ERR_OPTION_INVALID' }),
    );
    expect(() => bus.pending('t', { limit: 0 })).toThrow(
      expect.objectContaining({ code: 'ERR_OPTION_INVALID' }),
    );
    await expect(bus.replay('t', () => undefined)).rejects.toEqual(invalid('replay'));
  });

  it('with a signal that was aborted before does nothing', async () => {
    const { connect, settle } = busBench();
    const bus = await connect();
    const seen: unknown[] = [];
    await bus.subscribe('t', (message) => seen.push(message));
    const signal = AbortSignal.abort('enough');
    await expect(bus.publish('t', 1, { signal })).rejects.toBe('enough');
    await expect(bus.publish('t', 1, { signal, confirm: 'handled' })).rejects.toBe('enough');
    await expect(bus.request('t', 1, { signal })).rejects.toBe('enough');
    await settle();
    expect(seen).toEqual([]);
  });
});
