/**
 * Death watch and links. A watcher hears of the end of a watched actor exactly once, never for a restart, and after every message
 * from it that the watcher had accepted: while such messages are queued the notice is held back. Only a death costs
 * anything; sending to a watcher does not. The rules are Erlang's monitors with the order of signals. A link is a watch
 * that fails its owner as well when the end was abnormal: any but `normal` and `shutdown`, so `noproc` too, as in Erlang.
 */

import type { Terminated } from '../../src/protocol/context.ts';
import { Envelope, type MessageEntry, type Sender } from '../../src/protocol/envelope.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import { NORMAL_RANK } from '../../src/protocol/priority.ts';
import type { AnyRef } from '../../src/protocol/ref.ts';
import type { Mailbox } from './mailbox.ts';
import { promiseIn } from './promise-in.ts';

/** The actor that a `Watches` belongs to. */
export interface Watching extends Sender {
  readonly ref: AnyRef;
  readonly mailbox: Mailbox | undefined;
  /** It is over for good. */
  readonly hasEnded: boolean;
  /** Queues an item of the control lane. */
  control(item: Envelope): void;
  /** Handles a notice, in a turn. */
  terminated(context: unknown, notice: Terminated): unknown;
}

/** Whose end is told: an actor, or an address that leads nowhere. */
type Subject = Watches | string;

/** What one actor wants to know of another. It ends with the notice, or when nothing of it is wanted any more. */
interface Bond {
  /** The ref by which it was asked for. */
  readonly ref: AnyRef;
  isWatched: boolean;
  isLinked: boolean;
  /** Linked, but `unwatch` asked for silence: it may fail the owner and tells nothing. */
  isMuted: boolean;
}

interface Held {
  /** Messages of the dead actor that were queued when it ended, and still are. */
  readonly queued: Set<Envelope>;
  readonly subject: Subject;
  readonly notice: Terminated;
}

/** What one actor watches, and who watches it. */
export class Watches {
  private readonly owner: Watching;
  private readonly watchers = new Set<Watches>();
  private readonly bonds = new Map<Subject, Bond>();
  /** Notices held back, by the dead sender whose messages are still queued. */
  private readonly held = new Map<Sender | undefined, Held>();

  constructor(owner: Watching) {
    this.owner = owner;
  }

  /** How many watch the owner, and how many it watches or is linked to. */
  inspect(): { readonly watchers: number; readonly watching: number; readonly links: number } {
    const bonds = [...this.bonds.values()];
    return {
      watchers: this.watchers.size,
      watching: bonds.filter(({ isWatched }) => isWatched).length,
      links: bonds.filter(({ isLinked }) => isLinked).length,
    };
  }

  /** Watches an actor, or an address that leads nowhere. One that has ended is told of soon, never inside this call. */
  watch(subject: Watches | undefined, ref: AnyRef): void {
    this.bondWith(subject, ref).isWatched = true;
  }

  /** Watches it, and fails the owner if its end is abnormal. */
  link(subject: Watches | undefined, ref: AnyRef): void {
    this.bondWith(subject, ref).isLinked = true;
  }

  /** The bond for a new wish, which ends a silence. */
  private bondWith(subject: Watches | undefined, ref: AnyRef): Bond {
    const watched = subject ?? ref.address;
    const known = this.bonds.get(watched);
    if (known !== undefined) {
      known.isMuted = false;
      return known;
    }
    const bond = { ref, isWatched: false, isLinked: false, isMuted: false };
    this.bonds.set(watched, bond);
    if (subject === undefined || subject.owner.hasEnded) {
      this.deliver(watched, {
        ref,
        reason: 'noproc',
        cause: undefined,
        existenceConfirmed: subject !== undefined,
      });
    } else {
      subject.watchers.add(this);
    }
    return bond;
  }

  /** After it returns, no notice of that actor is delivered, not even one that is queued already. A link stays. */
  unwatch(subject: Watches | undefined, ref: AnyRef): void {
    for (const [watched, bond] of this.bondsBy(subject, ref)) {
      bond.isWatched = false;
      bond.isMuted = true;
      if (!bond.isLinked) this.forget(watched);
    }
  }

  /** Takes back what `link` did. After it returns that actor's end fails nobody; a watch of its own stays. */
  unlink(subject: Watches | undefined, ref: AnyRef): void {
    for (const [watched, bond] of this.bondsBy(subject, ref)) {
      bond.isLinked = false;
      if (!bond.isWatched) this.forget(watched);
    }
  }

