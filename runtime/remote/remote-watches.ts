/**
 * Whom this node watches on others, for its actors or because it has told one to stop. Each watch has an id, and ends once: when word of the end has come in all lanes in which the dead
 * had sent, when it is taken back, or with the life of the node that was asked. A node that is lost is not waited for; from one that
 * has left the last words are still taken for a while.
 */

import { formatNodePlace, type NodePlace } from '../../src/protocol/address.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import { LAST_WORDS_MS, REMOTE_WATCHES_MAX } from '../../src/protocol/limits.ts';
import type { NodeIdentity } from '../../src/protocol/membership.ts';
import type { Kernel } from '../actor/kernel.ts';
import type { EndElsewhere } from '../actor/watch.ts';
import type { Timeout } from '../host/timeouts.ts';
import type { Arrival, Taken } from './inbound.ts';
import type { LateFrames } from './late-frames.ts';
import { type Mail, nodeDown } from './mail.ts';
import { type EndWord, endIn, type StopReason, WORD_LANE, watchWord } from './watch-words.ts';

/** One watch of an actor of another node. */
interface Watch {
  readonly id: string;
  readonly node: NodeIdentity;
  /** As its node names it. */
  readonly address: string;
  readonly heard: (end: EndElsewhere) => void;
  /** Hears that nothing will be heard, because this node closes. */
  readonly closed: ((error: TroupeError) => void) | undefined;
  /** How it is to end, once it is to. */
  stop: StopReason | undefined;
  /** What its node has said, once it has. */
  end: EndWord | undefined;
  /** The lanes in which it has come, as bits. */
  lanes: number;
  /** Take back what waits for late frames. */
  readonly waits: (() => void)[];
}

/** A watch, for whoever may also end the actor. */
export interface Hold {
  /** Tells the actor to end, behind all that was said of this watch before. */
  stop(reason: StopReason): void;
  /** Takes the watch back. */
  forget(): void;
}

/** What watches need of their node. */
export interface WatchPorts {
  readonly kernel: Kernel;
  readonly mail: Pick<Mail, 'nodes' | 'nextId' | 'payloadOf' | 'signal'>;
  readonly frames: Pick<LateFrames, 'after'>;
}

/** The watches of one node on others. */
export class RemoteWatches {
  private readonly ports: WatchPorts;
  private readonly max: number;
  private readonly open = new Map<string, Watch>();
  /** Times given to nodes that have left. */
  private readonly lastWords = new Set<Timeout>();
  /** Words that take a watch back, and that the broker does not have yet. */
  private unsaid = 0;

  constructor(ports: WatchPorts, max = REMOTE_WATCHES_MAX) {
    this.ports = ports;
    this.max = max;
  }

  /** As `Elsewhere.watch`. */
  watch(place: NodePlace, heard: (end: EndElsewhere) => void): (() => void) | undefined {
    const watch = this.begin(place, heard, undefined, undefined);
    return watch === undefined ? undefined : () => this.takeBack(watch);
  }

  /** As `watch`, for whoever may end the actor as well. */
  hold(place: NodePlace, heard: (end: EndElsewhere) => void): Hold | undefined {
    const watch = this.begin(place, heard, undefined, undefined);
    if (watch === undefined) return undefined;
    return {
      stop: (reason) => {
        watch.stop ??= reason;
        if (this.open.get(watch.id) === watch) this.ask(watch);
      },
      forget: () => this.takeBack(watch),
    };
  }

  /** Ends an actor. Resolves when it has ended or was not there; rejects with `ERR_NODE_DOWN` where its node is not, or is lost meanwhile. */
  stop(place: NodePlace, reason: StopReason): Promise<void> {
    return new Promise((resolve, reject) => {
      const heard = (end: EndElsewhere): void =>
        end.reason === 'nodedown' ? reject(nodeDown(place.node)) : resolve();
      if (this.begin(place, heard, reason, reject) === undefined) reject(nodeDown(place.node));
    });
  }

  /** Tells an actor to end, and hears nothing of it: for whoever could not watch it. */
  dismiss({ node, incarnation, local }: NodePlace, reason: StopReason): void {
    const { mail } = this.ports;
    const life = mail.nodes.present(node);
    if (life === undefined || life.incarnation !== incarnation) return;
    const payload = mail.payloadOf(watchWord(formatNodePlace({ node, incarnation, local }), reason));
    // Where it cannot be said, the node is not there any more.
    mail.signal(life, { type: 'stop', id: mail.nextId(), lane: WORD_LANE, payload }).catch(() => undefined);
  }

