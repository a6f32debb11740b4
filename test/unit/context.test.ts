import { describe, expect, it } from 'vitest';
import type { ReplyTo } from '../../src/protocol/context.ts';
import { endingOf, type PuppetAskContext, puppet } from '../support/puppet.ts';
import { testSystem } from '../support/test-system.ts';

const QUICK = { minMs: 100, maxMs: 100, jitter: 0 };

describe('an ask handler', () => {
  it.each<[string, (ctx: PuppetAskContext) => unknown]>([
    ['ctx.reply', (ctx) => ctx.reply('said')],
    ['its token', (ctx) => ctx.replyTo.reply('said')],
  ])('that has replied by %s may return what it likes: that is no second reply', async (_, reply) => {
    const { system, settle } = await testSystem();
    const ref = await system.spawn(puppet());
    const asked = endingOf(
      ref.ask('answer', (ctx) => {
        reply(ctx);
        return 'returned';
      }),
    );
    await settle();
    expect(asked.value).toBe('said');
    expect(system.deadLetters.list()).toEqual([]);
  });

  it('may reply with null', async () => {
    const { system } = await testSystem();
    const ref = await system.spawn(puppet());
    expect(await ref.ask('answer', () => null)).toBeNull();
  });

  it.each<[string, (ctx: PuppetAskContext) => unknown]>([
    ['ctx.replyTo', (ctx) => ctx.replyTo],
    ['ctx.reply', (ctx) => ctx.reply('to the first')],
    ['ctx.stash', (ctx) => ctx.stash()],
  ])('that returns what another turn got of %s has not replied: ERR_REPLY_MISSING', async (_, take) => {
    const { system, advance } = await testSystem();
    const ref = await system.spawn(puppet(), { backoff: QUICK });
    let taken: unknown;
    endingOf(
      ref.ask('answer', (ctx) => {
        taken = take(ctx);
        return taken as ReplyTo<unknown>;
      }),
    );
    const asked = endingOf(ref.ask('answer', () => taken));
    await advance(0);
    expect(asked).toMatchObject({
      is: 'ERR_ACTOR_FAILED',
      error: { cause: { code: 'ERR_REPLY_MISSING', details: { address: ref.address, message: 'answer' } } },
    });
  });
});
