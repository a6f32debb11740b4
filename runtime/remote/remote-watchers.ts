/**
 * Who on other nodes watches actors of this one. A watcher is known by the life of its node and the id of its watch, and is forgotten with
 * either: when the actor has ended and that was said, when the watch is taken back, when that life has ended. Word of an end is said once
 * in each lane in which the dead had sent to that node, so that it comes behind all of that.
 */

import { LANES } from '../../src/protocol/broker.ts';
import type { Terminated } from '../../src/protocol/context.ts';
import {
  EARLY_UNWATCHES_MAX,
  REMOTE_WATCHES_MAX,
  STRANGER_MS,
  STRANGERS_MAX,
} from '../../src/protocol/limits.ts';
import { lifeKey, type NodeIdentity } from '../../src/protocol/membership.ts';
import type { Actor } from '../actor/actor.ts';
import type { Kernel } from '../actor/kernel.ts';
import type { Listener } from '../actor/watch.ts';
import type { Timeout } from '../host/timeouts.ts';
import type { Find } from './deliveries.ts';
import type { Arrival, Taken } from './inbound.ts';
import type { Mail } from './mail.ts';
import { endWord, placeIn, type StopReason, stopReasonIn, WORD_LANE } from './watch-words.ts';

/** The watchers of one life of a node. */
interface Life {
  readonly node: NodeIdentity;
  readonly watchers: Map<string, RemoteWatcher>;
  /** What was taken back before it came, oldest first. */
  readonly early: Set<string>;
  /** Words for it that the broker does not have yet. */
  unsaid: number;
  /** Runs while the broker has not told of it. */
  stranger: Timeout | undefined;
}

/** The watchers of the actors of one node. */
export class RemoteWatchers {
  private readonly kernel: Kernel;
  private readonly mail: Mail;
  private readonly find: Find;
  private readonly max: number;
  private readonly lives = new Map<string, Life>();
  private strangers = 0;

  constructor(kernel: Kernel, mail: Mail, find: Find, max = REMOTE_WATCHES_MAX) {
    this.kernel = kernel;
    this.mail = mail;
    this.find = find;
    this.max = max;
  }

  /** Another node wants an actor to end, and to hear when it has. Nodes of one prefix trust one another: any of them may. */
  stop(arrival: Arrival, word: unknown): Taken {
    const reason = stopReasonIn(word);
    if (reason === undefined) return refused('it stops for no reason');
    const { node: name, incarnation, message } = arrival;
    const taken = this.watch(arrival, word);
    const watcher = this.lives.get(lifeKey({ name, incarnation }))?.watchers.get(message.id);
    if (watcher !== undefined) this.end(watcher.actor, reason, name);
    return taken;
  }

  private end(actor: Actor, reason: StopReason, node: string): void {
    const { address } = actor;
    const text = `it is stopped by node ${node}`;
    const fields = { reason };
    this.kernel.events.emit({ type: 'logged', level: 'info', address, text, fields });
    this.kernel.background(actor.stop(reason));
  }

  /** An actor of another node wants to hear of an end. */
  watch({ message, node: name, incarnation }: Arrival, word: unknown): Taken {
    const { nodes } = this.mail;
    const place = placeIn(word);
    if (place?.node !== nodes.self.name) return refused('it watches nobody of this node');
    // A life that is over, on either side: whoever asked has heard so from the broker.
    if (place.incarnation !== nodes.self.incarnation || nodes.isLost({ name, incarnation })) return undefined;
    const life = this.lifeOf({ name, incarnation });
    if (life === undefined) return refused('nobody knows its node');
    const { id } = message;
    if (life.early.delete(id) || life.watchers.has(id)) return undefined;
    if (life.watchers.size + life.unsaid >= this.max)
      return refused(`its node watches ${this.max} actors here already`);
    const actor = this.find(place.local);
    if (actor === undefined) {
      this.say(life, id, gone(false), undefined);
      return undefined;
    }
    const watcher = new RemoteWatcher(actor, (notice) => {
      life.watchers.delete(id);
      this.say(life, id, notice, actor);
    });
    if (actor.watches.tells(watcher)) life.watchers.set(id, watcher);
    else this.say(life, id, gone(true), undefined);
    return undefined;
  }

