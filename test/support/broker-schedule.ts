/** Random schedules of faults, drawn from a seed and written down, so that one that fails is run again as it was. */

import { LANES, type Lane } from '../../src/protocol/broker.ts';
import type { BrokerFaults, LinkDirection } from './broker-harness.ts';
import { seededRandom } from './seeded-random.ts';

/** Who has a link of its own. */
export type Linked = 'sender' | 'reader';

export type ScheduleStep =
  | { readonly type: 'send'; readonly to: 'inbox' | 'topic'; readonly lane: Lane; readonly frames: number }
  | { readonly type: 'wait'; readonly ms: number }
  | { readonly type: 'cut'; readonly who: Linked; readonly how: 'cutRst' | 'cutFin' | 'halfOpen' }
  | { readonly type: 'one-way'; readonly who: Linked; readonly direction: LinkDirection }
  | {
      readonly type: 'cut-after';
      readonly who: Linked;
      readonly direction: LinkDirection;
      readonly bytes: number;
    }
  | { readonly type: 'latency'; readonly who: Linked; readonly ms: number }
  | { readonly type: 'heal'; readonly who: Linked }
  /** The member that has read the longest dies, and a new one comes. */
  | { readonly type: 'replace-member' }
  /** How the reader treats what comes from now on. */
  | { readonly type: 'treat'; readonly how: 'acknowledge' | 'release-some' | 'keep' | 'bury-some' }
  | { readonly type: 'restart-server' }
  | { readonly type: 'pause-server'; readonly ms: number };

/** What may be in a schedule. */
export interface ScheduleWorld {
  readonly faults: BrokerFaults;
  /** Whether a restart of the server keeps what it holds. */
  readonly isDurable: boolean;
}

/** A schedule of `length` steps for a seed. */
export function scheduleOf(seed: number, length: number, world: ScheduleWorld): readonly ScheduleStep[] {
  const random = seededRandom(seed);
  const pick = <T>(values: readonly T[]): T => {
    const value = values[Math.floor(random() * values.length)];
    if (value === undefined) throw new Error('There is nothing to choose from.');
    return value;
  };
  const from = (min: number, max: number): number => min + Math.floor(random() * (max - min + 1));
  const who = (): Linked => pick(['sender', 'reader']);
  const direction = (): LinkDirection => pick(['to-server', 'to-client']);
  const makers: (() => ScheduleStep)[] = [];
  const often = (times: number, make: () => ScheduleStep): void => {
    for (let time = 0; time < times; time++) makers.push(make);
  };
  const { link, server } = world.faults;
  often(12, () => ({ type: 'send', to: pick(['inbox', 'topic']), lane: pick(LANES), frames: from(1, 30) }));
  often(6, () => ({ type: 'wait', ms: from(1, 150) }));
  often(2, () => ({ type: 'replace-member' }));
  often(2, () => ({ type: 'treat', how: pick(['acknowledge', 'release-some', 'keep', 'bury-some']) }));
  if (link.length > 0) often(6, () => ({ type: 'heal', who: who() }));
  for (const how of ['cutRst', 'cutFin', 'halfOpen'] as const)
    if (link.includes(how)) often(1, () => ({ type: 'cut', who: who(), how }));
  if (link.includes('oneWay')) often(1, () => ({ type: 'one-way', who: who(), direction: direction() }));
  if (link.includes('latency')) often(1, () => ({ type: 'latency', who: who(), ms: from(1, 50) }));
  if (link.includes('cutAfterBytes'))
    often(2, () => ({ type: 'cut-after', who: who(), direction: direction(), bytes: from(1, 2_000) }));
  if (server !== undefined && world.isDurable) often(1, () => ({ type: 'restart-server' }));
  if (server !== undefined) often(1, () => ({ type: 'pause-server', ms: from(50, 1_000) }));
  return Array.from({ length }, () => pick(makers)());
}
