/** An agent that does what a recorded child did: it starts or fails to, ends when it is told to, and logs its hooks. */

import { agent, protocol, type Ref, tell, type } from 'troupe';
import type { ExitReason, LogLine, RecordedChild } from './trace.ts';

const Performer = protocol('performer', { exit: tell(type<Exclude<ExitReason, 'kill'>>()) });

/** The ref of a performer. */
export type PerformerRef = Ref<typeof Performer>;

/** The log of one scenario, and how often each child was started. */
export class Stage {
  private lines: LogLine[] = [];
  private readonly starts = new Map<string, number>();

  write(line: LogLine): void {
    this.lines.push(line);
  }

  /** The number of this start of that child, from 1. */
  nextStart(id: string): number {
    const number = (this.starts.get(id) ?? 0) + 1;
    this.starts.set(id, number);
    return number;
  }

  /** What was written since the last call. */
  take(): readonly LogLine[] {
    const taken = this.lines;
    this.lines = [];
    return taken;
  }
}

/** A child of a supervisor that performs `recorded` under the name `id`. */
export function performer(stage: Stage, id: string, recorded: RecordedChild) {
  // The instance that lives: the log has the last hook of each, and an instance that was left has had its own.
  let living: { told: ExitReason | undefined } | undefined;
  const terminate = (reason: string): unknown => {
    if (living === undefined) return undefined;
    stage.write(['terminate', id, living.told ?? reason]);
    const isToldBySupervisor = living.told === undefined;
    living = undefined;
    return recorded.hangs_in_terminate && isToldBySupervisor ? new Promise(() => undefined) : undefined;
  };
  const definition = agent(Performer, {
    state: () => {
      living = undefined;
      const number = stage.nextStart(id);
      if (recorded.failing_start_attempts.includes(number)) {
        stage.write(['start_failed', id, number]);
        throw new Error(`start ${number} of ${id}`);
      }
      stage.write(['start', id, number]);
      living = { told: undefined };
    },
    on: {
      exit: (ctx, reason) => {
        if (living !== undefined) living.told = reason;
        if (reason === 'crash') throw new Error('crash');
        ctx.stopSelf(reason === 'normal' ? 'normal' : 'shutdown');
      },
    },
    onRestart: () => terminate('shutdown'),
    onStop: () => terminate('shutdown'),
  });
  return definition.child({
    restart: recorded.restart,
    significant: recorded.significant,
    shutdownMs: shutdownMs(recorded.shutdown),
    backoff: { minMs: 0, maxMs: 0 },
  });
}

function shutdownMs(shutdown: RecordedChild['shutdown']): number | 'brutal-kill' {
  if (shutdown === 'infinity') return Infinity;
  return shutdown === 'brutal_kill' ? 'brutal-kill' : shutdown;
}
