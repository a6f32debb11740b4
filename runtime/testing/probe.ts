/**
 * A probe: an actor of a protocol that remembers what it is told and asked, and answers as the test says. Its expectations
 * let virtual time pass, never real time, and only as much as they need.
 */

import { type AnyAgentDefinition, agent } from '../../src/protocol/agent.ts';
import type { AskContext, Context, Replied, ReplyTo, Terminated } from '../../src/protocol/context.ts';
import { durationOption, functionOption, invalidOption, objectOption } from '../../src/protocol/options.ts';
import type { Parts } from '../../src/protocol/part-stream.ts';
import type { Priority } from '../../src/protocol/priority.ts';
import type {
  AnyProtocol,
  AskName,
  MessageDefinition,
  MessageKind,
  PartOf,
  PayloadOf,
  ReplyOf,
  ResultOf,
  StreamName,
} from '../../src/protocol/protocol.ts';
import type { AnyRef, Ref } from '../../src/protocol/ref.ts';
import { rejected } from '../../src/protocol/rejected.ts';
import { Cell } from '../actor/cell.ts';
import { TurnContext } from '../actor/context.ts';
import { actorRef } from '../actor/local-ref.ts';
import { EXPECT_WITHIN_MS, LISTED_MAX, PROBE_MESSAGES_MAX } from './bounds.ts';
import type { Driver, Fail } from './driver.ts';
import { fits, type Matcher, shown } from './matcher.ts';

/** What a message of a protocol carries, by its name. */
type Payload<P extends AnyProtocol, Name extends keyof P['messages']> = PayloadOf<P['messages'][Name]>;

/** A message that a probe has received. */
export interface Received<out Name = string, out Payload = unknown> {
  readonly name: Name;
  readonly payload: Payload;
  /** Address of the actor that sent it; `undefined` from outside. */
  readonly sender: string | undefined;
  readonly priority: Priority;
  /** Virtual milliseconds at which it came. */
  readonly atMs: number;
}

/** How long an expectation waits. */
export interface ExpectOptions {
  /** Virtual milliseconds; 3,000 unless said. They pass only while what is expected is missing. */
  readonly withinMs?: number | undefined;
}

/** What must not come, and for how long. */
export interface ExpectNoneOptions {
  /** Virtual milliseconds that pass; 0 unless said: what needs no time. */
  readonly forMs?: number | undefined;
  /** Only messages of this name; any unless said. */
  readonly name?: string | undefined;
}

/** A reply, or what makes it of the question. */
export type Reply<Request, Value> = Value | ((request: Request) => Value | Promise<Value>);

/** An actor in the hand of a test. */
export interface Probe<P extends AnyProtocol> {
  /** To be handed to the agents under test. */
  readonly ref: Ref<P>;
  /** Everything it has received, oldest first. */
  readonly messages: readonly Received[];
  /** Waits for a message of this name that fits, and takes it: each is taken once. Others stay. Rejects with `ERR_TEST_FAILED`. */
  expect<Name extends keyof P['messages'] & string>(
    name: Name,
    matcher?: Matcher<Payload<P, Name>>,
    options?: ExpectOptions,
  ): Promise<Received<Name, Payload<P, Name>>>;
  /** Lets time pass. Rejects with `ERR_TEST_FAILED` if a message is there that nobody has taken. */
  expectNone(options?: ExpectNoneOptions): Promise<void>;
  /** Answers asks of this name: the oldest that waits, else the next one that comes; by a value, or by a function of what is asked. */
  replyTo<Name extends AskName<P> & string>(
    name: Name,
    reply: Reply<Payload<P, Name>, ReplyOf<P['messages'][Name]>>,
  ): void;
  /** As `replyTo`, for every ask of this name that has no other answer planned. */
  alwaysReplyTo<Name extends AskName<P> & string>(
    name: Name,
    reply: Reply<Payload<P, Name>, ReplyOf<P['messages'][Name]>>,
  ): void;
  /** Lets the oldest ask that waits, else the next one, fail with `error`. */
  rejectTo(name: AskName<P> & string, error: unknown): void;
  /**
   * Answers streams of this name from now on: with these parts and this result, or by an `async *` function of what is asked. One that comes
   * before is rejected (`ERR_MESSAGE_REJECTED`).
   */
  streamTo<Name extends StreamName<P> & string>(
    name: Name,
    parts:
      | readonly PartOf<P['messages'][Name]>[]
      | ((request: Payload<P, Name>) => Parts<PartOf<P['messages'][Name]>, ResultOf<P['messages'][Name]>>),
    result?: ResultOf<P['messages'][Name]>,
  ): void;
  /** Watches an actor, for `expectTerminated`. */
  watch(ref: AnyRef): void;
  /** Waits for word of the end of an actor that the probe watches. Rejects with `ERR_TEST_FAILED`. */
  expectTerminated(ref: AnyRef, options?: ExpectOptions): Promise<Terminated>;
}

