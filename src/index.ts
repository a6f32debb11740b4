/** Troupe: a supervised actor runtime. What is named here is public; nothing else is. */

export { createSystem } from '../runtime/system.ts';
export type {
  AgentDefinition,
  AgentOptions,
  Directive,
  Handlers,
  MailboxOptions,
  OnFailure,
} from './protocol/agent.ts';
export { agent } from './protocol/agent.ts';
export { supervisor } from './protocol/child-spec.ts';
export { isTroupeError, TroupeError } from './protocol/errors.ts';
export { ask, protocol, tell } from './protocol/protocol.ts';
export { type } from './protocol/schema.ts';
export { topic } from './protocol/topic.ts';
