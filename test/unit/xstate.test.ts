/** What supervision, the mailbox and asks are to a machine that is an agent. That the machine does as in xstate is in xstate-features.test.ts. */

import { ask, protocol, stream, tell, type } from 'troupe';
import { later, machineAgent } from 'troupe/xstate';
import { describe, expect, it } from 'vitest';
import {
  type AnyEventObject,
  assign,
  createMachine,
  emit,
  fromCallback,
  fromPromise,
  type InspectionEvent,
  log,
  raise,
  sendParent,
  sendTo,
  setup,
  stopChild,
} from 'xstate';
import { Work } from '../../adapters/xstate/work.ts';
import { testSystem } from '../support/test-system.ts';

const Door = protocol('door', {
  open: tell(type<{ by: string }>()),
  close: tell(),
  jam: tell(),
  end: tell(),
  who: ask(type<void>(), type<string>()),
});

type DoorEvent = { type: 'open'; by: string } | { type: 'close' | 'jam' | 'end' | 'who' } | { type: 'late' };

const doors = setup({
  types: {
    context: {} as { by: string; n: number },
    events: {} as DoorEvent,
    emitted: {} as { type: 'opened'; by: string },
    output: {} as { total: number },
  },
});

/** Closed, then open for 100 ms; `jam` throws, `end` is the end. */
const door = doors.createMachine({
  id: 'door',
  context: { by: 'nobody', n: 0 },
  output: ({ context }) => ({ total: context.n }),
  initial: 'closed',
  on: {
    jam: {
      actions: () => {
        throw new Error('it is jammed');
      },
    },
    end: '.gone',
  },
  states: {
    closed: {
      on: {
        open: {
          target: 'open',
          actions: [
            assign({ by: ({ event }) => event.by, n: ({ context }) => context.n + 1 }),
            emit(({ event }) => ({ type: 'opened', by: event.by })),
          ],
        },
      },
    },
    open: { after: { 100: 'closed' }, on: { close: 'closed' } },
    gone: { type: 'final' },
  },
});

const reply = { who: (snapshot: { context: { by: string } }) => snapshot.context.by };

