/**
 * A program that a signal ends, for a test to run as a process of its own: works off jobs and says what it does. The
 * argument says how: `clean` lets go of everything, `open` leaves a timer running, `stuck` has a turn that never ends.
 */

import { agent, createSystem, protocol, tell, type } from '../../src/index.ts';

const JOB_MS = 40;
const JOBS = 3;
const way = process.argv[2];
const say = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

const Jobs = protocol('jobs', { work: tell(type<number>()) });
const jobs = agent(Jobs, {
  on: {
    work: (_ctx, n) =>
      way === 'stuck'
        ? new Promise<void>(() => undefined)
        : new Promise<void>((resolve) => {
            setTimeout(() => {
              say(`job ${n}`);
              resolve();
            }, JOB_MS);
          }),
  },
  onStop: () => say('stopped'),
});

const system = await createSystem({ name: 'program', signals: true, log: false });
const ref = await system.spawn(jobs);
for (let n = 1; n <= JOBS; n++) ref.tell('work', n);
const timer = setInterval(() => undefined, 1_000);
system.onShutdown('announce', 'said', () => say('announced'));
system.onShutdown('close', 'timer', () => {
  if (way === 'clean') clearInterval(timer);
  say('closed');
});
say('ready');
