import { describe, expect, it } from 'vitest';
import { agent } from '../../src/protocol/agent.ts';
import { dynamicSupervisor, supervisor } from '../../src/protocol/child-spec.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import { protocol, tell } from '../../src/protocol/protocol.ts';

const Bell = protocol('bell', { ring: tell() });
const bell = agent(Bell, { state: (args?: { pitch: number }) => args, on: { ring: () => undefined } });

function refusal(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (!(error instanceof TroupeError) || error.code !== 'ERR_OPTION_INVALID') throw error;
    const { option, given } = error.details as { option: string; given: string };
    return `${option}: ${given}`;
  }
  return 'accepted';
}

describe('child', () => {
  it('is a frozen spec with defaults applied', () => {
    const child = bell.child();
    expect(child).toEqual({
      kind: 'child',
      agent: bell,
      args: undefined,
      restart: 'transient',
      significant: false,
      shutdownMs: 30_000,
      backoff: { minMs: 100, maxMs: 30_000, jitter: 0.2 },
    });
    expect(Object.isFrozen(child) && Object.isFrozen(child.backoff)).toBe(true);
    expect(bell.child({ args: { pitch: 1 }, restart: 'temporary', shutdownMs: 0 })).toMatchObject({
      args: { pitch: 1 },
      restart: 'temporary',
      shutdownMs: 0,
    });
  });

  it('lets a bound of the backoff that is left out give way', () => {
    expect(bell.child({ backoff: { minMs: 60_000 } }).backoff).toMatchObject({
      minMs: 60_000,
      maxMs: 60_000,
    });
    expect(bell.child({ backoff: { maxMs: 10 } }).backoff).toMatchObject({ minMs: 10, maxMs: 10 });
    expect(bell.child({ backoff: { maxMs: 0 } }).backoff).toMatchObject({ minMs: 0, maxMs: 0 });
  });

  it.each([
    [{ restart: 'always' }, "child.restart: 'always'"],
    [{ shutdownMs: -1 }, 'child.shutdownMs: -1'],
    [{ shutdownMs: 2 ** 31 }, 'child.shutdownMs: 2147483648'],
    [{ shutdownMs: 'kill' }, "child.shutdownMs: 'kill'"],
    [{ significant: 1 }, 'child.significant: 1'],
    [{ significant: true, restart: 'permanent' }, 'child.significant: true'],
    [{ backoff: { minMs: Number.POSITIVE_INFINITY } }, 'child.backoff.minMs: Infinity'],
    [{ backoff: { minMs: 2, maxMs: 1 } }, 'child.backoff.maxMs: 1'],
    [{ backoff: { jitter: -0.1 } }, 'child.backoff.jitter: -0.1'],
    [{ backoff: { factor: 2 } }, 'child.backoff.factor: 2'],
    [{ arguments: {} }, 'child.arguments: an object'],
    ['bell', "child: 'bell'"],
  ])('refuses %j', (options, refused) => {
    expect(refusal(() => bell.child(options as never))).toBe(refused);
  });
});

describe('supervisor', () => {
  it('is a frozen definition with defaults applied, its children in order', () => {
    const inner = supervisor({ children: {} });
    const root = supervisor({ children: { b: bell.child(), a: inner, c: undefined, d: false } });
    expect(root).toMatchObject({
      kind: 'supervisor',
      strategy: 'one-for-one',
      intensity: { max: 3, withinMs: 60_000 },
      restartsWithoutProgressMax: 3,
    });
    expect(Object.keys(root.children)).toEqual(['b', 'a']);
    expect(root.children.a).toBe(inner);
    expect([root, root.children, root.intensity].every(Object.isFrozen)).toBe(true);
  });

  it('can have limits switched off', () => {
    const never = Number.POSITIVE_INFINITY;
    const root = supervisor({ intensity: { max: never }, restartsWithoutProgressMax: never, children: {} });
    expect(root).toMatchObject({ intensity: { max: never }, restartsWithoutProgressMax: never });
    expect(supervisor({ intensity: { max: 0 }, children: {} }).intensity.max).toBe(0);
  });

  it.each([
    [{ strategy: 'all', children: {} }, "strategy: 'all'"],
    [{ autoShutdown: 'always', children: {} }, "autoShutdown: 'always'"],
    [{ significant: true, restart: 'permanent', children: {} }, 'significant: true'],
    [{ childrenMax: 3, children: {} }, 'childrenMax: 3'],
    [{ children: { bell: bell.child({ significant: true }) } }, 'children.bell.significant: true'],
    [{ intensity: { max: -1 }, children: {} }, 'intensity.max: -1'],
    [{ intensity: { max: 0.5 }, children: {} }, 'intensity.max: 0.5'],
    [{ intensity: { withinMs: 0 }, children: {} }, 'intensity.withinMs: 0'],
    [{ intensity: 3, children: {} }, 'intensity: 3'],
    [{ restartsWithoutProgressMax: '3', children: {} }, "restartsWithoutProgressMax: '3'"],
    [{ childs: {}, children: {} }, 'childs: an object'],
    [{}, 'children: undefined'],
    [undefined, 'options: undefined'],
    [{ children: [bell.child()] }, 'children: an array of 1'],
    [{ children: { bell } }, 'children.bell: an object'],
    [{ children: { bell: null } }, 'children.bell: null'],
    [{ children: { 'bell.1': bell.child() } }, "children: name: 'bell.1'"],
    [{ children: { 1: bell.child() } }, "children: name: '1'"],
  ])('refuses %j', (options, refused) => {
    expect(refusal(() => supervisor(options as never))).toBe(refused);
  });
});

describe('a dynamic supervisor', () => {
  it('is a frozen definition without children', () => {
    const definition = dynamicSupervisor({ childrenMax: 7, autoShutdown: 'any-significant' });
    expect(definition).toMatchObject({ kind: 'supervisor', childrenMax: 7, isDynamic: true, children: {} });
    expect(Object.isFrozen(definition)).toBe(true);
    expect(dynamicSupervisor().childrenMax).toBe(10_000);
    expect(dynamicSupervisor({ childrenMax: Infinity }).childrenMax).toBe(Infinity);
  });

  it.each([
    [{ childrenMax: 0 }, 'childrenMax: 0'],
    [{ strategy: 'one-for-all' }, "strategy: 'one-for-all'"],
    [{ children: {} }, 'children: an object'],
    [null, 'options: null'],
  ])('refuses %j', (options, refused) => {
    expect(refusal(() => dynamicSupervisor(options as never))).toBe(refused);
  });
});
