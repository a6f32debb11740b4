/**
 * Where topics go: the table of all interests as this node last saw it, and the streams that follow from it. The server compares versions at
 * each publish, so a table that is out of date is never used.
 */

import type { Lane } from '../../src/protocol/broker.ts';
import { patternMatcher } from '../../src/protocol/pattern.ts';
import type { Keys } from './keys.ts';

interface Interest {
  readonly fits: (topic: string) => boolean;
  readonly key: (lane: Lane) => string;
  /** A node that listens by several patterns gets one copy. */
  readonly place: string;
}

/** Topics whose places are remembered between two changes; with one more, all are worked out anew. */
const TOPICS_MAX = 10_000;

/** The table of one node. */
export class Interests {
  version = '';
  private readonly keys: Keys;
  private all: readonly Interest[] = [];
  private readonly places = new Map<string, readonly Interest[]>();

  constructor(keys: Keys) {
    this.keys = keys;
  }

  /** What the server says now. */
  replace(version: string, fields: readonly string[]): void {
    this.version = version;
    this.places.clear();
    this.all = fields.flatMap((field) => {
      const [kind, name, pattern] = field.split(' ');
      if (name === undefined || pattern === undefined) return [];
      const { keys } = this;
      const fits = patternMatcher(pattern);
      if (kind === 'n') return [{ fits, place: `n ${name}`, key: (lane: Lane) => keys.inbox(name, lane) }];
      return [{ fits, place: field, key: (lane: Lane) => keys.group(name, pattern, lane) }];
    });
  }

  /** The streams of a topic in a lane. */
  streams(topic: string, lane: Lane): readonly string[] {
    let places = this.places.get(topic);
    if (places === undefined) {
      const byPlace = new Map(this.all.filter(({ fits }) => fits(topic)).map((each) => [each.place, each]));
      places = [...byPlace.values()];
      if (this.places.size >= TOPICS_MAX) this.places.clear();
      this.places.set(topic, places);
    }
    return places.map(({ key }) => key(lane));
  }
}
