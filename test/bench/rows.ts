/** The rows of the core benchmark: what each measures, by which programs, and what it must reach. */

/** A program of a row: its path below this folder, without extension, and its arguments. */
export interface RowProgram {
  readonly path: string;
  readonly parameters: readonly string[];
}

/** What a row must reach: a share of the limit, or a number of bytes. */
export type Target =
  | { readonly type: 'ratio-at-least'; readonly ratio: number }
  | { readonly type: 'bytes-at-most'; readonly bytes: number }
  /** Measured and printed, so that nobody takes another row for it. */
  | { readonly type: 'none' };

/** The names of the rows, as `--only` and `--json` spell them. */
export type RowName =
  | 'tell'
  | 'pingPong'
  | 'ring'
  | 'fanOut'
  | 'ask'
  | 'spawn'
  | 'bytesPerActor'
  | 'bytesPerActorTold'
  | 'topics';

/** One row. */
export interface Row {
  readonly name: RowName;
  readonly title: string;
  readonly limit: RowProgram;
  readonly troupe: RowProgram;
  readonly target: Target;
}

/** Topics that have a subscriber, beside the one that is published to. */
const OTHER_TOPICS_FEW = '1';
const OTHER_TOPICS_MANY = '100000';

/** All rows, in the order in which they are measured and printed. */
export const ROWS: readonly Row[] = [
  row('tell', 'tell, windows of 1,000, messages/s', 'tell', 0.4),
  row('pingPong', 'ping-pong, round trips/s', 'ping-pong', 0.4),
  row('ring', 'ring of 1,000, hops/s', 'ring', 0.4),
  row('fanOut', 'fan-out 1 to 100, deliveries/s', 'fan-out', 0.4),
  row('ask', 'sequential ask, round trips/s', 'ask', 0.45),
  row('spawn', 'spawn, actors/s', 'spawn', 0.5),
  {
    name: 'bytesPerActor',
    title: 'memory, bytes an idle actor',
    limit: program('limit/bytes'),
    troupe: program('troupe/bytes'),
    target: { type: 'bytes-at-most', bytes: 600 },
  },
  {
    name: 'bytesPerActorTold',
    title: 'memory, the same after one message',
    limit: program('limit/bytes', 'told'),
    troupe: program('troupe/bytes', 'told'),
    target: { type: 'none' },
  },
  {
    // "The same" on a shared machine: what 100,000 subscribers cost the processor's caches is within it, a search
    // that grows with their number is far outside.
    name: 'topics',
    title: 'topics, publishes/s, 1 / 100,000 others',
    limit: program('troupe/topics', OTHER_TOPICS_FEW),
    troupe: program('troupe/topics', OTHER_TOPICS_MANY),
    target: { type: 'ratio-at-least', ratio: 0.8 },
  },
];

function row(name: RowName, title: string, path: string, ratio: number): Row {
  return {
    name,
    title,
    limit: program(`limit/${path}`),
    troupe: program(`troupe/${path}`),
    target: { type: 'ratio-at-least', ratio },
  };
}

function program(path: string, ...parameters: readonly string[]): RowProgram {
  return { path, parameters };
}
