import { describe, expect, it } from 'vitest';
import { busBench } from '../support/test-bus.ts';

describe('smoke', () => {
  it('works', async () => {
    const { connect, settle } = busBench();
    const bus = await connect();
    const seen: unknown[] = [];
    await bus.subscribe('agent.*', (message) => {
      seen.push(message);
    });
    expect(await bus.publish('agent.a', 1)).toEqual({ id: expect.any(String), delivered: 1 });
    await settle();
    expect(seen).toMatchObject([{ payload: 1, topic: 'agent.a' }]);
    expect(await bus.publish('agent.b', 2, { confirm: 'handled' })).toMatchObject({
      delivered: 1,
      handled: 1,
      failed: 0,
    });
    await bus.subscribe('q', (message) => message.reply(Number(message.payload) * 2));
    expect(await bus.request('q', 4)).toBe(8);
    await expect(bus.request('nobody', 4)).rejects.toMatchObject({ code: 'ERR_SUBSCRIBER_MISSING' });
  });
});
