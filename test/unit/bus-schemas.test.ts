import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { memoryStore } from '../../adapters/store/index.ts';
import { type Schema, type } from '../../src/protocol/schema.ts';
import { busBench } from '../support/test-bus.ts';

const Task = z.object({ id: z.string(), attempts: z.number().default(1) });

describe('the schemas of a bus', () => {
  it('let a valid payload through as the schema makes it', async () => {
    const { connect, settle } = busBench();
    const bus = await connect({ schemas: { 'agent.tasks': Task } });
    const seen: unknown[] = [];
    await bus.subscribe('agent.tasks', ({ payload }) => seen.push(payload));
    await bus.publish('agent.tasks', { id: 'a', unknown: 1 });
    await settle();
    expect(seen).toEqual([{ id: 'a', attempts: 1 }]);
  });

  it('refuse an invalid one with path and value, before anybody gets it', async () => {
    const { connect, settle } = busBench();
    const bus = await connect({
      schemas: { orders: z.object({ lines: z.array(z.object({ amount: z.number() })) }) },
    });
    const seen: unknown[] = [];
    await bus.subscribe('orders', ({ payload }) => seen.push(payload));
    const payload = { lines: [{ amount: 'seven' }] };
    const calls = [() => bus.publish('orders', payload), () => bus.request('orders', payload)];
    for (const call of calls) {
      const error = await call().catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({
        code: 'ERR_MESSAGE_INVALID',
        details: {
          subject: "what was published to 'orders'",
          issues: [expect.stringContaining('lines.0.amount')],
        },
        cause: { path: 'lines.0.amount' },
      });
      const { cause } = error as { cause: { value: unknown } };
      expect(cause.value).toBe('seven');
      // Who logs the error does not log what users sent.
      expect(JSON.stringify(cause)).toBe('{"path":"lines.0.amount"}');
    }
    await settle();
    expect(seen).toEqual([]);
    expect(bus.deadLetters.stats().total).toBe(0);
  });

  it.each([
    ['a name before *', 'a.b', { 'a.b': 'exact', 'a.*': 'star', '#': 'hash' }, 'exact'],
    ['* before #', 'a.b', { 'a.*': 'star', 'a.#': 'hash' }, 'star'],
    ['from the left', 'a.b.c', { 'a.*.c': 'left', '*.b.c': 'right', 'a.*.#': 'rest' }, 'left'],
    ['# fits the topic itself', 'a', { 'a.#': 'rest', '#': 'all' }, 'rest'],
    ['an end before #', 'a', { a: 'exact', 'a.#': 'rest' }, 'exact'],
  ])('decide by the most specific pattern: %s', async (_what, topic, named, expected) => {
    const { connect, settle } = busBench();
    for (const entries of [Object.entries(named), Object.entries(named).toReversed()]) {
      const schemas = Object.fromEntries(
        entries.map(([pattern, name]) => [pattern, z.unknown().transform(() => name) as unknown as Schema]),
      );
      const bus = await connect({ schemas });
      const seen: unknown[] = [];
      await bus.subscribe('#', ({ payload }) => seen.push(payload));
      await bus.publish(topic, 1);
      await settle();
      expect(seen).toEqual([expected]);
    }
  });

  it('leave a topic without one alone when lenient, and refuse it when strict', async () => {
    const { connect } = busBench();
    const lenient = await connect({ schemas: { a: Task } });
    expect(await lenient.publish('b', 1)).toMatchObject({ delivered: 0 });
    const strict = await connect({ schemas: { a: Task }, validate: 'strict' });
    for (const call of [() => strict.publish('b', 1), () => strict.request('b', 1)])
      await expect(call()).rejects.toMatchObject({ code: 'ERR_SCHEMA_MISSING', details: { topic: 'b' } });
    expect(await strict.publish('a', { id: 'x' })).toMatchObject({ delivered: 0 });
  });

  it('may come from any library, and one that only types lets everything through', async () => {
    const { connect } = busBench();
    const bus = await connect({
      schemas: { valibot: v.object({ a: v.number() }), typed: type<string>() },
      validate: 'strict',
    });
    await expect(bus.publish('valibot', { a: 'x' })).rejects.toMatchObject({ cause: { path: 'a' } });
    expect(await bus.publish('typed', 1)).toMatchObject({ delivered: 0 });
  });

  it('that throw or answer with a promise refuse, and leave no rejection unheard', async () => {
    const { connect } = busBench();
    const throwing: Schema = {
      '~standard': {
        version: 1,
        vendor: 'test',
        validate: () => {
          throw new Error('broken schema');
        },
      },
    };
    const asynchronous: Schema = {
      '~standard': { version: 1, vendor: 'test', validate: () => Promise.reject(new Error('late')) },
    };
    const bus = await connect({ schemas: { throwing, asynchronous } });
    await expect(bus.publish('throwing', 1)).rejects.toMatchObject({
      code: 'ERR_MESSAGE_INVALID',
      details: { issues: ['the schema threw: broken schema'] },
    });
    await expect(bus.publish('asynchronous', 'x')).rejects.toMatchObject({ code: 'ERR_MESSAGE_INVALID' });
  });

  it('make a delivery that does not fit a dead letter `validation`: what was stored under another schema', async () => {
    const { connect } = busBench();
    const store = memoryStore();
    const before = await connect({ store });
    await before.publish('t', { id: 1 });
    await before.publish('t', { id: 'fits' });
    const bus = await connect({ store, schemas: { t: Task } });
    const seen: unknown[] = [];
    expect(await bus.replay('t', ({ payload }) => seen.push(payload))).toBe(1);
    expect(seen).toEqual([{ id: 'fits', attempts: 1 }]);
    expect(bus.deadLetters.list()).toMatchObject([{ reason: 'validation', topic: 't', payload: { id: 1 } }]);
  });
});