describe('a machine as an agent', () => {
  it('is told events, shows its state value, and answers from its snapshot', async () => {
    const { system, settle } = await testSystem();
    const ref = await system.spawn(machineAgent(Door, door, { reply }));
    expect(system.inspect(ref)?.state).toBe('closed');
    ref.tell('open', { by: 'Ada' });
    await settle();
    expect(system.inspect(ref)?.state).toBe('open');
    expect(await ref.ask('who')).toBe('Ada');
  });

  it('puts its delays on the clock of the system, where inspection sees them', async () => {
    const { system, settle, advance } = await testSystem();
    const ref = await system.spawn(machineAgent(Door, door, { reply }));
    ref.tell('open', { by: 'Ada' });
    await settle();
    expect(system.inspect(ref)?.timers).toEqual([
      { key: 'xstate.after.100.door.open', message: 'machine-event', kind: 'once', dueInMs: 100 },
    ]);
    await advance(99);
    expect(system.inspect(ref)?.state).toBe('open');
    await advance(1);
    expect(system.inspect(ref)).toMatchObject({ state: 'closed', timers: [] });
  });

  it('is restarted when it throws, with the mailbox it had, and no delay of before', async () => {
    const { system, settle, advance, events } = await testSystem();
    const ref = await system.spawn(machineAgent(Door, door, { reply }));
    ref.tell('open', { by: 'Ada' });
    ref.tell('jam');
    ref.tell('open', { by: 'Bob' });
    await settle();
    expect(events.find(({ type: kind }) => kind === 'actor-failed')).toMatchObject({
      error: new Error('it is jammed'),
      message: 'jam',
    });
    await advance(90);
    expect(system.inspect(ref)).toMatchObject({ timers: [] });
    await advance(10); // the backoff
    expect(system.inspect(ref)).toMatchObject({ generation: 1, state: 'open' });
    expect(await ref.ask('who')).toBe('Bob');
    await advance(99); // Ada's delay would be long over
    expect(system.inspect(ref)).toMatchObject({ state: 'open' });
    await advance(1);
    expect(system.inspect(ref)).toMatchObject({ state: 'closed' });
  });

  it('keeps what it was before an event when its failure is decided to be resumed', async () => {
    const { system, settle } = await testSystem();
    const resumed = machineAgent(Door, door, { reply, decide: () => 'resume' });
    const ref = await system.spawn(resumed);
    ref.tell('open', { by: 'Ada' });
    ref.tell('jam');
    await settle();
    expect(system.inspect(ref)).toMatchObject({ state: 'open', generation: 0 });
    expect(await ref.ask('who')).toBe('Ada');
  });

  it('gives what it emits to onEmit, and the mailbox waits for a promise of it', async () => {
    const { system, settle } = await testSystem();
    const heard: AnyEventObject[] = [];
    let free = (): void => undefined;
    const busy = machineAgent(Door, door, {
      reply,
      onEmit: (ctx, event) => {
        heard.push({ ...event, generation: ctx.generation });
        return new Promise<void>((resolve) => {
          free = resolve;
        });
      },
    });
    const ref = await system.spawn(busy);
    ref.tell('open', { by: 'Ada' });
    ref.tell('close');
    await settle();
    expect(heard).toEqual([{ type: 'opened', by: 'Ada', generation: 0 }]);
    expect(system.inspect(ref)).toMatchObject({
      state: 'open',
      mailbox: { queued: 1 },
      turn: { message: 'open' },
    });
    free();
    await settle();
    expect(system.inspect(ref)).toMatchObject({ state: 'closed', turn: undefined });
  });

  it('fails by what onEmit rejects with', async () => {
    const { system, settle, events } = await testSystem();
    const failing = machineAgent(Door, door, {
      reply,
      onEmit: () => Promise.reject(new Error('nobody listens')),
    });
    const ref = await system.spawn(failing);
    ref.tell('open', { by: 'Ada' });
    await settle();
    expect(events.find(({ type: kind }) => kind === 'actor-failed')).toMatchObject({
      error: new Error('nobody listens'),
    });
  });

  it('keeps what it was when what it emits fails and that is resumed', async () => {
    const { system, settle } = await testSystem();
    const failing = machineAgent(Door, door, {
      reply,
      decide: () => 'resume',
      onEmit: () => {
        throw new Error('nobody listens');
      },
    });
    const ref = await system.spawn(failing);
    ref.tell('open', { by: 'Ada' });
    await settle();
    expect(system.inspect(ref)).toMatchObject({ state: 'closed', generation: 0 });
    expect(await ref.ask('who')).toBe('nobody');
  });

  it('does nothing more when an action of its own has ended it', async () => {
    const { system, settle } = await testSystem();
    let end = (): void => undefined;
    const told: string[] = [];
    const machine = doors.createMachine({
      context: { by: '', n: 0 },
      initial: 'closed',
      states: {
        closed: {
          on: { close: { target: 'gone', actions: [() => end(), emit({ type: 'opened', by: 'late' })] } },
        },
        gone: { type: 'final' },
      },
    });
    const agent = machineAgent(Door, machine, {
      reply,
      onEmit: () => told.push('emitted'),
      onDone: () => told.push('done'),
    });
    const ref = await system.spawn(agent);
    end = () => {
      void system.kill(ref); // it is over when the system has settled
    };
    ref.tell('close');
    await settle();
    expect(told).toEqual([]);
    expect(system.inspect(ref)).toMatchObject({ status: 'restarting' });
  });

  it('ends normally in a final state, with its output', async () => {
    const { system, settle, events } = await testSystem();
    const outputs: unknown[] = [];
    const ending = machineAgent(Door, door, { reply, onDone: (_ctx, output) => outputs.push(output) });
    const ref = await system.spawn(ending);
    ref.tell('open', { by: 'Ada' });
    ref.tell('end');
    ref.tell('open', { by: 'Bob' });
    await settle();
    expect(outputs).toEqual([{ total: 1 }]);
    expect(events.find(({ type: kind }) => kind === 'actor-stopped')).toMatchObject({ reason: 'normal' });
    expect(system.inspect(ref)).toMatchObject({ status: 'stopped' });
    expect(system.deadLetters.list()).toMatchObject([{ reason: 'stopped', message: 'open' }]);
  });

  it('takes its arguments as input, or makes the input of them at every start', async () => {
    const Cup = protocol('cup', { fill: tell(), level: ask(type<void>(), type<number>()) });
    const cup = setup({
      types: {
        context: {} as { level: number },
        input: {} as { level: number },
        events: {} as { type: 'fill' | 'level' },
      },
    }).createMachine({
      context: ({ input }) => ({ level: input.level }),
      on: {
        fill: {
          actions: [
            assign({ level: ({ context }) => context.level + 1 }),
            ({ context }) => {
              if (context.level > 4) throw new Error('it runs over');
            },
          ],
        },
      },
    });
    const level = (snapshot: { context: { level: number } }): number => snapshot.context.level;
    const { system, advance } = await testSystem();
    const plain = await system.spawn(machineAgent(Cup, cup, { reply: { level } }), { args: { level: 3 } });
    expect(await plain.ask('level')).toBe(3);
    const made = machineAgent(Cup, cup, {
      reply: { level },
      input: (args: { half: number }, ctx) => ({ level: args.half * 2 - ctx.generation }),
    });
    const ref = await system.spawn(made, { args: { half: 2 } });
    ref.tell('fill');
    await advance(1_000);
    expect(await ref.ask('level')).toBe(3); // 4 less one generation
  });

  it('is an event by the name of its message, whatever is in the payload', async () => {
    const { system, settle } = await testSystem();
    const ref = await system.spawn(machineAgent(Door, door, { reply }));
    const forged = { by: 'Eve', type: 'end' };
    ref.tell('open', forged);
    await settle();
    expect(system.inspect(ref)?.state).toBe('open');
  });

  it('is one of several behind one ref in a pool', async () => {
    const { system, settle } = await testSystem();
    const pool = await system.spawn(
      machineAgent(Door, door, { reply }).pool({ size: 2, routing: 'round-robin' }),
    );
    pool.tell('open', { by: 'Ada' });
    await settle();
    expect(await Promise.all([pool.ask('who'), pool.ask('who')])).toEqual(
      expect.arrayContaining(['Ada', 'nobody']),
    );
  });

  it('does not start when its initial state throws', async () => {
    const bad = doors.createMachine({
      context: { by: '', n: 0 },
      entry: () => {
        throw new Error('no hinges');
      },
    });
    const { system } = await testSystem();
    await expect(system.spawn(machineAgent(Door, bad, { reply }))).rejects.toMatchObject({
      code: 'ERR_START_FAILED',
      cause: new Error('no hinges'),
    });
  });

  it('starts when what its first emitted events began is over', async () => {
    const { system, settle } = await testSystem();
    let free = (): void => undefined;
    const slow = machineAgent(
      Door,
      doors.createMachine({ context: { by: '', n: 0 }, entry: emit({ type: 'opened', by: 'itself' }) }),
      {
        reply,
        onEmit: () =>
          new Promise<void>((resolve) => {
            free = resolve;
          }),
      },
    );
    let hasStarted = false;
    const starting = system.spawn(slow).then(() => {
      hasStarted = true;
    });
    await settle();
    expect(hasStarted).toBe(false);
    free();
    await starting;
  });

  it('logs by the log of its agent', async () => {
    const chatty = createMachine({
      context: { n: 1 },
      on: { close: { actions: [log('shut', 'door'), log(({ context }) => context)] } },
    });
    const { system, settle, logs } = await testSystem();
    const ref = await system.spawn(machineAgent(Door, chatty, { reply: { who: () => '' } }));
    ref.tell('close');
    await settle();
    expect(logs.filter(({ level }) => level === 'info')).toMatchObject([
      { address: ref.address, text: 'door', fields: { value: 'shut' } },
      { address: ref.address, text: 'the machine logs', fields: { value: { n: 1 } } },
    ]);
  });
});

