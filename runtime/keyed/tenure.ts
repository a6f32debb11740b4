/**
 * A shard while this node owns it: what the broker gives of it goes to the actors of its keys. It ends in one of two ways. Handed off: turns
 * that run may finish, what is queued is given back, the actors stop, and only then the shard is released. Lost: all of it ends at
 * once and in silence, since somebody else may own the shard already.
 */

import type { PerLane } from '../../src/protocol/broker.ts';
import { type AskChain, Envelope, Extras } from '../../src/protocol/envelope.ts';
import { isTroupeError, TroupeError } from '../../src/protocol/errors.ts';
import type { DeadLetterReason } from '../../src/protocol/events.ts';
import type { WireTarget } from '../../src/protocol/frame.ts';
import { isKey, nameOfKey, shardOf } from '../../src/protocol/key.ts';
import {
  KEYED_AGAIN_MS,
  KEYED_DELIVERIES_MAX,
  KEYED_WAITING_MAX,
  KILL_GRACE_MS,
  LANE_WINDOWS,
  MISMATCHES_TOLD_MAX,
} from '../../src/protocol/limits.ts';
import type { NodeIdentity } from '../../src/protocol/membership.ts';
import type { Shard } from '../../src/protocol/sharding.ts';
import type { Kernel } from '../actor/kernel.ts';
import { entryWithoutHandler } from '../actor/outcomes.ts';
import { InboxArrivals } from '../remote/arrivals.ts';
import { givenUp, keyOf, nodeOf, senderOf } from '../remote/deliveries.ts';
import { type Arrival, Inbound, RELEASE, type Taken } from '../remote/inbound.ts';
import type { ShardPorts } from '../remote/node.ts';
import { refusalOf } from '../remote/refusal.ts';
import { clockTimeOf } from '../remote/wall-time.ts';
import type { KeyedGroup } from './group.ts';
import { type Content, Letter, type LetterPorts } from './letter.ts';
import type { WaitingRoom } from './waiting-room.ts';

/** Milliseconds for which an answer is worth sending where the asker sets no end. */
const ANSWER_MS = 60_000;

/** What a tenure is of. */
export interface TenureOptions {
  readonly group: KeyedGroup;
  readonly ports: ShardPorts;
  readonly room: WaitingRoom;
  readonly shard: Shard;
  readonly epoch: number;
  /** Somebody else has owned the shard since, whatever the broker has said so far. */
  readonly stale: () => void;
}

/** One time of owning one shard. */
export class Tenure implements LetterPorts {
  readonly kernel: Kernel;
  readonly shard: Shard;
  readonly epoch: number;
  readonly owner: string;
  private readonly group: KeyedGroup;
  private readonly ports: ShardPorts;
  private readonly room: WaitingRoom;
  private readonly inbound: Inbound;
  private readonly letters = new Set<Letter>();
  /** Those for which somebody waits, by node and id. */
  private readonly asked = new Map<string, Letter>();
  private readonly mismatches = new Set<string>();
  isClosing = false;
  private isOver = false;
  private readonly onStale: () => void;

  constructor({ group, ports, room, shard, epoch, stale }: TenureOptions) {
    this.onStale = stale;
    this.kernel = ports.kernel;
    this.shard = shard;
    this.epoch = epoch;
    const { name, incarnation } = ports.nodes.self;
    this.owner = `${name}@${incarnation}`;
    this.group = group;
    this.ports = ports;
    this.room = room;
    const { events } = ports.kernel;
    const arrivals = new InboxArrivals(({ node, stream }, frames) =>
      events.emit({ type: 'frames-missing', node, stream, frames }),
    );
    const sieve = {
      isNew: arrivals.isNew.bind(arrivals),
      released: arrivals.released.bind(arrivals),
      done: () => undefined,
    };
    this.inbound = new Inbound(this.kernel, sieve, (arrival) => this.take(arrival), KEYED_DELIVERIES_MAX);
  }

  /** Reads the shard, as soon as the broker lets it. */
  begin(): void {
    this.kernel.background(this.read());
  }

  private async read(): Promise<void> {
    const { shard, inbound, kernel } = this;
    const windows = windowsOf(shard.shards);
    try {
      const { receive } = inbound;
      inbound.begin(await this.ports.broker.consume({ kind: 'shard', ...shard }, { windows, receive }));
    } catch (error) {
      if (this.isClosing || isTroupeError(error, 'ERR_SHARD_NOT_OWNED')) return;
      const text = `shard ${shard.shard} of ${shard.group} cannot be read, and is tried again in ${KEYED_AGAIN_MS} ms`;
      kernel.events.emit({ type: 'logged', level: 'warn', address: '/keyed', text, fields: { error } });
      kernel.timeouts.startFunction(KEYED_AGAIN_MS, kernel.now(), () => {
        if (!this.isClosing) this.begin();
      });
    }
  }

