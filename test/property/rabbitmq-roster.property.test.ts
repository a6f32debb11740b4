// Goal: whatever nodes miss, and in whatever order they hear of one another, none is up again that has ended, and none is down that always
// had its connection; what a node was told adds up to what it knows; and when all were heard, all know the same.
// Method: nodes that tell one another as RabbitMQ lets them: in order from one to the next, in no order from different ones, though all
// from one holder of a name before anything that follows the next one's coming, and nothing to whoever has no connection.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { heard } from '../../adapters/rabbitmq/member-answers.ts';
import { decoded, encoded, type MemberMessage } from '../../adapters/rabbitmq/member-messages.ts';
import { Roster } from '../../adapters/rabbitmq/roster.ts';
import { RUNS, RUNS_TIMEOUT_MS } from '../support/runs.ts';

const NAMES = ['a', 'b', 'c', 'd'];
/** Messages after which nodes that are left alone must have nothing more to say. */
const MESSAGES_MAX = 10_000;

interface Life {
  readonly roster: Roster;
  /** What it was told of others: `name.incarnation`, and the last kind. */
  readonly told: Map<string, string>;
  isConnected: boolean;
  /** On its way here, by the name of who said it. */
  readonly coming: Map<string, MemberMessage[]>;
}

class Nodes {
  readonly lives = new Map<string, Life>();
  /** Incarnations of those that live and never were without a connection. */
  private readonly steady = new Set<string>();
  private incarnations = 0;

  open(name: string): void {
    if (this.lives.has(name)) return;
    // A name is free when the connection of its last holder is gone: what that one said is in the queues of all then, before
    // whatever is said later.
    for (const each of this.lives.keys()) while (this.deliver(each, name));
    const told = new Map<string, string>();
    const roster = new Roster(
      { name, incarnation: `i${++this.incarnations}` },
      ({ kind, member: { name: other, incarnation } }) => {
        const life = `${other}.${incarnation}`;
        const before = told.get(life);
        if (kind === 'down') expect(this.steady).not.toContain(incarnation);
        if (kind === 'up') expect(before).toBeUndefined();
        else if (other !== name) expect(['up', 'changed']).toContain(before);
        told.set(life, kind);
      },
    );
    this.lives.set(name, { roster, told, isConnected: true, coming: new Map() });
    this.steady.add(roster.self.incarnation);
    this.hello(name);
  }

  /** Its process ends. What it has said arrives. */
  kill(name: string): void {
    this.steady.delete(this.lives.get(name)?.roster.self.incarnation ?? '');
    this.lives.delete(name);
  }

  leave(name: string): void {
    const life = this.lives.get(name);
    if (life === undefined) return;
    this.steady.delete(life.roster.self.incarnation);
    if (life.isConnected) this.sayGone(name, life.roster, 'left');
    this.lives.delete(name);
  }

  cut(name: string): void {
    const life = this.lives.get(name);
    if (life === undefined) return;
    life.isConnected = false;
    this.steady.delete(life.roster.self.incarnation);
    life.coming.clear();
  }

  heal(name: string): void {
    const life = this.lives.get(name);
    if (life === undefined || life.isConnected) return;
    life.isConnected = true;
    this.hello(name);
  }

  describe(name: string, about: string): void {
    const life = this.lives.get(name);
    if (life === undefined) return;
    life.roster.describe(about);
    this.news(name);
  }

  /** One looks for another, and RabbitMQ knows no connection of it. */
  find(name: string, other: string): void {
    const finder = this.lives.get(name);
    const incarnation = finder?.roster.incarnationOf(other);
    if (finder?.isConnected !== true || incarnation === undefined) return;
    if (this.lives.get(other)?.isConnected === true) return;
    const message: MemberMessage = { kind: 'gone', gone: { name: other, incarnation, how: 'down' } };
    heard(finder.roster, message);
    this.broadcast(name, message);
  }

  deliver(name: string, from: string): boolean {
    const life = this.lives.get(name);
    const message = life?.coming.get(from)?.shift();
    if (life === undefined || message === undefined) return false;
    // As it is on the wire.
    const { answers, mustTell } = heard(life.roster, decoded(encoded(message)) ?? { kind: 'probe' });
    for (const { to, message: answer } of answers) this.send(name, to, answer);
    if (mustTell) this.news(name);
    return true;
  }

