/**
 * Topics of a running system: who publishes, and who subscribes: functions, agents by their options, and turns. Each of
 * them enters the router here, by one way. What a subscriber does with a message is not known here.
 */

import type { AnyAgentDefinition } from '../src/protocol/agent.ts';
import type { ChildSpec } from '../src/protocol/child-spec.ts';
import type { MessageEntry } from '../src/protocol/envelope.ts';
import { TroupeError } from '../src/protocol/errors.ts';
import { UNSUBSCRIBE_WAIT_MS, UNSUBSCRIBE_WARNING_MS } from '../src/protocol/limits.ts';
import { choiceOption, integerOption, objectOption } from '../src/protocol/options.ts';
import {
  FEED_OVERFLOWS,
  type Subscription,
  type SubscriptionOverflow,
} from '../src/protocol/subscription.ts';
import type { Cell } from './actor/cell.ts';
import type { Kernel } from './actor/kernel.ts';
import type { Turn } from './actor/turn.ts';
import { GroupCell } from './pool/group.ts';
import { Groups, type OpenGroup } from './pool/groups.ts';
import {
  deliveryAgent,
  type FunctionSubscription,
  functionSubscription,
  type IntakeOptions,
  intakeOptions,
  mailboxFor,
  subscriberSpec,
} from './routing/function-subscriber.ts';
import { PulledMessages, type PullOptions, pullOptions } from './routing/pulled-messages.ts';
import { type Abroad, Router, readFilter } from './routing/router.ts';
import type { ActorChild } from './supervision/actor-child.ts';

/** The pattern and typed topic of what somebody subscribes to. */
type Filter = ReturnType<typeof readFilter>;

/** How what matches comes into a mailbox. */
interface Feeding {
  /** The message it arrives as. */
  readonly entry: MessageEntry;
  readonly overflow: SubscriptionOverflow;
  readonly capacity: number;
  /** It wants the topic beside the message. */
  readonly isTopicWanted?: boolean;
  /** It was made by a turn, and ends with that turn's generation. */
  readonly endsWithGeneration?: boolean;
  /** The name of the group that it is the queue of. */
  readonly group?: string | undefined;
}

/** Gives an actor a place under the supervisor of subscribers. It has not started. */
export type Seat = (spec: ChildSpec, args: unknown) => ActorChild;

/** A function that is subscribed. */
interface Running {
  /** One of the actors that run it. */
  readonly cell: Cell;
  /** Ends it. To be called once. */
  readonly end: () => Promise<void>;
}

const WAITS_LONG =
  `unsubscribe() has waited ${UNSUBSCRIBE_WARNING_MS} ms for a handler that is running. If that handler awaits it, it ` +
  'waits for itself: call meta.unsubscribe() there.';

/** What topics do with other nodes. */
export interface TopicsAbroad extends Abroad {
  /** Resolves when these patterns that subscribers listen to, or all, are effective for every publisher. */
  ready(patterns?: Iterable<string>): Promise<void>;
  /** Lets a group's share in, with what ends that. */
  join(name: {
    readonly group: string;
    readonly pattern: string;
  }): Promise<(leave: () => Promise<void>) => Promise<void>>;
}

/** What is published and subscribed to in one system. */
export class Topics {
  readonly router: Router;
  private readonly kernel: Kernel;
  private readonly seat: Seat;
  private readonly groups: Groups<Filter>;
  private abroad: TopicsAbroad | undefined = undefined;

  constructor(kernel: Kernel, seat: Seat) {
    this.kernel = kernel;
    this.router = new Router(kernel);
    this.seat = seat;
    this.groups = new Groups((read, intake, agent, group) => this.openGroup(read, intake, agent, group));
  }

  /** The system is a node: what is published goes to others as well. To be called once, before anybody subscribes. */
  open(abroad: TopicsAbroad): void {
    this.abroad = abroad;
    this.router.abroad = abroad;
  }

  /** Resolves when what was subscribed so far is effective on every node. */
  async ready(): Promise<void> {
    await this.abroad?.ready();
  }

