/** What users reach the children of a supervisor by: refs by path, which lead to whatever lives there. */

import type { Kernel } from '../actor/kernel.ts';
import { NamedRef } from '../actor/local-ref.ts';
import { ActorChild } from './actor-child.ts';
import { Branch } from './branch.ts';
import type { Child } from './child.ts';
import type { Supervisor } from './supervisor.ts';

/** The refs of the children of a supervisor's definition, by name. */
export function refsOf(kernel: Kernel, supervisor: Supervisor): unknown {
  const refs: Record<string, unknown> = {};
  for (const child of supervisor.defined) refs[child.name] = refOf(kernel, child);
  return Object.freeze(refs);
}

/** The ref of an actor's place, or the refs of a branch. */
export function refOf(kernel: Kernel, child: Child): unknown {
  if (child instanceof Branch) return refsOf(kernel, child.supervisor);
  // Stryker disable next-line ConditionalExpression: there are no others, which no type says.
  if (!(child instanceof ActorChild)) return undefined;
  return new NamedRef(kernel, child.spec.agent.protocol, child.path, () => child.cell);
}
