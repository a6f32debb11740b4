/**
 * Names that other nodes know: each node tells all others which names it holds, and remembers what they tell it. To each node it tells the whole
 * list first and then what changes, numbered; who misses a number asks for the list again. A node speaks of itself only: what it says
 * changes nothing about the names of another one.
 *
 * It is known where a name leads once the word has come: a little later than it is so.
 */

import {
  NAMES_AGAIN_MS,
  NAMES_GATHER_MS,
  NAMES_LIVES_MAX,
  NAMES_PER_WORD,
  NAMES_TOLD_MAX,
} from '../../src/protocol/limits.ts';
import { lifeKey, type NodeIdentity } from '../../src/protocol/membership.ts';
import { isName } from '../../src/protocol/options.ts';
import { decodePayload } from '../../src/protocol/payload.ts';
import type { Kernel } from '../actor/kernel.ts';
import type { Timeout } from '../host/timeouts.ts';
import type { Arrival, Taken } from './inbound.ts';
import type { Mail } from './mail.ts';

/** Given by `system.register`, or that of a child of the root: such nodes may have alike. */
export type NameKind = 'registered' | 'child';

/** What a node says of its names, in the order of the numbers. */
interface Word {
  /** The life of the node that it is for. */
  readonly to: string;
  /** From 1, without gaps, in the lives of both. */
  readonly number: number;
  /** All that was said before is void. */
  readonly isFirst: boolean;
  readonly registered: readonly string[];
  readonly children: readonly string[];
  readonly freed: readonly string[];
}

/** A node that is told. */
interface Listener {
  readonly node: NodeIdentity;
  number: number;
  /** It has to hear the whole list. */
  isBehind: boolean;
}

/** A life of a node that tells. */
interface Teller {
  readonly node: NodeIdentity;
  number: number;
  /** Something of it is missing. */
  isBehind: boolean;
  readonly names: Map<string, NameKind>;
}

/** Milliseconds for which a word is worth sending: what follows it waits behind it. */
const WORD_MS = 10_000;

/** The names of all nodes, as one of them knows them. */
export class Names {
  private readonly kernel: Kernel;
  private readonly mail: Mail;
  private readonly kindHere: (name: string) => NameKind | undefined;
  private readonly told = new Map<string, NameKind>();
  /** What may have changed since; what there was no room for stays here. */
  private readonly stirred = new Set<string>();
  private readonly listeners = new Map<string, Listener>();
  private readonly tellers = new Map<string, Teller>();
  /** Conflicts that were logged: `name node`. */
  private readonly conflicts = new Set<string>();
  private gathering: Timeout | undefined = undefined;
  private again: Timeout | undefined = undefined;
  private isOver = true;
  private isFull = false;

  /** `kindHere` says how this node holds a name now. */
  constructor(kernel: Kernel, mail: Mail, kindHere: (name: string) => NameKind | undefined) {
    this.kernel = kernel;
    this.mail = mail;
    this.kindHere = kindHere;
  }

  /** Begins to tell: the others can be sent to. */
  begin(nodes: readonly NodeIdentity[]): void {
    this.isOver = false;
    for (const node of nodes) this.came(node);
    if (this.stirred.size > 0) this.gather();
  }

  end(): void {
    this.isOver = true;
    for (const timeout of [this.gathering, this.again])
      if (timeout !== undefined) this.kernel.timeouts.cancel(timeout);
  }

  /** A name of this node may be held, or held no more. */
  stir(name: string): void {
    this.stirred.add(name);
    this.gather();
  }

  /** A node is there, and knows nothing. */
  came(node: NodeIdentity): void {
    if (node.name === this.mail.nodes.self.name) return;
    this.listeners.set(node.name, { node, number: 0, isBehind: true });
    this.gather();
  }

  /** A life of a node has ended, and holds nothing. */
  ended(node: NodeIdentity): void {
    this.tellers.delete(lifeKey(node));
    if (this.listeners.get(node.name)?.node.incarnation === node.incarnation)
      this.listeners.delete(node.name);
    for (const conflict of this.conflicts)
      if (conflict.endsWith(` ${node.name}`)) this.conflicts.delete(conflict);
  }

  /** This node has another life: the others have forgotten what it said, and what they said to it may have come before it knew of that life. */
  renewed(): void {
    for (const { node } of this.listeners.values()) {
      this.came(node);
      const teller = this.tellerOf(node);
      teller.number = 0;
      teller.isBehind = true;
      this.want(teller);
    }
  }

