/**
 * The door of `agent(...)`: reads its options once, refuses what is unknown or out of range, and applies the defaults of
 * `limits.ts`. Behind it nobody checks again.
 */

import { type Backoff, backoffOption } from './child-spec.ts';
import {
  AGING_MS,
  ATTEMPTS_MAX,
  CRITICAL_RESERVE,
  MAILBOX_CAPACITY,
  SELF_RESERVE,
  START_TIMEOUT_MS,
  STASH_MAX,
  TURN_TIMEOUT_MS,
  WAITERS_MAX,
} from './limits.ts';
import {
  choiceOption,
  durationOption,
  functionOption,
  integerOption,
  invalidOption,
  objectOption,
  recordOption,
} from './options.ts';
import type { AnyProtocol, MessageDefinition } from './protocol.ts';
import { FEED_OVERFLOWS, type FeedOverflow, OVERFLOWS, type Overflow } from './subscription.ts';
import { isTopicFilter, type TopicFilter } from './topic.ts';

/** A mailbox's settings, complete. */
export interface MailboxSettings {
  readonly capacity: number;
  readonly overflow: Overflow;
  readonly agingMs: number;
  readonly criticalReserve: number;
  readonly selfReserve: number;
  readonly waitersMax: number;
  readonly stashMax: number;
}

/** A topic fed into the mailbox, complete. */
export interface FeedSettings {
  readonly topic: TopicFilter<unknown>;
  /** The message it arrives as. */
  readonly as: string;
  readonly overflow: FeedOverflow;
  readonly capacity: number;
}

/** Attempts at one message, complete. */
export interface RetrySettings {
  readonly attemptsMax: number;
  readonly backoff: Backoff;
}

/** Handlers and hooks as the engine calls them. */
export type ErasedFunction = (...parameters: unknown[]) => unknown;

/** Handlers by the name of their message; an object without prototype. */
export type ErasedHandlers = Readonly<Record<string, (ctx: unknown, payload: unknown) => unknown>>;

/** An agent's options, complete: checked, with defaults applied. */
export interface AgentSettings {
  readonly state: ((args: unknown, ctx: unknown) => unknown) | undefined;
  readonly on: ErasedHandlers;
  readonly mailbox: MailboxSettings;
  readonly turnTimeoutMs: number;
  readonly startTimeoutMs: number;
  readonly onFailure: 'fail' | { readonly retry: RetrySettings };
  readonly decide: ((error: unknown) => unknown) | undefined;
  readonly subscribe: readonly FeedSettings[];
  readonly validate: 'boundary' | 'always';
  readonly onRestart: ((ctx: unknown, failure: unknown) => unknown) | undefined;
  readonly onStop: ((ctx: unknown, reason: unknown) => unknown) | undefined;
  readonly onTerminated: ((ctx: unknown, terminated: unknown) => unknown) | undefined;
  readonly onIdle: ((ctx: unknown) => unknown) | undefined;
}

type Messages = Readonly<Record<string, MessageDefinition>>;

const KNOWN = [
  'state',
  'internal',
  'on',
  'mailbox',
  'turnTimeoutMs',
  'startTimeoutMs',
  'onFailure',
  'decide',
  'subscribe',
  'validate',
  'onRestart',
  'onStop',
  'onTerminated',
  'onIdle',
];

/** Reads the options of an agent. Throws `ERR_OPTION_INVALID`. @internal */
export function readSettings(protocol: AnyProtocol, internal: Messages, options: unknown): AgentSettings {
  const given = objectOption('', recordOption('options', options), KNOWN);
  const messages = allMessages(protocol.messages, internal);
  const mailbox = mailboxOption(given['mailbox']);
  return Object.freeze({
    state: erased(functionOption('state', given['state'])),
    on: handlersOption(given['on'], messages),
    mailbox,
    turnTimeoutMs: durationOption('turnTimeoutMs', given['turnTimeoutMs'], TURN_TIMEOUT_MS, {
      infinity: true,
    }),
    startTimeoutMs: durationOption('startTimeoutMs', given['startTimeoutMs'], START_TIMEOUT_MS),
    onFailure: onFailureOption(given['onFailure']),
    decide: erased(functionOption('decide', given['decide'])),
    subscribe: subscribeOption(given['subscribe'], messages, mailbox.capacity),
    validate: choiceOption('validate', given['validate'], ['boundary', 'always'], 'boundary'),
    onRestart: erased(functionOption('onRestart', given['onRestart'])),
    onStop: erased(functionOption('onStop', given['onStop'])),
    onTerminated: erased(functionOption('onTerminated', given['onTerminated'])),
    onIdle: erased(functionOption('onIdle', given['onIdle'])),
  });
}

