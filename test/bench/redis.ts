/**
 * Redis: what does the adapter cost beside the bare client? Run it with `npm run bench:redis`; `-- --runs 3` takes fewer turns. It starts
 * a Redis of its own. Frames go from one process to another, unpacked; limit and Troupe take turns on the same server. It passes, with exit
 * code 0, if the adapter moves at least 70 % of what the pipelined client does, and every frame arrives.
 */

import { parseArgs } from 'node:util';
import { startRedis } from '../support/servers/redis.ts';
import { summarize } from './measurement.ts';
import { Programs } from './programs.ts';

const SHARE_MIN = 0.7;
const SIZES = [
  { bytes: 256, frames: 100_000 },
  { bytes: 4_096, frames: 30_000 },
] as const;
const SIDES = ['limit', 'troupe'] as const;

/** What a reading program prints. */
export interface RedisRate {
  readonly perSecond: number;
  readonly frames: number;
}

const { values } = parseArgs({ options: { runs: { type: 'string', default: '5' } } });
const runs = Number(values.runs);
if (!Number.isInteger(runs) || runs < 1) {
  console.error('--runs takes a whole number from 1; there are no other options.');
  process.exitCode = 2;
} else process.exitCode = (await measureAll()) ? 0 : 1;

async function measureAll(): Promise<boolean> {
  const programs = await Programs.build();
  const server = await startRedis();
  let isMet = true;
  try {
    for (const { bytes, frames } of SIZES) {
      const rates = { limit: [] as number[], troupe: [] as number[] };
      for (let run = 1; run <= runs; run++)
        for (const side of SIDES) {
          const key = `bench-${bytes}-${run}-${side}`;
          const parameters = [server.url, key, String(frames), String(bytes)];
          const [rate] = await Promise.all([
            programs.run(`${side}/redis`, { parameters: ['read', ...parameters] }),
            programs.run(`${side}/redis`, { parameters: ['write', ...parameters] }),
          ]);
          // The programs are part of this benchmark and print exactly this.
          const { perSecond, frames: arrived } = rate as RedisRate;
          if (arrived !== frames) throw new Error(`${arrived} of ${frames} frames arrived.`);
          rates[side].push(perSecond);
        }
      const [limit, troupe] = [summarize(rates.limit), summarize(rates.troupe)];
      const share = troupe.median / limit.median;
      isMet &&= share >= SHARE_MIN;
      const shown = ({ median, min, max }: typeof limit): string =>
        `${Math.round(median)} (${Math.round(min)} to ${Math.round(max)})`;
      console.log(
        `${bytes} bytes: client ${shown(limit)}, adapter ${shown(troupe)} frames a second; share ${share.toFixed(2)}`,
      );
    }
  } finally {
    await server.stop();
    await programs.remove();
  }
  return isMet;
}