  // --- the end ----------------------------------------------------------------------------------------------------

  /** Lets go of the shard in order: resolves when nothing of it is under way here. */
  async handOff(): Promise<void> {
    const { handOffMs } = this.group.settings;
    this.isClosing = true;
    const read = this.inbound.stop(handOffMs + 3 * KILL_GRACE_MS);
    for (const letter of this.letters) this.room.leave(letter);
    for (const letter of this.letters) if (!letter.isUnderWay) letter.giveBack();
    await Promise.all(this.group.actorsIn(this).map((each) => each.stop()));
    for (const letter of this.letters) letter.giveBack();
    await read;
  }

  /** The shard is somebody else's, or may be: what is done for it here is not seen any more. */
  lose(): void {
    this.isClosing = true;
    this.isOver = true;
    const { group, shard } = this;
    const error = new TroupeError('ERR_SHARD_NOT_OWNED', { group: shard.group, shard: shard.shard });
    for (const letter of this.letters) this.room.leave(letter);
    for (const letter of this.letters) letter.giveBack();
    for (const activation of group.actorsIn(this)) this.kernel.background(activation.kill(error));
    this.kernel.background(this.inbound.stop(0));
  }

  /** The store has refused what this owner wanted to write. */
  stale(): void {
    if (!this.isOver) this.onStale();
  }

  /** A life of a node has ended: nobody there waits any more. */
  nodeEnded({ name, incarnation }: NodeIdentity): void {
    const reason = new TroupeError('ERR_NODE_DOWN', { node: name });
    const prefix = keyOf(name, incarnation, '');
    for (const [key, letter] of this.asked) if (key.startsWith(prefix)) letter.cancel(reason);
  }

  // --- letters ----------------------------------------------------------------------------------------------------

  answerTo({ arrival }: Letter, type: 'reply' | 'refusal', value: unknown, error?: unknown): () => void {
    const answer = this.sayingTo(arrival, type, value, error);
    return () => {
      if (!this.isOver) answer?.();
    };
  }

  chainOf({ arrival }: Letter): AskChain | undefined {
    return this.ports.chainIn(arrival);
  }

  answered({ arrival }: Letter): void {
    this.asked.delete(idOf(arrival));
  }

  ended(letter: Letter): void {
    this.letters.delete(letter);
    if (letter.activation === undefined) {
      this.answered(letter);
      this.room.leave(letter);
    }
    this.room.admit();
  }

  // --- in ---------------------------------------------------------------------------------------------------------

  private take(arrival: Arrival): Taken {
    if (this.isClosing) return Promise.resolve(RELEASE);
    switch (arrival.message.type) {
      case 'tell':
      case 'ask':
      case 'send':
        return this.deliver(arrival);
      case 'cancel':
        this.cancel(arrival);
        return undefined;
      case 'reply':
      case 'refusal':
      case 'message':
      case 'request':
      case 'working':
      case 'spawn':
      case 'keep':
      case 'names':
      case 'watch':
      case 'unwatch':
      case 'terminated':
      case 'stop':
      case 'job':
      case 'done':
      case 'part':
      case 'demand':
        return givenUp('validation', new Error('it was sent to a shard'));
    }
  }

  private deliver(arrival: Arrival): Taken {
    const { target, payload: sent, expiresAtMs } = arrival.message;
    if (
      target === undefined ||
      !isKey(target.address) ||
      shardOf(target.address, this.shard.shards) !== this.shard.shard
    )
      return givenUp('validation', new Error('it has no key of this shard'));
    let payload: unknown;
    try {
      payload = this.ports.mail.valueOf(sent);
    } catch (error) {
      this.sayingTo(arrival, 'refusal', undefined, error)?.();
      return givenUp('serialization', error);
    }
    const deadline = clockTimeOf(this.kernel, expiresAtMs);
    if (this.kernel.now() > deadline) {
      this.bury(arrival, target, payload, 'expired', undefined);
      return givenUp('expired', undefined);
    }
    const content = this.contentOf(arrival, target, payload);
    if ('error' in content) {
      this.sayingTo(arrival, 'refusal', undefined, content.error)?.();
      this.bury(arrival, target, payload, 'validation', content.error);
      return givenUp('validation', content.error);
    }
    const letter = new Letter(this, arrival, target, deadline, content);
    this.letters.add(letter);
    if (arrival.message.type !== 'tell') this.asked.set(idOf(arrival), letter);
    this.room.enter(letter);
    return letter.end;
  }

