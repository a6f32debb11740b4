/**
 * A node on a loopback broker in a process of its own: it reads a group and settles nothing, claims a shard, publishes what it is told
 * to, and says what happens to it, a line each.
 */

import { loopback } from '../../adapters/loopback/index.ts';
import { systemHost } from '../../runtime/host/system-clock.ts';
import { numberOf } from './broker-play.ts';
import { LOOPBACK_TIMES } from './loopback-harness.ts';
import { say } from './said-lines.ts';

const [url = '', name = '', downAfterMs = ''] = process.argv.slice(2);
const broker = loopback(url, { ...LOOPBACK_TIMES, downAfterMs: Number(downAfterMs) });
broker.onState(({ state }) => say(state));
broker.members?.onChange(({ kind, member }) => say(`${kind} ${member.name} ${member.incarnation}`));
await broker.open({ name, incarnation: name }, systemHost);
await broker.consume(
  { kind: 'group', group: 'workers', pattern: 'work' },
  {
    windows: [8, 8, 8, 8, 8, 8],
    receive: (deliveries) => {
      for (const delivery of deliveries) say(`got ${numberOf(delivery)}`);
    },
  },
);
await broker.shards?.claim(
  { group: 'accounts', shard: 0, shards: 1 },
  { granted: (epoch) => say(`granted ${epoch}`), lost: () => say('lost') },
);
say('ready');