  /**
   * The node that a name leads to, beside this one: of those that have it registered the first in the order of their names, else of those that
   * have it as a child of their root.
   */
  find(name: string): NodeIdentity | undefined {
    let found: NodeIdentity | undefined;
    let foundKind: NameKind = 'child';
    for (const { node, names } of this.tellers.values()) {
      const kind = names.get(name);
      if (kind === undefined || !this.isThere(node)) continue;
      if (found === undefined || isBefore(kind, node, foundKind, found)) {
        found = node;
        foundKind = kind;
      }
    }
    return found;
  }

  /** What another node says. */
  take(arrival: Arrival): Taken {
    const { node: name, incarnation, message } = arrival;
    const node = { name, incarnation };
    if (this.mail.nodes.isLost(node) || name === this.mail.nodes.self.name) return undefined;
    let said: Word | 'want' | undefined;
    try {
      said = wordIn(decodePayload(message.payload), this.mail.nodes.self.incarnation);
    } catch (error) {
      return Promise.resolve({ reason: 'validation', error });
    }
    if (said === 'want') this.wanted(node);
    else if (said !== undefined) this.hear(node, said);
    return undefined;
  }

  // --- what others say --------------------------------------------------------------------------------------------

  private hear(node: NodeIdentity, { number, isFirst, registered, children, freed }: Word): void {
    const teller = this.tellerOf(node);
    if (number <= teller.number) return; // it has been overtaken by what is newer
    if (!isFirst && number !== teller.number + 1) {
      if (!teller.isBehind) this.want(teller);
      teller.isBehind = true;
      return;
    }
    teller.number = number;
    if (isFirst) {
      teller.isBehind = false;
      teller.names.clear();
    }
    for (const name of freed) teller.names.delete(name);
    for (const name of children) learn(teller, name, 'child');
    for (const name of registered) {
      learn(teller, name, 'registered');
      this.look(name, node);
    }
  }

  private tellerOf(node: NodeIdentity): Teller {
    const key = lifeKey(node);
    let teller = this.tellers.get(key);
    if (teller === undefined) {
      if (this.tellers.size >= NAMES_LIVES_MAX) this.forget();
      teller = { node, number: 0, isBehind: false, names: new Map() };
      this.tellers.set(key, teller);
    }
    return teller;
  }

  /** Makes room: who is not there first. */
  private forget(): void {
    const [oldest] = this.tellers.keys();
    for (const [key, { node }] of this.tellers)
      if (!this.isThere(node)) {
        this.tellers.delete(key);
        return;
      }
    if (oldest !== undefined) this.tellers.delete(oldest);
  }

  private want({ node }: Teller): void {
    this.post(node, { want: true }).catch(() => undefined); // asked again as long as it is behind
    this.startAgain();
  }

  private isThere({ name, incarnation }: NodeIdentity): boolean {
    return this.mail.nodes.find(name)?.incarnation === incarnation;
  }

  /** A name that two nodes gave leads to different actors on different nodes: each of the two says so, once. */
  private look(name: string, other: NodeIdentity): void {
    if (this.kindHere(name) !== 'registered') return;
    const key = `${name} ${other.name}`;
    if (this.conflicts.has(key) || this.conflicts.size >= NAMES_TOLD_MAX) return;
    this.conflicts.add(key);
    const { self } = this.mail.nodes;
    const [first] = [self.name, other.name].sort();
    const text = `the name '${name}' is registered here and on node ${other.name}: refs of further nodes lead to ${first}`;
    const address = '/';
    this.kernel.events.emit({ type: 'logged', level: 'warn', address, text, fields: { name } });
  }

  // --- what this node says ----------------------------------------------------------------------------------------

  private wanted(node: NodeIdentity): void {
    const listener = this.listeners.get(node.name);
    if (listener?.node.incarnation !== node.incarnation) return;
    listener.isBehind = true;
    this.gather();
  }

  private gather(): void {
    if (this.isOver || this.gathering !== undefined) return;
    const { kernel } = this;
    this.gathering = kernel.timeouts.startFunction(NAMES_GATHER_MS, kernel.now(), () => {
      this.gathering = undefined;
      this.tell();
    });
  }

  private tell(): void {
    const change = this.change();
    for (const listener of this.listeners.values()) {
      if (listener.isBehind) this.tellAll(listener);
      else if (change.length > 0) this.say(listener, change, false);
    }
  }

