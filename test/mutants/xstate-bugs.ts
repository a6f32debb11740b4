/** Bugs of state machines as agents. */

import type { PlantedBug } from './planted-bug.ts';

const tests = ['test/unit/xstate.test.ts'];
const FEATURES = ['test/unit/xstate-features.test.ts'];
const LAWS = ['test/property/xstate.property.test.ts'];
const DRIVING = ['test/unit/driving.test.ts'];
const STEPS = 'adapters/xstate/steps.ts';
const RUN = 'adapters/xstate/machine-run.ts';
const SYSTEM = 'adapters/xstate/machine-system.ts';

export const XSTATE_BUGS: readonly PlantedBug[] = [
  {
    name: 'actions of the initial state run before the machine is there',
    file: STEPS,
    find: 'if (this.isStarted) execute(action);',
    replace: 'if (this.isStarted || action !== undefined) execute(action);',
    tests: LAWS,
  },
  {
    name: 'an event that comes in the middle of a step is a step in the step',
    file: RUN,
    find: 'if (this.steps.isStepping || this.failure !== undefined) {',
    replace: 'if (this.failure !== undefined) {',
    tests: LAWS,
  },
  {
    name: 'an event that comes with a failure does not wait for what is decided',
    file: RUN,
    find: 'if (this.steps.isStepping || this.failure !== undefined) {',
    replace: 'if (this.steps.isStepping) {',
    tests,
  },
  {
    name: 'a machine whose action has ended its agent goes on',
    file: STEPS,
    find: 'while (!around.isOver && this.deferred.length > 0)',
    replace: 'while (this.deferred.length > 0)',
    tests,
  },
  {
    name: 'what a failed step has led to is kept',
    file: STEPS,
    find: '        this.snapshot = before;\n',
    replace: '        this.snapshot = before ?? snapshot;\n        this.snapshot = snapshot;\n',
    tests,
  },
  {
    name: 'a delayed event takes the place of another with its id',
    file: SYSTEM,
    find: 'const key = this.keys.has(place) ?',
    replace: 'const key = place === undefined ?',
    tests: FEATURES,
  },
  {
    name: 'a child that was about to be stopped when a step failed lives on',
    file: SYSTEM,
    find: 'if (actor._processingStatus === STOPPED) this.started.delete(actor);',
    replace: 'if (actor._processingStatus <= STOPPED) this.started.delete(actor);',
    tests,
  },
  {
    name: 'a question that has timed out is answered',
    file: 'adapters/xstate/waiting-asks.ts',
    find: 'if (ask.token.isOpen && !answered(ask, snapshot)) this.waiting.push(ask);',
    replace: 'if (!answered(ask, snapshot)) this.waiting.push(ask);',
    tests,
  },
  {
    name: 'the payload of a message may name another event',
    file: 'adapters/xstate/handlers.ts',
    find: '{ ...payload, type: name }',
    replace: '{ type: name, ...payload }',
    tests,
  },
  {
    name: 'what was posted is left to the next generation',
    file: 'runtime/actor/driving.ts',
    find: '    this.actor.mailbox?.controlIfAny?.drop((item) => item.entry === this.entry);\n',
    replace: '',
    tests: DRIVING,
  },
  {
    name: 'one more is posted than the mailbox holds',
    file: 'runtime/actor/driving.ts',
    find: 'if (this.posted >= capacity) {',
    replace: 'if (this.posted > capacity) {',
    tests: DRIVING,
  },
];
