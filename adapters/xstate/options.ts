/** The door of `machineAgent(...)`: reads its own options once, and leaves those of every agent to `agent(...)`. */

import type { AnyStateMachine } from 'xstate';
import type { StartContext } from '../../src/protocol/context.ts';
import { functionOption, invalidOption, objectOption, recordOption } from '../../src/protocol/options.ts';
import type { AnyProtocol, MessageDefinition } from '../../src/protocol/protocol.ts';
import type { MachinePlan } from './machine-run.ts';

/** Answers by the name of what is asked; an object without prototype. */
export type ErasedReplies = Readonly<Record<string, (snapshot: unknown, request: unknown) => unknown>>;

/** Options of a machine, checked. */
export interface ReadOptions {
  readonly plan: MachinePlan;
  readonly input: ((args: unknown, ctx: StartContext) => unknown) | undefined;
  readonly replies: ErasedReplies;
  /** The options of every agent, as they were given. */
  readonly shared: Readonly<Record<string, unknown>>;
}

const SHARED = [
  'mailbox',
  'turnTimeoutMs',
  'startTimeoutMs',
  'onFailure',
  'decide',
  'subscribe',
  'validate',
] as const;
const OWN = ['reply', 'input', 'inspect', 'onEmit', 'onDone'] as const;

/** Reads what `machineAgent` was given. Throws `ERR_OPTION_INVALID`. */
export function readOptions(protocol: AnyProtocol, machine: unknown, options: unknown): ReadOptions {
  const given = objectOption('', recordOption('options', options), [...OWN, ...SHARED]);
  const plan = {
    machine: machineOption(machine),
    inspect: inspectOption(given['inspect']),
    onEmit: functionOption('onEmit', given['onEmit']),
    onDone: functionOption('onDone', given['onDone']),
  };
  return {
    // The machine calls its hooks with what their declared types ask for; the compiler checked that at the definition.
    plan: plan as MachinePlan,
    input: functionOption('input', given['input']) as ReadOptions['input'],
    replies: replyOption(protocol, given['reply']),
    shared: Object.fromEntries(SHARED.map((name) => [name, given[name]])),
  };
}

/** Known by what is called on it, not by its class: it may come from another copy of xstate. */
function machineOption(value: unknown): AnyStateMachine {
  const methods = ['transition', 'getInitialSnapshot', 'start', 'getPersistedSnapshot'];
  const found = value as Readonly<Record<string, unknown>> | null | undefined; // whatever it is
  if (typeof found === 'object' && methods.every((name) => typeof found?.[name] === 'function'))
    return value as AnyStateMachine; // it has what is called
  throw invalidOption('machine', 'a state machine of xstate 5', value);
}

function inspectOption(value: unknown): MachinePlan['inspect'] {
  if (value === undefined || typeof value === 'function' || (typeof value === 'object' && value !== null))
    return value as MachinePlan['inspect']; // an observer may lack any of its methods
  throw invalidOption('inspect', 'a function, or an observer of xstate', value);
}

function replyOption(protocol: AnyProtocol, value: unknown): ErasedReplies {
  const messages = protocol?.messages as Readonly<Record<string, MessageDefinition>> | undefined;
  const named = (kind: MessageDefinition['kind']): string[] =>
    Object.keys(messages ?? {}).filter((name) => messages?.[name]?.kind === kind);
  const [streamed] = named('stream');
  if (streamed !== undefined)
    throw invalidOption('protocol', 'one of messages that are told or asked', `the stream '${streamed}'`);
  const asked = named('ask');
  const given = objectOption('reply', value, asked);
  const replies: Record<string, ErasedReplies[string]> = Object.create(null);
  for (const name of asked) {
    const reply = functionOption(`reply.${name}`, given[name]);
    if (reply === undefined)
      throw invalidOption(`reply.${name}`, 'a function that answers from the snapshot', undefined);
    replies[name] = reply as ErasedReplies[string]; // as above
  }
  return replies;
}
