/** Bugs of death watch between nodes. */

import type { PlantedBug } from './planted-bug.ts';

const tests = ['test/unit/remote-watch.test.ts', 'test/unit/remote-watch-words.test.ts'];
const laws = ['test/property/remote-watch.property.test.ts'];
const WATCH = 'runtime/actor/watch.ts';
const WATCHES = 'runtime/remote/remote-watches.ts';
const WATCHERS = 'runtime/remote/remote-watchers.ts';

export const WATCH_BUGS: readonly PlantedBug[] = [
  {
    name: 'word of an end goes in the most urgent lane alone',
    file: WATCHERS,
    find: 'const lanes = sent === 0 ? 1 << WORD_LANE : sent;',
    replace: 'const lanes = sent === 0 ? 1 << WORD_LANE : 1 << WORD_LANE;',
    tests: laws,
  },
  {
    name: 'the first copy of word of an end counts for all',
    file: WATCHES,
    find: 'if ((watch.lanes & end.lanes) === end.lanes) this.settle(watch);',
    replace: 'if ((watch.lanes & end.lanes) !== 0) this.settle(watch);',
    tests: laws,
  },
  {
    name: 'word of an end does not wait for frames that come late',
    file: 'runtime/remote/late-frames.ts',
    find: 'if (open.size === 0) return undefined;',
    replace: 'if (open.size >= 0) return undefined;',
    tests,
  },
  {
    name: 'messages of the dead of another node hold nothing back',
    file: WATCH,
    find: 'if (envelope.sender !== undefined && isFrom(envelope.sender.address)) ofDead.add(envelope);',
    replace: '',
    tests: laws,
  },
  {
    name: 'messages of the dead that wait for room hold nothing back',
    file: WATCH,
    find: '    this.owner.mailbox?.forEachWaiting(look);\n',
    replace: '',
    tests: laws,
  },
  {
    name: 'a message that is taken back while it waits for room holds a notice back for good',
    file: 'runtime/actor/cell.ts',
    find: 'if (isGone) this.rareMade?.watches?.left(waiter.envelope);',
    replace: 'if (!isGone) this.rareMade?.watches?.left(waiter.envelope);',
    tests,
  },
  {
    name: 'a watch outlives unwatch on the other node',
    file: WATCH,
    find: '    bond.forgetElsewhere?.();\n',
    replace: '',
    tests: laws,
  },
  {
    name: 'a watch that comes behind its unwatch stays',
    file: WATCHERS,
    find: 'if (life.early.delete(id) || life.watchers.has(id)) return undefined;',
    replace: 'if (life.watchers.has(id)) return undefined;',
    tests,
  },
  {
    name: 'a node that has left is not listened to any more',
    file: WATCHES,
    find: 'if (this.ports.mail.nodes.isLost(node)) {',
    replace: 'if (node !== undefined) {',
    tests,
  },
  {
    name: 'a new life of a node does not ask again',
    file: WATCHES,
    find: 'if (watch.end === undefined) this.ask(watch);',
    replace: 'if (watch.end === undefined) continue;',
    tests,
  },
  {
    name: 'word of a watch is refused for lack of room',
    file: 'runtime/remote/outbox.ts',
    find: 'const isFull = patience.isSignal !== true && this.isFull(lane);',
    replace: 'const isFull = this.isFull(lane);',
    tests,
  },
  {
    name: 'a node that is lost leaves its watchers behind',
    file: WATCHERS,
    find: '    if (life !== undefined) this.forget(life);\n',
    replace: '',
    tests,
  },
  {
    name: 'watches of a lost node go on',
    file: 'runtime/remote/node.ts',
    find: '    this.watches.ended(node);\n',
    replace: '',
    tests: laws,
  },
];
