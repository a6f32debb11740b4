import { describe, expect, it } from 'vitest';
import { Outbox } from '../../runtime/remote/outbox.ts';
import { SentStreams } from '../../runtime/remote/streams.ts';
import type { Broker, Destination, Lane, OutFrame, PublishResult } from '../../src/protocol/broker.ts';
import { decodeFrame, encodeMessage } from '../../src/protocol/frame.ts';
import { OUTBOX_WAITING_MAX, PACK_MESSAGES_MAX, WAITERS_MAX } from '../../src/protocol/limits.ts';
import { encodePayload } from '../../src/protocol/payload.ts';
import { deferred, endingOf } from '../support/puppet.ts';
import { busBench, kernelOf } from '../support/test-bus.ts';

type Answer = (frames: readonly OutFrame[]) => readonly PublishResult[] | Promise<readonly PublishResult[]>;

/** An outbox at a broker that answers as the test says. */
async function sending(answer: Answer) {
  const bench = busBench();
  const kernel = kernelOf(await bench.connect());
  const published: OutFrame[][] = [];
  const broker: Pick<Broker, 'kind' | 'url' | 'capabilities' | 'publish'> = {
    kind: 'test',
    url: 'test:',
    capabilities: {
      durability: 'process',
      bound: 'exact',
      deliveryCount: 'broker',
      reportsUnroutable: true,
      keepsOrderOnRedelivery: true,
      frameBytesMax: 100_000,
      takeoverMs: 0,
      leavesNothing: true,
    },
    publish: (frames) => {
      published.push([...frames]);
      return Promise.resolve(answer(frames));
    },
  };
  // The outbox publishes and looks at capabilities, and at nothing else.
  const outbox = new Outbox(kernel, broker as Broker, { name: 'me', incarnation: 'x' });
  const send = (
    id: string,
    given: {
      to?: Destination;
      lane?: Lane;
      size?: number;
      timeoutMs?: number;
      expiresAtMs?: number;
      signal?: AbortSignal;
      waitsForRoom?: boolean;
      isSignal?: boolean;
    } = {},
  ) => {
    const { to = { kind: 'topic', topic: 't' }, lane = 3, size = 1, timeoutMs = 30_000, ...patience } = given;
    return endingOf(outbox.send(to, lane, bytesOf(id, size), { timeoutMs, ...patience }, id).taken);
  };
  const idsSent = (): string[][] => published.flatMap((frames) => frames.map(idsOf));
  return { ...bench, kernel, outbox, send, published, idsSent };
}

function bytesOf(id: string, size: number): Uint8Array {
  const none = undefined;
  const payload = encodePayload('x'.repeat(size), 1_000_000);
  return encodeMessage({
    type: 'message',
    id,
    sentAtMs: 0,
    expiresAtMs: none,
    sender: none,
    correlationId: none,
    headers: none,
    payload,
  });
}

const idsOf = ({ bytes }: OutFrame): string[] => decodeFrame(bytes).messages.map(({ id }) => id);
const all =
  (result: PublishResult): Answer =>
  (frames) =>
    frames.map(() => result);

