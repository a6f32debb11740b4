/**
 * Death watch and links. A watcher hears of the end of a watched actor exactly once, never for a restart, and after every message
 * from it that the watcher had accepted: while such messages are queued the notice is held back. Only a death costs
 * anything; sending to a watcher does not. The rules are Erlang's monitors with the order of signals. A link is a watch
 * that fails its owner as well when the end was abnormal: any but `normal` and `shutdown`, so `noproc` too, as in Erlang.
 * The same holds for an actor of another node, of whose end that node tells; how it does is not known here.
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

/** Who is told of the end of an actor of this process. */
export interface Listener {
  /** Called once, at its end. */
  hear(subject: Watches, notice: Terminated): void;
}

/** Where a ref leads whose actor lives on another node. */
export interface Elsewhere {
  /**
   * Asks that node for word of the end; `heard` is called once, and never inside this call. Answers how that is taken back; undefined where the
   * node, or that life of it, is not there. Throws `ERR_WATCHES_FULL`.
   */
  watch(heard: (end: EndElsewhere) => void): (() => void) | undefined;
}

/** What is known of the end of an actor of another node. */
export interface EndElsewhere extends Omit<Terminated, 'ref'> {
  /** Whether somebody of this address was, or may have been, the one that has ended. */
  readonly isFrom: (address: string) => boolean;
}

/** Where a ref leads: to an actor, to another node, or nowhere. */
export type Watchable = Watches | Elsewhere | undefined;

/** Whose end is told: an actor, or an address that leads elsewhere or nowhere. */
type Subject = Watches | string;

/** What one actor wants to know of another. It ends with the notice, or when nothing of it is wanted any more. */
interface Bond {
  /** The ref by which it was asked for. */
  readonly ref: AnyRef;
  isWatched: boolean;
  isLinked: boolean;
  /** Linked, but `unwatch` asked for silence: it may fail the owner and tells nothing. */
  isMuted: boolean;
  /** Takes back what was asked of another node. */
  forgetElsewhere: (() => void) | undefined;
}

interface Held {
  /** How many messages of the dead actor, of those that were there when it ended, have not left. */
  left: number;
  readonly subject: Subject;
  readonly notice: Terminated;
}

/** What one actor watches, and who watches it. */
export class Watches implements Listener {
  private readonly owner: Watching;
  private readonly watchers = new Set<Listener>();
  private readonly bonds = new Map<Subject, Bond>();
  /** Notices held back, by each message of the dead that is still queued; more than one where one is watched by two refs. */
  private readonly held = new Map<Envelope, readonly Held[]>();

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

  /**
   * Watches an actor, or an address that leads nowhere. One that has ended is told of soon, never inside this call. Throws `ERR_WATCHES_FULL`, for
   * an actor of another node.
   */
  watch(subject: Watchable, ref: AnyRef): void {
    this.bondWith(subject, ref).isWatched = true;
  }

  /** Watches it, and fails the owner if its end is abnormal. */
  link(subject: Watchable, ref: AnyRef): void {
    this.bondWith(subject, ref).isLinked = true;
  }

  /** The bond for a new wish, which ends a silence. */
  private bondWith(subject: Watchable, ref: AnyRef): Bond {
    const watched = subjectOf(subject, ref);
    const known = this.bonds.get(watched);
    if (known !== undefined) {
      known.isMuted = false;
      return known;
    }
    const bond: Bond = {
      ref,
      isWatched: false,
      isLinked: false,
      isMuted: false,
      forgetElsewhere: undefined,
    };
    if (subject === undefined) this.deliver(watched, gone(ref, 'noproc', false));
    else if (!(subject instanceof Watches)) this.watchElsewhere(subject, ref.address, bond);
    else if (!subject.tells(this)) this.deliver(watched, gone(ref, 'noproc', true));
    this.bonds.set(watched, bond);
    return bond;
  }

  /** Will tell somebody of the owner's end. False: it has ended. */
  tells(listener: Listener): boolean {
    if (this.owner.hasEnded) return false;
    this.watchers.add(listener);
    return true;
  }

  /** Tells somebody nothing any more. */
  tellsNot(listener: Listener): void {
    this.watchers.delete(listener);
  }

  private watchElsewhere(subject: Elsewhere, watched: string, bond: Bond): void {
    const { ref } = bond;
    const heard = ({ reason, cause, existenceConfirmed, isFrom }: EndElsewhere): void => {
      bond.forgetElsewhere = undefined;
      this.deliverBehind(watched, { ref, reason, cause, existenceConfirmed }, isFrom);
    };
    bond.forgetElsewhere = subject.watch(heard);
    if (bond.forgetElsewhere === undefined) this.deliver(watched, gone(ref, 'nodedown', false));
  }

