import { describe, expect, it } from 'vitest';
import type { Kernel } from '../../runtime/actor/kernel.ts';
import type { EndElsewhere } from '../../runtime/actor/watch.ts';
import { InboxArrivals } from '../../runtime/remote/arrivals.ts';
import { FarOutpost, type OutpostPorts } from '../../runtime/remote/far-outposts.ts';
import type { Arrival } from '../../runtime/remote/inbound.ts';
import { LateFrames } from '../../runtime/remote/late-frames.ts';
import type { Mail, WatchWord } from '../../runtime/remote/mail.ts';
import { RemoteWatchers } from '../../runtime/remote/remote-watchers.ts';
import { RemoteWatches } from '../../runtime/remote/remote-watches.ts';
import { SentLanes } from '../../runtime/remote/sent-lanes.ts';
import { endIn, endWord, placeIn } from '../../runtime/remote/watch-words.ts';
import type { Lane } from '../../src/protocol/broker.ts';
import { LATE_FRAMES_MS, STRANGER_MS, STRANGERS_MAX } from '../../src/protocol/limits.ts';
import type { NodeIdentity } from '../../src/protocol/membership.ts';
import { deferred, type PuppetRef, puppet } from '../support/puppet.ts';
import { testSystem } from '../support/test-system.ts';

const A: NodeIdentity = { name: 'a', incarnation: 'k1' };
const B: NodeIdentity = { name: 'b', incarnation: 'k2' };
const FAILED = endWord(
  { reason: 'failed', cause: 'no', existenceConfirmed: true },
  '//b@k2/user/x#1',
  0b1001,
);

/** Something that has come from a node. */
function arrival(
  id: string,
  lane: Lane = 0,
  { node = B, sequence = 1 }: { node?: NodeIdentity; sequence?: number } = {},
): Arrival {
  const none = undefined;
  const labels = { expiresAtMs: none, sender: none, correlationId: none, headers: none };
  const payload = { codec: 'none' as const, bytes: new Uint8Array(0) };
  const message = { type: 'terminated' as const, id, sentAtMs: 0, ...labels, payload };
  const place = { node: node.name, incarnation: node.incarnation, stream: lane + 1, sequence };
  return { message, ...place, lane, topic: none, deliveries: 1 };
}

/** A mail that keeps what it is given, of a node that sees these others. */
function fakeMail(self: NodeIdentity, others: readonly NodeIdentity[]) {
  const said: { readonly to: NodeIdentity; readonly word: WatchWord }[] = [];
  const lost = new Set<string>();
  const present = new Set(others);
  let ids = 0;
  let taking: Promise<undefined> = Promise.resolve(undefined);
  const mail = {
    nodes: {
      self,
      present: (name: string) => [...present].find((node) => node.name === name),
      isLost: ({ incarnation }: NodeIdentity) => lost.has(incarnation),
    },
    nextId: () => `w${++ids}`,
    nameHere: (address: string) => `//${self.name}@${self.incarnation}${address}`,
    lanesOf: () => 0,
    payloadOf: () => ({ codec: 'none', bytes: new Uint8Array(0) }),
    signal: (to: NodeIdentity, word: WatchWord) => {
      said.push({ to, word });
      return taking;
    },
  };
  return {
    mail: mail as unknown as Mail, // as much of it as the words need
    said,
    lost,
    present,
    hold: (until: Promise<undefined>) => {
      taking = until;
    },
  };
}

/** The watches of node `a`, which sees `b`. */
async function watches(max?: number) {
  const test = await testSystem();
  const faked = fakeMail(A, [B]);
  const arrivals = new InboxArrivals(() => undefined);
  let isUp = true;
  const frames = new LateFrames(test.kernel, arrivals, () => isUp);
  const remote = new RemoteWatches({ kernel: test.kernel, mail: faked.mail, frames }, max);
  const ends: EndElsewhere[] = [];
  const watch = (local: string) =>
    remote.watch({ node: 'b', incarnation: undefined, local }, (end) => ends.push(end));
  const goDown = (): void => {
    isUp = false;
  };
  const goUp = (): void => {
    isUp = true;
  };
  return { ...test, ...faked, remote, frames, ends, watch, goDown, goUp };
}