describe('an outbox', () => {
  it('packs what is sent in one piece of code into frames, numbered without gaps', async () => {
    const { send, published, settle } = await sending(all('ok'));
    const endings = Array.from({ length: PACK_MESSAGES_MAX + 10 }, (_, n) => send(`${n}`));
    await settle();
    expect(new Set(endings.map(({ is }) => is))).toEqual(new Set(['resolved']));
    expect(published).toHaveLength(1);
    expect(published[0]?.map((frame) => idsOf(frame).length)).toEqual([PACK_MESSAGES_MAX, 10]);
    expect(published[0]?.map(({ bytes }) => decodeFrame(bytes).sequence)).toEqual([1, 2]);
  });

  it('gives frames again, the same ones, from the first that was not taken', async () => {
    const results: PublishResult[][] = [
      ['ok', 'full', 'full'],
      ['unknown', 'unavailable'],
      ['ok', 'ok'],
    ];
    let calls = 0;
    const { send, published, advance } = await sending(() => results[calls++] ?? []);
    const endings = ['a', 'b', 'c'].map((id) => send(id, { size: 60_000 }));
    await advance(5_000);
    expect(endings.map(({ is }) => is)).toEqual(['resolved', 'resolved', 'resolved']);
    const sequences = published.map((frames) => frames.map(({ bytes }) => decodeFrame(bytes).sequence));
    expect(sequences).toEqual([
      [1, 2, 3],
      [2, 3],
      [2, 3],
    ]);
  });

  it('goes on at once when the broker can be used again', async () => {
    let isUp = false;
    const { send, outbox, settle, advance } = await sending((frames) =>
      frames.map(() => (isUp ? 'ok' : 'unavailable')),
    );
    const ending = send('a');
    await advance(10_000);
    isUp = true;
    outbox.hurry();
    await settle();
    expect(ending.is).toBe('resolved');
  });

  it('lets a full destination delay no other, and no other lane', async () => {
    const { send, settle } = await sending((frames) =>
      frames.map(({ to, lane }) =>
        to.kind === 'topic' && to.topic === 'full' && lane === 5 ? 'full' : 'ok',
      ),
    );
    const full = send('a', { to: { kind: 'topic', topic: 'full' }, lane: 5 });
    await settle();
    const others = [
      send('b', { lane: 5 }),
      send('c', { to: { kind: 'topic', topic: 'full' }, lane: 0 }),
      send('d', { to: { kind: 'node', node: 'n' }, lane: 5 }),
    ];
    await settle();
    expect([full.is, ...others.map(({ is }) => is)]).toEqual([undefined, 'resolved', 'resolved', 'resolved']);
  });

  it('ends each wait by its own time, signal, or the end of its message, and sends what nobody waits for no more', async () => {
    const { send, idsSent, advance, clock, outbox } = await sending(all('full'));
    const aborter = new AbortController();
    const timed = send('timed', { timeoutMs: 100 });
    const aborted = send('aborted', { signal: aborter.signal });
    await advance(50);
    aborter.abort(new Error('no longer'));
    const waiting = send('waiting', { expiresAtMs: clock.wallNow() + 100 });
    await advance(60);
    expect([timed.is, aborted.error]).toEqual(['ERR_SEND_TIMEOUT', new Error('no longer')]);
    await advance(2_000);
    expect(waiting.error).toMatchObject({ code: 'ERR_MESSAGE_DROPPED', details: { reason: 'expired' } });
    const sent = idsSent().length;
    await advance(5_000);
    expect(idsSent()).toHaveLength(sent);
    await outbox.drained();
  });

  it('says what can never be sent: no such node, too large, not permitted', async () => {
    const { send, published, settle } = await sending((frames) =>
      frames.map(({ to }) => (to.kind !== 'topic' ? 'unroutable' : to.topic === 'secret' ? 'denied' : 'ok')),
    );
    const endings = [
      send('a', { to: { kind: 'node', node: 'gone' } }),
      send('b', { to: { kind: 'topic', topic: 'secret' } }),
      send('c', { size: 200_000 }),
      send('d'),
    ];
    await settle();
    expect(endings.map(({ is }) => is)).toEqual([
      'ERR_ACTOR_UNKNOWN',
      'ERR_BROKER_DENIED',
      'ERR_FRAME_TOO_LARGE',
      'resolved',
    ]);
    // What is too large uses up no number: nobody will miss it.
    expect(published.flat().map(({ bytes }) => decodeFrame(bytes).sequence)).toEqual([1, 1, 1]);
  });

  it('takes so many messages of a lane and refuses one more, and takes others when it has sent some', async () => {
    let result: PublishResult = 'full';
    const { send, outbox, advance } = await sending((frames) => frames.map(() => result));
    for (let n = 0; n < OUTBOX_WAITING_MAX; n++) send(`${n}`);
    expect(outbox.waitingIn(3)).toBe(OUTBOX_WAITING_MAX);
    const refused = send('more');
    const other = send('critical', { lane: 0 });
    await advance(1);
    expect([refused.is, other.is]).toEqual(['ERR_OUTBOX_FULL', undefined]);
    result = 'ok';
    await advance(2_000);
    expect(outbox.waitingIn(3)).toBe(0);
    expect(other.is).toBe('resolved');
  });

  it('lets nobody in because somebody was refused', async () => {
    const { send, outbox, advance } = await sending((frames) => frames.map(() => 'full'));
    for (let n = 0; n < OUTBOX_WAITING_MAX; n++) send(`${n}`);
    for (let n = 0; n < WAITERS_MAX; n++) send(`waits ${n}`, { waitsForRoom: true });
    const refused = ['one', 'two', 'three'].map((id) => send(id, { waitsForRoom: true }));
    refused.push(send('told'));
    await advance(1);
    expect(outbox.waitingIn(3)).toBe(OUTBOX_WAITING_MAX);
    expect(refused.map(({ is }) => is)).toEqual(refused.map(() => 'ERR_OUTBOX_FULL'));
  });

  it('never refuses a signal, and lets it past nothing that waits for room', async () => {
    let result: PublishResult = 'full';
    const { send, outbox, advance, idsSent } = await sending((frames) => frames.map(() => result));
    for (let n = 0; n < OUTBOX_WAITING_MAX; n++) send(`${n}`);
    const first = send('signal', { isSignal: true });
    expect(outbox.waitingIn(3)).toBe(OUTBOX_WAITING_MAX + 1);
    const patient = send('patient', { waitsForRoom: true });
    const second = send('behind', { isSignal: true });
    const refused = send('more');
    result = 'ok';
    await advance(5_000);
    expect([first.is, patient.is, second.is]).toEqual(['resolved', 'resolved', 'resolved']);
    expect(refused.is).toBe('ERR_OUTBOX_FULL');
    expect(idsSent().flat().slice(-3)).toEqual(['signal', 'patient', 'behind']);
    expect(outbox.waitingIn(3)).toBe(0);
  });

  it('begins a stream of a new number for a node whose life has ended', async () => {
    const { send, outbox, advance, published } = await sending(all('ok'));
    const to: Destination = { kind: 'node', node: 'b' };
    const places = () =>
      published
        .flat()
        .map(({ bytes }) => decodeFrame(bytes))
        .map((f) => [f.stream, f.sequence]);
    send('one', { to });
    await advance(1);
    send('two', { to });
    await advance(1);
    outbox.giveUp(to, new Error('down'));
    send('three', { to });
    await advance(1);
    expect(places()).toEqual([
      [1, 1],
      [1, 2],
      [2, 1],
    ]);
  });

  it('sends in the name of its next life what has certainly not arrived, and all else as it was', async () => {
    const answers = [deferred<PublishResult[]>(), deferred<PublishResult[]>(), deferred<PublishResult[]>()];
    let calls = 0;
    const { send, outbox, published, advance } = await sending(() => answers[calls++]?.promise ?? []);
    const lives = () =>
      published.at(-1)?.map((frame) => `${decodeFrame(frame.bytes).incarnation}: ${idsOf(frame).join()}`);
    const endings = ['a', 'b', 'c'].map((id) => send(id, { size: 60_000 }));
    await advance(1);
    answers[0]?.resolve(['unknown', 'unavailable', 'unavailable']);
    await advance(1);
    outbox.renew({ name: 'me', incarnation: 'y' });
    await advance(1_000);
    expect(lives()).toEqual(['x: a', 'y: b', 'y: c']);
    outbox.renew({ name: 'me', incarnation: 'z' }); // while that is under way
    answers[1]?.resolve(['ok', 'unknown', 'full']);
    await advance(1_000);
    expect(lives()).toEqual(['y: b', 'z: c']);
    answers[2]?.resolve(['ok', 'ok']);
    await advance(1);
    expect(endings.map(({ is }) => is)).toEqual(['resolved', 'resolved', 'resolved']);
  });

  it('gives up everything when it is told to', async () => {
    const { send, outbox, advance, kernel } = await sending(all('unavailable'));
    const endings = [send('a'), send('b', { lane: 0 })];
    await advance(10);
    outbox.withdraw(new Error('closed'));
    await advance(60_000);
    expect(endings.map(({ error }) => error)).toEqual([new Error('closed'), new Error('closed')]);
    expect(kernel.timeouts.size).toBe(0);
  });

  it('takes nothing more once it was told to give up, and does not begin again when an answer comes after that', async () => {
    const answer = deferred<readonly PublishResult[]>();
    const { send, outbox, advance, kernel, published } = await sending(() => answer.promise);
    const first = send('a');
    await advance(10);
    outbox.withdraw(new Error('closed'));
    answer.resolve(['unavailable']);
    const late = send('b');
    await advance(1);
    expect([first.error, late.error]).toEqual([new Error('closed'), new Error('closed')]);
    expect([kernel.timeouts.size, published.length, outbox.waitingIn(3)]).toEqual([0, 1, 0]);
  });
});

describe('the streams of a node', () => {
  it('number each destination from 1, and never use a number for two frames, also when a destination was forgotten', () => {
    const streams = new SentStreams(2);
    const places = ['a', 'a', 'b', 'c', 'a', 'b'].map((key) => streams.next(key));
    expect(places).toEqual([
      { stream: 1, sequence: 1 },
      { stream: 1, sequence: 2 },
      { stream: 2, sequence: 1 },
      { stream: 3, sequence: 1 },
      { stream: 4, sequence: 1 },
      { stream: 5, sequence: 1 },
    ]);
  });
});
