/** Bugs of streams. */

import type { PlantedBug } from './planted-bug.ts';

const tests = ['test/unit/stream.test.ts'];
const laws = ['test/property/stream.property.test.ts'];
const READER = 'runtime/actor/part-reader.ts';
const PENDING = 'runtime/actor/pending-stream.ts';
const far = ['test/property/remote-stream.property.test.ts', 'test/unit/remote-stream.test.ts'];
const REMOTE = 'runtime/remote/remote-stream.ts';
const CUSTOMER = 'runtime/remote/stream-customer.ts';
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
    find: '!turn.isStashed && (partsCustomerOf(envelope)?.parts ?? 0) === 0',
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
  {
    name: 'a part of another node that comes before its time is passed over',
    file: REMOTE,
    find: 'if (number <= this.received || this.early.has(number)) return true;',
    replace: 'if (number !== this.received + 1) return true;',
    tests: far,
  },
  {
    name: 'parts of another node are read as they come',
    file: REMOTE,
    find: '    for (let next = this.received + 1; this.early.has(next); next = this.received + 1) {\n',
    replace: '    for (const next of this.early.keys()) {\n',
    tests: far,
  },
  {
    name: 'the end of a stream of another node does not wait for its parts',
    file: REMOTE,
    find: 'this.received >= this.end.parts',
    replace: 'this.received >= 0',
    tests: far,
  },
  {
    name: 'a copy of a part is read again',
    file: REMOTE,
    find: 'if (number <= this.received || this.early.has(number)) return true;',
    replace: 'if (number <= this.received) this.reading.reader.take(value);',
    tests: far,
  },
  {
    name: 'a reader tells the other node of no demand',
    file: REMOTE,
    find: '    this.streamPorts.demand(this, demanded);\n',
    replace: '',
    tests: far,
  },
  {
    name: 'a reader that breaks off does not tell the other node',
    file: REMOTE,
    find: '    this.takeBack(reason);\n',
    replace: '',
    tests: far,
  },
  {
    name: 'a demand that comes late takes a later one back',
    file: CUSTOMER,
    find: 'this.demanded = Math.max(this.demanded, parts);',
    replace: 'this.demanded = parts;',
    tests: far,
  },
  {
    name: 'a producer sends as much to another node as it may to any',
    file: 'runtime/remote/deliveries.ts',
    find: 'return Math.min(Math.max(1, partsIn(correlationId) ?? 1), STREAM_WINDOW_MAX);',
    replace: 'return Math.max(partsIn(correlationId) ?? 1, STREAM_WINDOW_MAX);',
    tests: far,
  },
  {
    name: 'a part that cannot be sent is passed over',
    file: CUSTOMER,
    find: '    } catch (error) {\n      this.fail(error);\n',
    replace: '    } catch {\n',
    tests: far,
  },
  {
    name: 'a stream goes on for readers who have given its node up',
    file: 'runtime/remote/deliveries.ts',
    find: 'if (customer instanceof StreamCustomer) customer.cancel(reason);',
    replace: '',
    tests: far,
  },
  {
    name: 'the time of a turn begins anew after each wait for its reader',
    file: 'runtime/actor/context.ts',
    find: '- (now - startedAt - unusual.heldMs)',
    replace: '',
    tests,
  },
  {
    name: 'a part is lost where the outbox is full',
    file: 'runtime/remote/mail.ts',
    find: 'timeoutMs: timeoutUntil(kernel, dueAt), waitsForRoom: true }',
    replace: 'timeoutMs: timeoutUntil(kernel, dueAt), waitsForRoom: false }',
    tests: far,
  },
];