describe('an ask of a machine', () => {
  const whenOpen = {
    who: (snapshot: { matches(value: 'open'): boolean; context: { by: string } }) =>
      snapshot.matches('open') ? snapshot.context.by : later,
  };

  it('is answered by a later state, the oldest first, and each one once', async () => {
    const { system, settle } = await testSystem();
    const ref = await system.spawn(machineAgent(Door, door, { reply: whenOpen }));
    const answers: string[] = [];
    const asked = ['one', 'two'].map((name) => ref.ask('who').then((by) => answers.push(`${name}: ${by}`)));
    await settle();
    expect(answers).toEqual([]);
    ref.tell('open', { by: 'Ada' });
    await Promise.all(asked);
    ref.tell('close');
    ref.tell('open', { by: 'Bob' });
    await settle();
    expect(answers).toEqual(['one: Ada', 'two: Ada']);
    expect(system.deadLetters.list()).toEqual([]);
  });

  it('that has timed out is not answered any more', async () => {
    const { system, settle, advance } = await testSystem();
    const ref = await system.spawn(machineAgent(Door, door, { reply: whenOpen }));
    const asked = ref.ask('who', undefined, { timeoutMs: 50 });
    const outcome = expect(asked).rejects.toMatchObject({ code: 'ERR_ASK_TIMEOUT' });
    await advance(60);
    await outcome;
    ref.tell('open', { by: 'Ada' });
    await settle();
    expect(system.deadLetters.list()).toEqual([]);
  });

  it.each([
    ['its failure', 'jam', 'it is jammed'],
    ['its end', 'end', 'has stopped'],
  ] as const)('that waits is rejected by %s', async (_how, event, text) => {
    const { system } = await testSystem();
    const ref = await system.spawn(machineAgent(Door, door, { reply: whenOpen }));
    const asked = ref.ask('who');
    ref.tell(event);
    await expect(asked).rejects.toMatchObject({
      code: 'ERR_ACTOR_FAILED',
      cause: { message: expect.stringContaining(text) },
    });
  });

  it('that the final state answers is answered before the end', async () => {
    const { system } = await testSystem();
    const atLast = {
      who: (snapshot: { status: string; output: unknown }) =>
        snapshot.status === 'done' ? JSON.stringify(snapshot.output) : later,
    };
    const ref = await system.spawn(machineAgent(Door, door, { reply: atLast }));
    const asked = ref.ask('who');
    ref.tell('end');
    expect(await asked).toBe('{"total":0}');
  });

  it('fails with the machine when its answer throws, at once and later', async () => {
    const { system, advance } = await testSystem();
    const throwing = {
      who: (snapshot: { matches(value: 'open'): boolean }) => {
        if (snapshot.matches('open')) throw new Error('no answer');
        return later;
      },
    };
    const ref = await system.spawn(machineAgent(Door, door, { reply: throwing }));
    const asked = ref.ask('who');
    const outcome = expect(asked).rejects.toMatchObject({ cause: new Error('no answer') });
    ref.tell('open', { by: 'Ada' });
    await outcome;
    await advance(1_000);
    expect(system.inspect(ref)).toMatchObject({ generation: 1, state: 'closed' });
    ref.tell('open', { by: 'Ada' });
    await expect(ref.ask('who')).rejects.toMatchObject({ cause: new Error('no answer') });
  });
});

