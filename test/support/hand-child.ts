/** A place under a supervisor that does what the test says, and writes down what it is told. */

import type { Child } from '../../runtime/supervision/child.ts';
import { RestartWindow } from '../../runtime/supervision/restart-window.ts';
import type { ActorStatus } from '../../src/protocol/actor-status.ts';
import type { Intensity, RestartType } from '../../src/protocol/child-spec.ts';
import type { Failure } from '../../src/protocol/context.ts';

export class HandChild implements Child {
  readonly key: string;
  readonly kind = 'agent';
  readonly restartType: RestartType = 'permanent';
  isSignificant = false;
  status: ActorStatus = 'stopped';
  restartsWithoutProgress = 0;
  delayMs = 0;
  directive: 'restart' | 'stop' | 'escalate' = 'restart';
  /** What it does in the middle of each; a promise makes it slow, an error makes it fail. */
  onStart: () => unknown = () => undefined;
  onLeave: () => unknown = () => undefined;
  onStop: () => unknown = () => undefined;
  onPause: () => unknown = () => undefined;
  private readonly seen: string[];

  constructor(key: string, seen: string[]) {
    this.key = key;
    this.seen = seen;
  }

  get name(): string {
    return this.key;
  }

  get isReturning(): boolean {
    return this.status === 'restarting';
  }

  /** As a failure would leave it. */
  fails(): this {
    this.status = 'restarting';
    return this;
  }

  async start(): Promise<void> {
    this.seen.push(`start ${this.key}`);
    this.status = 'starting';
    await this.onStart();
    this.status = 'running';
  }

  async stop(reason: string): Promise<void> {
    this.seen.push(`stop ${this.key} ${reason}`);
    this.status = 'stopping';
    await this.onStop();
    this.status = 'stopped';
  }

  due(error: unknown): number {
    this.seen.push(`due ${this.key} ${error instanceof Error ? error.message : String(error)}`);
    return this.delayMs;
  }

  ownWindow(intensity: Intensity): RestartWindow {
    return new RestartWindow(intensity);
  }

  async leave(sibling: Failure | undefined): Promise<void> {
    this.seen.push(`leave ${this.key}${sibling === undefined ? '' : ' as sibling'}`);
    this.status = 'restarting';
    await this.onLeave();
  }

  async again(): Promise<void> {
    this.seen.push(`again ${this.key}`);
    await this.onStart();
    this.status = 'running';
  }

  afterFailedStart(): 'restart' | 'stop' | 'escalate' {
    return this.directive;
  }

  async pause(delayMs: number): Promise<void> {
    this.seen.push(`pause ${this.key} ${delayMs}`);
    await this.onPause();
  }
}
