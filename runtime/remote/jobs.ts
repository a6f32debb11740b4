/**
 * Jobs of this node's pools that are done on other nodes. The end of each is told once: by word of it, or by the end of the life of the node it was
 * sent to. A node that is lost is not waited for; from one that has left the last words are still taken for a while. A reply may
 * come after the end, for as long as somebody waits for it.
 */

import { namesNode } from '../../src/protocol/address.ts';
import { Envelope } from '../../src/protocol/envelope.ts';
import { isTroupeError, TroupeError } from '../../src/protocol/errors.ts';
import { LAST_WORDS_MS } from '../../src/protocol/limits.ts';
import type { NodeIdentity } from '../../src/protocol/membership.ts';
import { decodePayload } from '../../src/protocol/payload.ts';
import type { AnyProtocol, MessageDefinition } from '../../src/protocol/protocol.ts';
import type { Schema } from '../../src/protocol/schema.ts';
import { checkArriving } from '../actor/behaviour.ts';
import type { TurnContext } from '../actor/context.ts';
import type { Kernel } from '../actor/kernel.ts';
import type { Errand, JobEnd, JobEnds } from '../actor/outpost.ts';
import type { Timeout } from '../host/timeouts.ts';
import type { Arrival, Taken } from './inbound.ts';
import { endOfJobIn } from './job-words.ts';
import { type Addressee, type Mail, nodeDown } from './mail.ts';
import { errorOf } from './refusal.ts';

/** Milliseconds for which word that a job is not wanted any more is worth sending. */
const CANCEL_MS = 10_000;

/** A worker on another node. */
export interface Worker extends Addressee {
  readonly node: NodeIdentity;
}

/** One job. */
interface Job {
  readonly id: string;
  readonly to: Worker;
  readonly envelope: Envelope;
  /** Of an ask. */
  readonly reply: Schema | undefined;
  readonly ends: JobEnds;
  hasEnded: boolean;
  /** Nobody waits for a reply, or it has come. */
  isAnswered: boolean;
  /** Runs until it is lost, where it could not be sent; from its end until nobody waits for a reply. */
  timeout: Timeout | undefined;
}

/** The jobs of one node that others do. */
export class Jobs {
  private readonly kernel: Kernel;
  private readonly mail: Mail;
  private readonly open = new Map<string, Job>();
  /** Times given to nodes that have left. */
  private readonly lastWords = new Set<Timeout>();

  constructor(kernel: Kernel, mail: Mail) {
    this.kernel = kernel;
    this.mail = mail;
  }

  /** Sends a job. Throws what cannot travel. */
  send(to: Worker, protocol: AnyProtocol, envelope: Envelope, turn: TurnContext, ends: JobEnds): Errand {
    const { mail } = this;
    const isAsk = envelope.entry.kind === 'ask' && envelope.customer !== undefined;
    const messages = protocol.messages as Readonly<Record<string, MessageDefinition>>;
    const job: Job = {
      id: mail.nextId(),
      to,
      envelope,
      reply: isAsk ? messages[envelope.entry.name]?.reply : undefined,
      ends,
      hasEnded: false,
      isAnswered: !isAsk,
      timeout: undefined,
    };
    const letter = this.letterOf(envelope, turn);
    const patience = { timeoutMs: Infinity, waitsForRoom: true };
    const { taken } = mail.send('job', to, letter, patience, turn.askChain(), { id: job.id });
    this.open.set(job.id, job);
    taken.catch((error: unknown) => this.notTaken(job, error));
    return { cancel: () => this.cancel(job) };
  }

  /** A reply or a refusal has come. False: it is not for a job. */
  answered(arrival: Arrival, value: unknown): boolean {
    const job = this.jobOf(arrival);
    if (job === undefined || job.isAnswered) return false;
    job.isAnswered = true;
    const { address } = job.to;
    const { name: message } = job.envelope.entry;
    if (arrival.message.type === 'refusal') job.ends.refused(errorOf(value, { address, message }));
    else {
      const checked = checkArriving(job.reply, value);
      if (checked.ok) job.ends.replied(checked.value);
      else
        job.ends.refused(new TroupeError('ERR_REPLY_INVALID', { address, message, issues: checked.issues }));
    }
    this.tidy(job);
    return true;
  }

  /** Word of an end has come. */
  done(arrival: Arrival): Taken {
    const job = this.jobOf(arrival);
    if (job === undefined || job.hasEnded) return undefined;
    const { address } = job.to;
    const refused = { address, message: job.envelope.entry.name };
    this.end(job, endOfJobIn(decodePayload(arrival.message.payload), refused));
    return undefined;
  }

