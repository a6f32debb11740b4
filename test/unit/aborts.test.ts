import { describe, expect, it } from 'vitest';
import { offAbort, onAbort } from '../../runtime/host/aborts.ts';

/** A signal that tells how many listeners it has. */
function counted(): { controller: AbortController; signal: AbortSignal; listeners: () => number } {
  const controller = new AbortController();
  const { signal } = controller;
  let listeners = 0;
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (...given: Parameters<typeof add>): void => {
    listeners++;
    add(...given);
  };
  signal.removeEventListener = (...given: Parameters<typeof remove>): void => {
    listeners--;
    remove(...given);
  };
  return { controller, signal, listeners: () => listeners };
}

describe('the tasks of a signal', () => {
  it('run once each, in their order, when it is aborted', () => {
    const { controller, signal, listeners } = counted();
    const ran: number[] = [];
    for (const n of [1, 2, 3]) onAbort(signal, () => ran.push(n));
    controller.abort();
    controller.abort();
    expect(ran).toEqual([1, 2, 3]);
    expect(listeners()).toBe(0);
  });

  it('share one listener, which goes with the last of them', () => {
    const { controller, signal, listeners } = counted();
    const ran: number[] = [];
    const tasks = Array.from({ length: 1_000 }, (_, n) => () => ran.push(n));
    for (const task of tasks) onAbort(signal, task);
    expect(listeners()).toBe(1);
    for (const task of tasks) offAbort(signal, task);
    expect(listeners()).toBe(0);
    for (const task of tasks.slice(0, 2)) onAbort(signal, task);
    expect(listeners()).toBe(1);
    controller.abort();
    expect(ran).toEqual([0, 1]);
  });

  it('do not run where one before them has taken them out', () => {
    const { controller, signal } = counted();
    const ran: string[] = [];
    const second = (): void => {
      ran.push('second');
    };
    onAbort(signal, () => offAbort(signal, second));
    onAbort(signal, second);
    controller.abort();
    expect(ran).toEqual([]);
  });
});
