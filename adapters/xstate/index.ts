/** `troupe/xstate`: machines of XState 5 as agents. */

export {
  type MachineArgs,
  type MachineOptions,
  machineAgent,
  type Replies,
  type ReplyOption,
  type SharedOptions,
} from './machine-agent.ts';
export { type Later, later } from './waiting-asks.ts';
