/** A state store in memory: for tests, and for keyed agents of one process. What it holds ends with it. */

import { TroupeError } from '../../src/protocol/errors.ts';
import { objectOption } from '../../src/protocol/options.ts';
import {
  checkClaim,
  checkSnapshot,
  checkStateKey,
  holds,
  mayActivate,
  snapshotBound,
  staleEpoch,
} from '../../src/protocol/state-claim.ts';
import type { StateClaim, StateKey, StateStore, StateStoreOptions } from '../../src/protocol/state-store.ts';

/** A state store in memory. Throws `ERR_OPTION_INVALID`. */
export function memoryStates(options?: StateStoreOptions): StateStore {
  const given = objectOption('', options, ['snapshotBytesMax']);
  return new MemoryStates(snapshotBound(given['snapshotBytesMax']));
}

/** What is known of a key. */
interface Row {
  readonly held: StateClaim;
  readonly snapshot: Uint8Array | undefined;
}

class MemoryStates implements StateStore {
  readonly isDurable = false;
  private readonly snapshotBytesMax: number;
  private readonly rows = new Map<string, Row>();
  private stage: 'new' | 'open' | 'closed' = 'new';

  constructor(snapshotBytesMax: number) {
    this.snapshotBytesMax = snapshotBytesMax;
  }

  async open(): Promise<void> {
    if (this.stage !== 'new') throw new TroupeError('ERR_STORE_CLOSED', { store: SHOWN });
    this.stage = 'open';
  }

  async activate(key: StateKey, claim: StateClaim): Promise<Uint8Array | undefined> {
    this.ensureOpen();
    const { name, checked, by, row } = this.look(key, claim);
    if (!mayActivate(by, row?.held)) throw staleEpoch(checked, by, row?.held.epoch ?? 0);
    this.rows.set(name, { held: by, snapshot: row?.snapshot });
    return row?.snapshot && new Uint8Array(row.snapshot);
  }

  async save(key: StateKey, claim: StateClaim, snapshot: Uint8Array): Promise<void> {
    const { name, checked, by, row } = this.look(key, claim);
    const copy = checkSnapshot(checked, snapshot, this.snapshotBytesMax);
    this.write(name, checked, by, row, copy);
  }

  async remove(key: StateKey, claim: StateClaim): Promise<void> {
    const { name, checked, by, row } = this.look(key, claim);
    this.write(name, checked, by, row, undefined);
  }

  async close(): Promise<void> {
    this.stage = 'closed';
    this.rows.clear();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  private look(key: StateKey, claim: StateClaim) {
    this.ensureOpen();
    const checked = checkStateKey(key);
    const name = `${checked.kind}\0${checked.key}`;
    return { name, checked, by: checkClaim(claim), row: this.rows.get(name) };
  }

  private write(
    name: string,
    key: StateKey,
    by: StateClaim,
    row: Row | undefined,
    snapshot: Uint8Array | undefined,
  ): void {
    if (!holds(by, row?.held)) throw staleEpoch(key, by, row?.held.epoch ?? 0);
    this.rows.set(name, { held: by, snapshot });
  }

  private ensureOpen(): void {
    if (this.stage !== 'open') throw new TroupeError('ERR_STORE_CLOSED', { store: SHOWN });
  }
}

const SHOWN = 'of states in memory';