  /** It does not any more. */
  unwatch({ message, node, incarnation }: Arrival): void {
    const life = this.lives.get(lifeKey({ name: node, incarnation }));
    const watcher = life?.watchers.get(message.id);
    if (life !== undefined && watcher !== undefined) {
      life.watchers.delete(message.id);
      watcher.leave();
      this.tidy(life);
    } else if (this.mail.nodes.present(node)?.incarnation === incarnation) {
      // Its watch may come behind it.
      this.noteEarly(life ?? this.begin({ name: node, incarnation }), message.id);
    }
  }

  private noteEarly({ early }: Life, id: string): void {
    early.add(id);
    const [oldest] = early;
    if (early.size > EARLY_UNWATCHES_MAX && oldest !== undefined) early.delete(oldest);
  }

  /** A life of a node has ended, and all who watched there. */
  ended(node: NodeIdentity): void {
    const life = this.lives.get(lifeKey(node));
    if (life !== undefined) this.forget(life);
  }

  /** Forgets everybody: the others have given up this life of this node. */
  clear(): void {
    for (const life of this.lives.values()) this.forget(life);
  }

  private say(life: Life, id: string, notice: Omit<Terminated, 'ref'>, actor: Actor | undefined): void {
    const { mail } = this;
    const sent = actor === undefined ? 0 : mail.lanesOf(actor, life.node);
    const lanes = sent === 0 ? 1 << WORD_LANE : sent;
    const address = actor === undefined ? undefined : mail.nameHere(actor.address);
    const payload = mail.payloadOf(endWord(notice, address, lanes));
    life.unsaid++;
    const said = (): void => {
      life.unsaid--;
      this.tidy(life);
    };
    const copies = LANES.filter((lane) => (lanes & (1 << lane)) !== 0).map((lane) =>
      mail.signal(life.node, { type: 'terminated', id, lane, payload }),
    );
    // What is not taken for good was for a node that is not there any more.
    Promise.allSettled(copies).then(said, said);
  }

  /** What is kept of a life. Undefined: the broker does not tell of it, nor of too many others. */
  private lifeOf(node: NodeIdentity): Life | undefined {
    const known = this.lives.get(lifeKey(node));
    if (known !== undefined) return known;
    const isPresent = this.mail.nodes.present(node.name)?.incarnation === node.incarnation;
    if (!isPresent && this.strangers >= STRANGERS_MAX) return undefined;
    const life = this.begin(node);
    if (!isPresent) this.awaitNews(life);
    return life;
  }

  private begin(node: NodeIdentity): Life {
    const life: Life = { node, watchers: new Map(), early: new Set(), unsaid: 0, stranger: undefined };
    this.lives.set(lifeKey(node), life);
    return life;
  }

  /** Its first words may be quicker than news of it; where no news comes it was never there. */
  private awaitNews(life: Life): void {
    const { kernel } = this;
    this.strangers++;
    life.stranger = kernel.timeouts.startFunction(STRANGER_MS, kernel.now(), () => {
      this.endWait(life);
      if (this.mail.nodes.present(life.node.name)?.incarnation !== life.node.incarnation) this.forget(life);
    });
  }

  private endWait(life: Life): void {
    if (life.stranger === undefined) return;
    this.kernel.timeouts.cancel(life.stranger);
    life.stranger = undefined;
    this.strangers--;
  }

  private forget(life: Life): void {
    for (const watcher of life.watchers.values()) watcher.leave();
    life.watchers.clear();
    this.drop(life);
  }

  /** Keeps nothing of a node that watches nobody. */
  private tidy(life: Life): void {
    if (life.watchers.size === 0 && life.early.size === 0 && life.unsaid === 0) this.drop(life);
  }

  private drop(life: Life): void {
    this.endWait(life);
    const key = lifeKey(life.node);
    if (this.lives.get(key) === life) this.lives.delete(key);
  }
}

/** One watcher of another node, in the place of a local one. */
class RemoteWatcher implements Listener {
  readonly actor: Actor;
  private readonly ended: (notice: Terminated) => void;

  constructor(actor: Actor, ended: (notice: Terminated) => void) {
    this.actor = actor;
    this.ended = ended;
  }

  hear(_subject: unknown, notice: Terminated): void {
    this.ended(notice);
  }

  leave(): void {
    this.actor.watches.tellsNot(this);
  }
}

function gone(existenceConfirmed: boolean): Omit<Terminated, 'ref'> {
  return { reason: 'noproc', cause: undefined, existenceConfirmed };
}

/** Nobody who keeps to the protocol sends this. */
function refused(problem: string): Taken {
  return Promise.resolve({ reason: 'validation', error: new Error(problem) });
}
