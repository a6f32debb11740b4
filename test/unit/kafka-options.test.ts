import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { kafka } from '../../adapters/kafka/index.ts';
import { failureOf } from '../../adapters/kafka/kafkajs-failures.ts';
import { quieten } from '../../adapters/kafka/kafkajs-inside.ts';
import { Answers } from '../../adapters/kafka/kafkajs-sockets.ts';
import { hashOf, Names } from '../../adapters/kafka/names.ts';
import { kafkaSettings } from '../../adapters/kafka/options.ts';

describe('the address of a Kafka', () => {
  it('has one or several hosts, and the usual port unless said', () => {
    const { addresses, shown, credentials } = kafkaSettings('kafka://a:1,b,c.d:2', undefined);
    expect(addresses).toEqual(['a:1', 'b:9092', 'c.d:2']);
    expect([shown, credentials().tls, credentials().sasl]).toEqual([
      'kafka://a:1,b:9092,c.d:2',
      undefined,
      undefined,
    ]);
  });

  it('takes user and password, percent-encoded, and shows neither', () => {
    const settings = kafkaSettings('kafkas://ann:p%40ss%3Aword@a', undefined);
    const { shown } = settings;
    const { sasl, tls } = settings.credentials();
    expect(inspect(settings, { depth: 9 })).not.toContain('p@ss:word');
    expect(sasl).toEqual({ mechanism: 'plain', username: 'ann', password: 'p@ss:word' });
    expect([shown, tls]).toEqual(['kafkas://a:9092', {}]);
  });

  it('is refused without showing what may be a secret', () => {
    for (const url of ['http://ann:secret@a', 'kafka://ann:secret@', 'kafka://ann:secret@a:x', 'secret', 7])
      expect(() => kafka(url as string)).toThrow(
        expect.objectContaining({
          code: 'ERR_OPTION_INVALID',
          message: expect.not.stringContaining('secret'),
        }),
      );
    expect(() => kafka('kafka://ann:%E0%A4%A@a')).toThrow(
      expect.objectContaining({ code: 'ERR_OPTION_INVALID' }),
    );
  });
});

describe('the options of a Kafka', () => {
  const refused = (options: Record<string, unknown>): unknown => {
    try {
      kafka('kafka://a', options);
    } catch (error) {
      return error;
    }
    return undefined;
  };

  it('are checked by name', () => {
    const wrong = [
      { slots: 0 },
      { slots: 129 },
      { replicationFactor: 0 },
      { retentionMs: 1 },
      { tls: { certificate: 'x' } },
      { sasl: { username: '', password: 'x' } },
      { sasl: { username: 'a', password: 7 } },
      { sasl: { username: 'a', password: 'x', mechanism: 'magic' } },
      { unknown: 1 },
    ];
    for (const options of wrong) expect(refused(options)).toMatchObject({ code: 'ERR_OPTION_INVALID' });
    expect(
      refused({ slots: 1, replicationFactor: 3, tls: { ca: 'x' }, retentionMs: 600_000 }),
    ).toBeUndefined();
  });

  it('go before the user in the address', () => {
    const sasl = { mechanism: 'scram-sha-512', username: 'bob', password: 'word' } as const;
    expect(kafkaSettings('kafka://ann:x@a', { sasl }).credentials().sasl).toEqual(sasl);
  });
});

describe('the names of a Kafka', () => {
  it('are names of topics for the longest prefix, group and pattern', () => {
    const names = new Names('p'.repeat(32));
    const pattern = Array.from({ length: 8 }, () => 'x'.repeat(24)).join('.');
    for (const name of [names.group('g'.repeat(64), pattern), names.inbox('n'.repeat(64)), names.bus])
      expect(name).toMatch(/^[A-Za-z0-9._-]{1,249}$/);
  });

  it('differ for groups of one name and different patterns', () => {
    const patterns = ['#', '*', 'a', 'a.*', 'a.#', 'a.b', 'b.a', 'a_b', 'a-b'];
    expect(new Set(patterns.map(hashOf)).size).toBe(patterns.length);
    // FNV-1a of the reference (64 bits), in base 36.
    expect(hashOf('a')).toBe(0xaf63dc4c8601ec8cn.toString(36).padStart(13, '0'));
  });
});

