import { inspect } from 'node:util';
import { describe, expect, it, vi } from 'vitest';
import { connectTo, Refusal } from '../../adapters/redis/client.ts';
import { Link, type Session } from '../../adapters/redis/link.ts';
import { brokerSettings } from '../../src/protocol/broker-options.ts';
import type { TroupeError } from '../../src/protocol/errors.ts';
import { FakeRedisClients, replyError } from '../support/fake-redis-client.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const { settings } = brokerSettings(
  'redis',
  { connectTimeoutMs: 1_000, openAttemptsMax: 3, reconnect: { minMs: 100, maxMs: 800 } },
  [],
);

/** What `later` was given has run, and what that gave it. */
async function settle(): Promise<void> {
  for (let round = 0; round < 6; round++) await new Promise((resolve) => setImmediate(resolve));
}

class Stage {
  readonly clock = new VirtualClock();
  readonly clients = new FakeRedisClients((command) => (command === 'CLIENT' ? 7 : 'OK'));
  readonly downs: TroupeError[] = [];
  ups = 0;
  losses = 0;
  sessions = 0;
  restoring: (session: Session) => Promise<void> = () => Promise.resolve();
  readonly link = new Link({
    connect: (timeoutMs) => this.clients.connect(timeoutMs),
    shown: 'redis://there:1',
    settings,
    host: {
      clock: this.clock,
      random: () => 1,
      soon: (task) => queueMicrotask(task),
      later: (task) => {
        setImmediate(task);
      },
    },
    enter: async () => ({ number: ++this.sessions, life: 1 }),
    restore: (session) => this.restoring(session),
    up: () => {
      this.ups++;
    },
    lost: () => {
      this.losses++;
    },
    down: (cause) => this.downs.push(cause),
  });

  pass(ms: number): Promise<void> {
    return this.clock.advance(ms, settle);
  }

  /** What a promise came to so far. */
  async open(): Promise<void> {
    await this.link.open();
  }
}

