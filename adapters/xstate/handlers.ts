/** The handlers of a machine's agent: each makes the event of its message and gives it to the machine. */

import type { AnyEventObject, AnyMachineSnapshot } from 'xstate';
import type { Handlers } from '../../src/protocol/agent.ts';
import type { HookContext } from '../../src/protocol/context.ts';
import type { AnyProtocol, MessageDefinition } from '../../src/protocol/protocol.ts';
import type { AskTurn, MachineRun } from './machine-run.ts';
import type { ErasedReplies } from './options.ts';

type Ctx = HookContext<AnyProtocol, MachineRun>;
type Handler = (ctx: Ctx, payload: object | undefined) => unknown;

/** One handler for each message; whether it is a protocol at all, `agent(...)` looks at. */
export function handlersOf(protocol: AnyProtocol, replies: ErasedReplies): Handlers<AnyProtocol, MachineRun> {
  const handlers: Record<string, Handler> = Object.create(null);
  for (const [name, { kind }] of Object.entries<MessageDefinition>(protocol?.messages ?? {})) {
    const reply = replies[name];
    if (kind === 'ask' && reply !== undefined) handlers[name] = askHandler(name, reply);
    else if (kind === 'tell') handlers[name] = (ctx, payload) => ctx.state.tell(ctx, eventOf(name, payload));
  }
  return handlers;
}

function askHandler(name: string, reply: ErasedReplies[string]): Handler {
  return (ctx, request) => {
    const answer = (snapshot: AnyMachineSnapshot): unknown => reply(snapshot, request);
    // A message that is asked comes with the context of one.
    return ctx.state.ask(ctx as Ctx & AskTurn, eventOf(name, request), answer);
  };
}

/** The name comes last: whatever another process has put into the payload, the event is the message's. */
function eventOf(name: string, payload: object | undefined): AnyEventObject {
  return payload === undefined ? { type: name } : { ...payload, type: name };
}