describe('the children of a machine', () => {
  const Job = protocol('job', { go: tell(), jam: tell(), end: tell() });

  /** One promise that waits for ever and one callback, in a child machine too. */
  function family() {
    const told: string[] = [];
    const waits = fromPromise<unknown, string>(
      ({ input, signal }) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => {
            told.push(`${input} aborted`);
            reject(new Error('aborted'));
          });
        }),
    );
    const calls = fromCallback<AnyEventObject, string>(
      ({ input }) =>
        () =>
          told.push(`${input} disposed`),
    );
    const child = createMachine({
      invoke: { src: waits, input: 'inner' },
      after: { 500: { actions: () => told.push('late') } },
    });
    const machine = createMachine({
      initial: 'idle',
      states: {
        idle: { on: { go: 'busy' } },
        busy: {
          invoke: [{ src: waits, input: 'outer' }, { src: calls, input: 'callback' }, { src: child }],
          on: { end: 'over' },
        },
        over: { type: 'final' },
      },
      on: {
        jam: {
          actions: () => {
            throw new Error('it is jammed');
          },
        },
      },
    });
    return { told, agent: machineAgent(Job, machine, {}) };
  }

  it.each(['stop', 'kill', 'jam', 'end', 'shutdown'] as const)('end with it by %s', async (how) => {
    const { told, agent } = family();
    const { system, settle, advance } = await testSystem();
    const ref = await system.spawn(agent);
    ref.tell('go');
    await settle();
    expect(told).toEqual([]);
    if (how === 'stop' || how === 'kill') await system[how](ref);
    else if (how === 'shutdown') await system.shutdown();
    else ref.tell(how);
    await settle();
    expect([...told].sort()).toEqual(['callback disposed', 'inner aborted', 'outer aborted']);
    await advance(1_000);
    expect(told).toHaveLength(3);
  });

  it('that report after its restart report to nobody', async () => {
    let report = (_event: AnyEventObject): void => undefined;
    const machine = createMachine({
      context: { n: 0 },
      invoke: {
        src: fromCallback(({ sendBack }) => {
          const before = report;
          report = (event) => {
            before(event);
            sendBack(event);
          };
        }),
      },
      on: {
        go: { actions: assign({ n: ({ context }) => (context as { n: number }).n + 1 }) },
        jam: {
          actions: () => {
            throw new Error('it is jammed');
          },
        },
      },
    });
    const Counter = protocol('counter', { jam: tell(), n: ask(type<void>(), type<number>()) });
    const { system, settle, advance } = await testSystem();
    const counter = machineAgent(Counter, machine, {
      reply: { n: (snapshot: { context: { n: number } }) => snapshot.context.n },
    });
    const ref = await system.spawn(counter);
    report({ type: 'go' });
    await settle();
    expect(await ref.ask('n')).toBe(1);
    ref.tell('jam');
    report({ type: 'go' }); // it waits before the jam: of the generation that still lives
    await advance(1_000);
    report({ type: 'go' }); // by the callback of before and by the new one
    await settle();
    expect(await ref.ask('n')).toBe(1);
  });

  it('that flood it fail it, and nothing else', async () => {
    let flood = (): void => undefined;
    const machine = createMachine({
      invoke: {
        src: fromCallback(({ sendBack }) => {
          flood = () => {
            for (let n = 0; n < 1_000; n++) sendBack({ type: 'go' });
          };
        }),
      },
      on: { go: {} },
    });
    const { system, settle, advance, events } = await testSystem();
    const ref = await system.spawn(machineAgent(Job, machine, { mailbox: { capacity: 20 } }));
    flood();
    await settle();
    expect(events.find(({ type: kind }) => kind === 'actor-restarting')).toMatchObject({
      error: { code: 'ERR_MAILBOX_FULL', details: { capacity: 20 } },
    });
    await advance(1_000);
    expect(system.inspect(ref)).toMatchObject({ generation: 1, mailbox: { control: 0 } });
  });

  it('that fail it in the middle of an event of their own are not left half done', async () => {
    let disposed = 0;
    const machine = createMachine({
      invoke: [
        {
          id: 'echo',
          src: fromCallback(({ sendBack, receive }) => {
            receive(() => sendBack({ type: 'jam' }));
            return () => {
              disposed++;
            };
          }),
        },
      ],
      on: {
        go: { actions: sendTo('echo', { type: 'ping' }) },
        jam: {
          actions: () => {
            throw new Error('it is jammed');
          },
        },
      },
    });
    const { system, settle, events } = await testSystem();
    const ref = await system.spawn(machineAgent(Job, machine, { decide: () => 'stop' }));
    ref.tell('go');
    await settle();
    expect(events.find(({ type: kind }) => kind === 'actor-failed')).toMatchObject({
      error: new Error('it is jammed'),
      message: 'machine-event',
    });
    expect(disposed).toBe(1);
    expect(system.inspect(ref)).toMatchObject({ status: 'stopped' });
  });

  it('that were about to be stopped when an action threw are stopped all the same', async () => {
    let disposed = 0;
    const machine = createMachine({
      invoke: {
        id: 'kid',
        src: fromCallback(() => () => {
          disposed++;
        }),
      },
      on: {
        go: {
          actions: [
            stopChild('kid'),
            () => {
              throw new Error('after that');
            },
          ],
        },
      },
    });
    const { system, settle } = await testSystem();
    const ref = await system.spawn(machineAgent(Job, machine, { decide: () => 'stop' }));
    ref.tell('go');
    await settle();
    expect(disposed).toBe(1);
  });

  it.each([
    ['resume', 1],
    ['stop', 0],
  ] as const)(
    'hear nothing of a report that fails it, and those that follow wait for the directive: %s',
    async (directive, goes) => {
      const child = createMachine({
        after: { 10: { actions: [sendParent({ type: 'jam' }), sendParent({ type: 'go' })] } },
      });
      let gone = 0;
      const machine = createMachine({
        initial: 'a',
        states: { a: { invoke: { src: child, onError: 'handled' } }, handled: {} },
        on: {
          jam: {
            actions: () => {
              throw new Error('it is jammed');
            },
          },
          go: {
            actions: () => {
              gone++;
            },
          },
        },
      });
      const { system, advance, events } = await testSystem();
      const ref = await system.spawn(machineAgent(Job, machine, { decide: () => directive }));
      await advance(10);
      expect(events.filter(({ type: kind }) => kind === 'actor-failed')).toMatchObject([
        { error: new Error('it is jammed') },
      ]);
      expect(system.inspect(ref)?.state).toBe(directive === 'stop' ? undefined : 'a');
      expect(gone).toBe(goes);
    },
  );

  it('that do not let themselves be stopped are told of, and the others end all the same', async () => {
    let disposed = 0;
    const stubborn = {
      transition: (snapshot: unknown) => snapshot,
      getInitialSnapshot: () => ({ status: 'active', output: undefined, error: undefined }),
      getPersistedSnapshot: (snapshot: unknown) => snapshot,
    };
    const machine = createMachine({
      invoke: [
        {
          src: fromCallback(() => () => {
            throw new Error('not now');
          }),
        },
        { src: stubborn as never },
        {
          src: fromCallback(() => () => {
            disposed++;
          }),
        },
      ],
    });
    const { system } = await testSystem();
    const ref = await system.spawn(machineAgent(Job, machine, {}));
    await system.stop(ref);
    expect(disposed).toBe(1);
  });
});