interface Item extends Received {
  isTaken: boolean;
}

/** Answers one ask. */
type Answerer = (request: unknown, right: ReplyTo<unknown>) => void;

/** Makes the parts of one stream. */
type Streamer = (request: unknown) => Parts<unknown, unknown>;

interface Open {
  readonly request: unknown;
  readonly right: ReplyTo<unknown>;
}

/** The part of a probe that its agent writes to. */
export class ProbeRecord implements Omit<Probe<AnyProtocol>, 'ref'> {
  readonly definition: AnyAgentDefinition;
  private readonly protocol: AnyProtocol;
  private readonly driver: Driver;
  private readonly fail: Fail;
  private readonly items: Item[] = [];
  private readonly ends: Terminated[] = [];
  private readonly planned = new Map<string, Answerer[]>();
  private readonly always = new Map<string, Answerer>();
  private readonly open = new Map<string, Open[]>();
  private readonly streams = new Map<string, Streamer>();
  private cell: Cell | undefined = undefined;

  constructor(protocol: AnyProtocol, driver: Driver, fail: Fail) {
    this.protocol = protocol;
    this.driver = driver;
    this.fail = fail;
    const on: Record<string, unknown> = {};
    for (const [name, { kind }] of Object.entries(messagesOf(protocol))) {
      on[name] = this.handlerOf(name, kind);
    }
    const options = {
      state: (_: unknown, ctx: unknown) => {
        if (ctx instanceof TurnContext && ctx.cell instanceof Cell) this.cell = ctx.cell;
      },
      turnTimeoutMs: Number.POSITIVE_INFINITY,
      onTerminated: (_: unknown, terminated: Terminated) => this.ends.push(terminated),
      on,
    };
    // One handler for each message of the protocol, of the kind that it asks for.
    this.definition = agent(protocol, options as never) as AnyAgentDefinition;
  }

  get messages(): readonly Received[] {
    return [...this.items];
  }

  async expect(name: string, matcher?: unknown, options?: ExpectOptions): Promise<Received<never, never>> {
    this.nameOption('expect: name', name, undefined);
    const given = objectOption('expect options', options, ['withinMs']);
    const withinMs = durationOption('withinMs', given['withinMs'], EXPECT_WITHIN_MS, { zero: true });
    const isWanted = (item: Item): boolean =>
      !item.isTaken && item.name === name && (matcher === undefined || fits(matcher, item.payload));
    const find = (): Item | undefined => this.items.find(isWanted);
    await this.driver.until(() => find() !== undefined, this.driver.now + withinMs);
    const found = find();
    if (found === undefined) {
      const what = matcher === undefined ? `'${name}'` : `'${name}' that fits ${shown(matcher)}`;
      throw this.fail(`Expected ${what} within ${withinMs} ms. ${this.listed()}`);
    }
    found.isTaken = true;
    // What came under this name carries what the protocol says.
    return found as unknown as Received<never, never>;
  }

  async expectNone(options?: ExpectNoneOptions): Promise<void> {
    const given = objectOption('expectNone options', options, ['forMs', 'name']);
    const forMs = durationOption('forMs', given['forMs'], 0, { zero: true });
    const name = given['name'] === undefined ? undefined : this.nameOption('name', given['name'], undefined);
    await this.driver.advance(forMs);
    const unwanted = this.items.some((item) => !item.isTaken && (name === undefined || item.name === name));
    if (!unwanted) return;
    const what = name === undefined ? 'no message' : `no '${name}'`;
    throw this.fail(`Expected ${what} for ${forMs} ms. ${this.listed()}`);
  }

  replyTo(name: string, reply: unknown): void {
    this.nameOption('replyTo: name', name, 'ask');
    this.plan(name, answererOf(reply));
  }

  alwaysReplyTo(name: string, reply: unknown): void {
    this.nameOption('alwaysReplyTo: name', name, 'ask');
    const answerer = answererOf(reply);
    this.always.set(name, answerer);
    for (const { request, right } of this.open.get(name)?.splice(0) ?? []) answerer(request, right);
  }

  rejectTo(name: string, error: unknown): void {
    this.nameOption('rejectTo: name', name, 'ask');
    this.plan(name, (_, right) => right.reject(error));
  }

  streamTo(name: string, parts: unknown, result?: unknown): void {
    this.nameOption('streamTo: name', name, 'stream');
    this.streams.set(name, streamerOf(parts, result));
  }

  watch(ref: AnyRef): void {
    const { cell } = this;
    if (cell === undefined || cell.hasEnded) throw this.fail('The probe has ended: it can watch nobody.');
    const subject = actorRef(ref, cell.kernel);
    cell.watches.watch(subject.watchable(), subject);
  }

