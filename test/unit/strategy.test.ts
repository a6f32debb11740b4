import { describe, expect, it } from 'vitest';
import { affected, comesBack, endsSupervisor } from '../../runtime/supervision/strategy.ts';

describe('a strategy', () => {
  it.each([
    ['one-for-one', ['b']],
    ['one-for-all', ['a', 'b', 'c']],
    ['rest-for-one', ['b', 'c']],
  ] as const)('P14 of %s affects %j of a, b and c when b fails', (strategy, restarted) => {
    expect(affected(strategy, ['a', 'b', 'c'], 'b')).toEqual(restarted);
  });

  it('P14 of rest-for-one affects all when the first fails, and all when the failed one is no longer there', () => {
    expect(affected('rest-for-one', ['a', 'b', 'c'], 'a')).toEqual(['a', 'b', 'c']);
    expect(affected('rest-for-one', ['a', 'b', 'c'], 'd')).toEqual(['a', 'b', 'c']);
  });
});

describe('a restart type', () => {
  it.each([
    ['permanent', true, true],
    ['transient', false, true],
    ['temporary', false, false],
  ] as const)(
    'P15 of %s comes back from a normal end: %s, from an abnormal one: %s',
    (type, normal, abnormal) => {
      expect([comesBack(type, false), comesBack(type, true)]).toEqual([normal, abnormal]);
    },
  );
});

describe('the end of a significant child', () => {
  it.each([
    ['never', false, false],
    ['any-significant', true, true],
    ['all-significant', false, true],
  ] as const)('P19 with %s ends its supervisor: %s, the last one: %s', (autoShutdown, early, last) => {
    expect([endsSupervisor(autoShutdown, false), endsSupervisor(autoShutdown, true)]).toEqual([early, last]);
  });
});
