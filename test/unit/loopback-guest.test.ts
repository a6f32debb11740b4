import { beforeEach, describe, expect, it } from 'vitest';
import { Guest } from '../../adapters/loopback/guest.ts';
import type { Call, Join, ToNode } from '../../adapters/loopback/messages.ts';
import { RESULTS } from '../../adapters/loopback/messages.ts';
import { Hub } from '../../adapters/memory/hub.ts';
import type { Host } from '../../src/protocol/clock.ts';
import { LOOPBACK_UNSENT_BYTES_MAX } from '../../src/protocol/limits.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const WINDOWS = [4, 4, 4, 4, 4, 4];
const JOIN: Join = {
  type: 'join',
  proof: new Uint8Array(32),
  nonce: new Uint8Array(32),
  prefix: 'troupe',
  name: 'a',
  incarnation: 'aaa',
  life: 1,
  maxLength: 2,
  expiresMs: 60_000,
  heartbeatMs: 1_000,
  downAfterMs: 10_000,
  processId: 1,
  known: [],
};

describe('a node at a loopback server', () => {
  let hub: Hub;
  let host: Host;
  let said: ToNode[];
  let unsentBytes: number;

  beforeEach(() => {
    host = {
      clock: new VirtualClock(),
      random: () => 0,
      soon: (task) => queueMicrotask(task),
      later: (task) => {
        setImmediate(task);
      },
    };
    hub = new Hub(1);
    said = [];
    unsentBytes = 0;
  });

  function guestOf(join: Partial<Join> = {}): Guest {
    // What a guest of an earlier test says late is not heard by a later one.
    const heard = said;
    return new Guest(
      hub,
      { ...JOIN, ...join },
      {
        host,
        unsentBytes: () => unsentBytes,
        send: (message) => heard.push(message),
        ended: () => undefined,
      },
    );
  }

  async function entered(join: Partial<Join> = {}): Promise<Guest> {
    const guest = guestOf(join);
    await guest.enter();
    return guest;
  }

  function ask(guest: Guest, call: Call): readonly number[] {
    guest.received({ type: 'ask', number: 1, call });
    const answer = said.pop();
    return answer?.type === 'answer' ? answer.values : [];
  }

  function publish(guest: Guest, numbers: readonly number[], isContinued: boolean): readonly unknown[] {
    const to = { kind: 'node', node: 'a' } as const;
    const frames = numbers.map((number) => ({ to, lane: 3 as const, bytes: Uint8Array.of(number) }));
    return ask(guest, { type: 'publish', isContinued, frames }).map((place) => RESULTS[place]);
  }

  /** What was said to it about frames, as it came: lane and first byte of each. */
  function delivered(): readonly string[] {
    return said.flatMap((message) =>
      message.type === 'deliveries' ? message.frames.map(({ bytes }) => `${message.lane}: ${bytes[0]}`) : [],
    );
  }

  /** All that the hub has on its way has come. */
  async function settled(): Promise<void> {
    for (let round = 0; round < 4; round++)
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
  }

  it('lets nothing past what was full in an earlier part of the same publish, once there is room again', async () => {
    const guest = await entered();
    expect(publish(guest, [1, 2, 3], false)).toEqual(['ok', 'ok', 'full']);
    ask(guest, { type: 'consume', reader: 1, source: { kind: 'inbox' }, windows: WINDOWS });
    await settled();
    expect(delivered()).toEqual(['3: 1', '3: 2']);
    expect(publish(guest, [4], true)).toEqual(['full']);
    expect(publish(guest, [3, 4], false)).toEqual(['ok', 'ok']);
  });

  it('is given nothing while its socket is full, and then what is most urgent first', async () => {
    const guest = await entered({ maxLength: 10 });
    ask(guest, { type: 'consume', reader: 1, source: { kind: 'inbox' }, windows: WINDOWS });
    unsentBytes = LOOPBACK_UNSENT_BYTES_MAX;
    const to = { kind: 'node', node: 'a' } as const;
    for (const lane of [5, 3, 0] as const) {
      ask(guest, { type: 'publish', isContinued: false, frames: [{ to, lane, bytes: Uint8Array.of(lane) }] });
      await settled();
    }
    expect(delivered()).toEqual([]);
    unsentBytes = LOOPBACK_UNSENT_BYTES_MAX - 1;
    guest.pump();
    expect(delivered()).toEqual(['0: 0', '3: 3', '5: 5']);
  });

  it('is given nothing for a reader that has stopped while it waited, and the next reader is', async () => {
    const guest = await entered();
    ask(guest, { type: 'consume', reader: 1, source: { kind: 'inbox' }, windows: WINDOWS });
    unsentBytes = LOOPBACK_UNSENT_BYTES_MAX;
    publish(guest, [1], false);
    await settled();
    ask(guest, { type: 'stop', reader: 1 });
    unsentBytes = 0;
    guest.pump();
    expect(delivered()).toEqual([]);
    ask(guest, { type: 'consume', reader: 2, source: { kind: 'inbox' }, windows: WINDOWS });
    await settled();
    expect(delivered()).toEqual(['3: 1']);
  });

  it('hears first who was known to it and is gone, and then only what changes', async () => {
    await entered({ name: 'b', incarnation: 'bbb' });
    said.splice(0);
    const guest = await entered({ known: [{ name: 'z', incarnation: 'zzz' }] });
    const [first] = said.filter(({ type }) => type === 'census').slice(-1);
    expect(first).toMatchObject({ ended: [{ name: 'z', incarnation: 'zzz', hasLeft: false }] });
    said.splice(0);
    ask(guest, { type: 'describe', about: 'busy' });
    await settled();
    // Both nodes hear it.
    expect(said).toEqual(
      Array.from({ length: 2 }, () => ({
        type: 'census',
        ended: [],
        living: [{ name: 'a', incarnation: 'aaa', about: 'busy' }],
      })),
    );
  });

  it('has what it listened to on an earlier connection until it has said all that it listens to', async () => {
    const first = await entered();
    ask(first, { type: 'listen', pattern: 'news' });
    first.received({ type: 'restored' });
    first.exit(false, 'cut');
    const again = await entered();
    const heard = async (): Promise<number> => {
      const to = { kind: 'topic', topic: 'news' } as const;
      ask(again, { type: 'publish', isContinued: false, frames: [{ to, lane: 0, bytes: new Uint8Array() }] });
      await settled();
      return ask(again, { type: 'backlog', source: { kind: 'inbox' } })[0] ?? -1;
    };
    expect(await heard()).toBe(1);
    again.received({ type: 'restored' });
    expect(await heard()).toBe(1);
  });

  it.each([
    ['a name that is none', { name: 'a b' }],
    ['an incarnation that is none', { incarnation: 'A.2' }],
    ['a life before the first', { life: 0 }],
    ['a prefix that is none', { prefix: 'Troupe:' }],
    ['no room', { maxLength: 0 }],
    ['times that make no sense', { downAfterMs: 1 }],
  ])('cannot be one with %s', (_, join) => {
    expect(() => guestOf(join)).toThrow(expect.objectContaining({ code: 'ERR_OPTION_INVALID' }));
  });

  it.each<[string, Call]>([
    ['a pattern that is none', { type: 'listen', pattern: 'a..b' }],
    ['a topic that is a pattern', publishTo({ kind: 'topic', topic: 'a.*' })],
    ['windows that are none', { type: 'consume', reader: 1, source: { kind: 'inbox' }, windows: [1] }],
    [
      'a group that is none',
      { type: 'consume', reader: 1, source: { kind: 'group', group: '', pattern: 'a' }, windows: WINDOWS },
    ],
    ['a shard that is none', { type: 'claim', shard: { group: 'a', shard: 3, shards: 3 } }],
    [
      'a source that is none',
      { type: 'backlog', source: { kind: 'shard', group: 'a', shard: 9, shards: 1 } },
    ],
  ])('is not served %s', async (_, call) => {
    const guest = await entered();
    expect(() => ask(guest, call)).toThrow(expect.objectContaining({ code: expect.stringMatching(/^ERR_/) }));
  });

  it('is not served before it is in, nor twice under one number', async () => {
    expect(() => ask(guestOf(), { type: 'ping' })).toThrow();
    const guest = await entered({ name: 'b', incarnation: 'bbb' });
    const call: Call = { type: 'consume', reader: 1, source: { kind: 'inbox' }, windows: WINDOWS };
    ask(guest, call);
    expect(() => ask(guest, call)).toThrow();
  });
});

function publishTo(to: Extract<Call, { type: 'publish' }>['frames'][number]['to']): Call {
  return { type: 'publish', isContinued: false, frames: [{ to, lane: 0, bytes: new Uint8Array() }] };
}