  private begin(
    place: NodePlace,
    heard: (end: EndElsewhere) => void,
    stop: StopReason | undefined,
    closed: Watch['closed'],
  ): Watch | undefined {
    const { mail } = this.ports;
    const node = mail.nodes.present(place.node);
    if (node === undefined || (place.incarnation ?? node.incarnation) !== node.incarnation) return undefined;
    const { name, incarnation } = node;
    const address = formatNodePlace({ node: name, incarnation, local: place.local });
    if (this.open.size + this.unsaid >= this.max)
      throw new TroupeError('ERR_WATCHES_FULL', { address, max: this.max });
    const watch: Watch = {
      id: mail.nextId(),
      node: { name, incarnation },
      address,
      heard,
      closed,
      stop,
      end: undefined,
      lanes: 0,
      waits: [],
    };
    this.open.set(watch.id, watch);
    this.ask(watch);
    return watch;
  }

  /** Word of an end has come, in one lane. */
  take(arrival: Arrival, word: unknown): Taken {
    const end = endIn(word);
    if (end === undefined)
      return Promise.resolve({ reason: 'validation', error: new Error('it tells of no end') });
    const watch = this.open.get(arrival.message.id);
    // Only the node that was asked can say it, in the life in which it was.
    if (watch === undefined || !isSame(watch.node, { name: arrival.node, incarnation: arrival.incarnation }))
      return undefined;
    watch.end = end;
    const came = (): void => {
      watch.lanes |= 1 << arrival.lane;
      if ((watch.lanes & end.lanes) === end.lanes) this.settle(watch);
    };
    const wait = this.ports.frames.after(arrival, came);
    if (wait === undefined) came();
    else watch.waits.push(wait);
    return undefined;
  }

  /** A life of a node has ended. */
  ended(node: NodeIdentity): void {
    if (!this.isWatched(node)) return;
    if (this.ports.mail.nodes.isLost(node)) {
      this.settleAll(node);
      return;
    }
    const { kernel } = this.ports;
    const timeout = kernel.timeouts.startFunction(LAST_WORDS_MS, kernel.now(), () => {
      this.lastWords.delete(timeout);
      this.settleAll(node);
    });
    this.lastWords.add(timeout);
  }

  /** The others have forgotten what this node asked of them in its earlier life: it asks again. Who has ended meanwhile is `noproc`. */
  renewed(): void {
    for (const watch of this.open.values())
      if (watch.end === undefined) this.ask(watch);
      else this.settle(watch);
  }

  /** Nobody waits any more. */
  close(): void {
    for (const watch of this.open.values()) {
      this.forget(watch);
      watch.closed?.(new TroupeError('ERR_ACTOR_STOPPED', { address: '/' }));
    }
    for (const timeout of this.lastWords) this.ports.kernel.timeouts.cancel(timeout);
    this.lastWords.clear();
  }

  private ask(watch: Watch): void {
    const { mail } = this.ports;
    const { id, node, address, stop } = watch;
    const payload = mail.payloadOf(watchWord(address, stop));
    const type = stop === undefined ? 'watch' : 'stop';
    mail.signal(node, { type, id, lane: WORD_LANE, payload }).catch(() => {
      // It cannot be asked: there is no such node any more, or the broker forbids it.
      if (this.open.get(id) === watch) this.settle(watch);
    });
  }

  private takeBack(watch: Watch): void {
    if (!this.forget(watch)) return;
    const { mail } = this.ports;
    this.unsaid++;
    const said = (): void => {
      this.unsaid--;
    };
    // Where it cannot be said there is nobody to whom it would be of use.
    mail.signal(watch.node, { type: 'unwatch', id: watch.id, lane: WORD_LANE }).then(said, said);
  }

  private settleAll(node: NodeIdentity): void {
    for (const watch of this.open.values()) if (isSame(watch.node, node)) this.settle(watch);
  }

  /** Tells of the end, as far as it is known. */
  private settle(watch: Watch): void {
    if (!this.forget(watch)) return;
    const { end } = watch;
    const { reason, cause, existenceConfirmed } = end ?? NODE_DOWN;
    watch.heard({ reason, cause, existenceConfirmed, isFrom: senderTest(watch, end) });
  }

  private forget(watch: Watch): boolean {
    for (const dropWait of watch.waits) dropWait();
    return this.open.delete(watch.id);
  }

  private isWatched(node: NodeIdentity): boolean {
    for (const watch of this.open.values()) if (isSame(watch.node, node)) return true;
    return false;
  }
}

const NODE_DOWN = { reason: 'nodedown', cause: undefined, existenceConfirmed: false } as const;

/** Who may have been the one that has ended: where it is not known, anybody of that node. */
function senderTest({ node, address }: Watch, end: EndWord | undefined): (sender: string) => boolean {
  if (end?.reason === 'noproc') return () => false;
  const exact = end?.address ?? (address.includes('#') ? address : undefined);
  if (exact !== undefined) return (sender) => sender === exact;
  const ofNode = `//${node.name}@${node.incarnation}/`;
  return (sender) => sender.startsWith(ofNode);
}

function isSame(a: NodeIdentity, b: NodeIdentity): boolean {
  return a.name === b.name && a.incarnation === b.incarnation;
}
