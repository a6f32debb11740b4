/** What a supervisor decides, as pure functions: who restarts, and when enough have ended. The rules are Erlang/OTP's. */

import type { AutoShutdown, RestartType, Strategy } from '../../src/protocol/child-spec.ts';

/** Whether a child of this type comes back from an end of its own. */
export function comesBack(restart: RestartType, isAbnormal: boolean): boolean {
  return restart === 'permanent' || (restart === 'transient' && isAbnormal);
}

/** Those of `children`, given in start order, that are restarted with `failed`, itself included; in start order. */
export function affected<Child>(
  strategy: Strategy,
  children: readonly Child[],
  failed: Child,
): readonly Child[] {
  switch (strategy) {
    case 'one-for-one':
      return [failed];
    case 'one-for-all':
      return children;
    case 'rest-for-one':
      return children.slice(Math.max(0, children.indexOf(failed)));
  }
}

/** Whether the end of a significant child ends its supervisor; `isLast`: no other significant child lives. */
export function endsSupervisor(autoShutdown: AutoShutdown, isLast: boolean): boolean {
  return autoShutdown === 'any-significant' || (autoShutdown === 'all-significant' && isLast);
}
