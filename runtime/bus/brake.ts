/**
 * Slows publishers down. Above the threshold each publish takes `delayMs` longer: its message is queued before, so the order
 * of messages never changes, and only who awaits his publishes is slower. Those of one instant share a timer; as many
 * can be braked at once as mailboxes have accepted within `delayMs`.
 */

import type { BackpressureStats } from '../../src/protocol/bus.ts';
import type { Kernel } from '../actor/kernel.ts';
import type { Publication } from '../routing/publication.ts';
import type { BrakeSettings } from './options.ts';

/** What slows the publishers of one bus. */
export class Brake {
  private readonly kernel: Kernel;
  private readonly settings: BrakeSettings | undefined;
  private braking: { readonly at: number; readonly over: Promise<void> } | undefined = undefined;
  private readonly releases = new Set<() => void>();
  private isReleased = false;
  private braked = 0;
  private brakedMs = 0;
  private waited = 0;
  private waitedMs = 0;
  private refused = 0;

  constructor(kernel: Kernel, settings: BrakeSettings | undefined) {
    this.kernel = kernel;
    this.settings = settings;
  }

  /** Whether it wants to know how full subscriptions are. */
  get isGauging(): boolean {
    return this.settings !== undefined;
  }

  get stats(): BackpressureStats {
    const { braked, brakedMs, waited, waitedMs, refused } = this;
    return { braked, brakedMs, waited, waitedMs, refused };
  }

  /** What its publisher has to wait for; undefined for nothing. Rejects when there is no room in time. */
  holds(publication: Publication): Promise<void> | undefined {
    const { waits, fullest } = publication;
    return waits === undefined ? this.brakes(fullest) : this.untilAll(waits);
  }

  /** What a publisher has to wait for who finds something so full; undefined for nothing. */
  brakes(fullest: number): Promise<void> | undefined {
    const { settings } = this;
    if (settings === undefined || fullest <= settings.threshold || this.isReleased) return undefined;
    this.braked++;
    this.brakedMs += settings.delayMs;
    return this.delay(settings.delayMs);
  }

  /** A publish found no room in its time. */
  noteRefusal(): void {
    this.refused++;
  }

  /** Lets go whom it brakes, and brakes nobody any more: the bus is closed. */
  release(): void {
    this.isReleased = true;
    for (const release of this.releases) release();
  }

  private async untilAll(waits: readonly Promise<void>[]): Promise<void> {
    const since = this.kernel.now();
    this.waited++;
    try {
      await Promise.all(waits);
    } catch (error) {
      this.refused++;
      throw error;
    } finally {
      this.waitedMs += this.kernel.now() - since;
    }
  }

  private delay(delayMs: number): Promise<void> {
    const at = this.kernel.now();
    if (this.braking?.at === at) return this.braking.over;
    const over = new Promise<void>((resolve) => {
      const release = (): void => {
        this.releases.delete(release);
        this.kernel.timeouts.cancel(timeout);
        resolve();
      };
      const timeout = this.kernel.timeouts.startFunction(delayMs, at, release);
      this.releases.add(release);
    });
    this.braking = { at, over };
    return over;
  }
}
