/**
 * The state of one key, kept outside this process: read when its actor begins, written after each turn that changed it. Whoever is
 * told that a turn has ended waits until its state is safe. Writes carry the epoch of the owner, so that of two that think they are the owner only the
 * later one writes.
 *
 * Invariant: at most one write is under way; what is taken meanwhile is written next, the latest alone.
 */

import { jsonOf } from '../../src/protocol/json-value.ts';
import type { KeyStates } from '../../src/protocol/key-states.ts';
import { KEYED_AGAIN_MS, STORED_PAYLOAD_BYTES_MAX } from '../../src/protocol/limits.ts';
import type { Kernel } from '../actor/kernel.ts';

/** Whose state it is. */
export interface SnapshotOwner {
  readonly kernel: Kernel;
  readonly states: KeyStates;
  /** Its path, which no other key has. */
  readonly id: string;
  readonly epoch: number;
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

  /** The state to begin with; undefined where there is none yet. Rejects when a later owner has the key. */
  async load(): Promise<{ readonly state: unknown } | undefined> {
    const { owner } = this;
    if (!this.isActivated) {
      const found = await this.insist(() => owner.states.activate(owner.id, owner.epoch), 'read');
      if (found === undefined) throw new Error('its actor has ended');
      this.isActivated = true;
      this.json = found.json;
      this.savedJson = found.json;
    }
    return this.json === undefined ? undefined : { state: JSON.parse(this.json) as unknown };
  }

  /** A turn has ended with this state. */
  take(state: unknown): void {
    if (this.isEnded) return;
    try {
      if (state !== undefined) this.json = jsonOf(state, STORED_PAYLOAD_BYTES_MAX).text;
      this.problem = undefined;
    } catch (error) {
      if (this.problem === undefined) this.tell('error', 'the state of a key cannot be kept', error);
      this.problem = { error };
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

  private async save(): Promise<void> {
    const { owner } = this;
    this.isSaving = true;
    try {
      while (!this.isEnded && this.json !== undefined && this.json !== this.savedJson) {
        const { json } = this;
        const waiting = this.waiting.splice(0);
        const saved = await this.insist(() => owner.states.save(owner.id, owner.epoch, json), 'written');
        if (saved !== undefined) this.savedJson = json;
        for (const then of waiting) then(saved === undefined ? 'gone' : 'saved');
      }
    } finally {
      this.isSaving = false;
    }
    if (!this.isEnded && this.json === this.savedJson) this.release('saved');
  }

  private release(saved: Saved): void {
    for (const then of this.waiting.splice(0)) then(saved);
  }

  /** Asks the store until it answers; undefined when a later owner has the key, or the actor has ended. */
  private async insist<T>(call: () => Promise<T | 'stale'>, what: string): Promise<T | undefined> {
    const { kernel, stale } = this.owner;
    while (!this.isEnded) {
      try {
        const answer = await call();
        if (answer !== 'stale') return this.isEnded ? undefined : answer;
        this.isEnded = true;
        stale();
        return undefined;
      } catch (error) {
        const text = `the state of a key could not be ${what}, and is tried again in ${KEYED_AGAIN_MS} ms`;
        if (!this.isEnded) this.tell('warn', text, error);
        await new Promise<void>((resolve) => {
          kernel.timeouts.startFunction(KEYED_AGAIN_MS, kernel.now(), resolve);
        });
      }
    }
    return undefined;
  }

  private tell(level: 'warn' | 'error', text: string, error: unknown): void {
    const { kernel, id: address } = this.owner;
    kernel.events.emit({ type: 'logged', level, address, text, fields: { error } });
  }
}