  async expectTerminated(ref: AnyRef, options?: ExpectOptions): Promise<Terminated> {
    const given = objectOption('expectTerminated options', options, ['withinMs']);
    const withinMs = durationOption('withinMs', given['withinMs'], EXPECT_WITHIN_MS, { zero: true });
    const place = (): number => this.ends.findIndex((each) => each.ref === ref);
    await this.driver.until(() => place() >= 0, this.driver.now + withinMs);
    const [terminated] = place() < 0 ? [] : this.ends.splice(place(), 1);
    if (terminated !== undefined) return terminated;
    const others = this.ends.map((each) => each.ref.address).join(', ') || 'nobody';
    throw this.fail(`Expected the end of ${ref.address} within ${withinMs} ms. Word came of ${others}.`);
  }

  private handlerOf(name: string, kind: MessageKind): unknown {
    switch (kind) {
      case 'tell':
        return (ctx: Context<AnyProtocol>, payload: unknown) => this.record(ctx, name, payload);
      case 'ask':
        return (ctx: AskContext<AnyProtocol, unknown, unknown>, request: unknown) =>
          this.asked(ctx, name, request);
      case 'stream':
        return (ctx: Context<AnyProtocol>, request: unknown) => {
          this.record(ctx, name, request);
          const streamer = this.streams.get(name);
          if (streamer === undefined)
            throw rejected(`no parts of '${name}' are planned; call streamTo first`);
          return streamer(request);
        };
    }
  }

  private record(ctx: Context<AnyProtocol>, name: string, payload: unknown): undefined {
    if (this.items.length >= PROBE_MESSAGES_MAX)
      throw new Error(`a probe remembers ${PROBE_MESSAGES_MAX} messages, and no more`);
    const { sender, priority } = ctx.message;
    this.items.push({ name, payload, sender, priority, atMs: this.driver.now, isTaken: false });
    return undefined;
  }

  private asked(ctx: AskContext<AnyProtocol, unknown, unknown>, name: string, request: unknown): Replied {
    this.record(ctx as Context<AnyProtocol>, name, request); // an ask's context is one that can reply, too
    const right = ctx.replyTo;
    const answerer = this.planned.get(name)?.shift() ?? this.always.get(name);
    if (answerer === undefined) listIn(this.open, name).push({ request, right });
    else answerer(request, right);
    return right;
  }

  private plan(name: string, answerer: Answerer): void {
    const waiting = this.open.get(name)?.shift();
    if (waiting === undefined) listIn(this.planned, name).push(answerer);
    else answerer(waiting.request, waiting.right);
  }

  private nameOption(option: string, name: unknown, kind: 'ask' | 'stream' | undefined): string {
    const messages = messagesOf(this.protocol);
    const fitting = Object.keys(messages).filter(
      (each) => kind === undefined || messages[each]?.kind === kind,
    );
    if (typeof name !== 'string' || !fitting.includes(name))
      throw invalidOption(option, `one of ${fitting.join(', ') || '(none)'}`, name);
    return name;
  }

  private listed(): string {
    const left = this.items.filter((item) => !item.isTaken);
    const taken = this.items.length - left.length;
    const lines = left.slice(-LISTED_MAX).map(({ name, payload, sender, atMs }) => {
      const content = payload === undefined ? '' : ` ${shown(payload)}`;
      return `\n  ${name}${content} from ${sender ?? 'outside'} at ${atMs} ms`;
    });
    const more = left.length > lines.length ? `, the last ${lines.length}` : '';
    const what = left.length === 0 ? 'Received nothing' : `Received ${left.length}${more}`;
    return `${what}${taken > 0 ? ` (and ${taken} taken before)` : ''}${lines.length > 0 ? ':' : '.'}${lines.join('')}\n`;
  }
}

function messagesOf(protocol: AnyProtocol): Readonly<Record<string, MessageDefinition>> {
  return protocol.messages as Readonly<Record<string, MessageDefinition>>;
}

function listIn<T>(lists: Map<string, T[]>, name: string): T[] {
  const list = lists.get(name) ?? [];
  lists.set(name, list);
  return list;
}

function streamerOf(parts: unknown, result: unknown): Streamer {
  if (typeof parts === 'function') return parts as Streamer; // what it gives is looked at when it is a turn
  if (!Array.isArray(parts)) throw invalidOption('streamTo: parts', 'a list, or an async * function', parts);
  const given: readonly unknown[] = [...parts];
  return async function* () {
    yield* given;
    return result;
  };
}

function answererOf(reply: unknown): Answerer {
  if (typeof reply !== 'function') return (_, right) => right.reply(reply);
  const make = functionOption('reply', reply) as ((request: unknown) => unknown) | undefined; // it was looked at above
  return (request, right) => {
    const rejected = (error: unknown): void => right.reject(error);
    // A promise job, so that what the function throws fails the ask and not the probe.
    Promise.resolve(request)
      .then(make)
      .then((value) => right.reply(value), rejected)
      .catch(rejected);
  };
}
