/**
 * Goal: whatever nodes say, and however often or late it arrives, a shard has one owner that lives, epochs increase, and who is over stays over.
 * Method: random logs of words, repetitions, accusations and snapshots; a second ledger begins at a snapshot, and has to come to the same.
 */

import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Ledger } from '../../adapters/kafka/ledger.ts';
import { type LogEntry, readEntry, type Word, writeEntry } from '../../adapters/kafka/log-entries.ts';
import { incarnationOf } from '../../src/protocol/member-view.ts';
import { RUNS, RUNS_TIMEOUT_MS } from '../support/runs.ts';

const NODES = 4;
const SHARDS = 3;
const GROUP = 'g';
const none = (): number[] => [0, 0, 0, 0, 0, 0];

type Step =
  | { readonly type: 'say'; readonly node: number; readonly what: Saying; readonly shard: number }
  | { readonly type: 'again'; readonly place: number }
  | { readonly type: 'accuse'; readonly node: number; readonly isLate: boolean }
  | { readonly type: 'snapshot'; readonly isLate: boolean };
type Saying = 'nothing' | 'claim' | 'release' | 'progress' | 'old-progress' | 'last' | 'about';

const node = fc.nat({ max: NODES - 1 });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      type: fc.constant('say' as const),
      node,
      what: fc.constantFrom<Saying>(
        'nothing',
        'claim',
        'claim',
        'release',
        'progress',
        'old-progress',
        'last',
        'about',
      ),
      shard: fc.nat({ max: SHARDS - 1 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('again' as const), place: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('accuse' as const), node, isLate: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('snapshot' as const), isLate: fc.boolean() }) },
);

/** Nodes that say what they are told to, each with its lives and numbers as a real one has them. */
class Log {
  readonly ledger = new Ledger(0);
  readonly entries: LogEntry[] = [];
  private readonly lives = Array.from({ length: NODES }, () => 1);
  private count = 0;

  append(next: LogEntry): number {
    // As it is read: what cannot be written is not there.
    const entry = readEntry(writeEntry(next).value);
    expect(entry).toEqual(JSON.parse(JSON.stringify(next)));
    const offset = this.entries.push(next) - 1;
    for (const { kind, member } of this.ledger.apply(offset, entry))
      if (kind === 'down' || kind === 'left') {
        const place = Number(member.name.slice(1));
        this.lives[place] = (this.lives[place] ?? 1) + 1;
      }
    return offset;
  }

  take(next: Step): void {
    switch (next.type) {
      case 'say':
        this.append(this.word(next.node, next.what, next.shard));
        return;
      case 'again': {
        const entry = this.entries[next.place % Math.max(1, this.entries.length)];
        if (entry?.kind !== 'word') return;
        const before = stateOf(this.ledger);
        this.append(entry);
        // A word that was taken says nothing new, and one that was not has missed its time.
        expect(stateOf(this.ledger)).toEqual(before);
        return;
      }
      case 'accuse': {
        const life = this.lifeOf(next.node);
        const at = this.ledger.members.get(life)?.at ?? 0;
        const isMember = this.ledger.members.has(life);
        this.append({ kind: 'down', life, at: next.isLate ? at + 1 : at });
        // Whoever accuses has missed a word, where it does not count.
        expect(this.ledger.members.has(life)).toBe(isMember && next.isLate);
        return;
      }
      case 'snapshot': {
        const snapshot = this.ledger.snapshot();
        this.append(next.isLate ? { ...snapshot, at: snapshot.at - 1 } : snapshot);
        return;
      }
    }
  }

  lifeOf(place: number): string {
    return incarnationOf(`n${place}`, this.lives[place] ?? 1);
  }