  private cancel(arrival: Arrival): void {
    const { node, message } = arrival;
    const details = { address: `//${node}`, message: message.id, reason: 'cancelled' };
    this.asked.get(idOf(arrival))?.cancel(new TroupeError('ERR_MESSAGE_DROPPED', details));
  }

  private contentOf(
    { message, node }: Arrival,
    target: WireTarget,
    payload: unknown,
  ): Content | { readonly error: unknown } {
    const { behaviour } = this.group;
    const found = behaviour.agent.protocol.name;
    try {
      if (found !== target.protocol) throw this.mismatch(node, target, `protocol '${found}'`);
      const entry =
        message.type === 'ask' ? behaviour.askEntry(target.message) : behaviour.tellEntry(target.message);
      return { entry, payload: behaviour.arriving(entry, payload) };
    } catch (error) {
      if (!isTroupeError(error, 'ERR_MESSAGE_UNKNOWN')) return { error };
      const known = error.details.known.map((name) => `'${name}'`).join(', ');
      return { error: this.mismatch(node, target, known === '' ? 'no such message' : known) };
    }
  }

  /** The nodes run different versions of a protocol: each says so. */
  private mismatch(
    node: string,
    { address: key, protocol, message }: WireTarget,
    found: string,
  ): TroupeError {
    const address = this.addressOf(key);
    const error = new TroupeError('ERR_PROTOCOL_MISMATCH', { address, message, protocol, found });
    const mark = `${node} ${protocol} ${message}`;
    if (!this.mismatches.has(mark) && this.mismatches.size < MISMATCHES_TOLD_MAX) {
      this.mismatches.add(mark);
      const text = `node ${node} runs another version of a protocol: ${error.message}`;
      this.kernel.events.emit({ type: 'logged', level: 'error', address, text, fields: undefined });
    }
    return error;
  }

  private addressOf(key: string): string {
    return `${this.group.supervisor.settings.path}/${nameOfKey(key)}`;
  }

  /** Answers whoever waits. Who only told something hears of a mismatch, so that both nodes say it, and of nothing else. */
  private sayingTo(
    arrival: Arrival,
    type: 'reply' | 'refusal',
    value: unknown,
    error?: unknown,
  ): (() => void) | undefined {
    const { message, lane } = arrival;
    const { id, expiresAtMs, target } = message;
    if (message.type === 'tell' && !isTroupeError(error, 'ERR_PROTOCOL_MISMATCH')) return undefined;
    const refused = { address: this.addressOf(target?.address ?? ''), message: target?.message ?? '' };
    const { mail } = this.ports;
    const payload =
      type === 'reply' ? mail.answerTo(message.payload, value) : mail.payloadOf(refusalOf(error, refused));
    return () => {
      const dueAt = Math.min(clockTimeOf(this.kernel, expiresAtMs), this.kernel.now() + ANSWER_MS);
      mail.say(nodeOf(arrival), { type, id, lane, dueAt, payload });
    };
  }

  private bury(
    arrival: Arrival,
    { address: key, message: name }: WireTarget,
    payload: unknown,
    reason: DeadLetterReason,
    error: unknown,
  ): void {
    const { message, lane, deliveries } = arrival;
    const extras = new Extras();
    extras.id = message.id;
    extras.headers = message.headers;
    extras.attempt = Math.max(1, deliveries);
    const entry = entryWithoutHandler(name, message.type === 'ask' ? 'ask' : 'tell');
    const envelope = new Envelope(entry, payload, lane, senderOf(arrival), undefined, extras);
    this.kernel.deadLetters.add(envelope, this.addressOf(key), reason, error);
  }
}

function idOf({ node, incarnation, message }: Arrival): string {
  return keyOf(node, incarnation, message.id);
}

/** Few enough that all shards of a group together hold no more than one node may, and never so few that one turn stops a lane. */
function windowsOf(shards: number): PerLane {
  const share = Math.floor(KEYED_WAITING_MAX / shards);
  const [critical, urgent, high, normal, low, background] = LANE_WINDOWS.map((window) =>
    Math.min(window, share),
  );
  return [critical, urgent, high, normal, low, background] as unknown as PerLane; // six, as there are lanes
}
