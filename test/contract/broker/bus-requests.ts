/** Cases about requests between buses: whatever becomes of who answers, each call ends once, and nothing of it stays. */

import { expect } from 'vitest';
import type { BrokerOptions } from '../../../src/protocol/broker.ts';
import { decodePayload } from '../../../src/protocol/payload.ts';
import { range } from '../../support/broker-play.ts';
import { BusPlay, Kept, toBus } from '../../support/bus-play.ts';
import { hold } from '../../support/hold.ts';
import { endingOf } from '../../support/puppet.ts';
import { type BrokerCases, linkFlag } from './cases.ts';

/** Requests at once. */
const MANY = 1_000;
/** Milliseconds after which a request that shall end by its time ends: time enough to come where it goes. */
const SHORT_MS = 600;
/** Short times, so that a death is seen soon. */
const OPTIONS: BrokerOptions = {
  heartbeatMs: 500,
  downAfterMs: 2_000,
  publishTimeoutMs: 1_500,
  reconnect: { minMs: 20, maxMs: 200 },
};
const SLACK_MS = 40_000;
const NOTHING_OPEN = { calls: 0, requests: 0, questions: 0 };

export function busRequestCases({ has, faults, when }: BrokerCases): void {
  when(`4: answers ${MANY} requests at once, each with its own reply, in any order`, async (play) => {
    const [asker, answerer] = await new BusPlay(play).pair();
    const { messages, handler } = new Kept();
    await answerer.subscribe('double', handler, { concurrency: 10 });
    const requests = range(MANY).map((n) => asker.bus.request('double', { n }));
    const replies = Promise.all(requests);
    await play.until(() => messages.length === MANY, 'all requests', 60_000);
    const { random } = play.harness.host;
    const shuffled = messages
      .map((message) => ({ message, key: random() }))
      .toSorted((a, b) => a.key - b.key);
    for (const { message } of shuffled) message.reply({ double: 2 * (message.payload as { n: number }).n });
    expect(await play.within(replies, 'replies', 60_000)).toEqual(
      range(MANY).map((n) => ({ double: 2 * n })),
    );
    expect([asker.open, answerer.open]).toEqual([NOTHING_OPEN, NOTHING_OPEN]);
  });

  when('5: ends a request by its time when the process that works on it is killed', async (play) => {
    const [asker, answerer] = await new BusPlay(play).pair({ options: OPTIONS });
    const held = hold();
    await answerer.subscribe('work', held.handler);
    const asked = endingOf(asker.bus.request('work', 1, { timeoutMs: SHORT_MS }));
    await play.until(() => held.running() === 1, 'the request');
    await answerer.kill();
    held.release();
    await play.until(() => asked.is !== undefined, 'the end of the request');
    expect(asked.is).toBe('ERR_REQUEST_TIMEOUT');
    expect(asker.open).toEqual(NOTHING_OPEN);
  });

  when('5: has a request answered by another member when the one that had it is killed', async (play) => {
    const buses = new BusPlay(play);
    const [asker, first] = await buses.pair({ options: OPTIONS });
    const second = await buses.bus({ options: OPTIONS });
    const held = hold();
    await first.subscribe('work', held.handler, { group: 'workers' });
    const asked = endingOf(asker.bus.request('work', 'paid', { timeoutMs: 600_000 }));
    await play.until(() => held.running() === 1, 'the request');
    const attempts: number[] = [];
    await second.subscribe(
      'work',
      ({ attempt, reply }) => {
        attempts.push(attempt);
        reply('done');
      },
      { group: 'workers' },
    );
    await first.kill();
    held.release();
    await play.until(() => asked.is !== undefined, 'the answer', has.takeoverMs + SLACK_MS);
    expect(asked).toMatchObject({ is: 'resolved', value: 'done' });
    expect(attempts).toHaveLength(1);
    if (has.deliveryCount === 'broker') expect(attempts).toEqual([2]);
    expect(asker.open).toEqual(NOTHING_OPEN);
  });

  when('6: ends a request by its time, takes it back, and buries the reply of who goes on', async (play) => {
    const [asker, answerer] = await new BusPlay(play).pair();
    const held = hold();
    await answerer.subscribe('work', held.handler);
    const asked = endingOf(asker.bus.request('work', 1, { timeoutMs: SHORT_MS }));
    await play.until(() => asked.is !== undefined, 'the end of the request');
    expect(asked.is).toBe('ERR_REQUEST_TIMEOUT');
    await play.until(() => held.endings.length === 1, 'the end of the work');
    expect(held.endings).toEqual(['aborted']);
    held.messages[0]?.reply('late');
    expect(answerer.bus.deadLetters.list()).toMatchObject([{ reason: 'late-reply', payload: 'late' }]);
    await play.quiet();
    expect(asker.bus.deadLetters.list()).toEqual([]);
    expect([asker.open, answerer.open]).toEqual([NOTHING_OPEN, NOTHING_OPEN]);
  });

  when('6: buries a reply that comes when nobody waits for it any more', async (play) => {
    const buses = new BusPlay(play);
    const asker = await buses.bus();
    const stranger = await buses.stranger();
    await stranger.node.listen('work');
    const asked = endingOf(asker.bus.request('work', 'question', { timeoutMs: SHORT_MS }));
    await play.until(() => stranger.frames.length === 1, 'the request');
    const [request] = stranger.frames[0]?.messages ?? [];
    if (request === undefined) throw new Error('A message was expected.');
    expect([request.type, decodePayload(request.payload)]).toEqual(['request', 'question']);
    await play.until(() => asked.is !== undefined, 'the end of the request');
    const { id } = request;
    await stranger.node.publishAll([stranger.frame(toBus(asker), { type: 'reply', id, payload: 'late' })]);
    await play.until(() => asker.bus.deadLetters.list().length > 0, 'the dead letter');
    expect(asked.is).toBe('ERR_REQUEST_TIMEOUT');
    expect(asker.bus.deadLetters.list()).toMatchObject([
      { reason: 'late-reply', payload: 'late', sender: stranger.node.name },
    ]);
    expect(asker.open).toEqual(NOTHING_OPEN);
  });

  when(
    ...linkFlag(faults, 'oneWay'),
    '6: ends a request by its time when its reply is lost on the way, and buries that when it comes',
    async (play) => {
      const buses = new BusPlay(play);
      const asker = await buses.bus({ options: OPTIONS, hasLink: true });
      const answerer = await buses.bus({ options: OPTIONS });
      const { messages, handler } = new Kept();
      await answerer.subscribe('work', handler);
      const asked = endingOf(asker.bus.request('work', 1, { timeoutMs: SHORT_MS }));
      await play.until(() => messages.length === 1, 'the request');
      await asker.node.link.oneWay('to-client');
      messages[0]?.reply('lost');
      await play.until(() => asked.is !== undefined, 'the end of the request');
      expect(asked.is).toBe('ERR_REQUEST_TIMEOUT');
      await asker.node.link.heal();
      await play.until(() => asker.bus.deadLetters.list().length > 0, 'the dead letter', SLACK_MS);
      await play.quiet(300);
      expect(asker.bus.deadLetters.list()).toMatchObject([{ reason: 'late-reply', payload: 'lost' }]);
      expect([asker.open, answerer.open]).toEqual([NOTHING_OPEN, NOTHING_OPEN]);
    },
  );
}
