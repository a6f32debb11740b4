/** Cases about messages between buses: what they carry, copies and gaps among them, and those that nobody can handle. */

import { expect } from 'vitest';
import { decodeFrame } from '../../../src/protocol/frame.ts';
import { decodePayload } from '../../../src/protocol/payload.ts';
import { frame, range, toTopic, windowOf } from '../../support/broker-play.ts';
import { BusPlay, Kept } from '../../support/bus-play.ts';
import type { BrokerCases } from './cases.ts';

const TRACE = {
  traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`,
  tracestate: 'vendor=value,other=1',
  baggage: 'tenant=x',
};
/** Buses, and topics, at once: the nodes and topics of the port are more. */
const BUSES = 4;
const TOPICS = 100;
/** What a lane may be given so often that a bus takes it for poison. */
const DELIVERIES = 6;
const SLACK_MS = 30_000;

export function busMessageCases({ harness, has, faults, when }: BrokerCases): void {
  when('13: brings headers and trace round, in messages, groups and requests', async (play) => {
    const [from, to] = await new BusPlay(play).pair();
    const headers = { ...TRACE, tenant: 'acme', 'x-text': 'é ✓ "quoted"' };
    const [alone, member] = [new Kept(), new Kept()];
    await to.subscribe('t.*', async (message) => {
      await alone.handler(message);
      // On to the next one with what came, as an agent in the middle does.
      if (message.topic === 't.one') await to.bus.publish('t.two', 2, { headers: message.headers });
      if (message.isRequest) message.reply(message.headers);
    });
    await to.subscribe('t.two', member.handler, { group: 'workers' });
    const said = { sender: 'me', correlationId: 'c-1', priority: 'high' } as const;
    await from.publish('t.one', 1, { headers, ...said });
    await play.until(() => alone.messages.length === 2 && member.messages.length === 1, 'three messages');
    const reply = await play.within(from.bus.request('t.three', 3, { headers }), 'the reply');
    expect(alone.messages[0]).toMatchObject({ topic: 't.one', payload: 1, ...said });
    for (const { headers: got } of [...alone.messages, ...member.messages]) expect(got).toEqual(headers);
    expect(reply).toEqual(headers);
  });

  when(`14: serves ${BUSES} buses with ${TOPICS} topics`, async (play) => {
    const buses = new BusPlay(play);
    const all = await Promise.all(
      range(BUSES).map(async () => ({ bus: await buses.bus(), kept: new Kept() })),
    );
    const own = all.map(({ bus, kept }, place) => ({
      bus,
      kept,
      topics: range(TOPICS).filter((topic) => topic % BUSES === place),
    }));
    const subscribing = own.flatMap(({ bus, kept, topics }) =>
      topics.map((topic) => bus.subscribe(`t.${topic}`, kept.handler)),
    );
    await Promise.all(subscribing);
    // Each to the topics of the others as well as to its own.
    await Promise.all(
      own.flatMap(({ bus }) => range(TOPICS).map((topic) => bus.publish(`t.${topic}`, topic))),
    );
    const count = (): number => own.reduce((sum, { kept: { messages } }) => sum + messages.length, 0);
    await play.until(() => count() === BUSES * TOPICS, 'all of it');
    await play.quiet();
    for (const { kept, topics } of own)
      expect(kept.payloads.toSorted((x, y) => Number(x) - Number(y))).toEqual(
        topics.flatMap((topic) => range(BUSES).map(() => topic)),
      );
  });

  for (const kind of ['an inbox', 'a group'] as const) {
    when(`23: handles a frame once that is published twice under one number, in ${kind}`, async (play) => {
      const buses = new BusPlay(play);
      const to = await buses.bus();
      const stranger = await buses.stranger();
      const kept = new Kept();
      await to.subscribe('t', kept.handler, kind === 'a group' ? { group: 'workers' } : {});
      const [one, two] = [1, 2].map((sequence) =>
        stranger.frame(toTopic('t'), { payload: sequence }, { sequence }),
      );
      if (one === undefined || two === undefined) throw new Error('Two frames.');
      for (const each of [one, one, two, one, two]) await stranger.node.publishAll([each]);
      await stranger.node.publishAll([stranger.frame(toTopic('t'), { payload: 3 }, { sequence: 3 })]);
      await play.until(() => kept.payloads.includes(3), 'the last');
      await play.quiet();
      expect(kept.payloads).toEqual([1, 2, 3]);
      expect(to.eventsOf('frames-missing')).toEqual([]);
      expect(await harness.deadFrames(play.prefix)).toEqual([]);
    });
  }

  when('24: tells of a gap, goes on, and takes what comes late once', async (play) => {
    const buses = new BusPlay(play);
    const to = await buses.bus();
    const stranger = await buses.stranger();
    const kept = new Kept();
    await to.subscribe('t', kept.handler);
    for (const sequence of [1, 4, 2, 2, 4, 5])
      await stranger.node.publishAll([stranger.frame(toTopic('t'), { payload: sequence }, { sequence })]);
    await play.until(() => kept.payloads.includes(5), 'the last');
    await play.quiet();
    expect(kept.payloads).toEqual([1, 4, 2, 5]);
    expect(to.eventsOf('frames-missing')).toEqual([
      { type: 'frames-missing', node: stranger.node.name, stream: 1, frames: 2 },
    ]);
  });

  when(
    '30: tries a message as often as it may, then keeps it as it was, with the last error',
    async (play) => {
      const [from, to] = await new BusPlay(play).pair();
      const tried = new Kept();
      const retry = { attemptsMax: 3, backoff: { minMs: 1, maxMs: 1, jitter: 0 } };
      await to.subscribe(
        'jobs',
        async (message) => {
          if (message.payload !== 'poison') return;
          await tried.handler(message);
          throw new Error(`no cure ${message.attempt}`);
        },
        { group: 'workers', retry },
      );
      const { id } = await from.publish('jobs', 'poison', { sender: 'me', headers: { tenant: 'acme' } });
      await from.publish('jobs', 'healthy');
      const dead = () => harness.deadFrames(play.prefix);
      await play.until(async () => (await dead()).length > 0, 'the dead letter of the broker');
      await play.quiet();
      expect(tried.messages.map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
      const [letter, ...others] = await dead();
      expect(others).toEqual([]);
      expect(letter).toMatchObject({
        reason: 'attempts-exhausted',
        error: expect.stringContaining('no cure 3'),
      });
      const { node, messages } = decodeFrame(letter?.bytes ?? new Uint8Array());
      expect([node, messages.length]).toEqual([from.node.name, 1]);
      expect(messages[0]).toMatchObject({ id, sender: 'me', headers: { tenant: 'acme' } });
      expect(messages.map(({ payload }) => decodePayload(payload))).toEqual(['poison']);
      expect(to.bus.deadLetters.list()).toMatchObject([
        { reason: 'attempts-exhausted', messageId: id, attempts: 3, payload: 'poison' },
      ]);
    },
  );

  when(
    'capabilities.deliveryCount is consumer',
    has.deliveryCount === 'broker',
    `30: gives up a message that was delivered ${DELIVERIES - 1} times in vain, and handles it no more`,
    async (play) => {
      const buses = new BusPlay(play);
      const [from, to] = await buses.pair();
      const victim = await play.node();
      const source = { kind: 'group', group: 'workers', pattern: 'jobs' } as const;
      // What handlers die of: it is given back each time.
      const reading = await victim.read(source, {
        windows: windowOf(1),
        settle: (deliveries, { open, deliveries: all }) => {
          if (all.length < DELIVERIES - 1) open.release(deliveries);
        },
      });
      await from.publish('jobs', 'deadly');
      await play.until(() => reading.deliveries.length >= DELIVERIES - 1, 'the deliveries in vain');
      await play.within(reading.open.stop(), 'stop');
      const kept = new Kept();
      await to.subscribe('jobs', kept.handler, { group: 'workers' });
      await from.publish('jobs', 'harmless');
      await play.until(() => kept.messages.length > 0, 'what comes after it', has.takeoverMs + SLACK_MS);
      await play.until(async () => (await harness.deadFrames(play.prefix)).length > 0, 'its dead letter');
      expect(kept.payloads).toEqual(['harmless']);
      expect(to.eventsOf('frame-refused')).toMatchObject([{ reason: 'deliveries-exhausted', topic: 'jobs' }]);
      const [dead] = await harness.deadFrames(play.prefix);
      expect(dead?.reason).toBe('deliveries-exhausted');
      const { messages } = decodeFrame(dead?.bytes ?? new Uint8Array());
      expect(messages.map(({ payload }) => decodePayload(payload))).toEqual(['deadly']);
    },
  );

  when('31: keeps what is no frame among the dead letters as it is, says so, and goes on', async (play) => {
    const buses = new BusPlay(play);
    const [from, to] = await buses.pair();
    const stranger = await buses.stranger();
    const [alone, member] = [new Kept(), new Kept()];
    await to.subscribe('t', alone.handler);
    await to.subscribe('t', member.handler, { group: 'workers' });
    const bad = frame(toTopic('t'), 7, { sizeBytes: 300 });
    await stranger.node.publishAll([bad]);
    await from.publish('t', 'good');
    await play.until(() => alone.messages.length === 1 && member.messages.length === 1, 'the good one');
    const dead = () => harness.deadFrames(play.prefix);
    await play.until(async () => (await dead()).length === 2, 'a dead letter for each reader');
    for (const { reason, error, bytes } of await dead()) {
      expect(reason).toBe('frame-invalid');
      expect(error).toContain('it does not begin as one');
      expect(Buffer.compare(bytes, bad.bytes)).toBe(0);
    }
    const told = { type: 'frame-refused', reason: 'frame-invalid', topic: 't', sizeBytes: 300 };
    expect(to.eventsOf('frame-refused')).toMatchObject([told, told]);
    expect([alone.payloads, member.payloads]).toEqual([['good'], ['good']]);
  });

  when(
    'faults.refuseDeadLetters',
    faults.refuseDeadLetters !== undefined,
    '33: keeps a message that cannot become a dead letter, and buries it when it can',
    async (play) => {
      const [from, to] = await new BusPlay(play).pair();
      await to.subscribe(
        'jobs',
        () => {
          throw new Error('broken');
        },
        { group: 'workers' },
      );
      const allow = await faults.refuseDeadLetters?.(play.prefix);
      const warnings = () => to.eventsOf('logged').filter(({ text }) => text.includes('dead letter'));
      const { id } = await from.publish('jobs', 'poison');
      await play.until(() => warnings().length > 0, 'a warning', SLACK_MS);
      await allow?.();
      const dead = async (): Promise<string[]> =>
        (await harness.deadFrames(play.prefix)).flatMap(({ bytes }) =>
          decodeFrame(bytes).messages.map(({ id }) => id),
        );
      await play.until(async () => (await dead()).length > 0, 'the dead letter', SLACK_MS);
      await play.quiet();
      expect(await dead()).toEqual([id]);
    },
  );

  when(
    '34: takes a dead letter again under its old id in a new frame, and the old frame for a copy',
    async (play) => {
      const buses = new BusPlay(play);
      const [from, to] = await buses.pair();
      const stranger = await buses.stranger();
      let isBroken = true;
      const kept = new Kept();
      await to.subscribe(
        'jobs',
        async (message) => {
          if (isBroken) throw new Error('broken');
          await kept.handler(message);
        },
        { group: 'workers' },
      );
      const { id } = await from.publish('jobs', 'again', {
        headers: { tenant: 'acme' },
        correlationId: 'c-1',
      });
      const dead = () => harness.deadFrames(play.prefix);
      await play.until(async () => (await dead()).length > 0, 'the dead letter');
      isBroken = false;
      const [letter] = await dead();
      const old = letter?.bytes ?? new Uint8Array();
      const [message] = decodeFrame(old).messages;
      if (message === undefined) throw new Error('A message was expected.');
      // What an operator does: the message as it was, in a frame of their own.
      const payload = decodePayload(message.payload);
      const again = stranger.frame(toTopic('jobs'), { ...message, payload });
      await stranger.node.publishAll([{ to: toTopic('jobs'), lane: 3, bytes: old }, again]);
      await play.until(() => kept.messages.length > 0, 'the message again');
      await from.publish('jobs', 'last');
      await play.until(() => kept.payloads.includes('last'), 'what comes after it');
      await play.quiet();
      expect(kept.payloads).toEqual(['again', 'last']);
      expect(kept.messages[0]).toMatchObject({ id, headers: { tenant: 'acme' }, correlationId: 'c-1' });
    },
  );
}
