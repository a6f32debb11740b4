import { describe, expect, it } from 'vitest';
import { Coordination } from '../../adapters/kafka/coordination.ts';
import { Link } from '../../adapters/kafka/link.ts';
import { Names } from '../../adapters/kafka/names.ts';
import { kafkaSettings } from '../../adapters/kafka/options.ts';
import { busTopic } from '../../adapters/kafka/topics.ts';
import { MemberView } from '../../src/protocol/member-view.ts';
import type { Shard } from '../../src/protocol/sharding.ts';
import { FakeKafka, type FakeLine } from '../support/fake-kafka.ts';
import { HandHost } from '../support/hand-host.ts';

const SHARD: Shard = { group: 'g', shard: 0, shards: 4 };
const DOWN_AFTER_MS = 10_000;

interface Node {
  readonly line: FakeLine;
  readonly link: Link;
  readonly view: MemberView;
  readonly coordination: Coordination;
}

/** Pauses before attempts to connect take their time here. */
class PausingHost extends HandHost {
  override random(): number {
    return 0.5;
  }
}

class Stage {
  readonly host = new PausingHost();
  readonly kafka = new FakeKafka(this.host.clock);
  readonly names = new Names('p');
  /** What was told, with who was told, and when. */
  readonly told: { readonly name: string; readonly what: string; readonly atMs: number }[] = [];

  async node(name: string, heartbeatMs = 3_000): Promise<Node> {
    const options = { prefix: 'p', heartbeatMs, downAfterMs: DOWN_AFTER_MS };
    const settings = kafkaSettings('kafka://a', options);
    const line = this.kafka.line();
    const home = busTopic(this.names, settings);
    this.kafka.make(home.name);
    const link = new Link(line, settings, this.host, {
      home,
      user: {
        restore: async () => coordination.restore(),
        beat: async (client) => {
          await client.offsets(home.name, 'end');
          await coordination.beat();
        },
        lost: () => coordination.lost(),
        tell: () => undefined,
      },
    });
    const view = new MemberView();
    const coordination = new Coordination(link, this.names, {
      node: { name, incarnation: `${name}1` },
      view,
    });
    view.onChange(({ kind, member }) => this.note(name, `${kind} ${member.incarnation}`));
    await this.pass(link.open(() => Promise.resolve()));
    await this.pass(coordination.begin());
    return { line, link, view, coordination };
  }

  note(name: string, what: string): void {
    this.told.push({ name, what, atMs: this.host.clock.now() });
  }

  async claim(name: string, { coordination }: Node): Promise<() => Promise<void>> {
    const claim = await this.pass(
      coordination.claims.claim(SHARD, {
        granted: (epoch) => this.note(name, `granted ${epoch}`),
        lost: () => this.note(name, 'lost'),
      }),
    );
    return () => this.pass(claim.release());
  }

  async advance(ms: number): Promise<void> {
    await this.host.clock.advance(ms, () => this.host.turn().then(() => undefined));
  }

  async pass<T>(promise: Promise<T>): Promise<T> {
    let isOver = false;
    const end = (): void => {
      isOver = true;
    };
    promise.then(end, end);
    for (let step = 0; !isOver && step < 5_000; step++) {
      await this.host.turn();
      if (!isOver) await this.advance(1);
    }
    return promise;
  }

  of(what: RegExp): readonly { readonly name: string; readonly what: string; readonly atMs: number }[] {
    return this.told.filter((one) => what.test(one.what));
  }
}

describe('members and shards on a log', () => {
  it('are joined at once, however long a heartbeat is', async () => {
    const stage = new Stage();
    await stage.node('a', 5_000);
    expect(stage.host.clock.now()).toBeLessThan(200);
  });

  it('count a word once whose answer was lost', async () => {
    const stage = new Stage();
    const a = await stage.node('a');
    a.line.answersLost = 2;
    await stage.claim('a', a);
    await stage.advance(1_000);
    expect(stage.of(/granted|lost/).map(({ what }) => what.split(' ')[0])).toEqual(['granted']);
  });

  it('tell an owner of its loss a part of its session before anybody else is granted', async () => {
    for (const afterMs of [0, 700, 1_400, 2_400]) {
      const stage = new Stage();
      const a = await stage.node('a');
      const b = await stage.node('b');
      await stage.claim('a', a);
      await stage.claim('b', b);
      await stage.advance(5_000 + afterMs);
      a.line.isCut = true;
      await stage.advance(2 * DOWN_AFTER_MS);
      const [lost] = stage.of(/^lost/);
      const granted = stage.of(/^granted/).find(({ name }) => name === 'b');
      expect(lost?.name).toBe('a');
      expect((granted?.atMs ?? 0) - (lost?.atMs ?? Number.POSITIVE_INFINITY)).toBeGreaterThanOrEqual(
        DOWN_AFTER_MS / 10,
      );
      a.line.isCut = false;
      await stage.advance(2 * DOWN_AFTER_MS);
      expect(stage.of(/^(down|up) a/).map(({ name, what }) => `${name} ${what}`)).toEqual(
        expect.arrayContaining(['a down a1', 'b down a1', 'a up a1.2', 'b up a1.2']),
      );
    }
  });

  it('take nobody for dead when nobody reaches the server', async () => {
    const stage = new Stage();
    const a = await stage.node('a');
    const b = await stage.node('b');
    await stage.advance(5_000);
    for (const { line } of [a, b]) line.isCut = true;
    await stage.advance(10 * DOWN_AFTER_MS);
    // One of them is later than the other.
    a.line.isCut = false;
    await stage.advance(DOWN_AFTER_MS / 2);
    b.line.isCut = false;
    await stage.advance(5 * DOWN_AFTER_MS);
    expect(stage.of(/^(down|left)/)).toEqual([]);
  });

  it('are complete for a node that comes when the log was cut', async () => {
    const stage = new Stage();
    const a = await stage.node('a');
    const release = await stage.claim('a', a);
    for (let n = 0; n < 1_010; n++) await stage.pass(a.coordination.describe(String(n)));
    await stage.advance(1_000);
    expect(stage.kafka.start('p.members', 0)).toBeGreaterThan(900);
    const b = await stage.node('b');
    expect(b.view.view().map(({ name, about }) => `${name} ${about}`)).toEqual(['a 1009', 'b ']);
    await stage.claim('b', b);
    await release();
    await stage.advance(1_000);
    const epochs = stage.of(/^granted/).map(({ what }) => Number(what.split(' ')[1]));
    expect(epochs).toHaveLength(2);
    expect(epochs[1]).toBeGreaterThan(epochs[0] ?? Number.POSITIVE_INFINITY);
  });
});
