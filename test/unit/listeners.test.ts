import { describe, expect, it } from 'vitest';
import { Listeners } from '../../src/protocol/listeners.ts';

describe('listeners', () => {
  it('hear each change from when they begin until they stop', () => {
    const listeners = new Listeners<number>();
    const heard: number[] = [];
    listeners.tell(1);
    const stop = listeners.add((change) => heard.push(change));
    listeners.tell(2);
    listeners.tell(3);
    stop();
    stop();
    listeners.tell(4);
    expect(heard).toEqual([2, 3]);
  });

  it('hear twice what they listen to twice, and stop each alone', () => {
    const listeners = new Listeners<number>();
    const heard: number[] = [];
    const listener = (change: number): void => void heard.push(change);
    const [first] = [listeners.add(listener), listeners.add(listener)];
    listeners.tell(1);
    first();
    listeners.tell(2);
    expect(heard).toEqual([1, 1, 2]);
  });

  it('hear nothing less because one of them throws', () => {
    const listeners = new Listeners<number>();
    const heard: number[] = [];
    listeners.add(() => {
      throw new Error('broken');
    });
    listeners.add((change) => heard.push(change));
    listeners.tell(1);
    expect(heard).toEqual([1]);
  });

  it('may come and stop while a change is told: who came hears the next one, who was stopped nothing', () => {
    const listeners = new Listeners<number>();
    const heard: string[] = [];
    listeners.add((change) => {
      stop();
      if (change === 1) listeners.add((later) => heard.push(`came ${later}`));
    });
    const stop = listeners.add((change) => heard.push(`stopped ${change}`));
    listeners.tell(1);
    listeners.tell(2);
    expect(heard).toEqual(['came 2']);
  });

  it('are gone when they are cleared', () => {
    const listeners = new Listeners<number>();
    const heard: number[] = [];
    listeners.add((change) => heard.push(change));
    listeners.clear();
    listeners.tell(1);
    expect(heard).toEqual([]);
  });
});
