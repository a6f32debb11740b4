/**
 * Where an actor lives: a path of names from the root of its system, and the number of the incarnation (`uid`).
 * `/user/judge#7` is one life of that path; `/user/judge` is whichever actor holds the path now.
 */

/** A parsed address. Without a `uid` it means the present holder of the path. */
export interface Address {
  readonly path: string;
  readonly uid: number | undefined;
}

const ADDRESS = /^(\/[A-Za-z0-9_$-]+(?:\/[A-Za-z0-9_$-]+)*)(?:#([1-9][0-9]{0,15}))?$/;
const ADDRESS_CHARACTERS_MAX = 2_048;

/** Writes an address. */
export function formatAddress(path: string, uid: number): string {
  return `${path}#${uid}`;
}

/** Reads an address; undefined when the text is not one. */
export function parseAddress(text: string): Address | undefined {
  if (text.length > ADDRESS_CHARACTERS_MAX) return undefined;
  const match = ADDRESS.exec(text);
  if (match?.[1] === undefined) return undefined;
  return { path: match[1], uid: match[2] === undefined ? undefined : Number(match[2]) };
}
