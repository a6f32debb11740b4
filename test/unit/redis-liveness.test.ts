import { describe, expect, it } from 'vitest';
import { Refusal } from '../../adapters/redis/client.ts';
import { enterUnder } from '../../adapters/redis/entering.ts';
import { Heartbeat } from '../../adapters/redis/heartbeat.ts';
import { Keys } from '../../adapters/redis/keys.ts';
import { BEAT, ENTER, FORGET, TAKE_OUT } from '../../adapters/redis/scripts.ts';
import { brokerSettings } from '../../src/protocol/broker-options.ts';
import { FakeConnection } from '../support/fake-connection.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const { settings } = brokerSettings('redis', { expiresMs: 60_000 }, []);

async function settle(): Promise<void> {
  for (let round = 0; round < 3; round++) await new Promise((resolve) => setImmediate(resolve));
}

/** A clock that can go on without a turn: timers that were due fire late. */
class LeapingClock extends VirtualClock {
  private leaptMs = 0;

  override now(): number {
    return super.now() + this.leaptMs;
  }

  leap(ms: number): void {
    this.leaptMs += ms;
  }
}

/** A node `me` that beats, and a server that a test speaks for. */
class Stage {
  readonly clock = new LeapingClock();
  readonly server = new FakeConnection();
  readonly nodes = new Map<string, string>();
  readonly groups = new Map<string, string>();
  readonly done: string[] = [];
  readonly failures: Error[] = [];
  readonly refusals: Error[] = [];
  readonly looks: ReadonlyMap<string, string>[] = [];
  over = '';
  beats = 0;
  delayMs = 0;
  heartbeat: Heartbeat;

  constructor() {
    this.server.respond = ({ script, parameters }) => {
      if (script === TAKE_OUT) {
        const [name, value] = [String(parameters[10]), String(parameters[11])];
        this.done.push(`out ${name}`);
        return Buffer.from(`- ${value.split(' ').slice(0, 3).join(' ')}`);
      }
      if (script === FORGET) this.done.push(`forget ${String(parameters[9])}`);
      if (script !== BEAT) return 1;
      const reply = [flat(this.nodes), flat(this.groups)];
      if (this.delayMs === 0) return reply;
      return new Promise((resolve) => {
        this.clock.setTimer(this.delayMs, () => resolve(reply));
      });
    };
    this.heartbeat = this.newHeartbeat();
  }

  newHeartbeat(): Heartbeat {
    const made = new Heartbeat({
      host: { clock: this.clock, random: () => 0, soon: queueMicrotask, later: setImmediate },
      settings,
      session: { writer: this.server },
      fence: ['me', 'life 1 '],
      keys: new Keys('troupe'),
      keptMs: 1_000_000,
      groups: () => [],
      signed: () => undefined,
      look: async (rows) => {
        this.looks.push(new Map(rows));
      },
      isOver: (_, value) => value === this.over,
      keep: async () => undefined,
      beaten: () => {
        this.beats++;
      },
      refused: (error) => this.refusals.push(error),
      failed: (error) => this.failures.push(error),
    });
    made.begin().catch((error: unknown) => this.failures.push(error as Error));
    return made;
  }

  async pass(ms: number): Promise<void> {
    await settle(); // the first sign of life goes out at once
    await this.clock.advance(ms, settle);
  }
}

function flat(table: ReadonlyMap<string, string>): Buffer[] {
  return [...table].flatMap(([name, value]) => [Buffer.from(name), Buffer.from(value)]);
}

