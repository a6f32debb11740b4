/** Cases about keyed agents over several systems: one actor for each key, whoever comes, leaves or dies. */

import { expect } from 'vitest';
import { agent, type KeyedArgs, protocol, tell, type } from '../../../src/index.ts';
import { type BrokerPlay, range } from '../../support/broker-play.ts';
import { type PlaySystem, SystemPlay } from '../../support/system-play.ts';
import { testStates } from '../../support/test-states.ts';
import { type BrokerCases, SHORT_TIMES } from './cases.ts';

/** Milliseconds beside the adapter's own bounds: the machine may be busy. */
const SLACK_MS = 60_000;
const SHARDS = 6;
const KEYS = 12;
const EACH = 15;

const Page = protocol('page', { write: tell(type<number>({ trust: true })) });

export function keyedCases({ has, when }: BrokerCases): void {
  const hasShards = has.grantMs !== undefined;
  const boundMs = (has.takeoverMs ?? 0) + (has.downMs ?? 0) + SLACK_MS;
  const whenShards = (name: string, run: (play: BrokerPlay) => Promise<void>): void =>
    when('grantMs', hasShards, name, run);

  const moves = async (play: BrokerPlay, end: (owner: PlaySystem) => Promise<void>) => {
    const systems = new SystemPlay(play);
    const states = testStates();
    const page = agent(Page, {
      state: (_args: KeyedArgs) => ({ numbers: [] as number[] }),
      on: { write: (ctx, n) => ctx.state.numbers.push(n) },
    });
    const system = () => systems.system({}, { options: SHORT_TIMES });
    const [a, b, sender] = [await system(), await system(), await system()];
    await systems.meet(a, b, sender);
    const host = ({ system: one }: PlaySystem, hosts: boolean) =>
      one.keyed(page, {
        shards: SHARDS,
        hosts,
        persist: 'snapshot',
        states: states.store(),
        handOffMs: 2_000,
      });
    const owned = (one: PlaySystem): number => {
      const shards = new Set<number>();
      for (const event of one.events) {
        if (event.type === 'shard-granted') shards.add(event.shard);
        if (event.type === 'shard-lost' || event.type === 'shard-released') shards.delete(event.shard);
      }
      return shards.size;
    };
    host(a, true);
    host(b, true);
    const pages = host(sender, false);
    await play.until(() => owned(a) === SHARDS / 2 && owned(b) === SHARDS / 2, 'an equal spread', boundMs);
    const keys = range(KEYS).map((n) => `page-${n}`);
    const written = (key: string): readonly number[] => {
      const json = states.writes.findLast((write) => write.key === key)?.json;
      return json === undefined ? [] : (JSON.parse(json) as { numbers: number[] }).numbers;
    };
    let ended: Promise<void> | undefined;
    for (const n of range(EACH)) {
      for (const key of keys) expect(pages.forKey(key).tell('write', n)).toBe('accepted');
      await play.passAll(20);
      if (n === 5) ended = end(a);
    }
    await play.until(
      () => keys.every((key) => written(key).includes(EACH - 1)),
      'all that was written',
      boundMs,
    );
    await ended;
    await play.until(() => owned(b) === SHARDS, 'the other shards', boundMs);
    return keys.map(written);
  };

  whenShards(
    '39: loses no message to a key whose owner is killed, and keeps the order of each',
    async (play) => {
      const all = await moves(play, (owner) => owner.kill());
      for (const numbers of all) expect([...new Set(numbers)]).toEqual(range(EACH));
    },
  );

  whenShards('41 43: handles each message to a key once when its owner leaves under load', async (play) => {
    const all = await moves(play, (owner) => owner.end());
    for (const numbers of all) expect(numbers).toEqual(range(EACH));
  });
}
