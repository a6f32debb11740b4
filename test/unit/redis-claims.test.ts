import { describe, expect, it } from 'vitest';
import { Claims } from '../../adapters/redis/claims.ts';
import { Refusal } from '../../adapters/redis/client.ts';
import { Keys } from '../../adapters/redis/keys.ts';
import type { Session } from '../../adapters/redis/link.ts';
import { ACQUIRE, GIVE_BACK } from '../../adapters/redis/shard-scripts.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import type { Shard } from '../../src/protocol/sharding.ts';
import { FakeConnection } from '../support/fake-connection.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const SHARD: Shard = { group: 'accounts', shard: 3, shards: 8 };

async function settle(): Promise<void> {
  for (let round = 0; round < 3; round++) await new Promise((resolve) => setImmediate(resolve));
}

/** Claims of a node, and a server that answers what a test says. */
class Stage {
  readonly clock = new VirtualClock();
  readonly server = new FakeConnection();
  /** What was asked: for each command of a kind the fields of ACQUIRE as `group shard shards epoch`, or those given back. */
  readonly asked: string[] = [];
  readonly told: string[] = [];
  readonly dropped: string[] = [];
  /** Whether grants were allowed at the last command. */
  mayGrant = '';
  answer: (field: string, epoch: string) => string = () => '-';
  isUp = true;
  readonly claims = new Claims({
    host: { clock: this.clock, random: () => 0, soon: queueMicrotask, later: setImmediate },
    settings: { publishTimeoutMs: 1_000, downAfterMs: 10_000 },
    node: { name: 'me', incarnation: 'life' },
    keys: new Keys('troupe'),
    keptMs: 1_000_000,
    session: () => (this.isUp ? this.session : undefined),
    drop: (_, cause) => {
      this.dropped.push(cause.message);
      this.isUp = false;
    },
    stop: async (field) => {
      this.told.push(`stop ${field}`);
    },
    lost: (field) => this.told.push(`end ${field}`),
    kept: (field) => this.told.push(`keep ${field}`),
    threw: (error) => this.told.push(`threw ${(error as Error).message}`),
    unavailable: (problem) =>
      new TroupeError('ERR_BROKER_UNAVAILABLE', { broker: 'redis', url: 'redis://here', problem }),
  });
  private readonly session: Session = {
    writer: this.server,
    reader: this.server,
    readerId: 1,
    number: 1,
    life: 1,
  };

  constructor() {
    this.server.respond = ({ script, parameters }) => {
      if (script === GIVE_BACK) {
        this.asked.push(`back ${parameters.slice(4).join(', ')}`);
        return 1;
      }
      if (script !== ACQUIRE) return undefined;
      const all = parameters.slice(2).filter((word) => !String(word).startsWith('{'));
      this.mayGrant = String(all[3]);
      const answers: Buffer[] = [];
      for (let at = 4; at < all.length; at += 4) {
        const [group, shard, shards, epoch] = all.slice(at, at + 4).map(String);
        this.asked.push(`${group} ${shard} ${shards} ${epoch}`);
        answers.push(Buffer.from(this.answer(`${group} ${shard}`, epoch ?? '')));
      }
      return answers;
    };
    this.claims.entered(1, 0, false);
  }

  readonly owner = {
    granted: (epoch: number): void => {
      this.told.push(`granted ${epoch}`);
    },
    lost: (): void => {
      this.told.push('lost');
    },
  };

  pass(ms: number): Promise<void> {
    return this.clock.advance(ms, settle);
  }
}

