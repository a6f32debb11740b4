import { describe, expect, it } from 'vitest';
import { type InstrumentedHost, type Instruments, Kernel } from '../../runtime/actor/kernel.ts';
import type { Host } from '../../src/protocol/clock.ts';
import type { RuntimeEvent } from '../../src/protocol/events.ts';
import { HandHost } from '../support/hand-host.ts';
import { puppet } from '../support/puppet.ts';
import { recordTraces } from '../support/traces.ts';

const SETTINGS = { deadLettersMax: 1, replaysMax: 1, asksInFlightMax: 1, isDevelopment: false };

/** A kernel of no system, and what it says. */
function kernelOn(host: Host): { readonly kernel: Kernel; readonly events: RuntimeEvent[] } {
  const kernel = new Kernel(host, SETTINGS);
  const events: RuntimeEvent[] = [];
  kernel.events.listen((event) => events.push(event));
  return { kernel, events };
}

describe('the kernel', () => {
  it('gives turns and starts agents as its instruments say, where it has some', () => {
    const other = puppet();
    const attached: Kernel[] = [];
    const instruments: Instruments = {
      runQueue: { isIdle: true, add: () => undefined },
      prepare: () => other,
      attach: (made) => attached.push(made),
    };
    const host: InstrumentedHost = Object.assign(new HandHost(), { instruments });
    const { kernel } = kernelOn(host);
    expect(kernel.scheduler).toBe(instruments.runQueue);
    expect(kernel.prepared(puppet())).toBe(other);
    expect(attached).toEqual([kernel]);
    const agent = puppet();
    expect(kernelOn(new HandHost()).kernel.prepared(agent)).toBe(agent);
  });

  it('looks for an SDK between slices of work, also where nobody calls from outside', async () => {
    const host = new HandHost();
    const { kernel } = kernelOn(host);
    let turns = 0;
    kernel.scheduler.add({
      get isQueued() {
        return turns < 10_000;
      },
      run: (turnsMax) => {
        turns += turnsMax;
        return turnsMax;
      },
    });
    recordTraces();
    expect(kernel.isRecorded).toBe(false);
    while (await host.turn());
    expect([kernel.isRecorded, kernel.scheduler.isIdle]).toEqual([true, true]);
  });

  it('tells the log of work in the background that fails, and of no other', async () => {
    const { kernel, events } = kernelOn(new HandHost());
    const error = new Error('it should not');
    kernel.background(Promise.resolve());
    kernel.background(Promise.reject(error));
    await new HandHost().turn();
    expect(events).toEqual([
      {
        type: 'logged',
        level: 'error',
        address: '/',
        text: 'the runtime failed in the background',
        fields: { error },
      },
    ]);
  });

  it('says that it has no system around it yet', () => {
    const { kernel } = kernelOn(new HandHost());
    expect(() => kernel.upward).toThrow('before the system is wired');
  });
});
