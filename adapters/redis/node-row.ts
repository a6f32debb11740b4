/** A node's value in the table of nodes, as it is written by `scripts.ts`, and its name among others. */

import { incarnationOf } from '../../src/protocol/member-view.ts';

/** What the table says of a name. */
export interface NodeRow {
  /** As other nodes know it: with `.2` behind it in its second life, and so on. */
  readonly incarnation: string;
  readonly isAlive: boolean;
  /** How whoever had the name before has ended. */
  readonly before: 'down' | 'left';
  /** The number of what it says of itself; 0 until it says something. */
  readonly about: number;
}

/** Undefined for what no node has written. */
export function nodeRowOf(value: string): NodeRow | undefined {
  const gone = /^- (\S+) \d+ (\d+)$/.exec(value);
  if (gone !== null)
    return {
      incarnation: incarnationOf(gone[1] ?? '', Number(gone[2])),
      isAlive: false,
      before: 'down',
      about: 0,
    };
  const alive = /^(\S+) \d+ (\d+) ([dl]) (\d+) \d+$/.exec(value);
  if (alive === null) return undefined;
  return {
    incarnation: incarnationOf(alive[1] ?? '', Number(alive[2])),
    isAlive: true,
    before: alive[3] === 'd' ? 'down' : 'left',
    about: Number(alive[4]),
  };
}

/** Whether this is the value of a node that was taken out. */
export function isGone(value: string): boolean {
  return value.startsWith('- ');
}