  private word(place: number, what: Saying, shard: number): Word {
    const life = this.lives[place] ?? 1;
    const known = this.ledger.shard({ group: GROUP, shard });
    const isMember = this.ledger.members.has(this.lifeOf(place));
    const marks = none().map(() => this.count);
    const epoch = (known?.epoch ?? 0) - (what === 'old-progress' ? 1 : 0);
    return {
      kind: 'word',
      node: `n${place}`,
      life,
      count: ++this.count,
      join: isMember ? undefined : { name: `n${place}`, sessionMs: 10, about: '' },
      about: what === 'about' ? String(this.count) : undefined,
      progress:
        (what === 'progress' || what === 'old-progress') && epoch >= 0
          ? [{ group: GROUP, shard, epoch, given: marks, safe: marks, ahead: none().map(() => []) }]
          : [],
      releases: what === 'release' ? [{ group: GROUP, shard }] : [],
      claims: what === 'claim' ? [{ group: GROUP, shard, shards: SHARDS }] : [],
      isLast: what === 'last',
    };
  }
}

/** All that a ledger knows, without how far the log is. */
function stateOf(ledger: Ledger): unknown {
  const { members, groups, gone } = ledger.snapshot();
  return JSON.parse(JSON.stringify({ members, groups, gone }));
}

describe('the ledger of members and shards', () => {
  it(
    'has one living owner for each claimed shard, and a higher epoch for each owner',
    () => {
      fc.assert(
        fc.property(fc.array(step, { size: 'max', maxLength: 60 }), (steps) => {
          const log = new Log();
          const over = new Set<string>();
          const owners = new Map<number, { readonly owner: string | undefined; readonly epoch: number }>();
          for (const next of steps) {
            const before = new Set(log.ledger.members.keys());
            log.take(next);
            for (const life of before) if (!log.ledger.members.has(life)) over.add(life);
            for (const life of log.ledger.members.keys()) expect(over.has(life)).toBe(false);
            for (let shard = 0; shard < SHARDS; shard++) {
              const now = log.ledger.shard({ group: GROUP, shard });
              if (now === undefined) continue;
              for (const life of now.claims) expect(log.ledger.members.has(life)).toBe(true);
              expect(new Set(now.claims).size).toBe(now.claims.length);
              const last = owners.get(shard);
              const [owner] = now.claims;
              if (owner !== undefined && owner !== last?.owner)
                expect(now.epoch).toBe(log.entries.length - 1);
              if (last !== undefined) expect(now.epoch).toBeGreaterThanOrEqual(last.epoch);
              owners.set(shard, { owner, epoch: now.epoch });
            }
          }
        }),
        { numRuns: RUNS },
      );
    },
    RUNS_TIMEOUT_MS,
  );

  it(
    'believes of progress only what the owner says under its epoch',
    () => {
      fc.assert(
        fc.property(fc.array(step, { size: 'max', maxLength: 60 }), (steps) => {
          const log = new Log();
          const safe = new Map<number, number>();
          for (const next of steps) {
            const shardBefore =
              next.type === 'say' ? log.ledger.shard({ group: GROUP, shard: next.shard }) : undefined;
            const ownerBefore = shardBefore?.claims[0];
            log.take(next);
            for (let shard = 0; shard < SHARDS; shard++) {
              const now = log.ledger.shard({ group: GROUP, shard })?.safe[0] ?? 0;
              if (now !== (safe.get(shard) ?? 0)) {
                expect(next).toMatchObject({ type: 'say', what: 'progress', shard });
                expect(next.type === 'say' && ownerBefore === log.lifeOf(next.node)).toBe(true);
              }
              safe.set(shard, now);
            }
          }
        }),
        { numRuns: RUNS },
      );
    },
    RUNS_TIMEOUT_MS,
  );

  it(
    'comes to the same from a snapshot on as from the beginning',
    () => {
      fc.assert(
        fc.property(fc.array(step, { size: 'max', maxLength: 60 }), (steps) => {
          const log = new Log();
          const snapshots: number[] = [];
          for (const next of steps) {
            log.take(next);
            const place = log.entries.length - 1;
            if (next.type === 'snapshot' && log.ledger.snapshotAt === place) snapshots.push(place);
          }
          for (const start of snapshots) {
            const late = new Ledger(start);
            for (let place = start; place < log.entries.length; place++)
              late.apply(place, log.entries[place]);
            expect(stateOf(late)).toEqual(stateOf(log.ledger));
          }
        }),
        { numRuns: RUNS },
      );
    },
    RUNS_TIMEOUT_MS,
  );
});
