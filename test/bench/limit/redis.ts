/**
 * The limit of the Redis benchmark: one stream between two processes with nothing but the client, pipelined. `write` adds frames by XADD, `read`
 * reads them by XREADGROUP and settles them by XACK and XDEL while the next read is under way. Arguments: role, URL, key, frames, bytes of each.
 */

import { Redis } from 'ioredis';
import type { RedisRate } from '../redis.ts';

/** Frames of one pipeline, pipelines in flight, and entries of one answer. */
const PIPELINE = 128;
const IN_FLIGHT = 2;
const COUNT = 256;
const GROUP = 'readers';

const [role, url = '', key = '', frames = '', bytes = ''] = process.argv.slice(2);
const total = Number(frames);
const redis = new Redis(url, { protocol: 2 });
if (role === 'write') await write();
else await read();
redis.disconnect();

async function write(): Promise<void> {
  while ((await redis.exists(key)) === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  let next = 0;
  const one = async (): Promise<void> => {
    while (next < total) {
      const pipeline = redis.pipeline();
      for (const end = Math.min(next + PIPELINE, total); next < end; next++) {
        const frame = Buffer.alloc(Number(bytes));
        frame.writeUInt32BE(next);
        pipeline.xadd(key, '*', 'b', frame);
      }
      await pipeline.exec();
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, one));
  console.log('{}');
}

async function read(): Promise<void> {
  await redis.xgroup('CREATE', key, GROUP, '0', 'MKSTREAM');
  const seen = new Set<number>();
  let beganMs = 0;
  let settling: Promise<unknown> = Promise.resolve();
  while (seen.size < total) {
    const reply = (await redis.callBuffer('XREADGROUP', [
      'GROUP',
      GROUP,
      'me',
      'COUNT',
      COUNT,
      'BLOCK',
      5_000,
      'STREAMS',
      key,
      '>',
    ])) as [Buffer, [Buffer, Buffer[]][]][] | null;
    const entries = reply?.[0]?.[1] ?? [];
    if (beganMs === 0) beganMs = performance.now();
    const ids = entries.map(([id, fields]) => {
      seen.add(fields[1]?.readUInt32BE() ?? -1);
      return id;
    });
    if (ids.length > 0)
      settling = redis
        .pipeline()
        .xack(key, GROUP, ...ids)
        .xdel(key, ...ids)
        .exec();
  }
  await settling;
  const result: RedisRate = { perSecond: (total / (performance.now() - beganMs)) * 1_000, frames: seen.size };
  console.log(JSON.stringify(result));
}