describe('the watches of a node on others', () => {
  it('refuses one watch too many, and takes it when one has ended', async () => {
    const { remote, watch, ends } = await watches(2);
    watch('one');
    const forget = watch('two');
    const full = { code: 'ERR_WATCHES_FULL', details: { address: '//b@k2:three', max: 2 } };
    expect(() => watch('three')).toThrow(expect.objectContaining(full));
    void remote.take(
      arrival('w1'),
      endWord({ reason: 'normal', cause: undefined, existenceConfirmed: true }, undefined, 1),
    );
    expect(ends).toHaveLength(1);
    expect(watch('three')).toBeTypeOf('function');
    forget?.();
    await Promise.resolve();
    expect(watch('four')).toBeTypeOf('function');
  });

  it('counts a word that takes a watch back until the broker has it', async () => {
    const { watch, hold } = await watches(1);
    const taken = deferred<undefined>();
    const forget = watch('one');
    hold(taken.promise);
    forget?.();
    expect(() => watch('two')).toThrow(expect.objectContaining({ code: 'ERR_WATCHES_FULL' }));
    taken.resolve(undefined);
    await taken.promise;
    await Promise.resolve();
    expect(watch('two')).toBeTypeOf('function');
  });

  it('believe word of an end when it has come in all its lanes, however often in each', async () => {
    const { remote, watch, ends } = await watches();
    watch('x');
    void remote.take(arrival('w1', 3), FAILED);
    void remote.take(arrival('w1', 3), FAILED);
    expect(ends).toEqual([]);
    void remote.take(arrival('w1', 0), FAILED);
    void remote.take(arrival('w1', 0), FAILED);
    expect(ends).toMatchObject([{ reason: 'failed', cause: { message: 'no' }, existenceConfirmed: true }]);
    expect(ends[0]?.isFrom('//b@k2/user/x#1')).toBe(true);
    expect(ends[0]?.isFrom('//b@k2/user/x#12')).toBe(false);
  });

  it('believe only the node that was asked, in the life in which it was', async () => {
    const { remote, watch, ends } = await watches();
    watch('x');
    for (const node of [
      { name: 'b', incarnation: 'k3' },
      { name: 'c', incarnation: 'k2' },
    ])
      for (const lane of [0, 3] as const) void remote.take(arrival('w1', lane, { node }), FAILED);
    void remote.take(arrival('w2'), FAILED);
    expect(ends).toEqual([]);
  });

  it('give up what tells of no end', async () => {
    const { remote, watch, ends } = await watches();
    watch('x');
    expect(await remote.take(arrival('w1'), { reason: 'nodedown' })).toMatchObject({ reason: 'validation' });
    expect(ends).toEqual([]);
  });

  it('tell what is known when a node is lost: an end that was half said, and nodedown', async () => {
    const { remote, watch, ends, lost } = await watches();
    watch('x');
    watch('/user/y#2');
    watch('/user/z');
    void remote.take(arrival('w1', 3), FAILED);
    lost.add('k2');
    remote.ended(B);
    expect(ends.map(({ reason }) => reason)).toEqual(['failed', 'nodedown', 'nodedown']);
    expect(ends[1]?.isFrom('//b@k2/user/y#2')).toBe(true);
    expect(ends[1]?.isFrom('//b@k2/user/z#1')).toBe(false);
    // Who held that path is not known: it may be anybody of that life of the node.
    expect(ends[2]?.isFrom('//b@k2/user/y#2')).toBe(true);
    expect(ends[2]?.isFrom('//b@k3/user/y#2')).toBe(false);
    remote.ended(B);
    expect(ends).toHaveLength(3);
  });

  it('end as nodedown where the word cannot be sent for good', async () => {
    const { watch, ends, hold, settle } = await watches();
    hold(Promise.reject(new Error('denied')));
    watch('x');
    await settle();
    expect(ends).toMatchObject([{ reason: 'nodedown', existenceConfirmed: false }]);
  });

  it('ask again in a new life, and take what was half said for the end', async () => {
    const { remote, watch, said, ends } = await watches();
    watch('x');
    watch('y');
    void remote.take(arrival('w1', 3), FAILED);
    remote.renewed();
    expect(said.map(({ word }) => `${word.type} ${word.id}`)).toEqual(['watch w1', 'watch w2', 'watch w2']);
    expect(ends.map(({ reason }) => reason)).toEqual(['failed']);
  });
});

