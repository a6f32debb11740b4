import { agent, protocol, type Ref, tell, type } from 'troupe';
import { describe, expect, it } from 'vitest';
import { type Act, puppet } from '../support/puppet.ts';
import { testSystem } from '../support/test-system.ts';

const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
const upstream = { traceparent, tracestate: 'congo=t61rcWkgMzE', baggage: 'tenant=7' };

type Headers = Readonly<Record<string, string>>;

/** A first actor that does this in a turn with these headers, and a second one; answers the headers that the second saw. */
async function passedOn(
  headers: Headers,
  act: (ref: Parameters<Act>[0], next: Ref<typeof Last>) => unknown,
): Promise<readonly Headers[]> {
  const seen: Headers[] = [];
  const { system, settle } = await testSystem();
  const last = agent(Last, { on: { take: (ctx) => seen.push(ctx.message.headers) } });
  const next = await system.spawn(last);
  const first = await system.spawn(puppet());
  await system.subscribe('out', (_message, meta) => {
    seen.push(meta.headers);
  });
  first.tell('act', (ctx) => act(ctx, next), { headers });
  await settle();
  return seen;
}

const Last = protocol('last', { take: tell(type<void>()) });

describe('the trace of a message without an SDK', () => {
  it.each([
    ['tell', (ctx, next) => ctx.tell(next, 'take')],
    ['send', (ctx, next) => ctx.send(next, 'take')],
    ['publish', (ctx) => ctx.publish('out', 1)],
  ] as [string, (ctx: Parameters<Act>[0], next: Ref<typeof Last>) => unknown][])(
    'is that of the turn it is sent in, by %s: traceparent, tracestate and baggage as they came',
    async (_, act) => {
      expect(await passedOn({ ...upstream, other: 'x' }, act)).toEqual([upstream]);
    },
  );

  it('is that of the turn for an ask, and goes on through any number of turns', async () => {
    const { system, settle } = await testSystem();
    const [first, second, third] = [
      await system.spawn(puppet()),
      await system.spawn(puppet()),
      await system.spawn(puppet()),
    ];
    let seen: Headers = {};
    first.tell(
      'act',
      (one) =>
        one.ask(second, 'answer', async (two) => {
          two.tell(third, 'act', (three) => {
            seen = three.message.headers;
          });
          return 1;
        }),
      { headers: upstream },
    );
    await settle();
    expect(seen).toEqual(upstream);
  });

  it('stands beside headers of its own', async () => {
    const act = (ctx: Parameters<Act>[0], next: Ref<typeof Last>) =>
      ctx.tell(next, 'take', undefined, { headers: { id: '7', baggage: 'tenant=8' } });
    expect(await passedOn(upstream, act)).toEqual([{ ...upstream, id: '7', baggage: 'tenant=8' }]);
  });

  it.each([
    ['well formed', '00-11111111111111111111111111111111-2222222222222222-00'],
    ['or not', 'new'],
  ])('is one of its own where it brings a traceparent, %s: nothing of the turn’s is left', async (_, own) => {
    const act = (ctx: Parameters<Act>[0], next: Ref<typeof Last>) =>
      ctx.tell(next, 'take', undefined, { headers: { traceparent: own } });
    expect(await passedOn(upstream, act)).toEqual([{ traceparent: own }]);
  });

  it.each([
    ['a traceparent that is not well formed', { traceparent: 'nonsense', tracestate: 'a=b' }],
    ['no traceparent', { tracestate: 'a=b', other: 'x' }],
  ])('ends with %s: that is no error, and not passed on', async (_, headers) => {
    expect(await passedOn(headers, (ctx, next) => ctx.tell(next, 'take'))).toEqual([{}]);
  });

  it('is not seen in a turn without one', async () => {
    expect(await passedOn({ other: 'x' }, (ctx, next) => ctx.tell(next, 'take'))).toEqual([{}]);
  });
});
