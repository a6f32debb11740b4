/**
 * Death watch. A watcher hears of the end of a watched actor exactly once, never for a restart, and after every message
 * from it that the watcher had accepted: while such messages are queued the notice is held back. Only a death costs
 * anything; sending to a watcher does not. The rules are Erlang's monitors with the order of signals.
 */

import type { Terminated } from '../../src/protocol/context.ts';
import { Envelope, type MessageEntry, type Sender } from '../../src/protocol/envelope.ts';
import { NORMAL_RANK } from '../../src/protocol/priority.ts';
import type { AnyRef } from '../../src/protocol/ref.ts';
import type { Mailbox } from './mailbox.ts';

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
  /** What it watches, and the ref by which it does. */
  private readonly subjects = new Map<Subject, AnyRef>();
  /** Notices held back, by the dead sender whose messages are still queued. */
  private readonly held = new Map<Sender, Held>();

  constructor(owner: Watching) {
    this.owner = owner;
  }

  /** Watches an actor, or an address that leads nowhere. One that has ended is told of soon, never inside this call. */
  watch(subject: Watches | undefined, ref: AnyRef): void {
    const watched = subject ?? ref.address;
    if (this.subjects.has(watched)) return;
    this.subjects.set(watched, ref);
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
  }

  /** After it returns, no notice of that actor is delivered, not even one that is queued already. */
  unwatch(subject: Watches | undefined, ref: AnyRef): void {
    this.forget(subject ?? ref.address);
    // A ref by name may lead elsewhere by now.
    for (const [watched, by] of this.subjects) if (by === ref) this.forget(watched);
  }

  /** The actor has ended: tells its watchers, and stops watching. */
  ended(reason: Terminated['reason'], cause: unknown): void {
    for (const subject of this.subjects.keys()) {
      if (typeof subject !== 'string') subject.watchers.delete(this);
    }
    this.subjects.clear();
    this.held.clear();
    const notice: Terminated = { ref: this.owner.ref, reason, cause, existenceConfirmed: true };
    for (const watcher of this.watchers) watcher.hear(this, notice);
    this.watchers.clear();
  }

  /** A message has left the queue: perhaps the last one of somebody who is dead. */
  left(envelope: Envelope): void {
    if (this.held.size === 0 || envelope.sender === undefined) return;
    const held = this.held.get(envelope.sender);
    if (held === undefined || !held.queued.delete(envelope) || held.queued.size > 0) return;
    this.held.delete(envelope.sender);
    this.deliver(held.subject, held.notice);
  }

  private forget(watched: Subject): void {
    if (!this.subjects.delete(watched)) return;
    this.owner.mailbox?.controlIfAny?.drop(
      (item) => item.entry instanceof NoticeEntry && item.entry.subject === watched,
    );
    if (typeof watched === 'string') return;
    this.held.delete(watched.owner);
    watched.watchers.delete(this);
  }

  private hear(subject: Watches, notice: Terminated): void {
    const sender = subject.owner;
    const queued = new Set<Envelope>();
    this.owner.mailbox?.forEachQueued((envelope) => {
      if (envelope.sender === sender) queued.add(envelope);
    });
    if (queued.size > 0) this.held.set(sender, { queued, subject, notice });
    else this.deliver(subject, notice);
  }

  private deliver(subject: Subject, notice: Terminated): void {
    const handle = (context: unknown): unknown => {
      this.subjects.delete(subject);
      return this.owner.terminated(context, notice);
    };
    this.owner.control(
      new Envelope(new NoticeEntry(subject, handle), undefined, NORMAL_RANK, undefined, undefined, undefined),
    );
  }
}

/** The control item of a notice. */
class NoticeEntry implements MessageEntry {
  readonly name = 'terminated';
  readonly kind = 'tell';
  readonly isInternal = true;
  readonly subject: Subject;
  readonly handler: (context: unknown) => unknown;

  constructor(subject: Subject, handler: (context: unknown) => unknown) {
    this.subject = subject;
    this.handler = handler;
  }
}
