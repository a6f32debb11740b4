/** Where the workers of a pool over nodes should be: as many on each node as on any other, give or take one, and none is moved without need. */

/** What is to change, by node. */
export interface Arrangement {
  /** How many are to come, for each node that gets any. */
  readonly come: ReadonlyMap<string, number>;
  /** How many are to go, for each node that loses any. */
  readonly go: ReadonlyMap<string, number>;
}

/** The changes from what there is to `size` workers on these nodes; on none, all go. Nodes that have most keep most; else the first ones do. */
export function arrangementOf(
  present: ReadonlyMap<string, number>,
  nodes: readonly string[],
  size: number,
): Arrangement {
  const share = nodes.length === 0 ? 0 : Math.floor(size / nodes.length);
  const rest = nodes.length === 0 ? 0 : size % nodes.length;
  const fullest = nodes.toSorted((a, b) => (present.get(b) ?? 0) - (present.get(a) ?? 0)); // a stable order
  const wanted = new Map(fullest.map((node, index) => [node, share + (index < rest ? 1 : 0)]));
  const come = new Map<string, number>();
  const go = new Map<string, number>();
  for (const node of new Set([...nodes, ...present.keys()])) {
    const more = (wanted.get(node) ?? 0) - (present.get(node) ?? 0);
    if (more > 0) come.set(node, more);
    if (more < 0) go.set(node, -more);
  }
  return { come, go };
}