  settle(): void {
    let left = MESSAGES_MAX;
    const any = (): boolean => NAMES.some((name) => NAMES.some((from) => this.deliver(name, from)));
    while (left > 0 && any()) left--;
    expect(left).toBeGreaterThan(0);
  }

  news(name: string): void {
    const self = this.lives.get(name)?.roster.self;
    if (self !== undefined) this.broadcast(name, { kind: 'here', from: name, members: [self] });
  }

  ask(name: string): void {
    const life = this.lives.get(name);
    if (life !== undefined) this.broadcast(name, { kind: 'ask', from: name, known: life.roster.names() });
  }

  private hello(name: string): void {
    const self = this.lives.get(name)?.roster.self;
    if (self !== undefined) this.broadcast(name, { kind: 'hello', member: self });
  }

  private sayGone(name: string, { self }: Roster, how: 'left'): void {
    this.broadcast(name, { kind: 'gone', gone: { name, incarnation: self.incarnation, how } });
  }

  private broadcast(from: string, message: MemberMessage): void {
    for (const name of this.lives.keys()) this.send(from, name, message);
  }

  private send(from: string, to: string, message: MemberMessage): void {
    const life = this.lives.get(to);
    if (life?.isConnected !== true || this.lives.get(from)?.isConnected !== true) return;
    const coming = life.coming.get(from) ?? [];
    life.coming.set(from, coming);
    coming.push(message);
  }
}

const name = fc.constantFrom(...NAMES);
const step = fc.oneof(
  { weight: 2, arbitrary: fc.record({ type: fc.constant('open' as const), name }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constantFrom('kill', 'leave', 'ask'), name }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constantFrom('cut', 'heal'), name }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('describe' as const), name, about: fc.string() }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('find' as const), name, other: name }) },
  { weight: 8, arbitrary: fc.record({ type: fc.constant('deliver' as const), name, other: name }) },
);

function run(nodes: Nodes, one: typeof step extends fc.Arbitrary<infer S> ? S : never): void {
  if ('about' in one) nodes.describe(one.name, one.about);
  else if (one.type === 'find') nodes.find(one.name, one.other);
  else if (one.type === 'deliver') nodes.deliver(one.name, one.other);
  else if (one.type === 'open') nodes.open(one.name);
  else if (one.type === 'kill') nodes.kill(one.name);
  else if (one.type === 'leave') nodes.leave(one.name);
  else if (one.type === 'ask') nodes.ask(one.name);
  else if (one.type === 'cut') nodes.cut(one.name);
  else nodes.heal(one.name);
}

describe('what nodes on RabbitMQ know of one another', () => {
  it(
    'P113 comes to the same at all of them, and forgets no end',
    () => {
      fc.assert(
        fc.property(fc.array(step, { size: 'max', maxLength: 100 }), (steps) => {
          const nodes = new Nodes();
          for (const one of steps) run(nodes, one);
          for (const each of NAMES) nodes.heal(each);
          nodes.settle();
          // Who is not there is found by those who think so.
          for (const each of NAMES) for (const other of NAMES) nodes.find(each, other);
          nodes.settle();
          for (const each of NAMES) nodes.news(each);
          nodes.settle();
          const all = [...nodes.lives.values()];
          const members = all
            .map(({ roster: { self } }) => `${self.name}.${self.incarnation} ${self.about}`)
            .toSorted();
          for (const { roster, told } of all) {
            const known = roster
              .view()
              .map((member) => `${member.name}.${member.incarnation} ${member.about}`);
            expect(known.toSorted()).toEqual(members);
            const lives = [...told].filter(([, kind]) => kind === 'up' || kind === 'changed');
            const self = `${roster.self.name}.${roster.self.incarnation}`;
            // Of its first life nobody tells a node: it has always lived it.
            expect(new Set([self, ...lives.map(([life]) => life)])).toEqual(
              new Set(roster.view().map((member) => `${member.name}.${member.incarnation}`)),
            );
          }
        }),
        { numRuns: RUNS },
      );
    },
    RUNS_TIMEOUT_MS,
  );
});