  /** As `hear`, of an actor of another node: what waits for room counts as well, since its sender has no part in it any more. */
  private deliverBehind(watched: string, notice: Terminated, isFrom: (address: string) => boolean): void {
    const ofDead = new Set<Envelope>();
    const look = (envelope: Envelope): void => {
      if (envelope.sender !== undefined && isFrom(envelope.sender.address)) ofDead.add(envelope);
    };
    this.owner.mailbox?.forEachQueued(look);
    this.owner.mailbox?.forEachWaiting(look);
    this.deliverAfter(ofDead, watched, notice);
  }

  /** After it returns, no notice of that actor is delivered, not even one that is queued already. A link stays. */
  unwatch(subject: Watchable, ref: AnyRef): void {
    for (const [watched, bond] of this.bondsBy(subject, ref)) {
      bond.isWatched = false;
      bond.isMuted = true;
      if (!bond.isLinked) this.forget(watched);
    }
  }

  /** Takes back what `link` did. After it returns that actor's end fails nobody; a watch of its own stays. */
  unlink(subject: Watchable, ref: AnyRef): void {
    for (const [watched, bond] of this.bondsBy(subject, ref)) {
      bond.isLinked = false;
      if (!bond.isWatched) this.forget(watched);
    }
  }

  /** The bond with what a ref leads to, and those with what it once led to: a ref by name may lead elsewhere by now. */
  private bondsBy(subject: Watchable, ref: AnyRef): readonly (readonly [Subject, Bond])[] {
    const watched = subjectOf(subject, ref);
    const bond = this.bonds.get(watched);
    // That ref means one incarnation for ever.
    // Stryker disable next-line ConditionalExpression: the search would find no other; it costs a look at every bond.
    if (typeof watched !== 'string' && watched.owner.ref === ref)
      return bond === undefined ? [] : [[watched, bond]];
    return [...this.bonds].filter(([each, { ref: askedBy }]) => each === watched || askedBy === ref);
  }

  /** The actor has ended: tells its watchers, and stops watching. */
  ended(reason: Terminated['reason'], cause: unknown): void {
    for (const [subject, { forgetElsewhere }] of this.bonds) {
      if (typeof subject !== 'string') subject.watchers.delete(this);
      forgetElsewhere?.();
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
    const held = this.held.get(envelope);
    if (held === undefined) return;
    this.held.delete(envelope);
    for (const each of held) if (--each.left === 0) this.deliver(each.subject, each.notice);
  }

  private forget(watched: Subject): void {
    const bond = this.bonds.get(watched);
    // Stryker disable next-line ConditionalExpression: for the compiler; what is forgotten was found.
    if (bond === undefined) return;
    this.bonds.delete(watched);
    bond.forgetElsewhere?.();
    this.owner.mailbox?.controlIfAny?.drop(
      (item) => item.entry instanceof NoticeEntry && item.entry.subject === watched,
    );
    for (const [envelope, held] of this.held) {
      const others = held.filter(({ subject }) => subject !== watched);
      if (others.length === 0) this.held.delete(envelope);
      else this.held.set(envelope, others);
    }
    if (typeof watched !== 'string') watched.watchers.delete(this);
  }

  hear(subject: Watches, notice: Terminated): void {
    const sender = subject.owner;
    const ofDead = new Set<Envelope>();
    this.owner.mailbox?.forEachQueued((envelope) => {
      if (envelope.sender === sender) ofDead.add(envelope);
    });
    this.deliverAfter(ofDead, subject, notice);
  }

  private deliverAfter(messages: ReadonlySet<Envelope>, subject: Subject, notice: Terminated): void {
    const held: Held = { left: messages.size, subject, notice };
    for (const envelope of messages) this.held.set(envelope, [...(this.held.get(envelope) ?? []), held]);
    if (held.left === 0) this.deliver(subject, notice);
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

function subjectOf(subject: Watchable, ref: AnyRef): Subject {
  return subject instanceof Watches ? subject : ref.address;
}

/** The notice of one that was gone when it was asked for. */
function gone(ref: AnyRef, reason: 'noproc' | 'nodedown', existenceConfirmed: boolean): Terminated {
  return { ref, reason, cause: undefined, existenceConfirmed };
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
