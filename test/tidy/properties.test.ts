import { describe, expect, it } from 'vitest';
import { testNamesIn } from './references.ts';
import { files, parse } from './tree.ts';

/** The properties of the runtime's semantics, by number: life, supervision, watch, mailbox, asks, timers, names, pools, shutdown, streams. */
const RANGES = [
  [1, 66],
  [74, 100],
  [116, 119],
  [125, 131],
] as const;

/** Those that the runtime does not have yet: they need nodes, a store, or the journal of effects. */
const NOT_YET: ReadonlySet<number> = new Set([35, 47, 89, 94]);

/** `P4 P6 P9 come in ...` and `P101, P102: each ...`: what a test proves stands at the beginning of its name. */
const NUMBERS = /^(?:P\d+[ ,:]+)+/;

describe('the properties', () => {
  it('have each a test by its number', () => {
    const proved = new Set<number>();
    for (const path of files('test').filter((each) => each.endsWith('.test.ts'))) {
      for (const name of testNamesIn(parse(path)))
        for (const [number] of NUMBERS.exec(name)?.[0].matchAll(/\d+/g) ?? []) proved.add(Number(number));
    }
    const wanted = RANGES.flatMap(([first, last]) =>
      Array.from({ length: last - first + 1 }, (_, place) => first + place),
    ).filter((number) => !NOT_YET.has(number));
    expect(wanted.filter((number) => !proved.has(number))).toEqual([]);
  });
});