function erased(given: ((...parameters: never[]) => unknown) | undefined): ErasedFunction | undefined {
  // The engine calls it with what its declared type asks for; the compiler checked that at the definition.
  return given as ErasedFunction | undefined;
}

function allMessages(own: Messages, internal: Messages): Messages {
  const messages: Record<string, MessageDefinition> = Object.assign(Object.create(null), own);
  for (const [name, message] of Object.entries(internal)) {
    if (Object.hasOwn(own, name))
      throw invalidOption(`internal.${name}`, 'a name that the protocol does not use', name);
    if (message.kind !== 'tell') throw invalidOption(`internal.${name}`, 'tell(...)', message.kind);
    messages[name] = message;
  }
  return messages;
}

function handlersOption(value: unknown, messages: Messages): ErasedHandlers {
  const given = recordOption('on', value);
  const handlers: Record<string, ErasedFunction> = Object.create(null);
  for (const name of Object.keys(given)) {
    if (!Object.hasOwn(messages, name)) {
      throw invalidOption(
        `on.${name}`,
        `absent: the messages are ${Object.keys(messages).join(', ')}`,
        given[name],
      );
    }
  }
  for (const name of Object.keys(messages)) {
    const handler = erased(
      functionOption(`on.${name}`, Object.hasOwn(given, name) ? given[name] : undefined),
    );
    if (handler === undefined) throw invalidOption(`on.${name}`, 'the handler of that message', undefined);
    handlers[name] = handler;
  }
  return Object.freeze(handlers);
}

/** Reads the options of a mailbox. @internal */
export function mailboxOption(value: unknown): MailboxSettings {
  const known = [
    'capacity',
    'overflow',
    'agingMs',
    'criticalReserve',
    'selfReserve',
    'waitersMax',
    'stashMax',
  ];
  const given = objectOption('mailbox', value, known);
  return Object.freeze({
    capacity: integerOption('mailbox.capacity', given['capacity'], 1, MAILBOX_CAPACITY),
    overflow: choiceOption('mailbox.overflow', given['overflow'], OVERFLOWS, 'backpressure'),
    agingMs: durationOption('mailbox.agingMs', given['agingMs'], AGING_MS, { zero: true }),
    criticalReserve: integerOption('mailbox.criticalReserve', given['criticalReserve'], 0, CRITICAL_RESERVE),
    selfReserve: integerOption('mailbox.selfReserve', given['selfReserve'], 0, SELF_RESERVE),
    waitersMax: integerOption('mailbox.waitersMax', given['waitersMax'], 0, WAITERS_MAX),
    stashMax: integerOption('mailbox.stashMax', given['stashMax'], 0, STASH_MAX),
  });
}

function onFailureOption(value: unknown): AgentSettings['onFailure'] {
  if (value === undefined || value === 'fail') return 'fail';
  if (typeof value !== 'object' || value === null)
    throw invalidOption('onFailure', "'fail' or { retry: { ... } }", value);
  const { retry } = objectOption('onFailure', value, ['retry']);
  return Object.freeze({ retry: retryOption('onFailure.retry', recordOption('onFailure.retry', retry)) });
}

/** Reads how often and when a message is tried again. @internal */
export function retryOption(option: string, value: unknown): RetrySettings {
  const given = objectOption(option, value, ['attemptsMax', 'backoff']);
  return Object.freeze({
    attemptsMax: integerOption(`${option}.attemptsMax`, given['attemptsMax'], 1, ATTEMPTS_MAX),
    backoff: backoffOption(`${option}.backoff`, given['backoff']),
  });
}

function subscribeOption(value: unknown, messages: Messages, capacity: number): readonly FeedSettings[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw invalidOption('subscribe', 'a list of { topic, as }', value);
  return Object.freeze(
    value.map((feed: unknown, index) => feedOption(`subscribe[${index}]`, feed, messages, capacity)),
  );
}

function feedOption(option: string, value: unknown, messages: Messages, capacity: number): FeedSettings {
  const given = objectOption(option, recordOption(option, value), ['topic', 'as', 'overflow', 'capacity']);
  const name = given['as'];
  if (typeof name !== 'string' || !Object.hasOwn(messages, name) || messages[name]?.kind !== 'tell') {
    throw invalidOption(`${option}.as`, 'the name of a message made by tell(...)', name);
  }
  return Object.freeze({
    topic: filterOption(`${option}.topic`, given['topic']),
    as: name,
    overflow: choiceOption(`${option}.overflow`, given['overflow'], FEED_OVERFLOWS, 'backpressure'),
    capacity: integerOption(`${option}.capacity`, given['capacity'], 1, capacity),
  });
}

function filterOption(option: string, value: unknown): TopicFilter<unknown> {
  if (isTopicFilter(value)) return value;
  throw invalidOption(option, 'a topic, or topic.where(...)', value);
}