  /** The bond with what a ref leads to, and those with what it once led to: a ref by name may lead elsewhere by now. */
  private bondsBy(subject: Watches | undefined, ref: AnyRef): readonly (readonly [Subject, Bond])[] {
    const watched = subject ?? ref.address;
    const bond = this.bonds.get(watched);
    // That ref means one incarnation for ever.
    // Stryker disable next-line ConditionalExpression: the search would find no other; it costs a look at every bond.
    if (subject?.owner.ref === ref) return bond === undefined ? [] : [[watched, bond]];
    return [...this.bonds].filter(([each, { ref: askedBy }]) => each === watched || askedBy === ref);
  }

  /** The actor has ended: tells its watchers, and stops watching. */
  ended(reason: Terminated['reason'], cause: unknown): void {
    for (const subject of this.bonds.keys()) {
      if (typeof subject !== 'string') subject.watchers.delete(this);
    }
    this.bonds.clear();
    this.held.clear();
    const notice: Terminated = { ref: this.owner.ref, reason, cause, existenceConfirmed: true };
    for (const watcher of this.watchers) watcher.hear(this, notice);
    this.watchers.clear();
  }

  /** A message has left the queue: perhaps the last one of somebody who is dead. */
  left(envelope: Envelope): void {
    // Stryker disable next-line ConditionalExpression: a look into the empty Map would say the same, for each message.
    if (this.held.size === 0) return;
    const held = this.held.get(envelope.sender);
    if (held === undefined || !held.queued.delete(envelope) || held.queued.size > 0) return;
    this.held.delete(envelope.sender);
    this.deliver(held.subject, held.notice);
  }

  private forget(watched: Subject): void {
    if (!this.bonds.delete(watched)) return;
    this.owner.mailbox?.controlIfAny?.drop(
      (item) => item.entry instanceof NoticeEntry && item.entry.subject === watched,
    );
    if (typeof watched === 'string') return;
    this.held.delete(watched.owner);
    watched.watchers.delete(this);
  }

  private hear(subject: Watches, notice: Terminated): void {
    const sender = subject.owner;
    let queued: Set<Envelope> | undefined;
    this.owner.mailbox?.forEachQueued((envelope) => {
      if (envelope.sender !== sender) return;
      queued ??= new Set();
      queued.add(envelope);
    });
    if (queued !== undefined) this.held.set(sender, { queued, subject, notice });
    else this.deliver(subject, notice);
  }

  private deliver(subject: Subject, notice: Terminated): void {
    const handle = (context: unknown): unknown => this.handle(subject, notice, context);
    this.owner.control(
      new Envelope(new NoticeEntry(subject, handle), undefined, NORMAL_RANK, undefined, undefined, undefined),
    );
  }

  /** In a turn: tells of the end if that is wanted, and then fails the turn if the dead one was linked. */
  private handle(subject: Subject, notice: Terminated, context: unknown): unknown {
    const bond = this.bonds.get(subject);
    this.bonds.delete(subject);
    // Stryker disable next-line OptionalChaining: for the compiler; with its bond goes a notice that is queued.
    const told = bond?.isMuted === true ? undefined : this.owner.terminated(context, notice);
    // Stryker disable next-line OptionalChaining: as above.
    if (bond?.isLinked !== true || !isAbnormal(notice.reason)) return told;
    const details = { address: this.owner.address, linked: notice.ref.address, reason: notice.reason };
    const died = new TroupeError('ERR_LINK_DIED', details, { cause: notice.cause });
    const promise = promiseIn(told);
    if (promise === undefined) throw died;
    return promise.then(() => {
      throw died;
    });
  }
}

/** Whether an end fails those that are linked. */
function isAbnormal(reason: Terminated['reason']): boolean {
  return reason !== 'normal' && reason !== 'shutdown';
}

/** The control item of a notice. */
class NoticeEntry implements MessageEntry {
  /** No message can have it: the dead letter of a notice is never taken for one. */
  readonly name = '(terminated)';
  // Stryker disable next-line StringLiteral: all but 'ask' are the same.
  readonly kind = 'tell';
  // Stryker disable next-line BooleanLiteral: it is asked when a message is replayed, which a notice never is.
  readonly isInternal = true;
  readonly subject: Subject;
  readonly handler: (context: unknown) => unknown;

  constructor(subject: Subject, handler: (context: unknown) => unknown) {
    this.subject = subject;
    this.handler = handler;
  }
}
