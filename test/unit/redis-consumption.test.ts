import { describe, expect, it } from 'vitest';
import { type Attachment, RedisConsumption } from '../../adapters/redis/consumption.ts';
import { Keys } from '../../adapters/redis/keys.ts';
import { BURY, RELEASE, SETTLE, SETTLE_OWNED } from '../../adapters/redis/scripts.ts';
import { type Lease, RedisDelivery } from '../../adapters/redis/stream.ts';
import type { Source } from '../../src/protocol/broker.ts';
import { brokerSettings } from '../../src/protocol/broker-options.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import { GROUP_WINDOWS } from '../../src/protocol/limits.ts';
import { FakeConnection } from '../support/fake-connection.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const LEASE: Lease = { field: 'accounts 1', value: '7 me life 1' };
const { settings } = brokerSettings('redis', {}, []);

async function settle(): Promise<void> {
  for (let round = 0; round < 3; round++) await new Promise((resolve) => setImmediate(resolve));
}

/** A consumption beside a reader that is quiet when the test says so. */
class Stage {
  readonly server = new FakeConnection();
  readonly ended: RedisConsumption[] = [];
  readonly consumption: RedisConsumption;
  readonly clock = new VirtualClock();
  quiet: () => void = () => undefined;

  constructor(lease?: Lease, source: Source = { kind: 'shard', group: 'accounts', shard: 1, shards: 8 }) {
    this.server.respond = () => 1;
    const reader = {
      remove: () =>
        new Promise<void>((resolve) => {
          this.quiet = resolve;
        }),
      freed: () => undefined,
      sweep: () => undefined,
    };
    const attachment = {
      session: { writer: this.server, reader: this.server, readerId: 1, number: 1, life: 1 },
      reader,
      consumer: 'me.life.1',
      // Of a reader, a consumption uses these three.
    } as unknown as Attachment;
    const keys = new Keys('troupe');
    const host = { clock: this.clock, random: () => 0, soon: queueMicrotask, later: setImmediate };
    const reading = {
      streams: keys.shardsOf('accounts 1'),
      windows: GROUP_WINDOWS,
      receive: () => undefined,
      lease,
    };
    this.consumption = new RedisConsumption(
      {
        host,
        settings,
        keys,
        attachment: () => attachment,
        ended: (ended) => this.ended.push(ended),
        threw: () => undefined,
        drop: () => undefined,
        unavailable: (problem) =>
          new TroupeError('ERR_BROKER_UNAVAILABLE', { broker: 'redis', url: 'redis://here', problem }),
      },
      source,
      reading,
    );
  }

  /** A frame that is given out. */
  give(id: string): RedisDelivery {
    const [outlet] = this.consumption.outlets;
    if (outlet === undefined) throw new Error('An outlet was expected.');
    const made = new RedisDelivery(outlet, { id, bytes: new Uint8Array(1), topic: undefined, deliveries: 1 });
    outlet.unsettled.add(made);
    return made;
  }
}

describe('a consumption of a Redis adapter', () => {
  it('of a shard has stopped once nothing that was read for it is on its way; of a group it does not wait', async () => {
    for (const lease of [undefined, LEASE]) {
      const stage = new Stage(lease);
      const stopping = stage.consumption.stop();
      await settle();
      expect(stage.ended).toHaveLength(lease === undefined ? 1 : 0);
      stage.quiet();
      await stopping;
      expect(stage.ended).toHaveLength(1);
    }
  });

  it('of a shard settles and buries by the right that it was given', async () => {
    const asked: unknown[] = [];
    const stage = new Stage(LEASE);
    stage.server.respond = ({ script, parameters }) => {
      asked.push([script, parameters.includes(LEASE.value), parameters.includes('{troupe}:shards')]);
      return 1;
    };
    stage.consumption.acknowledge([stage.give('1')]);
    await settle();
    await stage.consumption.deadLetter(stage.give('2'), { reason: 'tired' });
    expect(asked).toEqual([
      [SETTLE_OWNED, true, true],
      [BURY, true, true],
    ]);
  });

  it('of a group says at once what is settled; of an inbox together with what is soon, or when it is stopped', async () => {
    const told = async (
      source: Source,
      count: number,
      then: (stage: Stage) => unknown,
    ): Promise<number[]> => {
      const stage = new Stage(undefined, source);
      const sizes: number[] = [];
      stage.server.respond = ({ script, parameters }) => {
        if (script === SETTLE) sizes.push(parameters.length - 1);
        return 1;
      };
      for (let n = 0; n < count; n++) {
        stage.consumption.acknowledge([stage.give(String(n))]);
        await settle();
      }
      await settle();
      sizes.push(-1);
      await then(stage);
      await settle();
      expect(stage.clock.pending).toBe(0);
      return sizes;
    };
    const group = { kind: 'group', group: 'workers', pattern: 'jobs' } as const;
    const inbox = { kind: 'inbox' } as const;
    const pass = (stage: Stage): Promise<void> => stage.clock.advance(5, settle);
    expect(await told(group, 1, () => undefined)).toEqual([1, -1]);
    expect(await told(inbox, 3, pass)).toEqual([-1, 3]);
    expect(await told(inbox, 66, pass)).toEqual([64, -1, 2]);
    expect(await told(inbox, 3, ({ consumption }) => consumption.stop())).toEqual([-1, 3]);
    // With the connection goes what could have been told.
    expect(await told(inbox, 3, ({ consumption }) => consumption.lose())).toEqual([-1]);
  });

  it('of what is not a shard compares nothing', async () => {
    const stage = new Stage();
    const scripts: unknown[] = [];
    stage.server.respond = ({ script, parameters }) => {
      scripts.push([script, parameters.includes('{troupe}:shards')]);
      return 1;
    };
    stage.consumption.acknowledge([stage.give('1')]);
    await settle();
    expect(scripts).toEqual([[SETTLE, false]]);
  });

  it('settles nothing any more once it was abandoned, and stops without a word', async () => {
    const stage = new Stage(LEASE);
    const asked: unknown[] = [];
    stage.server.respond = ({ script }) => {
      asked.push(script === RELEASE);
      return 1;
    };
    const given = stage.give('1');
    stage.consumption.abandon();
    stage.consumption.acknowledge([given]);
    stage.consumption.release([given]);
    await stage.consumption.deadLetter(given, { reason: 'tired' });
    await stage.consumption.stop();
    await settle();
    expect([asked, stage.ended]).toEqual([[], [stage.consumption]]);
  });
});
