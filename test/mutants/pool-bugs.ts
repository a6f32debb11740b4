/** Bugs of pools over nodes, and of stops that travel. */

import type { PlantedBug } from './planted-bug.ts';

const faults = ['test/unit/pool-nodes-faults.test.ts'];
const laws = ['test/property/pool-nodes.property.test.ts'];
const COURIER = 'runtime/pool/courier.ts';
const POOL = 'runtime/pool/nodes-pool.ts';
const PLACEMENTS = 'runtime/remote/placements.ts';
const WATCHES = 'runtime/remote/remote-watches.ts';

export const POOL_BUGS: readonly PlantedBug[] = [
  {
    name: 'a worker whose node is lost is not replaced',
    file: POOL,
    find: 'const isReplaced = wasSentAway || (worker instanceof CourierCell && worker.isLost);',
    replace: 'const isReplaced = wasSentAway;',
    tests: laws,
  },
  {
    name: 'a worker comes before the one that makes room for it has gone',
    file: POOL,
    find: 'n < count && this.workers.size < this.wanted; n++',
    replace: 'n < count; n++',
    tests: faults,
  },
  {
    name: 'a job that nobody has begun is taken for handled',
    file: COURIER,
    find: 'turn.stash(); // nobody',
    replace: '// nobody',
    tests: laws,
  },
  {
    name: 'a worker that is told to end while it starts stays',
    file: COURIER,
    find: 'if (signal.aborted || this.isEnding) outpost.stop();',
    replace: 'if (signal.aborted) outpost.stop();',
    tests: faults,
  },
  {
    name: 'a worker outlives its courier',
    file: COURIER,
    find: 'end: () => outpost.stop() });',
    replace: 'end: () => undefined });',
    tests: laws,
  },
  {
    name: 'a worker that ended for good is taken for one that was lost, where a job was on its way',
    file: COURIER,
    find: 'if (this.outpost !== undefined) this.lose(); // else',
    replace: 'this.lose(); // else',
    tests: faults,
  },
  {
    name: 'workers outlive the node of their pool',
    file: PLACEMENTS,
    find: '    this.wards.ended({ name, incarnation });',
    replace: '',
    tests: laws,
  },
  {
    name: 'workers outlive what the others know of their node',
    file: PLACEMENTS,
    find: '    this.wards.endAll();',
    replace: '',
    tests: faults,
  },
  {
    name: 'a job of a node that is lost waits for ever',
    file: 'runtime/remote/node.ts',
    find: '    this.jobs.ended(node);',
    replace: '',
    tests: laws,
  },
  {
    name: 'a job that may have been begun is given to another worker',
    file: 'runtime/remote/jobs.ts',
    find: "this.end(job, { outcome: 'lost', error: undefined });",
    replace: "this.end(job, { outcome: 'absent', error: undefined });",
    tests: faults,
  },
  {
    name: 'a job that came too late for a node that left is lost',
    file: 'runtime/remote/far-outposts.ts',
    find: 'jobs.actorEnded(this.worker);',
    replace: 'void jobs;',
    tests: faults,
  },
  {
    name: 'word of an end goes ahead of the ends of jobs',
    file: 'runtime/actor/lifecycle.ts',
    find: '  cell.settled();\n  cell.rare.watches?.ended(reason, error);',
    replace: '  cell.rare.watches?.ended(reason, error);\n  cell.settled();',
    tests: faults,
  },
  {
    name: 'a worker that restarts gets a job meanwhile',
    file: 'runtime/remote/labour.ts',
    find: 'actor.whenSettled(() => labour.say(arrival, actor, outcome, error));',
    replace: 'labour.say(arrival, actor, outcome, error);',
    tests: ['test/unit/pool-nodes.test.ts'],
  },
  {
    name: 'an actor of a lost node is taken for stopped',
    file: WATCHES,
    find: "end.reason === 'nodedown' ? reject(nodeDown(place.node)) : resolve();",
    replace: 'resolve();',
    tests: ['test/unit/remote-stop.test.ts'],
  },
  {
    name: 'a stop is sent as a watch',
    file: WATCHES,
    find: "stop === undefined ? 'watch' : 'stop'",
    replace: "stop === undefined ? 'watch' : 'watch'",
    tests: ['test/unit/remote-watch-words.test.ts', 'test/unit/remote-stop.test.ts'],
  },
];