describe('word of an end', () => {
  const ONE = endWord({ reason: 'normal', cause: undefined, existenceConfirmed: true }, undefined, 1);
  const comes = (frames: LateFrames, sequence: number): Arrival => {
    const each = arrival('w1', 0, { sequence });
    expect(frames.isNew(each, undefined)).toBe(true);
    return each;
  };

  it('waits for a frame that comes late until that is done with', async () => {
    const { remote, frames, watch, ends } = await watches();
    watch('x');
    frames.done(comes(frames, 1));
    void remote.take(comes(frames, 3), ONE);
    const late = comes(frames, 2);
    expect(ends).toEqual([]);
    frames.done(late);
    expect(ends).toHaveLength(1);
  });

  it('waits for a late frame that has come and is not done with', async () => {
    const { remote, frames, watch, ends } = await watches();
    watch('x');
    const third = comes(frames, 3);
    const late = [comes(frames, 1), comes(frames, 2)];
    void remote.take(third, ONE);
    for (const frame of late) {
      expect(ends).toEqual([]);
      frames.done(frame);
    }
    expect(ends).toHaveLength(1);
  });

  it('waits for what is missing only so long, not while the broker is away, and for each only once', async () => {
    const { remote, frames, watch, ends, advance, goDown, goUp } = await watches();
    watch('x');
    watch('y');
    goDown();
    void remote.take(comes(frames, 2), ONE);
    await advance(LATE_FRAMES_MS + 1);
    goUp();
    await advance(LATE_FRAMES_MS - 2);
    expect(ends).toEqual([]);
    await advance(2);
    expect(ends).toHaveLength(1);
    const next = arrival('w2', 0, { sequence: 3 });
    expect(frames.isNew(next, undefined)).toBe(true);
    void remote.take(next, ONE);
    expect(ends).toHaveLength(2);
  });

  it('is taken back with its watch', async () => {
    const { remote, frames, watch, ends, advance } = await watches();
    const forget = watch('x');
    void remote.take(comes(frames, 2), ONE);
    forget?.();
    await advance(2 * LATE_FRAMES_MS);
    expect(ends).toEqual([]);
  });

  it('is read only in the shape in which it is written', () => {
    expect(endIn(FAILED)).toEqual({
      reason: 'failed',
      cause: new Error('no'),
      existenceConfirmed: true,
      address: '//b@k2/user/x#1',
      lanes: 9,
    });
    const bad = [
      { lanes: 0 },
      { lanes: 64 },
      { lanes: 1.5 },
      { lanes: '1' },
      { reason: 'nodedown' },
      { existed: 1 },
    ];
    const worse = [{ address: 'x' }, { address: 1 }, { cause: 1 }, { cause: 'x'.repeat(1_001) }];
    for (const each of [...bad, ...worse]) expect(endIn({ ...FAILED, ...each })).toBeUndefined();
    for (const each of [undefined, null, 1, 'x', [], {}, new Uint8Array(9)]) {
      expect(endIn(each)).toBeUndefined();
      expect(placeIn(each)).toBeUndefined();
    }
    expect(placeIn({ address: '//b:bad name' })).toBeUndefined();
  });
});

describe('a worker that cannot be watched', () => {
  it('is told to end, by word to its life alone, and its pool is told why', () => {
    const stops: unknown[] = [];
    const mail = {
      nodes: { self: A, present: () => B, isLost: () => false },
      nextId: () => 'w1',
      payloadOf: (value: unknown) => value,
      signal: (to: NodeIdentity, word: WatchWord) => {
        stops.push([to, word]);
        return Promise.resolve(undefined);
      },
    } as unknown as Mail; // what watches ask of it
    const frames = { after: () => undefined };
    const watches = new RemoteWatches({ kernel: {} as Kernel, mail, frames }, 0);
    const node = { destination: { kind: 'node', node: 'b' }, target: '', protocol: 'x' } as const;
    const ports = { mail, watches } as unknown as OutpostPorts; // what a watch needs
    const outpostIn = (life: NodeIdentity) =>
      new FarOutpost(
        ports,
        puppet(),
        { ...node, node: life, address: `//b@${life.incarnation}/user/x#1` },
        '/user/x#1',
      );
    const full = expect.objectContaining({ code: 'ERR_WATCHES_FULL' });
    expect(() => outpostIn(B).watch(() => undefined)).toThrow(full);
    const payload = { address: '//b@k2/user/x#1', reason: 'shutdown' };
    expect(stops).toEqual([[B, { type: 'stop', id: 'w1', lane: 0, payload }]]);
    expect(outpostIn({ name: 'b', incarnation: 'k1' }).watch(() => undefined)).toBe(false);
    expect(stops).toHaveLength(1);
  });
});

/** The watchers of actors of node `b`, which sees `a`. */
async function watchers(max?: number) {
  const test = await testSystem();
  const faked = fakeMail(B, [A]);
  const ref: PuppetRef = await test.system.spawn(puppet(), { restart: 'temporary', name: 'x' });
  const find = (place: string) => (test.system as unknown as { find(place: string): never }).find(place); // as the system wires it
  const remote = new RemoteWatchers(test.kernel, faked.mail, find, max);
  const comes = (id: string, address = '//b@k2/user/x', node = A) =>
    remote.watch(arrival(id, 0, { node }), { address });
  const count = () => test.system.inspect(ref)?.watchers;
  return { ...test, ...faked, remote, ref, comes, count };
}