describe('the heartbeat of a Redis adapter', () => {
  it('takes a node out that was silent for downAfterMs, and one that changes never', async () => {
    const stage = new Stage();
    stage.nodes.set('dead', 'a 1 1 l 0 5');
    for (let beat = 0; beat < 12; beat++) {
      stage.nodes.set('well', `b 1 1 l 0 ${beat}`);
      await stage.pass(3_000);
      // First seen at 3 s: at 12 s it was silent for 9 s, at 15 s for 12.
      expect(stage.done.length > 0).toBe(beat >= 4);
    }
    expect(new Set(stage.done)).toEqual(new Set(['out dead']));
  });

  it('looks again at the moment at which the most silent node has been silent for downAfterMs', async () => {
    const stage = new Stage();
    await stage.pass(1_000);
    stage.nodes.set('dead', 'a 1 1 l 0 5');
    // Seen at 3 s.
    await stage.pass(11_999);
    expect([stage.done, stage.looks.length]).toEqual([[], 5]);
    await stage.pass(1);
    expect([stage.done, stage.looks.at(-1)?.get('dead')]).toEqual([['out dead'], '- a 1 1']);
    // And goes on at its own pace.
    stage.nodes.set('dead', '- a 1 1');
    await stage.pass(9_000);
    expect([stage.done, stage.looks.length]).toEqual([['out dead'], 9]);
  });

  it('takes out at once what was told to have ended, and lives again since the server forgot', async () => {
    const stage = new Stage();
    stage.over = 'a 1 1 l 0 5';
    stage.nodes.set('undead', stage.over);
    await stage.pass(3_000);
    expect(stage.done).toEqual(['out undead']);
  });

  it('counts no time in which this process stood still: everything may have stood still with it', async () => {
    const stage = new Stage();
    stage.nodes.set('other', 'a 1 1 l 0 5');
    await stage.pass(9_000);
    stage.clock.leap(20_000);
    await stage.pass(3_000);
    expect(stage.done).toEqual([]);
    stage.nodes.set('other', 'a 1 1 l 0 6');
    await stage.pass(9_000);
    expect(stage.done).toEqual([]);
  });

  it('counts no time in which the server did not answer', async () => {
    const stage = new Stage();
    stage.nodes.set('other', 'a 1 1 l 0 5');
    await stage.pass(3_000);
    stage.delayMs = 4_900;
    await stage.pass(3 * 7_900);
    expect([stage.done, stage.beats]).toEqual([[], 5]);
  });

  it('begins anew in each session', async () => {
    const stage = new Stage();
    stage.nodes.set('other', 'a 1 1 l 0 5');
    await stage.pass(9_000);
    stage.heartbeat.end();
    expect(stage.clock.pending).toBe(0);
    stage.heartbeat = stage.newHeartbeat();
    await stage.pass(9_999);
    expect(stage.done).toEqual([]);
    await stage.pass(1);
    expect(stage.done).toEqual(['out other']);
  });

  it('forgets what is dead or without members after expiresMs, and not before', async () => {
    const stage = new Stage();
    stage.nodes.set('gone', '- a 1 1');
    stage.groups.set('g workers work', '17');
    await stage.pass(60_000);
    expect(stage.done).toEqual([]);
    await stage.pass(3_000);
    expect(stage.done).toEqual(['forget gone', 'forget g workers work']);
  });

  it('goes on while the server takes nothing, and ends the session for any other refusal', async () => {
    const stage = new Stage();
    const { respond } = stage.server;
    let refusal = "OOM command not allowed when used memory > 'maxmemory'.";
    stage.server.respond = () => Promise.reject(new Refusal(refusal));
    await stage.pass(6_000);
    expect([stage.refusals.length, stage.failures]).toEqual([2, []]);
    stage.server.respond = respond;
    await stage.pass(3_000);
    expect(stage.beats).toBe(2);
    refusal = "READONLY You can't write against a read only replica.";
    stage.server.respond = () => Promise.reject(new Refusal(refusal));
    await stage.pass(9_000);
    expect(stage.failures.map(({ message }) => message)).toEqual([refusal]);
  });

  it('ends the session when others have taken this node for dead', async () => {
    const stage = new Stage();
    stage.server.respond = () => Buffer.from('gone');
    await stage.pass(9_000);
    expect(stage.failures).toHaveLength(1);
  });
});

describe('entering under a name', () => {
  const clock = new VirtualClock();

  async function enter(
    holder: () => string,
    signal = new AbortController().signal,
    firstAnswerMs = 0,
  ): Promise<number> {
    const server = new FakeConnection();
    let asked = 0;
    server.respond = ({ script, parameters }) => {
      if (script !== ENTER) return undefined;
      const value = holder();
      // A name that is free, or whose holder is known to be dead, is given.
      const answer = value === '' || parameters[14] === value ? [1, 1, 0] : Buffer.from(value);
      if (asked++ > 0 || firstAnswerMs === 0) return answer;
      return new Promise((resolve) => {
        clock.setTimer(firstAnswerMs, () => resolve(answer));
      });
    };
    const keys = [...new Keys('troupe').tables, ...new Keys('troupe').inboxes('me')];
    const ports = { node: { name: 'me', incarnation: 'new' }, host: { clock }, settings, keys };
    const state = () => ({ session: 0, life: 0, about: '', aboutNumber: 0, patterns: [] });
    return (await enterUnder({ ...ports, keptMs: 1_000_000, state }, server, signal)).session;
  }

  it('has a free name at once', async () => {
    expect(await enter(() => '')).toBe(1);
  });

  it('is refused with the first sign of life of another holder', async () => {
    let beats = 0;
    const refusal = enter(() => `old 1 ${beats}`).catch((error: unknown) => error);
    await settle();
    beats++;
    await clock.advance(3_000, settle);
    expect(await refusal).toMatchObject({
      code: 'ERR_NAME_TAKEN',
      details: { name: 'me', holder: 'the incarnation old' },
    });
  });

  it('has the name of a holder that was silent before its eyes for downAfterMs', async () => {
    let number: number | undefined;
    const entered = enter(() => 'old 1 5').then((given) => {
      number = given;
    });
    await settle();
    await clock.advance(9_000, settle);
    expect(number).toBeUndefined();
    await clock.advance(6_000, settle);
    await entered;
    expect(number).toBe(1);
  });

  it('counts no time before it has seen the holder, however long the first answer takes', async () => {
    let number: number | undefined;
    const entered = enter(() => 'old 1 5', undefined, 3_000).then((given) => {
      number = given;
    });
    // Seen at 3 s: at 15 s it had been silent for 9 s when it was last looked at.
    await clock.advance(15_500, settle);
    expect(number).toBeUndefined();
    await clock.advance(3_000, settle);
    await entered;
    expect(number).toBe(1);
  });

  it('has a name that is given free while it watches', async () => {
    let value = 'old 1 5';
    const entered = enter(() => value);
    await settle();
    value = '';
    await clock.advance(3_000, settle);
    expect(await entered).toBe(1);
  });

  it('stops watching when it is closed', async () => {
    const closing = new AbortController();
    const refusal = enter(() => 'old 1 5', closing.signal).catch((error: unknown) => error);
    await settle();
    closing.abort();
    expect(await refusal).toBeInstanceOf(Error);
    expect(clock.pending).toBe(0);
  });
});
