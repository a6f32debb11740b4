/** Troupe: a supervised actor runtime. What is named here is public; nothing else is. */

export { MessageBus } from '../runtime/bus/bus.ts';
export { createSystem } from '../runtime/system.ts';
export {
  type AgentDefinition,
  type AgentOptions,
  agent,
  type Directive,
  type Handlers,
  type MailboxOptions,
  type OnFailure,
} from './protocol/agent.ts';
export type {
  Broker,
  BrokerCapabilities,
  BrokerOptions,
  BrokerState,
  BrokerStateChange,
  ConsumeOptions,
  Consumption,
  DeadFrameInfo,
  Delivery,
  Destination,
  Lane,
  NodeIdentity,
  OutFrame,
  PerLane,
  PublishResult,
  Source,
} from './protocol/broker.ts';
export type {
  BackpressureStats,
  BrakeOptions,
  BusDeadLetterOptions,
  BusHandler,
  BusMessage,
  BusOptions,
  BusPublishOptions,
  BusReplayOptions,
  BusStats,
  HandledReceipt,
  PendingMessage,
  PublishReceipt,
  QueueSize,
  RequestOptions,
} from './protocol/bus.ts';
export {
  type AutoShutdown,
  type BackoffOptions,
  type ChildOptions,
  type ChildSpec,
  type DynamicSupervisorOptions,
  dynamicSupervisor,
  type RefsOf,
  type RestartType,
  type Strategy,
  type SupervisorDefinition,
  type SupervisorOptions,
  supervisor,
} from './protocol/child-spec.ts';
export {
  type CloudEvent,
  decodeCloudEvents,
  type EventMessage,
  encodeCloudEvents,
  type FromCloudEventOptions,
  fromCloudEvent,
  type ToCloudEventOptions,
  toCloudEvent,
} from './protocol/cloudevents.ts';
export { fromCloudEventHttp, type HttpContent, toCloudEventHttp } from './protocol/cloudevents-http.ts';
export type { Codec } from './protocol/codec.ts';
export type {
  Answer,
  AskContext,
  Context,
  EveryOptions,
  Failure,
  HookContext,
  Log,
  MessageInfo,
  Replied,
  ReplyTo,
  StartContext,
  Terminated,
  Timers,
} from './protocol/context.ts';
export type {
  DeadLetter,
  DeadLetterFilter,
  DeadLetterStats,
  DeadLetters,
  FailedAttempt,
  ReplayReport,
} from './protocol/dead-letters.ts';
export { type ErrorCode, type ErrorDetails, isTroupeError, TroupeError } from './protocol/errors.ts';
export type {
  DeadLetterReason,
  EndReason,
  LogLevel,
  RuntimeEvent,
  SupervisorEndReason,
} from './protocol/events.ts';
export type { Keyed, KeyedArgs, KeyedOptions } from './protocol/keyed.ts';
export type { Member, MemberChange, Membership } from './protocol/membership.ts';
export type { NodeView } from './protocol/nodes.ts';
export type { PartStream, Parts } from './protocol/part-stream.ts';
export type {
  PlaceableAgent,
  SpawnOnOptions,
  SpawnOnOptionsWithArgs,
  SpawnOnParameters,
} from './protocol/placement.ts';
export type { PoolOptions, PoolSpec, RateLimit, Routing } from './protocol/pool.ts';
export type { Priority } from './protocol/priority.ts';
export {
  type Ask,
  ask,
  type Protocol,
  protocol,
  type Stream,
  stream,
  type Tell,
  tell,
} from './protocol/protocol.ts';
export type {
  Admission,
  AskOptions,
  Ref,
  SendOptions,
  StreamOptions,
  TellOptions,
} from './protocol/ref.ts';
export { rejected } from './protocol/rejected.ts';
export { type Schema, type TypeOptions, type } from './protocol/schema.ts';
export type { Shard, ShardClaim, Sharding, ShardOwner } from './protocol/sharding.ts';
export type {
  EndSignal,
  ShutdownOptions,
  ShutdownPhase,
  ShutdownTask,
  ShutdownTaskOptions,
} from './protocol/shutdown.ts';
export type { StateClaim, StateKey, StateStore, StateStoreOptions } from './protocol/state-store.ts';
export type {
  MessageRange,
  MessageStatus,
  MessageStore,
  NewMessage,
  StatusChange,
  StoredMessage,
  StoreOptions,
  StoreStats,
  Trimmed,
  TrimOptions,
} from './protocol/store.ts';
export type {
  FeedOptions,
  FeedOverflow,
  MessageMeta,
  MessagesOptions,
  Overflow,
  PublishOptions,
  PulledMessage,
  ReceivedMessage,
  SubscribeOptions,
  Subscription,
  SubscriptionOverflow,
} from './protocol/subscription.ts';
export type { SupervisedChild, SupervisorControl } from './protocol/supervisor-control.ts';
export type {
  Inspection,
  LogRecord,
  PoolInspection,
  RefOptions,
  SpawnOptions,
  System,
  SystemOptions,
  TimerInspection,
  TreeNode,
} from './protocol/system.ts';
export { type Topic, type TopicFilter, topic } from './protocol/topic.ts';