describe('the inspection of a machine', () => {
  it('gives the events of xstate, with one root, and survives one that throws', async () => {
    const seen: InspectionEvent[] = [];
    const { system, settle, logs } = await testSystem();
    const inspected = machineAgent(Door, door, {
      reply,
      inspect: (event) => {
        seen.push(event);
        if (event.type === '@xstate.action') throw new Error('not that one');
      },
    });
    const ref = await system.spawn(inspected);
    ref.tell('open', { by: 'Ada' });
    await settle();
    expect(new Set(seen.map(({ type: kind }) => kind))).toEqual(
      new Set(['@xstate.actor', '@xstate.event', '@xstate.snapshot', '@xstate.action', '@xstate.microstep']),
    );
    expect(new Set(seen.map(({ rootId }) => rootId))).toEqual(new Set([`${ref.address}.0`]));
    const [first] = seen;
    expect(first?.actorRef.sessionId).toBe(first?.rootId);
    expect(first?.actorRef.getSnapshot()).toMatchObject({ value: 'open', context: { by: 'Ada' } });
    expect(system.inspect(ref)).toMatchObject({ generation: 0, state: 'open' });
    expect(logs.find(({ level }) => level === 'warn')).toMatchObject({
      fields: { error: new Error('not that one') },
    });
  });

  it('takes an observer as well', async () => {
    const kinds: string[] = [];
    const { system } = await testSystem();
    await system.spawn(
      machineAgent(Door, door, { reply, inspect: { next: ({ type: kind }) => kinds.push(kind) } }),
    );
    expect(kinds).toEqual(['@xstate.actor', '@xstate.event', '@xstate.snapshot']);
  });
});

