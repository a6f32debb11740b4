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
  'test/unit/dynamic-supervisor.test.ts',
  'test/unit/group-restart.test.ts',
  'test/unit/lifecycle.test.ts',
  'test/unit/kill-and-drain.test.ts',
  'test/unit/inspection.test.ts',
  'test/unit/system.test.ts',
  'test/unit/shutdown.test.ts',
  'test/otp/replay.test.ts',
  'test/model/supervisor-tree.model.test.ts',
];

export const AREAS: Readonly<Record<string, Area>> = {
  mailbox: {
    folder: 'runtime/actor',
    files: ['heap.ts', 'mailbox.ts', 'admission.ts'],
    tests: [
      'test/unit/heap.test.ts',
      'test/unit/admission.test.ts',
      'test/unit/mailbox.test.ts',
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
};
