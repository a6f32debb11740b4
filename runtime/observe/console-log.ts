/** The default log: what an operator must hear of, one line each, on standard error. */

import type { RuntimeEvent } from '../../src/protocol/events.ts';
import type { LogRecord } from '../../src/protocol/system.ts';

/** The line that an event deserves, if it deserves one. */
export function logRecordOf(event: RuntimeEvent): LogRecord | undefined {
  switch (event.type) {
    case 'logged':
      return { level: event.level, address: event.address, text: event.text, fields: event.fields };
    case 'actor-failed': {
      const where =
        event.message === undefined ? 'failed to start' : `failed while it handled '${event.message}'`;
      return { level: 'warn', address: event.address, text: where, fields: { error: event.error } };
    }
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
        text: `a turn of '${event.message}' was disowned and may still run`,
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
    case 'shutdown-phase-entered':
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

/** Writes a record to standard error. Debug lines are left out. */
export function writeToConsole(record: LogRecord): void {
  if (record.level === 'debug') return;
  const fields = record.fields === undefined ? '' : ` ${describeFields(record.fields)}`;
  console.error(`[troupe] ${record.level} ${record.address} ${record.text}${fields}`);
}

function describeFields(fields: Readonly<Record<string, unknown>>): string {
  return Object.entries(fields)
    .map(([name, value]) => `${name}=${value instanceof Error ? describeError(value) : String(value)}`)
    .join(' ');
}

function describeError(error: Error): string {
  const cause = error.cause instanceof Error ? ` <- ${error.cause.name}: ${error.cause.message}` : '';
  return `${error.name}: ${error.message}${cause}`;
}