  /** What is different from what was told. */
  private change(): readonly Entry[] {
    const entries: Entry[] = [];
    const later: string[] = [];
    for (const name of this.stirred) {
      const kind = this.kindHere(name);
      if (kind === this.told.get(name)) continue;
      if (kind === undefined) this.told.delete(name);
      else if (this.told.has(name) || this.told.size < NAMES_TOLD_MAX) this.told.set(name, kind);
      else {
        later.push(name);
        continue;
      }
      entries.push({ name, kind });
      if (kind === 'registered')
        for (const { node, names } of this.tellers.values())
          if (names.get(name) === 'registered') this.look(name, node);
    }
    this.stirred.clear();
    for (const name of later) this.stirred.add(name);
    if (later.length > 0 && !this.isFull) this.warnOfBound();
    return entries;
  }

  private warnOfBound(): void {
    this.isFull = true;
    const text = `this node holds more than ${NAMES_TOLD_MAX} names; other nodes are not told of those above that`;
    this.kernel.events.emit({ type: 'logged', level: 'warn', address: '/', text, fields: undefined });
  }

  private tellAll(listener: Listener): void {
    listener.isBehind = false;
    const entries = [...this.told].map(([name, kind]) => ({ name, kind }));
    this.say(listener, entries, true);
  }

  private say(listener: Listener, entries: readonly Entry[], isFirst: boolean): void {
    for (let from = 0; from === 0 || from < entries.length; from += NAMES_PER_WORD) {
      const part = entries.slice(from, from + NAMES_PER_WORD);
      const word: Word = {
        to: listener.node.incarnation,
        number: ++listener.number,
        isFirst: isFirst && from === 0,
        registered: namesOf(part, 'registered'),
        children: namesOf(part, 'child'),
        freed: namesOf(part, undefined),
      };
      this.post(listener.node, word).catch(() => {
        listener.isBehind = true;
        this.startAgain();
      });
    }
  }

  private post(node: NodeIdentity, value: unknown): Promise<void> {
    return this.mail.post(node, 'names', value, WORD_MS);
  }

  /** What was not said, or not heard, is said or asked again. */
  private startAgain(): void {
    if (this.isOver || this.again !== undefined) return;
    const { kernel } = this;
    this.again = kernel.timeouts.startFunction(NAMES_AGAIN_MS, kernel.now(), () => {
      this.again = undefined;
      for (const teller of this.tellers.values())
        if (teller.isBehind && this.isThere(teller.node)) this.want(teller);
      if ([...this.listeners.values()].some(({ isBehind }) => isBehind)) this.gather();
    });
  }
}

/** How a name is held; `undefined`: not at all. */
interface Entry {
  readonly name: string;
  readonly kind: NameKind | undefined;
}

function namesOf(entries: readonly Entry[], kind: NameKind | undefined): readonly string[] {
  return entries.filter((entry) => entry.kind === kind).map(({ name }) => name);
}

/** One node cannot make another remember more than it may have itself. */
function learn({ names }: Teller, name: string, kind: NameKind): void {
  if (names.has(name) || names.size < NAMES_TOLD_MAX) names.set(name, kind);
}

function isBefore(kind: NameKind, node: NodeIdentity, otherKind: NameKind, other: NodeIdentity): boolean {
  return kind === otherKind ? node.name < other.name : kind === 'registered';
}

/** A word as it has arrived; undefined for one that is for another life. Throws for what is none. */
function wordIn(value: unknown, self: string): Word | 'want' | undefined {
  if (typeof value !== 'object' || value === null) throw notAWord('it is no object');
  const said = value as Readonly<Record<string, unknown>>; // any object may be read by name
  if (said['want'] === true) return 'want';
  const { to, number, isFirst, registered, children, freed } = said;
  if (typeof to !== 'string' || typeof isFirst !== 'boolean')
    throw notAWord('it does not say for whom it is');
  if (!Number.isSafeInteger(number) || Number(number) < 1) throw notAWord('its number is none');
  if (!areNames(registered) || !areNames(children) || !areNames(freed)) throw notAWord('its names are none');
  if (to !== self) return undefined;
  return { to, number: Number(number), isFirst, registered, children, freed };
}

function areNames(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.length <= NAMES_PER_WORD && value.every(isName);
}

function notAWord(problem: string): Error {
  return new Error(`a message about names is not one: ${problem}`);
}