describe('an error of kafkajs', () => {
  const settings = kafkaSettings('kafka://ann:secret-word@a', undefined);
  const failure = (fields: object, message = 'it failed'): ReturnType<typeof failureOf> =>
    failureOf(Object.assign(new Error(message), fields), settings);

  it('is known by its type or code, also behind others', () => {
    expect(failure({ type: 'NOT_LEADER_FOR_PARTITION' }).kind).toBe('refused');
    expect(failure({ code: 'ECONNREFUSED' }).kind).toBe('not-sent');
    expect(failure({ code: 'ECONNRESET' }).kind).toBe('lost');
    expect(failure({ code: 'CERT_HAS_EXPIRED' }).kind).toBe('denied');
    expect(failure({ cause: Object.assign(new Error('x'), { type: 'MESSAGE_TOO_LARGE' }) }).kind).toBe(
      'too-large',
    );
    expect(
      failure({ errors: [Object.assign(new Error('x'), { type: 'TOPIC_AUTHORIZATION_FAILED' })] }).kind,
    ).toBe('denied');
    expect(failureOf('text').kind).toBe('lost');
  });

  it('is to be tried again, and says what lacks, where there are too few servers for a topic', () => {
    const told = failure({ type: 'INVALID_REPLICATION_FACTOR' }, 'Replication-factor is invalid');
    expect(told.kind).toBe('refused');
    expect(told.message).toBe(
      'fewer servers are up than replicationFactor, or the default of the server, asks for',
    );
  });

  it('tells the partition, and no password', () => {
    expect(failure({ type: 'OFFSET_OUT_OF_RANGE', topic: 't', partition: 3 })).toMatchObject({
      kind: 'out-of-range',
      at: { topic: 't', partition: 3 },
    });
    const told = failure({}, `a secret-word ${'x'.repeat(1_000)}`);
    expect(inspect(told)).not.toContain('secret-word');
    expect(told.message.length).toBeLessThanOrEqual(300);
  });
});

describe('the timer of kafkajs', () => {
  /** A queue as kafkajs has it, as far as it matters. */
  const queueClass = (): (new () => { pending: unknown[]; isThrottled: boolean; scheduled: number }) &
    Record<string, unknown> =>
    class {
      pending: unknown[] = [];
      isThrottled = false;
      scheduled = 0;
      canSendSocketRequestImmediately(): boolean {
        return !this.isThrottled;
      }
      scheduleCheckPendingRequests(): void {
        this.scheduled++;
      }
    } as never;

  const scheduled = (isThrottled: boolean, pending: number): number => {
    const Queue = queueClass();
    expect(quieten(Queue)).toBe(true);
    const queue = Object.assign(new Queue(), { isThrottled, pending: new Array(pending).fill(0) });
    (queue as unknown as { scheduleCheckPendingRequests(): void }).scheduleCheckPendingRequests();
    return queue.scheduled;
  };

  it('is set when something waits or is throttled, and not otherwise', () => {
    expect([scheduled(false, 0), scheduled(true, 0), scheduled(false, 1), scheduled(true, 1)]).toEqual([
      0, 1, 1, 1,
    ]);
  });

  it('is left alone where the class looks different, and changed once', () => {
    class Other {
      scheduleCheckPendingRequests(): void {}
    }
    const method = (): unknown => Reflect.get(Other.prototype, 'scheduleCheckPendingRequests');
    const before = method();
    expect([quieten(Other), quieten(undefined), quieten({})]).toEqual([false, false, false]);
    expect(method()).toBe(before);
    const Queue = queueClass();
    expect([quieten(Queue), quieten(Queue)]).toEqual([true, false]);
  });

  it('is the one of the installed kafkajs', async () => {
    const path: string = 'kafkajs/src/network/requestQueue/index.js';
    const module = (await import(path)) as { readonly default: { readonly prototype: object } };
    expect(Object.getOwnPropertyNames(module.default.prototype)).toEqual(
      expect.arrayContaining(['scheduleCheckPendingRequests', 'canSendSocketRequestImmediately']),
    );
  });
});

describe('the answers on a socket', () => {
  it('are counted by their lengths, however their bytes come', () => {
    const bytes = [0, 0, 0, 2, 9, 9, 0, 0, 0, 0, 0, 0, 1, 4, ...new Array<number>(260).fill(7)];
    for (const size of [1, 2, 3, 5, 100, bytes.length]) {
      const answers = new Answers();
      answers.expected = 4;
      const seen: number[] = [];
      for (let at = 0; at < bytes.length; at += size) {
        answers.read(Uint8Array.from(bytes.slice(at, at + size)));
        seen.push(answers.expected);
      }
      expect(answers.expected).toBe(1);
      if (size === 1) expect([seen[4], seen[5], seen[9], seen[272], seen[273]]).toEqual([4, 3, 2, 2, 1]);
    }
  });
});