  /** Resolves when what feeds an actor by the options of its agent is effective on every node. */
  async fed({ behaviour }: Cell): Promise<void> {
    const patterns = behaviour.agent.options.subscribe.map(({ topic }) => readFilter(topic).pattern);
    await this.abroad?.ready(patterns);
  }

  /** From outside: rejects with `ERR_ACTOR_STOPPED` once a shutdown has begun. */
  publish(topic: unknown, rest: readonly unknown[]): Promise<void> {
    if (this.kernel.isIntakeClosed) return Promise.reject(systemStopped());
    return this.router.publish(undefined, topic, rest);
  }

  publishFrom(from: Turn, topic: unknown, rest: readonly unknown[]): Promise<void> {
    return this.router.publish(from, topic, rest);
  }

  /**
   * `subscribe(topic, handler, options)`: a function, behind an actor of its own or in the group it names. `usualCapacity` is
   * what `capacity` is where nobody says it.
   */
  async subscribe(
    filter: unknown,
    handler: unknown,
    options: unknown,
    usualCapacity?: number,
  ): Promise<Subscription> {
    const read = readFilter(filter);
    const asked = functionSubscription(handler, options, usualCapacity);
    this.needIntake();
    const isAlone = asked.group === undefined && asked.concurrency === 1;
    const running = await this.spread(
      isAlone ? await this.alone(read, asked) : await this.inGroup(read, asked),
      { pattern: read.pattern, group: asked.group },
    );
    let ended: Promise<void> | undefined;
    const end = (): Promise<void> => {
      ended ??= running.end();
      return ended;
    };
    asked.receiver.end = () => this.kernel.background(end());
    return { pattern: read.pattern, unsubscribe: () => this.unsubscribed(running, end()) };
  }

  /** A subscription is one of all nodes, before it is told that it is there. */
  private async spread(
    running: Running,
    { pattern, group }: { readonly pattern: string; readonly group: string | undefined },
  ): Promise<Running> {
    const { abroad } = this;
    if (abroad === undefined) return running;
    try {
      if (group === undefined) {
        await abroad.ready([pattern]);
        return running;
      }
      const end = await abroad.join({ group, pattern });
      return { cell: running.cell, end: () => end(() => running.end()) };
    } catch (error) {
      await running.end();
      throw error;
    }
  }

  /** `messages(topic, options)`: each iteration is a subscription of its own. Throws `ERR_OPTION_INVALID`. */
  messages(filter: unknown, options: unknown): AsyncIterable<unknown> {
    const read = readFilter(filter);
    const checked = pullOptions(options);
    return { [Symbol.asyncIterator]: () => this.pull(read, checked) };
  }

  /** `ctx.subscribe(topic, options)`. */
  async subscribeFrom(cell: Cell, filter: unknown, options: unknown): Promise<Subscription> {
    const given = objectOption('subscribe options', options ?? null, ['as', 'overflow', 'capacity']);
    const read = readFilter(filter);
    const { capacity } = cell.behaviour.agent.options.mailbox;
    const leave = this.enter(cell, read, {
      entry: cell.behaviour.feedEntry(given['as']),
      overflow: choiceOption('overflow', given['overflow'], FEED_OVERFLOWS, 'backpressure'),
      capacity: integerOption('capacity', given['capacity'], 1, capacity),
      endsWithGeneration: true,
    });
    try {
      await this.abroad?.ready([read.pattern]);
    } catch (error) {
      leave();
      throw error;
    }
    const unsubscribe = (): Promise<void> => {
      leave();
      return Promise.resolve();
    };
    return { pattern: read.pattern, unsubscribe };
  }

  /** An actor is made: the topics that its agent names feed it until it ends. */
  opened(cell: Cell): void {
    const { subscribe } = cell.behaviour.agent.options;
    for (const { topic, as, overflow, capacity } of subscribe)
      this.enter(cell, readFilter(topic), { entry: cell.behaviour.feedEntry(as), overflow, capacity });
  }

