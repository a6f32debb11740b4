/**
 * What the runtime tells about itself while it works. `RuntimeEvent` is the only source for logs, metrics and
 * inspection; message contents are never in it.
 */

import type { BrokerState } from './broker.ts';
import type { Priority } from './priority.ts';
import type { ShutdownPhase } from './shutdown.ts';

/** Why a message became a dead letter. */
export type DeadLetterReason =
  | 'handler-failed'
  | 'attempts-exhausted'
  | 'expired'
  | 'stopped'
  | 'actor-unknown'
  | 'stale-incarnation'
  | 'overflow-dropped'
  | 'validation'
  | 'rejected'
  | 'stash-cleared'
  | 'killed'
  | 'late-reply'
  | 'duplicate-reply'
  | 'serialization'
  | 'quarantined';

/** How an actor ended for good. */
export type EndReason = 'normal' | 'shutdown' | 'failed' | 'killed';

/** How a supervisor ended of its own will: its significant children had, or one of its children failed too often. */
export type SupervisorEndReason = 'shutdown' | 'escalated';

/** Severity of a log line. */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** One thing that happened, in the past tense. */
export type RuntimeEvent =
  | { readonly type: 'actor-started'; readonly address: string }
  | {
      readonly type: 'actor-failed';
      readonly address: string;
      readonly generation: number;
      readonly error: unknown;
      readonly message: string | undefined;
      /** The topic that the message was published to; absent for one that was sent to its actor. */
      readonly topic?: string | undefined;
    }
  | {
      readonly type: 'actor-restarting';
      readonly address: string;
      readonly delayMs: number;
      readonly error: unknown;
    }
  | { readonly type: 'actor-restarted'; readonly address: string; readonly generation: number }
  | {
      readonly type: 'actor-stopped';
      readonly address: string;
      readonly reason: EndReason;
      readonly error: unknown;
    }
  | {
      readonly type: 'supervisor-gave-up';
      readonly address: string;
      readonly limit: string;
      readonly error: unknown;
    }
  | {
      readonly type: 'supervisor-stopped';
      readonly address: string;
      readonly reason: SupervisorEndReason;
      readonly error: unknown;
    }
  | {
      readonly type: 'turn-disowned';
      readonly address: string;
      readonly message: string;
      /** The topic that the message was published to; absent for one that was sent to its actor. */
      readonly topic?: string | undefined;
    }
  | {
      readonly type: 'message-refused';
      readonly address: string;
      readonly message: string;
      readonly verdict: 'full' | 'stopped' | 'actor-unknown';
      readonly priority: Priority;
    }
  | {
      readonly type: 'message-dead';
      /** The dead letter's. */
      readonly id: string;
      readonly messageId: string;
      readonly address: string;
      readonly message: string;
      /** The topic it was published to, if it was. */
      readonly topic: string | undefined;
      readonly reason: DeadLetterReason;
      readonly error: unknown;
    }
  | {
      /** More than `deadLettersMax` were kept: the oldest is gone for good. */
      readonly type: 'dead-letter-evicted';
      readonly id: string;
      readonly messageId: string;
      readonly address: string;
      readonly message: string;
      readonly topic: string | undefined;
      readonly reason: DeadLetterReason;
    }
  | {
      readonly type: 'broker-state-changed';
      /** The kind of broker. */
      readonly broker: string;
      readonly state: BrokerState;
      readonly error: unknown;
    }
  | {
      /** Frames of a node that have not come: the broker lost them, or they will come late. */
      readonly type: 'frames-missing';
      readonly node: string;
      readonly stream: number;
      readonly frames: number;
    }
  /** A node of the system has come; it was lost, which is final for this life of it; or it was shut down. */
  | { readonly type: 'node-up'; readonly node: string; readonly incarnation: string }
  | { readonly type: 'node-down'; readonly node: string; readonly incarnation: string }
  | { readonly type: 'node-left'; readonly node: string; readonly incarnation: string }
  /** A shard of a group of keyed agents is this node's now; it is not any more, or may not be; or it was handed to others. */
  | {
      readonly type: 'shard-granted';
      readonly group: string;
      readonly shard: number;
      /** Greater than that of every earlier owner. */
      readonly epoch: number;
    }
  | { readonly type: 'shard-lost'; readonly group: string; readonly shard: number }
  | { readonly type: 'shard-released'; readonly group: string; readonly shard: number }
  | {
      /** Something was taken from the broker that cannot be handled: it is among the broker's dead letters. */
      readonly type: 'frame-refused';
      readonly reason: 'frame-invalid' | 'deliveries-exhausted' | 'serialization';
      readonly topic: string | undefined;
      readonly sizeBytes: number;
      readonly error: unknown;
    }
  | { readonly type: 'shutdown-phase-entered'; readonly phase: ShutdownPhase }
  | {
      readonly type: 'shutdown-task-failed';
      readonly phase: ShutdownPhase;
      /** The name it was registered by. */
      readonly task: string;
      /** What it threw; `ERR_SHUTDOWN_TIMEOUT` when its time was up. */
      readonly error: unknown;
    }
  | {
      readonly type: 'logged';
      readonly level: LogLevel;
      readonly address: string;
      readonly text: string;
      readonly fields: Readonly<Record<string, unknown>> | undefined;
    };