describe('the ref of a machine, as its actions see it', () => {
  it('can be sent to, subscribed to and selected from, and is stopped by nobody', async () => {
    const values: unknown[] = [];
    const machine = createMachine({
      context: { n: 0 },
      entry: ({ self }) => {
        values.push(JSON.stringify(self));
        self.subscribe((snapshot: { context: { n: number } }) => values.push(snapshot.context.n));
        self
          .select((snapshot: { context: { n: number } }) => Math.floor(snapshot.context.n / 2))
          .subscribe((half: number) => values.push(`half ${half}`));
        self.on('*', ({ type: kind }: AnyEventObject) => values.push(kind));
        self.send({ type: 'go' });
        values.push(self.getPersistedSnapshot().status);
      },
      on: {
        go: {
          actions: [assign({ n: ({ context }) => (context as { n: number }).n + 1 }), emit({ type: 'gone' })],
        },
        jam: { actions: ({ self }) => self.stop() },
      },
    });
    const Job = protocol('job', { go: tell(), jam: tell() });
    const { system, settle, events } = await testSystem();
    const ref = await system.spawn(machineAgent(Job, machine, { decide: () => 'stop' }));
    ref.tell('go');
    await settle();
    expect(values).toEqual([
      JSON.stringify({ xstate$$type: 1, id: `${ref.address}.0` }),
      'active',
      0,
      'gone',
      1,
      'gone',
      2,
      'half 1',
    ]);
    ref.tell('jam');
    await settle();
    expect(events.find(({ type: kind }) => kind === 'actor-failed')).toMatchObject({
      error: { message: expect.stringContaining('system.stop(ref)') },
    });
  });

  it('raises events to itself that come before any message', async () => {
    const order: string[] = [];
    const machine = createMachine({
      on: {
        go: { actions: [sendTo(({ self }) => self, { type: 'own' }), raise({ type: 'raised' })] },
        own: { actions: () => order.push('own') },
        raised: { actions: () => order.push('raised') },
        jam: { actions: () => order.push('a message') },
      },
    });
    const Job = protocol('job', { go: tell(), jam: tell() });
    const { system, settle } = await testSystem();
    const ref = await system.spawn(machineAgent(Job, machine, {}));
    ref.tell('go');
    ref.tell('jam');
    await settle();
    expect(order).toEqual(['raised', 'own', 'a message']);
  });
});

