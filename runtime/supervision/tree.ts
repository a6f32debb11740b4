/** The supervision tree as a copy for users. */

import type { TreeNode } from '../../src/protocol/system.ts';
import type { Cell } from '../actor/cell.ts';
import { statusOf } from '../actor/inspection.ts';
import { ActorChild } from './actor-child.ts';
import { Branch } from './branch.ts';
import { Supervisor } from './supervisor.ts';

/** A supervisor and everything below it. */
export function treeOf(name: string, supervisor: Supervisor, status: TreeNode['status']): TreeNode {
  const { path } = supervisor.settings;
  return { name, address: path, kind: 'supervisor', status, generation: 0, children: childrenOf(supervisor) };
}

/** The living actor at a path below `supervisor`, given by its names. */
export function findCell(supervisor: Supervisor, names: readonly string[]): Cell | undefined {
  const [name, ...rest] = names;
  const child = name === undefined ? undefined : supervisor.find(name);
  if (child instanceof Branch) return findCell(child.supervisor, rest);
  if (!(child instanceof ActorChild)) return undefined;
  const { cell } = child;
  if (rest.length === 0) return cell;
  const below = cell?.rareIfAny?.children;
  return below instanceof Supervisor ? findCell(below, rest) : undefined;
}

/** The supervisor below `root` that is given by its names, and whoever knows its status; without names `root` itself. */
export function findSupervisor(
  root: Supervisor,
  names: readonly string[],
  status: () => TreeNode['status'],
): { readonly supervisor: Supervisor; readonly status: () => TreeNode['status'] } | undefined {
  const [name, ...rest] = names;
  if (name === undefined) return { supervisor: root, status };
  const child = root.find(name);
  return child instanceof Branch ? findSupervisor(child.supervisor, rest, () => child.status) : undefined;
}

function childrenOf(supervisor: Supervisor): readonly TreeNode[] {
  const nodes: TreeNode[] = [];
  for (const child of supervisor.children.values()) {
    if (child instanceof Branch) nodes.push(treeOf(child.name, child.supervisor, child.status));
    else if (child instanceof ActorChild && child.cell !== undefined)
      nodes.push(actorNode(child.name, child.cell));
  }
  return nodes;
}

function actorNode(name: string, cell: Cell): TreeNode {
  const below = cell.rareIfAny?.children;
  return {
    name,
    address: cell.address,
    // `PoolAgent` of src/protocol/pool.ts: only what `pool(...)` makes has workers.
    kind: 'workers' in cell.behaviour.agent ? 'pool' : 'agent',
    status: statusOf(cell),
    generation: cell.generation,
    children: below instanceof Supervisor ? childrenOf(below) : [],
  };
}

/** The living actors below, those that actors spawned after those that spawned them. */
export function* cellsBelow(supervisor: Supervisor): Generator<Cell, void, undefined> {
  for (const child of supervisor.children.values()) {
    if (child instanceof Branch) yield* cellsBelow(child.supervisor);
    if (!(child instanceof ActorChild) || child.cell === undefined || child.cell.hasEnded) continue;
    const { cell } = child;
    yield cell;
    const below = cell.rareIfAny?.children;
    if (below instanceof Supervisor) yield* cellsBelow(below);
  }
}

/** Whether an actor below has a turn, or work that it will get to although nothing is restarted any more. */
export function isBusy(supervisor: Supervisor): boolean {
  for (const cell of cellsBelow(supervisor)) {
    const { mailbox, status } = cell;
    if (cell.turn !== undefined) return true;
    if (cell.isEnding || status === 'restarting' || mailbox === undefined) continue;
    if (mailbox.queued > 0 || mailbox.controls > 0) return true;
  }
  return false;
}
