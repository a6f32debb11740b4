import { describe, expect, it, vi } from 'vitest';
import { endingOf, Puppet, type PuppetContext, type PuppetRef, puppet } from '../support/puppet.ts';
import { testSystem } from '../support/test-system.ts';

const NOTHING = (): void => undefined;
const AT_ONCE = { minMs: 0, maxMs: 0 };

/** What untyped code may hand over. */
type Loose = { readonly [name: string]: (...parameters: unknown[]) => unknown };

describe('a decide', () => {
  it('that answers anything but a directive is reported, and the actor restarts', async () => {
    for (const [answer, shown] of [
      ['retry', "'retry'"],
      [undefined, 'undefined'],
    ]) {
      const { system, advance, logs } = await testSystem();
      const ref = await system.spawn(puppet({ decide: () => answer as 'stop' }), { backoff: AT_ONCE });
      ref.tell('act', () => Promise.reject(new Error('fail')));
      await advance(0);
      expect(system.inspect(ref)).toMatchObject({ status: 'running', generation: 1 });
      expect(logs.filter(({ text }) => text.startsWith('decide'))).toEqual([
        expect.objectContaining({
          level: 'warn',
          address: ref.address,
          text: `decide answered ${shown}; expected one of restart, resume, stop, escalate`,
          fields: undefined,
        }),
      ]);
    }
  });

  it('that throws is reported with what it threw, and the actor restarts', async () => {
    const { system, advance, logs } = await testSystem();
    const error = new Error('in decide');
    const decide = (): never => {
      throw error;
    };
    const ref = await system.spawn(puppet({ decide }), { backoff: AT_ONCE });
    ref.tell('act', () => Promise.reject(new Error('fail')));
    await advance(0);
    expect(system.inspect(ref)).toMatchObject({ status: 'running', generation: 1 });
    expect(logs.filter(({ text }) => text.startsWith('decide'))).toEqual([
      expect.objectContaining({
        level: 'warn',
        address: ref.address,
        text: 'decide threw; the actor is restarted',
        fields: { error },
      }),
    ]);
  });
});

describe('a decide that fails', () => {
  it.each<[string, () => 'stop']>([
    [
      'that throws',
      () => {
        throw new Error('in decide');
      },
    ],
    ['that answers nonsense', () => 'retry' as 'stop'],
  ])('%s means restart: a message with attempts left is tried again', async (_, decide) => {
    const { system, advance } = await testSystem();
    const onFailure = { retry: { attemptsMax: 2, backoff: AT_ONCE } };
    const ref = await system.spawn(puppet({ decide, onFailure }), { backoff: AT_ONCE });
    const attempts: number[] = [];
    ref.tell('act', (ctx) => {
      attempts.push(ctx.message.attempt);
      if (ctx.message.attempt === 1) throw new Error('fail');
    });
    await advance(100);
    expect(attempts).toEqual([1, 2]);
  });
});

describe('a bare call in a turn', () => {
  it.each([
    ['development', 1],
    ['production', 0],
  ])('is warned of once for its kind of agent (in %s: %i)', async (environment, warnings) => {
    vi.stubEnv('NODE_ENV', environment);
    const { system, settle, logs } = await testSystem();
    const target = await system.spawn(puppet());
    target.tell('act', NOTHING);
    const ref = await system.spawn(puppet());
    for (let n = 0; n < 2; n++) ref.tell('act', () => target.tell('act', NOTHING));
    await settle();
    expect(logs.filter(({ text }) => text.includes('inside a turn'))).toEqual(
      Array.from({ length: warnings }, () =>
        expect.objectContaining({
          level: 'warn',
          address: 'puppet',
          text: 'ref.tell() inside a turn is a call from outside; use ctx.tell(ref, ...) to carry sender and deadline',
        }),
      ),
    );
  });
});

describe('the warning of a bare call', () => {
  it.each([
    ['tell', (ref: PuppetRef) => ref.tell('act', NOTHING)],
    ['send', (ref: PuppetRef) => ref.send('act', NOTHING)],
    ['ask', (ref: PuppetRef) => ref.ask('answer', () => 1)],
    ['stream', (ref: PuppetRef) => ref.stream('flow', async function* () {})],
  ])('names the verb to use: %s', async (verb, call) => {
    vi.stubEnv('NODE_ENV', 'development');
    const { system, settle, logs } = await testSystem();
    const target = await system.spawn(puppet());
    const ref = await system.spawn(puppet());
    ref.tell('act', () => void call(target));
    await settle();
    expect(logs.map(({ text }) => text)).toContain(
      `ref.${verb}() inside a turn is a call from outside; use ctx.${verb}(ref, ...) to carry sender and deadline`,
    );
  });
});

describe('a message that an agent does not have', () => {
  it('is refused by name, with those that this verb takes', async () => {
    const { system, settle } = await testSystem();
    const ref = await system.spawn(puppet());
    const loose = ref as unknown as Loose;
    const long = 'x'.repeat(129);
    for (const [name, message] of [
      ['answer', 'answer'],
      ['next', 'next'],
      ['toString', 'toString'],
      [long, `'${'x'.repeat(60)}...' (129 characters)`],
      ['x'.repeat(128), 'x'.repeat(128)],
      [5, '5'],
      [undefined, 'undefined'],
    ])
      expect(() => loose['tell']?.(name, NOTHING)).toThrow(
        expect.objectContaining({
          code: 'ERR_MESSAGE_UNKNOWN',
          details: { protocol: Puppet.name, message, known: ['act'] },
        }),
      );
    let refused: unknown;
    try {
      await loose['ask']?.('act', NOTHING);
    } catch (error) {
      refused = error;
    }
    expect(refused).toMatchObject({
      code: 'ERR_MESSAGE_UNKNOWN',
      details: { protocol: Puppet.name, message: 'act', known: ['answer'] },
    });
    let own: unknown;
    ref.tell('act', (ctx: PuppetContext) => {
      try {
        ctx.continue('act' as 'next', NOTHING);
      } catch (error) {
        own = error;
      }
    });
    await settle();
    expect(own).toMatchObject({
      code: 'ERR_MESSAGE_UNKNOWN',
      details: { protocol: 'puppet (internal)', message: 'act', known: ['next'] },
    });
    // One that was told before is no help to another name.
    ref.tell('act', NOTHING);
    expect(() => loose['tell']?.('answer', NOTHING)).toThrow();
    const asked = endingOf(ref.ask('answer', () => 1));
    await settle();
    expect(asked.value).toBe(1);
  });
});
