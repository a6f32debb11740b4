/**
 * Which shards of a group this node ought to own, and what it does about it: it claims what is its own by the placement, and hands off what is not,
 * a few at a time. Whether it owns one is what the broker says.
 */

import { TroupeError } from '../../src/protocol/errors.ts';
import { KEYED_AGAIN_MS, KEYED_MOVED_SHARE, KEYED_PLACE_MS } from '../../src/protocol/limits.ts';
import type { MemberChange } from '../../src/protocol/membership.ts';
import type { ShardClaim, Sharding, ShardOwner } from '../../src/protocol/sharding.ts';
import type { Timeout } from '../host/timeouts.ts';
import { aboutOf } from '../remote/about.ts';
import type { ShardPorts } from '../remote/node.ts';
import type { KeyedGroup } from './group.ts';
import { placementOf } from './placement.ts';
import { Tenure } from './tenure.ts';
import { WaitingRoom } from './waiting-room.ts';

/** What is known of one shard. */
interface Seat {
  readonly shard: number;
  isWanted: boolean;
  /** It stands, or is being made. */
  claim: Promise<ShardClaim> | undefined;
  /** While this node owns it. */
  tenure: Tenure | undefined;
  /** It is on its way to somebody else. */
  leaving: Promise<void> | undefined;
}

/** The shards of one group, as one node sees them. */
export class Seats {
  private readonly group: KeyedGroup;
  private readonly ports: ShardPorts;
  private readonly sharding: Sharding;
  private readonly room: WaitingRoom;
  private readonly seats: readonly Seat[];
  private readonly unheard: () => void;
  private readonly mismatched = new Set<string>();
  private timeout: Timeout | undefined = undefined;
  /** Shards are being handed off. */
  private isMoving = false;
  private isEnding = false;

  constructor(group: KeyedGroup, ports: ShardPorts, sharding: Sharding) {
    this.group = group;
    this.ports = ports;
    this.sharding = sharding;
    this.room = new WaitingRoom((letter) => group.actorFor(letter.key, letter.tenancy));
    group.roomMade = () => this.room.admit();
    this.seats = Array.from({ length: group.settings.shards }, (_, shard) => ({
      shard,
      isWanted: false,
      claim: undefined,
      tenure: undefined,
      leaving: undefined,
    }));
    this.unheard = ports.broker.members.onChange((change) => this.changed(change));
    this.place();
  }

  /** Gives all shards up: resolves when others can have them. */
  async leave(): Promise<void> {
    this.isEnding = true;
    this.unheard();
    if (this.timeout !== undefined) this.ports.kernel.timeouts.cancel(this.timeout);
    for (const seat of this.seats) seat.isWanted = false;
    await Promise.all(this.seats.map((seat) => this.giveUp(seat)));
  }

  private changed({ kind, member }: MemberChange): void {
    if (kind === 'down' || kind === 'left') for (const { tenure } of this.seats) tenure?.nodeEnded(member);
    this.placeIn(KEYED_PLACE_MS);
  }

  private placeIn(ms: number): void {
    if (this.timeout !== undefined || this.isEnding) return;
    const { kernel } = this.ports;
    this.timeout = kernel.timeouts.startFunction(ms, kernel.now(), () => {
      this.timeout = undefined;
      this.place();
    });
  }

  /** Claims what this node ought to own, and gives up what it ought not to. */
  private place(): void {
    if (this.isEnding) return;
    const { name, shards } = this.group.settings;
    const placement = placementOf(name, shards, this.nodes());
    const own = this.ports.nodes.self.name;
    for (const seat of this.seats) {
      seat.isWanted = placement[seat.shard] === own;
      if (seat.isWanted) this.claim(seat);
      else if (seat.tenure === undefined) this.ports.kernel.background(this.giveUp(seat));
    }
    this.move();
  }

  /** The nodes that take part and stay. */
  private nodes(): readonly string[] {
    const { name, shards } = this.group.settings;
    const { self } = this.ports.nodes;
    const nodes = new Set([self.name]);
    for (const member of this.ports.broker.members.view()) {
      const { leaving, keyed } = aboutOf(member);
      const said = keyed?.[name];
      if (said === undefined || leaving) continue;
      if (said === shards) nodes.add(member.name);
      else this.noteMismatch(member.name, said);
    }
    return [...nodes];
  }

