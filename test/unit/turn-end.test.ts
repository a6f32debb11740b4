import { describe, expect, it } from 'vitest';
import { deferred, endingOf, never, type PuppetContext, puppet } from '../support/puppet.ts';
import { testSystem } from '../support/test-system.ts';

const AT_ONCE = { minMs: 0, maxMs: 0 };
const FAIL = (): never => {
  throw new Error('fail');
};

describe('a turn that has put its message aside', () => {
  it.each(['fail', 'retry'])('P1 and fails leaves it for the next life, once (%s)', async (onFailure) => {
    const seen: number[] = [];
    const { system, advance } = await testSystem();
    const agent = puppet(
      onFailure === 'fail' ? {} : { onFailure: { retry: { attemptsMax: 3, backoff: AT_ONCE } } },
    );
    const ref = await system.spawn(agent, { backoff: AT_ONCE });
    ref.tell('act', (ctx) => {
      seen.push(ctx.generation);
      if (ctx.generation > 0) return;
      ctx.stash();
      FAIL();
    });
    await advance(100);
    expect(seen).toEqual([0, 1]);
    expect(system.inspect(ref)?.counts).toMatchObject({
      accepted: 1,
      handled: 1,
      failed: 0,
      deadLettered: 0,
    });
    expect(system.deadLetters.list()).toEqual([]);
  });

  it('P1 and is aborted by the end of its actor leaves one dead letter', async () => {
    const { system, advance, settle } = await testSystem();
    const ref = await system.spawn(puppet(), { shutdownMs: 100 });
    ref.tell('act', (ctx) => {
      ctx.stash();
      return new Promise((_resolve, reject) => {
        ctx.signal.addEventListener('abort', () => reject(new Error('aborted')));
      });
    });
    await settle();
    const stopped = endingOf(system.stop(ref));
    await advance(100);
    expect(stopped.is).toBe('resolved');
    expect(system.inspect(ref)?.counts).toMatchObject({ accepted: 1, cancelled: 0, deadLettered: 1 });
  });

  it('P1 and is given up because a child collapsed leaves it for the next life', async () => {
    const seen: number[] = [];
    const { system, advance } = await testSystem();
    const ref = await system.spawn(puppet(), { backoff: AT_ONCE });
    ref.tell('act', async (ctx) => {
      seen.push(ctx.generation);
      if (ctx.generation > 0) return;
      ctx.stash();
      const child = await ctx.spawn(puppet({ decide: () => 'escalate' }));
      child.tell('act', FAIL);
      await never();
    });
    await advance(100);
    expect(seen).toEqual([0, 1]);
    expect(system.inspect(ref)?.counts).toMatchObject({ accepted: 1, handled: 1, failed: 0 });
  });
});

