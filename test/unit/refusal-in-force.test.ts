import { describe, expect, it } from 'vitest';
import { HandHost } from '../support/hand-host.ts';
import { endingOf } from '../support/puppet.ts';
import { ANSWERS_IN_A_ROW, IN_FORCE_MS, LOOK_MS, refusalInForce } from '../support/refusal-in-force.ts';

const PROVEN_MS = (ANSWERS_IN_A_ROW - 1) * LOOK_MS;

/** A server that does what it is told `lateMs` later. */
function lateServer(lateMs: number) {
  const host = new HandHost();
  const { clock } = host;
  const told: { readonly isRefusing: boolean; readonly atMs: number }[] = [];
  const tell = (isRefusing: boolean): void => void told.push({ isRefusing, atMs: clock.now() + lateMs });
  const takes = (): boolean => told.findLast(({ atMs }) => atMs <= clock.now())?.isRefusing !== true;
  const advance = async (ms: number): Promise<void> => {
    await host.turn();
    await clock.advance(ms, () => host.turn().then(() => undefined));
  };
  const refusing = (look: () => boolean | undefined = takes): Promise<() => Promise<void>> =>
    refusalInForce({
      clock,
      begin: async () => {
        tell(true);
        return async () => tell(false);
      },
      takes: () => Promise.resolve(look()),
    });
  return { takes, advance, refusing };
}

describe('a refusal that a test has begun', () => {
  it('is real when it is said to be, and over when that is said', async () => {
    const { takes, advance, refusing } = lateServer(10 * LOOK_MS);
    const begun = refusing();
    const beginning = endingOf(begun);
    await advance(10 * LOOK_MS - 1);
    expect([beginning.is, takes()]).toEqual([undefined, true]);
    await advance(1 + PROVEN_MS - 1);
    expect([beginning.is, takes()]).toEqual([undefined, false]);
    await advance(1);
    expect(beginning.is).toBe('resolved');
    const allow = await begun;
    const ending = endingOf(allow());
    await advance(10 * LOOK_MS - 1);
    expect([ending.is, takes()]).toEqual([undefined, false]);
    await advance(1 + PROVEN_MS - 1);
    expect([ending.is, takes()]).toEqual([undefined, true]);
    await advance(1);
    expect(ending.is).toBe('resolved');
  });

  it.each([
    ['a server that takes now and then', true],
    ['an answer that says neither', undefined],
  ])('is not believed of %s', async (_, other) => {
    const { advance, refusing } = lateServer(0);
    const refusals = Array.from({ length: ANSWERS_IN_A_ROW - 1 }, () => false);
    const answers = [false, other, ...refusals, other, other, ...refusals, false];
    const beginning = endingOf(refusing(() => answers.shift()));
    await advance((answers.length - 1) * LOOK_MS - 1);
    expect([beginning.is, answers]).toEqual([undefined, [false]]);
    await advance(1);
    expect(beginning.is).toBe('resolved');
  });

  it('fails the test when it does not come', async () => {
    const { advance, refusing } = lateServer(2 * IN_FORCE_MS);
    const beginning = endingOf(refusing());
    await advance(IN_FORCE_MS);
    expect(String(beginning.error)).toContain(`told to refuse, and did not yet after ${IN_FORCE_MS} ms`);
  });

  it('fails the test when it does not end', async () => {
    const { advance, refusing } = lateServer(0);
    const begun = refusing(() => false);
    await advance(PROVEN_MS);
    const ending = endingOf((await begun)());
    await advance(IN_FORCE_MS);
    expect(String(ending.error)).toContain(`told to take, and did not yet after ${IN_FORCE_MS} ms`);
  });
});