  private noteMismatch(node: string, said: number): void {
    if (this.mismatched.has(node)) return;
    this.mismatched.add(node);
    const { name, shards } = this.group.settings;
    const text = `node ${node} has ${said} shards of ${name}, and this one ${shards}: they share no keys until they agree`;
    this.ports.kernel.events.emit({
      type: 'logged',
      level: 'error',
      address: '/keyed',
      text,
      fields: undefined,
    });
  }

  // --- claims -----------------------------------------------------------------------------------------------------

  private claim(seat: Seat): void {
    if (seat.claim !== undefined || seat.leaving !== undefined) return;
    const { kernel } = this.ports;
    const { name: group, shards } = this.group.settings;
    const { shard } = seat;
    const claim = this.sharding.claim({ group, shard, shards }, this.ownerOf(seat));
    seat.claim = claim;
    claim.catch((error: unknown) => {
      if (seat.claim === claim) seat.claim = undefined;
      const text = `shard ${shard} of ${group} cannot be claimed, and is tried again in ${KEYED_AGAIN_MS} ms`;
      kernel.events.emit({ type: 'logged', level: 'warn', address: '/keyed', text, fields: { error } });
      this.placeIn(KEYED_AGAIN_MS);
    });
  }

  private ownerOf(seat: Seat): ShardOwner {
    const { group, ports, room } = this;
    const { events } = ports.kernel;
    const { name, shards } = group.settings;
    const { shard } = seat;
    const lost = (): void => {
      if (seat.tenure === undefined) return;
      seat.tenure.lose();
      seat.tenure = undefined;
      events.emit({ type: 'shard-lost', group: name, shard });
    };
    return {
      granted: (epoch) => {
        lost();
        if (seat.leaving !== undefined) return; // it is released at once
        events.emit({ type: 'shard-granted', group: name, shard, epoch });
        const stale = (): void => {
          this.tellStale(shard);
          lost();
          // The broker gives it to the next one, or to this one again by another epoch.
          ports.kernel.background(this.giveUp(seat));
        };
        seat.tenure = new Tenure({ group, ports, room, shard: { group: name, shard, shards }, epoch, stale });
        seat.tenure.begin();
        if (!seat.isWanted) this.placeIn(KEYED_PLACE_MS);
      },
      lost,
    };
  }

  private tellStale(shard: number): void {
    const { name } = this.group.settings;
    const text = `the store has a later owner of keys of shard ${shard} of ${name}: this node gives it up`;
    this.ports.kernel.events.emit({
      type: 'logged',
      level: 'warn',
      address: '/keyed',
      text,
      fields: undefined,
    });
  }

  // --- hand-off ---------------------------------------------------------------------------------------------------

  /** Hands off a share of what others should own, and the next share when that is done. */
  private move(): void {
    if (this.isMoving || this.isEnding) return;
    const share = Math.max(1, Math.floor(this.group.settings.shards * KEYED_MOVED_SHARE));
    const surplus = this.seats.filter(({ isWanted, tenure }) => !isWanted && tenure !== undefined);
    const moving = surplus.slice(0, share).map((seat) => this.giveUp(seat));
    if (moving.length === 0) return;
    this.isMoving = true;
    const moved = Promise.all(moving).finally(() => {
      this.isMoving = false;
      this.place();
    });
    this.ports.kernel.background(moved);
  }

  private giveUp(seat: Seat): Promise<void> {
    if (seat.leaving === undefined && seat.claim === undefined) return Promise.resolve();
    seat.leaving ??= this.release(seat).finally(() => {
      seat.leaving = undefined;
      if (seat.isWanted) this.placeIn(KEYED_PLACE_MS);
    });
    return seat.leaving;
  }

  private async release(seat: Seat): Promise<void> {
    const { claim, tenure, shard } = seat;
    await tenure?.handOff();
    const standing = await claim?.catch(() => undefined);
    await standing?.release();
    seat.claim = undefined;
    if (seat.tenure === undefined) return; // it was lost meanwhile
    seat.tenure = undefined;
    const { name: group } = this.group.settings;
    this.ports.kernel.events.emit({ type: 'shard-released', group, shard });
  }
}

/** The part of a broker that gives shards to owners. Throws `ERR_OPTION_INVALID` where it has none. */
export function shardingOf({ broker }: ShardPorts): Sharding {
  if (broker.shards !== undefined) return broker.shards;
  throw new TroupeError('ERR_OPTION_INVALID', {
    option: 'keyed: broker',
    expected: 'a broker that gives shards to nodes',
    given: broker.kind,
  });
}
