/**
 * Where an actor lives: a path of names from the root of its system, and the number of the incarnation (`uid`).
 * `/user/judge#7` is one life of that path; `/user/judge` is whichever actor holds the path now. Other nodes put the node before it:
 * `//b@k2j9x1/user/judge#7` is that life of the actor in that life of node `b`, `//b/user/judge` whoever holds the path there now, and
 * `//b:judge` whoever holds that name there now.
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

/** A place as other nodes name it. */
export interface NodePlace {
  readonly node: string;
  /** The life of the node that is meant; undefined for whichever lives now. */
  readonly incarnation: string | undefined;
  /** An address, or a name, as the node itself takes it. */
  readonly local: string;
}

const NODE_PLACE =
  /^\/\/([A-Za-z0-9][A-Za-z0-9_-]{0,63})(?:@([a-z0-9]{1,32}(?:\.[0-9]{1,9})?))?(?:(\/.+)|:(.+))$/;

/** Whether a text names a node before a place. */
export function namesNode(text: string): boolean {
  return text.startsWith('//');
}

/** Writes a place of a node. */
export function formatNodePlace({ node, incarnation, local }: NodePlace): string {
  const life = incarnation === undefined ? '' : `@${incarnation}`;
  return `//${node}${life}${local.startsWith('/') ? '' : ':'}${local}`;
}

/** Reads a place of a node; undefined when the text is not one. */
export function parseNodePlace(text: string): NodePlace | undefined {
  if (text.length > 2 * ADDRESS_CHARACTERS_MAX) return undefined;
  const [, node, incarnation, address, name] = NODE_PLACE.exec(text) ?? [];
  const local = address ?? name;
  if (node === undefined || local === undefined || !isLocalPlace(local)) return undefined;
  return { node, incarnation, local };
}

/** Whether a text is a name, names joined by `/`, or an address. */
export function isLocalPlace(text: string): boolean {
  const isAddress = text.startsWith('/');
  const parsed = parseAddress(isAddress ? text : `/${text}`);
  return parsed !== undefined && (isAddress || parsed.uid === undefined);
}
