/**
 * Goal: under any row of cuts, silences, deaths, restarts and pauses, what was taken arrives or is among the dead letters, what
 * arrives for the first time arrives in order, and nothing arrives that was not published.
 * Method: random schedules by seed. A schedule that fails is printed; `TROUPE_SCHEDULE='[...]'` runs it again as it stands there,
 * `TROUPE_SEED=n` draws it again.
 */

import { expect } from 'vitest';
import type { BrokerOptions, Delivery, Lane, Source } from '../../../src/protocol/broker.ts';
import {
  type BrokerPlay,
  frame,
  numberOf,
  type PlayNode,
  type Reading,
  toNode,
  toTopic,
  windowOf,
} from '../../support/broker-play.ts';
import { type Linked, type ScheduleStep, scheduleOf } from '../../support/broker-schedule.ts';
import { seededRandom } from '../../support/seeded-random.ts';
import type { BrokerCases } from './cases.ts';

const OPTIONS: BrokerOptions = {
  heartbeatMs: 500,
  downAfterMs: 1_500,
  publishTimeoutMs: 1_000,
  connectTimeoutMs: 1_000,
  reconnect: { minMs: 10, maxMs: 100 },
  // Small, so that lanes are full now and then.
  maxLength: 60,
};
const GROUP: Source = { kind: 'group', group: 'workers', pattern: 'news.*' };
const TOPIC = 'news.today';
const END_MS = 60_000;

export function scheduleCases({ harness, has, faults, sizes, when }: BrokerCases): void {
  const world = { faults, isDurable: has.durability !== 'memory' };
  const written = process.env['TROUPE_SCHEDULE'];
  const chosen = process.env['TROUPE_SEED'];
  const base = chosen === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(chosen);
  const seeds = Array.from(
    { length: chosen === undefined ? sizes.schedules : 1 },
    (_, index) => base + index,
  );

  const runAll = async (play: BrokerPlay, seed: number, steps: readonly ScheduleStep[]): Promise<void> => {
    const stage = new Stage(play, has.takeoverMs);
    try {
      await stage.open(faults.link.length > 0);
      for (const step of steps) await stage.perform(step);
      await stage.finish();
    } catch (error) {
      const told = `A schedule failed. TROUPE_SEED=${seed} TROUPE_SCHEDULE='${JSON.stringify(steps)}'`;
      throw new Error(`${told}\n${String(error)}`, { cause: error });
    }
  };

  if (written !== undefined) {
    // Written by this file, above.
    const steps = JSON.parse(written) as readonly ScheduleStep[];
    when(`57: keeps its promises under the schedule that is given`, (play) => runAll(play, base, steps));
    return;
  }
  for (const seed of seeds)
    when(`57: keeps its promises under the schedule of seed ${seed}`, (play) =>
      runAll(play, seed, scheduleOf(seed, sizes.scheduleSteps, world)),
    );

  when('57: draws the same schedule again for the same seed', async () => {
    const again = scheduleOf(base, sizes.scheduleSteps, { ...world, faults: harness.faults });
    expect(scheduleOf(base, sizes.scheduleSteps, world)).toEqual(again);
  });
}

/** What was taken for one destination and lane. */
interface Way {
  readonly taken: number[];
  inFlight: Promise<void> | undefined;
}

class Stage {
  private readonly play: BrokerPlay;
  private readonly takeoverMs: number;
  private readonly random = seededRandom(1);
  private readonly ways = new Map<string, Way>();
  private readonly published = new Set<number>();
  private readonly members: { readonly node: PlayNode; readonly reading: Reading }[] = [];
  private readonly gone: Reading[] = [];
  private readonly burials: Promise<unknown>[] = [];
  private nodes: Record<Linked, PlayNode> | undefined;
  private reading: Reading | undefined;
  private treatment: Extract<ScheduleStep, { type: 'treat' }>['how'] = 'acknowledge';
  private kept: Delivery[] = [];
  /** What the reader is done with: a frame that was given back must come again. */
  private readonly acknowledged = new Set<number>();
  private next = 0;

  constructor(play: BrokerPlay, takeoverMs: number) {
    this.play = play;
    this.takeoverMs = takeoverMs;
  }

  async open(hasLink: boolean): Promise<void> {
    const sender = await this.play.node({ options: OPTIONS, hasLink });
    const reader = await this.play.node({ options: OPTIONS, hasLink });
    this.nodes = { sender, reader };
    await reader.listen('news.#');
    this.reading = await reader.read(undefined, {
      windows: windowOf(40),
      settle: (deliveries, reading) => this.treat(deliveries, reading),
    });
    await this.addMember();
    await this.addMember();
  }

  async perform(step: ScheduleStep): Promise<void> {
    const { faults } = this.play.harness;
    switch (step.type) {
      case 'send':
        return this.send(step.to, step.lane, step.frames);
      case 'wait':
        return this.play.passAll(step.ms);
      case 'cut':
        return this.node(step.who).link[step.how]();
      case 'one-way':
        return this.node(step.who).link.oneWay(step.direction);
      case 'cut-after':
        return this.node(step.who).link.cutAfterBytes(step.bytes, step.direction);
      case 'latency':
        return this.node(step.who).link.latency(step.ms);
      case 'heal':
        return this.node(step.who).link.heal();
      case 'replace-member':
        return this.replaceMember();
      case 'treat':
        return this.treatFromNow(step.how);
      case 'restart-server':
        await faults.server?.kill();
        return faults.server?.restart();
      case 'pause-server':
        await faults.server?.pause();
        await this.play.passAll(step.ms);
        return faults.server?.resume();
    }
  }

