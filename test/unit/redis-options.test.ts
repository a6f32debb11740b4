import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { redis } from '../../adapters/redis/index.ts';
import { Interests } from '../../adapters/redis/interests.ts';
import { groupField, Keys, nodeField } from '../../adapters/redis/keys.ts';
import { Listening } from '../../adapters/redis/listening.ts';

const SECRET = 'not-to-be-seen-0815';

describe('the options of a Redis adapter', () => {
  it.each([
    ['a URL of another kind', `http://:${SECRET}@there`, undefined],
    ['no URL', `${SECRET}`, undefined],
    ['parameters, which the driver would take for options', `redis://there?password=${SECRET}`, undefined],
    ['a path that is no number', 'redis://there/mine', undefined],
    ['TLS options without TLS', `redis://:${SECRET}@there`, { tls: { ca: 'x' } }],
    ['an option of TLS that is unknown', 'rediss://there', { tls: { pfx: 'x' } }],
    ['an option that is unknown', 'redis://there', { retries: 3 }],
    ['a prefix with braces', 'redis://there', { prefix: '{x}' }],
    ['a bound of nothing', 'redis://there', { maxLength: 0 }],
  ])('refuses %s, without its secrets', (_, url, options) => {
    const make = (): unknown => redis(url, options as Parameters<typeof redis>[1]);
    let refusal: unknown;
    try {
      make();
    } catch (error) {
      refusal = error;
    }
    expect(refusal).toMatchObject({ code: 'ERR_OPTION_INVALID' });
    expect(inspect(refusal)).not.toContain(SECRET);
  });

  it('shows where it is, without user and password', () => {
    const broker = redis(`rediss://user:${SECRET}@there:6380/2`);
    expect(broker.url).toBe('rediss://there:6380/2');
    expect(inspect(broker, { depth: 9, showHidden: true })).not.toContain(SECRET);
  });

  it('takes over as fast as its options say', () => {
    const { capabilities } = redis('redis://there', { heartbeatMs: 100, downAfterMs: 1_000 });
    expect(capabilities.takeoverMs).toBe(1_300);
  });
});

describe('the interests that a Redis adapter knows', () => {
  const keys = new Keys('p');
  const fields = [
    nodeField('a', 'news.*'),
    nodeField('a', 'news.today'),
    nodeField('b', 'mails.#'),
    groupField('workers', 'news.#'),
    groupField('workers', '#'),
    'something else',
  ];

  it('gives a node one copy, and each group of a name and a pattern one', () => {
    const interests = new Interests(keys);
    interests.replace('1', fields);
    expect(interests.streams('news.today', 3)).toEqual([
      '{p}:in:a:3',
      '{p}:gr:workers:news.#:3',
      '{p}:gr:workers:#:3',
    ]);
    expect(interests.streams('mails', 0)).toEqual(['{p}:in:b:0', '{p}:gr:workers:#:0']);
  });

  it('forgets what it worked out when the table changes', () => {
    const interests = new Interests(keys);
    interests.replace('1', fields);
    expect(interests.streams('mails', 0)).toHaveLength(2);
    interests.replace('2', []);
    expect([interests.version, interests.streams('mails', 0)]).toEqual(['2', []]);
  });

  it('remembers the places of a bounded number of topics', () => {
    const interests = new Interests(keys);
    interests.replace('1', fields);
    for (let topic = 0; topic < 25_000; topic++) interests.streams(`mails.${topic}`, 0);
    const { places } = interests as unknown as { places: ReadonlyMap<string, unknown> };
    expect(places.size).toBeLessThanOrEqual(10_000);
  });
});

describe('the patterns that a node listens to', () => {
  it('tells the first and the last of each, and lets the others wait for the first', async () => {
    const listening = new Listening();
    let tell: () => void = () => undefined;
    let told = 0;
    let heard = 0;
    const telling = (): Promise<void> => {
      told++;
      return new Promise((resolve) => {
        tell = resolve;
      });
    };
    const both = [1, 2].map(() => listening.add('a.*', telling).then(() => heard++));
    await Promise.resolve();
    expect([told, heard]).toEqual([1, 0]);
    tell();
    await Promise.all(both);
    expect([heard, listening.patterns]).toEqual([2, ['a.*']]);
    expect([listening.remove('a.*'), listening.remove('a.*'), listening.remove('a.*')]).toEqual([
      false,
      true,
      false,
    ]);
    expect(listening.patterns).toEqual([]);
  });

  it('takes all back that waited for a telling that failed, and tells the next one anew', async () => {
    const listening = new Listening();
    const failing = (): Promise<void> => Promise.reject(new Error('no connection'));
    const both = await Promise.allSettled([listening.add('a', failing), listening.add('a', failing)]);
    expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(listening.patterns).toEqual([]);
    await listening.add('a', () => Promise.resolve());
    expect(listening.patterns).toEqual(['a']);
  });

  it('keeps a pattern that was begun anew while an earlier telling of it fails', async () => {
    const listening = new Listening();
    let fail: (error: Error) => void = () => undefined;
    const first = listening.add(
      'a',
      () =>
        new Promise((_, reject) => {
          fail = reject;
        }),
    );
    listening.remove('a');
    await listening.add('a', () => Promise.resolve());
    fail(new Error('too late'));
    await expect(first).rejects.toThrow('too late');
    expect(listening.patterns).toEqual(['a']);
  });
});