describe('the watchers on other nodes', () => {
  it('are as many as asked, each once', async () => {
    const { comes, count, said, system, ref, settle } = await watchers();
    void comes('w1');
    void comes('w1');
    void comes('w2');
    expect(count()).toBe(2);
    await system.stop(ref);
    await settle();
    expect(said.map(({ word }) => `${word.type} ${word.id} ${word.lane}`)).toEqual([
      'terminated w1 0',
      'terminated w2 0',
    ]);
  });

  it('end an actor for a reason, and hear of it, by a watch that is new or known', async () => {
    const { comes, count, said, remote, system, ref, settle } = await watchers();
    const stop = (id: string, reason: unknown) =>
      remote.stop(arrival(id, 0, { node: A }), { address: '//b@k2/user/x', reason });
    for (const reason of [undefined, 'killed', 1])
      expect(await stop('w0', reason)).toMatchObject({ reason: 'validation' });
    expect([count(), system.inspect(ref)?.status]).toEqual([0, 'running']);
    void comes('w1');
    expect(stop('w1', 'shutdown')).toBeUndefined();
    expect(stop('w2', 'normal')).toBeUndefined();
    await settle();
    expect(system.inspect(ref)?.status).toBe('stopped');
    expect(stop('w3', 'normal')).toBeUndefined();
    expect(said.map(({ word }) => `${word.type} ${word.id}`)).toEqual([
      'terminated w1',
      'terminated w2',
      'terminated w3',
    ]);
  });

  it('that are unknown to the broker are forgotten after a while, and are not many', async () => {
    const { comes, count, advance, present } = await watchers();
    const stranger = (n: number): NodeIdentity => ({ name: `s${n}`, incarnation: `k${n}` });
    for (let n = 0; n < STRANGERS_MAX; n++) expect(comes('w', undefined, stranger(n))).toBeUndefined();
    expect(await comes('w', undefined, stranger(-1))).toMatchObject({ reason: 'validation' });
    expect(comes('w')).toBeUndefined();
    expect(count()).toBe(STRANGERS_MAX + 1);
    present.add(stranger(7));
    await advance(STRANGER_MS + 1);
    expect(count()).toBe(2);
    expect(comes('w', undefined, stranger(-1))).toBeUndefined();
  });

  it('are refused beyond the bound of their node, and where they name another', async () => {
    const { comes, count } = await watchers(1);
    void comes('w1');
    for (const refused of [comes('w2'), comes('w2', '//c@k2/user/x'), comes('w2', 'x')])
      expect(await refused).toMatchObject({ reason: 'validation' });
    expect(count()).toBe(1);
  });

  it('of a life that is lost, and of an earlier life of this node, are nobody', async () => {
    const { comes, count, said, lost } = await watchers();
    lost.add('k9');
    expect(comes('w1', undefined, { name: 'a', incarnation: 'k9' })).toBeUndefined();
    expect(comes('w1', '//b@k0/user/x')).toBeUndefined();
    expect(comes('w1', '//b/user/x')).toBeUndefined();
    expect(count()).toBe(0);
    expect(said).toEqual([]);
  });

  it('may be taken back before they come', async () => {
    const { remote, comes, count } = await watchers();
    remote.unwatch(arrival('w1', 0, { node: A }));
    void comes('w1');
    expect(count()).toBe(0);
    void comes('w2');
    remote.unwatch(arrival('w2', 0, { node: A }));
    expect(count()).toBe(0);
    void comes('w3');
    remote.ended(A);
    expect(count()).toBe(0);
  });
});

describe('the lanes in which an actor has sent', () => {
  it('are kept for each life of a node, and not for those that have ended', () => {
    const gone = new Set<string>();
    const lanes = new SentLanes(({ name }) => !gone.has(name));
    const sender = { address: '/user/x#1' };
    lanes.note(sender, A, 0);
    lanes.note(sender, A, 5);
    lanes.note(sender, B, 2);
    expect([lanes.of(sender, A), lanes.of(sender, B)]).toEqual([0b100001, 0b100]);
    expect(lanes.of({ address: '/user/x#1' }, A)).toBe(0);
    lanes.note(sender, { ...A, incarnation: 'k7' }, 1);
    expect(lanes.of(sender, A)).toBe(0);
    gone.add('b');
    for (let n = 0; n < 20; n++) lanes.note(sender, { name: `n${n}`, incarnation: 'k' }, 3);
    expect(lanes.of(sender, B)).toBe(0);
    expect(lanes.of(sender, { name: 'n0', incarnation: 'k' })).toBe(0b1000);
  });
});
