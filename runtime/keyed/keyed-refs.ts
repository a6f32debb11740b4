/** Refs to the actors of keys. Where there is a broker every message goes by it, whoever owns the shard, so that none gets past another. */

import type { Envelope } from '../../src/protocol/envelope.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import { nameOfKey, shardOf } from '../../src/protocol/key.ts';
import { invalidOption } from '../../src/protocol/options.ts';
import type { AnyProtocol } from '../../src/protocol/protocol.ts';
import type { Admission, AskOptions, SendOptions, TellOptions } from '../../src/protocol/ref.ts';
import type { Actor } from '../actor/actor.ts';
import { callOptions } from '../actor/call-options.ts';
import type { Cell } from '../actor/cell.ts';
import type { Kernel } from '../actor/kernel.ts';
import { ActorRef, notHere } from '../actor/local-ref.ts';
import { noteRefusal } from '../actor/refusal.ts';
import type { Turn } from '../actor/turn.ts';
import type { Addressee } from '../remote/mail.ts';
import { FarRef, type RemoteCalls } from '../remote/remote-ref.ts';
import type { Tenancy } from './activation.ts';
import type { KeyedGroup } from './group.ts';

/** What refs to keys have beside the verbs. */
export interface KeyedRef {
  /** Its actor, if it lives here now. */
  readonly actorHere: Cell | undefined;
}

/** A ref to the actor of a key, on whichever node it lives. */
export class SharedKeyRef extends FarRef implements KeyedRef {
  override readonly address: string;
  private readonly group: KeyedGroup;
  private readonly key: string;
  private readonly to: Addressee;

  constructor(calls: RemoteCalls, protocol: AnyProtocol, group: KeyedGroup, key: string) {
    super(calls, protocol);
    const { name, shards } = group.settings;
    this.address = addressOf(group, key);
    this.group = group;
    this.key = key;
    this.to = {
      destination: { kind: 'shard', group: name, shard: shardOf(key, shards), shards },
      node: undefined,
      target: key,
      address: this.address,
      protocol: protocol.name,
    };
  }

  get actorHere(): Cell | undefined {
    return this.group.find(this.key)?.cell;
  }

  override watchable(): never {
    throw unwatchable(this.address);
  }

  override streamFrom(): never {
    throw notToKeys('stream: ref', this.address);
  }

  protected override addressee(): Addressee {
    return this.to;
  }
}

/** A ref to the actor of a key of a system without a broker, which owns all keys. */
export class OwnKeyRef extends ActorRef implements KeyedRef {
  override readonly protocol: AnyProtocol;
  override readonly address: string;
  override readonly kernel: Kernel;
  private readonly group: KeyedGroup;
  private readonly key: string;
  private readonly tenancy: Tenancy;

  constructor(protocol: AnyProtocol, group: KeyedGroup, key: string, tenancy: Tenancy) {
    super();
    this.protocol = protocol;
    this.address = addressOf(group, key);
    this.kernel = group.kernel;
    this.group = group;
    this.key = key;
    this.tenancy = tenancy;
  }

  get actorHere(): Cell | undefined {
    return this.group.find(this.key)?.cell;
  }

  /** It may be another one the next time: whatever is done to an actor, and not said to it, is for a ref of its own. */
  override get isHere(): boolean {
    return false;
  }

  override toJSON(): string {
    return this.address;
  }

  override watchable(): never {
    throw unwatchable(this.address);
  }

  override stopActor(_reason: 'normal' | 'shutdown'): never {
    throw notHere('stop', this.address);
  }

  override target(): Actor | undefined {
    return this.group.actorFor(this.key, this.tenancy)?.cell;
  }

  override tellFrom(
    from: Turn | undefined,
    name: string,
    payload: unknown,
    options: TellOptions | undefined,
  ): Admission {
    if (this.target() !== undefined) return super.tellFrom(from, name, payload, options);
    this.noteNoRoom(this.envelope(from, name, payload, callOptions('tell', options)));
    return 'full';
  }

  override sendFrom(
    from: Turn | undefined,
    name: string,
    payload: unknown,
    options: SendOptions | undefined,
  ): Promise<void> {
    if (this.target() === undefined)
      return this.noRoom(this.envelope(from, name, payload, callOptions('send', options)));
    return super.sendFrom(from, name, payload, options);
  }

  override askFrom(
    from: Turn | undefined,
    name: string,
    payload: unknown,
    options: AskOptions | undefined,
  ): Promise<unknown> {
    if (this.target() === undefined)
      return this.noRoom(this.envelope(from, name, payload, callOptions('ask', options), 'ask'));
    return super.askFrom(from, name, payload, options);
  }

  override streamFrom(): never {
    throw notToKeys('stream: ref', this.address);
  }

  private noRoom(envelope: Envelope): Promise<never> {
    this.noteNoRoom(envelope);
    const { name: group, keysMax } = this.group.settings;
    return Promise.reject(new TroupeError('ERR_KEYS_FULL', { group, keysMax }));
  }

  private noteNoRoom(envelope: Envelope): void {
    const { kernel, address, protocol } = this;
    noteRefusal(kernel, kernel.telemetry.tallyOf(protocol.name), address, envelope, 'full');
  }
}

function addressOf(group: KeyedGroup, key: string): string {
  return `${group.supervisor.settings.path}/${nameOfKey(key)}`;
}

/** A key has one actor after the other, and the end of one of them says nothing of the key. */
function unwatchable(address: string): TroupeError {
  return notToKeys('ref', address);
}

/** What begins with one actor of a key cannot go on with the next. */
function notToKeys(option: string, address: string): TroupeError {
  return invalidOption(
    option,
    'a ref to one actor, and not to a key, which has one after the other',
    address,
  );
}
