import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { agent } from '../../src/protocol/agent.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import { ask, protocol, tell } from '../../src/protocol/protocol.ts';
import { topic } from '../../src/protocol/topic.ts';

const Desk = protocol('desk', { note: tell(z.string()), find: ask(z.string(), z.string()) });
const handlers = { note: () => undefined, find: (_ctx: unknown, id: string) => id };

/** What is wrong with these options, as `option: given`. */
function refusal(options: object, on: object = handlers): string {
  try {
    agent(Desk, { on, ...options } as never);
  } catch (error) {
    if (!(error instanceof TroupeError) || error.code !== 'ERR_OPTION_INVALID') throw error;
    const { option, given } = error.details as { option: string; given: string };
    return `${option}: ${given}`;
  }
  return 'accepted';
}

describe('agent', () => {
  it('is a frozen definition with defaults applied', () => {
    const desk = agent(Desk, { on: handlers });
    expect(desk).toMatchObject({ kind: 'agent', protocol: Desk });
    expect(desk.options).toEqual({
      state: undefined,
      on: handlers,
      mailbox: {
        capacity: 1_000,
        overflow: 'backpressure',
        agingMs: 0,
        criticalReserve: 16,
        selfReserve: 16,
        waitersMax: 10_000,
        stashMax: 1_000,
      },
      turnTimeoutMs: 300_000,
      startTimeoutMs: 30_000,
      onFailure: 'fail',
      decide: undefined,
      subscribe: [],
      validate: 'boundary',
      onRestart: undefined,
      onStop: undefined,
      onTerminated: undefined,
      onIdle: undefined,
    });
    expect([desk, desk.options, desk.options.on, desk.options.mailbox].every(Object.isFrozen)).toBe(true);
  });

  it('takes undefined for every option', () => {
    const keys = ['state', 'internal', 'mailbox', 'turnTimeoutMs', 'startTimeoutMs', 'onFailure', 'decide'];
    const more = ['subscribe', 'validate', 'onRestart', 'onStop', 'onTerminated', 'onIdle'];
    expect(refusal(Object.fromEntries([...keys, ...more].map((key) => [key, undefined])))).toBe('accepted');
  });

  it('keeps what is given', () => {
    const Verdict = topic('mail.{label}', z.object({ id: z.string() }));
    const Learner = protocol('learner', { learn: tell(z.object({ id: z.string() })) });
    const spam = Verdict.where({ label: 'spam' });
    const learner = agent(Learner, {
      mailbox: {
        capacity: 1,
        overflow: 'drop-oldest',
        agingMs: 0.5,
        criticalReserve: 0,
        selfReserve: 0,
        waitersMax: 0,
      },
      turnTimeoutMs: Number.POSITIVE_INFINITY,
      onFailure: { retry: { attemptsMax: 5, backoff: { minMs: 0, maxMs: 0 } } },
      subscribe: [{ topic: spam, as: 'learn', overflow: 'latest', capacity: 7 }],
      on: { learn: () => undefined },
    });
    expect(learner.options).toMatchObject({
      mailbox: { capacity: 1, overflow: 'drop-oldest', agingMs: 0.5, criticalReserve: 0, stashMax: 1_000 },
      turnTimeoutMs: Number.POSITIVE_INFINITY,
      onFailure: { retry: { attemptsMax: 5, backoff: { minMs: 0, maxMs: 0, jitter: 0.2 } } },
      subscribe: [{ topic: spam, as: 'learn', overflow: 'latest', capacity: 7 }],
    });
  });

  it.each([
    [{ mailbox: { capacity: 0 } }, 'mailbox.capacity: 0'],
    [{ mailbox: { capacity: 1.5 } }, 'mailbox.capacity: 1.5'],
    [{ mailbox: { capacity: Number.POSITIVE_INFINITY } }, 'mailbox.capacity: Infinity'],
    [{ mailbox: { capacity: '5' } }, "mailbox.capacity: '5'"],
    [{ mailbox: { criticalReserve: -1 } }, 'mailbox.criticalReserve: -1'],
    [{ mailbox: { selfReserve: Number.NaN } }, 'mailbox.selfReserve: NaN'],
    [{ mailbox: { waitersMax: null } }, 'mailbox.waitersMax: null'],
    [{ mailbox: { stashMax: 2 ** 53 } }, 'mailbox.stashMax: 9007199254740992'],
    [{ mailbox: { agingMs: -1 } }, 'mailbox.agingMs: -1'],
    [{ mailbox: { overflow: 'latest' } }, "mailbox.overflow: 'latest'"],
    [{ mailbox: { size: 5 } }, 'mailbox.size: 5'],
    [{ mailbox: 5 }, 'mailbox: 5'],
    [{ mailbox: [] }, 'mailbox: an array of 0'],
    [{ turnTimeoutMs: 0 }, 'turnTimeoutMs: 0'],
    [{ turnTimeoutMs: 2 ** 31 }, 'turnTimeoutMs: 2147483648'],
    [{ startTimeoutMs: Number.POSITIVE_INFINITY }, 'startTimeoutMs: Infinity'],
    [{ startTimeoutMs: '5s' }, "startTimeoutMs: '5s'"],
    [{ state: {} }, 'state: an object'],
    [{ decide: 'stop' }, "decide: 'stop'"],
    [{ onFailure: 'retry' }, "onFailure: 'retry'"],
    [{ onFailure: {} }, 'onFailure.retry: undefined'],
    [{ onFailure: { retry: { attemptsMax: 0 } } }, 'onFailure.retry.attemptsMax: 0'],
    [{ onFailure: { retry: { backoff: { jitter: 2 } } } }, 'onFailure.retry.backoff.jitter: 2'],
    [{ onFailure: { retry: { backoff: { minMs: 5, maxMs: 4 } } } }, 'onFailure.retry.backoff.maxMs: 4'],
    [{ validate: true }, 'validate: true'],
    [{ subscribe: {} }, 'subscribe: an object'],
    [{ subscribe: [5] }, 'subscribe[0]: 5'],
    [{ subscribe: [{ topic: 'a.b', as: 'note' }] }, "subscribe[0].topic: 'a.b'"],
    [
      { subscribe: [{ topic: topic('a', z.string()), as: 'note', overflow: 'drop-oldest' }] },
      "subscribe[0].overflow: 'drop-oldest'",
    ],
    [{ subscribe: [{ as: 'find' }] }, "subscribe[0].as: 'find'"],
    [{ subscribe: [{ as: 'constructor' }] }, "subscribe[0].as: 'constructor'"],
    [{ onStop: 1 }, 'onStop: 1'],
    [{ turnTimeOutMs: 5 }, 'turnTimeOutMs: 5'],
    [{ internal: { note: tell() } }, "internal.note: 'note'"],
    [{ internal: { tick: ask(z.string(), z.string()) } }, "internal.tick: 'ask'"],
    [{ internal: { tick: 'tell' } }, "internal: tick: 'tell'"],
  ])('refuses %j', (options, refused) => {
    expect(refusal(options)).toBe(refused);
  });

  it('refuses a missing handler, a handler of nothing and a handler that is no function', () => {
    const { note, find } = handlers;
    expect(refusal({}, { note })).toBe('on.find: undefined');
    expect(refusal({}, { note, find, forget: note })).toBe('on.forget: a function');
    expect(refusal({}, { note, find, toString: note })).toBe('on.toString: a function');
    expect(refusal({}, { note, find: 5 })).toBe('on.find: 5');
    expect(refusal({ internal: { tick: tell() } })).toBe('on.tick: undefined');
    expect(refusal({ on: undefined })).toBe('on: undefined');
    expect(refusal({}, { note, find, tick: note })).toBe('on.tick: a function');
  });

  it('refuses to look for a handler in a prototype', () => {
    const Odd = protocol('odd', { toString: tell() });
    expect(() => agent(Odd, { on: {} } as never)).toThrow(/on\.toString/);
  });

  it('refuses what is no protocol and what are no options', () => {
    expect(() => agent('desk' as never, { on: {} } as never)).toThrow(/agent protocol/);
    expect(() => agent(Desk, undefined as never)).toThrow(/Option options/);
    expect(() => agent(Desk, null as never)).toThrow(/Option options/);
  });
});
