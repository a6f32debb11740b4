/** What `npm run test:mutants` breaks, area by area, and the tests that should notice. */

/** Files that are mutated together, since the same tests know them. */
export interface Area {
  readonly folder: string;
  readonly files: readonly string[];
  readonly tests: readonly string[];
}

/** Tests in which supervisors, and actors under them, live and end. */
const TREES = [
  'test/unit/supervisor.test.ts',
  'test/unit/supervisor-order.test.ts',
  'test/unit/actor-child.test.ts',
  'test/unit/branch.test.ts',
  'test/unit/dynamic-supervisor.test.ts',
  'test/unit/group-restart.test.ts',
  'test/unit/lifecycle.test.ts',
  'test/unit/kill-and-drain.test.ts',
  'test/unit/inspection.test.ts',
  'test/unit/system.test.ts',
  'test/unit/shutdown.test.ts',
  'test/model/supervisor-tree.model.test.ts',
];

/** Tests in which messages go every way there is. */
const MESSAGES = [
  'test/unit/actor.test.ts',
  'test/unit/ask.test.ts',
  'test/unit/expiry.test.ts',
  'test/unit/rejected.test.ts',
  'test/unit/dead-letters.test.ts',
  'test/unit/replay.test.ts',
  'test/model/actor.model.test.ts',
];

export const AREAS: Readonly<Record<string, Area>> = {
  mailbox: {
    folder: 'runtime/actor',
    files: ['heap.ts', 'mailbox.ts', 'admission.ts'],
    tests: [
      'test/unit/heap.test.ts',
      'test/unit/admission.test.ts',
      'test/unit/mailbox.test.ts',
      'test/unit/expiry.test.ts',
      'test/property/heap.property.test.ts',
      'test/property/mailbox.property.test.ts',
      'test/model/mailbox.model.test.ts',
    ],
  },
  supervision: {
    folder: 'runtime/supervision',
    files: [
      'actor-child.ts',
      'backoff.ts',
      'branch.ts',
      'control.ts',
      'pause.ts',
      'refs.ts',
      'restart-window.ts',
      'restart.ts',
      'strategy.ts',
      'supervisor-settings.ts',
      'supervisor.ts',
      'tree.ts',
    ],
    tests: [
      ...TREES,
      'test/unit/backoff.test.ts',
      'test/unit/restart-window.test.ts',
      'test/unit/strategy.test.ts',
    ],
  },
  turns: {
    folder: 'runtime/actor',
    files: ['cell.ts', 'lifecycle.ts', 'hooks.ts', 'outcomes.ts', 'rare.ts', 'kernel.ts', 'promise-in.ts'],
    tests: [
      ...MESSAGES,
      'test/unit/acting-observer.test.ts',
      'test/unit/actor-child.test.ts',
      'test/unit/bus-request.test.ts',
      'test/unit/group-restart.test.ts',
      'test/unit/idle-timeout.test.ts',
      'test/unit/kernel.test.ts',
      'test/unit/lifecycle.test.ts',
      'test/unit/shutdown.test.ts',
      'test/unit/kill-and-drain.test.ts',
      'test/unit/outcomes.test.ts',
      'test/unit/promise-in.test.ts',
      'test/unit/router.test.ts',
      'test/unit/scheduler.test.ts',
      'test/unit/supervisor.test.ts',
      'test/unit/stash.test.ts',
      'test/unit/timers.test.ts',
      'test/unit/turn-end.test.ts',
      'test/unit/watch.test.ts',
      'test/unit/link.test.ts',
      'test/integration/telemetry-metrics.test.ts',
      'test/integration/telemetry-spans.test.ts',
    ],
  },
  watch: {
    folder: 'runtime/actor',
    files: ['watch.ts', 'control-lane.ts'],
    tests: [
      'test/unit/control-lane.test.ts',
      'test/unit/watch.test.ts',
      'test/unit/link.test.ts',
      'test/unit/lifecycle.test.ts',
      'test/unit/actor.test.ts',
      'test/unit/timers.test.ts',
      'test/unit/inspection.test.ts',
      'test/property/actor-watch.property.test.ts',
    ],
  },
  timers: {
    folder: 'runtime/actor',
    files: ['timers.ts', 'idle-timeout.ts'],
    tests: [
      'test/unit/timers.test.ts',
      'test/unit/idle-timeout.test.ts',
      'test/unit/inspection.test.ts',
      'test/unit/bad-input.test.ts',
      'test/property/timers.property.test.ts',
    ],
  },
  calls: {
    folder: 'runtime/actor',
    files: [
      'local-ref.ts',
      'context.ts',
      'pending.ts',
      'call-options.ts',
      'behaviour.ts',
      'default-directive.ts',
    ],
    tests: [
      ...MESSAGES,
      'test/unit/agent.test.ts',
      'test/unit/bad-input.test.ts',
      'test/unit/behaviour.test.ts',
      'test/unit/call-options.test.ts',
      'test/unit/context.test.ts',
      'test/unit/pending.test.ts',
      'test/unit/default-directive.test.ts',
      'test/unit/dynamic-supervisor.test.ts',
      'test/unit/idle-timeout.test.ts',
      'test/unit/inspection.test.ts',
      'test/unit/kill-and-drain.test.ts',
      'test/unit/lifecycle.test.ts',
      'test/unit/link.test.ts',
      'test/unit/registry.test.ts',
      'test/unit/schema.test.ts',
      'test/unit/shutdown.test.ts',
      'test/unit/stash.test.ts',
      'test/unit/system.test.ts',
      'test/unit/trace-headers.test.ts',
      'test/unit/watch.test.ts',
      'test/integration/telemetry-metrics.test.ts',
      'test/integration/telemetry-spans.test.ts',
    ],
  },
  letters: {
    folder: 'runtime/actor',
    files: [
      'dead-letters.ts',
      'kept-letter.ts',
      'letter.ts',
      'letter-filter.ts',
      'replay.ts',
      'inspection.ts',
    ],
    tests: [
      'test/unit/dead-letters.test.ts',
      'test/unit/replay.test.ts',
      'test/unit/rejected.test.ts',
      'test/unit/inspection.test.ts',
      'test/unit/bad-input.test.ts',
      'test/unit/supervisor.test.ts',
    ],
  },
};
