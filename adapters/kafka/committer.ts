/** Commits now and then: soon after something moved, at once after much of it, one commit at a time. */

import type { Host, TimerHandle } from '../../src/protocol/clock.ts';
import { pause } from '../../src/protocol/deadline.ts';

/** Milliseconds, and settled frames, after which there is a commit. */
const COMMIT_AFTER_MS = 200;
const COMMIT_AFTER_FRAMES = 500;
/** Milliseconds between attempts to say the last of it. */
const AGAIN_MS = 50;

/** @internal */
export class Committer {
  private readonly host: Host;
  private readonly commit: () => Promise<void>;
  private timer: TimerHandle | undefined;
  private settled = 0;
  private running: Promise<void> | undefined;
  private isDirty = false;

  /** `commit` says all there is to say. When it rejects there is another one after a while. */
  constructor(host: Host, commit: () => Promise<void>) {
    this.host = host;
    this.commit = commit;
  }

  moved(settled: number): void {
    this.isDirty = true;
    this.settled += settled;
    if (this.settled >= COMMIT_AFTER_FRAMES)
      void this.flush(); // it never rejects
    else this.plan();
  }

  /** Commits what has moved. Resolves when that was tried; never rejects. */
  async flush(): Promise<void> {
    this.cancel();
    await this.running;
    if (!this.isDirty) return;
    this.isDirty = false;
    this.settled = 0;
    this.running = this.commit().catch(() => {
      this.isDirty = true;
    });
    await this.running;
    this.running = undefined;
    if (this.isDirty) this.plan();
  }

  /** Commits what has moved, and tries for `ms` in all. Whether it was done. */
  async drain(ms: number): Promise<boolean> {
    const { clock } = this.host;
    const endMs = clock.now() + ms;
    await this.flush();
    while (this.isDirty && clock.now() < endMs) {
      await pause(clock, AGAIN_MS);
      await this.flush();
    }
    this.cancel();
    return !this.isDirty;
  }

  /** Nothing is committed any more unless it is asked for. */
  cancel(): void {
    if (this.timer !== undefined) this.host.clock.clearTimer(this.timer);
    this.timer = undefined;
  }

  private plan(): void {
    this.timer ??= this.host.clock.setTimer(COMMIT_AFTER_MS, () => {
      this.timer = undefined;
      void this.flush(); // it never rejects
    });
  }
}