describe('the claims of a Redis adapter', () => {
  it('asks at once, again in a while as long as it has not got it, and never when it has', async () => {
    const stage = new Stage();
    await stage.claims.claim(SHARD, stage.owner);
    await stage.pass(749);
    expect(stage.asked).toHaveLength(3);
    stage.answer = () => '7';
    await stage.pass(1);
    expect(stage.told).toEqual(['granted 7']);
    stage.claims.signed(stage.clock.now());
    await stage.pass(5_000);
    expect(stage.asked).toEqual(Array.from({ length: 4 }, () => 'accounts 3 8 0'));
    expect(stage.claims.leaseOf(SHARD)).toEqual({ field: 'accounts 3', value: '7 me life 1' });
  });

  it('asks at once when somebody has gone', async () => {
    const stage = new Stage();
    await stage.claims.claim(SHARD, stage.owner);
    await stage.pass(100);
    stage.answer = () => '7';
    stage.claims.ask();
    await settle();
    expect(stage.told).toEqual(['granted 7']);
    expect(stage.asked).toHaveLength(2);
  });

  it('loses all a tenth of downAfterMs before others can have it, and leaves its session', async () => {
    const stage = new Stage();
    stage.answer = () => '7';
    await stage.claims.claim(SHARD, stage.owner);
    await stage.pass(4_000);
    stage.claims.signed(3_000);
    await stage.pass(7_999);
    expect(stage.told).toEqual(['granted 7']);
    await stage.pass(1);
    expect(stage.told).toEqual(['granted 7', 'end accounts 3', 'lost']);
    expect(stage.dropped).toEqual(['it saw no sign of its own life in time']);
    expect([stage.claims.leaseOf(SHARD), stage.claims.owned, stage.clock.pending]).toEqual([
      undefined,
      [],
      0,
    ]);
  });

  it('takes no grant whose answer comes when others may have taken it', async () => {
    const stage = new Stage();
    const { respond } = stage.server;
    stage.server.respond = () => undefined;
    const claiming = stage.claims.claim(SHARD, stage.owner).catch((error: unknown) => error);
    await settle();
    const [call] = stage.server.waiting;
    stage.server.respond = respond;
    stage.claims.signed(-9_000);
    await stage.pass(950);
    stage.claims.signed(0);
    await stage.pass(8_100);
    call?.answer([Buffer.from('7')]);
    await settle();
    expect(await claiming).toMatchObject({ code: 'ERR_BROKER_UNAVAILABLE' });
    expect([stage.told, stage.dropped]).toEqual([[], ['it saw no sign of its own life in time']]);
  });

  it('goes on with what it owns in the next session of its life', async () => {
    const stage = new Stage();
    stage.answer = () => '7';
    await stage.claims.claim(SHARD, stage.owner);
    stage.claims.pause();
    stage.claims.entered(1, 1_000, false);
    stage.claims.begin();
    await settle();
    expect(stage.asked.at(-1)).toBe('accounts 3 8 7');
    expect(stage.told).toEqual(['granted 7', 'keep accounts 3']);
  });

  it('has lost all in its next life, before it asks again', async () => {
    const stage = new Stage();
    stage.answer = () => '7';
    await stage.claims.claim(SHARD, stage.owner);
    stage.isUp = false;
    stage.claims.entered(2, 1_000, false);
    expect(stage.told).toEqual(['granted 7', 'end accounts 3', 'lost']);
    stage.isUp = true;
    stage.answer = () => '8';
    stage.claims.begin();
    await settle();
    expect([stage.asked.at(-1), stage.told.at(-1)]).toEqual(['accounts 3 8 0', 'granted 8']);
    expect(stage.claims.leaseOf(SHARD)?.value).toBe('8 me life 2');
  });

  it('has lost what the server has given to another', async () => {
    const stage = new Stage();
    stage.answer = () => '7';
    await stage.claims.claim(SHARD, stage.owner);
    stage.answer = () => '-';
    stage.claims.begin();
    await settle();
    expect(stage.told).toEqual(['granted 7', 'end accounts 3', 'lost']);
  });

  it('is granted nothing for downAfterMs where the server has forgotten it: other owners find out meanwhile', async () => {
    const stage = new Stage();
    stage.claims.entered(2, 0, true);
    await stage.claims.claim(SHARD, stage.owner);
    expect(stage.mayGrant).toBe('0');
    await stage.pass(5_000);
    stage.claims.signed(5_000);
    await stage.pass(4_900);
    expect(stage.mayGrant).toBe('0');
    await stage.pass(500);
    expect(stage.mayGrant).toBe('1');
  });

  it('gives back in order: first what is read ends, then the server hears, and nobody is told of a loss', async () => {
    const stage = new Stage();
    stage.answer = () => '7';
    const claim = await stage.claims.claim(SHARD, stage.owner);
    const releasing = claim.release();
    expect(stage.claims.leaseOf(SHARD)).toBeUndefined();
    await expect(stage.claims.claim(SHARD, stage.owner)).rejects.toMatchObject({
      code: 'ERR_OPTION_INVALID',
    });
    await releasing;
    expect(stage.told).toEqual(['granted 7', 'stop accounts 3']);
    expect(stage.asked.at(-1)).toBe('back accounts 3');
    await stage.claims.claim(SHARD, stage.owner);
    expect(claim.release()).toBe(releasing);
    await settle();
    expect(stage.claims.owned).toEqual(['accounts 3']);
  });

  it('gives back with the next session what it could not tell, unless it claims it again', async () => {
    const stage = new Stage();
    stage.answer = () => '7';
    const claim = await stage.claims.claim(SHARD, stage.owner);
    stage.isUp = false;
    const released = claim.release();
    await settle();
    await stage.pass(1_000);
    await released;
    expect(stage.asked).toHaveLength(1);
    stage.isUp = true;
    stage.claims.begin();
    await settle();
    expect(stage.asked.at(-1)).toBe('back accounts 3');
    expect(stage.clock.pending).toBe(0);
  });

  it('gives back what may have been granted to a claim that was given up', async () => {
    const stage = new Stage();
    stage.isUp = false;
    const refusal = stage.claims.claim(SHARD, stage.owner).catch((error: unknown) => error);
    await stage.pass(1_000);
    expect(await refusal).toMatchObject({ code: 'ERR_BROKER_UNAVAILABLE' });
    stage.isUp = true;
    stage.claims.begin();
    await settle();
    expect([stage.asked, stage.told]).toEqual([['back accounts 3'], []]);
  });

  it('asks for many shards in few commands', async () => {
    const stage = new Stage();
    stage.answer = () => '7';
    stage.isUp = false;
    const all = Array.from({ length: 70 }, (_, shard) =>
      stage.claims.claim({ group: 'many', shard, shards: 70 }, stage.owner),
    );
    let commands = 0;
    const { respond } = stage.server;
    stage.server.respond = (call) => {
      commands++;
      return respond(call);
    };
    stage.isUp = true;
    stage.claims.begin();
    await Promise.all(all);
    expect([commands, stage.claims.owned.length]).toEqual([3, 70]);
  });

  it('goes on asking while the server takes nothing, and leaves the session for any other refusal', async () => {
    const stage = new Stage();
    const { respond } = stage.server;
    await stage.claims.claim(SHARD, stage.owner);
    stage.server.respond = () => Promise.reject(new Refusal('OOM command not allowed'));
    await stage.pass(600);
    expect(stage.dropped).toEqual([]);
    stage.server.respond = respond;
    await stage.pass(250);
    expect(stage.asked).toHaveLength(2);
    stage.server.respond = () => Buffer.from('gone');
    await stage.pass(250);
    expect(stage.dropped).toEqual(['other nodes have taken this one for dead']);
  });

  it('refuses another number of shards than the group has', async () => {
    const stage = new Stage();
    stage.answer = () => 'of 64';
    await expect(stage.claims.claim(SHARD, stage.owner)).rejects.toMatchObject({
      code: 'ERR_OPTION_INVALID',
      details: { option: 'shards', given: '8' },
    });
    expect(stage.claims.owned).toEqual([]);
  });

  it('tells of an owner that throws, and goes on', async () => {
    const stage = new Stage();
    stage.answer = () => '7';
    await stage.claims.claim(SHARD, {
      granted: () => {
        throw new Error('badly written');
      },
      lost: () => undefined,
    });
    expect([stage.told, stage.claims.owned]).toEqual([['threw badly written'], ['accounts 3']]);
  });

  it('leaves no timer and no claim when it is closed', async () => {
    const stage = new Stage();
    stage.answer = (field) => (field === 'accounts 3' ? '7' : '-');
    await stage.claims.claim(SHARD, stage.owner);
    await stage.claims.claim({ ...SHARD, shard: 4 }, stage.owner);
    stage.claims.close();
    expect([stage.claims.owned, stage.clock.pending, stage.told]).toEqual([[], 0, ['granted 7']]);
    await expect(stage.claims.claim(SHARD, stage.owner)).rejects.toMatchObject({
      code: 'ERR_BROKER_UNAVAILABLE',
    });
  });
});
