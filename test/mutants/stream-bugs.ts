/** Bugs of streams. */

import type { PlantedBug } from './planted-bug.ts';

const tests = ['test/unit/stream.test.ts'];
const laws = ['test/property/stream.property.test.ts'];
const READER = 'runtime/actor/part-reader.ts';
const PENDING = 'runtime/actor/pending-stream.ts';
const PRODUCTION = 'runtime/actor/production.ts';

export const STREAM_BUGS: readonly PlantedBug[] = [
  {
    name: 'a stream sends one part more than its window',
    file: PENDING,
    find: 'return this.isSettled ? Infinity : this.window - this.unread;',
    replace: 'return this.isSettled ? Infinity : this.window + 1 - this.unread;',
    tests: laws,
  },
  {
    name: 'a stream counts a part as taken when it has come',
    file: PENDING,
    find: '    this.unread++;\n',
    replace: '',
    tests: laws,
  },
  {
    name: 'what had come is read after an abort',
    file: READER,
    find: 'if (this.end === undefined) this.parts = [];',
    replace: '',
    tests: laws,
  },
  {
    name: 'what had come is lost with a failure',
    file: READER,
    find: '    this.ended({ error });\n',
    replace: '    this.parts = [];\n    this.ended({ error });\n',
    tests: laws,
  },
  {
    name: 'what had come is lost at the timeout',
    file: PENDING,
    find: '    super.withdraw(this.timeoutError());\n',
    replace: '    this.withdraw(this.timeoutError());\n',
    tests: laws,
  },
  {
    name: 'the end of a stream is read twice',
    file: READER,
    find: 'if (this.isRead) return Promise.resolve(DONE);',
    replace: '',
    tests: laws,
  },
  {
    name: 'whoever waits longest for a part is told last that there is none',
    file: READER,
    find: 'else first.fulfil({ done: true, value: end.result });',
    replace: 'else void Promise.resolve().then(() => first.fulfil({ done: true, value: end.result }));',
    tests: laws,
  },
  {
    name: 'a reader that breaks off does not tell its producer',
    file: PENDING,
    find: '    this.takeBack(reason);\n',
    replace: '',
    tests: laws,
  },
  {
    name: 'the generator of an aborted turn is left where it is',
    file: PRODUCTION,
    find: 'await this.generator.return(undefined);',
    replace: '',
    tests: laws,
  },
  {
    name: 'a producer that is held up does not hear of the abort',
    file: PRODUCTION,
    find: '    this.abortion = { reason, closed: this.close() };\n    this.wake();\n',
    replace: '    this.abortion = { reason, closed: this.close() };\n',
    tests: laws,
  },
  {
    name: 'an aborted turn ends before its finally has',
    file: PRODUCTION,
    find: '  await closed;\n',
    replace: '  void closed;\n',
    tests,
  },
  {
    name: 'the time of a turn runs on while it is held up',
    file: PRODUCTION,
    find: '    turn.pauseTime();\n',
    replace: '',
    tests,
  },
  {
    name: 'the time of a turn does not run on after it was held up',
    file: PRODUCTION,
    find: '    turn.resumeTime();\n',
    replace: '',
    tests,
  },
  {
    name: 'a stream whose parts were seen is tried again',
    file: 'runtime/actor/cell.ts',
    find: '!turn.isStashed && turn.production === undefined',
    replace: '!turn.isStashed',
    tests,
  },
  {
    name: 'a stream is asked for before anybody reads it',
    file: READER,
    find: '    this.open = open;\n',
    replace: '    this.open = open;\n    this.begin();\n',
    tests,
  },
  {
    name: 'streams leave timers no go',
    file: PRODUCTION,
    find: 'if (pause !== undefined) await pause;',
    replace: '',
    tests,
  },
];
