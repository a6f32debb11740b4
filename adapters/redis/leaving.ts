/** A node's goodbye: nothing of it stays, and whoever goes last lets all that is left expire. What stays for a while is what groups and shards hold. */

import type { NodeIdentity } from '../../src/protocol/broker.ts';
import type { BrokerSettings } from '../../src/protocol/broker-options.ts';
import { listIn, textIn } from './client.ts';
import type { Keys } from './keys.ts';
import { fenceOf, type Session } from './link.ts';
import { EXPIRE, LEAVE } from './scripts.ts';
import { EXPIRE_SHARDS } from './shard-scripts.ts';

export interface LeavingPorts {
  readonly node: NodeIdentity;
  readonly keys: Keys;
  readonly settings: Pick<BrokerSettings, 'publishTimeoutMs' | 'expiresMs'>;
}

/** Groups or shards that are told to expire by one command. */
const AT_ONCE_MAX = 128;

/** Rejects as the connection does. */
export async function leave({ node, keys, settings }: LeavingPorts, session: Session): Promise<void> {
  const { writer } = session;
  const { publishTimeoutMs, expiresMs } = settings;
  const own = [...keys.tables, ...keys.inboxes(node.name)];
  const answer = await writer.run(publishTimeoutMs, LEAVE, own, fenceOf(node, session));
  if (answer !== 0) return;
  const fieldsOf = async (table: string): Promise<readonly string[]> =>
    listIn(await writer.call(publishTimeoutMs, 'HKEYS', table)).map(textIn);
  const groups = await fieldsOf(keys.groups);
  const shards = (await fieldsOf(keys.shards)).filter((field) => field.includes(' '));
  for (const page of pagesOf(shards)) {
    const names = [keys.nodes, keys.shards, ...page.flatMap((field) => keys.shardsOf(field))];
    await writer.run(publishTimeoutMs, EXPIRE_SHARDS, names, [expiresMs, ...page]);
  }
  const streams = groups.map((field) => keys.groupsOf(field));
  for (const page of pagesOf([keys.tables, ...streams]))
    await writer.run(publishTimeoutMs, EXPIRE, [keys.nodes, ...page.flat()], [expiresMs]);
}

function pagesOf<T>(all: readonly T[]): readonly (readonly T[])[] {
  const pages = Math.ceil(all.length / AT_ONCE_MAX);
  return Array.from({ length: pages }, (_, n) => all.slice(n * AT_ONCE_MAX, (n + 1) * AT_ONCE_MAX));
}