  /** A function with an actor of its own. */
  private async alone(read: Filter, { receiver, turns, ...said }: FunctionSubscription): Promise<Running> {
    const intake = intakeOptions(said);
    const child = this.seat(subscriberSpec(deliveryAgent(mailboxFor(intake), turns)), receiver);
    await child.start();
    const { cell } = child;
    if (cell === undefined) throw systemStopped();
    const leave = this.deliver(cell, read, intake);
    const end = (): Promise<void> => {
      leave();
      return child.stop('normal');
    };
    return { cell, end };
  }

  /** A function that competes with others, or with itself. */
  private async inGroup(read: Filter, asked: FunctionSubscription): Promise<Running> {
    const { workers, leave } = await this.groups.join(read, asked);
    const [cell] = workers;
    if (cell === undefined) throw systemStopped();
    return { cell, end: leave };
  }

  private openGroup(
    read: Filter,
    intake: IntakeOptions,
    agent: AnyAgentDefinition,
    group: string | undefined,
  ): OpenGroup {
    const child = this.seat(subscriberSpec(agent), undefined);
    const starting = child.start();
    if (starting !== undefined) this.kernel.background(starting);
    const { cell } = child;
    if (!(cell instanceof GroupCell)) throw systemStopped();
    return { cell, child, leave: this.deliver(cell, read, intake, group) };
  }

  private pull(read: Filter, options: PullOptions): AsyncIterableIterator<unknown> {
    this.needIntake();
    const messages = new PulledMessages(read.pattern, options);
    if (options.signal?.aborted === true) {
      messages.finish();
      return messages.iterator();
    }
    const child = this.seat(subscriberSpec(messages.agent()), messages);
    const starting = child.start();
    if (starting !== undefined) this.kernel.background(starting);
    const { cell } = child;
    if (cell === undefined) throw systemStopped();
    const { window: capacity, overflow } = options;
    const leave = this.deliver(cell, read, { capacity, overflow });
    messages.begin(() => {
      leave();
      return child.stop('normal');
    });
    return messages.iterator();
  }

  private deliver(
    cell: Cell,
    read: Filter,
    { overflow, capacity }: Pick<IntakeOptions, 'overflow' | 'capacity'>,
    group?: string,
  ): () => void {
    return this.enter(cell, read, {
      overflow,
      capacity,
      entry: cell.behaviour.tellEntry('deliver'),
      isTopicWanted: true,
      group,
    });
  }

  /**
   * The end that `unsubscribe` waits for: as long as a handler may take, and where that is for ever, `UNSUBSCRIBE_WAIT_MS`. A
   * call in the first stretch of a handler is known for its own, and does not wait; after an `await` nobody can tell.
   */
  private unsubscribed({ cell }: Running, ended: Promise<void>): Promise<void> {
    const { kernel } = this;
    if (kernel.current === cell.behaviour) return Promise.resolve();
    const { address } = cell;
    const warn = (): void =>
      kernel.events.emit({ type: 'logged', level: 'warn', address, text: WAITS_LONG, fields: undefined });
    const now = kernel.now();
    const warning = kernel.timeouts.startFunction(UNSUBSCRIBE_WARNING_MS, now, warn);
    return new Promise<void>((resolve, reject) => {
      const isBounded = cell.behaviour.agent.options.turnTimeoutMs !== Infinity;
      const bound = isBounded ? undefined : kernel.timeouts.startFunction(UNSUBSCRIBE_WAIT_MS, now, resolve);
      const settled = (): void => {
        kernel.timeouts.cancel(warning);
        if (bound !== undefined) kernel.timeouts.cancel(bound);
      };
      ended.then(resolve, reject).finally(settled);
    });
  }

  private needIntake(): void {
    if (this.kernel.isIntakeClosed) throw systemStopped();
  }

  private enter(cell: Cell, { pattern, definition }: Filter, feeding: Feeding): () => void {
    const { isTopicWanted = false, endsWithGeneration = false } = feeding;
    return this.router.enter({ ...feeding, pattern, definition, cell, isTopicWanted, endsWithGeneration });
  }
}

function systemStopped(): TroupeError {
  return new TroupeError('ERR_ACTOR_STOPPED', { address: '/' });
}
