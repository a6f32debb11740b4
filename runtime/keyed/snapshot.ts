/**
 * The state of one key, kept outside this process: read when its actor begins, written after each turn that changed it. Whoever is
 * told that a turn has ended waits until its state is safe. Writes carry the epoch of the owner, so that of two that think they are the owner only the
 * later one writes.
 *
 * Invariant: at most one write is under way; what is taken meanwhile is written next, the latest alone.
 */

import { isTroupeError } from '../../src/protocol/errors.ts';
import { jsonOf } from '../../src/protocol/json-value.ts';
import { KEYED_AGAIN_MS, STORED_PAYLOAD_BYTES_MAX } from '../../src/protocol/limits.ts';
import type { StateClaim, StateKey } from '../../src/protocol/state-store.ts';
import type { Kernel } from '../actor/kernel.ts';
import type { OpenedStates } from './states.ts';

const TEXT = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
/** What no second try mends. */
const FINAL = new Set([
  'ERR_SNAPSHOT_CORRUPT',
  'ERR_SNAPSHOT_TOO_LARGE',
  'ERR_OPTION_INVALID',
  'ERR_STORE_CLOSED',
  'ERR_STORE_UNUSABLE',
  'ERR_DRIVER_MISSING',
  'ERR_BROKER_DENIED',
]);

/** Whose state it is. */
export interface SnapshotOwner {
  readonly kernel: Kernel;
  readonly states: OpenedStates;
  readonly key: StateKey;
  readonly claim: StateClaim;
  /** The path of its actor, for what is told. */
  readonly address: string;
  /** A later owner has the key. */
  readonly stale: () => void;
}

/** How a wait for a state ended. `gone`: its actor has ended first. */
export type Saved = 'saved' | 'gone' | { readonly error: unknown };

/** The state of one key while its actor lives. */
export class Snapshot {
  private readonly owner: SnapshotOwner;
  /** The latest state, and what of it is safe. */
  private json: string | undefined = undefined;
  private savedJson: string | undefined = undefined;
  private isActivated = false;
  private isSaving = false;
  private isEnded = false;
  /** The latest state is none that can be kept. */
  private problem: { readonly error: unknown } | undefined = undefined;
  private waiting: ((saved: Saved) => void)[] = [];

  constructor(owner: SnapshotOwner) {
    this.owner = owner;
  }

  /** The state to begin with; undefined where there is none yet. Rejects when there is no way to know. */
  async load(): Promise<{ readonly state: unknown } | undefined> {
    if (!this.isActivated) {
      this.json = await this.activate();
      this.savedJson = this.json;
      this.isActivated = true;
    }
    return this.json === undefined ? undefined : { state: JSON.parse(this.json) as unknown };
  }

  /** A turn has ended with this state. */
  take(state: unknown): void {
    if (this.isEnded || state === undefined) return;
    try {
      this.json = jsonOf(state, STORED_PAYLOAD_BYTES_MAX).text;
      this.problem = undefined;
    } catch (error) {
      this.cannotKeep(error);
    }
    if (!this.isSaving && this.json !== this.savedJson) this.owner.kernel.background(this.save());
  }

  /** Calls back when what was taken so far is safe: at once if it is. */
  whenSaved(then: (saved: Saved) => void): void {
    if (this.isEnded) then('gone');
    else if (this.problem !== undefined) then(this.problem);
    else if (this.json === this.savedJson) then('saved');
    else this.waiting.push(then);
  }

  /** Resolves when what was taken so far is safe, or never will be. */
  settled(): Promise<void> {
    return new Promise((resolve) => {
      this.whenSaved(() => resolve());
    });
  }

  /** Its actor has ended. */
  end(): void {
    this.isEnded = true;
    this.release('gone');
  }

  private async activate(): Promise<string | undefined> {
    const { states, key, claim } = this.owner;
    await states.ready();
    let bytes: Uint8Array | undefined;
    await this.insist('read', async () => {
      bytes = await states.store.activate(key, claim);
    });
    if (this.isEnded) throw new Error('the actor has ended');
    return bytes === undefined ? undefined : TEXT.decode(bytes);
  }

  private async save(): Promise<void> {
    const { states, key, claim } = this.owner;
    this.isSaving = true;
    try {
      while (!this.isEnded && this.json !== undefined && this.json !== this.savedJson) {
        const { json } = this;
        const waiting = this.waiting.length;
        await this.insist('written', () => states.store.save(key, claim, Buffer.from(json)));
        if (this.isEnded) return;
        this.savedJson = json;
        for (const then of this.waiting.splice(0, waiting)) then('saved');
      }
      if (!this.isEnded) this.release('saved');
    } catch (error) {
      this.cannotKeep(error);
      this.release({ error });
    } finally {
      this.isSaving = false;
    }
  }

  private cannotKeep(error: unknown): void {
    if (this.problem === undefined) this.tell('error', 'the state of a key cannot be kept', error);
    this.problem = { error };
  }

  private release(saved: Saved): void {
    for (const then of this.waiting.splice(0)) then(saved);
  }

  /** Asks the store until it answers, or nobody wants to know any more. Rejects with what no second try mends. */
  private async insist(what: 'read' | 'written', call: () => Promise<void>): Promise<void> {
    const { kernel, stale } = this.owner;
    while (!this.isEnded) {
      try {
        await call();
        return;
      } catch (error) {
        if (this.isEnded) return;
        if (isTroupeError(error, 'ERR_EPOCH_STALE')) {
          this.end();
          stale();
          return;
        }
        if (isTroupeError(error) && FINAL.has(error.code)) throw error;
        const text = `the state of a key could not be ${what}, and is tried again in ${KEYED_AGAIN_MS} ms`;
        this.tell('warn', text, error);
        await new Promise<void>((resolve) => {
          kernel.timeouts.startFunction(KEYED_AGAIN_MS, kernel.now(), resolve);
        });
      }
    }
  }

  private tell(level: 'warn' | 'error', text: string, error: unknown): void {
    const { kernel, address } = this.owner;
    kernel.events.emit({ type: 'logged', level, address, text, fields: { error } });
  }
}