describe('the actor system of a machine', () => {
  it('has the clock of the agent, and shows what is put off and who is named', async () => {
    const seen: unknown[] = [];
    const machine = createMachine({
      invoke: { src: fromCallback(() => undefined), systemId: 'helper' },
      on: {
        go: {
          actions: [
            raise({ type: 'jam' }, { delay: 40, id: 'soon' }),
            ({ system: own }) => {
              const { _clock: clock } = own;
              clock.setTimeout(() => seen.push('after 30'), 30);
              clock.clearTimeout(clock.setTimeout(() => seen.push('never'), 10));
            },
          ],
        },
        jam: { actions: () => seen.push('jam') },
        look: {
          actions: ({ system: own, self }) => {
            seen.push(Object.keys(own.getAll()), own.get('helper') === own.getAll()['helper']);
            seen.push(
              Object.values(own.getSnapshot()._scheduledEvents).map(({ event, delay }) => [event, delay]),
            );
            seen.push((self as unknown as { '@@observable'(): unknown })['@@observable']() === self);
          },
        },
      },
    });
    const Job = protocol('job', { go: tell(), look: tell() });
    const { system, advance } = await testSystem();
    const ref = await system.spawn(machineAgent(Job, machine, {}));
    ref.tell('go');
    ref.tell('look');
    await advance(29);
    expect(seen).toEqual([['helper'], true, [[{ type: 'jam' }, 40]], true]);
    await advance(11);
    expect(seen.slice(4)).toEqual(['after 30', 'jam']);
  });
});

