/** The stores of states that a system uses: each is opened when the first group has need of it, and closed with the system. */

import { isTroupeError } from '../../src/protocol/errors.ts';
import { KEYED_AGAIN_MS } from '../../src/protocol/limits.ts';
import type { StateStore } from '../../src/protocol/state-store.ts';
import type { Kernel } from '../actor/kernel.ts';

/** A store, and when it can be used. */
export interface OpenedStates {
  readonly store: StateStore;
  /** Resolves when it is open. Rejects for ever once it cannot be. */
  readonly ready: () => Promise<void>;
}

/** The stores of one system. */
export class StateStores {
  private readonly kernel: Kernel;
  private readonly opened = new Map<StateStore, OpenedStates>();
  private isClosed = false;

  constructor(kernel: Kernel) {
    this.kernel = kernel;
  }

  /** Begins to open a store. What fails is told, and tried again where that may help. */
  use(store: StateStore): OpenedStates {
    const known = this.opened.get(store);
    if (known !== undefined) return known;
    const opening = this.open(store);
    opening.catch((error: unknown) => {
      const text = 'the store of states cannot be opened: no keyed actor that needs it starts';
      this.kernel.events.emit({ type: 'logged', level: 'error', address: '/keyed', text, fields: { error } });
    });
    const opened = { store, ready: () => opening };
    this.opened.set(store, opened);
    return opened;
  }

  /** Closes them all, when what was begun has come to its end. */
  async close(): Promise<void> {
    this.isClosed = true;
    await Promise.all([...this.opened.keys()].map((store) => store.close()));
  }

  private async open(store: StateStore): Promise<void> {
    const { kernel } = this;
    for (;;) {
      try {
        await store.open(kernel.host);
        return;
      } catch (error) {
        if (this.isClosed || !isTroupeError(error, 'ERR_BROKER_UNAVAILABLE')) throw error;
        const text = `the store of states is away, and is tried again in ${KEYED_AGAIN_MS} ms`;
        kernel.events.emit({ type: 'logged', level: 'warn', address: '/keyed', text, fields: { error } });
        await new Promise<void>((resolve) => {
          kernel.timeouts.startFunction(KEYED_AGAIN_MS, kernel.now(), resolve);
        });
      }
    }
  }
}
