/** The default log: what an operator must hear of, one line each, on standard error. */

import type { RuntimeEvent } from '../../src/protocol/events.ts';
import type { LogRecord } from '../../src/protocol/system.ts';

/** The line that an event deserves, if it deserves one. */
export function logRecordOf(event: RuntimeEvent): LogRecord | undefined {
  switch (event.type) {
    case 'logged':
      return { level: event.level, address: event.address, text: event.text, fields: event.fields };
    case 'actor-failed':
      return {
        level: 'warn',
        address: event.address,
        text: failureOf(event.message, event.topic),
        fields: { error: event.error },
      };
    case 'supervisor-gave-up':
      return {
        level: 'error',
        address: event.address,
        text: `gave up: ${event.limit}`,
        fields: { error: event.error },
      };
    case 'turn-disowned':
      return {
        level: 'warn',
        address: event.address,
        text: `a turn of ${messageOf(event.message, event.topic)} was disowned and may still run`,
        fields: undefined,
      };
    case 'shutdown-task-failed':
      return {
        level: 'error',
        address: '/',
        text: `the task '${event.task}' of the shutdown phase '${event.phase}' failed`,
        fields: { error: event.error },
      };
    case 'broker-state-changed':
      return {
        level: event.state === 'up' ? 'info' : 'warn',
        address: '/',
        text: `the ${event.broker} broker is ${event.state}`,
        fields: event.error === undefined ? undefined : { error: event.error },
      };
    case 'frames-missing':
      return {
        level: 'warn',
        address: '/',
        text: `${event.frames} frames of stream ${event.stream} from node '${event.node}' have not come`,
        fields: undefined,
      };
    case 'frame-refused':
      return {
        level: 'error',
        address: '/',
        text: `a frame of ${event.sizeBytes} bytes was refused (${event.reason}) and is a dead letter of the broker`,
        fields: event.error === undefined ? undefined : { error: event.error },
      };
    case 'node-up':
    case 'node-left':
      return {
        level: 'info',
        address: '/',
        text: `node '${event.node}' ${SAID_OF[event.type]}`,
        fields: undefined,
      };
    case 'node-down':
      return { level: 'warn', address: '/', text: `node '${event.node}' was lost`, fields: undefined };
    case 'shutdown-phase-entered':
    case 'shard-granted':
    case 'shard-lost':
    case 'shard-released':
    case 'actor-started':
    case 'actor-restarting':
    case 'actor-restarted':
    case 'actor-stopped':
    case 'supervisor-stopped':
    case 'message-refused':
    case 'message-dead':
    case 'dead-letter-evicted':
      break;
  }
  return undefined;
}

const SAID_OF = { 'node-up': 'has come', 'node-left': 'has left' } as const;

/** What failed: a subscriber knows a message by its topic, an agent by its name. */
function failureOf(message: string | undefined, topic: string | undefined): string {
  if (message === undefined) return 'failed to start';
  return `failed while it handled ${messageOf(message, topic)}`;
}

function messageOf(message: string, topic: string | undefined): string {
  return topic === undefined ? `'${message}'` : `a message of topic '${topic}'`;
}

/** Characters that end a line or steer a terminal: what a model or a mail has written must do neither. */
const CONTROLS = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu;

/** Writes a record to standard error, as one line. Debug lines are left out. */
export function writeToConsole(record: LogRecord): void {
  if (record.level === 'debug') return;
  const fields = record.fields === undefined ? '' : ` ${describeFields(record.fields)}`;
  const line = `[troupe] ${record.level} ${record.address} ${record.text}${fields}`;
  console.error(line.replace(CONTROLS, escaped));
}

function escaped(character: string): string {
  if (character === '\n') return '\\n';
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

function describeFields(fields: Readonly<Record<string, unknown>>): string {
  return Object.entries(fields)
    .map(([name, value]) => `${name}=${describeField(value)}`)
    .join(' ');
}

/** Whatever was thrown or logged; its own code may fail when it is read, and the line is written all the same. */
function describeField(value: unknown): string {
  try {
    return value instanceof Error ? describeError(value) : String(value);
  } catch {
    return 'a value that cannot be read';
  }
}

function describeError(error: Error): string {
  const cause = error.cause instanceof Error ? ` <- ${error.cause.name}: ${error.cause.message}` : '';
  return `${error.name}: ${error.message}${cause}`;
}
