/** An agent that is an XState machine: the messages of its protocol are the machine's events, and the agent's cell runs it. */

import type {
  AnyStateMachine,
  EmittedFrom,
  InputFrom,
  InspectionEvent,
  Observer,
  OutputFrom,
  SnapshotFrom,
} from 'xstate';
import { type AgentDefinition, type AgentOptions, agent } from '../../src/protocol/agent.ts';
import type { StartContext } from '../../src/protocol/context.ts';
import type { AnyProtocol, AskName, PayloadOf, ReplyOf } from '../../src/protocol/protocol.ts';
import type { Fitting } from './fitting.ts';
import { handlersOf } from './handlers.ts';
import { MachineRun } from './machine-run.ts';
import { readOptions } from './options.ts';
import type { Later } from './waiting-asks.ts';

/** The answers of a machine: one for each message that is asked. */
export type Replies<P extends AnyProtocol, M extends AnyStateMachine> = {
  readonly [Name in AskName<P>]: (
    snapshot: SnapshotFrom<M>,
    request: PayloadOf<P['messages'][Name]>,
  ) => ReplyOf<P['messages'][Name]> | Later;
};

/** The arguments of a machine's agent unless `input` says otherwise: the machine's input. */
export type MachineArgs<M extends AnyStateMachine> = unknown extends InputFrom<M> ? void : InputFrom<M>;

/** Options that a machine shares with every agent; they mean the same. */
export type SharedOptions<P extends AnyProtocol> = Pick<
  AgentOptions<P, void, undefined, Record<never, never>>,
  'mailbox' | 'turnTimeoutMs' | 'startTimeoutMs' | 'onFailure' | 'decide' | 'subscribe' | 'validate'
>;

/** Options of a machine. */
export interface MachineOptions<P extends AnyProtocol, M extends AnyStateMachine, Args>
  extends SharedOptions<P> {
  /** Makes the machine's input, at every start and restart; unless said, the arguments are the input. */
  readonly input?: ((args: Args, ctx: StartContext<P>) => InputFrom<M>) | undefined;
  /** Hears every inspection event of xstate, of the machine and its children: what `createActor(..., { inspect })` takes. */
  readonly inspect?: Observer<InspectionEvent> | ((event: InspectionEvent) => void) | undefined;
  /** Hears what the machine emits, in the same turn. The turn, and so the mailbox, waits for a promise that it returns. */
  readonly onEmit?: ((ctx: StartContext<P>, event: EmittedFrom<M>) => unknown) | undefined;
  /** Hears the output in the last turn, when the machine has reached a final state; the agent ends after it. */
  readonly onDone?: ((ctx: StartContext<P>, output: OutputFrom<M>) => unknown) | undefined;
}

/** The option `reply`: there where something is asked. */
export type ReplyOption<P extends AnyProtocol, M extends AnyStateMachine> = [AskName<P>] extends [never]
  ? { readonly reply?: undefined }
  : {
      /**
       * Answers what is asked from the snapshot that the question leads to. `later` keeps the question: each state that follows is
       * asked again.
       */
      readonly reply: Replies<P, M>;
    };

/**
 * An agent that is a machine of XState 5. A message `name` is the event `{ type: name, ...payload }`. Every event is a turn of the agent,
 * those of children and delays too; an error that the machine does not handle fails the turn, and a restart begins with the initial
 * state. A final state ends the agent (`normal`). Throws `ERR_OPTION_INVALID` for an unknown option, something that is no
 * machine, or an ask without an answer.
 */
export function machineAgent<P extends AnyProtocol, M extends AnyStateMachine, Args = MachineArgs<M>>(
  protocol: P,
  machine: M & Fitting<P, M>,
  options: NoInfer<ReplyOption<P, M>> & MachineOptions<P, M, Args>,
): AgentDefinition<P, Args>;
// The same once more, for short messages of the compiler: see agent(...).
export function machineAgent<P extends AnyProtocol, M extends AnyStateMachine, Args = MachineArgs<M>>(
  protocol: P,
  machine: M & Fitting<P, M>,
  options: NoInfer<ReplyOption<P, M>> & MachineOptions<P, M, Args>,
): AgentDefinition<P, Args>;
export function machineAgent(
  protocol: AnyProtocol,
  machine: unknown,
  options: unknown,
): AgentDefinition<AnyProtocol, unknown> {
  const { input, plan, replies, shared } = readOptions(protocol, machine, options);
  return agent<AnyProtocol, unknown, unknown>(protocol, {
    ...shared,
    state: (args, ctx) => MachineRun.start(plan, ctx, input === undefined ? args : input(args, ctx)),
    on: handlersOf(protocol, replies),
  });
}
