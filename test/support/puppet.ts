/**
 * An agent that does what its messages say: each payload is a function of the context. Tests write the behaviour where they
 * need it. Its state is a list, fresh at every start.
 */

import { agent, ask, protocol, stream, tell, type } from 'troupe';
import type { AgentDefinition, AgentOptions } from '../../src/protocol/agent.ts';
import type { Answer, AskContext, Context } from '../../src/protocol/context.ts';
import type { Ask, Protocol, Stream, Tell } from '../../src/protocol/protocol.ts';
import type { Ref } from '../../src/protocol/ref.ts';

/** What a puppet is told to do. */
export type Act = (ctx: PuppetContext) => unknown;
/** What a puppet is asked to do. */
export type Question = (ctx: PuppetAskContext) => Answer<unknown>;

/** What a puppet streams. */
export type Flow = (ctx: PuppetContext) => AsyncGenerator<unknown, unknown, void>;

export interface PuppetMessages {
  readonly act: Tell<Act>;
  readonly answer: Ask<Question, unknown>;
  readonly flow: Stream<Flow, unknown, unknown>;
}

// An alias, not an interface: only an alias fits the index signature of `InternalMessages`.
export type PuppetInternal = { readonly next: Tell<Act> };

export type PuppetProtocol = Protocol<PuppetMessages>;
export type PuppetRef = Ref<PuppetProtocol>;
export type PuppetContext = Context<PuppetProtocol, unknown[], PuppetInternal>;
export type PuppetAskContext = AskContext<PuppetProtocol, unknown[], unknown, PuppetInternal>;

export const Puppet: PuppetProtocol = protocol('puppet', {
  act: tell(type<Act>()),
  answer: ask(type<Question>(), type<unknown>()),
  flow: stream(type<Flow>(), type<unknown>(), type<unknown>()),
});

type PuppetOptions = Omit<AgentOptions<PuppetProtocol, void, unknown[], PuppetInternal>, 'on' | 'internal'>;

/** A puppet with these settings. */
export function puppet(options: PuppetOptions = {}): AgentDefinition<PuppetProtocol> {
  return agent<PuppetProtocol, void, unknown[], PuppetInternal>(Puppet, {
    state: () => [],
    ...options,
    internal: { next: tell(type<Act>()) },
    on: {
      act: (ctx, act) => act(ctx),
      answer: (ctx, question) => question(ctx),
      flow: (ctx, flow) => flow(ctx),
      next: (ctx, act) => act(ctx),
    },
  });
}

/** A promise and its two ends. */
export interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
}

export function deferred<T = void>(): Deferred<T> {
  let resolve: (value: T) => void = () => undefined;
  let reject: (error: unknown) => void = () => undefined;
  const promise = new Promise<T>((fulfil, fail) => {
    resolve = fulfil;
    reject = fail;
  });
  return { promise, resolve, reject };
}

/** How a promise ended, kept to be looked at: `undefined` while it has not. */
export interface Ending {
  value?: unknown;
  error?: unknown;
  /** The code of a `TroupeError`, else 'resolved' or 'rejected'. */
  is: string | undefined;
}

export function endingOf(promise: Promise<unknown>): Ending {
  const ending: Ending = { is: undefined };
  promise.then(
    (value: unknown) => {
      ending.is = 'resolved';
      ending.value = value;
    },
    (error: unknown) => {
      ending.error = error;
      ending.is = hasCode(error) ? error.code : 'rejected';
    },
  );
  return ending;
}

function hasCode(error: unknown): error is { readonly code: string } {
  return typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string';
}

/** A promise that never settles. */
export function never(): Promise<never> {
  return new Promise(() => undefined);
}
