import { describe, expect, it } from 'vitest';
import { Reader } from '../../adapters/redis/reader.ts';
import { RELEASE, TAKE_OVER } from '../../adapters/redis/scripts.ts';
import { Outlet, type RedisDelivery } from '../../adapters/redis/stream.ts';
import type { Lane } from '../../src/protocol/broker.ts';
import { type FakeCall, FakeConnection } from '../support/fake-connection.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

async function settle(): Promise<void> {
  for (let round = 0; round < 3; round++) await new Promise((resolve) => setImmediate(resolve));
}

/** A reader between two connections by hand. Nothing is ever to be taken over, unless a test says so. */
class Stage {
  readonly clock = new VirtualClock();
  readonly readerSide = new FakeConnection();
  readonly writerSide = new FakeConnection();
  readonly got: RedisDelivery[] = [];
  readonly failures: Error[] = [];
  /** What is to be done when the event loop goes on, while the test holds it. */
  held: (() => void)[] | undefined = undefined;
  readonly reader = new Reader({
    session: { reader: this.readerSide, writer: this.writerSide, readerId: 7 },
    host: { clock: this.clock, later: (task) => void (this.held?.push(task) ?? setImmediate(task)) },
    fence: ['me', 'life 1 '],
    consumer: 'me.life.1',
    keys: { nodes: 'nodes', shards: 'shards' },
    timeoutMs: 1_000,
    blockMs: 5_000,
    check: () => undefined,
    failed: (error) => this.failures.push(error),
  });

  constructor() {
    this.readerSide.respond = ({ script }) => (script === TAKE_OVER ? [] : undefined);
  }

  outlet(lane: Lane, window: number, key = `s${lane}`): Outlet {
    return new Outlet(key, lane, window, (deliveries) => this.got.push(...deliveries));
  }

  async begin(...outlets: Outlet[]): Promise<void> {
    this.reader.add(outlets);
    this.reader.run().catch((error: unknown) => this.failures.push(error as Error));
    await settle();
  }

  /** The read that is under way. */
  get read(): FakeCall {
    const [read] = this.readerSide.waiting;
    if (read === undefined) throw new Error('Nothing is being read.');
    return read;
  }

  /** Its streams and their count. */
  get asked(): readonly unknown[] {
    const { parameters } = this.read;
    const streams = parameters.slice(parameters.indexOf('STREAMS') + 1);
    return [parameters[parameters.indexOf('COUNT') + 1], ...streams.slice(0, streams.length / 2)];
  }

  /** The streams of all reads that are under way. */
  get keysRead(): readonly unknown[] {
    return this.readerSide.waiting.flatMap(({ parameters }) => {
      const streams = parameters.slice(parameters.indexOf('STREAMS') + 1);
      return streams.slice(0, streams.length / 2);
    });
  }

  async arrive(key: string, ...ids: string[]): Promise<void> {
    const entries = ids.map((id) => [Buffer.from(id), [Buffer.from('b'), Buffer.from(id)]]);
    this.read.answer([[Buffer.from(key), entries]]);
    await settle();
  }
}

