import { describe, expect, it } from 'vitest';
import type { Terminated } from '../../src/protocol/context.ts';
import { type Act, deferred, Puppet, type PuppetRef, puppet } from '../support/puppet.ts';
import { type TestSystem, testSystem } from '../support/test-system.ts';

const FAIL = (): never => {
  throw new Error('fail');
};

interface Linked extends TestSystem<Record<never, never>> {
  /** The one that links. */
  readonly ref: PuppetRef;
  readonly notices: Terminated[];
  /** Errors of its failures. */
  readonly errors: unknown[];
  readonly act: (act: Act) => Promise<void>;
}

async function linking(options: Parameters<typeof puppet>[0] = {}): Promise<Linked> {
  const test = await testSystem();
  const notices: Terminated[] = [];
  const errors: unknown[] = [];
  const ref = await test.system.spawn(
    puppet({ onTerminated: (_ctx, notice) => notices.push(notice), ...options }),
    { backoff: { minMs: 10, maxMs: 10, jitter: 0 } },
  );
  test.system.events.subscribe((event) => {
    if (event.type === 'actor-failed' && event.address === ref.address) errors.push(event.error);
  });
  const act = async (each: Act): Promise<void> => {
    ref.tell('act', each);
    await test.settle();
  };
  return { ...test, ref, notices, errors, act };
}

const codesOf = (errors: readonly unknown[]): unknown[] =>
  errors.map((error) => (error as { readonly code?: unknown }).code);

