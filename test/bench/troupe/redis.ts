/**
 * The twin of `limit/redis.ts` at the level of the broker port: frames to a node, unpacked, each in the broker as one entry. One call of
 * `publish` is in flight, as the port asks for. Arguments: role, URL, prefix, frames, bytes of each.
 */

import { redis } from '../../../adapters/redis/index.ts';
import { systemHost } from '../../../runtime/host/system-clock.ts';
import type { RedisRate } from '../redis.ts';

/** Frames of one call: as many as the limit has in flight. */
const CALL = 256;

const [role, url = '', prefix = '', frames = '', bytes = ''] = process.argv.slice(2);
const total = Number(frames);
const broker = redis(url, { prefix, maxLength: total });
await broker.open({ name: role ?? '', incarnation: `${role}1` }, systemHost);
if (role === 'write') await write();
else await read();
await broker.close();

async function write(): Promise<void> {
  for (let next = 0; next < total; ) {
    const call = Array.from({ length: Math.min(CALL, total - next) }, (_, index) => {
      const frame = Buffer.alloc(Number(bytes));
      frame.writeUInt32BE(next + index);
      return { to: { kind: 'node', node: 'read' }, lane: 3, bytes: frame } as const;
    });
    const results = await broker.publish(call);
    // It waits for its reader; afterwards everything has to be taken.
    if (next === 0 && results[0] === 'unroutable') continue;
    if (results.some((result) => result !== 'ok')) throw new Error(`A frame was ${results.join()}.`);
    next += call.length;
  }
  console.log('{}');
}

async function read(): Promise<void> {
  const seen = new Set<number>();
  let beganMs = 0;
  await new Promise<void>((resolve, reject) => {
    const reading = broker.consume(
      { kind: 'inbox' },
      {
        windows: [64, 64, 128, 512, 128, 64],
        receive: (deliveries) => {
          if (beganMs === 0) beganMs = performance.now();
          for (const { bytes: frame } of deliveries)
            seen.add(new DataView(frame.buffer, frame.byteOffset).getUint32(0));
          reading.then((consumption) => {
            consumption.acknowledge(deliveries);
            if (seen.size === total) consumption.stop().then(resolve, reject);
          }, reject);
        },
      },
    );
  });
  const result: RedisRate = { perSecond: (total / (performance.now() - beganMs)) * 1_000, frames: seen.size };
  console.log(JSON.stringify(result));
}