describe('the reader of a Redis adapter', () => {
  it('wakes a read that the first wake could not reach, and asks again until it is awake', async () => {
    const stage = new Stage();
    const full = stage.outlet(3, 1);
    await stage.begin(full, stage.outlet(0, 4));
    await stage.arrive('s3', '1');
    expect(stage.asked).toEqual([4, 's0']);
    full.unsettled.clear();
    stage.reader.freed('s3');
    // The read is still on its way: the server has nobody to wake.
    for (const woken of [0, 0, 1]) {
      await settle();
      const [unblock, ...more] = stage.writerSide.waiting;
      expect([unblock?.parameters, more]).toEqual([['UNBLOCK', 7], []]);
      unblock?.answer(woken);
      await settle();
      await stage.clock.advance(4, settle);
    }
    expect(stage.writerSide.waiting).toEqual([]);
    stage.read.answer(null);
    await settle();
    expect(stage.keysRead).toEqual(['s0', 's3']);
  });

  it('stops waking when the read has come back by itself, and wakes the next one only for what it lacks', async () => {
    const stage = new Stage();
    const full = stage.outlet(3, 1);
    await stage.begin(full, stage.outlet(0, 4));
    await stage.arrive('s3', '1');
    full.unsettled.clear();
    stage.reader.freed('s3');
    stage.reader.freed('s3');
    expect(stage.writerSide.waiting).toHaveLength(1);
    await stage.arrive('s0', '2');
    for (const read of stage.readerSide.waiting.slice()) read.answer(null);
    await settle();
    expect(stage.asked).toEqual([1, 's0', 's3']);
    stage.writerSide.waiting[0]?.answer(0);
    await settle();
    await stage.clock.advance(1_000, settle);
    expect(stage.writerSide.waiting).toEqual([]);
    stage.reader.freed('s3');
    expect(stage.writerSide.waiting).toEqual([]);
  });

  it('misses no wake at whatever moment between two reads it comes', async () => {
    for (let moment = 0; moment < 12; moment++) {
      const stage = new Stage();
      const full = stage.outlet(3, 1);
      await stage.begin(full, stage.outlet(0, 4));
      await stage.arrive('s3', '1');
      stage.read.answer(null);
      for (let turn = 0; turn < moment; turn++) await Promise.resolve();
      full.unsettled.clear();
      stage.reader.freed('s3');
      await settle();
      const isAsleep = !stage.keysRead.includes('s3') && stage.writerSide.waiting.length === 0;
      expect([moment, isAsleep]).toEqual([moment, false]);
    }
  });

  it('begins a read that waits once what came was looked at, and one that finds more at once', async () => {
    const stage = new Stage();
    const full = stage.outlet(3, 1);
    await stage.begin(full, stage.outlet(0, 6));
    await stage.arrive('s3', '1');
    const held: (() => void)[] = [];
    stage.held = held;
    await stage.arrive('s0', '2');
    expect([stage.got.length, stage.readerSide.waiting.length]).toEqual([2, 0]);
    // There is room meanwhile: the read that has not begun begins with it.
    full.unsettled.clear();
    stage.reader.freed('s3');
    for (const task of held.splice(0)) task();
    await settle();
    expect([stage.keysRead, stage.writerSide.waiting]).toEqual([['s0', 's3'], []]);
    const busy = new Stage();
    await busy.begin(busy.outlet(0, 6));
    busy.held = [];
    await busy.arrive('s0', '1', '2', '3', '4');
    expect([busy.asked, busy.held]).toEqual([[2, 's0'], []]);
  });

  it('waits here while nothing has room, and reads when something has', async () => {
    const stage = new Stage();
    const only = stage.outlet(2, 1);
    await stage.begin(only);
    await stage.arrive('s2', '1');
    expect([stage.readerSide.waiting, stage.writerSide.waiting]).toEqual([[], []]);
    only.unsettled.clear();
    stage.reader.freed('s2');
    await settle();
    expect(stage.asked).toEqual([1, 's2']);
  });

  it('asks no stream for more than it has room for, and hot ones again without waiting', async () => {
    const stage = new Stage();
    await stage.begin(stage.outlet(0, 2), stage.outlet(3, 7));
    expect(stage.asked).toEqual([2, 's0', 's3']);
    await stage.arrive('s3', '1', '2');
    // Two commands at once, by room: 2, and 4 of the 5 that are left.
    const asked = stage.readerSide.waiting.map(({ parameters }) => parameters.slice(4));
    expect(asked).toEqual([
      [2, 'STREAMS', 's0', '>'],
      [4, 'STREAMS', 's3', '>'],
    ]);
  });

  it('hands over the most urgent lane first, in whatever order answers come', async () => {
    const stage = new Stage();
    await stage.begin(stage.outlet(5, 2), stage.outlet(3, 8), stage.outlet(0, 3));
    const entry = (id: string): unknown => [Buffer.from(id), [Buffer.from('b'), Buffer.from(id)]];
    const answer = (...keys: string[]): void =>
      stage.read.answer(keys.map((key) => [Buffer.from(key), [entry(`${key}-1`), entry(`${key}-2`)]]));
    answer('s3');
    await settle();
    // Lanes 0 and 5 have room for two each, and are asked by one command.
    expect(stage.readerSide.waiting).toHaveLength(2);
    answer('s5', 's0');
    answer('s3');
    await settle();
    expect(stage.got.map(({ lane }) => lane)).toEqual([3, 3, 0, 0, 3, 3, 5, 5]);
  });

  it('spreads what it reads over several consumptions of one stream, each within its window', async () => {
    const stage = new Stage();
    const [first, second] = [stage.outlet(3, 1), stage.outlet(3, 7)];
    await stage.begin(first, second);
    expect(stage.asked).toEqual([8, 's3']);
    await stage.arrive('s3', '1', '2', '3', '4', '5', '6', '7', '8');
    expect([first.unsettled.size, second.unsettled.size]).toEqual([1, 7]);
  });

  it('gives back what arrives for a consumption that was stopped, and looks for it again for others', async () => {
    const stage = new Stage();
    const [first, second] = [stage.outlet(3, 2), stage.outlet(3, 2)];
    await stage.begin(first, second);
    const read = stage.read;
    first.isStopped = true;
    let isQuiet = false;
    const quiet = stage.reader.remove([first]).then(() => {
      isQuiet = true;
    });
    const entries = ['1', '2', '3'].map((id) => [Buffer.from(id), [Buffer.from('b'), Buffer.from(id)]]);
    read.answer([[Buffer.from('s3'), entries]]);
    await settle();
    expect([first.unsettled.size, second.unsettled.size]).toEqual([0, 2]);
    const release = stage.writerSide.waiting.find(({ script }) => script === RELEASE);
    expect(release?.parameters).toEqual(['s3', 'me.life.1', '3']);
    expect(isQuiet).toBe(false);
    release?.answer(1);
    await quiet;
  });

  it('takes over before it reads, as much as there is room for, and goes on when there is more', async () => {
    const stage = new Stage();
    const taken = (id: string): unknown => [Buffer.from(id), [Buffer.from('b'), Buffer.from(id)], 4];
    const answers = [[taken('1'), taken('2')], [taken('3')]];
    const counts: unknown[] = [];
    stage.readerSide.respond = ({ script, parameters }) => {
      if (script !== TAKE_OVER) return undefined;
      counts.push(parameters.at(-1));
      return answers.shift() ?? [];
    };
    const outlet = stage.outlet(3, 2);
    await stage.begin(outlet);
    expect(stage.readerSide.waiting).toEqual([]);
    outlet.unsettled.clear();
    stage.reader.freed('s3');
    await settle();
    expect(stage.got.map(({ id, deliveries, isRedelivered }) => [id, deliveries, isRedelivered])).toEqual([
      ['1', 5, true],
      ['2', 5, true],
      ['3', 5, true],
    ]);
    expect([counts, stage.asked]).toEqual([
      [2, 2],
      [1, 's3'],
    ]);
  });

  it('asks for few entries after large ones, and for many after small ones', async () => {
    const stage = new Stage();
    await stage.begin(stage.outlet(3, 4_000));
    const counts: unknown[] = [];
    for (const size of [1_000_000, 300_000, 10, 10]) {
      counts.push(stage.asked[0]);
      stage.read.answer([[Buffer.from('s3'), [[Buffer.from('1'), [Buffer.from('b'), Buffer.alloc(size)]]]]]);
      await settle();
    }
    expect(counts).toEqual([8, 8, 16, 256]);
  });

  it('fails once when several answers do, and nothing goes unheard', async () => {
    const stage = new Stage();
    await stage.begin(stage.outlet(0, 2), stage.outlet(3, 7));
    await stage.arrive('s3', '1', '2');
    for (const call of [...stage.readerSide.waiting].reverse()) call.fail(new Error('cut'));
    await settle();
    expect(stage.failures.map(({ message }) => message)).toEqual(['cut']);
  });

  it('fails when it is taken for dead, and hands nothing over after its end', async () => {
    const gone = new Stage();
    gone.readerSide.respond = () => Buffer.from('gone');
    await gone.begin(gone.outlet(0, 2));
    expect(gone.failures).toHaveLength(1);
    const ended = new Stage();
    await ended.begin(ended.outlet(0, 2));
    ended.reader.end();
    await ended.arrive('s0', '1');
    expect([ended.got, ended.readerSide.waiting]).toEqual([[], []]);
  });
});