describe('the end of a turn', () => {
  it.each(['resume', 'stop', 'escalate'] as const)(
    'that failed is final for its message where decide says %s, although messages are tried again',
    async (directive) => {
      let runs = 0;
      const { system, advance } = await testSystem();
      const agent = puppet({
        decide: () => directive,
        onFailure: { retry: { attemptsMax: 3, backoff: AT_ONCE } },
      });
      const ref = await system.spawn(agent, { backoff: AT_ONCE });
      ref.tell('act', () => {
        runs++;
        FAIL();
      });
      await advance(1_000);
      expect(runs).toBe(1);
      expect(system.deadLetters.list()).toMatchObject([{ reason: 'handler-failed', message: 'act' }]);
    },
  );

  it('that failed and is resumed lets the actor leave that wanted to', async () => {
    const { system, settle } = await testSystem();
    const ref = await system.spawn(puppet({ decide: () => 'resume' }));
    ref.tell('act', (ctx) => {
      ctx.stopSelf();
      FAIL();
    });
    await settle();
    expect(system.inspect(ref)?.status).toBe('stopped');
  });

  it('of a continuation that failed is final where messages are tried again', async () => {
    for (const attemptsMax of [1, 3]) {
      let runs = 0;
      const { system, advance } = await testSystem();
      const agent = puppet({ onFailure: { retry: { attemptsMax, backoff: AT_ONCE } } });
      const ref = await system.spawn(agent, { backoff: AT_ONCE });
      ref.tell('act', (ctx) =>
        ctx.continue('next', () => {
          runs++;
          FAIL();
        }),
      );
      await advance(1_000);
      expect(runs).toBe(1);
      expect(system.deadLetters.list()).toMatchObject([{ reason: 'handler-failed', message: 'next' }]);
    }
  });

  it('of an actor that is being stopped brings nobody back who wanted to leave', async () => {
    const gate = deferred();
    const reasons: unknown[] = [];
    const { system, advance, settle } = await testSystem();
    const agent = puppet({ onStop: (_ctx, reason) => reasons.push(reason) });
    const ref = await system.spawn(agent, { restart: 'permanent', backoff: AT_ONCE });
    ref.tell('act', (ctx) => gate.promise.then(() => ctx.stopSelf()));
    await settle();
    const stopped = endingOf(system.stop(ref));
    gate.resolve();
    await advance(1_000);
    expect(stopped.is).toBe('resolved');
    expect(reasons).toEqual(['shutdown']);
    expect(system.inspect(ref)).toMatchObject({ status: 'stopped', restarts: 0 });
  });

  it('may be over when the actor says that it leaves', async () => {
    let kept: PuppetContext | undefined;
    const { system, settle } = await testSystem();
    const ref = await system.spawn(puppet());
    ref.tell('act', (ctx) => {
      kept = ctx;
    });
    await settle();
    kept?.stopSelf();
    await settle();
    expect(system.inspect(ref)?.status).toBe('stopped');
  });

  it('answers who asked, also where the handler gives nothing at once', async () => {
    const { system, settle } = await testSystem();
    const ref = await system.spawn(puppet());
    const asked = endingOf(ref.ask('answer', () => undefined));
    await settle();
    expect(asked.is).toBeDefined();
  });
});

describe('a child that collapses', () => {
  it('fails its parent also between two turns, and the parent hears why', async () => {
    const causes: unknown[] = [];
    const { system, advance } = await testSystem();
    const parent = puppet({ onRestart: (_ctx, failure) => causes.push(failure) });
    const ref = await system.spawn(parent, { backoff: AT_ONCE });
    const error = new Error('fail');
    ref.tell('act', async (ctx) => {
      const child = await ctx.spawn(puppet({ decide: () => 'escalate' }));
      ctx.tell(child, 'act', () => Promise.reject(error));
    });
    await advance(0);
    const { lastError, ...rest } = system.inspect(ref) ?? {};
    expect(lastError).toMatchObject({ code: 'ERR_RESTART_INTENSITY', cause: error });
    expect(causes).toEqual([{ kind: 'failed', cause: lastError }]);
    expect(rest).toMatchObject({ status: 'running', generation: 1 });
  });

  it('ends a temporary parent for good', async () => {
    const { system, advance } = await testSystem();
    const ref = await system.spawn(puppet(), { restart: 'temporary' });
    ref.tell('act', async (ctx) => {
      const child = await ctx.spawn(puppet({ decide: () => 'escalate' }));
      ctx.tell(child, 'act', FAIL);
    });
    await advance(1_000);
    expect(system.inspect(ref)?.status).toBe('stopped');
  });

  it('while its parent stops does not bring the parent back', async () => {
    const gate = deferred();
    const { system, advance, settle } = await testSystem();
    const ref = await system.spawn(puppet(), { backoff: AT_ONCE, shutdownMs: Infinity });
    ref.tell('act', async (ctx) => {
      const child = await ctx.spawn(puppet({ decide: () => 'escalate' }));
      child.tell('act', () => gate.promise.then(FAIL));
      await never();
    });
    await settle();
    const stopped = endingOf(system.stop(ref));
    await settle();
    gate.resolve();
    await advance(1_000);
    expect(stopped.is).toBe('resolved');
    expect(system.inspect(ref)).toMatchObject({ status: 'stopped', restarts: 0 });
  });
});