describe('an event on its way', () => {
  it('acts once, and shows nothing but itself', () => {
    let acts = 0;
    const work = new Work({ type: 'go' }, () => {
      acts++;
    });
    work.act();
    work.act();
    expect(acts).toBe(1);
    expect(JSON.stringify(work)).toBe('{"event":{"type":"go"}}');
  });
});

describe('the options of a machine', () => {
  const wrong: readonly [string, unknown, unknown, string][] = [
    ['no machine', {}, { reply }, 'machine'],
    ['nothing for a machine', null, { reply }, 'machine'],
    ['no options', door, undefined, 'options'],
    ['an unknown one', door, { reply, on: {} }, 'on'],
    ['no answers', door, {}, 'reply.who'],
    ['an answer to what is not asked', door, { reply: { ...reply, open: () => '' } }, 'reply.open'],
    ['an answer that is no function', door, { reply: { who: 'me' } }, 'reply.who'],
    ['an inspector that is none', door, { reply, inspect: 'me' }, 'inspect'],
    ['an input that is no function', door, { reply, input: {} }, 'input'],
    ['an onEmit that is no function', door, { reply, onEmit: 1 }, 'onEmit'],
    ['an onDone that is no function', door, { reply, onDone: 1 }, 'onDone'],
    ['a mailbox that is none', door, { reply, mailbox: { capacity: 0 } }, 'mailbox.capacity'],
  ];

  it.each(wrong)('are refused: %s', (_what, machine, options, option) => {
    const loose = machineAgent as unknown as (...given: unknown[]) => unknown;
    expect(() => loose(Door, machine, options)).toThrow(
      expect.objectContaining({ code: 'ERR_OPTION_INVALID', details: expect.objectContaining({ option }) }),
    );
  });

  it('are refused without a protocol', () => {
    const loose = machineAgent as unknown as (...given: unknown[]) => unknown;
    expect(() => loose(undefined, door, {})).toThrow(expect.objectContaining({ code: 'ERR_OPTION_INVALID' }));
  });

  it('are refused for a protocol with a stream, which a machine cannot answer', () => {
    const loose = machineAgent as unknown as (...given: unknown[]) => unknown;
    const Told = protocol('told', { explain: stream(type<void>(), type<string>()) });
    expect(() => loose(Told, door, {})).toThrow(
      /Option protocol must be one of messages that are told or asked.*the stream 'explain'/,
    );
  });
});