  /** Everything is whole again; then all must come. */
  async finish(): Promise<void> {
    const { play, nodes, reading } = this;
    if (nodes === undefined || reading === undefined) throw new Error('The stage is not open.');
    if (play.harness.faults.link.length > 0) for (const { link } of Object.values(nodes)) await link.heal();
    this.treatFromNow('acknowledge');
    await play.until(() => Object.values(nodes).every(({ isUp }) => isUp), 'all nodes are back', END_MS);
    for (const { inFlight } of this.ways.values())
      await play.within(inFlight ?? Promise.resolve(), 'the last publishes', END_MS);
    await play.within(Promise.allSettled(this.burials), 'the last dead letters', END_MS);
    const buried = async (): Promise<readonly number[]> =>
      (await play.harness.deadFrames(play.prefix)).map(numberOf);
    let missing: readonly string[] = [];
    const isComplete = async (): Promise<boolean> => {
      const dead = await buried();
      missing = this.missing(dead);
      return missing.length === 0;
    };
    await play.until(isComplete, 'what was taken', END_MS + this.takeoverMs).catch((error: unknown) => {
      throw new Error(`Taken, and neither read to the end nor dead: ${missing.slice(0, 30).join(', ')}`, {
        cause: error,
      });
    });
    for (const [name, { taken }] of this.ways) this.checkOrder(name, new Set(taken), reading);
    for (const number of [reading, ...this.groupReadings()].flatMap(({ numbers }) => numbers))
      if (!this.published.has(number)) throw new Error(`Frame ${number} was never published.`);
  }

  private missing(dead: readonly number[]): readonly string[] {
    const inbox = new Set([...this.acknowledged, ...dead]);
    const group = new Set(this.groupReadings().flatMap(({ numbers }) => numbers));
    return [...this.ways].flatMap(([name, { taken }]) =>
      taken.flatMap((number) => [
        ...(inbox.has(number) ? [] : [`${number} (${name}) at the node`]),
        ...(name.startsWith('topic') && !group.has(number) ? [`${number} (${name}) at the group`] : []),
      ]),
    );
  }

  /** What came first and unmarked came in the order in which it was published. */
  private checkOrder(name: string, taken: ReadonlySet<number>, reading: Reading): void {
    const seen = new Set<number>();
    let last = -1;
    for (const delivery of reading.deliveries) {
      const number = numberOf(delivery);
      if (!taken.has(number) || seen.has(number)) continue;
      seen.add(number);
      if (delivery.isRedelivered) continue;
      if (number < last) throw new Error(`${name}: ${number} came unmarked after ${last}.`);
      last = number;
    }
  }

  /** One call in flight for each destination and lane; what comes while it is goes nowhere. */
  private send(to: 'inbox' | 'topic', lane: Lane, count: number): void {
    const name = `${to} ${lane}`;
    const way: Way = this.ways.get(name) ?? { taken: [], inFlight: undefined };
    this.ways.set(name, way);
    if (way.inFlight !== undefined) return;
    const numbers = Array.from({ length: count }, () => this.next++);
    for (const number of numbers) this.published.add(number);
    const destination = to === 'inbox' ? toNode(this.node('reader')) : toTopic(TOPIC);
    const sizeBytes = 8 + Math.floor(this.random() * 400);
    const frames = numbers.map((number) => frame(destination, number, { lane, sizeBytes }));
    way.inFlight = this.node('sender')
      .broker.publish(frames)
      .then((results) => {
        way.taken.push(...numbers.filter((_, place) => results[place] === 'ok'));
        way.inFlight = undefined;
      });
  }

  private treatFromNow(how: typeof this.treatment): void {
    this.treatment = how;
    if (how === 'keep') return;
    if (this.reading?.consumption !== undefined) this.acknowledge(this.kept.splice(0), this.reading.open);
  }

  private acknowledge(deliveries: readonly Delivery[], open: Reading['open']): void {
    for (const delivery of deliveries) this.acknowledged.add(numberOf(delivery));
    open.acknowledge(deliveries);
  }

  private treat(deliveries: readonly Delivery[], { open }: Reading): void {
    const { treatment } = this;
    if (treatment === 'keep') {
      this.kept.push(...deliveries);
      return;
    }
    // Each at most once, or the last of them would go round for ever.
    const isChosen = ({ isRedelivered }: Delivery): boolean => !isRedelivered && this.random() < 0.3;
    const chosen = treatment === 'acknowledge' ? [] : deliveries.filter(isChosen);
    this.acknowledge(
      deliveries.filter((delivery) => !chosen.includes(delivery)),
      open,
    );
    if (treatment === 'release-some') open.release(chosen);
    else for (const delivery of chosen) this.bury(delivery, open);
  }

  private bury(delivery: Delivery, open: Reading['open']): void {
    const burying = open.deadLetter(delivery, { reason: 'schedule' }).catch(() => open.release([delivery]));
    this.burials.push(burying);
  }

  private async addMember(): Promise<void> {
    const node = await this.play.node({ options: OPTIONS });
    this.members.push({ node, reading: await node.read(GROUP, { windows: windowOf(20) }) });
  }

  private async replaceMember(): Promise<void> {
    await this.addMember();
    const oldest = this.members.shift();
    if (oldest === undefined) return;
    await oldest.node.kill();
    this.gone.push(oldest.reading);
  }

  private groupReadings(): readonly Reading[] {
    return [...this.gone, ...this.members.map(({ reading }) => reading)];
  }

  private node(who: Linked): PlayNode {
    if (this.nodes === undefined) throw new Error('The stage is not open.');
    return this.nodes[who];
  }
}