  /** A life of a node has ended. */
  ended(node: NodeIdentity): void {
    if (this.mail.nodes.isLost(node)) {
      this.loseAll(node);
      return;
    }
    const { kernel } = this;
    const timeout = kernel.timeouts.startFunction(LAST_WORDS_MS, kernel.now(), () => {
      this.lastWords.delete(timeout);
      this.loseAll(node);
    });
    this.lastWords.add(timeout);
  }

  /**
   * An actor has told of its end, which comes behind the ends of all that it has begun. What it was sent and has said nothing of it has not
   * begun.
   */
  actorEnded({ address }: Worker): void {
    for (const job of this.open.values())
      if (job.to.address === address && !job.hasEnded) this.end(job, { outcome: 'absent', error: undefined });
  }

  /** Nobody answers any more: this node has been given up by the others, or closes. */
  withdraw(): void {
    for (const job of this.open.values()) this.lose(job);
  }

  close(): void {
    this.withdraw();
    for (const timeout of this.lastWords) this.kernel.timeouts.cancel(timeout);
    this.lastWords.clear();
  }

  /** The message as it is sent: whose sender is of a third node cannot be told from one that is made up. */
  private letterOf(job: Envelope, turn: TurnContext): Envelope {
    const { entry, payload, rank, sender } = job;
    const named = sender === undefined || namesNode(sender.address) ? undefined : sender;
    const letter = new Envelope(entry, payload, rank, named, undefined, undefined);
    const extras = letter.ensureExtras();
    extras.id = job.id;
    extras.attempt = job.attempt;
    extras.deadline = job.deadline;
    extras.headers = turn.headers;
    return letter;
  }

  /** Only the node that was sent a job can speak of it, in the life in which it was. */
  private jobOf({ message, node, incarnation }: Arrival): Job | undefined {
    const job = this.open.get(message.id);
    return job?.to.node.name === node && job.to.node.incarnation === incarnation ? job : undefined;
  }

  private end(job: Job, end: JobEnd): void {
    if (job.hasEnded) return;
    job.hasEnded = true;
    job.ends.ended(end);
    // Who promised a reply gives it in time or not at all.
    if (!job.isAnswered && end.outcome === 'handled') this.awaitReply(job);
    else job.isAnswered = true;
    this.tidy(job);
  }

  private awaitReply(job: Job): void {
    const { kernel } = this;
    const now = kernel.now();
    if (job.timeout !== undefined) kernel.timeouts.cancel(job.timeout);
    const restMs = Math.max(1, Math.ceil(job.envelope.deadline - now));
    job.timeout = kernel.timeouts.startFunction(restMs, now, () => {
      job.isAnswered = true;
      this.tidy(job);
    });
  }

  /** Whether it had been sent before it was given up nobody knows; unless its actor says so, which a node that has left does in its last words. */
  private notTaken(job: Job, error: unknown): void {
    const { kernel } = this;
    if (isTroupeError(error, 'ERR_FRAME_TOO_LARGE')) this.end(job, { outcome: 'failed', error });
    else if (!isNoSuchNode(error) || this.mail.nodes.isLost(job.to.node)) this.lose(job);
    else if (!job.hasEnded)
      job.timeout = kernel.timeouts.startFunction(LAST_WORDS_MS, kernel.now(), () => this.lose(job));
  }

  private lose(job: Job): void {
    const { name } = job.to.node;
    if (!job.isAnswered && job.hasEnded) {
      job.isAnswered = true;
      job.ends.refused(nodeDown(name));
    }
    this.end(job, { outcome: 'lost', error: undefined });
    this.tidy(job);
  }

  private loseAll({ name, incarnation }: NodeIdentity): void {
    for (const job of this.open.values()) {
      const { node } = job.to;
      if (node.name === name && node.incarnation === incarnation) this.lose(job);
    }
  }

  private cancel({ id, to, envelope, hasEnded }: Job): void {
    if (hasEnded) return;
    const dueAt = this.kernel.now() + CANCEL_MS;
    this.mail.say(to.node, { type: 'cancel', id, lane: envelope.rank, dueAt });
  }

  private tidy(job: Job): void {
    if (!job.hasEnded || !job.isAnswered) return;
    if (job.timeout !== undefined) this.kernel.timeouts.cancel(job.timeout);
    this.open.delete(job.id);
  }
}

/** The node is not there, as this one or the broker sees it. */
function isNoSuchNode(error: unknown): boolean {
  return isTroupeError(error, 'ERR_NODE_DOWN') || isTroupeError(error, 'ERR_ACTOR_UNKNOWN');
}