describe('a link', () => {
  it('fails its owner with ERR_LINK_DIED and the cause when the other one fails for good, after onTerminated', async () => {
    const { system, settle, act, notices, errors, ref, advance } = await linking();
    const other = await system.spawn(puppet(), { restart: 'temporary' });
    await act((ctx) => {
      ctx.link(other);
      ctx.link(other);
    });
    other.tell('act', FAIL);
    await settle();
    expect(notices.map(({ reason }) => reason)).toEqual(['failed']);
    expect(errors).toMatchObject([
      {
        code: 'ERR_LINK_DIED',
        details: { address: ref.address, linked: other.address, reason: 'failed' },
        cause: { message: 'fail' },
      },
    ]);
    await advance(10);
    expect(system.inspect(ref)).toMatchObject({ generation: 1, status: 'running' });
  });

  it('fails its owner only after a promise of onTerminated has settled', async () => {
    const gate = deferred();
    const { system, settle, act, errors } = await linking({ onTerminated: () => gate.promise });
    await act((ctx) => ctx.link(system.ref(Puppet, 'nobody')));
    expect(errors).toEqual([]);
    gate.resolve();
    await settle();
    expect(codesOf(errors)).toEqual(['ERR_LINK_DIED']);
  });

  it.each(['normal', 'shutdown'] as const)('only tells of an end that is %s', async (reason) => {
    const { system, settle, act, notices, errors } = await linking();
    const other = await system.spawn(puppet());
    await act((ctx) => ctx.link(other));
    other.tell('act', (ctx) => ctx.stopSelf(reason));
    await settle();
    expect(notices.map((notice) => notice.reason)).toEqual([reason]);
    expect(errors).toEqual([]);
  });

  it('to the dead and the unknown fails its owner, never inside the call', async () => {
    const { system, settle, act, errors, advance } = await linking();
    const other = await system.spawn(puppet());
    await system.stop(other);
    let isReached = false;
    await act((ctx) => {
      ctx.link(other);
      isReached = true;
    });
    await advance(10);
    await act((ctx) => ctx.link(system.ref(Puppet, 'nobody')));
    await settle();
    expect([isReached, codesOf(errors)]).toEqual([true, ['ERR_LINK_DIED', 'ERR_LINK_DIED']]);
  });

  it('outlives restarts of both, silently', async () => {
    const { system, act, errors, notices, advance } = await linking();
    const other = await system.spawn(puppet(), { backoff: { minMs: 10, maxMs: 10, jitter: 0 } });
    await act((ctx) => ctx.link(other));
    other.tell('act', FAIL);
    await advance(10);
    await act(FAIL);
    await advance(10);
    expect(system.inspect(other)?.generation).toBe(1);
    expect([errors.length, notices.length]).toEqual([1, 0]);
    for (let i = 0; i < 3; i++) {
      other.tell('act', FAIL);
      await advance(10);
    }
    expect(codesOf(errors)).toEqual([undefined, 'ERR_LINK_DIED']);
  });

  it.each([
    ['link', 'unlink', [], []],
    ['link watch', 'unlink', ['failed'], []],
    ['watch link', 'unlink', ['failed'], []],
    ['link', 'unwatch', [], ['ERR_LINK_DIED']],
    ['link watch', 'unwatch', [], ['ERR_LINK_DIED']],
    ['link', 'unwatch watch', ['failed'], ['ERR_LINK_DIED']],
    ['link', 'unwatch link', ['failed'], ['ERR_LINK_DIED']],
    ['link', 'unlink link', ['failed'], ['ERR_LINK_DIED']],
    ['link watch', 'unlink unwatch', [], []],
    ['link watch', 'unwatch unlink', [], []],
    ['watch', 'unlink', ['failed'], []],
  ])('P43 goes together with watch: %s, then %s', async (before, after, told, failed) => {
    for (const isQueued of [false, true]) {
      const { system, settle, act, notices, errors } = await linking();
      const other = await system.spawn(puppet(), { restart: 'temporary' });
      const calls = (names: string): Act => {
        return (ctx) => {
          for (const name of names.split(' ')) ctx[name as 'link'](other);
        };
      };
      await act(calls(before));
      // With the notice queued behind the turn that changes its mind, a new call is about one who is dead already.
      if (isQueued && after.split(' ').some((name) => !name.startsWith('un'))) continue;
      if (isQueued) {
        const gate = deferred();
        await act(async (ctx) => {
          await gate.promise;
          calls(after)(ctx);
        });
        other.tell('act', FAIL);
        await settle();
        gate.resolve();
      } else {
        await act(calls(after));
        other.tell('act', FAIL);
      }
      await settle();
      expect([notices.map(({ reason }) => reason), codesOf(errors)]).toEqual([told, failed]);
    }
  });

  it('P42 fails its owner after everything the dead one had sent', async () => {
    const seen: string[] = [];
    const { system, settle, act, ref } = await linking({ onRestart: () => seen.push('failed') });
    const other = await system.spawn(puppet(), { restart: 'temporary' });
    await act((ctx) => ctx.link(other));
    system.suspend(ref);
    other.tell('act', (ctx) => {
      ctx.tell(ref, 'act', () => seen.push('last word'), { priority: 'background' });
      FAIL();
    });
    await settle();
    system.resume(ref);
    await settle();
    expect(seen).toEqual(['last word', 'failed']);
  });

  it('is up to decide: an owner may resume', async () => {
    const { system, act, ref, errors } = await linking({ decide: () => 'resume' });
    await act((ctx) => ctx.link(system.ref(Puppet, 'nobody')));
    expect(codesOf(errors)).toEqual(['ERR_LINK_DIED']);
    expect(system.inspect(ref)).toMatchObject({ generation: 0, status: 'running' });
  });

  it('fails its owner when the other one is killed', async () => {
    const { system, settle, act, notices, errors } = await linking();
    const other = await system.spawn(puppet(), { restart: 'temporary' });
    await act((ctx) => ctx.link(other));
    await system.kill(other);
    await settle();
    expect([notices.map(({ reason }) => reason), codesOf(errors)]).toEqual([['killed'], ['ERR_LINK_DIED']]);
  });

  it('leaves a dead letter of its notice that nobody can take for a message', async () => {
    const { system, act } = await linking();
    await act((ctx) => ctx.link(system.ref(Puppet, 'nobody')));
    const [letter] = system.deadLetters.list();
    expect(letter).toMatchObject({ message: '(terminated)', reason: 'handler-failed' });
  });

  it('P43 by name is taken back although the name leads elsewhere by now', async () => {
    const { system, settle, act, notices, errors } = await linking();
    const other = await system.spawn(puppet(), { name: 'other', restart: 'temporary' });
    const byName = system.ref(Puppet, 'other');
    const gate = deferred();
    await act(async (ctx) => {
      ctx.link(byName);
      await gate.promise;
      ctx.unlink(byName);
    });
    other.tell('act', FAIL);
    await settle();
    await system.spawn(puppet(), { name: 'other' });
    gate.resolve();
    await settle();
    expect([notices, errors]).toEqual([[], []]);
  });

  it('between two ends both when one fails, and nothing goes round in circles', async () => {
    const { system, settle } = await testSystem();
    const one = await system.spawn(puppet(), { restart: 'temporary' });
    const two = await system.spawn(puppet(), { restart: 'temporary' });
    one.tell('act', (ctx) => ctx.link(two));
    two.tell('act', (ctx) => ctx.link(one));
    await settle();
    one.tell('act', FAIL);
    await settle();
    expect([one, two].map((each) => system.inspect(each)?.status)).toEqual(['stopped', 'stopped']);
  });
});

describe('watching many', () => {
  it('P40 tells of 2,000 that end at once, once each; and lets go of as many', async () => {
    const { system, settle, act, notices } = await linking();
    const refs = await Promise.all(Array.from({ length: 4_000 }, () => system.spawn(puppet())));
    await act((ctx) => {
      for (const each of refs) ctx.watch(each);
    });
    await act((ctx) => {
      for (const each of refs.slice(2_000)) ctx.unwatch(each);
    });
    for (const each of refs) each.tell('act', (ctx) => ctx.stopSelf());
    await settle();
    const told = new Set(notices.map(({ ref }) => ref.address));
    expect([notices.length, told.size]).toEqual([2_000, 2_000]);
    expect(refs.slice(0, 2_000).every(({ address }) => told.has(address))).toBe(true);
  });
});
