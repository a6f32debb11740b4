/** The supervision tree as a copy for users. */

import type { TreeNode } from '../../src/protocol/system.ts';
import type { Cell } from '../actor/cell.ts';
import { statusOf } from '../actor/inspection.ts';
import { Branch } from './branch.ts';
import { ActorChild, Supervisor } from './supervisor.ts';

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
    kind: 'agent',
    status: statusOf(cell),
    generation: cell.generation,
    children: below instanceof Supervisor ? childrenOf(below) : [],
  };
}

/** Whether an actor below has work, or senders that wait for it. */
export function isBusy(supervisor: Supervisor): boolean {
  for (const child of supervisor.children.values()) {
    if (
      child instanceof Branch
        ? isBusy(child.supervisor)
        : child instanceof ActorChild && isCellBusy(child.cell)
    )
      return true;
  }
  return false;
}

function isCellBusy(cell: Cell | undefined): boolean {
  if (cell === undefined) return false;
  if (cell.turn !== undefined || (cell.isOpen && (cell.mailbox?.queued ?? 0) > 0)) return true;
  const below = cell.rareIfAny?.children;
  return below instanceof Supervisor && isBusy(below);
}