describe('the link of a Redis adapter', () => {
  it('makes one new session when both connections fail at once', async () => {
    const stage = new Stage();
    await stage.open();
    const [writer, reader] = stage.clients.made;
    writer?.cut();
    reader?.cut();
    expect([stage.link.session, stage.losses, stage.downs.length]).toEqual([undefined, 1, 1]);
    await settle();
    await stage.pass(100);
    expect([stage.sessions, stage.ups, stage.clients.open]).toEqual([2, 2, 2]);
    await stage.pass(10_000);
    expect([stage.sessions, stage.clients.made.length]).toEqual([2, 4]);
  });

  it('lets nothing of an earlier session end the present one', async () => {
    const stage = new Stage();
    await stage.open();
    const first = stage.link.session;
    if (first === undefined) throw new Error('There is no session.');
    stage.clients.made[0]?.cut();
    await settle();
    await stage.pass(100);
    stage.link.drop(first, new Error('long over'));
    expect([stage.link.session?.number, stage.losses, stage.clients.open]).toEqual([2, 1, 2]);
  });

  it('passes on what the server refuses without the command, and stays connected', async () => {
    const stage = new Stage();
    await stage.open();
    stage.clients.answer = () => {
      throw replyError('ERR no such thing');
    };
    const refusal: unknown = await stage.link.session?.writer
      .call(500, 'AUTH', 'secret')
      .catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(Refusal);
    expect(inspect(refusal, { depth: 9 })).not.toContain('secret');
    expect([stage.link.session?.number, stage.clock.pending]).toEqual([1, 0]);
  });

  it('makes one new session when one ends in the middle of its restoring', async () => {
    const stage = new Stage();
    await stage.open();
    stage.restoring = ({ number, writer }) => {
      if (number === 2) {
        stage.clients.made.at(-1)?.cut();
        return writer.call(1_000, 'PING').then(() => undefined);
      }
      return Promise.resolve();
    };
    stage.clients.made[0]?.cut();
    await settle();
    await stage.pass(1_000);
    await stage.pass(10_000);
    expect([stage.sessions, stage.ups, stage.clients.open]).toEqual([3, 2, 2]);
    expect(stage.link.session?.number).toBe(3);
  });

  it('does not take a session for restored that ended while its last step was answered', async () => {
    const stage = new Stage();
    stage.restoring = async ({ number }) => {
      if (number === 1) stage.clients.made.at(-1)?.cut();
    };
    const opening = stage.open();
    await settle();
    expect([stage.ups, stage.link.session]).toEqual([0, undefined]);
    await stage.pass(100);
    await opening;
    expect([stage.ups, stage.link.session?.number]).toEqual([1, 2]);
  });

  it('gives up after its attempts, with pauses that double and end', async () => {
    const stage = new Stage();
    const attempts: number[] = [];
    stage.clients.connecting = () => {
      attempts.push(stage.clock.now());
      return Promise.reject(new Error('connect ECONNREFUSED'));
    };
    const opening = stage.open().catch((error: unknown) => error);
    await settle();
    await stage.pass(10_000);
    expect(await opening).toMatchObject({ code: 'ERR_BROKER_UNAVAILABLE' });
    expect(attempts).toEqual([0, 100, 300]);
    expect([stage.clients.open, stage.clock.pending]).toEqual([0, 0]);
  });

  it('pauses as long after sessions that end at once as after attempts that fail', async () => {
    const stage = new Stage();
    await stage.open();
    const begun: number[] = [];
    stage.restoring = async (session) => {
      begun.push(stage.clock.now());
      queueMicrotask(() => queueMicrotask(() => stage.link.drop(session, new Error('again'))));
    };
    stage.clients.made[0]?.cut();
    await settle();
    await stage.pass(4_000);
    expect(begun.slice(0, 6)).toEqual([100, 300, 700, 1_500, 2_300, 3_100]);
  });

  it.each([
    'WRONGPASS invalid username-password pair or user is disabled.',
    'NOAUTH Authentication required.',
    "NOPERM this user has no permissions to run the 'eval' command",
    'self-signed certificate in certificate chain',
    'unable to verify the first certificate',
    "Hostname/IP does not match certificate's altnames: Host: elsewhere.",
  ])('rejects at once, without the command, when it is told: %s', async (message) => {
    const stage = new Stage();
    stage.clients.answer = () => {
      throw replyError(message);
    };
    const refusal: unknown = await stage.open().catch((error: unknown) => error);
    expect(refusal).toMatchObject({ code: 'ERR_BROKER_DENIED', details: { problem: message } });
    expect(inspect(refusal, { depth: 9 })).not.toContain('secret');
    expect([stage.clients.made.length, stage.clients.open, stage.clock.pending]).toEqual([1, 0, 0]);
  });

  it('names the package that is missing, at once', async () => {
    vi.doMock('ioredis', () => {
      throw new Error("Cannot find package 'ioredis'");
    });
    try {
      const stage = new Stage();
      stage.clients.connect = connectTo('redis://there:1', {});
      await expect(stage.open()).rejects.toMatchObject({
        code: 'ERR_DRIVER_MISSING',
        details: { package: 'ioredis' },
      });
    } finally {
      vi.doUnmock('ioredis');
    }
  });

  it('leaves no socket and no timer when it is closed while it opens', async () => {
    for (const connecting of [() => new Promise<void>(() => undefined), () => Promise.resolve()]) {
      const stage = new Stage();
      stage.clients.connecting = connecting;
      stage.clients.answer = () => undefined;
      const opening = stage.open().catch((error: unknown) => error);
      await settle();
      await stage.link.close(() => Promise.resolve());
      expect(await opening).toMatchObject({ code: 'ERR_BROKER_UNAVAILABLE' });
      expect([stage.clients.open, stage.clock.pending]).toEqual([0, 0]);
    }
  });

  it('leaves no socket and no timer when it is closed between two attempts, or while a session is restored', async () => {
    const between = new Stage();
    await between.open();
    between.clients.made[0]?.cut();
    await settle();
    await between.link.close(() => Promise.resolve());
    expect([between.clients.open, between.clock.pending, between.sessions]).toEqual([0, 0, 1]);

    const amid = new Stage();
    const goodbyes: number[] = [];
    amid.restoring = ({ writer }) => {
      amid.clients.answer = () => undefined;
      return writer.call(1_000, 'PING').then(() => undefined);
    };
    const opening = amid.open().catch((error: unknown) => error);
    await settle();
    await amid.link.close(async ({ number }) => goodbyes.push(number));
    expect(await opening).toMatchObject({ code: 'ERR_BROKER_UNAVAILABLE' });
    expect([goodbyes, amid.clients.open, amid.clock.pending]).toEqual([[1], 0, 0]);
  });

  it('forgets who waits for a session and gives up', async () => {
    const stage = new Stage();
    await stage.open();
    stage.clients.made[0]?.cut();
    const late = new AbortController();
    let waited = 0;
    const count = (): void => {
      waited++;
    };
    void stage.link.whenUp(late.signal).then(count);
    void stage.link.whenUp(new AbortController().signal).then(count);
    late.abort();
    await settle();
    await stage.pass(100);
    expect(waited).toBe(1);
  });

  it('tells who waits for a session when it is closed, and who asks afterwards', async () => {
    const stage = new Stage();
    await stage.open();
    stage.clients.made[0]?.cut();
    const { signal } = new AbortController();
    const waiting = stage.link.whenUp(signal).catch((error: unknown) => error);
    await stage.link.close(() => Promise.resolve());
    const closed = { code: 'ERR_BROKER_UNAVAILABLE', details: { problem: 'it was closed' } };
    expect(await waiting).toMatchObject(closed);
    await expect(stage.link.whenUp(signal)).rejects.toMatchObject(closed);
  });

  it('gives a server that does not answer up, and every call with it', async () => {
    const stage = new Stage();
    await stage.open();
    stage.clients.answer = () => undefined;
    const { session } = stage.link;
    const calls = [session?.writer.call(500, 'PING'), session?.writer.call(900, 'PING')].map((call) =>
      call?.catch((error: unknown) => error),
    );
    await stage.pass(500);
    for (const call of calls)
      expect(await call).toMatchObject({ message: 'no answer to PING within 500 ms' });
    expect(stage.link.session).toBeUndefined();
  });

  it('reads what has come before it says that there is no answer, when the process stood still', async () => {
    const stage = new Stage();
    await stage.open();
    let answer: (value: string) => void = () => undefined;
    stage.clients.answer = () =>
      new Promise((resolve) => {
        answer = resolve;
      });
    const call = stage.link.session?.writer.call(500, 'PING');
    // The timer and the socket are both due: the timer is first.
    const passing = stage.clock.advance(500, () => Promise.resolve());
    answer('late, and there');
    await passing;
    expect(await call).toBe('late, and there');
    await settle();
    expect(stage.link.session).toBeDefined();
  });
});
