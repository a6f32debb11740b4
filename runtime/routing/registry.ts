/** Names of the whole system: each is held by one living actor, and free again once that has ended. */

import { TroupeError } from '../../src/protocol/errors.ts';
import type { Cell } from '../actor/cell.ts';

/** Who holds which name. */
export class Registry {
  private readonly cells = new Map<string, Cell>();
  private readonly names = new Map<Cell, Set<string>>();
  /** Hears of each name that is taken or free again. */
  changed: ((name: string) => void) | undefined = undefined;

  /** Gives `cell` a name. Throws `ERR_NAME_TAKEN`, `ERR_ACTOR_STOPPED`. */
  register(name: string, cell: Cell): void {
    const holder = this.cells.get(name);
    if (holder === cell) return;
    if (holder !== undefined) throw new TroupeError('ERR_NAME_TAKEN', { name, holder: holder.address });
    if (!cell.isOpen) throw new TroupeError('ERR_ACTOR_STOPPED', { address: cell.address });
    this.cells.set(name, cell);
    const names = this.names.get(cell);
    if (names === undefined) this.names.set(cell, new Set([name]));
    else names.add(name);
    this.changed?.(name);
  }

  /** The living holder of a name. */
  lookup(name: string): Cell | undefined {
    return this.cells.get(name);
  }

  /** Frees every name that `cell` holds. */
  release(cell: Cell): void {
    const freed = this.names.get(cell);
    if (freed === undefined) return;
    this.names.delete(cell);
    for (const name of freed) {
      this.cells.delete(name);
      this.changed?.(name);
    }
  }
}
